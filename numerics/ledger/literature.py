"""Evidence on what the literature on equivalent networks says, or is taken to say, of which networks match.

All of it is decided without samples: by algebra, or by certified balls of the DEQs' four numbers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import sympy as sp
from flint import arb

from numerics.arithmetic import BallArithmetic, compile_program
from numerics.equilibrium import certify
from numerics.ledger.checks import Check, Plan, Results, Task
from numerics.matching import design, target_of
from numerics.released import PAIRS, released_difference
from theory.claims import Verdict, VerdictKind
from theory.equations import DEQ
from theory.kernels import PARTS, Kernel
from theory.matching import TARGETS, compose, hermite_moments, kernel_part, quadratic_relation, two_rates
from theory.named import MatchStatus
from theory.symbols import tau, tau_0

__all__ = [
    "CHECKS",
    "leaky_task",
    "parameters_task",
    "plain_task",
    "quadratic_task",
    "rates_task",
]

_DIGITS = 15
#: DEQs at sigma_a^2 = 1/5, sigma_b^2 = 4/5 and tau_0 = 1, of which the statements are refuted.
_WEIGHTS = "1/5", "4/5"
_LEAKY, _QUADRATIC = ("swish", "elu"), ("relu", "tanh", "swish", "gelu", "elu")
#: Largest difference of four numbers that the released minimiser may leave.
_SOLVED = 1e-4


# --- two plain layers ----------------------------------------------------------------------------


def plain_task() -> dict[str, Any]:
    """Prove that no network of one or two layers, trained at one rate, has the recurrent NTK of ReLU's DEQ."""
    found = design(DEQ("relu", *_WEIGHTS), kernel="ntk-recurrent", family="hermite", rates="one", digits=_DIGITS)
    return {"proved": found.status is MatchStatus.INFEASIBLE and found.universal, "reason": found.reason}


_PLAIN = Task(plain_task, {}, cost=1e7)


def _judge_plain(plan: Plan, results: Results) -> list[Verdict]:
    found = results[_PLAIN.name]
    why = (
        "no network of one or two hidden layers with one learning rate for all weights has it, whatever its "
        f"activations: {found['reason']}"
    )
    if not found["proved"]:
        return [Verdict("plain-layers", "relu, recurrent", VerdictKind.UNDECIDED, found["reason"], activation="relu")]
    return [Verdict("plain-layers", "relu, recurrent", VerdictKind.REFUTED, why, activation="relu")]


# --- a rate for each layer -----------------------------------------------------------------------


def rates_task() -> dict[str, Any]:
    """Put the closed form of the layer with two rates into a layer's NTK, and name the numbers that do not come out."""
    differences = _two_rate_differences()
    return {"count": len(differences), "failed": [name for name, value in differences.items() if sp.cancel(value) != 0]}


def _two_rate_differences() -> dict[str, sp.Expr]:
    """What the NTK of c_1 he_1 + c_2 he_2 + c_3 he_3 has less what it is to have, by number, at tau_0 = 1."""
    k1, k2, k3, k0 = TARGETS
    first, last = two_rates()
    squares = {1: k1 / (first + 1), 2: 2 * k2, 3: (k0 - k1 - k3) / (1 + 3 * first)}
    symbols = {degree: sp.Symbol(f"c_{degree}", positive=True) for degree in squares}
    layer = compose([hermite_moments(symbols).map(lambda value: value.subs(tau, 1))], (first, last))
    known = {symbols[degree]: sp.sqrt(square) for degree, square in squares.items()}
    found = kernel_part(Kernel.NTK_ALL, layer).map(lambda value: sp.expand(value.subs(tau_0, 1)).subs(known))
    return {part: reached - wanted for part, reached, wanted in zip(PARTS, found, TARGETS, strict=True)}


_RATES = Task(rates_task, {}, cost=1e5)


def _judge_rates(plan: Plan, results: Results) -> list[Verdict]:
    found = results[_RATES.name]
    if found["failed"]:
        why = f"not what they should be: {', '.join(found['failed'])}"
        return [Verdict("layers-with-rates", "any activation", VerdictKind.REFUTED, why)]
    why = (
        f"with the rates and energies of its formula all {found['count']} numbers of the layer's NTK are those asked "
        "for, symbolically (tau_0 = 1)"
    )
    return [Verdict("layers-with-rates", "any activation", VerdictKind.DERIVED, why)]


