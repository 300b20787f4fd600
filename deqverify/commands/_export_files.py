"""The files of export_latex: where they go, what heads them, and writing them once all are known."""

from __future__ import annotations

import argparse
import hashlib
from pathlib import Path
from typing import Any

from deqverify.commands import _errors, _outputs

__all__ = ["author", "heading", "listed", "prepared_folder", "refuse_own_file", "write"]

#: The files of an export, besides its fragments.
_FILES = ("deq.tex", "macros.tex", "references.bib", "numbers.json")


def prepared_folder(target: str) -> Path:
    """Return the output folder, which may still be absent but could be made.

    Raises:
        UsageError: it is a file, or could not be made.
    """
    folder = Path(target)
    if folder.exists() and not folder.is_dir():
        raise _errors.UsageError(f"--output {target}: that is a file; give the name of a folder")
    _outputs.prepare_output(str(folder / "deq.tex" if folder.exists() else folder), "--output")
    return folder


def refuse_own_file(arguments: argparse.Namespace) -> None:
    """Refuse --json with the name of a file of the export itself, or of one that is read.

    Raises:
        UsageError: it is one.
    """
    if arguments.json in (None, "-"):
        return
    path, folder = Path(arguments.json).resolve(), Path(arguments.output).resolve()
    if path in {folder / name for name in _FILES} or path.is_relative_to(folder / "fragments"):
        raise _errors.UsageError(f"--json {arguments.json}: that is a file of the export itself; give another name")
    for option in ("verdicts", "deq"):
        read = getattr(arguments, option)
        if read is not None and path == Path(read).resolve():
            raise _errors.UsageError(f"--json {arguments.json}: that is the file --{option} reads; give another name")


def author() -> str:
    """Return what makes the files."""
    return f"deqverify {_outputs.provenance()['versions']['deqverify']}"


def heading(of: str, *lines: str) -> str:
    """Return a comment for the top of a file: what made it, and from what."""
    text = "\n".join([f"{author()}, export_latex.py: {of}", *lines])
    return "".join(f"% {' '.join(line.split())}\n" for line in text.splitlines())


def write(folder: Path, files: dict[str, str]) -> None:
    """Write the files, each of them all or nothing, once all of them are known.

    Raises:
        UsageError: one cannot be written.
    """
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        _outputs.write_text(str(path), text)


def listed(files: dict[str, str]) -> list[dict[str, Any]]:
    """Return the files as a manifest has them."""
    return [
        {"path": name, "bytes": len(text.encode()), "sha256": hashlib.sha256(text.encode()).hexdigest()}
        for name, text in files.items()
    ]
