"""What scripts/export_latex.py writes goes through pdflatex: no error, nothing undefined, nothing over the margin."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.scripts.test_export_cell import CELLS
from tests.scripts.test_export_latex import registry_export, verdict_file

ROOT = Path(__file__).resolve().parent.parent
#: Points by which a line may stand over the margin.
OVERFULL = 5.0
COMPILER = shutil.which("pdflatex")
_IN_CI = os.environ.get("CI", "").lower() in {"1", "true"}

pytestmark = pytest.mark.skipif(
    COMPILER is None and not _IN_CI,
    reason="pdflatex is not installed (Debian: texlive-latex-base and texlive-latex-recommended)",
)

#: Beside the registry; every export shows the verdicts of a file whose text is made to break LaTeX.
EXPORTS = {
    "column": (
        *(
            "--activation",
            "celu",
            "--activation",
            "swish",
            "--activation",
            "x*log(Abs(x))",
            "--activation",
            "gelu_tanh",
        ),
        *("--activation", "Piecewise((tanh(x), x < 0), (x, True))", "--activation", "2*x + sin(3*x)*exp(-Abs(x))"),
        *("--symbolic", "--digits", "22", "--line-width", "240", "--networks"),
    ),
    "long": (
        "--activation",
        "softsign",
        "--activation",
        "step",
        "--activation",
        "relu",
        "--networks",
        "--digits",
        "50",
        "--sigma-a2",
        "1/7",
        "--tau0",
        "3/2",
    ),
}
_WRAPPER = r"""\documentclassCLASS
\usepackage{amsmath,amssymb,booktabs}
\allowdisplaybreaks
\input{macros}
\begin{document}
\section{On MACROS}

FRAGMENTS
\cite{FengKolter2023,Ling2024,Gu2022,Johansson2017}
\bibliographystyle{STYLE}
\bibliography{references}
\end{document}
"""
#: Classes of a paper, by the export whose fragments fit its columns.
_CLASSES = {
    "registry": r"{article}\usepackage[textwidth=390pt]{geometry}",
    "column": r"[twocolumn]{article}\usepackage[textwidth=490pt,columnsep=10pt]{geometry}\usepackage{hyperref}",
}
#: Standard styles: they complain of fields that are missing or that exclude each other.
_STYLES = ("plain", "unsrt", "alpha")


def _compile(folder: Path, name: str, runs: int = 2) -> str:
    """Run pdflatex, without a PDF until the last time, and return its last log."""
    assert COMPILER is not None, "pdflatex must be installed in CI"
    command = [COMPILER, "-interaction=nonstopmode", "-halt-on-error", "-no-shell-escape", name]
    for draft in [["-draftmode"]] * (runs - 1) + [[]]:
        done = subprocess.run(
            [*command[:1], *draft, *command[1:]], cwd=folder, capture_output=True, timeout=120, check=False
        )
        log = (folder / name).with_suffix(".log").read_text("latin-1")
        assert done.returncode == 0, log[-3000:]
    return log


def _complaints(log: str) -> list[str]:
    lines = log.splitlines()
    found = [line for line in lines if re.search(r"undefined|multiply.defined|Rerun to get|Missing character", line)]
    wide = (re.search(r"Overfull \\[hv]box \(([0-9.]+)pt too", line) for line in lines)
    return found + [hit.string for hit in wide if hit and float(hit[1]) > OVERFULL]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where exports go, one folder each."""
    made: Path = tmp_path_factory.mktemp("latex")
    shutil.copytree(registry_export(tmp_path_factory), made / "registry")
    shutil.copy(verdict_file(tmp_path_factory), made / "verdicts.json")
    return made


def _exported(folder: Path, name: str) -> Path:
    target = folder / name
    if not target.exists():
        command = [sys.executable, str(ROOT / "scripts" / "export_latex.py"), *EXPORTS[name], "--output", str(target)]
        command += ["--verdicts", str(folder / "verdicts.json")]
        environment = os.environ | {"DEQVERIFY_CACHE": str(folder / "cache")}
        done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=300, check=False)
        assert done.returncode == 0, done.stderr
    return target


@pytest.mark.parametrize("name", ["registry", *EXPORTS])
def test_the_document_compiles(folder: Path, name: str) -> None:
    assert _complaints(_compile(_exported(folder, name), "deq.tex")) == []


