r"""The exported document of one cell of several states: its equations, and every state's certified constants."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sympy as sp

from numerics.arithmetic import proved_decimal, radius_text
from numerics.equilibrium import CertifiedStates
from numerics.publish.paper.document import Paper
from numerics.publish.paper.numbers import macro_lines, macro_name, tabulars
from numerics.publish.paper.words import escaped
from theory.equations import CoupledDEQ, State
from theory.latex import (
    CENTRED_SYMBOLS,
    GENERAL_SYMBOLS,
    Equation,
    EquationSet,
    coupled_sets,
    inline,
    name_long_constants,
    script,
    width,
    with_normal_cdf,
)

__all__ = ["CellExport", "cell_document", "cell_macros", "cell_record"]

#: Rows of the table, by group.
_CENTRED_GROUPS = (
    ("tau", "gamma2"),
    ("alpha1", "alpha2", "alpha3", "alpha4"),
    ("lambda1", "lambda2", "lambda3"),
)
_GENERAL_GROUPS = (("tau", "q", "diagonal"), ("g0", "gS", "gd", "gdd", "gSS", "ge"))
_DIGITS = ("Zero", "One", "Two", "Three", "Four", "Five", "Six", "Seven", "Eight", "Nine")
#: Columns that amsmath's matrices have room for.
_MOST_COLUMNS = 10
#: Widths of the gap between a matrix's columns, and of what stands round it (hundredths of a point).
_MATRIX_GAP, _MATRIX_FRAME = 1_000, 5_000


@dataclass
class CellExport(Paper):
    """A cell that is exported.

    Attributes:
        solution: its certified numbers.
    """

    solution: CertifiedStates

    @property
    def cell(self) -> CoupledDEQ:
        """The cell."""
        return self.solution.cell

    @property
    def centred(self) -> bool:
        """Whether section 3 has the numbers of every state."""
        return all(self.cell.decorrelated)

    @property
    def symbols(self) -> Mapping[str, str]:
        """LaTeX of the numbers that are exported, by key."""
        return CENTRED_SYMBOLS if self.centred else GENERAL_SYMBOLS

    def decimals(self, state: int) -> dict[str, str]:
        """Return the digits of a state's numbers that are proved, by key."""
        balls = self.solution.states[state]
        found = {}
        for key in self.symbols:
            try:
                found[key] = proved_decimal(balls[key], self.digits)
            except ValueError:
                continue
        return found


def cell_document(export: CellExport) -> str:
    """Return the whole document; the export then holds the fragments."""
    sections = (_cell, _system, _equivalent, _constants)
    title = r"High-dimensional kernels of a deep equilibrium model:\\ equations and constants"
    return export.document(title, (section(export) for section in sections))


def cell_macros(export: CellExport, prefix: str) -> str:
    """Return one command for every certified number, its name begun with a prefix."""
    states = range(len(export.cell.states))
    return "".join(macro_lines(f"state {r}", _suffix(r), export.decimals(r), prefix) for r in states)


def cell_record(export: CellExport, prefix: str) -> list[dict[str, Any]]:
    """Return every state's numbers with their radii and macros (begun with a prefix)."""
    records = []
    for r, state in enumerate(export.cell.states):
        found = export.decimals(r)
        records.append(
            {
                "activation": state.activation.name,
                "expression": str(state.activation.expr),
                "sigma_b2": str(state.sigma_b2),
                "sigma_c2": str(state.sigma_c2),
                "centred": state.centred,
                "values": found,
                "radius": {key: radius_text(export.solution.states[r][key]) for key in found},
                "macros": {key: macro_name(key, _suffix(r), prefix) for key in found},
            }
        )
    return records


def _suffix(state: int) -> str:
    """A state's name in macros, letters only."""
    return "State" + "".join(_DIGITS[int(digit)] for digit in str(state))


# --- sections --------------------------------------------------------------------------------------------------------

_SETTING = r"""
The data are $n$ columns $x_i \in \mathbb{R}^p$ of $X$, drawn from a mixture of $K$ Gaussians:
$x_i = \mu_a/\sqrt{p} + w_i$ with $w_i \sim \mathcal{N}(0, C_a/p)$ for the $n_a$ members of class $a$, and
$S = X^\top X$. With $C^\circ = \sum_a n_a C_a/n$ the scale is $\tau_0 = \sqrt{\operatorname{tr} C^\circ/p}$. The cell
is
\begin{align*}
u^{(r)} &= \sum_s \frac{\sigma_{rs}}{\sqrt{m_s}} A_{rs} h^{(s)} + \sigma_{b,r} B_r x + \sigma_{c,r} b_r, \\
h^{(r)} &= \phi_r(u^{(r)}),
\end{align*}
with independent standard Gaussian entries in all $A_{rs}$, $B_r$ and $b_r$, and state <readout> read out. In the limit
of infinite widths the kernels are the fixed point of
\begin{align*}
L^{(r)} &= \sum_s \sigma_{rs}^2 G^{(s)} + \sigma_{b,r}^2 S + \sigma_{c,r}^2 1 1^\top, \\
G^{(r)}_{ij} &= \mathbb{E}[\phi_r(u_i)\phi_r(u_j)], \quad u \sim \mathcal{N}(0, L^{(r)}).
\end{align*}"""


