"""What the HTML report draws: ladders, witnesses and spectra as inline SVG.

The SVG is written by hand: a few kilobytes a plot, colours that follow the page's light or dark style, no identifiers
that could clash on one page, and the same bytes from the same numbers.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from html import escape
from itertools import pairwise
from statistics import fmean, stdev
from typing import Any

__all__ = ["Ladder", "Spectrum", "Witnesses", "ladder_plot", "spectrum_plot", "witness_plot"]

#: Width of a plot in its own units; a phone shows them at about their size in pixels.
_WIDTH = 420
#: Width of a character of the plots' labels, in the same units.
_CHARACTER = 6.6


# --- what is drawn -------------------------------------------------------------------------------


@dataclass(frozen=True)
class Ladder:
    """Errors at several sizes, in whatever measure the claim names.

    Attributes:
        symbol: the size's symbol, such as p or m.
        sizes: distinct sizes.
        errors: for each size, the errors of its draws.
        slope: of log error against log size, or None.
        interval: of the slope, or None.
        amplitudes: (A_0, A_1, ...) of the law size^(-1/2) (A_0 + A_1 size^(-1/2) + ...), empty where none was fitted.
    """

    symbol: str
    sizes: tuple[float, ...]
    errors: tuple[tuple[float, ...], ...]
    slope: float | None
    interval: tuple[float, float] | None
    amplitudes: tuple[float, ...]

    @classmethod
    def of(cls, details: Mapping[str, Any]) -> Ladder | None:
        """Read a ladder from a verdict's details; None where they have none.

        Raises:
            ValueError: sizes and errors that do not fit together.
        """
        if "sizes" not in details or "errors" not in details:
            return None
        sizes, errors = details["sizes"], details["errors"]
        if len(sizes) != len(errors) or not all(errors):
            raise ValueError(f"{len(sizes)} sizes but {len(errors)} rows of errors, or an empty row")
        interval = details.get("slope_interval")
        return cls(
            symbol=str(details.get("symbol", "p")),
            sizes=tuple(sizes),
            errors=tuple(tuple(row) for row in errors),
            slope=details.get("slope"),
            interval=None if interval is None else (interval[0], interval[1]),
            amplitudes=tuple(details.get("amplitudes", ())),
        )

    @property
    def means(self) -> list[float]:
        """Mean error at each size."""
        return [fmean(row) for row in self.errors]

    @property
    def standard_errors(self) -> list[float]:
        """Standard error of each mean; 0 where there is a single draw."""
        return [stdev(row) / math.sqrt(len(row)) if len(row) > 1 else 0.0 for row in self.errors]


@dataclass(frozen=True)
class Witnesses:
    """Limits of functionals of the error, which a right theory sends to 0.

    Attributes:
        names: of the witnesses.
        limits: estimated limits.
        errors: their standard errors.
        critical: number of standard errors beyond which a limit is not 0.
    """

    names: tuple[str, ...]
    limits: tuple[float, ...]
    errors: tuple[float, ...]
    critical: float

    @classmethod
    def of(cls, details: Mapping[str, Any]) -> Witnesses | None:
        """Read witnesses from a verdict's details; None where they have none.

        Raises:
            ValueError: names, limits and errors of different lengths.
        """
        if not {"witnesses", "limits", "errors", "critical"} <= details.keys():
            return None
        found = tuple(details["witnesses"]), tuple(details["limits"]), tuple(details["errors"])
        if len({len(part) for part in found}) != 1:
            raise ValueError("witnesses, limits and errors differ in number: " + ", ".join(str(len(x)) for x in found))
        return cls(*found, critical=details["critical"])

    @property
    def scores(self) -> list[float]:
        """Limits in standard errors; infinite where an error is 0 and the limit is not."""
        pairs = zip(self.limits, self.errors, strict=True)
        return [x / e if e else math.copysign(math.inf, x) if x else 0.0 for x, e in pairs]


@dataclass(frozen=True)
class Spectrum:
    """Measured eigenvalues beside the law that is predicted for them.

    Attributes:
        p: dimension.
        draws: number of kernels whose eigenvalues are counted together.
        walls: of the bins, ascending, one more than there are bins.
        measured: mean density of the eigenvalues in each bin.
        predicted: mean density of the law in each bin.
        isolated: measured isolated eigenvalues, of all draws.
        outliers: predicted isolated eigenvalues.
    """

    p: int
    draws: int
    walls: tuple[float, ...]
    measured: tuple[float, ...]
    predicted: tuple[float, ...]
    isolated: tuple[float, ...]
    outliers: tuple[float, ...]

    @classmethod
    def of(cls, details: Mapping[str, Any]) -> Spectrum | None:
        """Read a spectrum from a verdict's details; None where they have none.

        Raises:
            ValueError: bins and densities that do not fit together.
        """
        if "spectrum" not in details:
            return None
        found = details["spectrum"]
        names = ("walls", "measured", "predicted", "isolated", "outliers")
        walls, measured, predicted, isolated, outliers = (tuple(found[name]) for name in names)
        if not len(walls) - 1 == len(measured) == len(predicted) or len(walls) < 2:
            raise ValueError(f"{len(walls)} walls of bins, but {len(measured)} and {len(predicted)} densities")
        return cls(found["p"], found["draws"], walls, measured, predicted, isolated, outliers)


# --- plots ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Axis:
    """An affine map from ``low..high`` to ``start..end`` of the drawing."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        return self.start + (value - self.low) / (self.high - self.low) * (self.end - self.start)


