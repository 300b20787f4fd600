"""Evidence on the system itself: symbolic proofs, certified equilibria, and the rate at which tied layers converge."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import mpmath
import sympy as sp

from numerics.arithmetic import rounded_decimal
from numerics.equilibrium import certify, solve
from numerics.ledger.checks import Check, Plan, Results, Task
from numerics.ledger.limits import power_list
from numerics.moments import HighPrecisionMoments, MomentAccuracyError
from theory.activations import resolve
from theory.claims import PROOFS, Verdict, VerdictKind, unproved
from theory.equations import DEQ, EquilibriumError, LayerCoefficients, LayerMoments, next_layer, rest
from theory.symbols import tau_0

__all__ = [
    "EQUILIBRIUM_CHECK",
    "PROOF_CHECK",
    "TIED_CHECK",
    "equilibrium_task",
    "proof_task",
    "tied_layers_task",
]

#: Claims that algebra alone decides; tied layers' algebra is weighed together with its numbers.
_PROVED = tuple(claim for claim in PROOFS if claim != "tied-layers")


# --- symbolic proofs -----------------------------------------------------------------------------


def proof_task(claim: str) -> dict[str, Any]:
    """Count the identities of a claim's proof and name those that fail."""
    count, failed = unproved(claim)
    return {"count": count, "failed": list(failed)}


def _proof_tasks(plan: Plan) -> list[Task]:
    return [Task("proof", {"claim": claim}, cost=1e5) for claim in _PROVED]


def _judge_proofs(plan: Plan, results: Results) -> list[Verdict]:
    verdicts = []
    for task in _proof_tasks(plan):
        found, claim = results[task.name], str(task.arguments["claim"])
        if found["failed"]:
            why = f"not zero: {', '.join(found['failed'])}"
            verdicts.append(Verdict(claim, "any activation", VerdictKind.REFUTED, why))
        else:
            why = f"{found['count']} identities between two ways of reaching them cancel to 0 symbolically"
            verdicts.append(Verdict(claim, "any activation", VerdictKind.DERIVED, why))
    return verdicts


PROOF_CHECK = Check(_PROVED, _proof_tasks, _judge_proofs)


# --- equilibria ----------------------------------------------------------------------------------


def equilibrium_task(activation: str, sigma_a2: str, sigma_b2: str, tau0: str) -> dict[str, Any]:
    """Certify an activation's equilibrium to 15 digits."""
    try:
        found = certify(DEQ(activation, sigma_a2, sigma_b2, tau0), 15)
    except (EquilibriumError, MomentAccuracyError) as error:
        return {"refused": str(error)}
    proved = found.certified["tau"] and "tau" in found.margins
    record: dict[str, Any] = {"proved": proved, "tau": found.decimal("tau"), "ntk_missing": found.ntk_missing}
    if proved:
        record |= {"radius": found.radius["tau"]}
        record |= {f"margin {key}": rounded_decimal(ball, 6)[0] for key, ball in found.margins.items()}
    else:
        record |= {"reason": found.reason.get("tau", "")}
    return record


def _equilibrium_tasks(plan: Plan) -> list[Task]:
    weights = {"sigma_a2": plan.sigma_a2, "sigma_b2": plan.sigma_b2, "tau0": "1"}
    return [Task("equilibrium", {"activation": text, **weights}) for text in plan.rate_activations]


def _judge_equilibrium(plan: Plan, results: Results) -> list[Verdict]:
    verdicts = []
    for task in _equilibrium_tasks(plan):
        found, subject = results[task.name], str(task.arguments["activation"])
        if "refused" in found:
            verdicts.append(Verdict("equilibrium", subject, VerdictKind.REFUTED, found["refused"]))
        elif not found["proved"]:
            why = f"tau_* = {found['tau']} is computed but not certified: {found['reason']}"
            verdicts.append(Verdict("equilibrium", subject, VerdictKind.UNDECIDED, why))
        else:
            why = (
                f"tau_* = {found['tau']} +- {found['radius']}, one root there; sigma_a^2 E[(phi^2)'']/2 = "
                f"{found['margin tau']} and sigma_a^2 E[phi']^2 = {found['margin ck']} are below 1"
            )
            why += f"; {found['ntk_missing']}" if found["ntk_missing"] else ""
            verdicts.append(Verdict("equilibrium", subject, VerdictKind.CERTIFIED, why, dict(found)))
    return verdicts


EQUILIBRIUM_CHECK = Check(("equilibrium",), _equilibrium_tasks, _judge_equilibrium)


# --- tied layers ---------------------------------------------------------------------------------

_DIGITS = 24
_DEEPEST = 400
_NAMES = ("tau2", "a1", "a2", "a3", "a4")
#: The recurrence is tested from the layer whose error is below the first of these, and holds to within the second.
_NEAR = 1e-11
_RECURRENCE = 1e-8
#: Relative changes of a gain that are tried to find the power of that test: from the smallest up to 1.
_SMALLEST_CHANGE, _CHANGES = 1e-6, 35