def _cell(export: CellExport) -> str:
    cell = export.cell
    setting = _SETTING.strip().replace("<readout>", str(cell.readout))
    body = "\n".join([*_weights(cell, export.available), *_activations(cell, export.available)])
    return "\n".join(["\\section{The cell}", export.fragment("setting", setting), export.fragment("cell", body)])


def _weights(cell: CoupledDEQ, available: int) -> list[str]:
    """The variances, as matrices where these fit, and in a list otherwise."""
    vectors = {letter: [getattr(state, f"sigma_{letter}2") for state in cell.states] for letter in "bc"}
    shown = [(r"\sigma_{rs}^2", [list(map(inline, row)) for row in cell.sigma_a2])]
    shown += [
        (rf"\sigma_{{{letter},r}}^2", [[inline(value)] for value in vector]) for letter, vector in vectors.items()
    ]
    intro = rf"At $\tau_0 = {inline(cell.tau0)}$ the variances are"
    needed = sum(_MATRIX_FRAME + width(name) + _matrix_width(rows) for name, rows in shown)
    if needed <= available and len(cell.states) <= _MOST_COLUMNS:
        matrices = (
            rf"({name}) = \begin{{pmatrix}} " + r" \\ ".join(map(" & ".join, rows)) + r" \end{pmatrix}"
            for name, rows in shown
        )
        return [intro, "\\[\n" + ", \\quad\n".join(matrices) + ".\n\\]"]
    entries = {f"{r},{s}": value for r, row in enumerate(cell.sigma_a2) for s, value in enumerate(row)}
    entries |= {f"{letter},{r}": value for letter, vector in vectors.items() for r, value in enumerate(vector)}
    listed = [rf"$\sigma_{{{index}}}^2 = {inline(value)}$" for index, value in entries.items() if value != 0]
    return [intro, ",\n".join(listed) + ", and 0 otherwise."]


def _matrix_width(rows: Sequence[Sequence[str]]) -> int:
    columns = zip(*rows, strict=True)
    return sum(_MATRIX_GAP + max(map(width, column)) for column in columns)


def _activations(cell: CoupledDEQ, available: int) -> list[str]:
    written: list[Equation] = []
    constants: dict[sp.Symbol, sp.Rational] = {}
    for r, state in enumerate(cell.states):
        named, values = name_long_constants(state.activation)
        own = {name: sp.Symbol(f"c_{{{r},{k}}}", positive=True) for k, name in enumerate(values, start=1)}
        constants |= {own[name]: value for name, value in values.items()}
        written.append(Equation(f"f_{script(str(r))}(x)", with_normal_cdf(named.expr.xreplace(own))))
    display = EquationSet("activations", tuple(written), constants=constants, end="," if constants else ".")
    kinds = {
        True: r"$\phi_r = f_r - \mathbb{E}[f_r(\tau_r\xi)]$ with $\xi \sim \mathcal{N}(0,1)$, centred at equilibrium",
        False: r"$\phi_r = f_r$",
    }
    groups = {flag: [r for r, state in enumerate(cell.states) if state.centred is flag] for flag in kinds}
    clauses = [
        text if len(groups[flag]) == len(cell.states) else f"{text}, for {_counted(groups[flag])}"
        for flag, text in kinds.items()
        if groups[flag]
    ]
    return ["The activations are " + "; and ".join(clauses) + "; here", display.latex(available)]


def _counted(states: list[int]) -> str:
    return ("states " if len(states) > 1 else "state ") + ", ".join(map(str, states))


def _system(export: CellExport) -> str:
    sets = {name: each.latex(export.available) for name, each in coupled_sets(centred=export.centred).items()}
    shown = {name.removeprefix("coupled-"): export.fragment(name, text) for name, text in sets.items()}
    limits = "" if export.centred else (
        r" The expansion is about these limits $q_r$ of $L^{(r)}_{ij}$ off the diagonal, and $(u,v)$ are normal of"
        r" variance $\tau_r^2$ and covariance $q_r$. $F_{a,r}$, $F_{l,r}$ and so on are the derivatives of $F_r$ by a"
        r" variance and by the covariance."
    )  # fmt: skip
    preactivations = (
        r"The same coefficients of $L^{(r)}$ are $\lambda_{1,r}$, $\lambda_{2,r}$ and $\lambda_{3,r}$, and"
        r" $\lambda_{4,r} = \alpha_{4,r}$ is the response of $\tau_i^2$ to $\|x_i\|^2$"
        if export.centred
        else r"The same coefficients of $L^{(r)}$ are $l_{S,r}$ and so on, and"
        r" $\tau_i^2 = \tau_r^2 + l_{4,r}\delta_i + l_{5,r}\delta_i^2$ with $\delta_i = \|x_i\|^2 - \tau_0^2$"
    )
    tau, slope = _radius("V_{1,s}"), _radius("d_{1,s}^2" if export.centred else "F_{l,s}")
    return "\n".join(
        [
            r"\section{System of equations}",
            rf"The scales{'' if export.centred else ' and the limits'} solve",
            shown["equilibrium"],
            rf"Derivatives are weak.{limits} With",
            shown["moments"],
            r"the coefficients of the conjugate kernel $G^{(r)}$ are",
            shown["kernel"],
            f"{preactivations}. There the states meet:",
            shown["preactivation"],
            "Each of these is linear in its own unknowns once those above are known.",
            rf"The solution is stable where {tau} is below 1, and the coefficients exist where {slope} is;"
            rf" here these are {_margin(export, 'tau')} and {_margin(export, 'ck')}.",
        ]
    )


