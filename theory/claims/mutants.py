"""Wrong theories that no one thought of: every formula of the theory with one place of it changed.

The formulas are the SymPy expressions of ``theory.equations`` themselves: the equations of tau_*, alpha_k and lambda_k,
their solutions, the coefficients of the three NTKs with D = 1 - sigma_a^2 d1^2 and D_d = 1 - sigma_a^2 d_d, and the
terms of the equivalent.  In turn every sub-expression is dropped, doubled, halved or given the other sign, every symbol
is exchanged with every other of its kind, and every moment is taken at tau_0 instead of tau_*.

A changed formula is read like this.  In an equation the unknown is solved for, and every other quantity, one that was
exchanged for another among them, has its true value.  A wrong alpha_4, lambda_k, D or D_d goes on into the coefficients
of the kernel in which it is first needed.  So every wrong theory is wrong in one place, and says four numbers for one
kernel, how they enter its equivalent, and at which tau the moments are.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache
from math import prod
from types import MappingProxyType

import sympy as sp
from sympy.polys.polyerrors import CoercionFailed

from theory.claims.assembly import ASSEMBLY, NUMBERS, T_ab, t, t_a, t_b
from theory.claims.variants import AT_TAU_0, Theory, planted_errors, true_theory
from theory.equations import (
    ck_coefficients,
    ck_equations,
    ntk_coefficients,
    preactivation_coefficients,
    preactivation_equations,
    tau_equation,
)
from theory.kernels import PARTS, Kernel, KernelCoefficients
from theory.symbols import (
    alpha,
    d1,
    d2,
    d22,
    dd,
    gamma2,
    lambda_,
    mean,
    sigma_a2,
    sigma_b2,
    tau,
    tau_0,
    variance,
)

__all__ = [
    "EqualMutant",
    "Formula",
    "MutantCensus",
    "formulas",
    "generated_errors",
    "mutant_census",
    "mutations",
    "wrong_theories",
]

#: D = 1 - sigma_a^2 d1^2 and D_d = 1 - sigma_a^2 d_d.
_D, _D_d = sp.symbols("D D_d", positive=True)
_DENOMINATORS = {_D: 1 - sigma_a2 * d1**2, _D_d: 1 - sigma_a2 * dd}
#: Symbols that may be mistaken for one another.
_KINDS: tuple[tuple[sp.Symbol, ...], ...] = (
    (d1, d2, d22, dd, variance),
    (sigma_a2, sigma_b2),
    (tau, tau_0),
    (*alpha.values(), *lambda_.values()),
    (_D, _D_d),
    NUMBERS,
    (t_a, t_b, T_ab),
    (t,),
)
#: Of the fingerprints.
_PRIME = 2**61 - 1
_ORDINALS = ("first", "second", "third", "fourth", "fifth", "sixth")


@dataclass(frozen=True)
class Formula:
    """A formula of the theory.

    Attributes:
        name: short.
        kernel: on which its wrong versions are tried.
        expression: the formula, or the right side of the equation.
        theory: the theory that has another expression in its place.
    """

    name: str
    kernel: Kernel
    expression: sp.Expr
    theory: Callable[[sp.Expr], Theory]


@dataclass(frozen=True)
class EqualMutant:
    """A change that changes nothing.

    Attributes:
        identifier: what was changed.
        formula: name of the formula.
        reason: why it is equal to the truth.
    """

    identifier: str
    formula: str
    reason: str


@dataclass(frozen=True)
class MutantCensus:
    """All changes of all formulas.

    Attributes:
        generated: how many changes there are, by formula.
        wrong: the wrong theories, by name, every one once.
        merged: by the name of a change that makes a wrong theory again, the name of that theory.
        equal: changes that are equal to the truth.
        undefined: names of those that divide by 0.
    """

    generated: Mapping[str, int]
    wrong: Mapping[str, Theory]
    merged: Mapping[str, str]
    equal: tuple[EqualMutant, ...]
    undefined: tuple[str, ...]

    def theory(self, name: str) -> Theory:
        """Return the wrong theory that a change makes, whatever change it was named for.

        Raises:
            KeyError: there is no such change, or it makes no wrong theory.

        Example:
            >>> mutant_census().theory("beta_3: second term halved").identifier
            'beta_3: 1/D in the first term dropped'
        """
        return self.wrong[self.merged.get(name, name)]


# --- the formulas --------------------------------------------------------------------------------


@cache
def formulas() -> tuple[Formula, ...]:
    """Return the formulas that are changed, in the theory sheet's order.

    Example:
        >>> next(formula.expression for formula in formulas() if formula.name == "beta_3")
        alpha_3/D + alpha_1*d_2**2*lambda_1*sigma_a^2/D**2
    """
    return (*_equations(), *_solutions(), *_denominators(), *_tangents(), *_terms())


def _equations() -> Iterator[Formula]:
    true = true_theory(Kernel.CK)
    scale = tau_equation()
    yield Formula("equation of tau", Kernel.CK, scale.rhs, lambda wrong: replace(true, scale=wrong))
    for equations in (ck_equations(), preactivation_equations()):
        for key, equation in equations.items():
            finish = _finishing(key)
            name = f"equation of {equation.lhs}"
            yield Formula(name, _home(key), equation.rhs, _solving(equation.lhs, finish))


def _solutions() -> Iterator[Formula]:
    true = true_theory(Kernel.CK)
    for solved in (ck_coefficients(), preactivation_coefficients()):
        for key, expression in solved.items():
            yield Formula(_name(key), _home(key), _with_denominators(expression), _finishing(key))
    yield Formula("gamma_*^2", Kernel.CK, variance, lambda wrong: _with_part(true, "diagonal", wrong))


def _denominators() -> Iterator[Formula]:
    homes = {_D: Kernel.CK, _D_d: Kernel.NTK_RECURRENT}
    for symbol, expression in _DENOMINATORS.items():
        yield Formula(str(symbol), homes[symbol], expression, _dividing(homes[symbol], symbol))


def _tangents() -> Iterator[Formula]:
    names = {"kappa2": "kappa_*^2", "eta_diag": "eta's diagonal", "theta_diag": "theta's diagonal"}
    for kernel in Kernel:
        for part, key in zip(PARTS, kernel.keys, strict=True) if kernel.is_tangent else ():
            yield Formula(names.get(key, _name(key)), kernel, _tangent(kernel, part), _parting(kernel, part))


def _terms() -> Iterator[Formula]:
    true = true_theory(Kernel.CK)
    for place, expression in vars(ASSEMBLY).items():
        yield Formula(f"Gbar's {place}", Kernel.CK, expression, _assembling(true, place))


def _name(key: str) -> str:
    return f"{key[:-1]}_{key[-1]}"


def _home(key: str) -> Kernel:
    """The kernel in which alpha_k or lambda_k is first needed."""
    return Kernel.CK if key.startswith("alpha") else Kernel.NTK_PREACTIVATION


def _tangent(kernel: Kernel, part: str) -> sp.Expr:
    """A coefficient of an NTK as a sum over powers of 1/D."""
    return _by_powers(_with_denominators(getattr(ntk_coefficients(kernel.kind), part))).subs(gamma2, variance)


def _with_denominators(expression: sp.Expr) -> sp.Expr:
    known = {sign * value: sign * symbol for symbol, value in _DENOMINATORS.items() for sign in (1, -1)}
    return expression.xreplace(known)


def _by_powers(expression: sp.Expr) -> sp.Expr:
    """The expression with sigma_a^2 d1^2 = 1 - D in its numerator."""
    numerator, denominator = sp.fraction(sp.together(expression))
    others = sorted(numerator.free_symbols - {sigma_a2, d1}, key=str)
    _, rest = sp.reduced(numerator, [sigma_a2 * d1**2 + _D - 1], sigma_a2, d1, *others)
    return sp.expand(sp.expand(rest) / denominator)


@cache
def _known() -> dict[sp.Symbol, sp.Expr]:
    """alpha_k, lambda_k and the denominators in the moments."""
    named = {alpha[k]: ck_coefficients()[f"alpha{k}"] for k in alpha}
    return named | {lambda_[k]: preactivation_coefficients()[f"lambda{k}"] for k in lambda_} | _DENOMINATORS


def _with_part(theory: Theory, part: str, value: sp.Expr) -> Theory:
    changed = replace(theory.coefficients, **{part: value.xreplace(_known())})
    return replace(theory, coefficients=changed)


def _parting(kernel: Kernel, part: str) -> Callable[[sp.Expr], Theory]:
    return lambda wrong: _with_part(true_theory(kernel), part, wrong)


def _assembling(true: Theory, place: str) -> Callable[[sp.Expr], Theory]:
    return lambda wrong: replace(true, assembly=replace(true.assembly, **{place: wrong}))


def _dividing(kernel: Kernel, denominator: sp.Symbol) -> Callable[[sp.Expr], Theory]:
    """The kernel's theory with another value of D or D_d."""
    true = true_theory(kernel)
    if kernel.is_tangent:
        forms = KernelCoefficients(*(_tangent(kernel, part) for part in PARTS))
    else:
        forms = true.coefficients.map(_with_denominators)
    values = _known()
    parts = [part for part in PARTS if getattr(forms, part).has(denominator)]

    def changed(wrong: sp.Expr) -> Theory:
        found = {part: getattr(forms, part).xreplace(values | {denominator: wrong}) for part in parts}
        return replace(true, coefficients=replace(true.coefficients, **found))

    return changed