def ladder_plot(ladder: Ladder) -> str:
    """Return a log-log plot of mean error against size, with two standard errors, every draw, and the fitted lines.

    The lines of a slope pass through the centre of the means.  Empty where logarithms or lines do not exist.
    """
    means = ladder.means
    if len(ladder.sizes) < 2 or min(means) <= 0 or min(ladder.sizes) <= 0:
        return ""
    logs = [math.log(size) for size in ladder.sizes]
    centre = fmean(logs), fmean(math.log(mean) for mean in means)
    ends = min(logs), max(logs)
    # (class, name, points in logarithms)
    curves = [("guide", "slope −1/2", [(x, centre[1] - (x - centre[0]) / 2) for x in ends])]
    if ladder.slope is not None:
        slope = ladder.slope
        name = f"slope {_number(slope, '.2f')}"
        if ladder.interval is not None:
            name += f" [{', '.join(_number(x, '.2f') for x in ladder.interval)}]"
        curves.append(("fit", name, [(x, centre[1] + slope * (x - centre[0])) for x in ends]))
    law = _law(ladder, ends)
    if law:
        curves.append(("law", _law_name(ladder), law))
    bars = [
        (x, mean - 2 * error if mean > 2 * error else mean, mean + 2 * error)
        for x, mean, error in zip(logs, means, ladder.standard_errors, strict=True)
    ]
    draws = [(x, e) for x, row in zip(logs, ladder.errors, strict=True) for e in row if e > 0]
    heights = [math.log(y) for y in (*means, *(e for _, e in draws), *(y for _, *pair in bars for y in pair))]
    heights += [y for _, _, points in curves for _, y in points]
    margin_x, margin_y = 0.08 * (ends[1] - ends[0]), max(0.06 * (max(heights) - min(heights)), 0.01)
    top = 24 + 18 * len(curves)
    bottom = top + 220
    across = _Axis(ends[0] - margin_x, ends[1] + margin_x, 52, _WIDTH - 8)
    up = _Axis(min(heights) - margin_y, max(heights) + margin_y, bottom, top)
    parts = [_frame(across, up)]
    for value in _log_ticks(math.exp(up.low), math.exp(up.high)):
        parts.append(_y_tick(up(math.log(value)), f"{value:g}", across))
    shown = -math.inf
    for x, size in sorted(zip(logs, ladder.sizes, strict=True)):
        label = f"{size:g}"
        free = across(x) - len(label) * _CHARACTER / 2 > shown
        shown = across(x) + len(label) * _CHARACTER / 2 + 4 if free else shown
        parts.append(_x_tick(across(x), label if free else "", up))
    parts.append(_text((across.start + across.end) / 2, bottom + 36, f"{_size_name(ladder.symbol)} (log)", "middle"))
    parts.append(_text(4, top - 10, "error (log)"))
    parts.append(_line_path("draw", *((across(x), up(math.log(e)), across(x), up(math.log(e))) for x, e in draws)))
    for k, (kind, name, points) in enumerate(curves):
        path = " ".join(f"{_at(across(x))},{_at(up(y))}" for x, y in points)
        parts.append(f'<polyline class="{kind}" points="{path}"/>')
        parts.append(_line_path(kind, (_WIDTH - 250, 10 + 18 * k, _WIDTH - 222, 10 + 18 * k)))
        parts.append(_text(_WIDTH - 214, 14 + 18 * k, name))
    for x, low, high in bars:
        parts.append(_line_path("bar", (across(x), up(math.log(low)), across(x), up(math.log(high)))))
    for x, mean in zip(logs, means, strict=True):
        parts.append(f'<circle class="point" cx="{_at(across(x))}" cy="{_at(up(math.log(mean)))}" r="4"/>')
    described = ", ".join(
        f"{mean:.3g} at {ladder.symbol} = {size:g}" for size, mean in zip(ladder.sizes, means, strict=True)
    )
    lines = "; ".join(name for _, name, _ in curves)
    return _svg(bottom + 44, f"Log-log plot of the mean error: {described}. Lines: {lines}.", parts)


