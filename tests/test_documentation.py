"""The documentation is true: every example in it runs and prints what it shows, every link and name leads somewhere.

The convention, which CONTRIBUTING.md states for authors:

* ``console`` blocks: lines that begin with ``$ .venv/bin/python scripts/`` or ``$ deqverify`` are run, in a folder of
  the document's own, and what they print is compared with the lines below.  ``...`` stands for anything within a line,
  and alone on a line for any lines; runs of spaces count as one.  The exit code is 0 unless ``$ echo $?`` follows and
  shows another.
* ``python`` blocks: those of a document run one after another in one process; a ``text`` block that follows shows what
  is printed.
* ``toml`` blocks whose first line is ``# NAME.toml`` are files in that folder.
* ``<!-- not run: reason -->`` before a block exempts it.  ``sh`` blocks show commands that are no examples.
"""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shlex
import subprocess
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

from tests.scripts.forks import run_forked
from tests.test_architecture import LEVELS

ROOT = Path(__file__).resolve().parent.parent
PAGES = sorted((ROOT / "docs").glob("*.md"))
DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *PAGES]
#: Those that speak of the present only.
CURRENT = [path for path in DOCUMENTS if path.name != "CHANGELOG.md"]
NOTEBOOK = ROOT / "docs" / "example.ipynb"
SCRIPTS = sorted(path for path in (ROOT / "scripts").glob("*.py") if not path.name.startswith("_"))
INTERPRETER = ".venv/bin/python"

#: Blocks that may be exempt from running, in all documents together.
MOST_NOT_RUN = 4
#: Options of other programs, and of deqverify before its command, that the documents name.
FOREIGN_OPTIONS = {"--require-hashes", "--print-completion", "--print-schema"}

_FENCE = re.compile(r"^```(\w*)\s*$")
_NOT_RUN = re.compile(r"^<!-- not run: (?P<reason>\S.*) -->$")
_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#{1,6} +(.*?) *$")
_INLINE = re.compile(r"`([^`\n]+)`")
_OPTION = re.compile(r"(?<![\w-])--[a-z][a-z0-9-]*")
_SEPARATOR = "=-=-= end of block =-=-="


@dataclass(frozen=True)
class Block:
    """A fenced block: number of its opening fence's line, language, lines, and why it is not run."""

    line: int
    language: str
    lines: tuple[str, ...]
    not_run: str | None


def blocks(text: str) -> list[Block]:
    found: list[Block] = []
    opened: tuple[int, str, str | None] | None = None
    inside: list[str] = []
    before = ""
    for number, line in enumerate(text.splitlines(), start=1):
        fence = _FENCE.match(line)
        if opened is None and fence:
            mark = _NOT_RUN.match(before)
            opened, inside = (number, fence.group(1), mark.group("reason") if mark else None), []
        elif opened is not None and fence:
            found.append(Block(opened[0], opened[1], tuple(inside), opened[2]))
            opened, before = None, ""
        elif opened is not None:
            inside.append(line)
        elif line.strip():
            before = line.strip()
    assert opened is None, f"the block that begins at line {opened} does not end"
    return found


def prose(text: str) -> str:
    """A document without its fenced blocks."""
    lines, inside = [], False
    for line in text.splitlines():
        if _FENCE.match(line):
            inside = not inside
        elif not inside:
            lines.append(line)
    return "\n".join(lines)


@cache
def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8")


@cache
def _blocks(path: Path) -> tuple[Block, ...]:
    return tuple(blocks(_text(path)))


def _name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


# --- what is shown against what is printed ---------------------------------------------------------------------------


def agrees(shown: list[str], printed: str) -> bool:
    """Whether an output is what was shown."""
    pattern = ""
    for line in shown:
        words = " ".join(line.split())
        pattern += r"(?:[^\n]*\n)*" if words == "..." else r"[^\n]*".join(map(re.escape, words.split("..."))) + r"\n"
    lines = [" ".join(line.split()) for line in printed.strip("\n").splitlines()]
    return re.fullmatch(pattern, "".join(f"{line}\n" for line in lines)) is not None


@dataclass
class Command:
    """A command, what is shown of its output, and its exit code."""

    words: list[str]
    shown: list[str]
    code: int = 0


