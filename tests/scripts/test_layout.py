"""Tables in narrow terminals: every digit is printed, at any width."""

from __future__ import annotations

import io
import json
import os
import re
from pathlib import Path
from types import ModuleType

import pytest
from rich.cells import cell_len
from rich.console import Console

from tests.scripts.conftest import ROOT, command_module
from tests.scripts.forks import run_forked

DIGITS = "0." + "1234567890" * 6
ROWS = [("τ*", DIGITS, "standard deviation of the pre-activations"), ("σa² E[(φ²)″]/2", "-0.5", "must be below 1")]
HEADINGS = ("τ₀", "tau", "alpha1", "relative error", "")
CELLS = [("1", "0.934872", "0.344988", "+8.52%", "reached"), ("1000000", "-1.5e-100", "-", "-0.01%", "")]


@pytest.fixture
def layout() -> ModuleType:
    return command_module("_layout")


def squeezed(text: str) -> str:
    return re.sub(r"\s", "", text)


def printed(layout: ModuleType, width: int, kind: str) -> str:
    target = io.StringIO()
    console = Console(file=target, width=width, force_terminal=False, highlight=False)
    if kind == "rows":
        layout.show_rows(console, ROWS, note_style="dim")
    else:
        layout.show_columns(console, HEADINGS, CELLS, left=(4,))
    return target.getvalue()


@pytest.mark.parametrize("width", [200, 120, 100, 90, 80, 60, 40, 30, 20, 12, 5, 1])
def test_rows_keep_every_character(layout: ModuleType, width: int) -> None:
    text = printed(layout, width, "rows")
    assert squeezed(text) == squeezed("".join("".join(row) for row in ROWS)) or width > 100
    assert all(squeezed(part) in squeezed(text) for row in ROWS for part in row)
    if width >= 20:
        assert max(map(cell_len, text.splitlines())) <= width


def test_rows_are_aligned(layout: ModuleType) -> None:
    lines = printed(layout, 40, "rows").splitlines()
    assert lines[0] == f"τ*              {DIGITS[:24]}"
    assert lines[1] == f"{'':16}{DIGITS[24:48]}"
    assert lines[2] == f"{'':16}{DIGITS[48:]}"
    assert lines[3] == f"{'':16}standard deviation of"
    assert printed(layout, 200, "rows").splitlines()[0] == f"τ*{'':14}{DIGITS}  {ROWS[0][2]}"


def test_a_first_column_of_words_is_broken_where_it_leaves_no_room(layout: ModuleType) -> None:
    target = io.StringIO()
    console = Console(file=target, width=24)
    rows = [("a description of several words", "0.123456"), ("short", "12")]
    layout.show_columns(console, ("what", "value"), rows, left=(0,))
    expected = [
        "what               value",
        "a description   0.123456",
        "of several",
        "words",
        "short                 12",
    ]
    assert [line.rstrip() for line in target.getvalue().splitlines()] == expected


def test_long_notes_are_wrapped_beside_short_values(layout: ModuleType) -> None:
    target = io.StringIO()
    console = Console(file=target, width=50)
    layout.show_rows(console, [("a", "1", "word " * 20), ("b", "", "")])
    lines = target.getvalue().splitlines()
    assert lines[0].startswith("a  1  word word")
    assert lines[1].startswith("      word")
    assert lines[-1] == "b"


@pytest.mark.parametrize("width", [200, 60, 50, 40, 30, 20, 10, 1])
def test_columns_keep_every_cell(layout: ModuleType, width: int) -> None:
    text = printed(layout, width, "columns")
    words = text.split()
    for cell in (cell for row in CELLS for cell in row if cell):
        assert cell in words
    assert all(word in words for heading in HEADINGS for word in heading.split())
    if width >= 20:
        assert max(map(cell_len, text.splitlines())) <= width


def test_every_part_of_a_table_begins_with_the_first_column(layout: ModuleType) -> None:
    lines = [line.split() for line in printed(layout, 30, "columns").splitlines()]
    # tau and alpha1 fit beside tau_0 (7 + 2 + 9 + 2 + 8), the error and the word do (7 + 2 + 8 + 2 + 7).
    assert [line[1:] for line in lines if line[:1] == ["1"]] == [["0.934872", "0.344988"], ["+8.52%", "reached"]]
    assert sum(line[:1] == ["1000000"] for line in lines) == 2
    assert len(printed(layout, 200, "columns").splitlines()) == 3


def run(tmp_path: Path, columns: int, name: str, *arguments: str) -> str:
    environment = os.environ | {"COLUMNS": str(columns), "NO_COLOR": "1", "DEQVERIFY_CACHE": str(tmp_path)}
    done = run_forked(ROOT / "scripts" / f"{name}.py", arguments, tmp_path, environment)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("columns", [60, 40, 20])
def test_solve_prints_every_digit(tmp_path: Path, columns: int) -> None:
    arguments = ("--activation", "5*sigmoid(20*x - 40)", "--sigma-a2", "1", "--sigma-b2", "1/2", "--digits", "60")
    arguments = (*arguments, "--all-equilibria", "--json", "record.json")
    shown = squeezed(run(tmp_path, columns, "solve", *arguments))
    record = json.loads((tmp_path / "record.json").read_text())
    for key in ("tau", "bias", "gamma2", "alpha1", "alpha2", "alpha3", "alpha4", "beta1", "beta2", "beta3", "kappa2"):
        assert record[key] is None or record[key] in shown
    assert len(record["tau"]) > 60
    assert len(record["equilibria"]) == 3
    assert all(root["tau"] in shown and root["slope"][:6] in shown for root in record["equilibria"])


@pytest.mark.parametrize("columns", [80, 20])
def test_a_sweep_prints_every_number(tmp_path: Path, columns: int) -> None:
    shown = run(tmp_path, columns, "solve", "--activation", "tanh", "--sweep", "tau0=1:2:3", "--ntk", "all").split()
    for value in ("0.934872", "0.344988", "0.369925", "0.719729", "0.843271"):
        assert value in shown
    assert "…" not in "".join(shown)


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("derive", ("--activation", "selu", "--no-cache")),
        ("design", ("--activation", "relu", "--family", "leaky_relu", "--layers", "2", "--digits", "40")),
        ("spectrum", ("--p", "60", "--means", "3", "--jobs", "1")),
        ("learn", ("--p", "40", "--draws", "2", "--tests", "100", "--jobs", "1", "--learners", "deq,linear")),
        ("export_latex", ("--activation", "relu", "--output", "made")),
    ],
)
def test_narrow_and_wide_terminals_get_the_same_characters(
    tmp_path: Path, name: str, arguments: tuple[str, ...]
) -> None:
    wide, narrow = (run(tmp_path, columns, name, *arguments) for columns in (400, 24))
    assert "…" not in narrow
    numbers = set(re.findall(r"\d+(?:\.\d+)?", wide))
    assert len(numbers) > 2
    assert all(number in squeezed(narrow) for number in numbers)
