r"""The exported document: its sections, each of which also leaves fragments to \input, and its sources.

A new section is a function from an ``Export`` to LaTeX, added to ``SECTIONS`` or, where it needs more than the export,
given to ``latex_document``; what it passes through ``Export.fragment`` becomes a file of its own as well.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

import sympy as sp

from numerics.publish.paper.numbers import Subject, tables, values
from numerics.publish.paper.words import sentence
from theory.latex import COEFFICIENT_SYMBOLS, general_sets, inline, width

__all__ = ["SECTIONS", "Export", "Paper", "Section", "bibliography", "latex_document"]

_POINT = 100


@dataclass
class Paper:
    """What every exported document has: its form, and the fragments that its sections leave.

    Attributes:
        digits: significant digits, at most.
        line_width: of the text, in points.
        author: what made it.
        heading: comment that says what made a file and from what.
        fragments: LaTeX by name.
    """

    digits: int
    line_width: int
    author: str
    heading: str
    fragments: dict[str, str] = field(default_factory=dict, init=False)

    @property
    def available(self) -> int:
        """Width of the text in hundredths of a point."""
        return self.line_width * _POINT

    def fragment(self, name: str, body: str) -> str:
        r"""Keep a piece of LaTeX as a file to \input, and return it."""
        self.fragments[name] = f"{self.heading}{body}\n"
        return body

    def document(self, title: str, sections: Iterable[str]) -> str:
        """Return a whole document.

        Args:
            title: in LaTeX.
            sections: in order.
        """
        items = "\n".join(source.item() for source in _SOURCES)
        return "\n".join(
            [
                self.heading + r"\documentclass[10pt]{article}",
                r"\usepackage{amsmath,amssymb,booktabs}",
                rf"\usepackage[textwidth={self.line_width}pt,textheight=660pt]{{geometry}}",
                r"\allowdisplaybreaks[1]",
                r"\emergencystretch=3em",
                r"\makeatletter\setlength{\@fptop}{0pt}\setlength{\@fpsep}{1em}\makeatother",
                rf"\title{{{title}}}",
                rf"\author{{{self.author}}}",
                r"\date{}",
                r"\begin{document}",
                r"\maketitle",
                r"The theory is that of Ling et al.~\cite{Ling2024}, which extends that of explicit networks"
                r" \cite{Gu2022}; the numbers are certified in the ball arithmetic of Arb \cite{Johansson2017}.",
                "\n\n".join(sections),
                r"\begin{thebibliography}{9}",
                items,
                r"\end{thebibliography}",
                r"\end{document}",
                "",
            ]
        )


@dataclass
class Export(Paper):
    """Activations that are exported.

    Attributes:
        subjects: the activations.
        sigma_a2: exact variance of the recurrent weights.
        sigma_b2: exact variance of the input weights.
        tau0: exact input scale.
    """

    subjects: tuple[Subject, ...]
    sigma_a2: sp.Expr
    sigma_b2: sp.Expr
    tau0: sp.Expr

    @property
    def parameters(self) -> str:
        """The parameters in the running text."""
        named = ((r"\sigma_a^2", self.sigma_a2), (r"\sigma_b^2", self.sigma_b2), (r"\tau_0", self.tau0))
        first, second, third = (rf"${name} = {inline(value)}$" for name, value in named)
        return f"{first}, {second} and {third}"


# --- sections --------------------------------------------------------------------------------------------------------

_SETTING = r"""
The data are $n$ columns $x_i \in \mathbb{R}^p$ of $X$, drawn from a mixture of $K$ Gaussians:
$x_i = \mu_a/\sqrt{p} + w_i$ with $w_i \sim \mathcal{N}(0, C_a/p)$ for the $n_a$ members of class $a$. Write
<data>
$\psi_i = \|w_i\|^2 - \operatorname{tr} C_a/p$, and $J \in \{0,1\}^{n\times K}$ for the class indicators.
The deep equilibrium model of width $m$ is
<model>
with independent standard Gaussian entries in $A$ and $B$, and the activation is centred at equilibrium:
$\phi = \phi_0 - \mathbb{E}[\phi_0(\tau_*\xi)]$ with $\xi \sim \mathcal{N}(0,1)$. In the limit of infinite width its
conjugate kernel (CK) $G_*$ is the fixed point $G$ of
<kernel>
With $\dot G_{ij} = \mathbb{E}[\phi'(u_i)\phi'(u_j)]$ its neural tangent kernels (NTKs) are, entrywise,
<tangent>
The first is that of the readout and $A$ trained, the second that of the recursion written on pre-activations
\cite{FengKolter2023}, the third that of the readout, $A$ and $B$ trained."""

#: Displays of definitions: left side, relation, right side.
_Definitions = tuple[tuple[str, str, str], ...]
_DISPLAYS: dict[str, _Definitions] = {
    "data": (
        ("S", "=", r"X^\top X,"),
        (r"C^\circ", "=", r"\sum_{a=1}^{K} \frac{n_a}{n}\, C_a,"),
        (r"C_a^\circ", "=", r"C_a - C^\circ,"),
        (r"\tau_0", "=", r"\sqrt{\operatorname{tr} C^\circ/p},"),
        ("t_a", "=", r"\operatorname{tr} C_a^\circ/\sqrt{p},"),
        ("T_{ab}", "=", r"\operatorname{tr}(C_a C_b)/p,"),
    ),
    "model": (("h", "=", r"\phi\bigl(\sigma_a A h/\sqrt{m} + \sigma_b B x\bigr),"),),
    "kernel": (
        ("G_{ij}", "=", r"\mathbb{E}[\phi(u_i)\phi(u_j)],"),
        ("(u_i, u_j)", r"\sim", r"\mathcal{N}\bigl(0, (L_{kl})_{k,l \in \{i,j\}}\bigr),"),
        ("L", "=", r"\sigma_a^2 G + \sigma_b^2 S."),
    ),
    "tangent": (
        (r"K_{\mathrm{recurrent}}", "=", r"\frac{G}{1 - \sigma_a^2 \dot G},"),
        (r"K_{\mathrm{preactivation}}", "=", r"\frac{L}{1 - \sigma_a^2 \dot G},"),
        (r"K_{\mathrm{all}}", "=", r"G + \frac{L\,\dot G}{1 - \sigma_a^2 \dot G}."),
    ),
    "equivalents": (
        (
            r"\bar G",
            "=",
            r"\alpha_{*,1} S + V C V^\top + \bigl(\gamma_*^2 - \tau_0^2 \alpha_{*,1}\bigr) I_n,",
        ),
        (
            r"\bar K",
            "=",
            r"\beta_{*,1} S + V D V^\top + \bigl(\kappa_*^2 - \tau_0^2 \beta_{*,1}\bigr) I_n",
        ),
    ),
    "cores": (
        (
            "C",
            "=",
            r"\begin{pmatrix} \alpha_{*,2}\, t t^\top + \alpha_{*,3} T & \alpha_{*,2}\, t \\"
            r" \alpha_{*,2}\, t^\top & \alpha_{*,2} \end{pmatrix},",
        ),
        (
            "D",
            "=",
            r"\begin{pmatrix} \beta_{*,2}\, t t^\top + \beta_{*,3} T & \beta_{*,2}\, t \\"
            r" \beta_{*,2}\, t^\top & \beta_{*,2} \end{pmatrix}.",
        ),
    ),
}
#: Gap between the columns of a display.
_GAP = 1_500


def _display(name: str, available: int) -> str:
    """A display of definitions, in as many columns as fit, of at most three."""
    rows = _DISPLAYS[name]
    columns = max(count for count in (1, 2, 3) if count == 1 or _columns_width(rows, count) <= available)
    lines = [
        " & ".join(f"{left} &{sign} {right}" for left, sign, right in rows[start : start + columns])
        for start in range(0, len(rows), columns)
    ]
    return "\\begin{align*}\n" + " \\\\\n".join(lines) + "\n\\end{align*}"


def _columns_width(rows: _Definitions, count: int) -> int:
    sides = [width(left) + width(f"={right}") for left, _, right in rows]
    return sum(max(sides[column::count], default=0) for column in range(count)) + (count + 1) * _GAP


def _setting(export: Export) -> str:
    text = _SETTING.strip()
    for name in ("data", "model", "kernel", "tangent"):
        text = text.replace(f"<{name}>", _display(name, export.available))
    return "\\section{Setting}\n" + export.fragment("setting", text)


def _system(export: Export) -> str:
    sets = {name: each.latex(export.available) for name, each in general_sets().items()}
    shown = {name: export.fragment(name, text) for name, text in sets.items()}
    return "\n".join(
        [
            r"\section{System of equations}",
            r"The scale $\tau_*$ of the pre-activations at equilibrium solves",
            shown["equilibrium"],
            r"All moments below are taken at $\tau_*$, and derivatives are weak. With"
            r" $\gamma_*^2 = \operatorname{Var}[\phi_0(\tau_*\xi)] = \mathbb{E}[\phi(\tau_*\xi)^2]$,"
            r" the conjugate kernel depends on the activation through",
            shown["system"],
            r"In terms of the pre-activations' kernel $\sigma_a^2 G + \sigma_b^2 S$ the same system reads",
            shown["preactivation"],
            r"Given the moments, each equation is linear in its own unknown:",
            shown["solution"],
            r"The root $\tau_*$ is stable where the first of the following holds, the coefficients of the conjugate"
            r" kernel exist where the second does, and those of the neural tangent kernels where the third does:",
            shown["conditions"],
        ]
    )


def _equivalents(export: Export) -> str:
    equivalents, cores = (_display(name, export.available) for name in ("equivalents", "cores"))
    body = export.fragment("equivalents", f"{equivalents}\nwith $V = [J/\\sqrt{{p}},\\ \\psi]$ and\n{cores}")
    return "\n".join(
        [
            r"\section{Equivalents}",
            r"As $n, p \to \infty$ in proportion, $\|G_* - \bar G\| \to 0$ and $\|K_* - \bar K\| \to 0$ in operator"
            r" norm \cite{Ling2024}, where",
            body,
            r"Here $\bar K$ is that of the readout and $A$; the other two NTKs have equivalents of the same form, with"
            r" their own four numbers.",
        ]
    )


_NTK_TITLES = {
    "recurrent": "Readout and recurrent weights trained",
    "preactivation": "The recursion on pre-activations",
    "all": "Readout, recurrent and input weights trained",
}


def _tangent_kernels(export: Export) -> str:
    parts = [
        r"\section{Coefficients of the neural tangent kernels}",
        r"Of each kernel: the coefficient of $S$, that of the norms' fluctuations, that of the covariances' traces, and"
        r" the diagonal, in the places of $\beta_{*,1}$, $\beta_{*,2}$, $\beta_{*,3}$ and $\kappa_*^2$ above.",
    ]
    for kind, title in _NTK_TITLES.items():
        parts += [
            rf"\paragraph{{{title}.}}",
            export.fragments.get(f"ntk-{kind}", "").removeprefix(export.heading).strip(),
        ]
    return "\n".join(parts)


def _activations(export: Export) -> str:
    parts = [
        r"\section{Activations}",
        r"Of each activation: its moments at $\tau_*$, as closed forms where elementary ones exist and as expectations"
        r" over $\xi \sim \mathcal{N}(0,1)$ otherwise, and the system with the short moments written in."
        r" $\Phi$ is the distribution function of $\mathcal{N}(0,1)$.",
    ]
    for subject in export.subjects:
        parts.append(rf"\subsection*{{{subject.title}}}")
        if subject.note:
            parts.append(subject.note)
        parts.append(export.fragment(f"moments-{subject.slug}", subject.moments.latex(export.available)))
        system = export.fragment(f"system-{subject.slug}", subject.system.latex(export.available))
        # Not to be broken over pages: it is short.
        parts += [r"The system then reads", r"{\allowdisplaybreaks[0]%", f"{system}}}"]
    return "\n".join(parts)


def _constants(export: Export) -> str:
    parts = [
        r"\section{Constants}",
        rf"The numbers are for {export.parameters}. Every digit is certified: interval arithmetic encloses $\tau_*$,"
        r" proves it unique in its ball and encloses every coefficient, and each number is that ball's correctly"
        r" rounded decimal.",
        *_absences(export),
    ]
    found = tables(export.subjects, export.digits, export.available)
    for position, body in enumerate(found, start=1):
        shown = export.fragment(f"constants-{position}", body)
        part = f" ({position} of {len(found)})" if len(found) > 1 else ""
        parts += [
            r"\begin{table}[htbp]", r"\centering\small",
            rf"\caption{{Coefficients of the equivalents for {export.parameters}{part}.}}",
            rf"\label{{tab:deq-constants-{position}}}", r"\smallskip", shown, r"\end{table}",
        ]  # fmt: skip
    return "\n".join([*parts, r"\clearpage"])


def _absences(export: Export) -> Iterator[str]:
    """What the tables lack, and why."""
    if any(len(values(subject, export.digits)) < len(COEFFICIENT_SYMBOLS) for subject in export.subjects):
        yield "A dash stands for a number that does not exist or is not certified."
    for subject in export.subjects:
        solution = subject.solution
        if solution is None:
            yield f"{subject.title} has none. {sentence(subject.missing)}"
            continue
        if not solution.balls:
            yield f"None of those of {subject.title} is certified."
        if solution.ntk_missing:
            margin = solution.margins.get("ntk")
            reason = r"$\mathbb{E}[\phi'(\tau_*\xi)^2]$ is infinite"
            if margin is not None and margin > 1:
                reason = r"$\sigma_a^2\,\mathbb{E}[\phi'(\tau_*\xi)^2]$ is not below 1"
            yield f"{subject.title} has no NTK: {reason}."


Section = Callable[[Export], str]

#: The sections of every document, in order.
SECTIONS: tuple[Section, ...] = (
    _setting,
    _system,
    _equivalents,
    _tangent_kernels,
    _activations,
    _constants,
)

# --- the whole -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Source:
    """An entry of the bibliography: BibTeX kind, key and fields."""

    kind: str
    key: str
    fields: tuple[tuple[str, str], ...]

    def bibtex(self) -> str:
        rows = ",\n".join(f"  {name} = {{{value}}}" for name, value in self.fields)
        return f"@{self.kind}{{{self.key},\n{rows}\n}}\n"

    def item(self) -> str:
        known = dict(self.fields)
        where = [known[name] for name in ("booktitle", "note") if name in known]
        if "journal" in known:
            where.append(rf"\emph{{{known['journal']}}} {known['volume']}({known['number']}):{known['pages']}")
        authors = known["author"].replace(" and ", ", ")
        where.append(known["year"])
        return rf"\bibitem{{{self.key}}} {authors}. {_unbraced(known['title'])}. " + ", ".join(where) + "."


def _unbraced(text: str) -> str:
    """A title without the braces that keep BibTeX from changing its capitals."""
    return text.replace("{", "").replace("}", "")


_SOURCES = (
    _Source("inproceedings", "Ling2024", (
        ("author", "Zenan Ling and Longbo Li and Zhanbo Feng and Yixuan Zhang and Feng Zhou and Robert C. Qiu"
         " and Zhenyu Liao"),
        ("title", "Deep Equilibrium Models are Almost Equivalent to Not-so-deep Explicit Models for High-dimensional"
         " {Gaussian} Mixtures"),
        ("booktitle", "Proceedings of the 41st International Conference on Machine Learning"),
        ("note", "arXiv:2402.02697"),
        ("year", "2024"),
    )),
    _Source("inproceedings", "Gu2022", (
        ("author", "Lingyu Gu and Yongqi Du and Yuan Zhang and Di Xie and Shiliang Pu and Robert C. Qiu"
         " and Zhenyu Liao"),
        ("title", "{``Lossless''} Compression of Deep Neural Networks: A High-dimensional Neural Tangent Kernel"
         " Approach"),
        ("booktitle", "Advances in Neural Information Processing Systems 35"),
        ("note", "arXiv:2403.00258"),
        ("year", "2022"),
    )),
    _Source("article", "Johansson2017", (
        ("author", "Fredrik Johansson"),
        ("title", "{Arb}: Efficient Arbitrary-Precision Midpoint-Radius Interval Arithmetic"),
        ("journal", "IEEE Transactions on Computers"),
        ("volume", "66"),
        ("number", "8"),
        ("pages", "1281--1292"),
        ("year", "2017"),
    )),
    _Source("misc", "FengKolter2023", (
        ("author", "Zhili Feng and J. Zico Kolter"),
        ("title", "On the Neural Tangent Kernel of Equilibrium Models"),
        ("note", "arXiv:2310.14062"),
        ("year", "2023"),
    )),
)  # fmt: skip


def bibliography() -> str:
    """Return the sources as BibTeX."""
    return "\n".join(source.bibtex() for source in _SOURCES)


def latex_document(export: Export, more: Iterable[Section]) -> str:
    """Return the whole document, with more sections after ``SECTIONS``; the export then holds the fragments."""
    return export.document(
        r"High-dimensional kernels of deep equilibrium models:\\ equations, moments and constants",
        (section(export) for section in (*SECTIONS, *more)),
    )
