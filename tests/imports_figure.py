"""Draw the packages of theory and numerics by level, with the imports between them as arrows.

An import that others imply is left out: of a -> b -> c and a -> c the last.

Run as ``python tests/imports_figure.py PATH``.  Levels and imports are those that ``test_architecture`` holds.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Collection
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import matplotlib as mpl  # noqa: E402

mpl.use("agg")
from matplotlib.figure import Figure  # noqa: E402

from tests.test_architecture import FLOORS, LEVELS, _floor_files, _imports, _parse  # noqa: E402

__all__ = ["between_packages", "draw"]


def between_packages() -> Counter[tuple[str, str]]:
    """Imports between packages: (importing, imported) -> how many lines."""
    found: Counter[tuple[str, str]] = Counter()
    for name in _floor_files():
        parts = name.removesuffix(".py").split("/")
        if parts[0] not in LEVELS or len(parts) < 2 or parts[1] == "__init__":
            continue
        own = f"{parts[0]}.{parts[1]}"
        for _, module in _imports(_parse(name), name):
            target = module.split(".")
            if target[0] in FLOORS and len(target) > 1 and ".".join(target[:2]) != own:
                found[own, ".".join(target[:2])] += 1
    return found


def without_implied(edges: Collection[tuple[str, str]]) -> set[tuple[str, str]]:
    """The edges but for those that a longer path replaces."""
    beyond: dict[str, set[str]] = {}
    for importing, imported in edges:
        beyond.setdefault(importing, set()).add(imported)

    def reached(start: str) -> set[str]:
        """All that is imported by what ``start`` imports, at any distance."""
        seen, left = set[str](), list(beyond.get(start, ()))
        while left:
            for further in beyond.get(left.pop(), ()):
                if further not in seen:
                    seen.add(further)
                    left.append(further)
        return seen

    return {(importing, imported) for importing, imported in edges if imported not in reached(importing)}


def draw(target: Path) -> None:
    """Write the figure; arrows that run up would be red."""
    places = {}
    base = 0.0
    for floor, levels in LEVELS.items():
        for names in levels:
            for position, name in enumerate(sorted(names)):
                places[f"{floor}.{name}"] = ((position + 0.5) / len(names), base)
            base += 1
        base += 0.5
    figure = Figure(figsize=(8, 9), layout="constrained")
    axes = figure.add_subplot()
    axes.set(xlim=(0, 1), ylim=(-0.5, base - 0.5))
    axes.axis("off")
    edges = between_packages()
    up = {edge for edge in edges if places[edge[1]][1] >= places[edge[0]][1]}
    for edge in sorted(without_implied(edges) | up):
        (x, y), (u, v) = (places[end] for end in edge)
        style = {"color": "tab:red" if edge in up else "0.45", "lw": 0.9, "arrowstyle": "->"}
        axes.annotate("", (u, v + 0.17), (x, y - 0.17), arrowprops=style)
    for name, place in places.items():
        floor, short = name.split(".")
        look = {"boxstyle": "round", "fc": "#dbe9f6" if floor == "theory" else "#fdebd0", "ec": "0.4"}
        axes.annotate(short, place, ha="center", va="center", fontsize=9, bbox=look)
    for floor, level in (("theory", 0.0), ("numerics", len(LEVELS["theory"]) + 0.5)):
        axes.annotate(floor, (0.0, level - 0.35), fontsize=11, weight="bold")
    figure.savefig(target, dpi=110)


if __name__ == "__main__":
    draw(Path(sys.argv[1]))
