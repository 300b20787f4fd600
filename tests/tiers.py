"""How many examples a property is given in each tier: few in every run, any number in a soak."""

from __future__ import annotations

from typing import Any

from hypothesis import settings

__all__ = ["examples"]


def examples(count: int, **options: Any) -> settings:
    """Return settings for a property whose examples are costly: `count` in a run, the profile's number if it has more.

    A soak gives every property as many as its profile says.
    """
    wanted = settings.default.max_examples
    return settings(max_examples=wanted if wanted > _MOST else min(count, wanted), **options)


#: Profiles with more examples than this are those of a soak.
_MOST = 200
