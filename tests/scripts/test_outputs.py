"""What options write: whole files or none, at the place that is meant, and refusals before any work."""

from __future__ import annotations

import json
import os
import re
import resource
import socket
import stat
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.scripts.conftest import ROOT, Script

SCRIPTS = sorted(path.stem for path in (ROOT / "scripts").glob("*.py") if not path.name.startswith("_"))
#: A run of seconds for every option that writes a file, with an ending that it accepts.
SOLVE = ("solve", "--activation", "erf")
SWEEP = (*SOLVE, "--sweep", "tau0=1:2:2", "--no-certify")
CONVERGE = ("converge", "--sizes", "20,30", "--draws", "1", "--jobs", "1")
SPECTRUM = ("spectrum", "--p", "40", "--jobs", "1")
LEARN = ("learn", "--p", "40", "--draws", "1", "--tests", "100", "--jobs", "1", "--learners", "deq")
LEARN_CURVE = (*LEARN, "--against", "ridge", "--values", "1")
VERIFY = ("verify", "--claims", "layers", "--jobs", "1")
RUNS: dict[tuple[str, str], tuple[tuple[str, ...], str]] = {
    ("bench", "--json"): (("bench", "--only", "equilibria"), ""),
    ("converge", "--json"): (CONVERGE, ""),
    ("converge", "--pdf"): (CONVERGE, ".pdf"),
    ("converge", "--png"): (CONVERGE, ".png"),
    ("derive", "--json"): (("derive", "--activation", "relu"), ""),
    ("design", "--json"): (("design", "--activation", "relu"), ""),
    ("design", "--output"): (("design", "--activation", "relu", "--emit", "numpy"), ""),
    ("export_latex", "--json"): (("export_latex", "--activation", "relu", "--output", "tex/"), ""),
    ("fuzz_parser", "--json"): (("fuzz_parser", "--inputs", "20"), ""),
    ("learn", "--json"): (LEARN, ""),
    ("learn", "--pdf"): (LEARN_CURVE, ".pdf"),
    ("learn", "--png"): (LEARN_CURVE, ".png"),
    ("reproduce", "--json"): (("reproduce", "--quick", "--only", "pairs-mixture", "--draws", "1", "--jobs", "1"), ""),
    ("solve", "--json"): (SOLVE, ""),
    ("solve", "--plot"): (SWEEP, ".png"),
    ("spectrum", "--json"): (SPECTRUM, ""),
    ("spectrum", "--pdf"): (SPECTRUM, ".pdf"),
    ("spectrum", "--png"): (SPECTRUM, ".png"),
    ("verify", "--html"): (VERIFY, ""),
    ("verify", "--json"): (VERIFY, ""),
    ("verify", "--markdown"): (VERIFY, ""),
}
#: Those that are run to their end here; what they write goes through the same function in all.
RUN_TO_THE_END = [("solve", "--json"), ("solve", "--plot"), ("verify", "--html"), ("design", "--output")]
OPTIONS = [pytest.param(*key, id=" ".join(key)) for key in RUNS]


@pytest.mark.parametrize("name", SCRIPTS)
def test_every_option_that_writes_is_tried_here(script: Script, name: str) -> None:
    shown = set(re.findall(r"(--[a-z-]+) PATH", script(name, "--help").stdout))
    assert {(name, option) for option in shown} == {key for key in RUNS if key[0] == name}


def bad_path(kind: str, folder: Path, ending: str) -> tuple[str, str]:
    """A path that cannot be written, and a word of the complaint."""
    if kind == "empty":
        return "", "is empty"
    if kind == "folder":
        (folder / f"folder{ending}").mkdir()
        return f"folder{ending}", "is a folder"
    if kind == "folder to be":
        return f"new{ending}/", "is a folder"
    if kind == "in a missing folder":
        return f"missing/x{ending}", "does not exist"
    if kind == "in a file":
        (folder / "file").touch()
        return f"file/x{ending}", "does not exist"
    if kind == "link into a missing folder":
        (folder / f"link{ending}").symlink_to("missing/x")
        return f"link{ending}", "does not exist"
    if kind == "link to itself":
        (folder / f"loop{ending}").symlink_to(f"loop{ending}")
        return f"loop{ending}", "symbolic links"
    if kind == "socket":
        with socket.socket(socket.AF_UNIX) as listening:
            listening.bind(str(Path(os.path.relpath(folder)) / f"s{ending}"))
        return f"s{ending}", "cannot be written"
    if kind == "too long a name":
        return "x" * 300 + ending, "too long"
    assert kind == "in a folder that takes no files"
    return f"/proc/x{ending}", "cannot be written"