def commands(lines: tuple[str, ...]) -> list[Command]:
    joined = "\n".join(lines).replace("\\\n", " ").splitlines()
    found: list[Command] = []
    asked = False
    for line in joined:
        if line == "$ echo $?":
            asked = True
        elif line.startswith("$ "):
            found.append(Command(shlex.split(line[2:]), []))
        elif asked:
            found[-1].code, asked = int(line), False
        else:
            found[-1].shown.append(line)
    for command in found:
        while command.shown and not command.shown[-1].strip():
            command.shown.pop()
    return found


def _environment(folder: Path) -> dict[str, str]:
    return os.environ | {
        "COLUMNS": "100",
        "NO_COLOR": "1",
        "MPLBACKEND": "agg",
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
        "DEQVERIFY_CACHE": str(folder / "cache"),
    }


def _run(words: list[str], folder: Path, text: str | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *words],
        capture_output=True, text=True, cwd=folder, env=_environment(folder), timeout=300, check=False, input=text,
    )  # fmt: skip


def _with(language: str) -> list[Path]:
    return [path for path in DOCUMENTS if any(b.language == language and not b.not_run for b in _blocks(path))]


@pytest.mark.parametrize("document", _with("console"), ids=_name)
def test_console_examples(document: Path, tmp_path: Path) -> None:
    for block in _blocks(document):
        name = block.lines[0].removeprefix("# ") if block.language == "toml" else ""
        if re.fullmatch(r"[a-z-]+\.toml", name):
            (tmp_path / name).write_text("\n".join(block.lines), encoding="utf-8")
        if block.language != "console" or block.not_run:
            continue
        for command in commands(block.lines):
            program, *arguments = command.words
            if program == "deqverify":
                script = ROOT / "deqverify" / "__main__.py"
            else:
                assert program == INTERPRETER, f"{_name(document)}:{block.line}: mark it as not run, or call a script"
                script, arguments = ROOT / arguments[0], arguments[1:]
            done = run_forked(script, arguments, tmp_path, _environment(tmp_path))
            printed = done.stdout + (done.stderr if done.returncode == 2 else "")
            where = f"{_name(document)}:{block.line}: {shlex.join(command.words)}"
            assert done.returncode == command.code, f"{where}\n{printed}{done.stderr}"
            assert agrees(command.shown, printed), f"{where}\nprints\n{printed}"


@pytest.mark.parametrize("document", _with("python"), ids=_name)
def test_python_examples(document: Path, tmp_path: Path) -> None:
    # Each block stands at its own line numbers, so that a traceback names lines of the document.
    program = [""] * (len(_text(document).splitlines()) + 1)
    expected: list[tuple[int, list[str]]] = []
    found = _blocks(document)
    for block, following in zip(found, [*found[1:], None], strict=True):
        if block.language == "python" and not block.not_run:
            program[block.line : block.line + len(block.lines)] = block.lines
            program[block.line + len(block.lines)] = f"print({_SEPARATOR!r})"
            has_output = following is not None and following.language == "text"
            expected.append((block.line, list(following.lines) if following and has_output else []))
    done = _run(["-W", "error", "-"], tmp_path, "\n".join(program))
    assert done.returncode == 0, f"{_name(document)}\n{done.stderr}"
    printed = done.stdout.split(f"{_SEPARATOR}\n")
    for (line, shown), text in zip(expected, printed, strict=False):
        assert agrees(shown, text), f"{_name(document)}:{line} prints\n{text}"


def test_few_blocks_are_not_run() -> None:
    exempt = [(_name(path), block.line) for path in DOCUMENTS for block in _blocks(path) if block.not_run]
    assert len(exempt) <= MOST_NOT_RUN, exempt


def test_no_example_hides_in_another_block() -> None:
    """A block of another language that calls a script or imports the packages would not be run."""
    hidden = [
        f"{_name(path)}:{block.line}"
        for path in DOCUMENTS
        for block in _blocks(path)
        if block.language not in {"console", "python"} and re.search(r"^\s*\$|scripts/\w+\.py", "\n".join(block.lines))
    ]
    assert hidden == []


# --- links and names -------------------------------------------------------------------------------------------------


def slug(heading: str) -> str:
    """The anchor of a heading, as GitHub makes it."""
    kept = re.sub(r"[^\w\- ]", "", heading.replace("`", "").lower())
    return kept.replace(" ", "-")


