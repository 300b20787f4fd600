"""The cache of derivations: what it returns is what would be derived, whatever lies in its folder."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
import sympy as sp

from numerics.records import MOMENT_NAMES, cache_folder, decode, derivations, derive, encode
from theory.activations import Activation, registry
from theory.equations import moment_definitions
from theory.moments import GaussianMoments
from theory.symbols import tau, x


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DEQVERIFY_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.mark.parametrize("name", ["elu", "gelu", "tanh", "softsign", "snake", "sign", "exp_bump", "squareplus"])
def test_second_derivation_is_read_and_equal(name: str) -> None:
    activation = registry.registered(name)
    first, second = derive(activation), derive(activation)
    assert (first.cached, second.cached) == (False, True)
    assert second.values == first.values
    assert second.divergent == first.divergent
    moments = GaussianMoments(activation)
    assert second.definitions == moment_definitions(moments)
    assert all(getattr(moments, key) == value for key, value in second.values.items())
    assert {*second.values, *second.divergent} == set(MOMENT_NAMES)
    assert second.values["mean"].free_symbols <= {tau, *(p.symbol for p in activation.parameters)}


def test_kinks_without_a_formula_are_stored() -> None:
    activation = Activation.from_text("Max(x**5 - x - 1, 0)")
    derive(activation)
    assert derive(activation).cached


def test_parameters_of_one_name_with_other_assumptions_are_kept_apart() -> None:
    real, positive = sp.Symbol("a", real=True), sp.Symbol("a", positive=True)
    derive(Activation("f", real * x))
    other = derive(Activation("f", positive * x))
    assert not other.cached
    assert positive in other.values["variance"].free_symbols


@pytest.mark.parametrize(
    "damage",
    [
        "",
        "[]",
        "{",
        '{"seal": "0", "payload": {}}',
        '{"seal": "\u00e9", "payload": ""}',
        '{"seal": 1, "payload": "{}"}',
        "[" * 20000,
        "[" + " " * (1 << 21) + "]",
    ],
)
def test_damaged_entries_are_ignored_and_rewritten(damage: str, folder: Path) -> None:
    activation = registry.registered("relu")
    expected = derive(activation).values
    (path,) = (folder / "moments").iterdir()
    path.write_text(damage)
    again = derive(activation)
    assert not again.cached
    assert again.values == expected
    assert derive(activation).cached


def test_an_altered_value_is_noticed(folder: Path) -> None:
    activation = registry.registered("relu")
    expected = derive(activation).values
    (path,) = (folder / "moments").iterdir()
    entry = json.loads(path.read_text())
    payload = json.loads(entry["payload"])
    payload["values"]["variance"] = ["Rational", "7", "1"]
    entry["payload"] = json.dumps(payload)
    path.write_text(json.dumps(entry))
    again = derive(activation)
    assert not again.cached
    assert again.values == expected


def test_an_entry_of_another_activation_is_not_believed(folder: Path) -> None:
    derive(registry.registered("relu"))
    (other,) = (folder / "moments").iterdir()
    expected = derive(registry.registered("tanh")).values
    (own,) = set((folder / "moments").iterdir()) - {other}
    own.write_bytes(other.read_bytes())
    again = derive(registry.registered("tanh"))
    assert not again.cached
    assert again.values == expected


def test_an_entry_sealed_elsewhere_is_not_believed(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another machine's folder, or another user's, has another key."""
    derive(registry.registered("relu"))
    (path,) = (folder / "moments").iterdir()
    monkeypatch.setenv("DEQVERIFY_CACHE", str(tmp_path / "elsewhere"))
    derive(registry.registered("tanh"))
    (tmp_path / "elsewhere" / "moments" / path.name).write_bytes(path.read_bytes())
    assert not derive(registry.registered("relu")).cached
    assert derive(registry.registered("relu")).cached


@pytest.mark.parametrize("fault", ["short", "open", "link", "folder"])
def test_a_key_that_proves_nothing_is_replaced_or_not_used(folder: Path, fault: str) -> None:
    derive(registry.registered("relu"))
    (key,) = folder.glob("key-*")
    assert key.stat().st_mode & 0o777 == 0o600
    if fault == "short":
        key.write_bytes(b"")
    elif fault == "open":
        key.chmod(0o644)
    else:
        key.rename(folder / "other")
        if fault == "link":
            key.symlink_to("other")
        else:
            key.mkdir()
    expected = derive(registry.registered("relu"), use_cache=False).values
    again = derive(registry.registered("relu"))
    assert not again.cached
    assert again.values == expected
    assert derive(registry.registered("relu")).cached is (fault != "folder")


def test_what_is_no_file_is_not_waited_for(folder: Path) -> None:
    derive(registry.registered("relu"))
    (path,) = (folder / "moments").iterdir()
    path.unlink()
    os.mkfifo(path)
    assert not derive(registry.registered("relu")).cached
    assert derive(registry.registered("relu")).cached


def test_other_code_finds_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    derive(registry.registered("relu"))
    monkeypatch.setattr(derivations, "_code_version", lambda: "another")
    assert not derive(registry.registered("relu")).cached


def test_a_folder_that_cannot_be_written_does_no_harm(folder: Path) -> None:
    folder.write_text("a file where the folder should be")
    assert not derive(registry.registered("relu")).cached
    assert not derive(registry.registered("relu")).cached


def test_nothing_is_written_without_the_cache(folder: Path) -> None:
    derive(registry.registered("relu"), use_cache=False)
    assert not folder.exists()


def test_default_folder_is_the_users(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DEQVERIFY_CACHE")
    assert "deqverify" in str(cache_folder())


@pytest.mark.parametrize(
    "tree",
    [
        None,
        [],
        ["os.system", ["Symbol", "x", {}]],
        ["Rational", "1"],
        ["Rational", 1, 2],
        ["Symbol", "x"],
        "pi",
        [["pi"]],
        ["Lambda", ["pi"]],
    ],
)
def test_only_listed_nodes_are_read(tree: object) -> None:
    with pytest.raises(ValueError, match=r"not an expression|unknown node"):
        decode(tree)


def test_unlisted_nodes_are_not_written() -> None:
    with pytest.raises(ValueError, match="zeta cannot be stored"):
        encode(sp.zeta(tau))