# --- leaky ReLUs, quadratic layers ---------------------------------------------------------------


def leaky_task(activation: str) -> dict[str, Any]:
    """Find two leaky ReLUs with the CK of a DEQ, or prove that there are none."""
    found = design(DEQ(activation, *_WEIGHTS), family="leaky_relu", digits=_DIGITS)
    proved = found.status is MatchStatus.INFEASIBLE and found.residual_bound > 0
    return {"proved": bool(proved), "reason": found.reason, "bound": float(found.residual_bound.lower())}


def quadratic_task(activation: str) -> dict[str, Any]:
    """Evaluate, for the CK of a DEQ, the relation that all CKs of two quadratic layers satisfy."""
    target = target_of(certify(DEQ(activation, *_WEIGHTS), _DIGITS), "ck")
    program = compile_program([quadratic_relation()], [*TARGETS], BallArithmetic())
    (value,) = (arb(found) for found in program(*target.coefficients))
    return {"proved": not value.contains(0), "value": float(value.mid()), "radius": float(value.rad())}


def _tasks_of(function: Any, activations: Sequence[str]) -> list[Task]:
    return [Task(function, {"activation": text}, cost=1e6) for text in activations]


def _refuted(claim: str, tasks: Sequence[Task], results: Results, why: Any) -> list[Verdict]:
    """A verdict for each activation: refuted where that is proved."""
    verdicts = []
    for task in tasks:
        found: Mapping[str, Any] = results[task.name]
        kind = VerdictKind.REFUTED if found["proved"] else VerdictKind.UNDECIDED
        text = str(task.arguments["activation"])
        verdicts.append(Verdict(claim, text, kind, why(found), activation=text))
    return verdicts


def _judge_leaky(plan: Plan, results: Results) -> list[Verdict]:
    def why(found: Mapping[str, Any]) -> str:
        return (
            f"{found['reason']}; every pair misses one of the four numbers by {found['bound']:.2e} or more, certified"
        )

    return _refuted("leaky-pairs", _tasks_of(leaky_task, _LEAKY), results, why)


def _judge_quadratic(plan: Plan, results: Results) -> list[Verdict]:
    def why(found: Mapping[str, Any]) -> str:
        return (
            "the four numbers of two quadratic layers satisfy a polynomial relation, as they have three parameters; "
            f"the DEQ's {'do not' if found['proved'] else 'may'}: {found['value']:.4g} +- {found['radius']:.0e}"
        )

    return _refuted("quadratic-layers", _tasks_of(quadratic_task, _QUADRATIC), results, why)


# --- released parameters -------------------------------------------------------------------------


def parameters_task(activation: str) -> dict[str, Any]:
    """By how much the released network misses the DEQ beside it, and the one that it is solved for."""
    solved_for = PAIRS[activation].accuracy_sigma_a2
    return {
        "solved for": solved_for,
        "error": released_difference(activation, solved_for, _WEIGHTS[0]),
        "own error": released_difference(activation, solved_for, solved_for),
    }


def _judge_parameters(plan: Plan, results: Results) -> list[Verdict]:
    verdicts = []
    for task in _tasks_of(parameters_task, tuple(PAIRS)):
        found, text = results[task.name], str(task.arguments["activation"])
        # A minimiser that failed on its own equations would say nothing of the variances.
        kind = VerdictKind.SUPPORTED if found["error"] <= _SOLVED else VerdictKind.REFUTED
        if found["own error"] > _SOLVED:
            kind = VerdictKind.UNDECIDED
        why = (
            f"solved for sigma_a^2 = {found['solved for']}, the network misses one of the four numbers of the DEQ, "
            f"which has {_WEIGHTS[0]}, by {found['error']:.2e}, and those that it is solved for by "
            f"{found['own error']:.0e}"
        )
        verdicts.append(Verdict("released-parameters", text, kind, why, activation=text))
    return verdicts


CHECKS = (
    Check(("plain-layers",), lambda plan: [_PLAIN], _judge_plain),
    Check(("layers-with-rates",), lambda plan: [_RATES], _judge_rates),
    Check(("leaky-pairs",), lambda plan: _tasks_of(leaky_task, _LEAKY), _judge_leaky),
    Check(("quadratic-layers",), lambda plan: _tasks_of(quadratic_task, _QUADRATIC), _judge_quadratic),
    Check(("released-parameters",), lambda plan: _tasks_of(parameters_task, tuple(PAIRS)), _judge_parameters),
)
