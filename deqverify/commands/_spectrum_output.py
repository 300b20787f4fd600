"""What the command spectrum shows of a law and the spectra measured against it: a table, a picture, a JSON record."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from deqverify.commands import _figures, _layout, _outputs

if TYPE_CHECKING:
    import argparse

    from rich.console import Console

    from numerics.experiments import MeasuredSpectrum, OutlierSummary
    from numerics.spectrum import LawOfKernel
    from theory.activations import Activation

__all__ = ["Comparison"]

#: Points at which the JSON gives the density.
_POINTS = 400
#: Isolated eigenvalues shown that are not predicted: a narrow network has many.
_UNEXPECTED = 6
_DISTANCES = ("ks_distance", "levy_distance", "wasserstein_distance", "opnorm_error")
#: Options that the JSON repeats.
_KEPT = (
    *("p", "ratio", "sigma_a2", "sigma_b2", "means", "cov_shift", "classes", "kernel", "seed", "draws"),
    *("noise", "proportions", "width", "weights"),
)


@dataclass(frozen=True)
class Comparison:
    """A law and what was measured.

    Attributes:
        arguments: the options of the command.
        activation: of the DEQ.
        law: predicted.
        draws: measured, one for each draw of the data.
        summary: isolated eigenvalues over the draws.
    """

    arguments: argparse.Namespace
    activation: Activation
    law: LawOfKernel
    draws: list[MeasuredSpectrum]
    summary: OutlierSummary

    @property
    def estimated(self) -> bool:
        """Whether the spectra were estimated by Lanczos rather than computed."""
        return self.draws[0].estimate is not None

    @property
    def title(self) -> str:
        """One line: what this is the spectrum of."""
        given = self.arguments
        network = "" if given.width is None else f" of {given.width} neurons"
        return (
            f"{self.activation.name}, {given.kernel.upper()}{network}: p = {given.p}, n = "
            f"{self.law.population.samples}, K = {given.classes}, σa² = {given.sigma_a2:g}, σb² = {given.sigma_b2:g}"
        )

    @property
    def details(self) -> str:
        """One more line, of the data's options that are not the default; often empty."""
        given, shapes = self.arguments, [shape.text for shape in self.arguments.covariance]
        parts = [] if set(shapes) == {"isotropic"} else [f"covariance {', '.join(shapes)}"]
        parts += [] if given.proportions is None else [f"classes of {', '.join(map(str, self._sizes))} samples"]
        parts += [f"{given.noise} noise"] if given.noise != "gaussian" else []
        parts += [f"{given.weights} weights"] if given.weights not in (None, "gaussian") else []
        return "; ".join(parts)

    @property
    def _picture_title(self) -> str:
        """What a picture shows."""
        from numerics.publish import short_name

        given = self.arguments
        weights = rf"$\sigma_a^2 = {given.sigma_a2:g}$, $\sigma_b^2 = {given.sigma_b2:g}$"
        name = short_name(self.activation.name)
        first = f"{name}, {_figures.KERNEL_NAMES[given.kernel]}: $K = {given.classes}$, {weights}"
        return "\n".join(filter(None, (first, self.details)))

    @property
    def _caption(self) -> str:
        """What a picture was made from."""
        from numerics.publish import made_from

        given, count = self.arguments, len(self.draws)
        spread = "1 draw" if count == 1 else f"{count} draws (bars: mean ± standard error)"
        return made_from(
            f"$p = {given.p}$",
            f"$n = {self.law.population.samples}$",
            *([] if given.width is None else [f"$m = {given.width}$"]),
            rf"$\|\mu\| = {given.means:g}$",
            spread if not self.estimated else "1 draw" if count == 1 else f"{count} draws",
            f"seed {given.seed}",
        )

    @property
    def _sizes(self) -> list[int]:
        """Samples of each class."""
        return [round(share * self.law.population.dimension) for share in self.law.population.proportions.tolist()]

    def mean(self, name: str) -> float:
        """Mean over the draws of a number measured."""
        return sum(float(getattr(draw, name)) for draw in self.draws) / len(self.draws)

    def record(self) -> dict[str, Any]:
        """Everything as plain JSON values."""
        law, match = self.law, self.summary.match
        places = law.density_points(_POINTS)
        point = None if law.point is None else {"place": law.point, "share": law.point_mass}
        return {
            "outliers_predicted": law.outlier_values.tolist(),
            "outliers_measured": self.summary.mean.tolist(),
            "outliers_standard_error": _finite(self.summary.standard_error.tolist()),
            "outliers_relative_error": match.relative_errors.tolist(),
            "outliers_missing": match.missing.tolist(),
            "outliers_unexpected": match.unexpected.tolist(),
            "alignments_predicted": [
                {"eigenvalue": o.value, "multiplicity": o.multiplicity, "with_classes": o.alignment.tolist()}
                for o in law.outliers
            ],
            "edges_predicted": [list(pair) for pair in law.edges],
            "masses_predicted": list(law.masses),
            "law": "finite width" if self._at_width else "infinite width",
            "point_mass_predicted": point,
            **{name: self.mean(name) for name in _DISTANCES},
            "spectrum_by": "lanczos" if self.estimated else "eigenvalues",
            "density": {"x": places.tolist(), "y": law.density(places).tolist()},
            "coefficients": {
                "linear": law.coefficients.linear,
                "variance": law.coefficients.variance,
                "square": law.coefficients.square,
                "diagonal": law.coefficients.diagonal,
            },
            "per_draw": [_draw_record(draw) for draw in self.draws],
            "params": self._parameters(),
            **_outputs.provenance(self.arguments.seed),
        }

    def _parameters(self) -> dict[str, Any]:
        from numerics.spectrum import MARGIN_UNITS, isolation_margin

        population = self.law.population
        return {name: getattr(self.arguments, name) for name in _KEPT} | {
            "covariance": [shape.text for shape in self.arguments.covariance],
            "class_sizes": self._sizes,
            "trace_shifts": population.t.tolist(),
            "activation": self.activation.name,
            "expression": str(self.activation.expr),
            "n": population.samples,
            "tau0": population.tau0,
            "tau0_reading": "population",
            "outlier_margin": isolation_margin(self.law),
            "outlier_rule": f"outside the predicted support by more than {MARGIN_UNITS:g} (k n)^(-2/3), the scale of "
            "the edge's fluctuations, with a gap as wide before the rest, and further from a point mass than "
            "opnorm_error; means over draws by rank; the distances are those of the other eigenvalues to the law",
        }

    def show(self, console: Console) -> None:
        """Print the support, the isolated eigenvalues and the distances."""
        from rich.text import Text

        law, match = self.law, self.summary.match
        for line in filter(None, (self.title, self.details)):
            console.print(Text(line))
        support = ", ".join(f"[{left:.6g}, {right:.6g}]" for left, right in law.edges)
        point = "" if law.point is None else f", and the share {law.point_mass:.4g} at {law.point:.6g}"
        console.print(Text(f"support: {support}{point}"))
        rows = list[tuple[str, ...]]()
        aligned = {o.value: float(o.alignment.trace()) / o.multiplicity for o in law.outliers}
        for (predicted, measured), error in zip(match.pairs, match.relative_errors, strict=True):
            rows.append((f"{predicted:.6g}", f"{measured:.6g}", f"{error:+.2%}", f"{aligned[predicted]:.3f}"))
        for predicted in match.missing:
            rows.append((f"{predicted:.6g}", "-", "-", f"{aligned[predicted]:.3f}"))
        for measured in match.unexpected[:_UNEXPECTED]:
            rows.append(("-", f"{measured:.6g}", "-", "-"))
        if match.unexpected.size > _UNEXPECTED:
            rows.append(("-", f"{match.unexpected.size - _UNEXPECTED} more", "-", "-"))
        if rows:
            console.print(Text("isolated eigenvalues", "bold"))
            headings = ("predicted", "measured", "relative error", "alignment with the classes")
            _layout.show_columns(console, headings, rows)
        else:
            console.print("no isolated eigenvalues, predicted or measured")
        for name, label in (
            ("ks_distance", "Kolmogorov distance of the bulk to the law"),
            ("wasserstein_distance", "Wasserstein distance of the bulk to the law"),
            ("opnorm_error", "operator norm of kernel less equivalent"),
        ):
            console.print(Text(f"{label}: {self.mean(name):.4g}"))
        estimates = [draw.estimate for draw in self.draws if draw.estimate is not None]
        if estimates:
            error = max(estimate.ks_standard_error for estimate in estimates)
            resolution = max(estimate.ks_resolution for estimate in estimates)
            console.print(
                Text(
                    "the bulk is estimated by stochastic Lanczos quadrature: Kolmogorov distance of a draw "
                    f"± {error:.2g} standard error, steps of the quadrature up to {resolution:.2g}"
                )
            )
        if self.arguments.width is not None:
            which = "that of this width, a conjecture" if self._at_width else "that of infinite width"
            console.print(Text(f"finite networks of m = {self.arguments.width} neurons; the law is {which}"))

    @property
    def _at_width(self) -> bool:
        """Whether the law is that of the networks' width."""
        from numerics.spectrum import FiniteWidthLaw

        return isinstance(self.law, FiniteWidthLaw)

    def draw(self, target: str, option: str) -> None:
        """Write the picture: measured eigenvalues, the predicted density over them, isolated eigenvalues as marks."""
        import numpy as np

        from numerics.publish import spectrum_figure

        label = "exact kernel" if self.arguments.width is None else f"network of {self.arguments.width} neurons"
        estimates = [draw.estimate for draw in self.draws if draw.estimate is not None]
        smoothed = None
        if estimates:
            places = estimates[0].places
            smoothed = places, np.mean([np.interp(places, one.places, one.density) for one in estimates], axis=0)
            label += f": Lanczos estimate,\nsmoothed over {estimates[0].smoothing:.2g}"
        figure = spectrum_figure(
            self.law,
            np.concatenate([draw.eigenvalues for draw in self.draws]),
            draws=len(self.draws),
            isolated=np.concatenate([draw.isolated for draw in self.draws]),
            averages=None if len(self.draws) == 1 else (self.summary.mean, self.summary.standard_error),
            smoothed=smoothed,
            label=label,
            title=self._picture_title,
            caption=self._caption,
        )
        _figures.write_figure(target, figure, option)


def _finite(values: Sequence[float]) -> list[float | None]:
    return [value if math.isfinite(value) else None for value in map(float, values)]


def _draw_record(draw: MeasuredSpectrum) -> dict[str, Any]:
    kept = (*_DISTANCES, "norm_residual", "kernel_residual", "network_residual")
    record = {name: getattr(draw, name) for name in kept}
    record |= {"isolated": draw.isolated.tolist(), "largest": float(draw.eigenvalues[0])}
    if draw.estimate is not None:
        record["lanczos"] = draw.record()["estimate"]
    return record
