"""What scripts/export_latex.py refuses: bad use, and files that are not ones of verdicts; one sentence and code 2."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.scripts.test_export_latex import CHECKOUT, verdict_file


@pytest.fixture(scope="module")
def verdicts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    record: dict[str, Any] = json.loads(verdict_file(tmp_path_factory).read_text("utf-8"))
    return record


_RELU = ("--activation", "relu")
_BAD_USE: tuple[tuple[tuple[str, ...], str], ...] = (
    (_RELU, "--output"),
    (("--output", "out"), "--activation"),
    (("--activation", "1/x", "--output", "out"), "pole"),
    ((*_RELU, "--activation", "relu", "--output", "out"), "given twice"),
    ((*_RELU, "--parameter", "a=1", "--output", "out"), "no activation given has it"),
    ((*_RELU, "--sigma-a2", "9", "--output", "out"), "relu: no stable equilibrium"),
    (("--registry", "--sigma-b2", "0", "--output", "out"), "> 0"),
    ((*_RELU, "--digits", "51", "--output", "out"), "from 1 to 50"),
    ((*_RELU, "--digits", "40", "--line-width", "240", "--output", "out"), "at most 22"),
    ((*_RELU, "--macro-prefix", "deq2", "--output", "out"), "letters from A to z"),
    ((*_RELU, "--output", "no/such"), "does not exist"),
    ((*_RELU, "--output", "file"), "that is a file"),
    ((*_RELU, "--output", "out", "--json", "no/such.json"), "does not exist"),
    ((*_RELU, "--output", "out", "--verdicts", "no-such.json"), "no such file"),
)

#: What is wrong with a file of verdicts: the keys that lead to a value, the value (... to leave it out), the complaint.
_BAD_VERDICTS: tuple[tuple[tuple[str | int, ...], Any, str], ...] = (
    (("verdicts",), ..., "verdicts is missing"),
    (("verdicts",), {}, "verdicts has the wrong type, dict"),
    (("verdicts", 0), "ck", "verdicts[0].claim is missing"),
    (("verdicts", 0, "evidence"), 1, "verdicts[0].evidence has the wrong type, int"),
    (("verdicts", 1, "subject"), ..., "verdicts[1].subject is missing"),
    (("verdicts", 0, "claim"), "free lunch", "'free lunch', which is no claim of this ledger"),
    (("verdicts", 0, "verdict"), "proved", "verdict is 'proved', none of derived, "),
    (("verdicts", 0, "as_expected"), False, "as_expected contradicts its verdict, supported"),
    (("verdicts", 0, "as_expected"), 1, "as_expected has the wrong type, int"),
    (("claims",), [], "stated otherwise"),
    (("planted", 3, "score"), True, "planted[3].score has the wrong type, bool"),
    (("planted", 3, "score"), 1e300, "planted[3].score is not a number below 1e+12"),
    (("planted", 3, "detectable"), ..., "planted[3].detectable is missing"),
    (("parameters", "sigma_a2"), "a quarter", "parameters.sigma_a2 is not an exact number"),
    (("parameters", "variant"), "centred-T", "one variant"),
    (("parameters", "profile", "name"), ..., "parameters.profile.name is missing"),
    (("seed",), "7", "seed has the wrong type, str"),
    (("versions",), None, "versions has the wrong type, NoneType"),
)  # fmt: skip

_REFUSE = """
import contextlib, io, json, pathlib, sys
from deqverify.commands import _running, export_latex
told = []
for arguments in json.load(sys.stdin):
    out, err = io.StringIO(), io.StringIO()
    sys.argv = ["export_latex.py", *arguments]
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            _running.run(export_latex.main)
        except SystemExit as end:
            code = end.code
    told.append([code, out.getvalue(), err.getvalue(), pathlib.Path("out").exists()])
json.dump(told, sys.stdout)
"""


def _refusals(folder: Path, uses: list[tuple[str, ...]]) -> list[tuple[int, str, str, bool]]:
    """(exit code, stdout, stderr, whether there is output) of each use, all of them in one process."""
    done = subprocess.run(
        [sys.executable, "-c", _REFUSE],
        input=json.dumps(uses), capture_output=True, text=True, cwd=folder, env=CHECKOUT, timeout=300, check=True,
    )  # fmt: skip
    return [tuple(told) for told in json.loads(done.stdout)]


def _is_one_sentence(told: tuple[int, str, str, bool], word: str) -> None:
    code, out, err, written = told
    assert code == 2
    assert out == ""
    assert word in err
    assert len(err.strip().splitlines()) == 1
    assert not written


def test_bad_use_is_one_sentence_and_code_2(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("kept", "utf-8")
    for told, (_, word) in zip(_refusals(tmp_path, [use for use, _ in _BAD_USE]), _BAD_USE, strict=True):
        _is_one_sentence(told, word)
    assert (tmp_path / "file").read_text("utf-8") == "kept"


def test_a_file_that_is_not_one_of_verdicts_is_refused(tmp_path: Path, verdicts: dict[str, Any]) -> None:
    texts = {word: json.dumps(_changed(verdicts, keys, value)) for keys, value, word in _BAD_VERDICTS}
    texts |= {
        "that is not valid JSON": json.dumps(verdicts)[:-1],
        "not valid JSON;": "[" * 100_000,
        "is not a JSON object": "[]",
        "more than 20 MB": " " * 20_000_001,
    }
    uses = []
    for number, text in enumerate(texts.values()):
        (tmp_path / f"{number}.json").write_text(text, "utf-8")
        uses.append((*_RELU, "--output", "out", "--verdicts", f"{number}.json"))
    for number, (told, word) in enumerate(zip(_refusals(tmp_path, uses), texts, strict=True)):
        _is_one_sentence(told, word)
        assert f"--verdicts {number}.json: " in told[2]
        assert re.search(r"verify(\.py)? --json", told[2])


def _changed(record: dict[str, Any], keys: tuple[str | int, ...], value: Any) -> Any:
    """A copy of a record with one value changed, or left out."""
    copy = json.loads(json.dumps(record))
    *path, last = keys
    inner = copy
    for key in path:
        inner = inner[key]
    if value is ...:
        del inner[last]
    else:
        inner[last] = value
    return copy
