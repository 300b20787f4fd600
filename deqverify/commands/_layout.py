"""Tables for terminals of any width: digits are wrapped, never cut, and words go where there is room for them."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from functools import partial
from itertools import zip_longest
from typing import TYPE_CHECKING

from deqverify.commands._streams import as_written

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["print_parts", "show_columns", "show_line", "show_rows", "show_text", "total_width"]

_GAP = 2
_INDENT = "    "
#: Characters that a column of words, or of digits, must have to stand beside another.
_FEWEST_WORDS, _FEWEST_DIGITS = 30, 20
#: Characters of a line in the narrowest of terminals.
_LEAST = 8


def show_rows(
    console: Console, rows: Sequence[tuple[str, str, str]], *, value_style: str = "", note_style: str = ""
) -> None:
    """Print rows of a label, a value and a note.

    The value is broken at any character, the note between words.  Both stand beside the label where the console is wide
    enough; else the note stands below the value, and in narrow consoles both below the label.

    Args:
        console: where to.
        rows: label, value and note, each of which may be empty.
        value_style: rich's style of the values.
        note_style: rich's style of the notes.
    """
    from rich.cells import cell_len

    shown = partial(as_written, stream=console.file)
    rows = [(shown(label), shown(value), shown(note)) for label, value, note in rows]
    width = console.width
    label_width = max(cell_len(label) for label, _, _ in rows)
    value_width = max(cell_len(value) for _, value, _ in rows)
    note_width = max(cell_len(note) for _, _, note in rows)
    left = label_width + _GAP
    middle = left + value_width + _GAP * bool(value_width)
    beside = width - middle >= min(note_width, _FEWEST_WORDS)
    below_label = not beside and width - left < min(max(value_width, note_width), _FEWEST_DIGITS)
    for label, value, note in rows:
        start = _GAP if below_label else left
        room = max(width - start, _LEAST)
        values = [value[place : place + room] for place in range(0, len(value), room)]
        lines = [[(start, part, value_style)] for part in values]
        notes = _words(note, max(width - middle, _LEAST) if beside else room)
        if beside:
            lines = lines or [[]] * bool(notes)
            lines += [[] for _ in range(len(notes) - len(lines))]
            for line, part in zip(lines, notes, strict=False):
                line.append((middle, part, note_style))
        else:
            lines += [[(start, part, note_style)] for part in notes]
        if below_label:
            lines.insert(0, [])
        for number, line in enumerate(lines or [[]]):
            print_parts(console, [(0, label if number == 0 else "", ""), *line])


def show_columns(
    console: Console, headings: Sequence[str], rows: Sequence[Sequence[str]], *, left: Sequence[int] = ()
) -> None:
    """Print a table; where it is wider than the console, as several, each of which begins with the first column.

    Args:
        console: where to.
        headings: of the columns.
        rows: the cells.
        left: the columns whose cells are words, flush left; the others are numbers, flush right.
    """
    from rich.cells import cell_len

    headings, *rows = [[as_written(cell, console.file) for cell in row] for row in (headings, *rows)]
    cells = [max((cell_len(row[k]) for row in rows), default=0) for k in range(len(headings))]
    widths = [max(cell, cell_len(heading)) for cell, heading in zip(cells, headings, strict=True)]
    blocks = [list(range(len(headings)))]
    if total_width(headings, rows) > console.width:
        longest = [max(map(cell_len, heading.split()), default=0) for heading in headings]
        widths = [max(pair) for pair in zip(cells, longest, strict=True)]
        # Words of the first column are broken where no other column has room beside them.
        beside = max(widths[1:], default=0)
        if 0 in left and widths[0] + _GAP + beside > console.width:
            widths[0] = max(console.width - _GAP - beside, _LEAST, longest[0])
        blocks = _blocks(widths, console.width)
    for block in blocks:
        for number, row in enumerate([headings, *rows]):
            # Numbers are never broken.
            broken = [_words(row[k], widths[k]) if k in left or number == 0 else [row[k]] for k in block]
            for line in zip_longest(*broken, fillvalue=""):
                parts, place = list[tuple[int, str, str]](), 0
                for k, cell in zip(block, line, strict=True):
                    shift = 0 if k in left else widths[k] - cell_len(cell)
                    parts.append((place + shift, cell, "" if number else "bold"))
                    place += widths[k] + _GAP
                print_parts(console, parts)


def show_text(console: Console, text: str, style: str = "") -> None:
    """Print a paragraph, broken between words once it is spelled as the console can write it."""
    from rich.text import Text

    console.print(Text(as_written(text, console.file), style))


def total_width(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> int:
    """Return the width of a table whose headings are not broken."""
    from rich.cells import cell_len

    columns = zip(headings, *rows, strict=True)
    return sum(max(map(cell_len, column)) + _GAP for column in columns) - _GAP


def _blocks(widths: Sequence[int], available: int) -> list[list[int]]:
    """Columns after the first, together as far as they fit beside it, and at least one at a time."""
    blocks, used = list[list[int]](), 0
    for k in range(1, len(widths)):
        if not blocks or used + _GAP + widths[k] > available:
            blocks.append([0])
            used = widths[0]
        blocks[-1].append(k)
        used += _GAP + widths[k]
    return blocks or [[0]]


def _words(text: str, width: int) -> list[str]:
    """A text in lines, broken between words where they are not longer than a line."""
    return textwrap.wrap(text, width, break_on_hyphens=False) if text else []


def print_parts(console: Console, parts: Sequence[tuple[int, str, str]]) -> None:
    """Print one line of (column, text, style), whatever its length."""
    from rich.text import Text

    line = Text()
    for place, text, style in parts:
        if text:
            line.append(" " * max(place - line.cell_len, 0))
            line.append(text, style or None)
    console.print(line, soft_wrap=True)


def show_line(console: Console, line: str, *, below: str = "", style: str = "") -> None:
    """Print a line, and indented below it what belongs to it, both as wide as the terminal and no wider."""
    from rich.text import Text

    width = max(console.width, 4 * len(_INDENT))
    # A number and its per cent sign stay together.
    line, below = (text.replace(" %", "\N{NO-BREAK SPACE}%") for text in (line, below))
    for text, first, rest, look in ((line, "", 2 * _INDENT, style), (below, _INDENT, _INDENT, "")):
        for part in textwrap.wrap(text, width, initial_indent=first, subsequent_indent=rest, break_on_hyphens=False):
            console.print(Text(part.replace("\N{NO-BREAK SPACE}", " "), look), soft_wrap=True)
