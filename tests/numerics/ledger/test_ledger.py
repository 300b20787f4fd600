"""The ledger's machinery: witnesses against dense matrices, the limit test's level and power, the claims' coverage."""

from __future__ import annotations

import dataclasses
import itertools
import json
import subprocess
import sys

import numpy as np
import pytest
import sympy as sp

from numerics.arithmetic import pointwise
from numerics.equilibrium import solve_float
from numerics.kernels import implicit_kernels
from numerics.ledger import (
    MIXTURES,
    PROFILES,
    LedgerOutcome,
    LedgerRun,
    Plan,
    PlantedOutcome,
    Standing,
    Task,
    UnknownClaimError,
    WitnessRecord,
    coefficients_of,
    equilibrium_task,
    explicit_coefficients,
    limit_test,
    mixture,
    polynomial_twin,
    population,
    proof_task,
    registry,
    residuals,
    run_task,
    terms_of,
    tied_layers_task,
    with_power,
    witness_cell,
    witness_names,
)
from numerics.ledger.rates import _slope_decision
from theory.activations import registered
from theory.claims import (
    CLAIMS,
    PROOFS,
    RELEASED_VARIANTS,
    Statistic,
    Verdict,
    VerdictKind,
    planted_errors,
    released_variants,
    true_theory,
)
from theory.equations import DEQ, deq
from theory.kernels import PARTS, Kernel

SMALL = dataclasses.replace(
    PROFILES["quick"],
    witness_sizes=(100, 150, 220, 400, 800),
    witness_draws=(14, 14, 14, 10, 6),
    planted=(),
    limit_sizes=(100, 200, 400, 800),
    limit_draws=(4, 3, 2, 2),
    rate_sizes=(64, 96, 144),
    rate_draws=(3, 3, 3),
    spectrum_sizes=(64, 96, 144),
    spectrum_draws=(3, 3, 3),
    widths=(50, 100, 200),
    width_draws=(3, 3, 3),
)


# --- data and witnesses --------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(MIXTURES))
def test_statistics_of_the_population_are_traces(name: str) -> None:
    p, data = 24, mixture(name, 24)
    found = population(name, p)
    covariances = [covariance.dense() for covariance in data.covariances]
    mean = sum(k * c for k, c in zip(data.sizes, covariances, strict=True)) / data.samples
    for a, b in itertools.product(range(2), repeat=2):
        assert found.T[a, b] == pytest.approx(np.trace(covariances[a] @ covariances[b]) / p)
        centred = np.trace((covariances[a] - mean) @ (covariances[b] - mean)) / p
        assert found.T_centred[a, b] == pytest.approx(centred, abs=1e-12)
        assert found.T_elementwise[a, b] == pytest.approx(np.sum(np.diag(covariances[a]) * np.diag(covariances[b])) / p)
    assert found.tau0 == pytest.approx(np.sqrt(np.trace(mean) / p))


@pytest.mark.parametrize("changes", [frozenset(), *(frozenset({kind}) for kind in Statistic)], ids=str)
def test_witnesses_are_traces_with_the_dense_error(changes: frozenset[Statistic]) -> None:
    """tr(M (K - Kbar)) with every matrix formed, and M of nuclear norm at most 1."""
    p, seed = 40, 3
    record = WitnessRecord.from_json(witness_cell("rich", "relu", 0.2, 0.8, p, 0, seed))
    statistics = population("rich", p)
    numbers = coefficients_of(true_theory("ntk-all"), "relu", 0.2, 0.8, statistics.tau0)
    (row,) = residuals("ntk-all", terms_of(numbers, statistics, changes), [record])

    sample = mixture("rich", p).sample(np.random.default_rng([seed, p, 0]))
    gram, known = sample.gram(), sample.statistics()
    phi = pointwise(registered("relu"))
    bias = solve_float(DEQ("relu", 0.2, 0.8, statistics.tau0))["bias"]
    kernel = implicit_kernels(gram, phi, 0.2, 0.8, bias=bias, kernels=(Kernel.NTK_ALL,))[Kernel.NTK_ALL]
    V = known.low_rank
    low = V @ statistics.core(numbers.variance, numbers.square, changes) @ V.T
    error = kernel - numbers.linear * gram - low - numbers.identity(statistics.tau0) * np.eye(len(gram))
    j = known.indicator / np.sqrt(known.indicator.sum(axis=0))
    vectors = [*j.T, known.psi / np.linalg.norm(known.psi)]
    matrices = [np.eye(len(gram)) / len(gram), gram / np.trace(gram)]
    for u, v in itertools.combinations_with_replacement(vectors, 2):
        matrices.append((np.outer(u, v) + np.outer(v, u)) / 2)
    assert len(witness_names(2)) == len(matrices) == row.size
    for value, matrix in zip(row, matrices, strict=True):
        assert np.linalg.norm(matrix, "nuc") <= 1 + 1e-12
        assert value == pytest.approx(np.sum(matrix * error), rel=1e-9, abs=1e-12)


