"""scripts/verify.py as a user runs it."""

from __future__ import annotations

import json
import time
from io import BytesIO, StringIO, TextIOWrapper
from itertools import pairwise
from pathlib import Path

import pytest
from rich.console import Console

from numerics.ledger import PROFILES, LedgerOutcome, LedgerRun, Plan, PlantedOutcome
from numerics.memory import free_bytes
from tests.scripts.conftest import Script, command_module
from theory.claims import CLAIMS, Verdict, VerdictKind, planted_errors

RATES = ("--claims", "equilibrium", "layers", "ck-rate", "--activation", "relu")


def test_a_small_run_writes_the_same_bytes_whatever_the_workers(
    script: Script, process: Script, tmp_path: Path
) -> None:
    small = (*RATES, "--p", "64,96,144,216", "--seeds", "16", "--seed", "1", "--quick")
    first = script("verify", *small, "--jobs", "1", "--json", "one.json")
    second = process("verify", *small, "--jobs", "2", "--json", "two.json")
    assert first.returncode == second.returncode == 0, first.stdout + first.stderr
    assert (tmp_path / "one.json").read_bytes() == (tmp_path / "two.json").read_bytes()
    record = json.loads((tmp_path / "one.json").read_text())
    assert record["seed"] == 1
    kinds = {verdict["claim"]: verdict["verdict"] for verdict in record["verdicts"]}
    assert kinds == {"equilibrium": "certified", "layers": "derived", "ck-rate": "supported"}
    ladder = next(verdict["details"] for verdict in record["verdicts"] if verdict["claim"] == "ck-rate")
    assert ladder["sizes"] == [64, 96, 144, 216]
    assert [len(row) for row in ladder["errors"]] == [16] * 4
    assert "every claim stands as expected (3 of 3), in" in first.stdout


def test_a_killed_run_is_taken_up_again(script: Script, tmp_path: Path) -> None:
    small = (*RATES, "--p", "64,96,144", "--seeds", "3", "--quick", "--resume", "runs", "--json", "-")
    first = script("verify", *small)
    records = sorted((tmp_path / "runs").glob("*.json"))
    assert len(records) == 15
    records[0].unlink()
    records[1].write_text("{")
    assert script("verify", *small).stdout == first.stdout
    assert sorted((tmp_path / "runs").glob("*.json")) == records


def test_the_list_of_claims(script: Script) -> None:
    record = json.loads(script("verify", "--list", "--json", "-").stdout)
    assert len(record["claims"]) >= 25
    assert all(claim["statement"] and claim["source"] and claim["expected"] for claim in record["claims"])
    assert {claim["expected"] for claim in record["claims"]} == {"derived", "certified", "supported", "refuted"}
    assert "ck-rate" in script("verify", "--list").stdout


def test_standard_output_is_only_json(script: Script) -> None:
    done = script("verify", "--claims", "system", "layers", "--json", "-")
    record = json.loads(done.stdout)
    assert done.returncode == 0
    assert record["as_expected"]
    assert "every claim stands as expected (2 of 2)" in done.stderr


def test_a_claim_that_fails_gives_code_1(script: Script) -> None:
    """Past the loss of stability the equilibrium claim is refuted, and the program says so."""
    done = script("verify", "--activation", "relu", "--sigma-a2", "9", "--quick", "--claims", "equilibrium", "ck")
    assert done.returncode == 1
    assert "refuted" in done.stdout
    assert "does not stand" in done.stdout


# --- the table -----------------------------------------------------------------------------------

LONG = "Piecewise((x, x > 0), (exp(x) - 1, x <= 0))"


