"""How many examples a property is given in each tier: few in a run, the profile's number in a soak."""

from __future__ import annotations

from typing import Any

from hypothesis import settings

__all__ = ["SOAK", "examples"]

#: The profile of `make soak`, see tests/conftest.py.
SOAK = "soak"


def examples(count: int, **options: Any) -> settings:
    """Settings of a property whose examples are costly, or rarely accepted: `count` of them outside of a soak."""
    soaking = settings.get_current_profile_name() == SOAK
    return settings(max_examples=settings.default.max_examples if soaking else count, **options)