def test_changes_of_the_statistics_change_the_core() -> None:
    statistics = population("rich", 32)
    true = statistics.core(0.3, 0.7, frozenset())
    for kind in Statistic:
        assert not np.allclose(statistics.core(0.3, 0.7, frozenset({kind})), true), kind


@pytest.mark.parametrize("kernel", Kernel)
def test_the_true_theory_is_the_solved_system(kernel: Kernel) -> None:
    tau0 = 1.3
    solution = solve_float(DEQ(registered("gelu"), 0.3, 0.6, tau0))
    found = coefficients_of(true_theory(kernel), "gelu", 0.3, 0.6, tau0)
    assert tuple(found) == pytest.approx([solution[key] for key in kernel.keys], rel=1e-10)


def test_numbers_of_an_explicit_relu_layer() -> None:
    """One ReLU layer of variance tau_0^2: d1 = 1/2, d2 = 1/(sqrt(2 pi) tau_0), E[phi'^2] = 1/2."""
    tau0 = 1.2
    d2 = 1 / (np.sqrt(2 * np.pi) * tau0)
    variance = tau0**2 * (0.5 - 0.5 / np.pi)
    ck = explicit_coefficients("explicit-ck", ["relu"], tau0)
    assert tuple(ck) == pytest.approx((0.25, d2**2 / 4, d2**2 / 2, variance), rel=1e-9)
    ntk = explicit_coefficients("explicit-ntk", ["relu"], tau0)
    assert tuple(ntk) == pytest.approx((0.5, d2**2 / 4, 1.5 * d2**2, variance + tau0**2 / 2), rel=1e-9)


# --- the limit test ------------------------------------------------------------------------------


def _series(rng: np.random.Generator, limit: float) -> list[np.ndarray]:
    found = []
    for p, draws in ((200, 32), (400, 24), (800, 16), (1600, 12)):
        mean = limit + 0.3 * p**-0.5 - 2.0 / p
        found.append(mean + 0.5 / p * rng.standard_normal((draws, 3)))
    return found


def test_the_limit_test_keeps_its_level_and_has_the_power_it_says() -> None:
    rng = np.random.default_rng(7)
    sizes, names = (200, 400, 800, 1600), ("a", "b", "c")
    level, runs = 0.05, 400
    tests = [limit_test(names, sizes, _series(rng, 0.0), level=level) for _ in range(runs)]
    false = sum(test.refuted for test in tests) / runs
    # The level, within four standard errors of the count and the Bonferroni bound's own slack.
    assert 0.01 < false < level + 4 * np.sqrt(level / runs)
    reach = float(np.median([test.detectable(np.ones(3)) for test in tests]))
    seen = sum(limit_test(names, sizes, _series(rng, reach), level=level).refuted for _ in range(200)) / 200
    # Three quantities move together, so that at least one is seen more often than each by itself.
    assert seen > 0.85
    weak = sum(limit_test(names, sizes, _series(rng, reach / 5), level=level).refuted for _ in range(200)) / 200
    assert weak < 0.5


