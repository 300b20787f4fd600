"""Systems of equations in Arb balls, and Krawczyk's test, which proves that a box holds exactly one root.

For f with Jacobian J on a box X with centre m and any matrix C, K(X) = m - C f(m) + (1 - C J(X)) (X - m).  If K(X) lies
inside X there is exactly one root in X, for every value of the data in their balls, and it lies in K(X); every root in
X lies in K(X) in any case (R. Krawczyk, 1969; A. Neumaier, Interval Methods for Systems of Equations, 1990).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import sympy as sp
from flint import acb, arb, arb_mat, ctx

from numerics.arithmetic.balls import BallArithmetic
from numerics.arithmetic.programs import Program, compile_program

__all__ = [
    "BallSystem",
    "Box",
    "EnclosedSystem",
    "RootNotCertifiedError",
    "certify_root",
    "krawczyk_image",
]

_NEWTON_STEPS = 80
_INFLATIONS = 12
_REMEMBERED = 8
Box = tuple[arb, ...]


class RootNotCertifiedError(ArithmeticError):
    """No box round a point was proved to hold exactly one root."""


class EnclosedSystem(Protocol):
    """What the test asks of a system f(x, data) = 0 of at least as many equations as unknowns."""

    def values(self, box: Sequence[arb], data: Sequence[arb]) -> list[arb]:
        """Return enclosures of f over a box."""
        ...

    def jacobian(self, box: Sequence[arb], data: Sequence[arb]) -> list[list[arb]]:
        """Return enclosures of the derivatives of f in x over a box."""
        ...


class BallSystem:
    """Equations f(x, data) = 0 that are evaluated, with their derivatives in x, on balls.

    Args:
        equations: m expressions that must vanish, smooth where they are evaluated.
        unknowns: n symbols x.
        data: the other symbols.
    """

    def __init__(self, equations: Sequence[sp.Expr], unknowns: Sequence[sp.Symbol], data: Sequence[sp.Symbol]) -> None:
        self.equations = tuple(equations)
        self.unknowns = tuple(unknowns)
        self.data = tuple(data)
        self._slopes = [sp.diff(equation, unknown) for equation in equations for unknown in unknowns]
        self._programs: dict[int, tuple[Program, Program]] = {}

    def _compiled(self) -> tuple[Program, Program]:
        """Programs at the current precision, which their constants have."""
        if ctx.prec not in self._programs:
            if len(self._programs) >= _REMEMBERED:
                self._programs.clear()
            symbols, arithmetic = [*self.unknowns, *self.data], BallArithmetic()
            self._programs[ctx.prec] = (
                compile_program(self.equations, symbols, arithmetic),
                compile_program(self._slopes, symbols, arithmetic),
            )
        return self._programs[ctx.prec]

    def values(self, box: Sequence[arb], data: Sequence[arb]) -> list[arb]:
        """Return enclosures of the equations' left sides over a box, m of them."""
        return [_real(value) for value in self._compiled()[0](*box, *data)]

    def jacobian(self, box: Sequence[arb], data: Sequence[arb]) -> list[list[arb]]:
        """Return enclosures of the m x n Jacobian over a box."""
        flat = [_real(value) for value in self._compiled()[1](*box, *data)]
        n = len(self.unknowns)
        return [flat[row * n : (row + 1) * n] for row in range(len(self.equations))]


def _real(value: arb | acb | int) -> arb:
    """A real ball; not a number where an expression leaves its real domain, such as a root of a negative number."""
    return arb.nan() if isinstance(value, acb) else arb(value)


def _inverse(matrix: list[list[arb]]) -> arb_mat | None:
    """An approximate inverse of the midpoints, exact entries; None where there is none."""
    middle = arb_mat([[entry.mid() for entry in row] for row in matrix])
    try:
        inverse = middle.inv()
    except ZeroDivisionError:
        return None
    entries = [[inverse[i, j].mid() for j in range(middle.ncols())] for i in range(middle.nrows())]
    return arb_mat(entries) if all(entry.is_finite() for row in entries for entry in row) else None


def krawczyk_image(system: EnclosedSystem, box: Box, data: Sequence[arb]) -> Box | None:
    """Return K(X) from the first n equations, or None where their Jacobian cannot be inverted.

    Args:
        system: of at least n equations.
        box: X, n balls.
        data: balls for the system's other symbols.
    """
    n = len(box)
    centre = tuple(part.mid() for part in box)
    slopes = system.jacobian(box, data)[:n]
    if not all(entry.is_finite() for row in slopes for entry in row):
        return None
    inverse = _inverse(slopes)
    if inverse is None:
        return None
    residual = inverse * arb_mat([[value] for value in system.values(centre, data)[:n]])
    gap = inverse * arb_mat(slopes)
    image = []
    for i in range(n):
        spread = sum(((int(i == j) - gap[i, j]) * (box[j] - centre[j]) for j in range(n)), arb(0))
        image.append(centre[i] - residual[i, 0] + spread)
    return tuple(image) if all(part.is_finite() for part in image) else None


def certify_root(system: EnclosedSystem, start: Sequence[arb], data: Sequence[arb]) -> Box:
    """Return a box that is proved to hold a root, as narrow as the data and the precision allow.

    Newton's method from ``start`` at the current precision, then Krawczyk's test round the point it ends at.

    Args:
        system: as many equations as unknowns.
        start: the root to a few digits.
        data: balls of the data.

    Raises:
        RootNotCertifiedError: the iteration leaves its domain, or no box passes the test.
    """
    n = len(start)
    point = tuple(part.mid() for part in start)
    last: arb | None = None
    for _ in range(_NEWTON_STEPS):
        inverse = _inverse(system.jacobian(point, data))
        values = system.values(point, data)
        if inverse is None or not all(value.is_finite() for value in values):
            raise RootNotCertifiedError("Newton's method meets a singular Jacobian or leaves the equations' domain")
        step = inverse * arb_mat([[value.mid()] for value in values])
        point = tuple((point[i] - step[i, 0]).mid() for i in range(n))
        size = max((abs(step[i, 0]).upper() for i in range(n)), key=float)
        # Converged when rounding stops the steps from shrinking; a step that grows early is Newton's wandering.
        if size.is_zero() or (last is not None and size >= last and size < arb(2) ** -(ctx.prec // 2)):
            break
        last = size
    inverse = _inverse(system.jacobian(point, data))
    if inverse is None:
        raise RootNotCertifiedError("the Jacobian at the root is singular")
    shift = inverse * arb_mat([[value] for value in system.values(point, data)])
    radii = [(2 * abs(shift[i, 0]) + abs(point[i]) * arb(2) ** (8 - ctx.prec)).upper() for i in range(n)]
    for _ in range(_INFLATIONS):
        box = tuple(arb(point[i], radii[i]) for i in range(n))
        image = krawczyk_image(system, box, data)
        if image is not None and all(box[i].contains_interior(image[i]) for i in range(n)):
            return image
        radii = [(4 * radius).upper() for radius in radii]
    raise RootNotCertifiedError("Krawczyk's test fails: the root is multiple, or the data are not known well enough")
