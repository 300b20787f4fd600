"""Where the coefficients come from: the kernels' recursions expanded order by order in epsilon = p^{-1/2}.

Theory sheet, sections 2 and 4.  The recursions, entry by entry, of an unspecified activation centred at tau_*:

  conjugate kernel   G = E[phi(u_i) phi(u_j)],  u ~ N(0, L),  L = sigma_a^2 G + sigma_b^2 S   (DEQ: a fixed point)
  tangent kernels    K = G + sigma_a^2 Gdot K  (readout and A trained),  P = L + sigma_a^2 Gdot P  (on preactivations),
                     G + Gdot P  (readout, A and B trained),             Gdot = E[phi'(u_i) phi'(u_j)]
  one layer          G_l of L = w_a G_{l-1} + w_b S,  K_l = G_l + Gdot_l (w_a K_{l-1} + w_b S)

An ansatz with every symmetric monomial of S_ij, delta_i, delta_j up to order 2 and unknown coefficients is put into the
recursion and the orders are matched.  No monomial is left out beforehand: that the coefficients of delta_i + delta_j
and delta_i^2 + delta_j^2 vanish (such a matrix has norm sqrt(n) or 1, nothing would make it small) is found, and an
``ExpansionError`` otherwise; of every other monomial that the equivalents do not contain, it is said by which
operator-norm argument it may be dropped.  A fixed point is expanded about correlations that vanish with epsilon: it is
the one that the iteration from h = 0 tends to, and the only one where sigma_a^2 E[phi'^2] < 1.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from functools import cache
from types import MappingProxyType

import sympy as sp

from theory.equations.orders import (
    BASIS,
    GRAM,
    ORDER,
    EntrySeries,
    ExpansionError,
    S_ij,
    coefficient,
    delta_i,
    delta_j,
    dual,
    epsilon,
)
from theory.kernels import PARTS, Kernel, KernelCoefficients
from theory.symbols import alpha, gamma2, lambda_, sigma_a2, sigma_b2, tau, variance

__all__ = [
    "PREVIOUS_LAYER",
    "DroppedTerm",
    "Expansion",
    "LayerExpansion",
    "NormArgument",
    "T_ii",
    "T_ij",
    "expand_ck",
    "expand_layer",
    "expand_ntk",
    "expand_preactivation",
    "norm_i",
    "norm_j",
]

#: T_ab of the classes a, b of samples i, j, and T_aa.
T_ij, T_ii = sp.symbols("T_ij T_ii", real=True)
#: What the equivalents read for delta_i: t_a/sqrt(p) + psi_i.
norm_i, norm_j = sp.symbols("n_i n_j", real=True)
_SUM, _SQUARES, _CROSS = delta_i + delta_j, delta_i**2 + delta_j**2, S_ij * (delta_i + delta_j)
_LINEAR, _VARIANCE, _SQUARE = S_ij, delta_i * delta_j, S_ij**2


class NormArgument(Enum):
    """Why a matrix with small entries is small in operator norm: how many orders its norm loses to its entries."""

    #: A diagonal matrix has the norm of its largest entry.
    DIAGONAL = (
        0,
        "a diagonal matrix has the norm of its largest entry (over n Gaussian samples the largest delta_i is "
        "sqrt(2 log n) times its standard deviation, a factor that the orders in epsilon leave out)",
    )
    #: diag(delta) S + S diag(delta).
    DIAGONAL_FACTOR = (
        1,
        "entries S_ij delta_i are diag(delta) S: a diagonal matrix of norm O(epsilon) times S, whose norm is bounded",
    )
    #: S_ij^2 about its mean T_ab/p.
    HADAMARD_SQUARE = (
        1,
        "off the diagonal S_ij^2 concentrates on T_ab/p, a matrix of low rank: the deviation is the Gram matrix of n "
        "nearly uncorrelated quadratic features of dimension p(p + 1)/2, of norm O(sqrt(n)/p), and a mean over one "
        "sample given the other with entries O(epsilon^3)",
    )
    #: Nothing but the size of the entries.
    FROBENIUS = (2, "the operator norm is at most the Frobenius norm, n epsilon^k for entries of order k")

    def __init__(self, loss: int, text: str) -> None:
        self.loss = loss
        self.text = text


@dataclass(frozen=True)
class DroppedTerm:
    """A difference between the exact kernel and its equivalent that vanishes in operator norm.

    Attributes:
        term: the entry (i, j) (entry (i, i) where ``argument`` is DIAGONAL), with its coefficient.
        order: order of the entry in epsilon.
        argument: why the matrix of such entries is small.
    """

    term: sp.Expr
    order: int
    argument: NormArgument

    @property
    def norm_order(self) -> int:
        """Order of the operator norm in epsilon."""
        return self.order - self.argument.loss


@dataclass(frozen=True)
class Expansion:
    """A kernel's entries to order epsilon^2, the equations of their coefficients and what its equivalent drops.

    Attributes:
        kernel: the entries, in the coefficients' symbols or values.
        equations: by name, the equation that fixes each coefficient, those of dropped terms included.
        vanishing: by monomial, the homogeneous linear equation that makes its coefficient zero; the kernel does not
            contain them.
        dropped: everything by which the kernel differs from its equivalent.
    """

    kernel: EntrySeries
    equations: Mapping[str, sp.Eq]
    vanishing: Mapping[sp.Expr, sp.Eq]
    dropped: tuple[DroppedTerm, ...]

    @property
    def coefficients(self) -> KernelCoefficients[sp.Expr]:
        """The coefficients of the kernel's equivalent; ``diagonal`` is the diagonal entries' limit."""
        linear, norms, square = (coefficient(self.kernel.off_diagonal, term) for term in (_LINEAR, _VARIANCE, _SQUARE))
        return KernelCoefficients(linear, norms, square, coefficient(self.kernel.diagonal, sp.S.One))

    @property
    def cross(self) -> sp.Expr:
        """Coefficient of S_ij (delta_i + delta_j), which is dropped."""
        return coefficient(self.kernel.off_diagonal, _CROSS)


@dataclass(frozen=True)
class LayerExpansion:
    """One layer of an explicit network, in terms of ``PREVIOUS_LAYER``.

    Attributes:
        ck: the layer's conjugate kernel.
        ntk: its tangent kernel.
        scale2: variance of the preactivations, tau^2 at which the layer's moments are taken and its phi is centred.
    """

    ck: Expansion
    ntk: Expansion
    scale2: sp.Expr


def _ansatz(names: Mapping[sp.Expr, sp.Symbol]) -> sp.Expr:
    return sp.Add(*(symbol * term for term, symbol in names.items()))


def _with_unknowns(letter: str, kept: Mapping[sp.Expr, sp.Symbol]) -> dict[sp.Expr, sp.Symbol]:
    """A coefficient for every term of the basis; those that the theory does not name get a name here."""
    others = {_SUM: "sum", _SQUARES: "squares", _CROSS: "cross"}
    return {term: kept.get(term) or sp.Symbol(rf"{letter}_{others[term]}", real=True) for term in BASIS}


def _on_diagonal(letters: tuple[sp.Expr, ...]) -> sp.Expr:
    return sp.Add(*(symbol * delta_i**k for k, symbol in enumerate(letters)))


def _matched(
    unknowns: Mapping[sp.Expr, sp.Symbol], image: sp.Expr
) -> tuple[dict[sp.Expr, sp.Eq], dict[sp.Expr, sp.Eq]]:
    """Match the ansatz with its image under the recursion, order by order.

    Returns:
        The equations of the coefficients that remain, and of those that vanish, by monomial.

    Raises:
        ExpansionError: the image has a term of order 0, or one that no argument makes small does not vanish.
    """
    constant = coefficient(image, sp.S.One)
    if constant != 0:
        raise ExpansionError(f"the entries off the diagonal tend to {constant}, not to 0")
    zero: dict[sp.Symbol, sp.Expr] = {}
    vanishing: dict[sp.Expr, sp.Eq] = {}
    for term in (_SUM, _SQUARES):
        unknown = unknowns[term]
        value = sp.factor(coefficient(image, term).subs(zero))
        residual = sp.Poly(unknown - value, unknown)
        if residual.degree() != 1 or residual.coeff_monomial(1) != 0:
            raise ExpansionError(f"the coefficient of {term} does not vanish: it solves {unknown} = {value}")
        vanishing[term] = sp.Eq(unknown, value)
        zero[unknown] = sp.S.Zero
    return {
        term: sp.Eq(unknown, coefficient(image, term).subs(zero))
        for term, unknown in unknowns.items()
        if term not in vanishing
    }, vanishing


def _dropped(kernel: EntrySeries) -> tuple[DroppedTerm, ...]:
    """The difference between a kernel and its equivalent, term by term."""
    linear, variance_, square, cross = (
        coefficient(kernel.off_diagonal, term) for term in (_LINEAR, _VARIANCE, _SQUARE, _CROSS)
    )
    equivalent_diagonal = linear * GRAM.diagonal + variance_ * delta_i**2
    on_diagonal = kernel.diagonal - equivalent_diagonal
    terms = [
        DroppedTerm(cross * _CROSS, 2, NormArgument.DIAGONAL_FACTOR),
        DroppedTerm(square * (_SQUARE - epsilon**2 * T_ij), 2, NormArgument.HADAMARD_SQUARE),
        DroppedTerm(variance_ * (_VARIANCE - norm_i * norm_j), 3, NormArgument.FROBENIUS),
        DroppedTerm(coefficient(on_diagonal, delta_i) * delta_i, 1, NormArgument.DIAGONAL),
        DroppedTerm(
            coefficient(on_diagonal, delta_i**2) * delta_i**2 - square * epsilon**2 * T_ii, 2, NormArgument.DIAGONAL
        ),
    ]
    remainder = DroppedTerm(sp.Order(epsilon ** (ORDER + 1)), ORDER + 1, NormArgument.FROBENIUS)
    return (*(entry for entry in terms if entry.term != 0), remainder)


def _expansion(kernel: EntrySeries, equations: Mapping[str, sp.Eq], vanishing: Mapping[sp.Expr, sp.Eq]) -> Expansion:
    return Expansion(kernel, MappingProxyType(dict(equations)), MappingProxyType(dict(vanishing)), _dropped(kernel))


# --- the DEQ -------------------------------------------------------------------------------------

_ALPHA = _with_unknowns("alpha", {_LINEAR: alpha[1], _VARIANCE: alpha[2], _SQUARE: alpha[3]})
_LAMBDA = _with_unknowns("lambda", {_LINEAR: lambda_[1], _VARIANCE: lambda_[2], _SQUARE: lambda_[3]})
_NAMES = {_LINEAR: "1", _VARIANCE: "2", _SQUARE: "3", _CROSS: "_cross"}
#: tau_i^2 = L_ii = tau_*^2 + alpha_4 delta_i + alpha_5 delta_i^2.
_SCALES = (tau**2, alpha[4], sp.Symbol("alpha_5", real=True))


def _diagonal_equations(diagonal: sp.Expr) -> dict[str, sp.Eq]:
    """Match tau_i^2 with sigma_a^2 E[phi(u_i)^2] + sigma_b^2 ||x_i||^2."""
    image = sigma_a2 * diagonal + sigma_b2 * GRAM.diagonal
    return {
        name: sp.Eq(scale, coefficient(image, delta_i**k))
        for k, (name, scale) in enumerate(zip(("tau", "alpha4", "alpha5"), _SCALES, strict=True))
    }


@cache
def expand_ck() -> Expansion:
    """Expand the fixed point G = E[phi(u_i) phi(u_j)], u ~ N(0, sigma_a^2 G + sigma_b^2 S): the equations of alpha.

    The equations are named tau, gamma2, alpha1 .. alpha5 and alpha_cross; alpha5 and alpha_cross are of dropped terms.

    Example:
        >>> [str(term) for term in expand_ck().vanishing]
        ['delta_i + delta_j', 'delta_i**2 + delta_j**2']
    """
    preactivation = EntrySeries(sigma_a2 * _ansatz(_ALPHA) + sigma_b2 * S_ij, _on_diagonal(_SCALES))
    image = dual(preactivation)
    matched, vanishing = _matched(_ALPHA, image.off_diagonal)
    equations = _diagonal_equations(image.diagonal) | {"gamma2": sp.Eq(gamma2, coefficient(image.diagonal, sp.S.One))}
    equations |= {f"alpha{_NAMES[term]}": equation for term, equation in matched.items()}
    off_diagonal = _ansatz({term: _ALPHA[term] for term in matched})
    return _expansion(EntrySeries(off_diagonal, image.diagonal.subs(variance, gamma2)), equations, vanishing)


@cache
def expand_preactivation() -> Expansion:
    """Expand the same fixed point written on preactivations, L = sigma_a^2 E[phi(u_i) phi(u_j)] + sigma_b^2 S.

    The equations are named tau, alpha4, alpha5 (those of the diagonal), lambda1 .. lambda3 and lambda_cross.
    """
    kernel = EntrySeries(_ansatz(_LAMBDA), _on_diagonal(_SCALES))
    moments = dual(kernel)
    image = moments.scaled(sigma_a2) + GRAM.scaled(sigma_b2)
    matched, vanishing = _matched(_LAMBDA, image.off_diagonal)
    equations = _diagonal_equations(moments.diagonal)
    equations |= {f"lambda{_NAMES[term]}": equation for term, equation in matched.items()}
    return _expansion(
        EntrySeries(_ansatz({term: _LAMBDA[term] for term in matched}), kernel.diagonal), equations, vanishing
    )


_BETA = _with_unknowns(
    "beta", {term: sp.Symbol(f"beta_{_NAMES[term]}", real=True) for term in _NAMES if term != _CROSS}
)
#: The NTK's diagonal, K_ii = kappa^2 + beta_4 delta_i + beta_5 delta_i^2.
_BETA_DIAGONAL = (sp.Symbol("kappa^2", real=True), *sp.symbols("beta_4:6", real=True))
_NTK_NAMES = dict(zip((_LINEAR, _VARIANCE, _SQUARE), PARTS, strict=False)) | {_CROSS: "cross"}
_NTK_DIAGONAL_NAMES = ("diagonal", "diagonal_slope", "diagonal_curvature")


def _tangent_fixed_point(source: EntrySeries, slopes: EntrySeries) -> Expansion:
    """Expand K = source + sigma_a^2 slopes K and solve for its coefficients, which enter linearly, in turn."""
    ansatz = EntrySeries(_ansatz(_BETA), _on_diagonal(_BETA_DIAGONAL))
    image = source + slopes.hadamard(ansatz).scaled(sigma_a2)
    matched, vanishing = _matched(_BETA, image.off_diagonal)
    equations = {_NTK_NAMES[term]: equation for term, equation in matched.items()}
    equations |= {
        name: sp.Eq(unknown, coefficient(image.diagonal, delta_i**k))
        for k, (name, unknown) in enumerate(zip(_NTK_DIAGONAL_NAMES, _BETA_DIAGONAL, strict=True))
    }
    solved: dict[sp.Symbol, sp.Expr] = {}
    # The basis ascends in order, so that what an equation needs is known by then.
    for equation in equations.values():
        unknown = equation.lhs
        image = sp.Poly(equation.rhs, unknown)
        gain, rest = (image.coeff_monomial(unknown**k) for k in (1, 0))
        solved[unknown] = rest.subs(solved) / (1 - gain)
    off_diagonal = sp.Add(*(solved[_BETA[term]] * term for term in matched))
    diagonal = _on_diagonal(tuple(solved[unknown] for unknown in _BETA_DIAGONAL))
    return _expansion(EntrySeries(off_diagonal, diagonal), equations, vanishing)


@cache
def expand_ntk(kind: str) -> Expansion:
    """Expand an NTK of the DEQ: its coefficients in terms of alpha, lambda, gamma_*^2 and the moments.

    The equations are named linear, variance, square and diagonal, and, of dropped terms, cross, diagonal_slope and
    diagonal_curvature.

    Args:
        kind: ``"recurrent"`` (K = G + sigma_a^2 Gdot K, readout and A trained), ``"preactivation"``
            (P = L + sigma_a^2 Gdot P) or ``"all"`` (G + Gdot P, readout, A and B trained).

    Raises:
        UnknownKernelError: another kind.

    Example:
        >>> expand_ntk("recurrent").coefficients.linear
        -alpha_1/(d_1**2*sigma_a^2 - 1)
    """
    which = Kernel.ntk(kind)
    ck, gram = expand_ck().kernel, expand_preactivation().kernel
    slopes = dual(gram, derivative=1)
    match which:
        case Kernel.CK:  # no kind of NTK
            return expand_ck()
        case Kernel.NTK_RECURRENT:
            return _tangent_fixed_point(ck, slopes)
        case Kernel.NTK_PREACTIVATION:
            return _tangent_fixed_point(gram, slopes)
        case Kernel.NTK_ALL:
            return _trained_everywhere(ck, gram, slopes)


def _trained_everywhere(ck: EntrySeries, gram: EntrySeries, slopes: EntrySeries) -> Expansion:
    """Expand G + Gdot P, P the fixed point on pre-activations."""
    kernel = ck + slopes.hadamard(_tangent_fixed_point(gram, slopes).kernel)
    matched, vanishing = _matched(_BETA, kernel.off_diagonal)
    equations = {_NTK_NAMES[term]: equation for term, equation in matched.items()}
    equations |= {
        name: sp.Eq(symbol, coefficient(kernel.diagonal, delta_i**k))
        for k, (name, symbol) in enumerate(zip(_NTK_DIAGONAL_NAMES, _BETA_DIAGONAL, strict=True))
    }
    return _expansion(kernel, equations, vanishing)


# --- explicit networks ---------------------------------------------------------------------------


def _layer_symbols(layer: str) -> dict[str, sp.Symbol]:
    """tau2, a1 .. a5, a_cross and kappa2, b1 .. b5, b_cross of a layer; numbers 4 and 5 stand on the diagonal."""
    parts = ("1", "2", "3", "4", "5", "_cross")
    named = {f"{letter}{k}": f"{letter}_{{{layer},{k.strip('_')}}}" for letter in "ab" for k in parts}
    named |= {"tau2": rf"tau_{{{layer}}}^2", "kappa2": rf"kappa_{{{layer}}}^2"}
    return {name: sp.Symbol(text, real=True) for name, text in named.items()}


#: The coefficients of the layer before, by name: CK tau2, a1 .. a5, a_cross; NTK kappa2, b1 .. b5, b_cross.
PREVIOUS_LAYER: Mapping[str, sp.Symbol] = MappingProxyType(_layer_symbols("l-1"))
_LAYER = _layer_symbols("l")


def _layer_series(symbols: Mapping[str, sp.Symbol], letter: str, diagonal: str) -> EntrySeries:
    return EntrySeries(
        sp.Add(*(symbols[letter + name] * term for term, name in _NAMES.items())),
        _on_diagonal((symbols[diagonal], symbols[f"{letter}4"], symbols[f"{letter}5"])),
    )


def _layer_expansion(image: EntrySeries, letter: str, diagonal: str) -> Expansion:
    """Read a layer's coefficients off its entries."""
    unknowns = _with_unknowns(letter, {term: _LAYER[letter + name] for term, name in _NAMES.items()})
    matched, vanishing = _matched(unknowns, image.off_diagonal)
    equations = {letter + _NAMES[term]: equation for term, equation in matched.items()}
    for k, name in enumerate((diagonal, f"{letter}4", f"{letter}5")):
        equations[name] = sp.Eq(_LAYER[name], coefficient(image.diagonal, delta_i**k))
    return _expansion(image, equations, vanishing)