def anchors(text: str) -> set[str]:
    headings = (_HEADING.match(line) for line in prose(text).splitlines())
    return {slug(match.group(1)) for match in headings if match}


def dead_links(path: Path, text: str) -> list[str]:
    targets = _LINK.findall(_INLINE.sub("", prose(text)))
    return [target for target in targets if not re.match(r"[a-z]+:", target) and not _leads(path, text, target)]


def _leads(path: Path, text: str, target: str) -> bool:
    """Whether a relative link of a document has a file and, where it names one, an anchor in it."""
    name, _, anchor = target.partition("#")
    file = (path.parent / name).resolve() if name else path
    if not anchor or not (name == "" or file.exists()):
        return file.exists()
    return file.suffix == ".md" and anchor in anchors(text if file == path else _text(file))


@pytest.mark.parametrize("document", DOCUMENTS, ids=_name)
def test_links_lead_somewhere(document: Path) -> None:
    assert dead_links(document, _text(document)) == []


def test_every_page_is_in_the_contents() -> None:
    linked = set(_LINK.findall(_text(ROOT / "docs" / "index.md")))
    assert linked >= {path.name for path in (*PAGES, NOTEBOOK) if path.name != "index.md"}
    assert "docs/index.md" in _LINK.findall(_text(ROOT / "README.md"))


def test_every_script_is_mentioned() -> None:
    assert [path.name for path in SCRIPTS if f"scripts/{path.name}" not in _text(ROOT / "README.md")] == []


#: Asks scripts for their help, all in one process.
_HELP = """
import contextlib, io, json, runpy, sys
found = {}
for path in sys.argv[1:]:
    sys.argv, printed = [path, "--help"], io.StringIO()
    with contextlib.redirect_stdout(printed), contextlib.suppress(SystemExit):
        runpy.run_path(path, run_name="__main__")
    found[path] = printed.getvalue()
json.dump(found, sys.stdout)
"""


@cache
def _options() -> dict[str, frozenset[str]]:
    """The options of every script, from its --help."""
    done = _run(["-c", _HELP, *map(str, SCRIPTS)], ROOT / "scripts")
    assert done.returncode == 0, done.stderr
    helps = json.loads(done.stdout)
    assert all("--help" in text for text in helps.values())
    return {_name(Path(path)): frozenset(_OPTION.findall(text)) for path, text in helps.items()}


def unknown_options(text: str, options: dict[str, frozenset[str]]) -> list[str]:
    """Options that a document gives to a script that has no such one, or that no script has."""
    shown = [block for block in blocks(text) if block.language == "console"]
    calls = [command.words for block in shown for command in commands(block.lines) if "scripts/" in str(command.words)]
    unknown = []
    for words in (*calls, *(code.split() for code in _INLINE.findall(prose(text)))):
        script = next((word for word in words if word.startswith("scripts/")), "")
        known = options.get(script, frozenset().union(*options.values(), FOREIGN_OPTIONS))
        unknown += [option for option in _OPTION.findall(" ".join(words)) if option not in known]
    return unknown


@pytest.mark.parametrize("document", CURRENT, ids=_name)
def test_every_option_exists(document: Path) -> None:
    assert unknown_options(_text(document), _options()) == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=_name)
def test_every_make_target_exists(document: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):", _text(ROOT / "Makefile"), re.MULTILINE))
    lines = [line for block in _blocks(document) for line in block.lines if block.language in {"sh", "console"}]
    named = re.findall(r"(?:^|\$ )make ([a-z-]+)", "\n".join((*lines, *_INLINE.findall(prose(_text(document))))), re.M)
    assert set(named) <= targets


def missing_names(text: str) -> list[str]:
    """Files, modules and what they offer that a document names in backticks and that are not there."""
    names = _INLINE.findall(prose(text))
    files = [name for name in names if re.fullmatch(r"(theory|numerics|scripts|tests|docs)/[\w/.-]*", name)]
    dotted = [name for name in names if re.fullmatch(r"(theory|numerics)(\.\w+)+", name)]
    return [name for name in dotted if not _importable(name)] + [name for name in files if not (ROOT / name).exists()]