KINDS = [
    "empty", "folder", "folder to be", "in a missing folder", "in a file", "link into a missing folder",
    "link to itself", "socket", "too long a name", "in a folder that takes no files",
]  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_a_path_that_cannot_be_written_is_refused_before_the_work(script: Script, tmp_path: Path, kind: str) -> None:
    target, word = bad_path(kind, tmp_path, "")
    before = sorted(tmp_path.iterdir())
    # An hour of work, were it begun.
    done = script("solve", "--activation", "tanh", "--sweep", "tau0=1:2:100000", "--digits", "1000", "--json", target)
    assert done.returncode == 2
    assert word in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert done.stdout == ""
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize(("name", "option"), OPTIONS)
def test_so_it_is_for_every_option(script: Script, tmp_path: Path, name: str, option: str) -> None:
    arguments, ending = RUNS[name, option]
    for target, word in (("", "is empty"), (f"missing/x{ending}", "does not exist")):
        done = script(*arguments, option, target)
        assert done.returncode == 2, done.stdout
        assert option in done.stderr
        assert word in done.stderr
        assert len(done.stderr.splitlines()) == 1


def test_an_empty_folder_name_is_refused(script: Script) -> None:
    for arguments in ((*VERIFY, "--resume", ""), ("export_latex", "--activation", "relu", "--output", "")):
        done = script(*arguments)
        assert done.returncode == 2
        assert "the path is empty" in done.stderr


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everything")
def test_a_file_that_may_not_be_written_is_refused(script: Script, tmp_path: Path) -> None:
    (tmp_path / "x.json").touch(0o400)
    done = script(*SOLVE, "--json", "x.json")
    assert done.returncode == 2
    assert "cannot be written" in done.stderr


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("x", "x"), ("x", "./x"), ("x", "folder/../x"), ("x", "link"), ("there", "link to there"),
        ("there", "other name"), ("-", "-"), ("-", "/dev/stdout"), ("/dev/stdout", "/dev/fd/1"),
    ],
)  # fmt: skip
def test_two_outputs_to_one_path_are_refused(script: Script, tmp_path: Path, first: str, second: str) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "there").touch()
    (tmp_path / "link").symlink_to("x")
    (tmp_path / "link to there").symlink_to("there")
    (tmp_path / "other name").hardlink_to(tmp_path / "there")
    done = script(*VERIFY, "--html", first, "--markdown", second)
    assert done.returncode == 2
    assert "--markdown and --html would both write" in done.stderr
    assert not (tmp_path / "x").exists()


def test_a_file_and_a_folder_of_one_name_are_refused(script: Script, tmp_path: Path) -> None:
    done = script(*VERIFY, "--resume", "runs", "--json", "./runs")
    assert done.returncode == 2
    assert "would both write" in done.stderr
    (tmp_path / "tex" / "fragments").mkdir(parents=True)
    for name in ("numbers.json", "fragments/x.tex"):
        done = script("export_latex", "--activation", "relu", "--output", "tex", "--json", f"tex/{name}")
        assert done.returncode == 2
        assert "a file of the export itself" in done.stderr
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_a_folder_may_be_named_with_a_slash(script: Script, tmp_path: Path) -> None:
    done = script("export_latex", "--activation", "relu", "--output", "tex/", "--json", "exported.json")
    assert done.returncode == 0, done.stderr
    listed = json.loads((tmp_path / "exported.json").read_text("utf-8"))["files"]
    assert all((tmp_path / "tex" / each["path"]).stat().st_size == each["bytes"] for each in listed)


def content_is_right(content: bytes) -> None:
    """It is one of what the runs of RUN_TO_THE_END write, and all of it."""
    if content.startswith(b"{"):
        json.loads(content)
    elif content.startswith(b"\x89PNG"):
        assert content.endswith(b"IEND\xaeB\x60\x82")
    elif content.lstrip().lower().startswith(b"<!doctype"):
        assert content.rstrip().endswith(b"</html>")
    else:
        assert b"import numpy" in content
        compile(content, "network.py", "exec")


@pytest.mark.parametrize(("name", "option"), RUN_TO_THE_END)
def test_a_pipe_is_written_through(script: Script, tmp_path: Path, name: str, option: str) -> None:
    arguments, ending = RUNS[name, option]
    path = tmp_path / f"pipe{ending}"
    os.mkfifo(path)
    received: list[bytes] = []
    reader = threading.Thread(target=lambda: received.append(path.read_bytes()), daemon=True)
    reader.start()
    done = script(*arguments, option, path.name)
    reader.join(60)
    assert done.returncode == 0, done.stderr
    assert stat.S_ISFIFO(path.stat().st_mode)
    content_is_right(received[0])