def _law(ladder: Ladder, ends: tuple[float, float]) -> list[tuple[float, float]]:
    """Points of the law's curve in logarithms; none where it is a line of slope -1/2, or where it is not positive."""
    if len(ladder.amplitudes) < 2:
        return []
    logs = [ends[0] + (ends[1] - ends[0]) * k / 24 for k in range(25)]
    values = [sum(a * math.exp(-(k + 1) / 2 * x) for k, a in enumerate(ladder.amplitudes)) for x in logs]
    return [(x, math.log(y)) for x, y in zip(logs, values, strict=True)] if min(values) > 0 else []


def _law_name(ladder: Ladder) -> str:
    n = ladder.symbol
    powers = ("", f" {n}^(−1/2)", f" {n}^(−1)", f" {n}^(−3/2)")
    terms = [f"A{'₀₁₂₃'[k]}{powers[k]}" for k in range(len(ladder.amplitudes))]
    return f"{n}^(−1/2) ({' + '.join(terms)})" if len(terms) < 3 else f"{n}^(−1/2) ({terms[0]} + … + {terms[-1]})"


def _size_name(symbol: str) -> str:
    return {"p": "dimension p", "m": "width m"}.get(symbol, symbol)


def witness_plot(found: Witnesses) -> str:
    """Return the limits in standard errors, one line a witness, with the band in which they count as 0.

    Empty where a limit in standard errors is infinite, and without witnesses.
    """
    scores = found.scores
    if not scores or not all(map(math.isfinite, (*scores, found.critical))):
        return ""
    reach = max(found.critical, 1.0)
    low, high = min(*scores, -reach), max(*scores, reach)
    room = 0.06 * (high - low)
    left = 12 + max(len(name) for name in found.names) * _CHARACTER
    top, step = 12, 24
    bottom = top + step * len(scores)
    across = _Axis(low - room, high + room, left, _WIDTH - 8)
    up = _Axis(len(scores), 0, bottom, top)
    edges = across(-found.critical), across(found.critical)
    parts = [
        f'<rect class="band" x="{_at(edges[0])}" y="{top}" width="{_at(edges[1] - edges[0])}" height="{bottom - top}"/>'
    ]
    parts += [_line_path("edge", *((x, top, x, bottom) for x in edges)), _frame(across, up)]
    parts.append(_line_path("zero", (across(0), top, across(0), bottom)))
    for value in _linear_ticks(across.low, across.high):
        parts.append(_x_tick(across(value), _number(value, "g"), up))
    for k, (name, score) in enumerate(zip(found.names, scores, strict=True)):
        y, x = up(k + 0.5), across(score)
        outside = abs(score) > found.critical
        parts.append(_text(left - 8, y + 4, name, "end"))
        parts.append(_line_path("out" if outside else "bar", (across(0), y, x, y)))
        if outside:
            # A shape of its own, so that nothing rests on colour.
            corners = " ".join(f"{_at(x + a)},{_at(y + b)}" for a, b in ((0, -6), (6, 0), (0, 6), (-6, 0)))
            parts.append(f'<polygon class="outside" points="{corners}"/>')
        else:
            parts.append(f'<circle class="point" cx="{_at(x)}" cy="{_at(y)}" r="4"/>')
    parts.append(_text((across.start + across.end) / 2, bottom + 36, "limit in standard errors", "middle"))
    described = ", ".join(f"{name} {_number(score, '+.1f')}" for name, score in zip(found.names, scores, strict=True))
    label = f"Limits in standard errors, critical value {found.critical:.1f}: {described}."
    return _svg(bottom + 44, label, parts)