def _importable(dotted: str) -> bool:
    """Whether a dotted name is a module, or something that a module lists in ``__all__``."""
    stem, _, last = dotted.rpartition(".")
    try:
        if importlib.util.find_spec(dotted) is not None:
            return True
    except ModuleNotFoundError:
        pass
    return bool(stem) and last in getattr(importlib.import_module(stem), "__all__", ())


@pytest.mark.parametrize("document", CURRENT, ids=_name)
def test_every_name_exists(document: Path) -> None:
    assert missing_names(_text(document)) == []


def test_every_package_has_its_place_on_the_architecture_page() -> None:
    """With the level that ``test_architecture`` holds it to."""
    shown, level = dict[str, int](), 0
    for line in _text(ROOT / "docs" / "architecture.md").splitlines():
        cells = [cell.strip() for cell in line.split("|")]
        if len(cells) == 5 and (cells[1].isdigit() or not cells[1]):
            level = int(cells[1] or level)
            shown |= dict.fromkeys(re.findall(r"`((?:theory|numerics)\.\w+)`", cells[2]), level)
    table = {
        f"{floor}.{name}": k for floor, held in LEVELS.items() for k, names in enumerate(held, 1) for name in names
    }
    assert shown == table


# --- the notebook ----------------------------------------------------------------------------------------------------


def test_the_notebook_is_valid_and_runs(tmp_path: Path) -> None:
    notebook = json.loads(_text(NOTEBOOK))
    assert (notebook["nbformat"], notebook["nbformat_minor"]) == (4, 5)
    assert notebook["metadata"]["language_info"]["name"] == "python"
    cells = notebook["cells"]
    assert len({cell["id"] for cell in cells}) == len(cells)
    code = [cell for cell in cells if cell["cell_type"] == "code"]
    assert {cell["cell_type"] for cell in cells} == {"code", "markdown"}
    assert all(cell["execution_count"] is None and cell["outputs"] == [] for cell in code)
    assert len(_text(NOTEBOOK)) < 50_000
    check = (
        "assert figure.lines and figure.patches and ladder.lines and entries.lines\n"
        "assert solution._repr_latex_().startswith('$') and solution.followed\n"
        "assert match.exact and pair.difference < 0.05\n"
    )
    program = "\n".join([*("".join(cell["source"]) for cell in code), check])
    done = _run(["-W", "error", "-"], tmp_path, program)
    assert done.returncode == 0, done.stderr
    assert [path.name for path in tmp_path.iterdir() if path.name != "cache"] == []


# --- these tests can fail --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("shown", "printed", "expected"),
    [
        ("tau  1.25", "tau 1.25\n", True),
        ("tau 1.25", "tau 1.26", False),
        ("tau 1...5", "tau 1.2345", True),
        ("tau 1...5", "tau 1.2\n5", False),
        ("a\n...\nc", "a\nb\nb\nc", True),
        ("a\n...\nc", "a\nc", True),
        ("a\n...", "b\nc", False),
        ("a", "a\nb", False),
        ("", "a", False),
        ("...", "", True),
    ],
)
def test_shown_and_printed(shown: str, printed: str, expected: bool) -> None:
    assert agrees(shown.splitlines(), printed) is expected


EXAMPLE = """\
# A heading (with `code`)
<!-- not run: slow -->
```console
$ .venv/bin/python scripts/solve.py --wrong \\
    --json -
out
$ echo $?
2
```
See [here](#a-heading-with-code), [there](#nowhere), [gone](gone.md); `--json`, `theory.gone`, `numerics/gone.py`.
"""


def test_a_document_is_read() -> None:
    (block,) = blocks(EXAMPLE)
    assert (block.line, block.language, block.not_run) == (3, "console", "slow")
    (command,) = commands(block.lines)
    assert command == Command([INTERPRETER, "scripts/solve.py", "--wrong", "--json", "-"], ["out"], 2)


def test_faults_are_found() -> None:
    assert dead_links(ROOT / "docs" / "x.md", EXAMPLE) == ["#nowhere", "gone.md"]
    assert unknown_options(EXAMPLE, {"scripts/solve.py": frozenset({"--json"})}) == ["--wrong"]
    assert missing_names(EXAMPLE) == ["theory.gone", "numerics/gone.py"]
