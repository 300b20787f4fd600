"""Build sdist and wheel, install the wheel where nothing else is, and use it there as a newcomer would.

The wheel is built from the unpacked sdist.  Its environment is a fresh one outside the checkout, with what the wheel
asks for and no more, at the versions and hashes of requirements.lock: what only the checkout has would be missed.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import tempfile
import venv
import zipfile
from importlib.metadata import distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parent.parent
TOP_LEVEL = {"deqverify", "numerics", "theory"}
SOLVE = ("solve", "--activation", "tanh", "--digits", "10")
#: Every public name is there, and no module comes from anywhere but the environment.
LIBRARY = """
import deqverify as dv, pathlib, sys
assert all(hasattr(dv, name) for name in dv.__all__)
from theory.equations import DEQ
import numerics.publish.paper.document
for name, module in sys.modules.items():
    if name.partition(".")[0] in ("deqverify", "numerics", "theory"):
        assert pathlib.Path(module.__file__).is_relative_to(sys.prefix), module.__file__
print(dv.__version__)
"""


def main() -> None:
    """Do all of it in a folder that is removed afterwards; what fails ends it with an error."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name).resolve()
        wheel = built_wheel(folder)
        found = top_level_names(wheel)
        assert found == TOP_LEVEL, f"the wheel installs {found}"
        binaries = install(wheel, folder)
        use(binaries, folder)


def built_wheel(folder: Path) -> Path:
    """The wheel, made from the sdist alone."""
    build = (sys.executable, "-m", "hatchling", "build", "-d", str(folder / "dist"), "-t")
    run(*build, "sdist", cwd=ROOT)
    (sdist,) = (folder / "dist").glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        archive.extractall(folder / "source", filter="data")
    (source,) = (folder / "source").iterdir()
    run(*build, "wheel", cwd=source)
    (wheel,) = (folder / "dist").glob("*.whl")
    return wheel


def top_level_names(wheel: Path) -> set[str]:
    """What a wheel puts into an environment, without its own metadata."""
    with zipfile.ZipFile(wheel) as archive:
        tops = {path.partition("/")[0] for path in archive.namelist()}
    return {top for top in tops if not top.endswith(".dist-info")}


def install(wheel: Path, folder: Path) -> Path:
    """Install the wheel and what it asks for into a fresh environment; the folder of its commands."""
    venv.create(folder / "fresh", with_pip=False)
    binaries = folder / "fresh" / ("Scripts" if os.name == "nt" else "bin")
    requirements = folder / "requirements.txt"
    requirements.write_text(locked(required(wheel)), encoding="utf-8")
    pip = (sys.executable, "-m", "pip", "--disable-pip-version-check", "--python", str(binaries / "python"))
    run(*pip, "install", "-qq", "--no-compile", "--require-hashes", "-r", str(requirements), cwd=folder)
    run(*pip, "install", "-qq", "--no-deps", str(wheel), cwd=folder)
    run(*pip, "check", cwd=folder)
    return binaries


def required(wheel: Path) -> set[str]:
    """Names of all packages that a wheel needs, as the installed ones say, extras left out."""
    with zipfile.ZipFile(wheel) as archive:
        (metadata,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        header = archive.read(metadata).decode().partition("\n\n")[0]
    prefix = "Requires-Dist: "
    waiting = [line.removeprefix(prefix) for line in header.splitlines() if line.startswith(prefix)]
    found = set[str]()
    while waiting:
        requirement = Requirement(waiting.pop())
        name = canonicalize_name(requirement.name)
        if name in found or (requirement.marker and not requirement.marker.evaluate({"extra": ""})):
            continue
        found.add(name)
        waiting += distribution(name).requires or []
    return found


def locked(names: set[str]) -> str:
    """The entries of requirements.lock for some packages."""
    kept, keep = [], False
    for line in (ROOT / "requirements.lock").read_text(encoding="utf-8").splitlines(keepends=True):
        if line[0] not in " #":
            keep = canonicalize_name(line.partition("==")[0]) in names
        kept += [line] if keep else []
    return "".join(kept)


def use(binaries: Path, folder: Path) -> None:
    """Run the command and the library from a folder without a checkout."""
    elsewhere = folder / "elsewhere"
    elsewhere.mkdir()
    python, command = str(binaries / "python"), str(binaries / "deqverify")
    version = run(command, "--version", cwd=elsewhere).removeprefix("deqverify ")
    assert run(python, "-c", LIBRARY, cwd=elsewhere) == version
    printed = run(command, *SOLVE, cwd=elsewhere)
    script = (str(ROOT / "scripts" / "solve.py"), *SOLVE[1:])
    for other in ((python, "-m", "deqverify", *SOLVE), (sys.executable, *script)):
        assert run(*other, cwd=elsewhere) == printed, other
    run(command, "bench", "--list", cwd=elsewhere)
    run(command, "fuzz-parser", "--inputs", "20", cwd=elsewhere)
    assert "complete" in run(command, "--print-completion", "bash", cwd=elsewhere)
    for schema in (ROOT / "deqverify" / "schemas").glob("*.json"):
        assert run(command, "--print-schema", schema.stem, cwd=elsewhere) == schema.read_text(encoding="utf-8")
    print(f"deqverify {version}{printed}", end="")


def run(*words: str, cwd: Path) -> str:
    """Run a program in a folder and return what it prints; its failure is this one's."""
    kept = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PYTHONHOME")}
    return subprocess.run(words, cwd=cwd, env=kept, check=True, stdout=subprocess.PIPE, text=True, timeout=600).stdout


if __name__ == "__main__":
    main()
