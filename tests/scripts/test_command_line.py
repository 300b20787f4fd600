"""What all scripts share on the command line: --version, --help, values that begin with a minus, refusals."""

from __future__ import annotations

import re
from argparse import Namespace
from pathlib import Path
from types import ModuleType

import pytest

from tests.scripts.conftest import ROOT, Script, command_module
from theory.named import NAMED

SCRIPTS = sorted(path.stem for path in (ROOT / "scripts").glob("*.py") if not path.name.startswith("_"))
WITH_ACTIVATION = ["converge", "derive", "design", "export_latex", "learn", "solve", "spectrum", "verify"]
LEAVING = {"--help", "--version", "--list-activations"}


@pytest.fixture
def options() -> ModuleType:
    return command_module("_options")


@pytest.mark.parametrize("name", SCRIPTS)
def test_the_help_states_every_default(script: Script, name: str) -> None:
    done = script(name, "--help")
    assert done.returncode == 0, done.stderr
    options = done.stdout.partition("\noptions:\n")[2].partition("\nexamples:\n")[0]
    paragraphs = re.split(r"\n(?=  -)", "\n" + options.rstrip())[1:]
    assert len(paragraphs) >= 5
    for paragraph in paragraphs:
        option = re.findall(r"--[a-z][a-z0-9-]*", paragraph)[0]
        words = " ".join(paragraph.split())
        assert option in LEAVING or re.search(r"\(default|default:|by default|\(required\)", words), words
    assert "None" not in options
    assert ("activations:" in done.stdout) == (name in WITH_ACTIVATION)
    assert ("--list-activations" in options) == (name in WITH_ACTIVATION)


@pytest.mark.parametrize(("name", "word"), [("verify", "certified"), ("converge", "refuted"), ("design", "infeasible")])
def test_the_help_says_what_verdicts_mean(script: Script, name: str, word: str) -> None:
    lines = script(name, "--help").stdout.partition("\nverdicts:\n")[2].splitlines()
    assert any(line.split()[:1] == [word] and len(line.split()) > 3 for line in lines)


@pytest.mark.parametrize("name", SCRIPTS)
def test_every_script_has_a_version(script: Script, name: str) -> None:
    done = script(name, "--version")
    assert done.returncode == 0
    assert re.fullmatch(rf"{name}\.py \(deqverify \S+\)\n", done.stdout)


def test_activations_are_listed_with_parameters_and_defaults(script: Script) -> None:
    done = script("solve", "--list-activations")
    assert done.returncode == 0
    lines = done.stdout.splitlines()
    assert [line.split()[0] for line in lines] == list(NAMED)
    assert any("a or negative_slope = 1/100" in line for line in lines)
    assert any(line.startswith("celu") and "a or alpha = 1" in line for line in lines)
    help_text = script("solve", "--help").stdout
    assert all(re.search(rf"\b{name}\b", help_text) for name in NAMED)


def parsed(options: ModuleType, *words: str) -> Namespace:
    parser = options.Parser("", "")
    parser.add_argument("--activation", action="append")
    parser.add_argument("--means", type=options.number)
    parser.add_argument("--list", action="store_true")
    parser.add_argument("--json")
    result: Namespace = parser.parse_args(list(words))
    return result


@pytest.mark.parametrize("value", ["-tanh(x)", "-x", "-(x + 1)", "-1", "-|x|", "- x", "--tanh(x)", "-e", "-2*x"])
def test_a_value_may_begin_with_a_minus(options: ModuleType, value: str) -> None:
    assert parsed(options, "--activation", value).activation == [value]
    assert parsed(options, f"--activation={value}", "--list").activation == [value]


def test_numbers_may_begin_with_a_minus_and_options_stay_options(options: ModuleType) -> None:
    found = parsed(options, "--means", "-1/2", "--activation", "-x", "--activation", "x", "--json", "-", "--list")
    assert (str(found.means), found.activation, found.json, found.list) == ("-1/2", ["-x", "x"], "-", True)