def test_errors_of_limits_are_not_too_small() -> None:
    """Few draws where it matters, as in the quick profile: variances averaged as logarithms come out too small."""
    sizes, draws = (200, 400, 800, 1200), (24, 16, 12, 10)
    names = [f"w{k}" for k in range(8)]
    scores, refuted = [], 0
    for seed in range(1000):
        rng = np.random.default_rng(seed)
        values = [rng.standard_normal((count, 8)) * p**-0.5 for p, count in zip(sizes, draws, strict=True)]
        test = limit_test(names, sizes, values, level=0.05)
        scores.append(test.limits / test.errors)
        refuted += test.refuted
    # 8000 scores, the eight of a seed independent: their deviation is known to 0.8 %.
    assert 0.97 < np.std(scores) < 1.05
    assert refuted <= 70
    assert test.freedom < sum(draws) - 4


def test_too_little_data_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 4 sizes"):
        limit_test(("a",), (100, 200, 300), [np.zeros((3, 1))] * 3)
    with pytest.raises(ValueError, match="two draws"):
        limit_test(("a",), (100, 200, 300, 400), [np.zeros((1, 1))] * 4)


# --- theories ------------------------------------------------------------------------------------


def test_there_are_enough_wrong_theories_and_each_is_wrong() -> None:
    wrong = planted_errors()
    assert len(wrong) >= 25
    for theory in wrong.values():
        true = true_theory(theory.kernel)
        parts = PARTS
        same = all(
            sp.simplify(getattr(theory.coefficients, part) - getattr(true.coefficients, part)) == 0 for part in parts
        )
        assert theory.statistics or not same, theory.identifier


def test_released_variants_are_refuted_and_the_true_theory_is_not() -> None:
    """At sizes far below the full profile's."""
    plan = Plan(SMALL, seed=0)
    checks = registry.checks_for(["ck", "variant-extra-diagonal"])
    tasks = registry.tasks_for(checks, plan)
    results = {task.name: run_task(task) for task in tasks}
    verdicts = registry.judge(checks, plan, results, CLAIMS)
    assert {v.kind for v in verdicts if v.claim in set(Kernel)} == {VerdictKind.SUPPORTED}
    assert {v.kind for v in verdicts if v.claim.startswith("variant-")} == {VerdictKind.REFUTED}
    power = next(v for v in verdicts if v.claim == "ck").details["power"]
    assert all(0 < value < 1 for value in power.values())


# --- the system ----------------------------------------------------------------------------------


#: Of tau and alpha_1..4; of lambda_1..3, twice; of three NTKs' four coefficients; of nine coefficients of a layer,
#: plain and tied; of the heat equation and the slope; of four fixed points, four gains, ten that do not feed back and
#: the scale.
IDENTITIES = {"system": 5, "forms": 6, "ntk-system": 12, "layers": 18, "stability": 2, "tied-layers": 19}


@pytest.mark.parametrize("claim", sorted(PROOFS))
def test_every_proof_holds(claim: str) -> None:
    assert proof_task(claim) == {"count": IDENTITIES[claim], "failed": []}


@pytest.mark.parametrize("claim", sorted(PROOFS))
def test_what_is_proved_vanishes_in_numbers(claim: str) -> None:
    """The differences at random numbers, with no algebra."""
    rng = np.random.default_rng(0)
    for name, difference in PROOFS[claim]().items():
        symbols = sorted(difference.free_symbols, key=str)
        numbers = dict(zip(symbols, map(float, rng.uniform(0.1, 0.9, len(symbols))), strict=True))
        assert abs(complex(difference.subs(numbers).evalf())) < 1e-9, name


def test_a_wrong_formula_is_not_proved(monkeypatch: pytest.MonkeyPatch) -> None:
    equations = dict(deq.ck_equations())
    wrong = equations["alpha3"]
    equations["alpha3"] = sp.Eq(wrong.lhs, 2 * wrong.rhs)
    monkeypatch.setattr("theory.claims.proofs.ck_equations", lambda: equations)
    assert proof_task("system")["failed"] == ["alpha3"]


def test_tied_layers_decay_with_the_predicted_gains() -> None:
    found = tied_layers_task("relu", "1/5", "4/5", "1")
    relu = 0.5 - 0.5 / np.pi
    assert found["gains"] == pytest.approx([0.2 * relu, 0.05])
    assert found["recurrence"] < 1e-9


def test_an_equilibrium_that_does_not_exist_is_refused() -> None:
    assert equilibrium_task("relu", "1/5", "4/5", "1")["proved"]
    assert "no stable equilibrium" in equilibrium_task("relu", "9", "4/5", "1")["refused"]


