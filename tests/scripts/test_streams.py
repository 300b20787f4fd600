"""Streams take any text: plain letters where the encoding has no Greek, nothing where there is no stream."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from tests.scripts.conftest import ROOT, Script, command_module
from theory.grammar.lexing import _LOOKALIKES

HANDLER = "deqverify-plain"


@pytest.fixture(scope="module", autouse=True)
def streams() -> ModuleType:
    """The module, which registers the handler."""
    return command_module("_streams")


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("σa² = 1/5, σb² = 4/5, τ₀ = 1", "sigma_a^2 = 1/5, sigma_b^2 = 4/5, tau_0 = 1"),
        ("E[φ₀(τ*ξ)]", "E[phi_0(tau_*xi)]"),
        ("γ*²", "gamma_*^2"),
        ("σa² E[(φ²)″]/2 and E[φ′²]", "sigma_a^2 E[(phi^2)'']/2 and E[phi'^2]"),
        ("response of τᵢ² to ‖xᵢ‖²", "response of tau_i^2 to ||x_i||^2"),
        ("XᵀX, α₁₂, 10⁻¹²", "X^TX, alpha_12, 10^-12"),
        ("‖G* − Ḡ‖ ≤ ∞, K̄ₘ", "||G* - Gbar|| <= inf, Kbar_m"),
        ("café, а", "cafe, \\u0430"),
        ("plain", "plain"),
    ],
)
def test_plain_letters_stand_in(text: str, plain: str) -> None:
    assert text.encode("ascii", HANDLER).decode("ascii") == plain
    assert text.encode("utf-8", HANDLER).decode("utf-8") == text


def test_what_an_encoding_has_is_kept() -> None:
    assert "σa² ± 1".encode("latin-1", HANDLER).decode("latin-1") == "sigma_a² ± 1"
    assert "a\udcff".encode("utf-8", HANDLER) == b"a\\udcff"


def test_every_symbol_of_the_program_has_plain_letters() -> None:
    text = "".join(path.read_text("utf-8") for floor in ("deqverify", "numerics", "theory")
                   for path in (ROOT / floor).rglob("*.py"))  # fmt: skip
    # What is read and never written: the parser's table of letters that look like ASCII.
    symbols = {letter for letter in text if not letter.isascii()} - set(_LOOKALIKES)
    assert len(symbols) > 50
    assert not [letter for letter in symbols if b"\\" in letter.encode("ascii", HANDLER)]


def solved(tmp_path: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess[bytes]:
    environment = os.environ | {"DEQVERIFY_CACHE": str(tmp_path / "cache"), "COLUMNS": "120"} | variables
    command = [sys.executable, str(ROOT / "scripts" / "solve.py"), "--activation", "erf", *arguments]
    return subprocess.run(command, capture_output=True, cwd=tmp_path, env=environment, timeout=300, check=False)


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252", "utf-8"])
def test_tables_in_any_encoding(tmp_path: Path, encoding: str) -> None:
    done = solved(tmp_path, PYTHONIOENCODING=encoding)
    assert (done.returncode, done.stderr) == (0, b"")
    shown = done.stdout.decode(encoding)
    assert ("τ*" if encoding == "utf-8" else "tau_*") in shown
    assert "\\u" not in shown
    record = json.loads(solved(tmp_path, "--json", "-", PYTHONIOENCODING=encoding).stdout.decode("utf-8"))
    assert record["tau"] in shown


def test_the_locale_c(tmp_path: Path) -> None:
    done = solved(tmp_path, LC_ALL="C", PYTHONUTF8="0", PYTHONCOERCECLOCALE="0")
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"tau_*" in done.stdout


@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&-", "<&- >&- 2>&-"])
def test_closed_streams(tmp_path: Path, closed: str) -> None:
    program = f'"$0" "$1" --activation erf --json x.json {closed}'
    command = ["sh", "-c", program, sys.executable, str(ROOT / "scripts" / "solve.py")]
    done = subprocess.run(command, capture_output=True, cwd=tmp_path, timeout=300, check=False)
    assert (done.returncode, done.stderr) == (0, b"")
    # The file holds the record and nothing of the table.
    assert json.loads((tmp_path / "x.json").read_text("utf-8"))["status"] == "ok"


def test_json_to_a_closed_stream_is_refused(tmp_path: Path) -> None:
    program = '"$0" "$1" --activation erf --json - >&-'
    command = ["sh", "-c", program, sys.executable, str(ROOT / "scripts" / "solve.py")]
    done = subprocess.run(command, capture_output=True, cwd=tmp_path, timeout=300, check=False)
    assert done.returncode == 2
    assert b"standard output is closed" in done.stderr


def test_help_in_ascii(script: Script, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONIOENCODING", "ascii")
    done = script("solve", "--help")
    assert (done.returncode, done.stderr) == (0, "")
    assert "exit codes:\n  0    as expected\n" in done.stdout
