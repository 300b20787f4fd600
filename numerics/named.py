"""Names that options accept and results carry, without NumPy: laws of entries, and formats of code."""

from __future__ import annotations

from typing import Literal, get_args

__all__ = ["CODE_FORMATS", "ENTRY_LAWS", "EntryLaw"]

#: Laws of the entries of weights and noise, which ``numerics.data.draw_entries`` draws; "student" is Student's t.
EntryLaw = Literal["gaussian", "rademacher", "uniform", "student"]
ENTRY_LAWS: tuple[EntryLaw, ...] = get_args(EntryLaw)
#: What the text of an explicit network is written for, by ``numerics.publish.network_code``.
CODE_FORMATS = ("numpy", "torch", "sympy")