def test_the_twin_has_the_coefficients_and_not_the_ntk() -> None:
    relu = DEQ("relu", 0.2, 0.8, 1.1)
    first, second = solve_float(relu), solve_float(DEQ(polynomial_twin(relu), 0.2, 0.8, 1.1))
    for key in ("tau", "alpha1", "alpha2", "alpha3", "alpha4", "gamma2"):
        assert second[key] == pytest.approx(first[key], rel=1e-9), key
    assert abs(second["kappa2"] / first["kappa2"] - 1) > 1e-3


# --- coverage ------------------------------------------------------------------------------------


def test_every_claim_is_decided_by_one_check() -> None:
    decided = [claim for check in registry.CHECKS for claim in check.claims]
    assert sorted(decided) == sorted(CLAIMS)


def test_every_task_travels_as_json() -> None:
    tasks = registry.tasks_for(registry.CHECKS, Plan(SMALL, seed=0))
    assert len({task.name for task in tasks}) == len(tasks)
    for task in tasks:
        again = Task.from_cell(json.loads(json.dumps(task.cell)))
        assert (again.function, dict(again.arguments), again.name) == (task.function, dict(task.arguments), task.name)


def test_only_functions_of_the_ledger_are_tasks() -> None:
    with pytest.raises(KeyError, match=r"os\.system"):
        Task.from_cell({"function": "os.system", "arguments": {"command": "true"}})


def test_a_claim_has_a_title_of_its_own_that_fits_a_table() -> None:
    titles = [claim.title for claim in CLAIMS.values()]
    assert len(set(titles)) == len(titles)
    assert max(map(len, titles)) <= 42


# --- runs ----------------------------------------------------------------------------------------


def _outcome(*kinds: VerdictKind, profile: str = "quick", caught: bool = True) -> LedgerOutcome:
    """A run of as many of the claims that are to be supported, with these verdicts, and one wrong theory."""
    claims = ("ck", "ntk-all", "bulk")[: len(kinds)]
    verdicts = tuple(Verdict(claim, "relu", kind, "") for claim, kind in zip(claims, kinds, strict=True))
    wrong = PlantedOutcome(planted_errors()["alpha_3 absent"], caught, "I", 9.0, 0.1)
    return LedgerOutcome(LedgerRun(Plan(PROFILES[profile], 0), claims), verdicts, (wrong,))


def test_how_claims_stand() -> None:
    supported, refuted, undecided = VerdictKind.SUPPORTED, VerdictKind.REFUTED, VerdictKind.UNDECIDED
    assert _outcome(supported, supported).standing is Standing.AS_EXPECTED
    assert _outcome(supported, undecided).standing is Standing.UNDECIDED
    assert _outcome(undecided, refuted, supported).standing is Standing.FAILED
    # Derived is more than supported, and still not what was expected.
    assert _outcome(VerdictKind.DERIVED).standing is Standing.FAILED
    # A wrong theory may escape at small sizes, and not in the full profile.
    assert _outcome(supported, caught=False).standing is Standing.AS_EXPECTED
    assert _outcome(supported, profile="full", caught=False).standing is Standing.FAILED
    assert _outcome(undecided, profile="full", caught=False).standing is Standing.FAILED


def test_a_variant_stands_or_not() -> None:
    plan = Plan(SMALL, 0)
    for kind, standing in (
        (VerdictKind.REFUTED, Standing.FAILED),
        (VerdictKind.UNDECIDED, Standing.UNDECIDED),
        (VerdictKind.SUPPORTED, Standing.AS_EXPECTED),
    ):
        verdict = Verdict("variant-alpha_3 absent", "relu", kind, "")
        outcome = LedgerOutcome(LedgerRun(plan, variant="alpha_3 absent"), (verdict,))
        assert outcome.standing is standing
        assert outcome.record()["status"] == f"alpha_3 absent: {kind.value}"
        assert not outcome.record()["verdicts"][0]["as_expected"]