@pytest.mark.parametrize("words", [("--activation",), ("--activation", "--list"), ("--json", "-h"), ("--list", "-x")])
def test_a_missing_value_is_still_missed(
    options: ModuleType, words: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as left:
        parsed(options, *words)
    assert left.value.code == 2
    assert len(capsys.readouterr().err.splitlines()) == 1


@pytest.mark.parametrize(
    ("name", "more"),
    [
        ("solve", ()),
        ("derive", ("--no-cache",)),
        ("export_latex", ("--output", "out")),
        ("converge", ("--sizes", "40,60", "--draws", "2", "--jobs", "1", "--means", "1")),
        ("spectrum", ("--p", "40", "--jobs", "1")),
    ],
)
def test_an_activation_may_begin_with_a_minus(script: Script, name: str, more: tuple[str, ...]) -> None:
    done = script(name, "--activation", "-tanh(x)", *more)
    assert done.returncode in (0, 3), done.stderr


def test_a_power_written_with_a_caret_is_noted(script: Script) -> None:
    done = script("solve", "--activation", "x^2/4", "--sigma-a2", "1/10")
    assert done.returncode == 0
    assert done.stderr.strip() == "solve.py: note: ^ is read as **, a power"
    assert "x**2/4" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (
            ("solve", "--activation", "х"),
            "'х' is CYRILLIC SMALL LETTER HA at column 1; only ASCII text is read, did you",
        ),
        (("solve", "--activation", "tanh(ｘ)"), "FULLWIDTH LATIN SMALL LETTER X"),
        (("solve", "--activation", "leaky_relu", "--parameter", "а=1"), "'а' is CYRILLIC SMALL LETTER A"),
        (("solve", "--activation", "relu", "--sigma-a2", "０.2"), "FULLWIDTH DIGIT ZERO"),
        (("solve", "--activation", "leaky_relu", "--parameter", "slope=1"), "a or negative_slope"),
        (("converge", "--means", "-1"), "--means must be a finite number >= 0, not -1"),
        (("converge", "--means", "-1/2"), "--means must be a finite number >= 0, not -0.5"),
        (("converge", "--cov-shift", "-1"), "--cov-shift must be a finite number >= 0"),
        (("converge", "--ratio", "0"), "--ratio must be a finite number > 0"),
        (("spectrum", "--means", "-1"), "--means must be a finite number >= 0"),
        (("learn", "--ridge", "0"), "--ridge must be a finite number > 0, not 0"),
        (("learn", "--ridge", "1", "--time", "1"), "give one of them"),
        (("learn", "--png", "a.png"), "--png is of a curve"),
        (("learn", "--against", "width", "--values", "1.5"), "whole numbers from 1"),
        (("learn", "--width", "10", "--kernel", "ntk-all"), "is not known"),
        (("learn", "--learners", "cubic"), "deq and some of matched, naive, linear"),
        (("learn", "--tests", "1000000", "--p", "2000"), "fewer fresh samples are accepted"),
        (("converge", "--json", "made"), "that is a folder"),
        (("converge", "--resume", "file"), "--resume file"),
        (("export_latex", "--activation", "relu", "--output", "file"), "--output file"),
    ],
)
def test_bad_use_is_one_sentence(script: Script, tmp_path: Path, arguments: tuple[str, ...], words: str) -> None:
    (tmp_path / "made").mkdir()
    (tmp_path / "file").write_text("")
    done = script(*arguments)
    assert done.returncode == 2
    assert done.stdout == ""
    assert len(done.stderr.strip().splitlines()) == 1
    assert words in done.stderr


def test_a_folder_named_like_a_record_is_refused(script: Script, tmp_path: Path) -> None:
    arguments = ("converge", "--sizes", "40,60", "--draws", "2", "--jobs", "1", "--means", "1", "--resume", "runs")
    assert script(*arguments).returncode in (0, 3)
    record = sorted((tmp_path / "runs").glob("*.json"))[0]
    record.unlink()
    record.mkdir()
    done = script(*arguments)
    assert done.returncode == 2
    assert done.stderr.strip().splitlines()[-1].startswith("converge.py: --resume runs: ")
    assert record.name in done.stderr
    assert "Traceback" not in done.stderr
