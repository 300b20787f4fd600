"""scripts/export_latex.py as a user runs it: every file, every number, every refusal."""

from __future__ import annotations

import json
import math
import os
import re
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import flint
import pytest
import sympy as sp
from pylatexenc.latexwalker import LatexWalker, LatexWalkerParseError

from numerics.equilibrium import CertifiedCoefficients, certify
from numerics.publish.paper import words
from tests.latex_reader import equations, evaluate, macro_numbers, table_rows
from tests.scripts.conftest import ROOT, Script
from theory.activations import registry
from theory.equations import DEQ
from theory.latex import COEFFICIENT_SYMBOLS

DIGITS = 10
#: Environment of programs that import this checkout's packages.
CHECKOUT = os.environ | {"PYTHONPATH": str(ROOT)}

#: Writes the record of verify.py for a run that never was: its own code, with a plan, verdicts and outcomes given.
_RECORD = """
import json, sys
from deqverify.commands import _outputs, _running
from numerics.ledger import PROFILES, LedgerOutcome, LedgerRun, Plan, PlantedOutcome
from theory.claims import Verdict, VerdictKind, planted_errors
theories = list(planted_errors().values())[:{planted}]
outcome = LedgerOutcome(
    LedgerRun(Plan(PROFILES["quick"], 7, "1/4", "3/4", activations=("relu",))),
    (
        Verdict("ck", "relu", VerdictKind.SUPPORTED, "at most 2 % of it is left"),
        Verdict("ck", "x_{{1}}" + "*Max(0,x)" * 40, VerdictKind.REFUTED, {nasty!r}),
        Verdict("forms", "any activation", VerdictKind.DERIVED, "6 identities cancel to 0"),
    ),
    tuple(
        PlantedOutcome(theory, k % 3 > 0, "class 1 x psi", (-1) ** k * 12.34, float("inf") if k == 1 else 0.05)
        for k, theory in enumerate(theories)
    ),
)
json.dump(outcome.record() | _outputs.provenance(7), sys.stdout)
"""
#: Everything that LaTeX reads as something else, and what would not fit a line.
NASTY = (
    r"\input{/etc/passwd} 50 % of a_b^2 & #1 ~ $x$ <y> |z| \\ \end{document} -- `` '' C\N{DEGREE SIGN} \x00 "
    + "w" * 300
)


def verdict_record(planted: int = 40) -> dict[str, Any]:
    """What verify.py --json writes."""
    program = _RECORD.format(planted=planted, nasty=NASTY)
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, env=CHECKOUT, timeout=120, check=True
    )
    record: dict[str, Any] = json.loads(done.stdout)
    return record


