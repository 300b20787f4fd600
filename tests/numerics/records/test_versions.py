"""The digests that guard records: they cover what can change one, and nothing else."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from numerics.records import campaign_digest, derivation_digest, provenance, source_digest

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tree")
    for package in ("theory", "numerics"):
        shutil.copytree(ROOT / package, folder / package, ignore=shutil.ignore_patterns("__pycache__"))
    return folder


def changed_digests(root: Path, name: str) -> set[str]:
    """Which digests a comma more in a file changes."""
    path = root / name
    text = path.read_text(encoding="utf-8")
    before = {"campaign": campaign_digest(root), "derivation": derivation_digest(root)}
    path.write_text(f"{text}# ,\n", encoding="utf-8")
    try:
        after = {"campaign": campaign_digest(root), "derivation": derivation_digest(root)}
    finally:
        path.write_text(text, encoding="utf-8")
    return {kind for kind in before if before[kind] != after[kind]}


@pytest.mark.parametrize(
    ("name", "voided"),
    [
        ("theory/latex/layout.py", set()),
        ("numerics/publish/report.py", set()),
        ("numerics/publish/paper/words.py", set()),
        ("theory/claims/__init__.py", {"campaign"}),
        ("theory/matching/equations.py", {"campaign"}),
        ("numerics/kernels/duals.py", {"campaign"}),
        ("numerics/records/campaign.py", {"campaign"}),
        ("numerics/arrays.py", {"campaign"}),
        ("theory/moments/stein.py", {"campaign", "derivation"}),
        ("theory/grammar/bounds.py", {"campaign", "derivation"}),
        ("theory/symbols.py", {"campaign", "derivation"}),
        ("numerics/records/derivations.py", {"campaign", "derivation"}),
    ],
)
def test_a_change_voids_only_what_it_can_change(original: Path, name: str, voided: set[str]) -> None:
    assert changed_digests(original, name) == voided


def test_digests_are_those_of_the_packages_that_run(original: Path) -> None:
    assert campaign_digest() == campaign_digest(original)
    assert derivation_digest() == derivation_digest(original)


def test_a_file_more_and_another_name_are_changes(original: Path) -> None:
    before = campaign_digest(original)
    more = original / "theory" / "more.py"
    more.write_text("", encoding="utf-8")
    added = campaign_digest(original)
    more = more.rename(more.with_name("other.py"))
    renamed = campaign_digest(original)
    more.unlink()
    assert len({before, added, renamed}) == 3
    assert campaign_digest(original) == before


_ABOVE = {
    "numerics.records.derivations": ("theory.claims", "theory.latex", "theory.matching"),
    "numerics.experiments, numerics.ledger": ("theory.latex", "numerics.publish"),
}


@pytest.mark.parametrize("used", _ABOVE)
def test_what_is_left_out_is_not_imported(used: str) -> None:
    """What a digest leaves out, what it guards does not use."""
    program = f"import sys, {used}; print(*(name for name in {_ABOVE[used]} if name in sys.modules))"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


@pytest.mark.parametrize("paths", [("theory", "numerics/nothing.py"), ("nothing",)])
def test_a_digest_of_nothing_is_refused(original: Path, paths: tuple[str, ...]) -> None:
    for root in (None, original):
        with pytest.raises(ValueError, match="nothing"):
            source_digest(paths, root=root)


def test_a_package_left_out_must_exist(original: Path) -> None:
    with pytest.raises(ValueError, match="theory/latexx"):
        source_digest(("theory",), ("theory/latexx",), original)


def test_provenance_names_versions_and_the_seed() -> None:
    assert provenance(3)["seed"] == 3
    assert "seed" not in provenance()
    assert provenance()["versions"]["python"] == ".".join(map(str, sys.version_info[:3]))