def _radius(factor: str) -> str:
    return rf"the spectral radius of $(\sigma_{{rs}}^2 {factor})$"


def _margin(export: CellExport, key: str) -> str:
    try:
        return f"${proved_decimal(export.solution.margins[key], min(export.digits, 6))}$"
    except ValueError:
        return "proved to be below 1"


_CENTRED_EQUIVALENT = r"""
As $n, p \to \infty$ in proportion, $\|G^{(r)} - \bar G^{(r)}\| \to 0$ in operator norm, where
\begin{align*}
\bar G^{(r)} &= \alpha_{1,r} S + V C_r V^\top + \bigl(\gamma_r^2 - \tau_0^2 \alpha_{1,r}\bigr) I_n, \\
C_r &= \begin{pmatrix} \alpha_{2,r}\, t t^\top + \alpha_{3,r} T & \alpha_{2,r}\, t \\ \alpha_{2,r}\, t^\top &
\alpha_{2,r} \end{pmatrix},
\end{align*}
with $V = [J/\sqrt{p},\ \psi]$, the class indicators $J \in \{0,1\}^{n\times K}$, $\psi_i = \|w_i\|^2 -
\operatorname{tr} C_a/p$, $t_a = \operatorname{tr} (C_a - C^\circ)/\sqrt{p}$ and $T_{ab} = \operatorname{tr}(C_a
C_b)/p$."""
_GENERAL_EQUIVALENT = r"""
As $n, p \to \infty$ in proportion, $\|G^{(r)} - \bar G^{(r)}\| \to 0$ in operator norm, where
\begin{align*}
\bar G^{(r)} &= g_{0,r} 1 1^\top + g_{S,r} S + g_{d,r} (\delta 1^\top + 1 \delta^\top) \\
&\quad + g_{dd,r}\, \delta\delta^\top + \frac{g_{SS,r}}{p} J T J^\top \\
&\quad + g_{e,r} \bigl(1 (\delta^2)^\top + \delta^2 1^\top\bigr) \\
&\quad + \bigl(\mathbb{E}[\phi_r(\tau_r\xi)^2] - g_{0,r} - \tau_0^2 g_{S,r}\bigr) I_n,
\end{align*}
with $g_{0,r} = F_r$, $\delta_i = \|x_i\|^2 - \tau_0^2$, its entrywise square $\delta^2$, the class indicators $J \in
\{0,1\}^{n\times K}$ and $T_{ab} = \operatorname{tr}(C_a C_b)/p$."""


def _equivalent(export: CellExport) -> str:
    body = (_CENTRED_EQUIVALENT if export.centred else _GENERAL_EQUIVALENT).strip()
    return "\n".join([r"\section{Equivalents}", export.fragment("equivalents", body)])


def _constants(export: CellExport) -> str:
    reached = "It is proved" if export.solution.followed else "It is not proved"
    limits = "" if export.centred else " and the limits"
    parts = [
        r"\section{Constants}",
        r"Every digit is certified: interval arithmetic encloses the scales"
        rf"{limits}, proves them unique in their balls and encloses every"
        r" coefficient, and each number is that ball's correctly rounded decimal."
        rf" {reached} that iteration from $\tau_r = \tau_0$ tends to this solution.",
    ]
    columns = [(f"state {r}: {_short(state)}", export.decimals(r)) for r, state in enumerate(export.cell.states)]
    groups = _CENTRED_GROUPS if export.centred else _GENERAL_GROUPS
    found = tabulars(columns, groups, export.symbols, export.available)
    for position, body in enumerate(found, start=1):
        shown = export.fragment(f"constants-{position}", body)
        part = f" ({position} of {len(found)})" if len(found) > 1 else ""
        parts += [
            r"\begin{table}[htbp]", r"\centering\small", rf"\caption{{Coefficients of the equivalents{part}.}}",
            rf"\label{{tab:deq-constants-{position}}}", r"\smallskip", shown, r"\end{table}",
        ]  # fmt: skip
    return "\n".join(parts)


def _short(state: State) -> str:
    name = state.activation.name
    return escaped(name) if name.isidentifier() and name != "x" else "custom"
