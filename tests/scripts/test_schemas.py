"""The published schemas: valid, of one mind, complete, and what every kind of record in fact follows."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from deqverify.__main__ import main as front_door
from deqverify.commands import COMMANDS, command
from deqverify.commands._measuring import Benchmark, Measurement
from deqverify.commands._schemas import schema_names, schema_text
from tests.scripts.conftest import ROOT, command_module
from tests.scripts.schema_checks import check_record, validator
from theory.kernels import COEFFICIENTS, NTK_KINDS, Kernel
from theory.named import MatchStatus

SCHEMAS = {name: json.loads(schema_text(name)) for name in schema_names()}
#: By schema, a command that writes it in a moment, and its exit code.
QUICK: dict[str, tuple[tuple[str, ...], int]] = {
    "solve": (("solve", "--activation", "relu", "--all-equilibria"), 0),
    "solve-states": (("solve", "--deq", "cell.toml"), 0),
    "solve-states-sweep": (("solve", "--deq", "cell.toml", "--sweep", "sigma_a2[0][0]=0:3:3"), 0),
    "solve-sweep": (("solve", "--activation", "relu", "--sweep", "sigma-a2=0:3:4"), 0),
    "derive": (("derive", "--activation", "sign(x)", "--no-cache"), 0),
    "design": (("design", "--activation", "tanh"), 0),
    "design-states": (("design", "--deq", "cells.toml"), 0),
    "spectrum": (("spectrum", "--p", "40", "--means", "4", "--jobs", "1"), 0),
    "spectrum-states": (("spectrum", "--deq", "cell.toml", "--p", "40", "--means", "4", "--jobs", "1"), 0),
    "spectrum-data": (("spectrum", "--data", "data.npz", "--jobs", "1"), 0),
    "converge": (("converge", "--sizes", "20,30,40", "--draws", "2", "--jobs", "1"), 3),
    "converge-states": (
        ("converge", "--deq", "cell.toml", "--sizes", "20,30,40", "--draws", "2", "--jobs", "1"),
        3,
    ),
    "learn": (("learn", "--p", "40", "--draws", "2", "--tests", "100", "--jobs", "1"), 0),
    "verify-list": (("verify", "--list"), 0),
    "export-latex": (("export-latex", "--activation", "relu", "--output", "out"), 0),
    "export-latex-states": (("export-latex", "--deq", "cell.toml", "--output", "out"), 0),
    "bench": (("bench", "--only", "sweep"), 1),
    "fuzz-parser": (("fuzz-parser", "--inputs", "50"), 0),
}
#: By schema, the test that holds a record against it in a process of its own, since it takes longer.
ELSEWHERE = {
    "derive-registry": "test_derive.py",
    "design-data": "test_design_on_data.py",
    "export-latex-numbers": "test_export_latex.py",
    "export-latex-states-numbers": "test_export_cell.py",
    "fuzz-parser-to": "test_budget.py",
    "reproduce": "test_reproduce.py",
    "verify": "test_verify.py",
}


def parts(schema: Any, place: str = "$") -> Iterator[tuple[str, dict[str, Any]]]:
    """Every schema inside a schema, with its place."""
    if isinstance(schema, dict):
        yield place, schema
        for key, value in schema.items():
            yield from parts(value, f"{place}.{key}")
    elif isinstance(schema, list):
        for index, value in enumerate(schema):
            yield from parts(value, f"{place}[{index}]")


@pytest.mark.parametrize("name", SCHEMAS)
def test_a_schema_is_one_and_says_whose(name: str) -> None:
    schema = validator(name).schema
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert schema["$id"] == f"urn:deqverify:schema:{name}"
    assert schema["properties"]["schema"] == {"const": name}
    words = schema["description"].split("`")[1].split()
    assert words[0] == "deqverify"
    assert words[1] in COMMANDS
    assert set(words[2:]) <= {*command(words[1]).parser().format_help().split(), "--data", "--list"}


@pytest.mark.parametrize("name", SCHEMAS)
def test_a_schema_is_closed_and_asks_for_its_keys(name: str) -> None:
    """A key that no schema knows fails; what may be missing is exempted one by one."""
    schema = SCHEMAS[name]
    for place, part in parts(schema):
        if "properties" in part and part.get("type") == "object":
            assert part["additionalProperties"] is False, place
            assert set(part["required"]) <= set(part["properties"]), place
    used = {part["$ref"].removeprefix("#/$defs/") for _, part in parts(schema) if isinstance(part.get("$ref"), str)}
    assert used == set(schema.get("$defs", {}))


def test_a_definition_is_the_same_in_every_schema() -> None:
    """Each file stands alone, so that what they share is repeated."""
    found: dict[str, Any] = {}
    for schema in SCHEMAS.values():
        for name, definition in schema.get("$defs", {}).items():
            assert found.setdefault(name, definition) == definition, name


def test_names_are_those_of_the_theory() -> None:
    defs = SCHEMAS["solve"]["$defs"]
    assert defs["ntk"]["enum"] == list(NTK_KINDS)
    assert SCHEMAS["design"]["$defs"]["kernel"]["enum"] == [kernel.value for kernel in Kernel]
    assert set(SCHEMAS["design"]["properties"]["status"]["enum"]) == {MatchStatus.EXACT, MatchStatus.INFEASIBLE}
    assert set(COEFFICIENTS) <= set(SCHEMAS["solve"]["required"])


def test_a_schema_is_printed(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """As the file is, in both spellings."""
    for words in (["--print-schema", "solve"], ["--print-schema=solve"]):
        monkeypatch.setattr(sys, "argv", ["deqverify", *words])
        with pytest.raises(SystemExit) as left:
            front_door()
        assert not left.value.code
        assert capsys.readouterr().out == (ROOT / "deqverify" / "schemas" / "solve.json").read_text(encoding="utf-8")


def test_every_schema_is_put_to_use() -> None:
    assert {*QUICK, *ELSEWHERE} == set(SCHEMAS)
    for name, file in ELSEWHERE.items():
        text = (Path(__file__).parent / file).read_text(encoding="utf-8")
        assert '"--json"' in text or "check_record" in text, name


@pytest.fixture
def main(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    """Run a command in this process, in a folder with data and a cell, and with a benchmark that misses its target."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DEQVERIFY_CACHE", str(tmp_path / "cache"))
    rng = np.random.default_rng(0)
    np.savez("data.npz", X=rng.standard_normal((40, 12)), y=np.arange(40) % 2)
    Path("cell.toml").write_text('sigma_a2 = [["1/5"]]\n[[states]]\nactivation = "relu"\nsigma_b2 = "4/5"\n')
    state = '[[states]]\nactivation = "tanh"\nsigma_b2 = "4/5"\n'
    Path("cells.toml").write_text('sigma_a2 = [["1/5", "1/5"], ["1/5", 0]]\n' + 2 * state)
    missed = Measurement("a sweep", 2.0, 1.0, 0.5, "twice as fast", False, "detail")
    monkeypatch.setitem(command_module("bench").BENCHMARKS, "sweep", Benchmark(lambda say: [missed], "a sweep"))
    return lambda name, *words: command(name).main(words)


