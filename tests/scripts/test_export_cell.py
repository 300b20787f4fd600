"""export_latex --deq as a user runs it: every printed number is that of the cell's balls."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from numerics.equilibrium import certify_states
from tests.latex_reader import macro_numbers, table_rows
from tests.scripts.conftest import Script
from tests.scripts.schema_checks import check_record
from theory.equations import CoupledDEQ, State
from theory.latex import CENTRED_SYMBOLS, GENERAL_SYMBOLS, inline

GENERAL = """\
tau0 = "1.1"
readout = 1
sigma_a2 = [["0.25", "0.3"], ["0.55", 0]]
[[states]]
activation = "relu"
sigma_b2 = "0.6"
centred = false
[[states]]
activation = "abs"
sigma_c2 = "0.1"
"""
CELLS = {
    "general": GENERAL,
    "centred": GENERAL.replace("centred = false", "")
    .replace('sigma_c2 = "0.1"', "")
    .replace('"abs"', '"1.000000000000000000123*x + x**2/4"'),
    "wide": 'sigma_a2 = [["1/4"' + ', "1/7"' * 11 + "]"
    + "".join(', ["1/97"' + ", 0" * 11 + "]" for _ in range(11)) + "]\n"
    + '[[states]]\nactivation = "relu"\nsigma_b2 = "1/3"\n' * 12,
}  # fmt: skip


@pytest.fixture(scope="module", params=CELLS)
def name(request: pytest.FixtureRequest) -> str:
    found: str = request.param
    return found


def test_every_number_is_that_of_its_ball(name: str, script: Script, tmp_path: Path) -> None:
    (tmp_path / "cell.toml").write_text(CELLS[name], encoding="utf-8")
    done = script("export_latex", "--deq", "cell.toml", "--output", "out", "--digits", "12", "--json", "-")
    assert (done.returncode, done.stderr) == (0, "")
    record = check_record(done.stdout)
    check_record((tmp_path / "out" / "numbers.json").read_text("utf-8"))
    files = {
        path.relative_to(tmp_path / "out").as_posix(): path.read_text("utf-8") for path in tmp_path.rglob("out/**/*.*")
    }
    assert set(files) == {each["path"] for each in record["files"]}
    found = certify_states(CoupledDEQ.from_mapping(tomllib.loads(CELLS[name])), 12)
    symbols = GENERAL_SYMBOLS if name == "general" else CENTRED_SYMBOLS
    commands = macro_numbers(files["macros.tex"])
    tables = [table_rows(text)[1] for path, text in sorted(files.items()) if "constants" in path]
    for r, state in enumerate(record["states"]):
        assert state["values"] == {key: found.decimal(r, key) for key in symbols}
        assert {key: commands[macro] for key, macro in state["macros"].items()} == state["values"]
    for key, symbol in symbols.items():
        printed = [decimal for table in tables for decimal in table[symbol]]
        assert printed == [found.decimal(r, key) for r in range(len(found.states))]
    assert ("c_{1,1}" in files["fragments/cell.tex"]) == (name == "centred")
    assert r"\sigma_{0,1}^2 = 1/7" in files["fragments/cell.tex"] or name != "wide"


def test_a_variance_of_zero_is_printed_as_zero() -> None:
    assert inline(State("relu").sigma_b2) == "0"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--symbolic",), "--symbolic does not go with --deq"),
        (("--networks",), "--networks does not go with --deq"),
        (("--sigma-a2", "1/2"), "--sigma-a2 does not go with --deq"),
        (("--registry",), "not allowed with"),
        (("--json", "cell.toml"), "the file --deq reads"),
    ],
)
def test_what_is_of_one_activation_is_refused(
    words: tuple[str, ...], said: str, script: Script, tmp_path: Path
) -> None:
    (tmp_path / "cell.toml").write_text(GENERAL, encoding="utf-8")
    done = script("export_latex", "--deq", "cell.toml", "--output", "out", *words)
    assert done.returncode == 2
    assert said in done.stderr
    assert not (tmp_path / "out").exists()


def test_a_cell_without_an_equilibrium_leaves_no_file(script: Script, tmp_path: Path) -> None:
    (tmp_path / "cell.toml").write_text(GENERAL.replace('"0.55"', "99"), encoding="utf-8")
    done = script("export_latex", "--deq", "cell.toml", "--output", "out")
    assert done.returncode == 2
    assert "sigma_a2: no stable equilibrium" in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert not (tmp_path / "out").exists()
