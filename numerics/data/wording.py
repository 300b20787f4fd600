"""How sentences about data count and list."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["counted", "listed"]

#: Names that a text shows, and characters of them all.
_NAMES, _CHARACTERS = 12, 120


def counted(count: int, noun: str) -> str:
    """Return a number of things in words.

    Example:
        >>> counted(1, "sample"), counted(3, "sample")
        ('1 sample', '3 samples')
    """
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def listed(names: Sequence[str]) -> str:
    """Return names with commas between them, the first few of many.

    Example:
        >>> listed(["cat", "dog"]), listed([str(k) for k in range(100)])
        ('cat, dog', '0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11 and 88 more')
    """
    shown = min(len(names), _NAMES)
    while shown > 1 and sum(map(len, names[:shown])) > _CHARACTERS:
        shown -= 1
    more = len(names) - shown
    return ", ".join(names[:shown]) + (f" and {more} more" if more else "")