def _finishing(key: str) -> Callable[[sp.Expr], Theory]:
    """The theory that has another value of alpha_k or lambda_k."""
    kernel, index = _home(key), int(key[-1])
    if kernel is Kernel.CK and index < 4:
        return _parting(kernel, PARTS[index - 1])
    if kernel is Kernel.CK:
        return _responding
    forms = {part: _tangent(kernel, part) for part in PARTS}

    def changed(wrong: sp.Expr) -> Theory:
        values = _known() | {lambda_[index]: wrong.xreplace(_known())}
        found = {part: form.xreplace(values) for part, form in forms.items() if form.has(lambda_[index])}
        true = true_theory(kernel)
        return replace(true, coefficients=replace(true.coefficients, **found))

    return changed


def _responding(wrong: sp.Expr) -> Theory:
    """The CK's theory with another alpha_4, which only the equation of alpha_2 needs."""
    right = ck_equations()["alpha2"].rhs.xreplace({alpha[4]: wrong.xreplace(_known())})
    return _with_part(true_theory(Kernel.CK), "variance", _solved(alpha[2], right))


def _solving(unknown: sp.Symbol, finish: Callable[[sp.Expr], Theory]) -> Callable[[sp.Expr], Theory]:
    return lambda wrong: finish(_solved(unknown, wrong))