def spectrum_plot(found: Spectrum) -> str:
    """Return the histogram of a spectrum under the predicted density, and below it the isolated eigenvalues.

    The density is drawn as its mean over each bin, as the histogram is, so that a bin with an edge in it compares like
    with like.  Empty where no bin holds anything.
    """
    highest = max(*found.measured, *found.predicted)
    if not highest > 0:
        return ""
    ends = min(found.walls[0], *found.isolated, *found.outliers), max(found.walls[-1], *found.isolated, *found.outliers)
    left, right, middle = _WIDTH - 250, _WIDTH - 222, _WIDTH - 236
    names: tuple[tuple[str, Callable[[float], str]], ...] = (
        (
            f"exact kernels, p = {found.p}, {found.draws} draws",
            lambda y: f'<rect class="bin" x="{left}" y="{_at(y - 5)}" width="{right - left}" height="10"/>',
        ),
        ("predicted density in each bin", lambda y: _line_path("step", (left, y, right, y))),
        ("isolated, predicted", lambda y: _triangle(middle, y)),
        ("isolated, measured", lambda y: _dot(middle, y)),
    )
    room, top = 0.03 * (ends[1] - ends[0]), 24 + 18 * len(names)
    bottom = top + 200
    # The isolated eigenvalues have a strip of their own: their height says nothing.
    strip = bottom + 22
    across = _Axis(ends[0] - room, ends[1] + room, 52, _WIDTH - 8)
    up = _Axis(0, 1.05 * highest, bottom, top)
    parts = [_frame(across, up)]
    for k, (name, sample) in enumerate(names):
        parts += [sample(10 + 18 * k), _text(_WIDTH - 214, 14 + 18 * k, name)]
    for value in _linear_ticks(0, up.high):
        parts.append(_y_tick(up(value), f"{value:g}", across))
    for value in _linear_ticks(across.low, across.high):
        parts.append(_line_path("grid", (across(value), bottom, across(value), top)))
        parts.append(_text(across(value), strip + 21, _number(value, "g"), "middle"))
    for (low, high), height in zip(pairwise(found.walls), found.measured, strict=True):
        corner, width = across(low), across(high) - across(low)
        parts.append(
            f'<rect class="bin" x="{_at(corner)}" y="{_at(up(height))}" width="{_at(width)}" '
            f'height="{_at(bottom - up(height))}"/>'
        )
    corners = [(found.walls[0], 0.0)]
    for (low, high), height in zip(pairwise(found.walls), found.predicted, strict=True):
        corners += [(low, height), (high, height)]
    corners.append((found.walls[-1], 0.0))
    path = " ".join(f"{_at(across(x))},{_at(up(y))}" for x, y in corners)
    parts.append(f'<polyline class="step" points="{path}"/>')
    parts += [_dot(across(x), strip) for x in found.isolated]
    parts += [_triangle(across(x), strip - 11) for x in found.outliers]
    parts.append(_text((across.start + across.end) / 2, strip + 40, "eigenvalue", "middle"))
    parts.append(_text(4, top - 10, "density"))
    told = ", ".join(f"{value:.3g}" for value in found.outliers) or "none"
    label = (
        f"Histogram of the eigenvalues of {found.draws} exact kernels at p = {found.p} under the predicted density; "
        f"predicted isolated eigenvalues: {told}."
    )
    return _svg(strip + 48, label, parts)


