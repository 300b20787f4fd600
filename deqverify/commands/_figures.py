"""Figures of the scripts as files: endings that are accepted, all or nothing (``numerics.publish.figures`` draws)."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deqverify.commands import _cli

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["FORMATS", "prepare_figure", "write_figure"]

#: File endings that are accepted.
FORMATS = (".png", ".pdf", ".svg")


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

    from numerics.publish import STYLE

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