def _solved(unknown: sp.Symbol, right: sp.Expr) -> sp.Expr:
    """The unknown from unknown = right side, in which it is linear."""
    known = {symbol: value for symbol, value in _known().items() if symbol != unknown}
    gain, rest = sp.diff(right, unknown), right.xreplace({unknown: sp.S.Zero})
    return (rest / (1 - gain)).xreplace(known)


# --- their changes -------------------------------------------------------------------------------


def mutations(expression: sp.Expr) -> Iterator[tuple[str, sp.Expr]]:
    """Yield what is changed and the expression with that change, the outermost places first.

    Exchanged symbols alpha_k and lambda_k come as their values in the moments: in an equation they are not the unknown.

    Example:
        >>> from theory.symbols import tau, tau_0
        >>> list(mutations(tau))[-2:]
        [('the whole with the other sign', -tau), ('tau_0 for tau', tau_0)]
    """
    for place in _places(expression, "", ""):
        yield from ((f"{place.name} {change}", place.put(value)) for change, value in _changes(place))
        yield from _exchanges(place)


@dataclass(frozen=True)
class _Place:
    """A sub-expression, what it is called, which larger one it is in, and what puts another in its place."""

    node: sp.Expr
    name: str
    inside: str
    put: Callable[[sp.Expr | None], sp.Expr]


def _changes(place: _Place) -> Iterator[tuple[str, sp.Expr | None]]:
    yield "dropped", None
    yield "doubled", 2 * place.node
    yield "halved", place.node / 2
    yield "with the other sign", -place.node