def _outcome() -> LedgerOutcome:
    """A run with every kind of verdict, several on one activation, and wrong theories of which one escapes."""
    power = {"power": {"linear": 0.05, "square": 0.2, "variance": None}}
    blunt = {"power": {"linear": 0.4}, "unseen": ["square"]}
    verdicts = (
        Verdict("equilibrium", "relu", VerdictKind.CERTIFIED, "one root", {}, "relu"),
        Verdict("equilibrium", LONG, VerdictKind.REFUTED, "no root", {}, LONG),
        Verdict("forms", "any activation", VerdictKind.DERIVED, "it cancels"),
        Verdict("ck", "relu", VerdictKind.SUPPORTED, "it fits", power, "relu"),
        Verdict("ck", LONG, VerdictKind.SUPPORTED, "it fits", blunt, LONG),
        Verdict("ntk-rate", "relu, recurrent", VerdictKind.SUPPORTED, "it fits", power, "relu"),
        Verdict("ntk-rate", "relu, all", VerdictKind.UNDECIDED, "missing: more draws", {}, "relu"),
        Verdict("variant-centred-T", "relu", VerdictKind.REFUTED, "it is not 0", {"power": {"variant": 0.013}}, "relu"),
        Verdict("limit-jump", "sign", VerdictKind.SUPPORTED, "it fits", {"power": {"linear": 1.0}}, "sign"),
    )
    planted = tuple(
        PlantedOutcome(planted_errors()[name], refuted, "I", 9.0, 0.1)
        for name, refuted in (("alpha_3 absent", True), ("alpha_2 absent", False))
    )
    claims = tuple(dict.fromkeys(verdict.claim for verdict in verdicts))
    plan = Plan(PROFILES["quick"], 0, activations=("relu", LONG))
    return LedgerOutcome(LedgerRun(plan, claims), verdicts, planted)


def _table(columns: int) -> list[str]:
    file = StringIO()
    command_module("_verdict_table").show_table(Console(file=file, width=columns), _outcome())
    return file.getvalue().splitlines()


def test_the_table_has_a_row_a_claim_and_a_column_an_activation() -> None:
    assert _table(80) == [
        "claim                                relu  phi_1  other  expected   sees",
        "an equilibrium exists and is stable  ✓C    ✗R            certified  proof",
        "both forms of the system agree                    ✓D     derived    proof",
        "CK follows its equivalent            ✓S    ✓S            supported  40 %",
        "NTKs' errors fall like p^(-1/2)      ?U                  supported  5 %",
        "released code of 2024: centred T     ✓R                  refuted    1.3 %",
        "an activation may jump                            ✓S     supported  100 %",
        f"phi_1(x) = {LONG}",
    ]


@pytest.mark.parametrize("columns", [40, 60, 80, 200])
def test_the_table_is_no_wider_than_the_terminal(columns: int) -> None:
    lines = _table(columns)
    assert max(map(len, lines)) <= max(columns, 59)
    # A title that is broken goes on below, indented; a verdict is never broken.
    assert sum("✓" in line or "✗" in line or "?" in line for line in lines) == 6


def test_every_claim_of_the_full_profile_fits_80_columns() -> None:
    profile = PROFILES["full"]
    power = {"power": {"linear": 0.00123}}
    verdicts = [
        Verdict(claim.identifier, name, claim.expected, "", power, name)
        for claim in CLAIMS.values()
        for name in (*profile.rate_activations, "sign")
    ]
    file = StringIO()
    outcome = LedgerOutcome(LedgerRun(Plan(profile, 0)), tuple(verdicts))
    command_module("_verdict_table").show_table(Console(file=file, width=80), outcome)
    lines = file.getvalue().splitlines()
    assert max(map(len, lines)) <= 80
    assert len([line for line in lines if not line.startswith(" ")]) == len(CLAIMS) + 1


def test_the_table_reads_in_ascii_and_without_colour() -> None:
    file = TextIOWrapper(BytesIO(), encoding="ascii")
    command_module("_verdict_table").show_table(Console(file=file, width=80), _outcome())
    file.seek(0)
    text = file.read()
    assert "+C    xR" in text
    assert "?U" in text
    assert "\x1b" not in text


def test_marks_have_colours_on_a_terminal() -> None:
    file = StringIO()
    console = Console(file=file, width=80, force_terminal=True, color_system="standard", no_color=False)
    command_module("_verdict_table").show_table(console, _outcome())
    for code, cell in (("32", "✓C"), ("1;31", "✗R"), ("33", "?U")):
        assert f"\x1b[{code}m{cell}" in file.getvalue()


