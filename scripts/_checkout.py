"""Puts this checkout first on the path of imports; to be imported before anything of theory/ or numerics/.

Two checkouts may share one environment, in which only one of them is installed: without this, the scripts of the other
would run the installed one's packages without a word.  Workers that joblib and Dask start are given the same path.
"""

from __future__ import annotations

import sys
from pathlib import Path

__all__ = ["ROOT"]

#: The folder of theory/, numerics/ and scripts/.
ROOT = Path(__file__).resolve().parent.parent

if str(ROOT) in sys.path:
    sys.path.remove(str(ROOT))
sys.path.insert(0, str(ROOT))