def _exchanges(place: _Place) -> Iterator[tuple[str, sp.Expr]]:
    """The symbol at a place for each of its kind, and a moment at tau_0."""
    kind = next((kind for kind in _KINDS if place.node in kind), ())
    values = _known()
    for other in kind:
        if other != place.node:
            value = values[other] if other in alpha.values() or other in lambda_.values() else other
            yield f"{other} for {place.node}{place.inside}", place.put(value)
    if place.node in AT_TAU_0:
        yield f"{place.node} at tau_0{place.inside}", place.put(AT_TAU_0[place.node])


def _places(node: sp.Expr, name: str, inside: str) -> Iterator[_Place]:
    """The sub-expressions from the outermost to the innermost."""
    yield _Place(node, name or "the whole", inside, lambda value: sp.S.Zero if value is None else value)
    for position, label, within in _parts(node, name, inside):
        for place in _places(node.args[position], label, within):
            yield replace(place, put=_putting(node, position, place))


def _putting(node: sp.Expr, position: int, place: _Place) -> Callable[[sp.Expr | None], sp.Expr]:
    """What puts a value for the inner place into the outer expression."""
    whole = place.node is node.args[position]

    def put(value: sp.Expr | None) -> sp.Expr:
        before, after = node.args[:position], node.args[position + 1 :]
        if value is None and whole:
            return _without(node, before, after)
        return node.func(*before, place.put(value), *after)

    return put


def _without(node: sp.Expr, before: tuple[sp.Expr, ...], after: tuple[sp.Expr, ...]) -> sp.Expr:
    """A sum or product without one part; a power without its exponent is its base, and without its base 1."""
    if isinstance(node, sp.Pow):
        return before[0] if before else sp.S.One
    return node.func(*before, *after)


def _parts(node: sp.Expr, name: str, inside: str) -> Iterator[tuple[int, str, str]]:
    """Position, name and surroundings of the parts of a sum, product or power, short ones first."""
    order = sorted(range(len(node.args)), key=lambda k: (sp.count_ops(node.args[k]), str(node.args[k])))
    of = f" of {name}" if name and isinstance(node, sp.Add) else ""
    for rank, position in enumerate(order):
        part = node.args[position]
        if isinstance(node, sp.Add):
            label = f"{_ORDINALS[rank]} term{of}{'' if of else inside}"
            yield position, label, f" in the {label}"
        elif isinstance(node, sp.Pow) and position == 1:
            yield position, f"exponent {part} of {node.base}{inside}", inside
        else:
            yield position, f"{part}{inside}", inside


# --- which of them are wrong ---------------------------------------------------------------------


@cache
def mutant_census() -> MutantCensus:
    """Generate the changes, merge what is the same wrong theory, and prove what is equal to the truth.

    Example:
        >>> [one.reason for one in mutant_census().equal if one.formula == "D"]
        ['the normal forms of the expressions are the same']
    """
    generated: Counter[str] = Counter()
    found: dict[tuple[object, ...], list[Theory]] = {}
    merged: dict[str, str] = {}
    equal: list[EqualMutant] = []
    undefined: list[str] = []
    for formula in formulas():
        for name, expression in mutations(formula.expression):
            generated[formula.name] += 1
            theory = _named(formula, f"{formula.name}: {name}", expression)
            if theory is None:
                undefined.append(f"{formula.name}: {name}")
            elif reason := _equal_to_truth(theory):
                equal.append(EqualMutant(theory.identifier, formula.name, reason))
            elif (twin := _twin(theory, found)) is not theory:
                merged[theory.identifier] = twin.identifier
    wrong = {theory.identifier: theory for theories in found.values() for theory in theories}
    return MutantCensus(
        MappingProxyType(dict(generated)),
        MappingProxyType(wrong),
        MappingProxyType(merged),
        tuple(equal),
        tuple(undefined),
    )


def _twin(theory: Theory, found: dict[tuple[object, ...], list[Theory]]) -> Theory:
    """The theory among those found that says the same; this one, added to them, where there is none."""
    alike = found.setdefault(_fingerprint(theory), [])
    twin = next((other for other in alike if _same(theory, other)), None)
    if twin is None:
        alike.append(theory)
    return twin or theory


