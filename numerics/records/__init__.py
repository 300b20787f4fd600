"""Files: written whole or not at all, with the versions that made them; records of finished work."""

from numerics.records.campaign import (
    CampaignError,
    CellKey,
    Progress,
    RecordFolderError,
    campaign_digest,
    run_campaign,
    workers,
)
from numerics.records.derivations import (
    MOMENT_NAMES,
    DerivedMoments,
    cache_folder,
    decode,
    derivation_digest,
    derive,
    encode,
)
from numerics.records.files import remove_stale_drafts, write_whole
from numerics.records.versions import provenance, source_digest

__all__ = [
    "MOMENT_NAMES",
    "CampaignError",
    "CellKey",
    "DerivedMoments",
    "Progress",
    "RecordFolderError",
    "cache_folder",
    "campaign_digest",
    "decode",
    "derivation_digest",
    "derive",
    "encode",
    "provenance",
    "remove_stale_drafts",
    "run_campaign",
    "source_digest",
    "workers",
    "write_whole",
]
