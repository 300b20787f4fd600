"""Figures of the commands as files: endings that are accepted, all or nothing (``numerics.publish`` draws)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from deqverify.commands import _errors, _outputs
from theory.kernels import NTK_KINDS

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["FORMATS", "KERNEL_NAMES", "is_device", "prepare_figure", "write_figure"]

#: File endings that are accepted.
FORMATS = (".png", ".pdf", ".svg")
#: Kernels as titles name them, by the names of options.
KERNEL_NAMES = {"ck": "CK", **{f"ntk-{kind}": f"NTK ({kind})" for kind in NTK_KINDS}}


def prepare_figure(option: str, target: str | None) -> None:
    """Raise UsageError when the format of a figure is not known from its target (None is no figure)."""
    if target is None:
        return
    _format(option, target)


def write_figure(target: str, figure: Figure, option: str = "") -> None:
    """Write a figure, without a date, so that the same figure gives the same bytes; all of it or nothing."""
    from numerics.publish import figure_bytes

    _outputs.write_bytes(target, figure_bytes(figure, _format(option, target)[1:]))


def is_device(target: str) -> bool:
    """Whether a device or a pipe is at the path: something that is written through and never replaced."""
    path = Path(target)
    return bool(target) and path.exists() and not path.is_file() and not path.is_dir()


def _format(option: str, target: str) -> str:
    """The ending that says a figure's format; a device or a pipe has none, and gets that of its option, or PNG.

    Raises:
        UsageError: a file with another ending.
    """
    ending = Path(target).suffix.lower()
    if ending in FORMATS:
        return ending
    if is_device(target):
        own = f".{option.removeprefix('--')}"
        return own if own in FORMATS else FORMATS[0]
    raise _errors.UsageError(f"{option} {target}: give a file that ends in {', '.join(FORMATS[:-1])} or {FORMATS[-1]}")