@pytest.mark.parametrize(("name", "option"), RUN_TO_THE_END)
def test_a_link_is_followed_and_kept(script: Script, tmp_path: Path, name: str, option: str) -> None:
    arguments, ending = RUNS[name, option]
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "target").write_text("before")
    (tmp_path / "data" / "target").chmod(0o640)
    inode = (tmp_path / "data" / "target").stat().st_ino
    for link, target in ((f"old{ending}", "data/target"), (f"new{ending}", "data/made")):
        (tmp_path / link).symlink_to(target)
        assert script(*arguments, option, link).returncode == 0
        assert (tmp_path / link).readlink() == Path(target)
        content_is_right((tmp_path / target).read_bytes())
    # Replaced whole, with its permissions.
    assert (tmp_path / "data" / "target").stat().st_ino != inode
    assert (tmp_path / "data" / "target").stat().st_mode & 0o777 == 0o640
    assert {path.name for path in (tmp_path / "data").iterdir()} == {"target", "made"}


def test_devices_stay_devices(script: Script) -> None:
    before = Path(os.devnull).stat()
    null = os.devnull
    done = script(*VERIFY, "--html", null, "--json", null, "--markdown", null)
    assert done.returncode == 0, done.stderr
    assert script(*SWEEP, "--plot", null).returncode == 0
    after = Path(os.devnull).stat()
    assert (after.st_mode, after.st_rdev, after.st_ino) == (before.st_mode, before.st_rdev, before.st_ino)


def test_other_names_of_standard_output_are_standard_output(script: Script, tmp_path: Path) -> None:
    record = json.loads(script(*SOLVE, "--json", "-").stdout)
    assert json.loads(script(*SOLVE, "--json", "/dev/stdout").stdout) == record
    # A file that standard output already goes to, under its own name.
    with (tmp_path / "out.json").open("w") as out:
        command = [sys.executable, str(ROOT / "scripts" / "solve.py"), *SOLVE[1:], "--json", "out.json"]
        assert subprocess.run(command, stdout=out, cwd=tmp_path, check=False, timeout=300).returncode == 0
    assert json.loads((tmp_path / "out.json").read_text()) == record


# --- a full disk -----------------------------------------------------------------------------------------------------


def limited(size: int) -> Callable[[], None]:
    """A limit on the size of files for a process to be started, as a full disk would set one."""
    return lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))


@pytest.mark.parametrize(("name", "option"), RUN_TO_THE_END)
def test_a_full_disk_is_named_after_the_table_was_printed(tmp_path: Path, name: str, option: str) -> None:
    arguments, ending = RUNS[name, option]
    target = tmp_path / f"result{ending}"
    target.write_text("before")
    command = [sys.executable, str(ROOT / "scripts" / f"{name}.py"), *arguments[1:], option, target.name]
    environment = os.environ | {"DEQVERIFY_CACHE": str(tmp_path / "cache"), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300, check=False,
        preexec_fn=limited(200),
    )  # fmt: skip
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].startswith(f"{name}.py: {target.name} could not be written: file too large")
    assert "Traceback" not in done.stderr
    assert (done.stdout != "") is (option != "--output")
    assert target.read_text() == "before"
    assert [path.name for path in tmp_path.iterdir() if path.suffix == ".part"] == []


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
def test_a_full_device_is_named(script: Script, tmp_path: Path) -> None:
    done = script(*SOLVE, "--json", "/dev/full")
    assert (done.returncode, done.stderr.splitlines()) == (
        2, ["solve.py: /dev/full could not be written: no space left on device; give a path that has room for it"],
    )  # fmt: skip
    assert "certified" in done.stdout
    with Path("/dev/full").open("w") as full:
        command = [sys.executable, str(ROOT / "scripts" / "solve.py"), *SOLVE[1:]]
        done = subprocess.run(
            command, stdout=full, stderr=subprocess.PIPE, cwd=tmp_path, text=True, timeout=300, check=False
        )
    assert done.returncode == 2
    assert "standard output could not be written: no space left" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_drafts_that_killed_runs_left_are_removed(script: Script, tmp_path: Path) -> None:
    (tmp_path / ".deqverify-abcd_123.part").write_text("half")
    (tmp_path / "notes.part").write_text("mine")
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / ".deqverify-abcd_124.part").write_text("half")
    (tmp_path / "runs" / f"{'0' * 64}.999999999.0.part").write_text("half")
    assert script(*VERIFY, "--json", "x.json", "--resume", "runs").returncode == 0
    assert [path.name for path in tmp_path.rglob("*.part")] == ["notes.part"]
