"""Figures of the scripts as files: endings that are accepted, all or nothing (``numerics.figures`` draws)."""

from __future__ import annotations

import os
import tempfile
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import _cli

from theory.implicit import NTK_KINDS

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["FORMATS", "KERNEL_NAMES", "made_from", "prepare_figure", "short_name", "write_figure"]

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
    """Raise UsageError when a figure could not be written to ``target`` later (None is no figure)."""
    if target is None:
        return
    if Path(target).suffix.lower() not in FORMATS:
        raise _cli.UsageError(f"{option} {target}: give a file that ends in {', '.join(FORMATS[:-1])} or {FORMATS[-1]}")
    _cli.prepare_output(target, option)


def write_figure(target: str, figure: Figure) -> None:
    """Write a figure, without a date, so that the same figure gives the same bytes; all of it or nothing."""
    import matplotlib as mpl

    from numerics.figures import STYLE

    path = Path(target)
    ending = path.suffix.lower()
    metadata: dict[str, Any] = {".pdf": {"CreationDate": None}, ".svg": {"Date": None}}.get(ending, {})
    handle, temporary = tempfile.mkstemp(suffix=ending, dir=path.parent)
    os.close(handle)
    try:
        with mpl.rc_context(STYLE):
            figure.savefig(temporary, metadata=metadata)
        _cli.move_into_place(temporary, path)
    finally:
        Path(temporary).unlink(missing_ok=True)
