"""Standard streams that take any text: plain letters where the encoding has no Greek, and nothing where one is closed.

Tables are written with the symbols of the theory.  Where an encoding lacks one (ASCII, Latin-1), the stream itself puts
what the papers' LaTeX would say: sigma_a^2 for its Greek, tau_* and E[phi'^2].
"""

from __future__ import annotations

import codecs
import os
import sys
import unicodedata
from contextlib import suppress
from io import TextIOWrapper
from pathlib import Path
from typing import Any

__all__ = ["as_written", "is_closed", "is_unicode", "prepare_streams", "silence"]

_HANDLER = "deqverify-plain"
_GREEK = {
    "α": "alpha", "β": "beta", "γ": "gamma", "δ": "delta", "ε": "epsilon", "ζ": "zeta", "η": "eta", "θ": "theta",
    "κ": "kappa", "λ": "lambda", "μ": "mu", "ν": "nu", "ξ": "xi", "π": "pi", "ρ": "rho", "σ": "sigma", "τ": "tau",
    "φ": "phi", "χ": "chi", "ψ": "psi", "ω": "omega", "Γ": "Gamma", "Δ": "Delta", "Θ": "Theta", "Λ": "Lambda",
    "Ξ": "Xi", "ϵ": "epsilon", "ϕ": "phi", "Π": "Pi", "Σ": "Sigma", "Φ": "Phi", "Ψ": "Psi", "Ω": "Omega",
}  # fmt: skip
_SYMBOLS = {
    "′": "'", "″": "''", "‴": "'''", "‖": "||", "−": "-", "–": "-", "—": "-", "‘": "'", "’": "'", "“": '"', "”": '"',
    "…": "...", "∞": "inf", "±": "+-", "×": "x", "·": "*", "≤": "<=", "≥": ">=", "≠": "!=", "≈": "~", "∈": "in",
    "√": "sqrt", "∫": "int", "∂": "d", "∑": "sum", "→": "->", "←": "<-", "✓": "yes", "✗": "no", "∘": "o", "̄": "bar",
    "Ḡ": "Gbar", "¯": "bar", "°": "^o", "↦": "->",
    "⊤": "T", "⋅": "*", "∗": "*", "•": "*", "●": "*", "░": ".", "▒": ":", "▓": "#", "█": "#",
}  # fmt: skip
#: How the decomposition of a character tells a superscript or a subscript.
_LEVELS = {"<super>": "^", "<sub>": "_"}
_INDICES = {"a", "b", "*"}
#: Names of the streams that were closed when the program began.
_CLOSED: set[str] = set()


def prepare_streams() -> None:
    """Make standard output and standard error take any text, and stand in for those that are closed."""
    # A closed descriptor would be given to the next file that is opened, and tables written into that.
    for descriptor in (0, 1, 2):
        try:
            os.fstat(descriptor)
        except OSError:
            opened = os.open(os.devnull, os.O_RDWR)
            os.dup2(opened, descriptor)
            if opened != descriptor:
                os.close(opened)
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            _CLOSED.add(name)
            setattr(sys, name, Path(os.devnull).open("w", encoding="utf-8"))  # noqa: SIM115
        elif isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors=_HANDLER)


def is_closed(name: str) -> bool:
    """Whether a stream, "stdout" or "stderr", was closed when the program began."""
    return name in _CLOSED


def is_unicode(stream: Any) -> bool:
    """Whether a stream writes UTF-8."""
    try:
        return codecs.lookup(getattr(stream, "encoding", None) or "utf-8").name == "utf-8"
    except LookupError:
        return False


def as_written(text: str, stream: Any) -> str:
    """Return a text as it will look in a stream: what its encoding lacks is longer when it stands in plain letters."""
    if is_unicode(stream):
        return text
    encoding = stream.encoding
    return text.encode(encoding, errors=_HANDLER).decode(encoding)


def silence(stream: Any) -> None:
    """Send what a stream still holds, and all that follows, nowhere: its reader has gone, or its disk is full."""
    with suppress(OSError, ValueError, AttributeError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)


def _plain(error: UnicodeError) -> tuple[str, int]:
    """What stands in for characters that an encoding lacks, as a handler of `codecs`."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    written, before = "", ""
    for place in range(error.start, error.end):
        letter, following = error.object[place], error.object[place + 1 : place + 2]
        level = _level(letter)
        if level:
            # One mark for a whole superscript or subscript.
            written += ("" if level == before else level) + _basic(letter)
        elif letter in _GREEK:
            # An a or b right after a Greek letter is its index, and so is an asterisk: sigma_a, tau_*; others are not.
            apart = following.isalpha() and not _level(following)
            written += _GREEK[letter] + ("_" if following in _INDICES else " " if apart else "")
        else:
            written += _SYMBOLS.get(letter) or _basic(letter)
        before = level
    return written, error.end


def _level(letter: str) -> str:
    """The mark of a superscript or a subscript, or nothing."""
    return _LEVELS.get(unicodedata.decomposition(letter).partition(" ")[0], "") if letter else ""


def _basic(letter: str) -> str:
    """The ASCII characters that a letter is made of, or its escape where there are none."""
    parts = unicodedata.normalize("NFKD", letter)
    plain = "".join(_GREEK.get(part) or _SYMBOLS.get(part, part) for part in parts).encode("ascii", "ignore").decode()
    return plain or letter.encode("ascii", "backslashreplace").decode("ascii")


codecs.register_error(_HANDLER, _plain)