def generated_errors() -> Mapping[str, Theory]:
    """Wrong theories that differ from the truth in one place of one formula, every one once.

    Example:
        >>> generated_errors()["beta_3: second term dropped"].kernel.value
        'ntk-recurrent'
    """
    return mutant_census().wrong


@cache
def wrong_theories() -> Mapping[str, Theory]:
    """Return every wrong theory of the equivalents: those that are made, after the planted ones that no change makes.

    Example:
        >>> "alpha_2 absent" in wrong_theories(), "centred-T" in wrong_theories()
        (False, True)
    """
    alike: dict[tuple[object, ...], list[Theory]] = {}
    for theory in generated_errors().values():
        alike.setdefault(_fingerprint(theory), []).append(theory)
    kept = {
        name: theory
        for name, theory in planted_errors().items()
        if theory.statistics or not any(_same(theory, other) for other in alike.get(_fingerprint(theory), ()))
    }
    return MappingProxyType(kept | dict(generated_errors()))


def _named(formula: Formula, identifier: str, expression: sp.Expr) -> Theory | None:
    """The wrong theory, or None where it divides by 0."""
    wrong = formula.theory(expression)
    if any(part.has(sp.zoo, sp.nan) for part in _expressions(wrong)):
        return None
    return replace(wrong, identifier=identifier, description=f"{formula.name} = {expression}", source="generated")


def _expressions(theory: Theory) -> tuple[sp.Expr, ...]:
    """Everything that a theory says."""
    return (*theory.coefficients, theory.scale, *vars(theory.assembly).values())


def _equal_to_truth(theory: Theory) -> str:
    """Why a theory is the true one, or an empty text where it is not."""
    true = true_theory(theory.kernel)
    if _fingerprint(theory) == _fingerprint(true) and _same(theory, true):
        return "the normal forms of the expressions are the same"
    if any(part.has(tau) for part in theory.coefficients) and theory.scale == true.scale:
        settled, right = _settled(theory), _settled(true)
        if _fingerprint(settled) == _fingerprint(right) and _same(settled, right):
            return "the normal forms are the same where the equation of tau holds"
    return ""


def _settled(theory: Theory) -> Theory:
    """The theory with tau^2 from the equation of tau."""
    return replace(theory, coefficients=theory.coefficients.map(lambda one: one.subs(tau**2, tau_equation().rhs)))


def _same(theory: Theory, other: Theory) -> bool:
    """Whether two theories are equal: SymPy's proof."""
    pairs = zip(_expressions(theory), _expressions(other), strict=True)
    return all(one == two or _normal(one) == _normal(two) for one, two in pairs)


@cache
def _normal(expression: sp.Expr) -> object:
    """The quotient of coprime polynomials; where a halved exponent leaves a root, the expression as it is."""
    try:
        return sp.QQ.frac_field(*_symbols()).from_sympy(expression)
    except (CoercionFailed, ValueError):
        return expression


@cache
def _symbols() -> tuple[sp.Symbol, ...]:
    """What the expressions of theories are made of."""
    kept = (symbol for kind in _KINDS for symbol in kind if symbol not in _known())
    return (*kept, *AT_TAU_0.values(), mean)


def _fingerprint(theory: Theory) -> tuple[object, ...]:
    """A theory's values modulo a prime: equal for equal theories, and hardly ever for others."""
    return (theory.kernel, *map(_residue, _expressions(theory)))


@cache
def _residue(expression: sp.Expr) -> int:
    """The value modulo a prime where the symbols are other primes; roots as some power."""
    if isinstance(expression, sp.Symbol):
        return int(sp.prime(50 + _symbols().index(expression)))
    if isinstance(expression, sp.Rational):
        return int(expression.p) * pow(int(expression.q), -1, _PRIME) % _PRIME
    values = [_residue(part) for part in expression.args]
    if isinstance(expression, sp.Add):
        return sum(values) % _PRIME
    if isinstance(expression, sp.Mul):
        return prod(values) % _PRIME
    # A root has some value that the same base and exponent give again.
    exponent = int(expression.exp) if expression.exp.is_Integer else values[1] % (_PRIME - 1)
    return pow(values[0], exponent, _PRIME)
