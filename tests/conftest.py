"""Settings for every test: Hypothesis profiles, global precision kept as it was found, and measured power printed."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import flint
import mpmath
import pytest
from hypothesis import Phase, settings

# Programs that tests start import this checkout's packages too, whatever is installed.
os.environ["PYTHONPATH"] = os.pathsep.join(
    [str(Path(__file__).resolve().parent.parent), *filter(None, [os.environ.get("PYTHONPATH")])]
)

# No deadline: the first example of a test often pays for an import or a derivation.
settings.register_profile("dev", max_examples=25, deadline=None)
# The same examples on every run and no database, so that a failure in CI can be had again at will.
settings.register_profile(
    "ci",
    max_examples=100,
    deadline=None,
    derandomize=True,
    database=None,
    print_blob=True,
    phases=[Phase.explicit, Phase.generate, Phase.shrink],
)
settings.load_profile("ci" if os.environ.get("CI", "").lower() in {"1", "true"} else "dev")

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


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print what tests recorded of their power, by `record_property("power", ...)`."""
    reports = [report for state in ("passed", "failed") for report in terminalreporter.getreports(state)]
    lines = [value for report in reports for name, value in report.user_properties if name == "power"]
    if lines:
        terminalreporter.section("power")
        terminalreporter.write_line("\n".join(lines))