def test_a_run_checks_what_the_profile_has_time_for_or_what_is_chosen() -> None:
    quick = LedgerRun(Plan(PROFILES["quick"], 0))
    assert set(quick.claims) | set(quick.left_out) == set(CLAIMS)
    assert "transition" in quick.left_out
    chosen = LedgerRun(Plan(PROFILES["quick"], 0), ("transition",))
    assert (chosen.claims, chosen.left_out) == (("transition",), {})
    for wrong in ({"chosen": ("nonsense",)}, {"variant": "nonsense"}):
        with pytest.raises(UnknownClaimError, match="nonsense: there is no such"):
            LedgerRun(Plan(PROFILES["quick"], 0), **wrong)  # type: ignore[arg-type]


def test_a_run_from_the_claims_to_the_verdicts() -> None:
    outcome = LedgerRun(Plan(SMALL, 0, activations=("gelu",)), ("equilibrium", "forms")).compute()
    assert [(one.claim, one.kind, one.activation) for one in outcome.verdicts] == [
        ("equilibrium", VerdictKind.CERTIFIED, "gelu"),
        ("forms", VerdictKind.DERIVED, ""),
    ]
    assert outcome.planted == ()
    assert outcome.standing is Standing.AS_EXPECTED


def test_released_variants_are_named_without_deriving_them() -> None:
    assert tuple(released_variants()) == RELEASED_VARIANTS
    assert {f"variant-{name}" for name in RELEASED_VARIANTS} <= set(CLAIMS)


def test_nothing_is_derived_when_the_ledger_is_imported() -> None:
    """The cache of every derivation is empty."""
    program = (
        "import gc, functools, numerics.ledger, theory.claims.proofs, theory.claims.variants\n"
        "caches = [one for one in gc.get_objects() if isinstance(one, functools._lru_cache_wrapper)]\n"
        "print([one.__qualname__ for one in caches if one.__module__.startswith(('theory.claims', 'theory.equations',"
        " 'numerics.ledger')) and one.cache_info().currsize])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120, check=True)
    assert done.stdout.strip() == "[]"


def test_support_without_power_is_undecided() -> None:
    """By every check: what a test without a change below 100 % supports is not supported."""
    for power in ({}, {"linear": None}, {"linear": 1.5, "square": None}):
        found = with_power(Verdict("ck", "relu", VerdictKind.SUPPORTED, "it fits", {"power": power}))
        assert found.kind is VerdictKind.UNDECIDED
        assert found.evidence.startswith("no power here")
        assert "missing" in found.evidence
    assert with_power(Verdict("ck", "relu", VerdictKind.SUPPORTED, "it fits")).kind is VerdictKind.UNDECIDED
    for kind, power in ((VerdictKind.SUPPORTED, {"linear": 0.5, "square": 3.0}), (VerdictKind.REFUTED, {})):
        verdict = Verdict("ck", "relu", kind, "it fits", {"power": power})
        assert with_power(verdict) is verdict


def test_a_slope_of_a_line_that_does_not_fit_decides_nothing() -> None:
    sizes = [100, 200, 400, 800, 1600]
    rng = np.random.default_rng(0)

    def rows(law: object) -> list[list[float]]:
        values = np.array(law)[:, None] * np.exp(0.01 * rng.standard_normal((5, 12)))
        return [list(map(float, row)) for row in values]

    u = np.array(sizes) ** -0.5
    kinds = [
        _slope_decision(sizes, rows(law), 0.001)[0]
        for law in (u, u * (1 + 3 * u), u**0.2, u * (1 + 90 * np.sin(9 * u) ** 4))
    ]
    assert kinds == [VerdictKind.SUPPORTED, VerdictKind.SUPPORTED, VerdictKind.REFUTED, VerdictKind.UNDECIDED]


def test_what_cannot_be_computed_is_undecided() -> None:
    plan = Plan(dataclasses.replace(SMALL, witness_draws=(2, 2, 2, 2, 2)), seed=0, sigma_a2="9")
    checks = registry.checks_for(["ck"])
    results = {task.name: {"failure": "no stable equilibrium"} for task in registry.tasks_for(checks, plan)}
    (verdict,) = registry.judge(checks, plan, results, ["ck"])
    assert verdict.kind is VerdictKind.UNDECIDED
    assert "no stable equilibrium" in verdict.evidence
