"""Examples in docstrings run, and every name of the front door has one."""

from __future__ import annotations

import doctest
import importlib
from pathlib import Path

import pytest

import deqverify

ROOT = Path(__file__).resolve().parent.parent


def _modules() -> list[str]:
    """Modules whose docstrings have examples."""
    found = []
    for path in sorted(path for top in ("deqverify", "theory", "numerics") for path in (ROOT / top).rglob("*.py")):
        if ">>> " in path.read_text(encoding="utf-8"):
            found.append(".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"))
    return found


@pytest.mark.parametrize("module", _modules())
def test_examples_print_what_they_show(module: str) -> None:
    done = doctest.testmod(importlib.import_module(module))
    assert done.attempted > 0
    assert done.failed == 0


def test_every_name_of_the_front_door_has_an_example() -> None:
    # The others are a version and a table of claims, whose entries are data.
    names = set(deqverify.__all__) - {"__version__", "CLAIMS"}
    assert [name for name in sorted(names) if ">>> " not in (getattr(deqverify, name).__doc__ or "")] == []
    results = importlib.import_module("deqverify.results")
    types = [name for name in results.__all__ if name[0].isupper()]
    assert [name for name in types if ">>> " not in (getattr(results, name).__doc__ or "")] == []


def test_a_wrong_example_fails() -> None:
    wrong = doctest.DocTestParser().get_doctest(">>> 1 + 1\n3\n", {}, "wrong", None, None)
    assert doctest.DocTestRunner(verbose=False).run(wrong, out=lambda _: None).failed == 1