def _export(folder: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Export into a folder, with more environment variables; what is derived is kept beside it."""
    environment = os.environ | {"NO_COLOR": "1", "DEQVERIFY_CACHE": str(folder.parent / "cache")} | variables
    command = [sys.executable, str(ROOT / "scripts" / "export_latex.py"), *arguments, "--output", str(folder)]
    return subprocess.run(command, capture_output=True, text=True, env=environment, timeout=300, check=False)


def verdict_file(factory: pytest.TempPathFactory) -> Path:
    """A file of verdicts, made once a session."""
    path: Path = factory.getbasetemp() / "latex-verdicts.json"
    if not path.exists():
        path.write_text(json.dumps(verdict_record()), "utf-8")
    return path


def registry_export(factory: pytest.TempPathFactory) -> Path:
    """The registry with everything that there is, exported once a session: not to be written to."""
    folder: Path = factory.getbasetemp() / "latex-registry"
    if not folder.exists():
        source = verdict_file(factory)
        done = _export(folder, "--registry", "--digits", str(DIGITS), "--networks", "--verdicts", str(source))
        assert done.returncode == 0, done.stderr
        assert "44 activations" in " ".join(done.stdout.split())
    return folder


@pytest.fixture(scope="module")
def verdicts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    record: dict[str, Any] = json.loads(verdict_file(tmp_path_factory).read_text("utf-8"))
    return record


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return registry_export(tmp_path_factory)


@cache
def certified(name: str) -> CertifiedCoefficients:
    """The same coefficients, to more digits than are printed."""
    activation = registry.registered(name).with_parameters({})
    return certify(DEQ(activation, sp.Rational(1, 5), sp.Rational(4, 5), sp.S.One), DIGITS + 6)


def _significant(text: str) -> int:
    mantissa = text.partition("e")[0].replace("-", "").replace(".", "")
    return len(mantissa.lstrip("0")) or len(mantissa)


def _check(name: str, key: str, text: str) -> None:
    known = certified(name)
    assert known.certified[key]
    if text == "0":
        assert known[key].is_zero(), (name, key)
    elif float(text) == 0:
        # Zeros that are printed say how small the number is, all of them rightly.
        assert abs(known[key]) < flint.arb(10) ** -len(text.partition(".")[2]) / 2
    else:
        assert known.contains(key, text), (name, key, text)
        assert _significant(text) == DIGITS


def _files(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): path.read_text("utf-8") for path in folder.rglob("*") if path.is_file()
    }


def check_tables(files: dict[str, str]) -> None:
    """Every number of the tables of constants (fragments by name) is its ball's, and none is missing."""
    symbols = {symbol: key for key, symbol in COEFFICIENT_SYMBOLS.items()}
    seen: dict[str, dict[str, str | None]] = {}
    for text in (text for name, text in files.items() if name.startswith("constants-")):
        headings, rows = table_rows(text)
        assert headings
        for label, cells in rows.items():
            assert len(cells) == len(headings), label
            for name, cell in zip(headings, cells, strict=True):
                assert symbols[label] not in seen.setdefault(name, {})
                seen[name][symbols[label]] = cell
    assert set(seen) == set(registry.registered_names())
    for name, column in seen.items():
        has_ntk = not certified(name).ntk_missing
        assert has_ntk == (column.get("kappa2") is not None)
        for key in COEFFICIENT_SYMBOLS:
            cell = column.get(key)
            if cell is None:
                assert key not in certified(name).balls
            else:
                _check(name, key, cell)


def check_macros(files: dict[str, str]) -> None:
    """Every macro is its ball's number, as the record has it."""
    numbers = macro_numbers(files["macros.tex"])
    record = json.loads(files["numbers.json"])
    named: dict[str, str] = {}
    for entry in record["activations"]:
        for key, text in entry["values"].items():
            _check(entry["activation"], key, text)
            assert entry["macros"][key] not in named
            named[entry["macros"][key]] = text
            assert float(entry["radius"][key]) < 10 ** -(DIGITS + 2) * max(1, abs(float(text)))
        assert bool(entry["missing"]) == ("kappa2" not in entry["values"])
    assert named == numbers
    assert {"deqAlphaOneTanh", "deqTauLeakyRelu", "deqKappaSquaredReluSix", "deqThetaDiagRelu"} <= set(named)


def test_every_number_of_the_tables_is_certified(exported: Path) -> None:
    check_tables({path.stem: path.read_text("utf-8") for path in (exported / "fragments").glob("constants-*.tex")})


def test_macros_and_json_say_the_same(exported: Path) -> None:
    check_macros({name: (exported / name).read_text("utf-8") for name in ("macros.tex", "numbers.json")})
    record = json.loads((exported / "numbers.json").read_text("utf-8"))
    assert record["sigma_a2"] == "1/5"
    assert record["versions"]["sympy"]


def test_every_file_is_well_formed(exported: Path) -> None:
    files = _files(exported)
    names = [name for name in files if name.endswith(".tex")]
    assert len(names) > 100
    for name in names:
        assert files[name].isascii(), name
        assert files[name].startswith("% deqverify "), name
        nodes, _, _ = LatexWalker(files[name], tolerant_parsing=False).get_latex_nodes()
        assert nodes
        assert not re.search(r"\\usepackage|\\documentclass", files[name]) or name == "deq.tex"


def test_the_strict_parser_refuses_a_broken_fragment(exported: Path) -> None:
    text = (exported / "fragments" / "system.tex").read_text("utf-8")
    with pytest.raises(LatexWalkerParseError):
        LatexWalker(text.replace("}", "", 1), tolerant_parsing=False).get_latex_nodes()


def test_the_document_holds_every_fragment(exported: Path) -> None:
    files = _files(exported)
    heading = re.match(r"(?:%.*\n)+", files["deq.tex"])
    assert heading
    fragments = {name: text for name, text in files.items() if name.startswith("fragments/")}
    for name in ("setting", "equilibrium", "system", "equivalents", "ntk-all", "claims", "moments-tanh", "system-tanh"):
        assert f"fragments/{name}.tex" in fragments
    for name, text in fragments.items():
        assert text.removeprefix(heading[0]).strip() in files["deq.tex"], name


# --- verdicts --------------------------------------------------------------------------------------------------------


def _plain(text: str) -> str:
    """Text that was escaped and broken, as a reader sees it."""
    text = text.replace(r"\allowbreak{}", "").replace(r"\textbackslash{}", "\\").replace("{}", "")
    text = re.sub(r"(?<!\\)\$", "", text).replace(r"\,\%", r" \%").replace(r"\times", "x")
    return re.sub(r"\\([{}%&#_$^~])", r"\1", text)


def test_verdicts_stand_with_their_claims(exported: Path, verdicts: dict[str, Any]) -> None:
    text = (exported / "fragments" / "claims.tex").read_text("utf-8")
    items = dict(re.findall(r"\\item\[\\texttt\{(.*?)\}\](.*?)(?=\\item\[\\texttt|\\end\{description\})", text, re.S))
    items = {_plain(name): body for name, body in items.items()}
    assert set(items) == {claim["id"] for claim in verdicts["claims"]}
    assert items["ck"].count(r"\item[") == 2
    assert r"relu: \textbf{supported}. At most $2\,\%$ of it is left." in items["ck"]
    assert r"\textbf{refuted, not as expected (supported)}. " in items["ck"]
    assert "$6$ identities cancel to $0$." in items["forms"]
    for name, body in items.items():
        assert ("Not checked in this run." in body) == (name not in {"ck", "forms"}), name
    document = (exported / "deq.tex").read_text("utf-8")
    assert r"for $\sigma_a^2 = 1/4$ and $\sigma_b^2 = 3/4$, seed 7: 2 of 3 are as expected." in document


def test_text_of_the_file_is_data(exported: Path) -> None:
    text = (exported / "fragments" / "claims.tex").read_text("utf-8")
    assert "\\input" not in text
    assert text.count(r"\end{") == text.count(r"\begin{")
    shown = _plain(text)
    assert r"\input{/etc/passwd} 50 % of a_b" in shown
    assert "w" * 300 in shown
    assert max(map(len, re.split(r"[ \n]|\\allowbreak\{\}", text.partition("www")[2].partition(".\n")[0]))) < 10


def test_every_wrong_theory_is_in_the_tables(exported: Path, verdicts: dict[str, Any]) -> None:
    rows = []
    for path in sorted((exported / "fragments").glob("planted-*.tex"), key=lambda path: int(path.stem.split("-")[1])):
        rows += re.findall(r"^\\raggedright (.*) \\\\$", path.read_text("utf-8"), flags=re.MULTILINE)
    assert len(rows) == len(verdicts["planted"]) == 40
    for row, outcome in zip(rows, verdicts["planted"], strict=True):
        said, witness, score, seen = row.split(" & ")
        name = outcome["id"].removeprefix("statistics: ").removeprefix(f"{outcome['kernel']} ")
        assert said.startswith(words.worded(name))
        assert f"({outcome['kernel']})" in said
        assert ("not refuted" in said) == (not outcome["refuted"])
        assert witness.endswith(r"class $1 \times \psi$")
        assert score == f"${outcome['score']:+.1f}$"
        assert seen == ("---" if outcome["detectable"] is None else r"5\,\%")
    assert f"refutes {sum(each['refuted'] for each in verdicts['planted'])} of 40" in (exported / "deq.tex").read_text(
        "utf-8"
    )


# --- the whole -------------------------------------------------------------------------------------------------------


def test_sources_are_cited_and_defined(exported: Path) -> None:
    files = _files(exported)
    defined = set(re.findall(r"@\w+\{(\w+),", files["references.bib"]))
    assert defined == set(re.findall(r"\\bibitem\{(\w+)\}", files["deq.tex"]))
    assert defined == set(re.findall(r"\\cite\{(\w+)\}", files["deq.tex"]))


def test_the_same_input_gives_the_same_bytes(tmp_path: Path) -> None:
    arguments = ("--activation", "selu", "--activation", "x*Phi(x) - Max(x, 1)/2", "--digits", "12", "--networks")
    first, second = tmp_path / "first", tmp_path / "second"
    second.mkdir()
    assert _export(first, *arguments, PYTHONHASHSEED="1").returncode == 0
    # What an export replaces, it replaces whole; what is not its own it leaves.
    (second / "macros.tex").write_text("old", "utf-8")
    (second / "mine.tex").write_text("mine", "utf-8")
    other = {"PYTHONHASHSEED": "2", "SYMPY_GROUND_TYPES": "python", "DEQVERIFY_CACHE": str(tmp_path / "other")}
    assert _export(second, *arguments, **other).returncode == 0
    assert (second / "mine.tex").read_text("utf-8") == "mine"
    (second / "mine.tex").unlink()
    assert _files(first) == _files(second)


def test_json_on_standard_output(script: Script, tmp_path: Path) -> None:
    named = ("--digits", "20", "--macro-prefix", "mine")
    done = script("export_latex", "--activation", "relu", *named, "--output", "out", "--json", "-")
    assert done.returncode == 0, done.stderr
    record = json.loads(done.stdout)
    assert {entry["path"] for entry in record["files"]} == set(_files(tmp_path / "out"))
    (relu,) = record["activations"]
    assert relu["values"]["alpha1"] == "0.21052631578947368421"
    assert relu["values"]["bias"].startswith("0.3696")
    assert relu["macros"]["alpha1"] == "mineAlphaOneRelu"
    assert macro_numbers((tmp_path / "out" / "macros.tex").read_text("utf-8"))["mineTauRelu"] == relu["values"]["tau"]
    written = json.loads((tmp_path / "out" / "numbers.json").read_text("utf-8"))
    # Each names the schema that it follows.
    assert (record.pop("schema"), written.pop("schema")) == ("export-latex", "export-latex-numbers")
    assert all(record[key] == value for key, value in written.items())


def test_what_is_not_certified_is_not_printed(script: Script, tmp_path: Path) -> None:
    done = script(
        "export_latex", "--activation", "x*log(Abs(x))", "--digits", "4", "--networks", "--output", "out",
        "--json", "record.json",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "left out, not certified" in done.stdout
    (entry,) = json.loads((tmp_path / "record.json").read_text("utf-8"))["activations"]
    assert entry["uncertified"]
    assert not set(entry["uncertified"]) & set(entry["values"])
    files = _files(tmp_path / "out")
    assert (
        r"No network was designed: $\alpha_1$ of the DEQ is not certified: " in files["fragments/network-custom-1.tex"]
    )
    assert set(macro_numbers(files["macros.tex"])) == set(entry["macros"].values())
    for name, text in files.items():
        if name.startswith("fragments/constants"):
            cells = [cell for row in table_rows(text)[1].values() for cell in row if cell]
            assert set(cells) <= set(entry["values"].values())


_TWO_NAMES = """
import sys
from functools import partial
import numerics.matching
import theory.activations
theory.activations.registered_names = lambda: ("identity", "tanh")
numerics.matching.design = partial(numerics.matching.design, family="leaky_relu")
from deqverify.commands import _outputs, _running, export_latex
_running.run(export_latex.main)
"""


def test_an_activation_of_the_registry_without_equilibrium_is_said(tmp_path: Path) -> None:
    """With a registry of two: one has no equilibrium, the other no network of the family given."""
    command = [
        sys.executable,
        "-c",
        _TWO_NAMES,
        "--registry",
        "--sigma-a2",
        "1.5",
        "--digits",
        "4",
        "--networks",
        "--output",
        "out",
    ]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=CHECKOUT, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    assert "no constants for identity: " in done.stdout
    files = _files(tmp_path / "out")
    assert r"\texttt{identity} has none. No stable equilibrium: " in files["deq.tex"]
    assert "deqTauIdentity" not in files["macros.tex"]
    assert "deqTauTanh" in files["macros.tex"]
    records = json.loads(files["numbers.json"])["activations"]
    assert [bool(record["missing"]) for record in records] == [True, False]
    assert "No network was designed: there is no kernel to match: " in files["fragments/network-identity.tex"]
    assert "No network with two layers of leaky ReLUs has this" in files["fragments/network-tanh.tex"]
    assert "tabular" not in files["fragments/network-tanh.tex"]


def test_parameters_that_are_not_given_may_stay_symbols(script: Script, tmp_path: Path) -> None:
    arguments = ("--activation", "hard_tanh", "--parameter", "a=2", "--symbolic", "--activation", "tanh")
    done = script("export_latex", *arguments, "--output", "out")
    assert done.returncode == 0, done.stderr
    files = _files(tmp_path / "out")
    written = {left: right for left, _, right in equations(files["fragments/moments-hard-tanh.tex"])}
    value = evaluate(written[r"\mathbb{E}[\phi'(\tau_*\xi)]"], {r"\tau_*": 0.7, "c": 0.4})
    assert value == pytest.approx(2 * math.erf(0.4 / (math.sqrt(2) * 0.7)))
    assert "The constants are those of $c = 1$." in files["deq.tex"]
