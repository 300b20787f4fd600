"""Networks with a learning rate for each weight matrix: every NTK of a DEQ has one, and its kernel is what it says."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import sympy as sp
from flint import arb, ctx

from numerics.arithmetic import pointwise
from numerics.data import GaussianMixture
from numerics.equilibrium import solve
from numerics.kernels import explicit_kernels, implicit_kernels
from numerics.matching import DesignError, ExplicitNetwork, FamilyBox, Target, design, match_own, target_of
from numerics.networks import FiniteExplicitNetwork, explicit_ntk
from numerics.publish import emit_network
from tests.designs import assert_matches, made
from theory.activations import resolve
from theory.equations import DEQ
from theory.kernels import Kernel
from theory.matching import named_family, two_rate_condition
from theory.named import MatchStatus
from theory.symbols import alpha, lambda_, sigma_a2

R = sp.Rational
NTKS = [kernel for kernel in Kernel if kernel.is_tangent]
#: DEQs whose alpha_4 is too large for one hidden layer: k_3 < 2 k_2.
STEEP = [("cos(3*x/2)", R(4, 5), Kernel.NTK_ALL), ("Max(x, 0) - x/2", R(9, 10), Kernel.NTK_RECURRENT)]


@pytest.mark.parametrize("kernel", NTKS)
@pytest.mark.parametrize("name", ["relu", "tanh", "swish", "gelu", "elu", "softplus"])
def test_every_ntk_has_a_network(name: str, kernel: Kernel) -> None:
    found = made(name, digits=25, kernel=kernel)
    assert_matches(found, 22)
    assert all(layer.family.bounded for layer in found.network.layers)
    with_rates = made(name, digits=25, kernel=kernel, rates="per-layer")
    assert len(with_rates.network.layers) == 1
    assert_matches(with_rates, 22)


@pytest.mark.parametrize(("kernel", "rate"), [("ntk-recurrent", 0.029163), ("ntk-preactivation", 0.943173),
                                              ("ntk-all", 0.943173)])  # fmt: skip
def test_the_rates_of_relu(kernel: str, rate: float) -> None:
    """Known beforehand; and the energies by degree of the layer found, by quadrature of its function."""
    found = made("relu", digits=20, kernel=kernel, rates="per-layer")
    first, last = (float(ball) for ball in found.network.rates)
    assert first == pytest.approx(rate, abs=5e-7)
    assert last == 1.0
    ((phi, bias),) = found.network.pointwise()
    xi = np.linspace(-14, 14, 60_001)
    weight = np.exp(-(xi**2) / 2) / np.sqrt(2 * np.pi) * (xi[1] - xi[0])
    value, slope = phi.value(xi) - bias, phi.derivative(xi)
    c1, c2 = weight @ (xi * value), weight @ ((xi**2 - 1) * value) / np.sqrt(2)
    k1, k2, k3, k0 = map(float, found.target.coefficients)
    assert weight @ value == pytest.approx(0, abs=1e-12)
    assert (first + 1) * c1**2 == pytest.approx(k1, rel=1e-10)
    assert c2**2 / 2 == pytest.approx(k2, rel=1e-10)
    assert (2 * first + 1) * c2**2 == pytest.approx(k3, rel=1e-10)
    assert weight @ value**2 + first * (weight @ slope**2) == pytest.approx(k0, rel=1e-10)


def test_one_rate_is_taken_where_it_does_and_called_so_where_it_does_not() -> None:
    assert made("relu", digits=10, kernel="ntk-all").network.rates == ()
    assert "all weights are trained at one learning rate" in repr(made("relu", digits=10, kernel="ntk-all"))
    found = made("relu", digits=10, kernel="ntk-recurrent")
    assert "whatever its activations" in found.one_rate
    assert found.training == "trained: W_1 at 0.0291634, readout at 1"
    assert found.network.trained == ("W_1", "readout")
    assert not found.universal
    alone = made("relu", digits=10, kernel="ntk-recurrent", rates="one", family="hermite")
    assert alone.status is MatchStatus.INFEASIBLE
    assert alone.universal


@pytest.mark.parametrize(("text", "sigma_a2_", "kernel"), STEEP)
@pytest.mark.parametrize("family", [None, "hermite"])
def test_where_one_hidden_layer_is_too_few_two_do_whose_readout_is_trained(
    text: str, sigma_a2_: sp.Expr, kernel: Kernel, family: str | None
) -> None:
    found = made(text, sigma_a2_, digits=20, kernel=kernel, rates="per-layer", family=family)
    assert len(found.network.layers) == 2
    assert found.network.trained == ("readout",)
    assert_matches(found, 17)


@pytest.mark.parametrize(("text", "sigma_a2_", "kernel"), STEEP)
def test_one_hidden_layer_is_proved_too_few(text: str, sigma_a2_: sp.Expr, kernel: Kernel) -> None:
    found = made(text, sigma_a2_, digits=15, kernel=kernel, rates="per-layer", family="hermite", layers=1)
    assert found.status is MatchStatus.INFEASIBLE
    assert "at whatever learning rates" in found.reason
    assert not found.universal
    assert 0 < float(found.residual_bound) <= float(found.residual)
    # The least over all k_2, k_3 with k_3 >= 2 k_2.
    _, k2, k3, _ = map(float, found.target.coefficients)
    assert float(found.residual_bound) == pytest.approx((2 * k2 - k3) / 3)


@pytest.mark.parametrize(
    ("text", "sigma_a2_", "kernel"), [*STEEP, *((name, R(1, 5), ntk) for name in ("relu", "gelu") for ntk in NTKS)]
)
def test_the_depth_is_what_the_condition_says(text: str, sigma_a2_: sp.Expr, kernel: Kernel) -> None:
    plain = solve(DEQ(text, sigma_a2_), 20).values
    condition = two_rate_condition(kernel)
    place = {symbol[k]: sp.Float(str(plain[f"{name}{k}"]), 20) for name, symbol, ks in
             (("alpha", alpha, (1, 4)), ("lambda", lambda_, (1,))) for k in ks}  # fmt: skip
    enough = bool((condition.lhs - condition.rhs).subs(place | {sigma_a2: sigma_a2_}) > 0)
    found = made(text, sigma_a2_, digits=10, kernel=kernel, rates="per-layer")
    assert len(found.network.layers) == (1 if enough else 2)


def test_shallow_odd_and_even_deqs() -> None:
    shallow = made("relu", sp.S.Zero, kernel="ntk-recurrent", digits=20)
    assert shallow.network.rates[0].is_zero()
    assert_matches(shallow, 18)
    quadratic = made("x + x**2", sp.S.Zero, kernel="ntk-recurrent", digits=20)
    assert list(quadratic.network.layers[0].parameters) == ["c1", "c2"]
    assert_matches(quadratic, 18)
    # At sigma_a^2 = 0 the NTK of all weights is that of one layer at one rate.
    one = made("relu", sp.S.Zero, kernel="ntk-all", digits=20, rates="per-layer")
    assert one.network.rates[0].overlaps(arb(1))
    odd = made("tanh", digits=20, kernel="ntk-all", rates="per-layer", family="sin")
    assert odd.network.rates == ()
    assert_matches(odd, 18)
    for kernel in NTKS:
        assert_matches(made("abs", R(3, 10), digits=20, kernel=kernel, rates="per-layer"), 18)


def test_other_input_scales() -> None:
    deq = DEQ("swish", R(3, 5), R(1, 2), R(7, 4))
    for kernel in NTKS:
        assert_matches(design(deq, kernel=kernel, digits=20, rates="per-layer"), 18)


# --- own families ----------------------------------------------------------------------------------------------------


def own_target(kernel: Kernel) -> Target:
    return target_of(made("relu", digits=30, kernel=kernel, rates="per-layer").solution, kernel)


def test_a_complete_search_finds_the_rates_of_polynomials() -> None:
    """Cubic layers with rate_0 unknown: one solution up to signs, that of the formulas."""
    box = {"c1_1": (R(1, 10), R(1)), "c2_1": (R(1, 20), R(1)), "c3_1": (R(1, 50), R(1)), "rate_0": (sp.S.Zero, R(2))}
    wanted = FamilyBox((named_family("hermite"),), box, {})
    known = made("relu", digits=20, kernel="ntk-all", rates="per-layer", family="hermite").network
    with ctx.workdps(40):
        found = match_own(own_target(Kernel.NTK_ALL), wanted)
    assert found.status is MatchStatus.EXACT
    (network,) = found.networks(sp.S.One)
    assert network.rates[0].overlaps(known.rates[0])
    assert network.rates[1] == 1
    for name, ball in known.layers[0].parameters.items():
        assert network.layers[0].parameters[name].overlaps(ball)
    with ctx.workdps(40):
        away = FamilyBox(wanted.families, box | {"rate_0": (sp.S.Zero, R(9, 10))}, {})
        assert match_own(own_target(Kernel.NTK_ALL), away).status is MatchStatus.INFEASIBLE
        # Fixed at its value of one rate, too.
        one = FamilyBox(wanted.families, {k: v for k, v in box.items() if k != "rate_0"}, {"rate_0": sp.S.One})
        assert match_own(own_target(Kernel.NTK_ALL), one).status is MatchStatus.INFEASIBLE


@pytest.mark.parametrize(
    ("kernel", "ends", "words"),
    [
        ("ck", {"rate_0": (0, 1)}, "the CK has none"),
        ("ntk-all", {"rate_0": (-1, 1)}, "not negative"),
        ("ntk-all", {"rate_0": (0, 1), "rate_1": (0, 1)}, "leave out rate_1"),
    ],
)
def test_bad_boxes_of_rates(kernel: str, ends: dict[str, tuple[int, int]], words: str) -> None:
    box = {name: (sp.Integer(low), sp.Integer(high)) for name, (low, high) in ends.items()}
    wanted = FamilyBox((named_family("erf"),), {"a_1": (sp.S.Zero, sp.S.One), "w_1": (R(1, 9), sp.S.One)} | box, {})
    with pytest.raises(DesignError, match=words):
        design(DEQ("tanh"), kernel=kernel, own=wanted, digits=8)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"rates": "one"}, "the kernel is the CK"),
        ({"rates": "two", "kernel": "ntk-all"}, "accepted are one, per-layer"),
        ({"rates": "per-layer", "kernel": "ntk-all", "family": "leaky_relu"}, "at one learning rate here"),
    ],
)
def test_bad_rates(options: dict[str, str], words: str) -> None:
    with pytest.raises(DesignError, match=words):
        made("relu", digits=8, **options)
    with pytest.raises(ValueError, match="2 learning rates, not 1"):
        ExplicitNetwork(made("tanh", digits=8).network.layers, sp.S.One, (arb(1),))


# --- the kernel itself -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "sigma_a2_", "kernel"), [("relu", R(1, 5), Kernel.NTK_RECURRENT), ("cos(3*x/2)", R(4, 5), Kernel.NTK_ALL)]
)
def test_exact_kernels_approach_the_deqs(name: str, sigma_a2_: sp.Expr, kernel: Kernel) -> None:
    """||K_DEQ - K_explicit|| at p = 100 and 400; with the rates exchanged it does not fall."""
    phi = pointwise(resolve(name).with_parameters())
    matched, wrong = [], []
    for p in (100, 400):
        sample = GaussianMixture.released_experiment(p, means=2.0).sample(np.random.default_rng([3, p]))
        gram, tau0 = sample.gram(), sample.statistics().tau0("empirical")
        deq = DEQ(name, sigma_a2_, 1 - sigma_a2_, sp.Rational(str(tau0)))
        found = design(deq, kernel=kernel, digits=12, rates="per-layer")
        own = implicit_kernels(
            gram, phi, float(sigma_a2_), float(1 - sigma_a2_), float(found.solution["bias"]), kernels=(kernel,)
        )[kernel]
        rates = found.network.float_rates()
        assert rates is not None
        for kept, given in ((matched, rates), (wrong, rates[::-1])):
            layers = found.network.pointwise()
            other = explicit_kernels(gram, layers, kernels=(Kernel.NTK_ALL,), rates=given)[Kernel.NTK_ALL]
            kept.append(np.linalg.norm(own - other, 2))
    assert matched[1] < 0.7 * matched[0]
    assert wrong[1] > 3 * matched[1]


def emitted(network: ExplicitNetwork, folder: Path) -> ModuleType:
    """The NumPy text of a network with its rates, as a module."""
    layers = [
        {
            "family": layer.family.name,
            "parameters": {name: repr(float(ball)) for name, ball in layer.parameters.items()},
            "bias": repr(float(arb(report.bias))),
            "scale": repr(float(arb(report.scale))),
        }
        for layer, report in zip(network.layers, network.ball_reports(30), strict=True)
    ]
    rates = [repr(float(rate)) for rate in network.all_rates]
    path = folder / "network.py"
    path.write_text(emit_network("numpy", layers, "1.0", "A network.", kernel="ntk-all", rates=rates), "utf-8")
    spec = importlib.util.spec_from_file_location("emitted_with_rates", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def by_jacobian(module: ModuleType, weights: list[np.ndarray], readout: np.ndarray, data: np.ndarray) -> np.ndarray:
    """The NTK of a draw of the emitted network, by a complex step in every single weight."""
    arrays = [*weights, readout]
    step, kernel = 1e-30, np.zeros((data.shape[1], data.shape[1]))
    for place, (array, rate) in enumerate(zip(arrays, module.RATES, strict=True)):
        for index in np.ndindex(array.shape):
            moved = [each.astype(complex) for each in arrays]
            moved[place][index] += 1j * step
            hidden = data.astype(complex)
            for number, (weight, phi) in enumerate(zip(moved[:-1], module.LAYERS, strict=True)):
                hidden = phi(weight @ hidden / (1.0 if number == 0 else weight.shape[1] ** 0.5))
            slope = (moved[-1] @ hidden).imag / step / readout.size**0.5
            kernel += rate * np.outer(slope, slope)
    return kernel


@pytest.mark.parametrize(
    ("name", "sigma_a2_", "kernel"), [("relu", R(1, 5), Kernel.NTK_RECURRENT), ("cos(3*x/2)", R(4, 5), Kernel.NTK_ALL)]
)
def test_the_emitted_networks_jacobian_is_the_ntk_of_its_rates(
    name: str, sigma_a2_: sp.Expr, kernel: Kernel, tmp_path: Path
) -> None:
    network = made(name, sigma_a2_, digits=17, kernel=kernel, rates="per-layer").network
    module = emitted(network, tmp_path)
    rng = np.random.default_rng(5)
    width, data = 7, rng.standard_normal((3, 4)) / 2
    columns = [3, *[width] * (len(network.layers) - 1)]
    weights, readout = [rng.standard_normal((width, k)) for k in columns], rng.standard_normal(width)
    own = by_jacobian(module, weights, readout, data)
    finite = FiniteExplicitNetwork(tuple(network.pointwise()), tuple(weights))
    np.testing.assert_allclose(explicit_ntk(finite, data, readout, network.float_rates()), own, rtol=1e-9, atol=1e-13)
    assert np.abs(explicit_ntk(finite, data, readout) - own).max() > 1e-3


def test_finite_networks_tend_to_the_kernel_designed() -> None:
    """Entries at |x| = tau_0: the diagonal k_0, and k_1 s + k_3 s^2 off it, over draws of wide networks."""
    found = made("relu", digits=15, kernel="ntk-recurrent", rates="per-layer")
    k1, _, k3, k0 = map(float, found.target.coefficients)
    overlap, rng = 0.25, np.random.default_rng(0)
    data = np.array([[1.0, overlap, 0.0], [0.0, (1 - overlap**2) ** 0.5, 0.0], [0.0, 0.0, 1.0]])
    layers, rates = found.network.pointwise(), found.network.float_rates()
    kernels = []
    for _ in range(12):
        network = FiniteExplicitNetwork.draw(layers, width=3000, dimension=3, rng=rng)
        kernels.append(explicit_ntk(network, data, rng.standard_normal(3000), rates))
    mean, error = np.mean(kernels, axis=0), np.std(kernels, axis=0) / np.sqrt(11)
    limit = explicit_kernels(data.T @ data, layers, kernels=(Kernel.NTK_ALL,), rates=rates)[Kernel.NTK_ALL]
    assert np.all(np.abs(mean - limit) < 5 * error)
    np.testing.assert_allclose(np.diagonal(limit), k0, rtol=1e-9)
    # What is left over belongs to degree >= 3 in the overlap.
    assert k1 * overlap + k3 * overlap**2 < limit[0, 1] < k1 * overlap + k3 * overlap**2 + (k0 - k1 - k3) * overlap**3


# --- deeper networks at one rate -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "kernel", "depth"),
    [
        ("relu", "ntk-recurrent", 4),
        ("gelu", "ntk-recurrent", 5),
        ("swish", "ntk-recurrent", 7),
        ("swish", "ntk-all", 3),
    ],
)
def test_least_depths_found_at_one_rate(name: str, kernel: str, depth: int) -> None:
    found = made(name, digits=15, kernel=kernel, rates="one")
    assert len(found.network.layers) == depth
    assert "the least depth found" in found.choice
    assert ("not excluded" in found.choice) == (depth > 3)
    assert not found.universal
    assert_matches(found, 13)
    # It is asked for by its depth, too, and one layer less is not found; nothing is said to be impossible there.
    again = made(name, digits=12, kernel=kernel, family="hermite", layers=depth)
    assert_matches(again, 10)
    if depth > 3:
        with pytest.raises(DesignError, match="none is excluded"):
            made(name, digits=12, kernel=kernel, family="hermite", layers=depth - 1)
