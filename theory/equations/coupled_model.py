"""Deep equilibrium models as people run them: several states, biases, activations that are not centred.

Theory sheet, section 8:  u^(r) = sum_s sigma_rs A_rs h^(s)/sqrt(m_s) + sigma_{b,r} B_r x + sigma_{c,r} b_r,
h^(r) = phi_r(u^(r)), all weights independent, one of the states read out.  ``theory.equations.DEQ`` is the case of one
centred state without a bias, which sections 1 to 7 are about.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sympy as sp

from theory.activations import Activation, resolve
from theory.analysis import DomainError, GrowthError
from theory.equations.model import DEQ, EquilibriumError, exact_number
from theory.grammar import ActivationSyntaxError

__all__ = ["MOST_STATES", "CoupledDEQ", "CoupledDEQError", "State"]

#: States at most: the equations of more are a matter of minutes.
MOST_STATES = 32
#: Names of a cell's numbers, and how many indices follow each.
_ENTRY = re.compile(r"(tau0|sigma_[abc]2)(?:\[[0-9]{1,3}\])*")
_INDEX = re.compile(r"\[([0-9]+)\]")
_INDICES = {"tau0": 0, "sigma_a2": 2, "sigma_b2": 1, "sigma_c2": 1}
_CELL_KEYS = ("tau0", "readout", "sigma_a2", "states")
_STATE_KEYS = ("activation", "sigma_b2", "sigma_c2", "centred", "parameters")


class CoupledDEQError(EquilibriumError):
    """A description of a cell that does not fit together; the message begins with the key's name."""


def _variance(value: Any, name: str) -> sp.Expr:
    """An exact number >= 0."""
    try:
        number = exact_number(value, name)
    except EquilibriumError as error:
        raise CoupledDEQError(str(error)) from None
    if not number >= 0:
        raise CoupledDEQError(f"{name} must be a number >= 0, not {number}")
    return number


@dataclass(frozen=True, init=False)
class State:
    """One state of a cell: its activation, and what drives it from outside.

    Args:
        activation: an activation, a registered name, or an expression in x as a text.
        sigma_b2: variance of its input weights, >= 0; anything that ``exact_number`` reads, like the next.
        sigma_c2: variance of its bias, >= 0.
        centred: whether the theory's phi is the activation less its mean at equilibrium, or the activation itself.
        parameters: values of the activation's parameters by name; the others keep their defaults.

    Attributes:
        activation: without free parameters.
        sigma_b2: exact.
        sigma_c2: exact.
        centred: see above.

    Raises:
        ActivationSyntaxError, DomainError, GrowthError: no activation.
        CoupledDEQError: a number that is none, or is negative.

    Example:
        >>> State("relu", "1/2", centred=False).sigma_c2
        0
    """

    activation: Activation
    sigma_b2: sp.Expr
    sigma_c2: sp.Expr
    centred: bool

    def __init__(
        self,
        activation: Activation | str,
        sigma_b2: Any = 0,
        sigma_c2: Any = 0,
        *,
        centred: bool = True,
        parameters: Mapping[str, Any] | None = None,
    ) -> None:
        found = activation if isinstance(activation, Activation) else resolve(activation)
        if found.parameters or parameters:
            values = {name: exact_number(value, name) for name, value in (parameters or {}).items()}
            found = found.with_parameters(values)
        if not isinstance(centred, bool):
            raise CoupledDEQError(f"centred must be true or false, not {centred!r}")
        object.__setattr__(self, "activation", found)
        object.__setattr__(self, "sigma_b2", _variance(sigma_b2, "sigma_b2"))
        object.__setattr__(self, "sigma_c2", _variance(sigma_c2, "sigma_c2"))
        object.__setattr__(self, "centred", centred)

    @property
    def is_constant(self) -> bool:
        """Whether the activation has one value only."""
        (first, *others) = self.activation.pieces
        return not others and not first.expr.free_symbols