def test_one_sentence_says_how_it_went() -> None:
    table = command_module("_verdict_table")
    said = "a claim does not stand as expected (4 of 6 stand), 1 of 2 wrong theories caught, in 3 min 51 s"
    assert table.summary(_outcome(), 231.4) == said
    single = LedgerOutcome(LedgerRun(Plan(PROFILES["quick"], 0), ("forms",)), _outcome().verdicts[2:3])
    assert table.summary(single, 0.7) == "every claim stands as expected (1 of 1), in 1 s"


def test_the_evidence_is_shown_when_asked_for_or_needed(script: Script) -> None:
    arguments = ("verify", "--claims", "forms", "equilibrium", "--activation", "relu", "--sigma-a2")
    short = script(*arguments, "1/5")
    assert short.returncode == 0
    assert "identities" not in short.stdout
    assert "✓D" in short.stdout
    assert "6 identities" in script(*arguments, "1/5", "--details").stdout
    # What is not as expected says why, asked or not.
    failed = script(*arguments, "9")
    assert failed.returncode == 1
    assert "no stable equilibrium" in failed.stdout
    assert "identities" not in failed.stdout


def test_the_help_lists_every_verdict(script: Script) -> None:
    shown = script("verify", "--help").stdout.split("verdicts:\n")[1]
    for kind in VerdictKind:
        assert f"  {kind.value} " in shown
        assert kind.meaning in " ".join(shown.split())


@pytest.mark.parametrize("columns", [40, 80, 200])
def test_blocks_are_as_wide_as_the_terminal(columns: int) -> None:
    """A line for each verdict and its evidence below it, which fills the lines: no narrow column at any width."""
    table = command_module("_verdict_table")
    evidence = "one witness of many has the limit +1.41e-03 +- 9.8e-04; would detect: linear 0.57 %, square 6.2 %; " * 4
    verdicts = [
        Verdict("ck", "Piecewise((x, x > 0), (exp(x) - 1, x <= 0))", VerdictKind.SUPPORTED, evidence),
        Verdict("equilibrium", "relu", VerdictKind.REFUTED, "[not a style] " + evidence),
        Verdict("ntk-rate", "", VerdictKind.UNDECIDED, evidence),
    ]
    file = StringIO()
    table.show_blocks(Console(file=file, width=columns), verdicts)
    lines = file.getvalue().splitlines()
    assert max(map(len, lines)) <= columns
    heads = [k for k, line in enumerate(lines) if not line.startswith(" ")]
    assert [lines[k].split()[:3] for k in heads] == [
        ["✓", "supported", "ck"],
        ["✗", "refuted", "equilibrium"],
        ["?", "undecided", "ntk-rate"],
    ]
    below = [line for line in lines[heads[1] + 1 :] if line not in [lines[k] for k in heads]]
    assert all(line.startswith("    ") and not line.startswith("     ") for line in below)
    words = " ".join(" ".join(line.split()) for line in lines[heads[1] + 1 : heads[2]])
    assert words == " ".join(("[not a style] " + evidence).split())
    filled = [line for line, following in pairwise(below) if following in below[1:]]
    assert sum(map(len, filled)) > 0.75 * columns * len(filled)
    # A number and its sign stay together.
    assert not any(line.lstrip().startswith("%") for line in lines)


