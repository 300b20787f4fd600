"""The command ``deqverify``: what it says of itself, both ways to every command, and what starting it does not load."""

from __future__ import annotations

import argparse
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from deqverify.commands import COMMANDS, _help, command
from numerics.ledger import PROFILES
from tests.scripts.conftest import ROOT, Script, command_module

Deqverify = Callable[..., "subprocess.CompletedProcess[str]"]
#: Takes a tenth of a second or more to import, each.
HEAVY = ("flint", "hypothesis", "joblib", "matplotlib", "mpmath", "numpy", "rich", "scipy", "shtab", "sympy")


def script_of(name: str) -> str:
    return name.replace("-", "_")


@pytest.fixture
def deqverify(tmp_path: Path) -> Deqverify:
    """Return run(*arguments, columns=120) -> completed process with its text output."""

    def run(*arguments: str, columns: int = 120) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "deqverify", *arguments],
            capture_output=True,
            text=True,
            cwd=tmp_path,
            env=os.environ | {"COLUMNS": str(columns), "NO_COLOR": "1", "DEQVERIFY_CACHE": str(tmp_path / "cache")},
            timeout=300,
            check=False,
        )

    return run


def test_every_command_has_a_module_and_a_script() -> None:
    scripts = {path.stem for path in (ROOT / "scripts").glob("*.py") if not path.name.startswith("_")}
    assert scripts == set(map(script_of, COMMANDS))
    folder = ROOT / "deqverify" / "commands"
    assert scripts == {path.stem for path in folder.glob("*.py") if not path.name.startswith("_")}


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_offers_its_parser_and_main(name: str) -> None:
    found = command(name)
    assert isinstance(found.parser(), argparse.ArgumentParser)
    assert "--json" in found.parser().format_help()
    assert callable(found.main)


def test_there_is_no_other_command() -> None:
    with pytest.raises(KeyError):
        command("_options")


_LOADED = f"""
import sys
from deqverify.__main__ import main
try:
    main()
except SystemExit as left:
    code = left.code or 0
    sys.stderr.write(" ".join(name for name in {HEAVY!r} if name in sys.modules))
    sys.exit(code)
"""


@pytest.mark.parametrize(
    ("words", "code"),
    [
        *(((name, "--help"), 0) for name in COMMANDS),
        (("--help",), 0),
        (("--version",), 0),
        (("solve", "--version"), 0),
        (("solve", "--list-activations"), 0),
    ],
)
def test_help_loads_nothing_heavy(tmp_path: Path, words: tuple[str, ...], code: int) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _LOADED, *words], capture_output=True, text=True, cwd=tmp_path, check=False
    )
    assert (done.returncode, done.stderr) == (code, "")
    assert done.stdout


def test_what_is_loaded_would_be_seen(tmp_path: Path) -> None:
    words = ("solve", "--activation", "x", "--json", "found.json")
    done = subprocess.run(
        [sys.executable, "-c", _LOADED, *words], capture_output=True, text=True, cwd=tmp_path, check=True
    )
    assert {"sympy", "mpmath", "flint"} <= set(done.stderr.split())


@pytest.mark.parametrize("name", COMMANDS)
def test_help_fits_eighty_columns_and_names_the_command_as_it_was_called(
    deqverify: Deqverify, script: Script, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    done = deqverify(name, "--help", columns=80)
    assert (done.returncode, done.stderr) == (0, "")
    assert [line for line in done.stdout.splitlines() if len(line) > 80] == []
    assert done.stdout.startswith(f"usage: deqverify {name} ")
    assert f"\n  deqverify {name}" in done.stdout
    assert re.findall(r"\w+\.py\b", done.stdout.replace("network.py", "")) == []
    assert "\nexit codes:\n  0    as expected\n" in done.stdout
    shown = script(script_of(name), "--help").stdout
    assert shown.startswith(f"usage: {script_of(name)}.py ")
    assert f"\n  {script_of(name)}.py" in shown
    assert "deqverify " not in shown


def test_both_ways_give_the_same_bytes(deqverify: Deqverify, script: Script) -> None:
    words = ("--activation", "x^2/4", "--sigma-a2", "1/10")
    by_command, by_script = deqverify("solve", *words), script("solve", *words)
    assert (by_command.returncode, by_script.returncode) == (0, 0)
    assert by_command.stdout == by_script.stdout
    assert by_command.stderr == "deqverify solve: note: ^ is read as **, a power\n"


def test_complaints_name_the_command(deqverify: Deqverify) -> None:
    unknown = deqverify("solve", "--activation", "nonsense(x)")
    assert (unknown.returncode, unknown.stdout) == (2, "")
    assert unknown.stderr.startswith("deqverify solve: ")
    missing = deqverify("design")
    assert missing.stderr.startswith("deqverify design: the following arguments are required: --activation")


def test_the_help_has_a_line_for_each_command(deqverify: Deqverify) -> None:
    done = deqverify("--help")
    assert done.returncode == 0
    lines = done.stdout.splitlines()
    for name, meaning in COMMANDS.items():
        assert [line for line in lines if line.split() == [name, *meaning.split()]]
    assert max(map(len, lines)) <= 80
    assert deqverify().stdout == deqverify("help").stdout == done.stdout


def test_help_of_a_command_is_its_own(deqverify: Deqverify) -> None:
    assert deqverify("help", "solve").stdout == deqverify("solve", "--help").stdout
    wrong = deqverify("help", "slove")
    assert (wrong.returncode, wrong.stderr.count("\n")) == (2, 1)


def test_the_version(deqverify: Deqverify) -> None:
    found = re.fullmatch(r"deqverify (\S+)\n", deqverify("--version").stdout)
    assert found
    assert deqverify("solve", "--version").stdout == f"deqverify solve (deqverify {found[1]})\n"


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("slove",), "did you mean solve?"),
        (("export_latex",), "did you mean export-latex?"),
        (("verify.py",), "did you mean verify?"),
        (("zzzz",), f"accepted are {', '.join(COMMANDS)}"),
        (("--quick", "verify"), "there is no option --quick before the command"),
        (("--print-completion",), "accepted are bash and zsh"),
        (("--print-completion", "fish"), "accepted are bash and zsh"),
        (("--print-schema", "slove"), "accepted are bench, converge, converge-states, derive,"),
    ],
)
def test_an_unknown_command_is_one_sentence(deqverify: Deqverify, words: tuple[str, ...], told: str) -> None:
    done = deqverify(*words)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("deqverify: ")
    assert done.stderr.count("\n") == 1
    assert told in done.stderr