def _dot(x: float, y: float) -> str:
    return f'<circle class="point" cx="{_at(x)}" cy="{_at(y)}" r="2.5"/>'


def _triangle(x: float, y: float) -> str:
    corners = " ".join(f"{_at(x + a)},{_at(y + b)}" for a, b in ((-5, -5), (5, -5), (0, 4)))
    return f'<polygon class="mark" points="{corners}"/>'


# --- their parts ---------------------------------------------------------------------------------


def _svg(height: float, label: str, parts: Iterable[str]) -> str:
    inside = "\n".join(parts)
    return (
        f'<svg class="plot" viewBox="0 0 {_WIDTH} {_at(height)}" role="img" aria-label="{escape(label)}">\n'
        f"{inside}\n</svg>"
    )


def _frame(across: _Axis, up: _Axis) -> str:
    return _line_path(
        "axis", (across.start, up.start, across.end, up.start), (across.start, up.start, across.start, up.end)
    )


def _x_tick(x: float, label: str, up: _Axis) -> str:
    return _line_path("grid", (x, up.start, x, up.end)) + _text(x, up.start + 17, label, "middle")


def _y_tick(y: float, label: str, across: _Axis) -> str:
    return _line_path("grid", (across.start, y, across.end, y)) + _text(across.start - 6, y + 4, label, "end")


def _line_path(kind: str, *lines: tuple[float, float, float, float]) -> str:
    path = "".join(f"M{_at(a)} {_at(b)}L{_at(c)} {_at(d)}" for a, b, c, d in lines)
    return f'<path class="{kind}" d="{path}"/>'


def _text(x: float, y: float, text: str, anchor: str = "start") -> str:
    return f'<text x="{_at(x)}" y="{_at(y)}" text-anchor="{anchor}">{escape(text)}</text>' if text else ""


def _at(value: float) -> str:
    return f"{round(value, 1) + 0.0:g}"


def _number(value: float, form: str) -> str:
    return format(value, form).replace("-", "−")


def _log_ticks(low: float, high: float) -> list[float]:
    """Round numbers between two positive ones, as few as show at least half of the axis."""
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for digits in ((1,), (1, 2, 5), range(1, 10)):
        found = [m * 10.0**k for k in decades for m in digits if low <= m * 10.0**k <= high]
        if len(found) >= 3 and (found[-1] / found[0]) ** 2 >= high / low:
            return found
    return _linear_ticks(low, high)


def _linear_ticks(low: float, high: float) -> list[float]:
    """Three to seven multiples of a round step."""
    rough = (high - low) / 6
    power = 10.0 ** math.floor(math.log10(rough))
    # No step is more than twice the one before, so that the one taken is at most a third of the axis.
    step = next(m * power for m in (1, 2, 2.5, 5, 10) if m * power >= rough)
    return [float(f"{k * step:.6g}") for k in range(math.ceil(low / step), math.floor(high / step) + 1)]