@dataclass(frozen=True, init=False)
class CoupledDEQ:
    """R states coupled by random weights, one of them read out.

    Args:
        states: at least one.
        sigma_a2: R rows of R variances >= 0; row r receives from column s.
        tau0: input scale tau_0 > 0.
        readout: index of the state that is read out, from 0.

    Attributes:
        states: see above.
        sigma_a2: the rows, exact.
        tau0: exact.
        readout: see above.

    Raises:
        CoupledDEQError: a matrix that does not fit, a number out of range, or a state that the input does not reach.

    Example:
        >>> CoupledDEQ.loop(["relu", "tanh"], sigma_a2="1/2", sigma_b2="1/2").sigma_a2
        ((0, 1/2), (1/2, 0))
    """

    states: tuple[State, ...]
    sigma_a2: tuple[tuple[sp.Expr, ...], ...]
    tau0: sp.Expr
    readout: int

    def __init__(
        self, states: Iterable[State], sigma_a2: Sequence[Sequence[Any]], tau0: Any = 1, readout: int = 0
    ) -> None:
        found = tuple(states)
        if not 1 <= len(found) <= MOST_STATES:
            raise CoupledDEQError(f"states must be 1 to {MOST_STATES} of them, not {len(found)}")
        object.__setattr__(self, "states", found)
        object.__setattr__(self, "sigma_a2", _matrix(sigma_a2, len(found)))
        scale = exact_number(tau0, "tau0")
        if not scale > 0:
            raise CoupledDEQError(f"tau0 must be a number > 0, not {scale}")
        if isinstance(readout, bool) or readout not in range(len(found)):
            raise CoupledDEQError(f"readout must be the number of a state, 0 to {len(found) - 1}, not {readout!r}")
        object.__setattr__(self, "tau0", scale)
        object.__setattr__(self, "readout", readout)
        self._check_reach()

    def _check_reach(self) -> None:
        """A state that nothing of the input reaches has the same value for every sample.

        Of a constant activation nothing is passed on.
        """
        passing = {r for r, state in enumerate(self.states) if not state.is_constant}
        reached = {r for r, state in enumerate(self.states) if state.sigma_b2 != 0}
        while (
            new := {r for r, row in enumerate(self.sigma_a2) if any(row[s] != 0 for s in reached & passing)} - reached
        ):
            reached |= new
        lost = sorted(set(range(len(self.states))) - reached)
        if lost:
            raise CoupledDEQError(
                f"sigma_b2 of state {lost[0]} is 0 and sigma_a2 leads nothing of the input to it: a positive sigma_b2, "
                "or a weight from a state that the input reaches and that is not constant, would be accepted"
            )

    def _closure(self, start: set[int], *, forward: bool) -> set[int]:
        """The states that a set leads to, or that lead to it, with the set itself."""
        found, front = set(start), set(start)
        while front:
            front = {
                r
                for r in range(len(self.states))
                for s in front
                if (self.sigma_a2[r][s] if forward else self.sigma_a2[s][r]) != 0
            } - found
            found |= front
        return found

    def leading_to(self, state: int) -> frozenset[int]:
        """Return the states whose values a state depends on, with itself.

        Example:
            >>> sorted(CoupledDEQ.feedforward(["relu"] * 3).leading_to(1))
            [0, 1]
        """
        return frozenset(self._closure({state}, forward=False))

    @property
    def mean_free(self) -> tuple[bool, ...]:
        """By state, whether E[phi] is 0 at every scale: it is centred, or odd."""
        return tuple(state.centred or state.activation.parity == -1 for state in self.states)

    @property
    def uncorrelated(self) -> tuple[bool, ...]:
        """By state, whether its pre-activations' covariance tends to 0 off the diagonal: q = 0.

        It has no bias, and nothing that leads to it has one or a mean.
        """
        free = self.mean_free
        sources = {r for r, state in enumerate(self.states) if state.sigma_c2 != 0}
        sources |= {
            r for r, row in enumerate(self.sigma_a2) if any(row[s] != 0 and not free[s] for s in range(len(free)))
        }
        reached = self._closure(sources, forward=True)
        return tuple(r not in reached for r in range(len(free)))

    @property
    def decorrelated(self) -> tuple[bool, ...]:
        """By state, whether its kernel tends to 0 off the diagonal as well: section 3 has its numbers."""
        return tuple(u and free for u, free in zip(self.uncorrelated, self.mean_free, strict=True))

    @property
    def deq(self) -> DEQ | None:
        """The same as a ``DEQ``, where there is one state, centred and without a bias."""
        only, *others = self.states
        if others or not self.decorrelated[0]:
            return None
        return DEQ(only.activation, self.sigma_a2[0][0], only.sigma_b2, self.tau0)

    @property
    def mapping(self) -> dict[str, Any]:
        """The plain data that ``from_mapping`` makes an equal cell of; all numbers are texts.

        Example:
            >>> cell = CoupledDEQ.loop(["relu", "tanh"], "1/2", "1/2")
            >>> CoupledDEQ.from_mapping(cell.mapping) == cell
            True
        """
        return {
            "tau0": str(self.tau0),
            "readout": self.readout,
            "sigma_a2": [[str(value) for value in row] for row in self.sigma_a2],
            "states": [
                {
                    "activation": _text(state.activation),
                    "sigma_b2": str(state.sigma_b2),
                    "sigma_c2": str(state.sigma_c2),
                    "centred": state.centred,
                }
                for state in self.states
            ],
        }

    def at(self, tau0: Any) -> CoupledDEQ:
        """Return the same at another input scale tau_0.

        Raises:
            EquilibriumError: it is no number > 0.
        """
        return CoupledDEQ(self.states, self.sigma_a2, tau0, self.readout)

    def number(self, entry: str) -> sp.Expr:
        """Return the number of a name: tau0, sigma_a2[r][s], sigma_b2[r] or sigma_c2[r], r and s from 0.

        Raises:
            CoupledDEQError: there is none of that name.

        Example:
            >>> CoupledDEQ.loop(["relu", "tanh"], "1/2", "3/5").number("sigma_a2[0][1]")
            1/2
        """
        name, place = self._place(entry)
        if name == "tau0":
            return self.tau0
        if name == "sigma_a2":
            return self.sigma_a2[place[0]][place[1]]
        state = self.states[place[0]]
        return state.sigma_b2 if name == "sigma_b2" else state.sigma_c2

    def with_number(self, entry: str, value: Any) -> CoupledDEQ:
        """Return the same with another value of one number, named as for ``number``.

        Raises:
            CoupledDEQError: there is none of that name, or the value is out of range.

        Example:
            >>> CoupledDEQ.loop(["relu", "tanh"], "1/2", "3/5").with_number("sigma_c2[1]", "1/10").states[1].sigma_c2
            1/10
        """
        name, place = self._place(entry)
        if name == "tau0":
            return self.at(value)
        if name == "sigma_a2":
            rows = [list(row) for row in self.sigma_a2]
            rows[place[0]][place[1]] = _variance(value, entry)
            return CoupledDEQ(self.states, rows, self.tau0, self.readout)
        states = list(self.states)
        old = states[place[0]]
        numbers = {"sigma_b2": old.sigma_b2, "sigma_c2": old.sigma_c2, name: _variance(value, entry)}
        states[place[0]] = State(old.activation, **numbers, centred=old.centred)
        return CoupledDEQ(states, self.sigma_a2, self.tau0, self.readout)

    def _place(self, entry: str) -> tuple[str, tuple[int, ...]]:
        """A number's key and indices."""
        found = _ENTRY.fullmatch(entry)
        name = "" if found is None else found[1]
        place = tuple(map(int, _INDEX.findall(entry))) if name else ()
        last = len(self.states) - 1
        if len(place) != _INDICES.get(name, -1) or any(index > last for index in place):
            raise CoupledDEQError(
                f"{entry!r} names no number of the cell: accepted are tau0, sigma_a2[r][s], sigma_b2[r] and "
                f"sigma_c2[r], r and s from 0 to {last}"
            )
        return name, place

    # --- the usual cells ---------------------------------------------------------------------------

    @staticmethod
    def of(deq: DEQ, *, sigma_c2: Any = 0, centred: bool = True) -> CoupledDEQ:
        """Return a one-state cell, with a bias or uncentred where that is asked for.

        Example:
            >>> CoupledDEQ.of(DEQ("relu"), sigma_c2="1/10").decorrelated
            (False,)
        """
        state = State(deq.activation, deq.sigma_b2, sigma_c2, centred=centred)
        return CoupledDEQ([state], [[deq.sigma_a2]], deq.tau0)

    @staticmethod
    def loop(
        activations: Sequence[Activation | str],
        sigma_a2: Any,
        sigma_b2: Any,
        tau0: Any = 1,
        *,
        sigma_c2: Any = 0,
        centred: bool = True,
    ) -> CoupledDEQ:
        """Return a cell of L layers: the first receives the last and the input, each other one the one before it.

        Args:
            activations: of the layers, in order; the last one is read out.
            sigma_a2: variance of the weights between layers.
            sigma_b2: of those of the input, to the first layer.
            tau0: input scale.
            sigma_c2: of every layer's bias.
            centred: of every layer.

        Raises:
            CoupledDEQError: a number out of range.
        """
        count = len(activations)
        states = [
            State(phi, sigma_b2 if layer == 0 else 0, sigma_c2, centred=centred)
            for layer, phi in enumerate(activations)
        ]
        rows = [[sigma_a2 if s == (r - 1) % count else 0 for s in range(count)] for r in range(count)]
        return CoupledDEQ(states, rows, tau0, count - 1)

    @staticmethod
    def two_scales(
        activations: Sequence[Activation | str], within: Any, across: Any, sigma_b2: Any, tau0: Any = 1
    ) -> CoupledDEQ:
        """Return two states that each feed themselves, the other and the input into both; the first is read out.

        Args:
            activations: of the two.
            within: variance of the weights of a state on itself.
            across: of those on the other.
            sigma_b2: of those on the input.
            tau0: input scale.

        Raises:
            CoupledDEQError: other than two activations, or a number out of range.
        """
        states = [State(phi, sigma_b2) for phi in activations]
        if len(states) != 2:
            raise CoupledDEQError(f"activations of two scales must be 2, not {len(states)}")
        return CoupledDEQ(states, [[within, across], [across, within]], tau0)

    @staticmethod
    def feedforward(
        activations: Sequence[Activation | str],
        skips: Mapping[tuple[int, int], Any] | None = None,
        tau0: Any = 1,
        *,
        sigma_c2: Any = 0,
        centred: bool = True,
    ) -> CoupledDEQ:
        """Return an explicit network of depth L: layer 0 receives the input, each other one the layer before it.

        Args:
            activations: of the layers, in order; the last one is read out.
            skips: further weights' variances, by (to, from) with from < to; they replace those between neighbours.
            tau0: input scale.
            sigma_c2: of every layer's bias.
            centred: of every layer.

        Raises:
            CoupledDEQError: a skip that does not lead to a later layer, or a number out of range.

        Example:
            >>> CoupledDEQ.feedforward(["tanh"] * 3, {(2, 0): "1/4"}).sigma_a2
            ((0, 0, 0), (1, 0, 0), (1/4, 1, 0))
        """
        count = len(activations)
        weights = {(layer, layer - 1): sp.S.One for layer in range(1, count)} | dict(skips or {})
        outside = [(to, since) for to, since in weights if not 0 <= since < to < count]
        if outside:
            raise CoupledDEQError(f"skips go from a layer to a later one, unlike {outside[0]}")
        states = [
            State(phi, 1 if layer == 0 else 0, sigma_c2, centred=centred) for layer, phi in enumerate(activations)
        ]
        rows = [[weights.get((r, s), 0) for s in range(count)] for r in range(count)]
        return CoupledDEQ(states, rows, tau0, count - 1)

    @staticmethod
    def stopped(deq: DEQ, steps: int, *, sigma_c2: Any = 0, centred: bool = True) -> CoupledDEQ:
        """Return a weight-tied network: a DEQ's iteration from h = 0, stopped after some steps.

        In the limit of infinite width the kernel is that of independent weights in every step, each step centred at
        its own scale.

        Args:
            deq: the DEQ whose iteration it is.
            steps: how many are taken, each of them a state.
            sigma_c2: variance of the bias, the same in every step.
            centred: whether the activations are.

        Raises:
            CoupledDEQError: steps out of range.
        """
        if not 1 <= steps <= MOST_STATES:
            raise CoupledDEQError(f"steps must be 1 to {MOST_STATES}, not {steps}")
        state = State(deq.activation, deq.sigma_b2, sigma_c2, centred=centred)
        rows = [[deq.sigma_a2 if s == r - 1 else 0 for s in range(steps)] for r in range(steps)]
        return CoupledDEQ([state] * steps, rows, deq.tau0, steps - 1)

    # --- from plain data ---------------------------------------------------------------------------

    @staticmethod
    def from_mapping(data: Mapping[str, Any]) -> CoupledDEQ:
        """Return the cell that plain data describe, such as a TOML file's.

        Keys are tau0 (default 1), readout (default 0), sigma_a2 (rows) and states, each with activation, sigma_b2
        (default 0), sigma_c2 (default 0), centred (default true) and parameters (a table).  Numbers are texts or
        integers, taken exactly.

        Raises:
            CoupledDEQError: an unknown key, or a value that is not as above; the message names the key.

        Example:
            >>> data = {"sigma_a2": [["1/4"]], "states": [{"activation": "relu", "sigma_b2": "0.6"}]}
            >>> CoupledDEQ.from_mapping(data).states[0].sigma_b2
            3/5
        """
        _check_keys(data, _CELL_KEYS, "", ("sigma_a2", "states"))
        _check_numbers(data, "")
        tables = data["states"]
        if not isinstance(tables, list) or not all(isinstance(table, Mapping) for table in tables):
            raise CoupledDEQError("states must be tables, each begun by [[states]]")
        if len(tables) > MOST_STATES:
            raise CoupledDEQError(f"states must be 1 to {MOST_STATES} of them, not {len(tables)}")
        states = [_state(table, f"states[{r}].") for r, table in enumerate(tables)]
        return CoupledDEQ(states, data["sigma_a2"], data.get("tau0", 1), data.get("readout", 0))


