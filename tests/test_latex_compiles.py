"""What scripts/export_latex.py writes goes through pdflatex: no error, nothing undefined, nothing over the margin."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

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
        *("--symbolic", "--digits", "29", "--line-width", "240", "--networks"),
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
_WRAPPER = r"""\documentclass{article}
\usepackage{amsmath,amssymb,booktabs}
\usepackage[textwidth=390pt]{geometry}
\allowdisplaybreaks
\input{macros}
\begin{document}
MACROS

FRAGMENTS
\cite{FengKolter2023}
\begin{thebibliography}{9}\bibitem{FengKolter2023} a source\end{thebibliography}
\end{document}
"""


def _compile(folder: Path, name: str) -> str:
    """Run pdflatex twice, the first time without a PDF, and return its last log."""
    assert COMPILER is not None, "pdflatex must be installed in CI"
    command = [COMPILER, "-interaction=nonstopmode", "-halt-on-error", "-no-shell-escape", name]
    for draft in (["-draftmode"], []):
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


def test_fragments_and_macros_compile_in_a_document_of_ones_own(folder: Path) -> None:
    target = _exported(folder, "registry")
    fragments = "\n\n".join(rf"\input{{fragments/{path.stem}}}" for path in sorted(target.glob("fragments/*.tex")))
    used = ", ".join(rf"\{name}" for name in ("deqTauTanh", "deqAlphaOneRelu", "deqKappaSquaredSwish"))
    text = _WRAPPER.replace("MACROS", used).replace("FRAGMENTS", fragments)
    (target / "paper.tex").write_text(text, "utf-8")
    assert _complaints(_compile(target, "paper.tex")) == []


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