@pytest.mark.parametrize("name", QUICK)
def test_records_follow_their_schema(
    name: str, main: Callable[..., int], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    words, code = QUICK[name]
    assert main(*words, "--json", "-") == code
    record = check_record(capsys.readouterr().out)
    assert record["schema"] == name
    if name.startswith("export-latex"):
        check_record((tmp_path / "out" / "numbers.json").read_text(encoding="utf-8"))


@pytest.fixture
def solved(main: Callable[..., int], capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    """A record of solve."""
    assert main("solve", "--activation", "relu", "--json", "-") == 0
    return json.loads(capsys.readouterr().out)  # type: ignore[no-any-return]


def test_what_is_not_as_published_is_found(solved: dict[str, Any]) -> None:
    """A key too many, one too few, another type, a float for a decimal, a decimal that is none, and NaN."""
    check_record(json.dumps(solved))
    wrong = [
        solved | {"new": 1},
        {key: value for key, value in solved.items() if key != "tau"},
        solved | {"digits": "15"},
        solved | {"tau": float(solved["tau"])},
        solved | {"tau": "0x1p3"},
        solved | {"tau": "nan"},
        solved | {"versions": {**solved["versions"], "torch": "2"}},
        solved | {"certified": {"omega": True}},
        solved | {"schema": "nothing"},
    ]
    for record in wrong:
        with pytest.raises(AssertionError):
            check_record(json.dumps(record))
    for value in (float("nan"), float("inf")):
        with pytest.raises(AssertionError, match="is no JSON"):
            check_record(json.dumps(solved | {"digits": value}))
