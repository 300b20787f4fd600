"""The layout of help: paragraphs, lists and commands that fit the terminal, named as the user calls them."""

from __future__ import annotations

import re
import shlex
import textwrap

from deqverify.commands import COMMANDS

__all__ = ["laid_out", "spelled"]

#: Spaces before a line of a list, and least spaces before one that goes on.
_INDENT, _DEEPER = 2, 6
_COMMAND = re.compile(rf"\bdeqverify ({'|'.join(COMMANDS)})(?![\w-])")
#: A word of a list and the spaces after it, where its explanation stands in a column.
_TERM = re.compile(r" *\S+ {2,}(?=\S)")


def spelled(text: str, program: str) -> str:
    """Name the commands of a text as the user called this one: "deqverify solve", or "solve.py" for a script.

    Args:
        text: with every command as in "deqverify solve".
        program: what this program was called as.
    """
    if not program.endswith(".py"):
        return text
    return _COMMAND.sub(lambda found: f"{found[1].replace('-', '_')}.py", text)


def laid_out(text: str, width: int) -> str:
    """Fit a text to a width.

    Lines that begin at the margin are filled as paragraphs.  Those that begin with two spaces are items, deeper ones go
    on with an item.  Items that call a program are commands: they are broken where a shell lets them be.

    Args:
        text: the paragraphs and lists.
        width: characters of a line.
    """
    lines = list[str]()
    for block in _blocks(text):
        if not block.startswith(" "):
            lines += textwrap.wrap(block, width, break_on_hyphens=False) or [""]
        elif re.match(r" *(deqverify \S|\w+\.py\b)", block):
            lines += _command(block.strip(), width)
        else:
            term = _TERM.match(block)
            hanging = " " * (term.end() if term else _INDENT)
            lines += textwrap.wrap(block, width, subsequent_indent=hanging, break_on_hyphens=False)
    return "\n".join(lines)


def _blocks(text: str) -> list[str]:
    """Paragraphs, items and empty lines, each as one line."""
    found = list[str]()
    for line in text.strip("\n").split("\n"):
        indent, before = len(line) - len(line.lstrip()), found[-1] if found else ""
        apart = not line or not before or before.endswith(":")
        if not apart and (indent >= _DEEPER or (indent == 0 and not before.startswith(" "))):
            found[-1] += f" {line.strip()}"
        else:
            found.append(line.rstrip())
    return found


def _command(line: str, width: int) -> list[str]:
    """A command in as few lines as fit, broken before its options; a comment that does not fit stands above."""
    margin = " " * _INDENT
    if len(line) + _INDENT <= width:
        return [margin + line]
    command, mark, comment = line.partition("  # ")
    if mark:
        return [*textwrap.wrap(f"{margin}# {comment}", width), *_command(command, width)]
    groups = list[str]()
    for word in shlex.split(command, posix=False):
        if groups and not word.startswith("--"):
            groups[-1] += f" {word}"
        else:
            groups.append(word)
    lines = [margin + groups[0]]
    for group in groups[1:]:
        if len(lines[-1]) + len(group) + len(" ") + len(" \\") <= width:
            lines[-1] += f" {group}"
        else:
            lines[-1] += " \\"
            lines.append(f"{margin}    {group}")
    return lines
