"""Names that options accept and results carry, without NumPy: laws of entries, data sets, formats of code."""

from __future__ import annotations

from typing import Literal, get_args

__all__ = ["CODE_FORMATS", "DATASETS", "ENTRY_LAWS", "NORMALISATIONS", "EntryLaw", "Normalisation"]

#: Laws of the entries of weights and noise, which ``numerics.data.draw_entries`` draws; "student" is Student's t.
EntryLaw = Literal["gaussian", "rademacher", "uniform", "student"]
ENTRY_LAWS: tuple[EntryLaw, ...] = get_args(EntryLaw)
#: Data sets that ``numerics.data.load_dataset`` knows by name.
DATASETS = ("fashion-mnist", "mnist", "digits", "cifar-10")
#: How ``numerics.data.Dataset.normalise`` scales samples: all by one number, that after centring, or each to norm 1.
Normalisation = Literal["none", "center", "sample"]
NORMALISATIONS: tuple[Normalisation, ...] = get_args(Normalisation)
#: What the text of an explicit network is written for, by ``numerics.publish.network_code``.
CODE_FORMATS = ("numpy", "torch", "sympy")
