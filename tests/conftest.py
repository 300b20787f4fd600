"""Settings for every test: what Hypothesis draws, global precision kept as it was found, and measured power printed."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import flint
import mpmath
import pytest
from hypothesis import Phase, settings

from tests.tiers import SOAK

# Programs that tests start import this checkout's packages too, whatever is installed.
os.environ["PYTHONPATH"] = os.pathsep.join(
    [str(Path(__file__).resolve().parent.parent), *filter(None, [os.environ.get("PYTHONPATH")])]
)

# No deadline: the first example of a test often pays for an import or a derivation.  No database: what is drawn depends
# on the profile, the seed and the code alone, so that a failure can be had again on any machine.
settings.register_profile(
    "day",
    max_examples=25,
    deadline=None,
    database=None,
    print_blob=True,
    phases=[Phase.explicit, Phase.generate, Phase.shrink],
)
settings.register_profile("fixed", settings.get_profile("day"), derandomize=True)
settings.register_profile(SOAK, settings.get_profile("day"), max_examples=500)
settings.load_profile("day")

#: Names the seed of another day's draws.
_SEED = "DEQVERIFY_SEED"


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Seed the draws, before Hypothesis looks for a seed: the day's (UTC), unless another is given."""
    if config.option.hypothesis_seed is None:
        config.option.hypothesis_seed = os.environ.get(_SEED) or f"{datetime.now(UTC):%Y%m%d}"


def pytest_report_header(config: pytest.Config) -> str:
    """Say what is drawn."""
    profile = config.option.hypothesis_profile or "day"
    seed = "the same in every run" if profile == "fixed" else f"seed {config.option.hypothesis_seed}"
    return f"draws of the properties: {profile}, {seed}"


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Print what tests recorded of their power, and say how each failed one is run again on the same draws."""
    reports = [report for state in ("passed", "failed") for report in terminalreporter.getreports(state)]
    power = [value for report in reports for name, value in report.user_properties if name == "power"]
    if power:
        terminalreporter.section("power")
        terminalreporter.write_line("\n".join(power))
    profile = config.option.hypothesis_profile
    options = f"--hypothesis-profile={profile} " if profile else ""
    for report in terminalreporter.getreports("failed"):
        command = f"{_SEED}={config.option.hypothesis_seed} make test ARGS=\"{options}'{report.nodeid}'\""
        terminalreporter.write_line(f"again: {command}")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what only a soak has time for."""
    if config.option.hypothesis_profile != SOAK:
        left_out = [item for item in items if item.get_closest_marker("soak")]
        items[:] = [item for item in items if item not in left_out]
        config.hook.pytest_deselected(items=left_out)


_DEFAULT_BITS = 53


def _precisions() -> dict[str, int]:
    return {"mpmath.mp": mpmath.mp.prec, "mpmath.iv": mpmath.iv.prec, "flint.ctx": flint.ctx.prec}


def _reset_precision() -> None:
    mpmath.mp.prec = _DEFAULT_BITS
    mpmath.iv.prec = _DEFAULT_BITS
    flint.ctx.prec = _DEFAULT_BITS


@pytest.fixture(autouse=True)
def precision_is_left_alone() -> Iterator[None]:
    """Start at 53 bits everywhere, and fail a test that leaves another precision behind.

    These settings are global to the process: code that changes one without putting it back
    changes the digits of whatever runs next.
    """
    _reset_precision()
    before = _precisions()
    yield
    after = _precisions()
    _reset_precision()
    changed = [f"{name} {before[name]} -> {after[name]} bits" for name in before if before[name] != after[name]]
    if changed:
        pytest.fail("the test left a changed precision behind: " + ", ".join(changed))
