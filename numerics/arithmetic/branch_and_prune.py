"""All roots of a system in a box: each proved by Krawczyk's test, everything else proved to hold none.

Boxes in which some equation cannot vanish (by its range, or by its mean value form) are dropped, boxes that pass
Krawczyk's test give a root, and the others are cut to what the test leaves of them, and in two.  More equations than
unknowns are allowed: the first n give the roots, the others discard them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from flint import arb, ctx

from numerics.arithmetic.balls import hull
from numerics.arithmetic.krawczyk import BallSystem, Box, RootNotCertifiedError, certify_root, krawczyk_image

__all__ = [
    "Search",
    "search",
]

#: Boxes are cut slightly off their centre, so that roots at round numbers do not lie on every cut.
_CUT = arb("0.47")
_BUDGET = 20_000
_NARROWEST = 1e-300
_REFINEMENTS = 60


@dataclass(frozen=True)
class Search:
    """What a search found.

    Attributes:
        roots: boxes, each of which holds exactly one root of the first n equations at which the others vanish if m = n.
        undecided: boxes that may hold further roots, or roots of the first n equations at which the others are not
            proved different from 0.
        examined: number of boxes looked at.
    """

    roots: tuple[Box, ...]
    undecided: tuple[Box, ...]
    examined: int

    @property
    def complete(self) -> bool:
        """Whether every root in the box was found and everything else excluded."""
        return not self.undecided


def search(
    system: BallSystem, box: Sequence[arb], data: Sequence[arb], *, smallest: float | None = None, budget: int = _BUDGET
) -> Search:
    """Find all roots in a box.

    Args:
        system: m >= n equations in n unknowns.
        box: n balls.
        data: balls of the system's data.
        smallest: boxes narrower than this part of the first box are left undecided; by default the square root of the
            working precision, as near as two roots can be told from a double one.
        budget: boxes to look at before the rest is left undecided.
    """
    n = len(box)
    if smallest is None:
        smallest = max(2.0 ** -(ctx.prec // 2), _NARROWEST)
    widths = [part.rad() for part in box]
    pending: list[Box] = [tuple(box)]
    regions: list[tuple[Box, Box | None]] = []  # (where at most one root is, the root or None)
    undecided: list[Box] = []
    examined = 0
    while pending:
        current = pending.pop()
        examined += 1
        if examined > budget:
            undecided += [current, *pending]
            break
        if any(all(region[i].contains(current[i]) for i in range(n)) for region, _ in regions):
            continue
        if _excluded(system, current, data):
            continue
        # A box a little larger: a root on the border of two boxes is inside one of the enlarged ones.
        enlarged = tuple(arb(part.mid(), (part.rad() * arb("1.3")).upper()) for part in current)
        image = krawczyk_image(system, enlarged, data)
        if image is not None:
            if any(not current[i].overlaps(image[i]) for i in range(n)):
                continue
            if all(enlarged[i].contains_interior(image[i]) for i in range(n)):
                root = _refined(system, image, data)
                known = any(all(region[i].contains(root[i]) for i in range(n)) for region, _ in regions)
                inside = all(box[i].overlaps(root[i]) for i in range(n)) and not _excluded(system, root, data)
                if known or not inside:
                    regions.append((enlarged, None))
                elif len(system.equations) > n:
                    regions.append((enlarged, None))
                    undecided.append(root)
                else:
                    regions.append((enlarged, root))
                continue
            # Every root in the box lies in the image as well.
            current = tuple(part.intersection(new) for part, new in zip(current, image, strict=True))
        relative = [float(part.rad() / width) for part, width in zip(current, widths, strict=True)]
        if max(relative) < smallest:
            undecided.append(current)
            continue
        pending += _halves(current, relative.index(max(relative)))
    return Search(tuple(root for _, root in regions if root is not None), tuple(undecided), examined)


def _excluded(system: BallSystem, box: Box, data: Sequence[arb]) -> bool:
    """Whether some equation is proved not to vanish on the box."""
    if any(value.is_finite() and not value.contains(0) for value in system.values(box, data)):
        return True
    centre = tuple(part.mid() for part in box)
    at_centre = system.values(centre, data)
    for value, slopes in zip(at_centre, system.jacobian(box, data), strict=True):
        total = value + sum((s * (part - m) for s, part, m in zip(slopes, box, centre, strict=True)), arb(0))
        if total.is_finite() and not total.contains(0):
            return True
    return False


def _refined(system: BallSystem, box: Box, data: Sequence[arb]) -> Box:
    """A narrower box round the root of the first n equations in a box that passed the test."""
    for _ in range(_REFINEMENTS):
        image = krawczyk_image(system, box, data)
        if image is None or not all(part.overlaps(new) for part, new in zip(box, image, strict=True)):
            break
        inside = tuple(part.intersection(new) for part, new in zip(box, image, strict=True))
        if not any(2 * new.rad() < old.rad() for new, old in zip(inside, box, strict=True)):
            break
        box = inside
    if len(system.equations) > len(box):
        return box
    try:
        thin = certify_root(system, box, data)
    except RootNotCertifiedError:
        return box
    # Newton's method may have gone to another root.
    return thin if all(part.contains(new) for part, new in zip(box, thin, strict=True)) else box


def _halves(box: Box, index: int) -> list[Box]:
    low, high = box[index].lower(), box[index].upper()
    cut = (low + _CUT * (high - low)).mid()
    return [
        tuple(hull(low, cut) if i == index else part for i, part in enumerate(box)),
        tuple(hull(cut, high) if i == index else part for i, part in enumerate(box)),
    ]
