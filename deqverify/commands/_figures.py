"""Figures of the scripts as files: endings that are accepted, all or nothing (``numerics.publish.figures`` draws)."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deqverify.commands import _cli
from theory.equations import NTK_KINDS

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["FORMATS", "KERNEL_NAMES", "is_device", "made_from", "prepare_figure", "short_name", "write_figure"]

#: File endings that are accepted.
FORMATS = (".png", ".pdf", ".svg")
#: Kernels as titles name them, by the names of options.
KERNEL_NAMES = {"ck": "CK", **{f"ntk-{kind}": f"NTK ({kind})" for kind in NTK_KINDS}}


#: Characters of an activation's name or expression for which titles and legends have room.
_NAME_LENGTH = 40


def short_name(text: str) -> str:
    """A name or expression, cut where it is too long for a picture."""
    return text if len(text) <= _NAME_LENGTH else f"{text[: _NAME_LENGTH - 3]}..."


def made_from(*parts: str) -> str:
    """A caption: what a picture was made from, and by which version."""
    try:
        program = f"deqverify {version('deqverify')}"
    except PackageNotFoundError:
        program = "deqverify"
    return ", ".join((*parts, program))


def prepare_figure(option: str, target: str | None) -> None:
    """Raise UsageError when the format of a figure is not known from its target (None is no figure)."""
    if target is None:
        return
    _format(option, target)


def write_figure(target: str, figure: Figure, option: str = "") -> None:
    """Write a figure, without a date, so that the same figure gives the same bytes; all of it or nothing."""
    import matplotlib as mpl

    from numerics.publish import STYLE

    ending = _format(option, target)
    metadata: dict[str, Any] = {".pdf": {"CreationDate": None}, ".svg": {"Date": None}}.get(ending, {})
    drawn = BytesIO()
    with mpl.rc_context(STYLE):
        figure.savefig(drawn, format=ending[1:], metadata=metadata)
    _cli.write_bytes(target, drawn.getvalue())


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
    raise _cli.UsageError(f"{option} {target}: give a file that ends in {', '.join(FORMATS[:-1])} or {FORMATS[-1]}")
