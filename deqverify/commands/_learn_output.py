"""What the command learn shows of predicted and measured errors: an answer, a table, a picture, a JSON record."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from deqverify.commands import _figures, _layout, _outputs

if TYPE_CHECKING:
    import argparse

    from rich.console import Console

    from numerics.arrays import Array
    from numerics.experiments import Scores
    from theory.activations import Activation

__all__ = ["Fine", "LearningComparison", "Measured"]

#: Scores, in the order of the tables' last axis, and what they are called.
_SCORES = {
    "test_error": "test error",
    "test_mse": "test mean square",
    "train_error": "training error",
    "train_mse": "training mean square",
}
_NAMES = {"deq": "DEQ", "matched": "matched network", "naive": "naive network", "linear": "linear"}
_ALONG = {"ridge": "penalty / (tr(kernel)/n)", "ratio": "$n/p$", "time": "time in $n$/tr(kernel)", "width": "$m$"}
#: Level of the paired test that tells two learners apart, and the fewest draws it takes.
_LEVEL, _FEWEST_DRAWS = 0.01, 3
#: Errors below this are shown as such.
_NEGLIGIBLE = 1e-9
#: Options that the JSON repeats.
_KEPT = (
    *("p", "ratio", "sigma_a2", "sigma_b2", "means", "cov_shift", "classes", "kernel", "draws", "tests", "noise"),
    *("ridge", "time", "width", "against"),
)


@dataclass(frozen=True)
class Fine:
    """Predictions between the values measured, for the picture.

    Attributes:
        places: (F,) array of values.
        predicted: by learner, at each of them.
    """

    places: Array
    predicted: Mapping[str, Sequence[Scores | None]]


@dataclass(frozen=True)
class Measured:
    """Scores of the draws.

    Attributes:
        tables: by learner, a (draws, values, 4) array.
        best_linear: (draws, 4) array, of the linear learner at its best penalty; None where it was not measured.
    """

    tables: Mapping[str, Array]
    best_linear: Array | None


@dataclass(frozen=True)
class LearningComparison:
    """Predictions and what was measured.

    Attributes:
        arguments: the options of the command.
        activation: of the DEQ.
        samples: n, at the first value.
        learners: names.
        values: along the curve, or one None.
        predicted: by learner, at each value; None where nothing is.
        measured: scores.
        best: the best penalty of the linear learner, and what is predicted there.
        fine: for the picture.
        notes: sentences that are said beside the answer.
    """

    arguments: argparse.Namespace
    activation: Activation
    samples: int
    learners: tuple[str, ...]
    values: Sequence[float | None]
    predicted: Mapping[str, Sequence[Scores | None]]
    measured: Measured
    best: tuple[float, Scores] | None
    fine: Fine | None
    notes: tuple[str, ...]

    @property
    def title(self) -> str:
        """One line: what learns, and what."""
        given = self.arguments
        network = "" if given.width is None else f" of {given.width} neurons"
        count = "" if given.against in ("ratio",) else f", n = {self.samples}"
        return (
            f"{self.activation.name}, {given.kernel.upper()}{network}: p = {given.p}{count}, K = {given.classes}, "
            f"σa² = {given.sigma_a2:g}, σb² = {given.sigma_b2:g}"
        )

    @property
    def _readout(self) -> str:
        given = self.arguments
        if given.against in ("ridge", "time"):
            return "ridge regression" if given.against == "ridge" else "gradient flow"
        return f"ridge {given.ridge:g}" if given.time is None else f"gradient flow until {given.time:g}"

    def answer(self) -> list[str]:
        """What a reader wants to know, in sentences."""
        return [] if self.arguments.against else [*self._own(), *self._against_linear(), *self._told_apart()]

    def _own(self) -> list[str]:
        mean, error = self._mean("deq", 0, 0)
        known = self.predicted["deq"][0]
        beside = "nothing is predicted" if known is None else f"predicted {_percent(known.test_error)}"
        spread = "" if error is None else f" ± {_percent(error)}"
        return [f"The DEQ puts {_percent(mean)}{spread} of fresh samples into a wrong class ({beside})."]

    def _against_linear(self) -> list[str]:
        known = self.predicted["deq"][0]
        if self.best is None or known is None:
            return []
        ridge, best = self.best
        own, other = known.test_error, best.test_error
        found = (
            ""
            if self.measured.best_linear is None
            else f"; measured {_percent(self.measured.best_linear[:, 0].mean())}"
        )
        start = f"The best linear readout (ridge {ridge:.2g}) errs on {_percent(other)} (predicted{found})"
        if max(own, other) < 1.01 * min(own, other):
            return [f"{start}, as often as the DEQ."]
        if own > other:
            return [f"{start}: the DEQ errs {own / other:.3g} times as often." if other > 1e-12 else f"{start}."]
        return [
            f"{start}, {other / own:.3g} times as often as the DEQ."
            if own > 1e-12
            else f"{start}; the DEQ hardly ever."
        ]

    def _told_apart(self) -> list[str]:
        sentences = []
        for learner in self.learners:
            if learner in ("deq", "linear"):
                continue
            difference = self.measured.tables[learner][:, 0, 0] - self.measured.tables["deq"][:, 0, 0]
            name = f"The {_NAMES[learner]}"
            if difference.size < _FEWEST_DRAWS:
                sentences.append(
                    f"{name} is compared with the DEQ from {_FEWEST_DRAWS} draws on; here it errs "
                    f"{_percent(difference.mean())} more often."
                )
                continue
            error = float(difference.std(ddof=1)) / difference.size**0.5
            apart = _apart(difference)
            verb = "is told apart from" if apart else "is not told apart from"
            sentences.append(
                f"{name} {verb} the DEQ: its error less the DEQ's is {_percent(float(difference.mean()))} ± "
                f"{_percent(error)} over {difference.size} draws (paired t test at {100 * _LEVEL:g} %)."
            )
        return sentences

    def _mean(self, learner: str, value: int, score: int) -> tuple[float, float | None]:
        """Mean over draws and its standard error, None for one draw."""
        row = self.measured.tables[learner][:, value, score]
        return float(row.mean()), None if row.size == 1 else float(row.std(ddof=1)) / row.size**0.5

    def show(self, console: Console) -> None:
        """Print the answer and the table."""
        _layout.show_text(console, self.title, "bold")
        given = self.arguments
        draws = "1 draw" if given.draws == 1 else f"{given.draws} draws"
        _layout.show_text(console, f"{self._readout}; {draws} of {given.tests} fresh samples each")
        for sentence in (*self.answer(), *self.notes):
            _layout.show_line(console, sentence)
        scores = ("test_error", "test_mse") if given.against else tuple(_SCORES)
        for name in scores:
            score = list(_SCORES).index(name)
            console.print(_SCORES[name], style="bold")
            rows = []
            for number, value in enumerate(self.values):
                for learner in self.learners:
                    mean, error = self._mean(learner, number, score)
                    known = self.predicted[learner][number]
                    shown = "-" if known is None else _number(getattr(known, name))
                    spread = "" if error is None else f"± {error:.2g}"
                    first = [] if value is None else [f"{value:g}"]
                    rows.append((*first, _NAMES[learner], shown, f"{mean:.4g}", spread))
            head = [] if given.against is None else [given.against]
            words = (0,) if given.against is None else (1,)
            _layout.show_columns(console, [*head, "learner", "predicted", "measured", ""], rows, left=words)
        if given.width is not None or given.against == "width":
            _layout.show_line(
                console,
                "The law of finite DEQs is a conjecture; for more than one explicit layer nothing is predicted.",
            )

    def draw(self, target: str, option: str) -> None:
        """Write the picture: test errors along the values."""
        import numpy as np

        from numerics.publish import LearnerCurve, learning_figure, made_from, short_name

        if self.fine is None:
            return
        given = self.arguments
        curves = {}
        for learner in self.learners:
            known = self.fine.predicted[learner]
            line = np.array([np.nan if one is None else float(one.test_error) for one in known])
            rows = [self.measured.tables[learner][:, k, 0] for k in range(len(self.values))]
            curves[_NAMES[learner]] = LearnerCurve(self.fine.places, line, rows)
        weights = rf"$\sigma_a^2 = {given.sigma_a2:g}$, $\sigma_b^2 = {given.sigma_b2:g}$"
        readout = {"ridge": "", "time": ""}.get(given.against, f", {self._readout}")
        counted = [] if given.against == "ratio" else [f"$n = {self.samples}$"]
        figure = learning_figure(
            [value for value in self.values if value is not None],
            curves,
            xlabel=_ALONG[given.against],
            ylabel="test error",
            mark=(float(self.samples), "$m = n$") if given.against == "width" else None,
            title=f"{short_name(self.activation.name)}, {_figures.KERNEL_NAMES[given.kernel]}: {weights}{readout}",
            caption=made_from(
                "lines: predicted, marks: measured",
                f"$p = {given.p}$",
                *counted,
                rf"$\|\mu\| = {given.means:g}$",
                f"{given.draws} draws (mean ± standard error)" if given.draws > 1 else "1 draw",
                f"seed {given.seed}",
            ),
        )
        _figures.write_figure(target, figure, option)

    def record(self) -> dict[str, Any]:
        """Everything as plain JSON values."""
        points = [
            {"value": value, "learners": {learner: self._scores(learner, number) for learner in self.learners}}
            for number, value in enumerate(self.values)
        ]
        given = self.arguments
        first = {} if given.against else self._scores("deq", 0)
        best = None
        if self.best is not None:
            best = {"ridge": self.best[0], "test_error_predicted": self.best[1].test_error}
        return {
            **first,
            "answer": [*self.answer(), *self.notes],
            "points": points,
            "best_linear": best,
            "law": "finite width, a conjecture for DEQs" if self._at_width else "infinite width",
            "params": {name: getattr(given, name) for name in _KEPT}
            | {
                "activation": self.activation.name,
                "expression": str(self.activation.expr),
                "n": None if given.against == "ratio" else self.samples,
                "values": list(self.values) if given.against else None,
                "learners": list(self.learners),
            },
            **_outputs.provenance(given.seed),
        }

    @property
    def _at_width(self) -> bool:
        return self.arguments.width is not None or self.arguments.against == "width"

    def _scores(self, learner: str, number: int) -> dict[str, float | None]:
        found: dict[str, float | None] = {}
        known = self.predicted[learner][number]
        for score, name in enumerate(_SCORES):
            mean, error = self._mean(learner, number, score)
            found[f"{name}_predicted"] = None if known is None else float(getattr(known, name))
            found[f"{name}_measured"] = mean
            found[f"{name}_standard_error"] = error
        return found


def _apart(difference: Array) -> bool:
    """Whether the mean of paired differences is told from 0."""
    from scipy.stats import ttest_1samp

    if float(difference.std(ddof=1)) == 0:
        return bool(difference.mean() != 0)
    return bool(ttest_1samp(difference, 0.0).pvalue < _LEVEL)


def _number(value: float) -> str:
    return "< 1e-9" if 0 < value < _NEGLIGIBLE else f"{value:.4g}"


def _percent(share: float) -> str:
    return f"{100 * share:.3g} %"