def test_a_script_may_be_run_again_by_a_process_it_started() -> None:
    """As multiprocessing does it on systems without fork: nothing runs, and the checkout comes first."""
    program = "import runpy, sys; runpy.run_path(sys.argv[1], run_name='__mp_main__'); print(sys.path[0])"
    for path in sorted((ROOT / "scripts").glob("[a-z]*.py")):
        environment = os.environ | {"PYTHONPATH": str(path.parent)}
        done = subprocess.run(
            [sys.executable, "-c", program, str(path)], capture_output=True, text=True, env=environment, check=True
        )
        assert done.stdout == f"{ROOT}\n"


def test_profiles_are_those_of_the_ledger() -> None:
    assert tuple(PROFILES) == command_module("verify")._PROFILES


# --- completion ------------------------------------------------------------------------------------------------------

_COMPLETE = """
source completion.sh
COMP_WORDS=(deqverify "$@")
COMP_CWORD=$#
_shtab_deqverify deqverify "${@: -1}"
printf '%s\\n' "${COMPREPLY[@]}"
"""


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("so",), ["solve"]),
        (("solve", "--all"), ["--all-equilibria"]),
        (("solve", "--activation", "tan"), ["tanh", "tanh_shrink"]),
        (("design", "--kernel", "ntk-a"), ["ntk-all"]),
        (("verify", "--variant", "cen"), ["centred-T"]),
        (("converge", "--json", "a-fi"), ["a-file.json"]),
    ],
)
def test_bash_completes(deqverify: Deqverify, tmp_path: Path, words: tuple[str, ...], expected: list[str]) -> None:
    done = deqverify("--print-completion", "bash")
    assert (done.returncode, done.stderr) == (0, "")
    (tmp_path / "completion.sh").write_text(done.stdout, encoding="utf-8")
    (tmp_path / "a-file.json").touch()
    found = subprocess.run(
        ["bash", "-c", _COMPLETE, "bash", *words], capture_output=True, text=True, cwd=tmp_path, check=True
    )
    assert (found.stdout.split(), found.stderr) == (expected, "")


def test_completion_for_zsh_has_every_option(deqverify: Deqverify) -> None:
    printed = deqverify("--print-completion", "zsh").stdout
    assert printed.startswith("#compdef deqverify\n")
    for name in COMMANDS:
        for option in re.findall(r"^  (--[a-z0-9-]+)", command(name).parser().format_help(), re.MULTILINE):
            assert re.search(rf"{option}[\[,}}]", printed), option


# --- layout ----------------------------------------------------------------------------------------------------------


def test_a_command_is_broken_where_a_shell_lets_it_be() -> None:
    line = '  deqverify solve --activation "tanh(x) + 1" --sigma-a2 0.2 --digits 40 --json -'
    for width in range(40, 90):
        shown = _help.laid_out(line, width).splitlines()
        assert max(map(len, shown)) <= width
        assert all(part.endswith(" \\") for part in shown[:-1])
        assert shlex.split("\n".join(shown).replace("\\\n", "")) == shlex.split(line)


def test_a_comment_that_does_not_fit_stands_above() -> None:
    line = "  deqverify spectrum --png large.png  # ten minutes"
    assert _help.laid_out(line, 80) == line
    assert _help.laid_out(line, 40) == "  # ten minutes\n  deqverify spectrum --png large.png"


def test_paragraphs_are_filled_and_items_hang() -> None:
    text = "\none two\nthree\n\nverdicts:\n  derived   by algebra and\n            nothing else\n  refuted   not\nend\n"
    assert _help.laid_out(text, 24).splitlines() == [
        "one two three", "", "verdicts:", "  derived   by algebra", "            and nothing", "            else",
        "  refuted   not", "end",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("deqverify solve --x", "solve.py --x"),
        ("by deqverify export-latex.", "by export_latex.py."),
        ("deqverify 1.0, deqverify solver", "deqverify 1.0, deqverify solver"),
    ],
)
def test_commands_are_spelled_as_the_program_was_called(text: str, expected: str) -> None:
    assert _help.spelled(text, "verify.py") == expected
    assert _help.spelled(text, "deqverify verify") == text
