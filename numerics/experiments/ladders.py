"""Convergence studies: errors over a ladder of sizes, several draws of each, and what they say of the claimed rate."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

import numpy as np

from numerics.data import EntryLaw
from numerics.experiments.distances import distance_to_equivalent, distance_to_limit
from numerics.experiments.experiment import Cell, Experiment
from numerics.experiments.pairs import distance_to_explicit
from numerics.experiments.rates import FALSE_ALARM, FittedLine, RateReport, report_rate
from theory.activations import Activation
from theory.claims import RateVerdict
from theory.kernels import Kernel

__all__ = [
    "ConvergenceStudy",
    "Ladder",
    "RateClaim",
    "summary",
]


class RateClaim(Enum):
    """What is claimed of the errors of a ladder."""

    RATE = "they fall like the size to the power -1/2"
    BOUND = "they fall at least as fast as that"
    NOTHING = "no rate is claimed"


@dataclass(frozen=True)
class Ladder:
    """Errors over a ladder of sizes, and what they say of the claim that they fall like the size to the power -1/2.

    Attributes:
        sizes: dimensions p, or widths m.
        errors: one row of draws for each size.
        report: what the test of the rate says.
        symbol: of the size.
        activation: name.
        network: which explicit network the DEQ is compared with, "matched" or "naive", or "".
        claim: what the theory claims of these errors.
        limit: the errors of infinite width, where the others tend to them; else empty.
        floor: what the theory predicts the errors to tend to, one row for each size; empty where that is 0.
        cells: records of the draws, by size and number.
    """

    sizes: tuple[int, ...]
    errors: tuple[tuple[float, ...], ...]
    report: RateReport
    symbol: str = "p"
    activation: str = ""
    network: str = ""
    claim: RateClaim = RateClaim.RATE
    limit: tuple[float, ...] = ()
    floor: tuple[tuple[float, ...], ...] = ()
    cells: tuple[Mapping[str, Any], ...] = ()

    @classmethod
    def of(
        cls,
        errors: Mapping[int, Sequence[float]],
        rng: np.random.Generator,
        *,
        symbol: str = "p",
        false_alarm: float = FALSE_ALARM,
        needs_power: bool = True,
        **others: Any,
    ) -> Ladder:
        """Put errors to the test of the rate.

        Args:
            errors: by size, those of the draws.
            rng: resamples the draws for the bootstrap.
            symbol: of the size.
            false_alarm: probability that a true rate is refuted.
            needs_power: as for `report_rate`.
            others: fields of the ladder.

        Raises:
            ValueError: sizes and errors that do not fit together.
        """
        sizes, rows = tuple(errors), tuple(tuple(map(float, row)) for row in errors.values())
        report = report_rate(sizes, rows, rng, symbol=symbol, false_alarm=false_alarm, needs_power=needs_power)
        return cls(sizes, rows, report, symbol, **others)

    @property
    def label(self) -> str:
        """What the errors are of."""
        return f"{self.activation}, {self.network}" if self.network else self.activation

    @property
    def verdict(self) -> RateVerdict:
        """Of the claim."""
        if self.claim is RateClaim.NOTHING:
            return RateVerdict.UNCLAIMED
        if self.claim is RateClaim.BOUND and self.report.faster:
            return RateVerdict.FASTER
        return self.report.verdict

    @property
    def means(self) -> list[tuple[float, float | None]]:
        """The mean error at each size, and its standard error where there are two draws or more."""
        return [summary(row) for row in self.errors]

    def record(self) -> dict[str, Any]:
        """Return everything as plain JSON values."""
        report = self.report
        record: dict[str, Any] = {
            "activation": self.activation,
            "verdict": self.verdict.value,
            "sentence": report.sentence,
            "limits": report.limits,
            "means": [mean for mean, _ in self.means],
            "standard_errors": [spread for _, spread in self.means],
            "errors": [list(row) for row in self.errors],
            "cells": [dict(cell) for cell in self.cells],
        }
        if self.network:
            record["network"] = self.network
        if self.floor:
            record["predicted_floor"] = [summary(row)[0] for row in self.floor]
        if self.limit:
            record["infinite_width"] = list(self.limit)
        if report.fit is not None:
            record |= {"level": report.fit.level} | _line_record("", report.fit.plain)
            record |= {} if report.fit.corrected is None else _line_record("corrected_", report.fit.corrected)
        if report.check is not None:
            detectable = report.check.detectable
            record |= {
                "tested_exponent": report.check.slope,
                "lack_of_fit": report.check.lack_of_fit,
                "amplitudes": list(report.check.amplitudes),
                "law": [float(value) for value in report.check.law(report.fit.sizes)] if report.fit else [],
                "missing": report.check.missing,
                "detectable_floor": detectable if math.isfinite(detectable) else None,
                "also_accepted": list(report.also_accepted),
            }
        return record


def summary(errors: Sequence[float]) -> tuple[float, float | None]:
    """Mean, and its standard error where there are two draws or more."""
    mean = float(np.mean(errors))
    return mean, float(np.std(errors, ddof=1) / np.sqrt(len(errors))) if len(errors) > 1 else None


def _line_record(prefix: str, line: FittedLine) -> dict[str, Any]:
    return {
        f"{prefix}slope": line.slope,
        f"{prefix}slope_interval": list(line.interval),
        f"{prefix}slope_bootstrap": list(line.bootstrap),
    }


@dataclass(frozen=True)
class ConvergenceStudy:
    """How the error of what is predicted for infinite size falls with the size.

    Attributes:
        experiment: the data model and the variances.
        activation: without free parameters.
        kernel: which kernel.
        sizes: dimensions p, or widths m where ``width_dimension`` is given.
        draws: of each size.
        width_dimension: dimension p of the data for finite networks, whose widths the sizes are; else None.
        weights: law of the finite networks' weights.
        explicit: compare the DEQ with two explicit networks, one matched to it and a naive one, in place of the
            equivalent or the limit.
    """

    experiment: Experiment
    activation: Activation
    kernel: Kernel = Kernel.CK
    sizes: tuple[int, ...] = (200, 400, 800, 1600)
    draws: int = 16
    width_dimension: int | None = None
    weights: EntryLaw = "gaussian"
    explicit: bool = False

    @property
    def symbol(self) -> str:
        """Of the size."""
        return "p" if self.width_dimension is None else "m"

    def cells(self) -> list[dict[str, Any]]:
        """What has to be measured, as plain JSON values: the longest first, so that workers end together."""
        steps = [(size, index) for size in reversed(self.sizes) for index in range(self.draws)]
        if self.width_dimension is None:
            return [{"p": size, "width": None, "index": index} for size, index in steps]
        cells: list[dict[str, Any]] = [
            {"p": self.width_dimension, "width": size, "index": index} for size, index in steps
        ]
        if self.explicit:
            cells += [{"p": self.width_dimension, "width": None, "index": index} for index in range(self.draws)]
        return cells

    def measure(self, cell: Mapping[str, Any]) -> dict[str, Any]:
        """The distances of one cell, as plain JSON values.

        Raises:
            EquilibriumError: no stable equilibrium, or an NTK that does not exist.
            NoMatchError: no explicit network matches, or none was found.
            KernelConvergenceError: an entry of an infinite-width kernel has no stable fixed point.
            NonConvergenceError: a finite DEQ has no equilibrium that the iteration reaches.
        """
        draw, width = Cell(cell["p"], cell["index"]), cell["width"]
        common = self.experiment, self.activation, self.kernel, draw
        if self.explicit:
            return distance_to_explicit(*common, width).record()
        if width is None:
            return distance_to_equivalent(*common).record()
        return distance_to_limit(*common, width, self.weights).record()

    def ladders(self, measured: Sequence[Mapping[str, Any]]) -> tuple[Ladder, ...]:
        """What the measured cells say: one ladder, or with explicit networks the matched one's and the naive one's.

        Args:
            measured: what `measure` returned for every cell.
        """
        size = "p" if self.width_dimension is None else "width"
        found = sorted(measured, key=lambda cell: (cell[size] or float("inf"), cell["index"]))

        def rows(key: str) -> dict[int, list[float]]:
            return {value: [cell[key] for cell in found if cell[size] == value] for value in self.sizes}

        ladders = []
        for network in ("matched", "naive") if self.explicit else ("",):
            key = network or "error"
            limit = tuple(cell[key] for cell in found if cell[size] is None)
            # Pairs of finite networks fall to their distance at infinite width, and naive ones to a floor.
            claim = RateClaim.BOUND if network else RateClaim.RATE
            ladders.append(
                Ladder.of(
                    rows(key),
                    np.random.default_rng([self.experiment.seed, self.draws]),
                    symbol=self.symbol,
                    activation=self.activation.name,
                    network=network,
                    claim=RateClaim.NOTHING if network == "naive" or limit else claim,
                    limit=limit,
                    floor=tuple(map(tuple, rows("floor").values())) if network == "naive" else (),
                    cells=tuple(found),
                )
            )
        return tuple(ladders)