def _text(activation: Activation) -> str:
    """A text that ``State`` reads as the activation: its name, or the expression where that is another's."""
    try:
        if resolve(activation.name).with_parameters({}).expr == activation.expr:
            return activation.name
    except (ActivationSyntaxError, DomainError, GrowthError):
        pass
    return str(activation.expr)


def _is_list(value: Any, count: int) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str) and len(value) == count


def _matrix(rows: Any, count: int) -> tuple[tuple[sp.Expr, ...], ...]:
    if not _is_list(rows, count) or not all(_is_list(row, count) for row in rows):
        raise CoupledDEQError(f"sigma_a2 must have {count} rows of {count} numbers, one for each of the states")
    return tuple(
        tuple(_variance(value, f"sigma_a2[{r}][{s}]") for s, value in enumerate(row)) for r, row in enumerate(rows)
    )


def _check_keys(data: Mapping[str, Any], known: Sequence[str], place: str, needed: Sequence[str]) -> None:
    for key in data:
        if key not in known:
            raise CoupledDEQError(f"{place}{key} is no key: accepted are {', '.join(known)}")
    for key in needed:
        if key not in data:
            raise CoupledDEQError(f"{place}{key} is missing")


def _check_numbers(data: Any, name: str) -> None:
    """Refuse floats: TOML's 0.1 is not a tenth."""
    if isinstance(data, float):
        raise CoupledDEQError(f'{name} is a float: write numbers as texts, such as "{data}", which are taken exactly')
    if isinstance(data, Mapping):
        for key, value in data.items():
            _check_numbers(value, f"{name}.{key}" if name else str(key))
    elif isinstance(data, list):
        for index, value in enumerate(data):
            _check_numbers(value, f"{name}[{index}]")


def _state(table: Mapping[str, Any], place: str) -> State:
    _check_keys(table, _STATE_KEYS, place, ("activation",))
    if not isinstance(table["activation"], str):
        raise CoupledDEQError(f"{place}activation must be a name or an expression in x as a text")
    parameters = table.get("parameters", {})
    if not isinstance(parameters, Mapping):
        raise CoupledDEQError(f"{place}parameters must be a table of values by name")
    try:
        return State(
            table["activation"],
            table.get("sigma_b2", 0),
            table.get("sigma_c2", 0),
            centred=table.get("centred", True),
            parameters=parameters,
        )
    except CoupledDEQError as error:
        raise CoupledDEQError(f"{place}{error}") from None
    except (ActivationSyntaxError, DomainError, GrowthError, EquilibriumError) as error:
        raise CoupledDEQError(f"{place}activation: {error}") from None
