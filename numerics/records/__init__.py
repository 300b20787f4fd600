"""Files: written whole or not at all, with the versions that made them; records of finished work."""

from numerics.records.derivations import MOMENT_NAMES, DerivedMoments, cache_folder, decode, derive, encode
from numerics.records.files import remove_stale_drafts, write_whole

__all__ = [
    "MOMENT_NAMES",
    "DerivedMoments",
    "cache_folder",
    "decode",
    "derive",
    "encode",
    "remove_stale_drafts",
    "write_whole",
]