def test_a_long_run_says_how_far_it_is(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    """A line every ten seconds (here hundredths) where stderr is no terminal, while one piece is computed too."""
    progress = command_module("_progress")
    monkeypatch.setattr(progress, "_PROGRESS_SECONDS", 0.01)
    with progress.progress("checking", 10, 2) as advance:
        advance()
        time.sleep(0.5)
    lines = capfd.readouterr().err.splitlines()
    assert len(lines) > 1
    assert "checking: 3 of 10 done (" in lines[-1]
    time.sleep(0.1)
    assert capfd.readouterr().err == ""


def test_undecided_gives_code_3(script: Script) -> None:
    """Four draws of two sizes tell nothing of a rate, and nothing fails."""
    done = script("verify", "--claims", "ck-rate", "forms", "--activation", "relu", "--quick", "--p", "64,96")
    assert done.returncode == 3
    assert "? undecided  ck-rate  on relu" in done.stdout
    assert "?U" in done.stdout
    assert "at least three sizes" in done.stdout
    assert "cannot tell" in done.stdout


def test_a_released_formula_is_refuted_with_its_floor(script: Script) -> None:
    done = script("verify", "--variant", "extra-diagonal", "--quick", "--json", "-")
    assert done.returncode == 1
    (verdict,) = json.loads(done.stdout)["verdicts"]
    assert verdict["verdict"] == "refuted"
    # tau_0^4 alpha_3, the size of the term that does not belong there (the sheet's table; here tau_0^2 is near 3/2).
    assert verdict["details"]["floor"] == pytest.approx(2.25 * 0.0461, rel=0.15)


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (("--p", "0"), "from 1 to"),
        (("--p", "200,x"), "from 1 to"),
        (("--p", "4"), "no data for p = 4"),
        pytest.param(
            ("--p", "100000", "--claims", "ck-rate", "--quick", "--jobs", "1"),
            "80000 samples of dimension 100000 need about 310 GiB",
            marks=pytest.mark.skipif(free_bytes() > 3e11, reason="it would fit"),
        ),
        (("--seeds", "1"), "from 2 to"),
        (("--claims", "ck", "nonsense"), "no such claim"),
        (("--quick", "--profile", "full"), "exclude"),
        (("--variant", "nonsense"), "centred-T"),
        (("--sigma-a2", "sqrt(2)"), "fraction"),
        (("--html", "missing/x.html"), "does not exist"),
        (("--resume", "missing/runs"), "runs"),
        (("--sigma-a2", "-1"), "sigma_a2 must be a number >= 0"),
        (("--activation", "nonsense"), "nonsense"),
        (("--json", "missing/x.json"), "does not exist"),
    ],
)
def test_bad_use(script: Script, arguments: tuple[str, ...], word: str) -> None:
    done = script("verify", *arguments)
    assert done.returncode == 2, done.stdout
    assert word in done.stderr
    assert "Traceback" not in done.stderr


# --- a DEQ of several states ---------------------------------------------------------------------------------------

_CELL = """
sigma_a2 = [["1/5", "3/10"], ["1/2", 0]]
[[states]]
activation = "relu"
sigma_b2 = "1/2"
[[states]]
activation = "%s"
sigma_b2 = "1/2"
"""


def test_a_described_deq(script: Script, tmp_path: Path) -> None:
    """The claims about it, on the CK of every state and on the NTK, with the cell in the record."""
    (tmp_path / "cell.toml").write_text(_CELL % "tanh", encoding="utf-8")
    done = script("verify", "--deq", "cell.toml", "--p", "60,100,160,240", "--seeds", "3", "--jobs", "1", "--json", "-")
    assert done.returncode in (0, 3), done.stderr
    record = json.loads(done.stdout)
    subjects = [(verdict["claim"], verdict["subject"]) for verdict in record["verdicts"]]
    assert subjects == [
        ("states-rate", "state 0: relu"),
        ("states-rate", "state 1: tanh"),
        ("states-ntk-rate", "state 0: relu, NTK"),
    ]
    assert {verdict["verdict"] for verdict in record["verdicts"]} <= {"supported", "undecided"}
    assert [state["activation"] for state in record["parameters"]["deq"]["states"]] == ["relu", "tanh"]
    assert (record["planted"], record["left_out"]) == ([], {})


@pytest.mark.parametrize(
    ("activation", "words", "sentence"),
    [
        ("tanh", ("--sigma-a2", "1/5"), "--deq describes the DEQ, and so does --sigma-a2"),
        ("tanh", ("--variant", "centred-T"), "--variant is not about a DEQ that --deq describes"),
        ("tanh", ("--claims", "bulk"), "not about this cell; accepted are states-rate, states-ntk-rate"),
        ("sign(x)", ("--claims", "states-ntk-rate"), "not about this cell; accepted are states-rate\n"),
    ],
)
def test_what_is_not_about_a_described_deq(
    script: Script, tmp_path: Path, activation: str, words: tuple[str, ...], sentence: str
) -> None:
    (tmp_path / "cell.toml").write_text(_CELL % activation, encoding="utf-8")
    done = script("verify", "--deq", "cell.toml", "--quick", *words)
    assert done.returncode == 2
    assert sentence in done.stderr