@pytest.mark.parametrize(("name", "width"), [("general", "240"), ("wide", "390")])
def test_the_document_of_a_cell_compiles(tmp_path: Path, name: str, width: str) -> None:
    (tmp_path / "cell.toml").write_text(CELLS[name], "utf-8")
    words = ("--deq", "cell.toml", "--line-width", width, "--digits", "20", "--output", "out")
    command = [sys.executable, str(ROOT / "scripts" / "export_latex.py"), *words]
    subprocess.run(command, cwd=tmp_path, capture_output=True, timeout=300, check=True)
    assert _complaints(_compile(tmp_path / "out", "deq.tex")) == []


@pytest.mark.parametrize("name", _CLASSES)
def test_fragments_macros_and_sources_work_in_a_paper(folder: Path, name: str) -> None:
    """In one column, and in two with hyperref; every fragment, macros in a heading, and BibTeX."""
    target = _exported(folder, name)
    fragments = "\n\n".join(rf"\input{{fragments/{path.stem}}}" for path in sorted(target.glob("fragments/*.tex")))
    first, *_ = re.findall(r"\\newcommand\{\\([A-Za-z]+)\}", (target / "macros.tex").read_text("utf-8"))
    text = _WRAPPER.replace("CLASS", _CLASSES[name]).replace("MACROS", rf"\texorpdfstring{{\{first}}}{{it}}")
    if "hyperref" not in text:
        text = text.replace(rf"\texorpdfstring{{\{first}}}{{it}}", rf"\{first}")
    for style in _STYLES:
        (target / "paper.tex").write_text(text.replace("FRAGMENTS", fragments).replace("STYLE", style), "utf-8")
        if style == _STYLES[0]:
            _compile(target, "paper.tex", runs=1)
        aux = target / "paper.aux"
        aux.write_text(re.sub(r"\\bibstyle\{\w+\}", rf"\\bibstyle{{{style}}}", aux.read_text("latin-1")), "latin-1")
        done = subprocess.run(["bibtex", "paper"], cwd=target, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stdout
        assert "Warning" not in done.stdout, done.stdout
    assert _complaints(_compile(target, "paper.tex")) == []


def test_the_paper_in_the_documentation_compiles(tmp_path: Path) -> None:
    """With the export of the command that docs/latex.md shows before it."""
    page = (ROOT / "docs" / "latex.md").read_text("utf-8")
    command, *_ = re.findall(r"^\$ \S+ (scripts/export_latex\.py .*)$", page, re.MULTILINE)
    (paper,) = re.findall(r"```tex\n(.*?)```", page, re.DOTALL)
    script, *arguments = shlex.split(command)
    done = subprocess.run(
        [sys.executable, str(ROOT / script), *arguments], cwd=tmp_path, capture_output=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
    (tmp_path / "paper.tex").write_text(paper, "utf-8")
    _compile(tmp_path, "paper.tex", runs=1)
    assert subprocess.run(["bibtex", "paper"], cwd=tmp_path, capture_output=True, check=False).returncode == 0
    assert _complaints(_compile(tmp_path, "paper.tex")) == []
    listed = set(
        re.findall(r"`([a-z]+(?:-[a-z]+)?)(?:-NAME|-1)?`", page.partition("| fragment |")[2].partition("NAME is")[0])
    )
    made = {re.sub(r"-(?:tanh|relu|\d+)$", "", path.stem) for path in (tmp_path / "tables" / "fragments").iterdir()}
    assert made <= listed


@pytest.mark.parametrize(
    ("body", "word"),
    [
        (r"\noindent\rule{500pt}{1pt}", "Overfull"),
        (r"see \ref{eq:nowhere}", "undefined"),
        (r"\begin{align} a \label{x} \end{align}\begin{align} b \label{x} \end{align}", "multiply"),
    ],
)
def test_complaints_are_seen(tmp_path: Path, body: str, word: str) -> None:
    text = rf"\documentclass{{article}}\usepackage{{amsmath}}\begin{{document}}{body}\end{{document}}"
    (tmp_path / "bad.tex").write_text(text, "utf-8")
    assert any(word in line for line in _complaints(_compile(tmp_path, "bad.tex")))


def test_an_error_is_seen(tmp_path: Path) -> None:
    (tmp_path / "bad.tex").write_text(r"\documentclass{article}\begin{document}\nosuchcommand\end{document}", "utf-8")
    with pytest.raises(AssertionError, match="Undefined control sequence"):
        _compile(tmp_path, "bad.tex")