@cache
def expand_layer(
    weight_a: sp.Expr = sp.S.One,
    weight_b: sp.Expr = sp.S.Zero,
    *,
    input_weights_trained: bool = True,
    rate: sp.Expr = sp.S.One,
) -> LayerExpansion:
    """Expand one layer: G_l of L = w_a G_{l-1} + w_b S, and K_l = r_l G_l + Gdot_l (w_a K_{l-1} + w_b S).

    The defaults are a layer of a plain explicit network.  A layer of a weight-tied network with input injection, the
    DEQ's iteration, has w_a = sigma_a^2 and w_b = sigma_b^2 (the gradients at different depths are uncorrelated in the
    limit of infinite width, so that tying the weights adds no term to the NTK).

    Args:
        weight_a: variance of the weights between the layers, w_a.
        weight_b: variance of the weights from the input, w_b.
        input_weights_trained: whether these count in the NTK; without them, w_b S is absent from K_l.
        rate: learning rate r_l of the weights on the layer's output.

    Example:
        >>> expand_layer().ck.coefficients.square
        a_{l-1,1}**2*d_2**2/2 + a_{l-1,3}*d_1**2
    """
    previous_ck = _layer_series(PREVIOUS_LAYER, "a", "tau2")
    previous_ntk = _layer_series(PREVIOUS_LAYER, "b", "kappa2")
    preactivation = previous_ck.scaled(weight_a) + GRAM.scaled(weight_b)
    ck = dual(preactivation)
    slopes = dual(preactivation, derivative=1)
    tangent = previous_ntk.scaled(weight_a) + GRAM.scaled(weight_b if input_weights_trained else sp.S.Zero)
    return LayerExpansion(
        ck=_layer_expansion(ck, "a", "tau2"),
        ntk=_layer_expansion(ck.scaled(rate) + slopes.hadamard(tangent), "b", "kappa2"),
        scale2=coefficient(preactivation.diagonal, sp.S.One),
    )