def tied_layers_task(activation: str, sigma_a2: str, sigma_b2: str, tau0: str) -> dict[str, Any]:
    """Iterate weight-tied layers from h = 0 and test the decay of their errors e_L against the predicted gains.

    With r = sigma_a^2 d22/2 (of tau^2 and of a_4, which tau^2 drives) and s = sigma_a^2 d1^2 (of a_1 and of a_2, a_3,
    which it and a_4 drive), every error is (A + B L) r^L + (C + D L) s^L up to its own square, so that the recurrence
    with the characteristic polynomial (E - r)^2 (E - s)^2 annihilates it.  Layers and DEQ are computed independently,
    to 24 digits.
    """
    chosen = resolve(activation).with_parameters({})
    exact = tuple(map(sp.Rational, (sigma_a2, sigma_b2, tau0)))
    if exact[0] == 0:
        return {"refused": "sigma_a^2 = 0: there is no recursion"}
    try:
        deq = solve(DEQ(chosen, *exact), _DIGITS)
    except EquilibriumError as error:
        return {"refused": str(error)}
    context = mpmath.MPContext()
    context.dps = _DIGITS + 20
    weight_a, weight_b, scale0 = (context.mpf(value.p) / value.q for value in exact)
    # Numbers of mpmath's global context would round what they are combined with to its precision.
    values = {key: context.mpf(value) for key, value in deq.values.items()}
    limit = {"tau2": values["gamma2"], "a4": (values["alpha4"] - weight_b) / weight_a}
    limit |= {f"a{k}": values[f"alpha{k}"] for k in (1, 2, 3)}
    r, s = (context.mpf(deq.margins[key]) for key in ("tau", "ck"))
    moments = HighPrecisionMoments(chosen)
    state = LayerCoefficients(**{name: context.mpf(0) for name in vars(rest())})
    errors: list[list[Any]] = []
    for _ in range(_DEEPEST):
        scale = context.sqrt(weight_a * state.tau2 + weight_b * scale0**2)
        at = moments.at(scale, _DIGITS)
        layer = LayerMoments(at.d1, at.d2, at.d22, at.slope_energy or context.mpf(0), at.variance)
        state = _numeric(next_layer(state, weight_a, weight_b, moments=layer), context)
        errors.append([getattr(state, name) - limit[name] for name in _NAMES])
        if len(errors) > 5 and max(map(abs, errors[-5])) < _NEAR:
            break
    else:
        return {"refused": f"after {_DEEPEST} layers the error is still {float(max(map(abs, errors[-1]))):.1e}"}
    changes = [1.5**k * _SMALLEST_CHANGE for k in range(_CHANGES)]
    power: dict[str, float | None] = {}
    for gain, shares in (("r", (1, 0)), ("s", (0, 1))):
        moved = ((r * (1 + shares[0] * context.mpf(c)), s * (1 + shares[1] * context.mpf(c)), c) for c in changes)
        power[gain] = next((c for a, b, c in moved if _recurrence(errors, a, b) >= _RECURRENCE), 2.0)
    return {
        "gains": [float(r), float(s)],
        "depth": len(errors),
        "error": float(max(map(abs, errors[-1]))),
        "recurrence": _recurrence(errors, r, s),
        "power": power,
    }


def _recurrence(errors: Sequence[Sequence[Any]], r: Any, s: Any) -> float:
    """What (E - r)^2 (E - s)^2 leaves of the last five errors, relative to its largest term."""
    total, product = r + s, r * s
    polynomial = (product**2, -2 * total * product, total**2 + 2 * product, -2 * total, 1)
    left = [abs(sum(c * errors[k - 5][j] for k, c in enumerate(polynomial))) for j in range(len(_NAMES))]
    terms = max(abs(c * errors[k - 5][j]) for k, c in enumerate(polynomial) for j in range(len(_NAMES)))
    return float(max(left) / terms) if terms > 0 else 0.0


def _numeric(layer: LayerCoefficients, context: Any) -> LayerCoefficients:
    """A layer whose NTK part, which is not looked at here, is dropped where it has the symbol tau_0."""
    values = {}
    for name, value in vars(layer).items():
        symbolic = isinstance(value, sp.Basic) and value.has(tau_0)
        values[name] = context.mpf(0) if symbolic else context.mpf(value)
    return LayerCoefficients(**values)


def _tied_tasks(plan: Plan) -> list[Task]:
    weights = {"sigma_a2": plan.sigma_a2, "sigma_b2": plan.sigma_b2, "tau0": "1"}
    # Seconds where a moment has no closed form: the quick profile has time for one activation.
    chosen = plan.rate_activations[:1] if plan.profile.name == "quick" else plan.rate_activations
    return [Task("tied layers", {"activation": text, **weights}, cost=1e8) for text in chosen]


def _judge_tied(plan: Plan, results: Results) -> Sequence[Verdict]:
    count, failed = unproved("tied-layers")
    verdicts = []
    for task in _tied_tasks(plan):
        found: Mapping[str, Any] = results[task.name]
        subject = str(task.arguments["activation"])
        if "refused" in found:
            verdicts.append(Verdict("tied-layers", subject, VerdictKind.UNDECIDED, found["refused"]))
            continue
        holds = found["recurrence"] < _RECURRENCE
        kind = VerdictKind.SUPPORTED if holds and not failed else VerdictKind.REFUTED
        r, s = found["gains"]
        why = (
            f"after {found['depth']} layers the error is {found['error']:.1e}, and falls with the gains "
            f"sigma_a^2 d22/2 = {r:.6g} and sigma_a^2 d1^2 = {s:.6g} to a relative {found['recurrence']:.1e}; "
            f"would detect a change of the gains: {power_list(found['power'])}; "
            f"{count - len(failed)} of {count} identities of the layer and its Jacobian hold symbolically"
        )
        verdicts.append(Verdict("tied-layers", subject, kind, why, dict(found)))
    return verdicts


TIED_CHECK = Check(("tied-layers",), _tied_tasks, _judge_tied)
