"""The ledger: every claim of the theory that this project checks, stated once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum, StrEnum
from html import escape
from typing import Any

__all__ = [
    "CLAIMS",
    "Claim",
    "RateVerdict",
    "Verdict",
    "VerdictKind",
]


class VerdictKind(Enum):
    """What the evidence says of a claim; the value is its name in files."""

    DERIVED = "derived"
    CERTIFIED = "certified"
    SUPPORTED = "supported"
    REFUTED = "refuted"
    UNDECIDED = "undecided"

    @property
    def meaning(self) -> str:
        """What the verdict means, in a sentence without its full stop."""
        return _MEANINGS[self]


_MEANINGS = {
    VerdictKind.DERIVED: "algebra decides: SymPy reaches both sides in different ways and their difference cancels to "
    "0 exactly",
    VerdictKind.CERTIFIED: "interval arithmetic proves it for these parameters: rounding is accounted for",
    VerdictKind.SUPPORTED: "statistics: the data are compatible with it, and the test would have noticed the errors "
    "named beside it, of which one at least is below 100 %; this is no proof, and it holds for the sizes that were run",
    VerdictKind.REFUTED: "counter-evidence beyond chance or by algebra; this is expected of the variants of released "
    "codes and where an assumption is broken on purpose",
    VerdictKind.UNDECIDED: "the evidence does not suffice; the sentence says what is missing",
}


class RateVerdict(StrEnum):
    """What errors over a ladder of sizes say of the rate that is claimed for them; the value is its name in files."""

    SUPPORTED = "supported"
    FASTER = "supported (faster than claimed)"
    REFUTED = "refuted"
    UNDECIDED = "undecided"
    UNCLAIMED = ""

    @property
    def meaning(self) -> str:
        """What the verdict means, in a sentence without its full stop."""
        return _RATE_MEANINGS[self]

    @property
    def kind(self) -> VerdictKind:
        """The verdict on a claim of the ledger that it makes.

        Raises:
            ValueError: nothing is claimed.
        """
        return VerdictKind(self.value.partition(" (")[0])


_RATE_MEANINGS = {
    RateVerdict.SUPPORTED: "the errors fall like the size to the power -1/2, with or without a term of next order, and "
    "a test that could have shown otherwise did not",
    RateVerdict.FASTER: "the errors fall faster than that, where no more was claimed than that they fall so fast",
    RateVerdict.REFUTED: "they do not: another rate, or a floor",
    RateVerdict.UNDECIDED: "too few sizes or draws to tell; the sentence says what is missing",
    RateVerdict.UNCLAIMED: "no rate is claimed for these errors",
}


@dataclass(frozen=True)
class Claim:
    """One statement of the theory, or of a code that implements it.

    Attributes:
        identifier: short name for the command line and files.
        title: the statement in a few words, for tables.
        statement: the statement in words.
        latex: the statement as LaTeX.
        assumptions: what it needs to hold.
        source: where it comes from.
        evidence: how it can be checked, in words.
        expected: the verdict that a correct theory gets.
    """

    identifier: str
    title: str
    statement: str
    latex: str
    assumptions: str
    source: str
    evidence: str
    expected: VerdictKind

    def __repr__(self) -> str:
        return f"Claim({self.identifier}: {self.title}, expected: {self.expected.value})"

    def record(self) -> dict[str, str]:
        """Return the claim as plain JSON values."""
        return {
            "id": self.identifier,
            "statement": self.statement,
            "latex": self.latex,
            "assumptions": self.assumptions,
            "source": self.source,
            "evidence": self.evidence,
            "expected": self.expected.value,
        }


@dataclass(frozen=True)
class Verdict:
    """What came out for a claim and one subject, such as an activation.

    Attributes:
        claim: identifier of the claim.
        subject: what it was checked on.
        kind: the verdict.
        evidence: one sentence with the figures that decide it.
        details: figures for reports: plain JSON values by name.
        activation: the one that it is about, or "" where it is about none or several.
    """

    claim: str
    subject: str
    kind: VerdictKind
    evidence: str
    details: Mapping[str, Any] = field(default_factory=dict)
    activation: str = ""

    @property
    def as_expected(self) -> bool:
        """Whether it is the verdict that a correct theory gets; False for what is no claim of the ledger."""
        return self.claim in CLAIMS and self.kind is CLAIMS[self.claim].expected

    def __repr__(self) -> str:
        expected = "as expected" if self.as_expected else "not as expected"
        subject = f" on {self.subject}" if self.subject else ""
        return f"Verdict({self.claim}{subject}: {self.kind.value}, {expected})\n  {self.evidence}"

    def _repr_html_(self) -> str:
        colour = "#009E73" if self.as_expected else "#D55E00"
        subject = f" on {self.subject}" if self.subject else ""
        statement = CLAIMS[self.claim].statement if self.claim in CLAIMS else ""
        return (
            f'<p><b style="color:{colour}">{self.kind.value}</b>: {escape(self.claim + subject)}</p>'
            f"<p>{escape(statement)}</p><p><small>{escape(self.evidence)}</small></p>"
        )


_MIXTURE = "Gaussian mixture, n/p fixed, ||C_a|| and ||mu_a|| bounded, tr(C_a - C°) = O(sqrt p)"
_STABLE = "sigma_a^2 d22/2 < 1"
_NTK = f"{_MIXTURE}; {_STABLE}; sigma_a^2 E[phi'^2] < 1"
_SHEET = "theory sheet, section {}"
_PAPER_2022 = "Model-Compression/Lossless_Compression (code of the NeurIPS 2022 paper); theory sheet, section 6"
_PAPER_2024 = "StephenLi24/INN_eqvi_ENN (code of the ICML 2024 paper); theory sheet, section 6"
_WITNESSES = (
    "exact kernels of random data at several p; limits of functionals that the operator norm bounds, tested against 0"
)
_RATE = "exact kernels of random data at several p; operator norms against p"
_WIDTH = "finite networks of several widths m against the exact kernel of the same data; operator norms against m"
_TRACES = (
    "networks that are drawn and solved at several p, their widths growing with it; traces of the resolvent less the "
    "law's, whose limits are tested against 0"
)
_LEARNED = (
    "readouts of random samples at several p; what they put out on fresh samples, and how well, less what is "
    "predicted: limits tested against 0"
)
_SYSTEM = (
    Claim(
        "equilibrium",
        "an equilibrium exists and is stable",
        "tau^2 = sigma_a^2 Var phi_0(tau xi) + sigma_b^2 tau_0^2 has a root tau_* reached from tau_0, unique in a "
        "ball, at which sigma_a^2 E[(phi^2)'']/2 and sigma_a^2 E[phi']^2 are below 1: the CK's coefficients exist",
        r"\tau_*^2 = \sigma_a^2 \operatorname{Var}[\phi_0(\tau_*\xi)] + \sigma_b^2 \tau_0^2,\quad "
        r"\tfrac12\sigma_a^2 \mathbb{E}[(\phi^2)''(\tau_*\xi)] < 1,\quad "
        r"\sigma_a^2 \mathbb{E}[\phi'(\tau_*\xi)]^2 < 1",
        "sigma_a^2 small enough for the activation",
        _SHEET.format("3 (well-posedness)"),
        "interval Newton test in Arb balls",
        VerdictKind.CERTIFIED,
    ),
    Claim(
        "stability",
        "a slope below 1 makes a root attract",
        "the right side of the tau equation has the derivative sigma_a^2 E[(phi^2)'']/2 with respect to tau^2: "
        "roots at which it is below 1 attract the iteration, the others repel it",
        r"\frac{d}{d\tau^2}\bigl(\sigma_a^2\operatorname{Var}[\phi_0(\tau\xi)]\bigr) "
        r"= \tfrac12\sigma_a^2\mathbb{E}[(\phi^2)''(\tau\xi)]",
        "the moments exist",
        _SHEET.format("3 (well-posedness)"),
        "heat equation, by SymPy on exponentials and closed forms; a bistable DEQ's roots, certified",
        VerdictKind.DERIVED,
    ),
    Claim(
        "system",
        "the CK's equations follow",
        "expanding the kernel's fixed-point recursion order by order in p^(-1/2) gives the four equations of alpha_1 "
        "to alpha_4 and the diagonal",
        r"\alpha_1 = d_1^2(\sigma_a^2\alpha_1+\sigma_b^2),\ \ldots,\ "
        r"\alpha_4 = \tfrac12\sigma_a^2 d_{22}\alpha_4 + \sigma_b^2",
        f"{_MIXTURE}; {_STABLE}",
        _SHEET.format("3"),
        "order-by-order expansion by SymPy, for unspecified moments",
        VerdictKind.DERIVED,
    ),
    Claim(
        "forms",
        "both forms of the system agree",
        "the post-activation and the pre-activation form of the system are the same: lambda_1 = sigma_a^2 alpha_1 "
        "+ sigma_b^2, lambda_2 = sigma_a^2 alpha_2, lambda_3 = sigma_a^2 alpha_3",
        r"\lambda_1 = \sigma_a^2\alpha_1 + \sigma_b^2,\quad (\lambda_2, \lambda_3) = \sigma_a^2 (\alpha_2, \alpha_3)",
        "none",
        _SHEET.format("3"),
        "algebra by SymPy",
        VerdictKind.DERIVED,
    ),
    Claim(
        "ntk-system",
        "the NTKs' coefficients follow",
        "expanding the entrywise formulas of the three NTKs gives their coefficients",
        r"\beta_1 = \alpha_1/D,\ \beta_2 = \alpha_2/D,\ "
        r"\beta_3 = \alpha_3/D + \sigma_a^2 d_2^2\alpha_1\lambda_1/D^2,\ D = 1-\sigma_a^2 d_1^2",
        _NTK,
        _SHEET.format("3"),
        "order-by-order expansion by SymPy",
        VerdictKind.DERIVED,
    ),
    Claim(
        "layers",
        "the layers' recursion follows",
        "expanding the kernel of an explicit network layer by layer gives the recursion of its CK's and NTK's "
        "coefficients",
        r"a_{l,1} = d_1^2 a_{l-1,1},\ a_{l,2} = d_1^2 a_{l-1,2} + \tfrac14 d_2^2 a_{l-1,4}^2,\ \ldots",
        _MIXTURE,
        _SHEET.format("4"),
        "order-by-order expansion by SymPy",
        VerdictKind.DERIVED,
    ),
    Claim(
        "tied-layers",
        "tied layers tend to the DEQ",
        "the coefficients of L weight-tied layers with input injection tend to the DEQ's geometrically in L, with the "
        "gains r = sigma_a^2 d22/2 and s = sigma_a^2 d1^2: errors are (A + B L) r^L + (C + D L) s^L to first "
        "order",
        r"a_{L,k} - \alpha_k = (A + B L)\, r^L + (C + D L)\, s^L,\quad r = \tfrac12\sigma_a^2 d_{22},\ "
        r"s = \sigma_a^2 d_1^2",
        _STABLE,
        _SHEET.format("4"),
        "the recursion iterated at many digits; the recurrence of its errors against the predicted gains",
        VerdictKind.SUPPORTED,
    ),
)
_KERNELS = (
    Claim(
        "ck-rate",
        "CK's error falls like p^(-1/2)",
        "the exact Implicit-CK G* of the data and its equivalent Gbar approach each other in operator norm at the "
        "rate p^(-1/2), up to a logarithm that the largest of the fluctuations delta_i brings",
        r"\|G_* - \bar G\| = \tilde O(p^{-1/2})",
        f"{_MIXTURE}; {_STABLE}",
        _SHEET.format("4"),
        _RATE,
        VerdictKind.SUPPORTED,
    ),
    Claim(
        "ck-slope",
        "CK's error has the slope -1/2",
        "with class means of norm 2, where the next order of the expansion is small, the slope of log error "
        "against log p, corrected for that order, is -1/2",
        r"\log\|G_* - \bar G\| = c - \tfrac12 \log p + O(p^{-1/2})",
        f"{_MIXTURE}; {_STABLE}",
        _SHEET.format("4"),
        _RATE,
        VerdictKind.SUPPORTED,
    ),
    *(
        Claim(
            identifier,
            f"{short} follows its equivalent",
            f"every coefficient of the equivalent of the {what} is right: no functional of the error that the operator "
            "norm bounds has a limit other than 0",
            rf"\operatorname{{tr}} M({symbol}_* - \bar {symbol}) \to 0 \text{{ for }} \|M\|_{{\mathrm{{tr}}}} \le 1",
            assumptions,
            _SHEET.format("4"),
            _WITNESSES,
            VerdictKind.SUPPORTED,
        )
        for identifier, short, what, symbol, assumptions in (
            ("ck", "CK", "Implicit-CK", "G", f"{_MIXTURE}; {_STABLE}"),
            ("ntk-recurrent", "recurrent NTK", "NTK of readout and recurrent weights", "K", _NTK),
            ("ntk-preactivation", "pre-activation NTK", "NTK of the recursion on pre-activations", "K", _NTK),
            ("ntk-all", "full NTK", "NTK of readout, recurrent and input weights", "K", _NTK),
            ("explicit-ck", "explicit CK", "CK of an explicit network of two layers", "G", _MIXTURE),
            ("explicit-ntk", "explicit NTK", "NTK of an explicit network of two layers", "K", _MIXTURE),
        )
    ),
)
_RATES = (
    Claim(
        "ntk-rate",
        "NTKs' errors fall like p^(-1/2)",
        "each exact NTK K* of the data and its equivalent Kbar approach each other in operator norm at the "
        "rate p^(-1/2)",
        r"\|K_* - \bar K\| = O(p^{-1/2})",
        _NTK,
        _SHEET.format("4"),
        _RATE,
        VerdictKind.SUPPORTED,
    ),
    Claim(
        "finite-width",
        "CK of m neurons: error like m^(-1/2)",
        "the CK of a DEQ of m neurons tends to the exact infinite-width CK G* of the same data at the rate m^(-1/2)",
        r"\|G_m - G_*\| = O(m^{-1/2})",
        f"{_STABLE}; Gaussian weights, tied over the iteration",
        _SHEET.format("2"),
        _WIDTH,
        VerdictKind.SUPPORTED,
    ),
    Claim(
        "ntk-parameters",
        "NTK of m neurons: error like m^(-1/2)",
        "the NTK from the exact implicit Jacobian of a DEQ of m neurons tends to K_recurrent when readout and A are "
        "trained, and to K_all when readout, A and B are",
        r"\|K_m - K_*\| = O(m^{-1/2})",
        f"{_STABLE}; sigma_a^2 E[phi'^2] < 1",
        _SHEET.format("2"),
        _WIDTH,
        VerdictKind.SUPPORTED,
    ),
    Claim(
        "universality-weights",
        "other laws of weights, same limit",
        "the limit of infinite width is the same for Rademacher and Student weights of the same variance",
        r"\|G_m - G_*\| = O(m^{-1/2})",
        f"{_STABLE}; independent weights with finite variance",
        _SHEET.format("1"),
        _WIDTH,
        VerdictKind.SUPPORTED,
    ),
    Claim(
        "universality-data",
        "other laws of noise, same equivalent",
        "the equivalent of the CK holds for Rademacher and Student noise with the same first two moments",
        r"\|G_* - \bar G\| = O(p^{-1/2})",
        f"{_MIXTURE.replace('Gaussian mixture', 'mixture with independent whitened entries')}; {_STABLE}",
        _SHEET.format("4"),
        _RATE,
        VerdictKind.SUPPORTED,
    ),
    Claim(
        "states-rate",
        "several states have equivalents",
        "the CK of each of several coupled states is near its equivalent, like p^(-1/2)",
        r"\|G_*^{(r)} - \bar G^{(r)}\| = O(p^{-1/2})",
        f"{_MIXTURE}; independent weights between the states, every state centred and without a bias",
        _SHEET.format("8"),
        _RATE,
        VerdictKind.SUPPORTED,
    ),
    Claim(
        "uncentred-rate",
        "so have biases and uncentred states",
        "with biases, and with activations that are not centred, the CK is near its equivalent about a limit of the "
        "entries off the diagonal, like p^(-1/2), several such states together included",
        r"\|G_* - \bar G\| = O(p^{-1/2}),\quad "
        r"\bar G = g_0 1 1^\top + g_S S + g_d(\delta 1^\top + 1 \delta^\top) + \ldots",
        f"{_MIXTURE}; the limits of the correlations are below 1",
        _SHEET.format("8"),
        f"{_RATE}; terms that are left out and norms that are replaced must be refuted",
        VerdictKind.SUPPORTED,
    ),
    Claim(
        "states-ntk-rate",
        "so have their NTKs",
        "the NTK of the state that is read out, of several coupled ones all of whose weights are trained, is near its "
        "equivalent, like p^(-1/2), with biases and uncentred states or without",
        r"\|K_* - \bar K\| = O(p^{-1/2}),\quad K_* = G_*^{(\mathrm{out})} + \sum_r B^{(r)} \circ L^{(r)},\quad "
        r"B^{(r)} = \dot G^{(r)} \circ \Bigl(1[r = \mathrm{out}] + \sum_q \sigma_{qr}^2 B^{(q)}\Bigr)",
        f"{_MIXTURE}; independent weights between the states; the gains of the NTK's recursion have "
        "a spectral radius below one",
        _SHEET.format("8"),
        f"{_RATE}; parts of the NTK that are left out must be refuted",
        VerdictKind.SUPPORTED,
    ),
)
_VARIANTS = (
    Claim(
        "variant-extra-diagonal",
        "released code of 2022: extra diagonal",
        "the identity's coefficient in Gbar is gamma_*^2 - tau_0^2 alpha_1 - tau_0^4 alpha_3",
        r"\bar G = \ldots + (\gamma_*^2 - \tau_0^2\alpha_1 - \tau_0^4\alpha_3) I",
        _MIXTURE,
        _PAPER_2022,
        _WITNESSES,
        VerdictKind.REFUTED,
    ),
    Claim(
        "variant-centred-T",
        "released code of 2024: centred T",
        "T is made from centred covariances, T_ab = tr(C_a° C_b°)/p",
        r"T_{ab} = \operatorname{tr}(C_a^\circ C_b^\circ)/p",
        _MIXTURE,
        _PAPER_2024,
        _WITNESSES,
        VerdictKind.REFUTED,
    ),
    Claim(
        "variant-elementwise-T",
        "released code of 2024: elementwise T",
        "T is made from the covariances' diagonals",
        r"T_{ab} = \tfrac1p\sum_i (C_a)_{ii} (C_b)_{ii}",
        f"{_MIXTURE}; covariances that are not diagonal",
        _PAPER_2024,
        _WITNESSES,
        VerdictKind.REFUTED,
    ),
    Claim(
        "tau0-reading",
        "tau_0 may be read in two ways",
        "tau_0^2 may be read as tr C°/p or as tr S/n: both equivalents converge, the second faster for ReLU",
        r"\tau_0^2 = \operatorname{tr} C^\circ/p \text{ or } \operatorname{tr} S/n",
        f"{_MIXTURE}; {_STABLE}",
        _SHEET.format("6"),
        _RATE,
        VerdictKind.SUPPORTED,
    ),
)
_SPECTRA = (
    Claim(
        "few-coefficients",
        "four numbers decide the CK",
        "the CK depends on the activation only through alpha_1, alpha_2, alpha_3 and gamma_*^2: the kernels of two "
        "very different activations with equal coefficients approach each other at the rate p^(-1/2)",
        r"\|G_*[\phi] - G_*[\tilde\phi]\| = \tilde O(p^{-1/2})",
        f"{_MIXTURE}; {_STABLE}",
        _SHEET.format("4"),
        "exact kernels of ReLU and of a quartic polynomial made to have the same coefficients; norms against p",
        VerdictKind.SUPPORTED,
    ),
    Claim(
        "bulk",
        "bulk of the spectrum as predicted",
        "the bulk of the CK's spectrum is the image of the sample covariance's law under x -> alpha_1 x + gamma_*^2 - "
        "tau_0^2 alpha_1",
        r"x \mapsto \alpha_1 x + \gamma_*^2 - \tau_0^2 \alpha_1",
        f"{_MIXTURE}; {_STABLE}",
        _SHEET.format("5"),
        "Kolmogorov distance of exact kernels' spectra from the law, against p",
        VerdictKind.SUPPORTED,
    ),
    Claim(
        "outliers",
        "isolated eigenvalues as predicted",
        "the CK's isolated eigenvalues are the roots of the determinant equation",
        r"\det(I + \Lambda\, U^\top Q(z) U/\alpha_1) = 0",
        f"{_MIXTURE}; {_STABLE}",
        _SHEET.format("5"),
        "isolated eigenvalues of exact kernels less their predictions at several p; the limits tested against 0",
        VerdictKind.SUPPORTED,
    ),
    Claim(
        "transition",
        "an eigenvalue leaves where predicted",
        "an eigenvalue leaves the bulk when the means' norm passes the predicted critical value, and not before",
        r"\|\mu\| > \|\mu\|_{\mathrm{crit}}",
        f"{_MIXTURE}; {_STABLE}",
        _SHEET.format("5"),
        "isolated eigenvalues of exact kernels counted on either side of the critical norm",
        VerdictKind.SUPPORTED,
    ),
    Claim(
        "width-law-explicit",
        "law of an explicit network's width",
        "where its layers' widths are of the order of n, the spectrum of an explicit network's CK has the law of a "
        "sample covariance whose population is the kernel below, layer by layer",
        r"\Sigma_l = a_l G_{l-1} + c_l I,\quad a_l = d_1^2,\quad c_l = \gamma_l^2 - d_1^2 \tau_l^2",
        f"{_MIXTURE}; independent weights; n over every width fixed",
        f"{_SHEET.format('9')}; Fan and Wang, NeurIPS 2020",
        _TRACES,
        VerdictKind.SUPPORTED,
    ),
    Claim(
        "width-law-deq",
        "law of a DEQ's width",
        "where the width M of a DEQ is of the order of n, the spectrum of its CK has the law of a linear network with "
        "noise, in which the same A acts at every step (a conjecture)",
        r"H = (I - s A/\sqrt M)^{-1} Y,\quad s = d_1 \sigma_a,\quad "
        r"\Sigma = d_1^2 \sigma_b^2 S + (\gamma_*^2 - d_1^2 \tau_*^2) I",
        f"{_MIXTURE}; {_STABLE}; n/M fixed",
        _SHEET.format("9"),
        f"{_TRACES}; wrong numbers of the linear network must be refuted",
        VerdictKind.SUPPORTED,
    ),
    Claim(
        "width-law-tied-differs",
        "tied weights have a law of their own",
        "at equal width a DEQ has not the spectrum of the explicit network with the same kernel of infinite width: the "
        "law of Marchenko and Pastur over Gbar is not that of its CK",
        r"H^\top H/M \not\sim \bar G^{1/2} Z^\top Z \bar G^{1/2}/M",
        f"{_MIXTURE}; {_STABLE}; n/M fixed; there are recurrent weights, and the activation is not even",
        _SHEET.format("9"),
        f"{_TRACES}: a limit that is not 0",
        VerdictKind.SUPPORTED,
    ),
    Claim(
        "width-law-universal",
        "other weights and solvers, same law",
        "the law of a DEQ's width is the same for Rademacher weights, and for states that are solved to a relative "
        "residual of 1e-3 only",
        r"A_{ij}, B_{ij} \in \{-1, 1\}",
        f"{_MIXTURE}; {_STABLE}; n/M fixed",
        _SHEET.format("9"),
        _TRACES,
        VerdictKind.SUPPORTED,
    ),
)
_LEARNING = (
    Claim(
        "learning-ck",
        "what ridge on the CK learns",
        "the outputs of ridge regression on the CK are Gaussian in every class, with means and variances that follow "
        "from the population, and so do its test and training errors",
        r"m_b = \alpha_1 \mu_b^\top X w/\sqrt p + \alpha_2 h_b + \alpha_3 (T J^\top w)_b/p,\quad "
        r"h_b = t_b\, \delta^\top w/\sqrt p",
        f"{_MIXTURE}; {_STABLE}; labels of the classes",
        f"{_SHEET.format('10')}; Liao and Couillet 2019; Mai and Liao 2024",
        f"{_LEARNED}; wrong theories must be refuted",
        VerdictKind.SUPPORTED,
    ),
    Claim(
        "learning-ntk",
        "what ridge and time on the NTK learn",
        "the same holds for ridge regression and for gradient flow up to a time on the NTK",
        r"\dot f = -\bar K (f - y)",
        f"{_NTK}; labels of the classes",
        f"{_SHEET.format('10')}; Liao and Couillet 2019; Mai and Liao 2024",
        f"{_LEARNED}; wrong theories must be refuted",
        VerdictKind.SUPPORTED,
    ),
    Claim(
        "learning-matched",
        "the matched network learns what a DEQ does",
        "the explicit network that matches has the test error of the DEQ, and one layer of the DEQ's activation has "
        "another",
        r"m_b^{\mathrm{explicit}} = m_b,\quad v_b^{\mathrm{explicit}} = v_b",
        f"{_MIXTURE}; {_STABLE}; an explicit network that matches exists",
        _SHEET.format("10"),
        "differences of what the two learn from the same samples; their limits tested against 0, and that of the other "
        "network against its own law",
        VerdictKind.SUPPORTED,
    ),
    Claim(
        "learning-features",
        "what ridge on a DEQ's features learns",
        "ridge regression on the features of a network whose width M is of the order of n has the errors of a linear "
        "network with noise, for a DEQ one in which the same A acts at every step (a conjecture)",
        r"H = (I - s A/\sqrt M)^{-1} Y,\quad \text{ridge on } H^\top H/M",
        f"{_MIXTURE}; {_STABLE}; sigma_a^2 E[phi'^2] < 1; n/M fixed; labels of the classes",
        _SHEET.format("9 and 10"),
        f"networks that are drawn and solved; {_LEARNED}",
        VerdictKind.SUPPORTED,
    ),
)
_LIMITS = (
    Claim(
        "limit-spike",
        "a spiked covariance does no harm",
        "a spike of bounded strength in a covariance leaves the CK's equivalent right",
        r"C_2 = (1 + 8/\sqrt p) I + 9\, e_1 e_1^\top",
        f"{_MIXTURE}; {_STABLE}",
        _SHEET.format("1"),
        _WITNESSES,
        VerdictKind.SUPPORTED,
    ),
    Claim(
        "limit-jump",
        "an activation may jump",
        "an activation with a jump has a CK with the same equivalent; its NTKs do not exist, as E[phi'^2] is infinite",
        r"\phi(x) = \operatorname{sgn}(x)",
        f"{_MIXTURE}; {_STABLE}",
        _SHEET.format("3"),
        _WITNESSES,
        VerdictKind.SUPPORTED,
    ),
    Claim(
        "limit-traces",
        "traces may differ by order p",
        "the CK's equivalent still holds where the classes' traces differ by order p",
        r"\operatorname{tr}(C_a - C^\circ) = \Theta(p)",
        "an assumption of the theory is broken on purpose",
        _SHEET.format("1"),
        _WITNESSES,
        VerdictKind.REFUTED,
    ),
    Claim(
        "limit-unstable",
        "past the fold: no equilibrium",
        "past the fold of the tau equation there is no equilibrium at all, and before it there is",
        r"\tfrac12\sigma_a^2 d_{22} = 1",
        "phi(x) = x + x^3/10, sigma_b^2 = 4/5, tau_0 = 1",
        _SHEET.format("3 (well-posedness)"),
        "the fold in a ball; every equilibrium isolated or excluded by interval arithmetic on either side of it",
        VerdictKind.CERTIFIED,
    ),
)
_LITERATURE = (
    Claim(
        "plain-layers",
        "two plain layers have every NTK",
        "every NTK of a DEQ is that of an explicit network of one or two hidden layers, all of whose weights are "
        "trained at one learning rate",
        r"\bar K_{\mathrm{DEQ}} = \bar K_{\mathrm{explicit}},\quad L \le 2",
        "tau_* exists; refuted: ReLU's recurrent NTK at sigma_a^2 = 1/5 has too little variance left of degree 3 and "
        "more",
        _SHEET.format("7"),
        "certified balls of the four numbers, and an inequality that every first layer fails",
        VerdictKind.REFUTED,
    ),
    Claim(
        "layers-with-rates",
        "one layer with two rates has the NTK",
        "one hidden layer, with a learning rate for its weights and another for its readout, has the four numbers k_1, "
        "k_2, k_3, k_0 of an NTK wherever k_3 >= 2 k_2 and k_0 >= k_1 + k_3 at tau_0 = 1",
        r"w_0 = (k_3/k_2 - 2)/4,\quad c_1^2 = k_1/(1 + w_0),\quad c_2^2 = 2 k_2,\quad "
        r"c_3^2 = (k_0 - k_1 - k_3)/(1 + 3 w_0)",
        "k_3 >= 2 k_2, which for a DEQ reads alpha_4^2 <= 3 lambda_1^2 or, for the recurrent NTK, alpha_4^2 <= "
        "lambda_1^2 + 2 sigma_a^2 alpha_1 lambda_1",
        _SHEET.format("7"),
        "the closed form put into the layer's recursion, by SymPy",
        VerdictKind.DERIVED,
    ),
    Claim(
        "leaky-pairs",
        "two leaky ReLUs stand for every DEQ",
        "every DEQ's CK is that of two layers of leaky ReLUs",
        r"\phi_l(x) = \max(a_l x, b_l x),\quad l = 1, 2",
        "refuted: swish and ELU at sigma_a^2 = 1/5; homogeneous activations such as ReLU have such pairs up to a "
        "threshold",
        "StephenLi24/INN_eqvi_ENN (code of the ICML 2024 paper); theory sheet, section 7",
        "certified balls of the four numbers against a linear relation that all such pairs satisfy",
        VerdictKind.REFUTED,
    ),
    Claim(
        "quadratic-layers",
        "two quadratic layers stand for any DEQ",
        "every DEQ's CK is that of two layers of quadratic polynomials",
        r"\phi_l(x) = a_l x + b_l x^2,\quad l = 1, 2",
        "refuted wherever the four numbers do not satisfy one polynomial relation, as for ReLU, tanh, swish, GELU and "
        "ELU at sigma_a^2 = 1/5",
        _SHEET.format("7"),
        "the relation by elimination (SymPy); certified balls put into it",
        VerdictKind.REFUTED,
    ),
    Claim(
        "released-parameters",
        "released parameters solve the DEQ",
        "the parameters of hard tanh and of leaky ReLUs in the released accuracy code solve the matching equations of "
        "the DEQs beside them, to 1e-4",
        r"|a_{L,k} - \alpha_k| \le 10^{-4}",
        "sigma_a^2 = 1/5 in the DEQs; refuted, as the parameters are solved for 3/10 (leaky ReLUs) and 1/10 (hard "
        "tanh)",
        "StephenLi24/INN_eqvi_ENN (code of the ICML 2024 paper), main.py",
        "the released minimisation repeated; its own equations must be solved",
        VerdictKind.REFUTED,
    ),
)
_DATA = "real data: Fashion-MNIST (classes 1 and 9) and MNIST (6 and 8), as far as they are on this machine"
_DRAWS = "exact kernels of samples drawn anew from the data; the mean relative error tested against a bound"
_REAL = (
    Claim(
        "real-gbar",
        "Gbar carries over to images",
        "on centred images Gbar is within 5 % of the CK's norm",
        r"\|G_* - \bar G\| \le 0.05 \|G_*\|",
        f"{_DATA}; refuted, as the means carry a share of the energy and classes of images have an effective dimension "
        "of some 10 and not of order p, so that the entrywise square of S does not average out to T",
        _SHEET.format("4"),
        _DRAWS,
        VerdictKind.REFUTED,
    ),
    Claim(
        "real-second-order",
        "entrywise equivalent holds on images",
        "on images of norm 1 the entrywise equivalent with the same coefficients, of second order, or of third for odd "
        "activations, is within 2 % of the CK's norm, and of its diagonal",
        r"\|G_* - \alpha_1 S - \alpha_3 S \circ S - \ldots\| \le 0.02 \|G_*\|",
        f"{_DATA}; centred, every sample scaled to norm 1",
        _SHEET.format("4, before T averages the squares"),
        f"{_DRAWS}, and so are wrong coefficients",
        VerdictKind.SUPPORTED,
    ),
    Claim(
        "real-design",
        "a designed network holds on images",
        "at sigma_a^2 = 4/5 and on images of norm 1, the matching network that is nearest has the CK of the DEQ within "
        "0.5 % of its norm, and is nearer than what needs no design",
        r"\|G_* - G_{\mathrm{explicit}}\| \le 0.005 \|G_*\|",
        f"{_DATA}; centred, every sample scaled to norm 1; an explicit network that matches exists",
        _SHEET.format("7"),
        f"{_DRAWS}; beside it the naive network, that times the best number, and the DEQ stopped after one and two "
        "steps",
        VerdictKind.SUPPORTED,
    ),
    Claim(
        "real-accuracy",
        "a designed network classifies as well",
        "at sigma_a^2 = 4/5 ridge classification with the matched network's exact kernel has the DEQ's accuracy within "
        "a quarter of a point, and disagrees on 0.5 % of the samples at most",
        r"|\mathrm{acc}_{\mathrm{DEQ}} - \mathrm{acc}_{\mathrm{explicit}}| \le 0.0025",
        "real data: Fashion-MNIST and MNIST, ten classes, as far as they are on this machine; every sample of norm 1",
        _SHEET.format("7"),
        "two one-sided tests on paired resamplings, with the naive network as a control that must fail",
        VerdictKind.SUPPORTED,
    ),
    Claim(
        "released-pairs",
        "released accuracy code: pairs match",
        "the DEQs of the released accuracy experiment and the explicit networks beside them have one CK: they are "
        "within 2 % of its norm",
        r"\|G_{\mathrm{DEQ}} - G_{\mathrm{explicit}}\| \le 0.02 \|G_{\mathrm{DEQ}}\|",
        "the released mixture in 784 dimensions, and images where they are on this machine; refuted, as the DEQ has "
        "sigma_a^2 = 0.2 and the networks are solved for 0.3 and 0.1, and their second layer is centred by the formula "
        "of hard tanh",
        "StephenLi24/INN_eqvi_ENN (code of the ICML 2024 paper), main.py",
        f"{_DRAWS}; the pair of one variance must pass the same test",
        VerdictKind.REFUTED,
    ),
)
CLAIMS: dict[str, Claim] = {
    claim.identifier: claim
    for claim in (*_SYSTEM, *_KERNELS, *_RATES, *_SPECTRA, *_LEARNING, *_VARIANTS, *_LIMITS, *_LITERATURE, *_REAL)
}
