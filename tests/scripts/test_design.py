"""scripts/design.py as a user runs it, and the networks it writes."""

from __future__ import annotations

import importlib
import importlib.util
import json
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pylatexenc.latexwalker import LatexWalker

import numerics.matching.designs
from deqverify.commands import _running
from tests.scripts.conftest import Script, command_module
from tests.scripts.test_latex_networks import check_networks

KEYS = {
    "status", "layers", "gauge", "branches", "residual", "residual_bound", "certified", "threshold", "closest",
    "activation", "sigma_a2", "sigma_b2", "tau0", "kernel", "family", "versions", "target", "reason",
}  # fmt: skip


def test_relu_by_two_leaky_layers(script: Script) -> None:
    done = script(
        "design", "--activation", "relu", "--sigma-a2", "0.2", "--family", "leaky_relu", "--layers", "2",
        "--kernel", "ck", "--digits", "30", "--json", "-",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    record = json.loads(done.stdout)
    assert set(record) >= KEYS
    assert record["status"] == "exact"
    assert record["certified"] is True
    assert len(record["branches"]) == 2
    assert record["layers"] == record["branches"][0]
    assert [layer["family"] for layer in record["layers"]] == ["leaky_relu", "leaky_relu"]
    assert all(float(radius) < 1e-30 for layer in record["layers"] for radius in layer["radius"].values())
    assert float(record["residual"]) < 1e-30
    assert float(record["residual_bound"]) == 0
    assert record["threshold"]["sigma_a2"].startswith("0.852786533896156")
    assert record["gauge"]["exponents_of_k"] == [{"a": 1, "b": 1}, {"a": -1, "b": -1}]
    assert record["gauge"]["fixed_by"] == "E[phi_1']^2 = 1"
    assert any(text.startswith("Eq(") for text in record["conditions"])
    assert record["cost"]["deq_products"] > record["cost"]["explicit_products"] == 1


def test_widths_with_nearly_the_spectrum_of_a_deq(script: Script, tmp_path: Path) -> None:
    """A narrow DEQ, which no width of a network of one layer comes near."""
    written = tmp_path / "design.json"
    done = script(
        "design", "--activation", "tanh", "--sigma-a2", "3/5", "--width", "500", "--samples", "320",
        "--json", str(written),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = json.loads(written.read_text("utf-8"))["finite_width"]
    assert found["p"] == 400
    assert found["range"] is None
    assert found["within"] < found["distance"] < found["at_equal_width"]
    said = " ".join(done.stdout.split())
    assert f"of the widths that were tried: {found['widths'][0]} neurons" in said
    assert "no width, the same in all layers, was found within 2 %" in said
    assert "is not proved" in said


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--width", "500"), "give --samples N"),
        (("--within", "2"), "give it with --width"),
        (("--width", "500", "--samples", "320", "--kernel", "ntk-all"), "the law of the CK only"),
        (("--width", "500", "--samples", "320", "--data", "digits"), "leave out --data"),
        (("--width", "500", "--samples", "320", "--within", "100"), "between 0 and 100"),
    ],
)
def test_widths_that_cannot_be_looked_for(script: Script, options: tuple[str, ...], message: str) -> None:
    done = script("design", "--activation", "tanh", *options)
    assert done.returncode == 2
    assert message in " ".join(done.stderr.split())


def test_infeasible_is_an_answer(script: Script) -> None:
    done = script("design", "--activation", "swish", "--family", "leaky_relu", "--json", "-")
    assert done.returncode == 0, done.stderr
    record = json.loads(done.stdout)
    assert record["status"] == "infeasible"
    assert record["layers"] == record["branches"] == []
    assert len(record["closest"]) == 2
    assert 1e-3 < float(record["residual_bound"]) <= float(record["residual"]) < 2e-3
    assert record["threshold"] is None


def test_the_family_is_chosen_and_the_choice_explained(script: Script, tmp_path: Path) -> None:
    done = script("design", "--activation", "tanh", "--json", "out.json")
    assert done.returncode == 0, done.stderr
    record = json.loads((tmp_path / "out.json").read_text("utf-8"))
    assert record["family"] == "hard_tanh"
    assert "odd" in record["choice"]
    assert "hard_tanh" in done.stdout
    assert "proved" in done.stdout


def test_the_gauge_of_an_even_network_is_not_its_slope(script: Script) -> None:
    record = json.loads(script("design", "--activation", "abs", "--json", "-").stdout)
    even = {"a": 1.0, "b": -1.0}
    firsts = [{name: float(text) for name, text in layers[0]["parameters"].items()} for layers in record["branches"]]
    assert even in firsts
    assert record["gauge"]["fixed_by"] == "E[phi_1']^2 = 1" or firsts[0] == even


def test_a_family_of_ones_own(script: Script, tmp_path: Path) -> None:
    """s x + u erf(x) in a box: the solution that tests/numerics finds, as JSON and as code."""
    arguments = ("--activation", "tanh", "--family", "s*x + u*erf(x)", "--box", "s_1=0:1", "--box", "u_1=0:2")
    done = script("design", *arguments, "--json", "out.json", "--emit", "numpy", "--output", "network.py")
    assert done.returncode == 0, done.stderr
    record = json.loads((tmp_path / "out.json").read_text("utf-8"))
    assert record["status"] == "exact"
    assert len(record["branches"]) == 1
    assert record["layers"][0]["expression"] == "s*x + u*erf(x)"
    assert "s_1 in [0, 1], u_1 in [0, 2]" in record["reason"]
    values = {name: float(text) for name, text in record["layers"][0]["parameters"].items()}
    network = loaded((tmp_path / "network.py").read_text("utf-8"), tmp_path)
    for point in (-1.5, 0.25, 2.0):
        wanted = values["s"] * point + values["u"] * math.erf(point)
        assert float(network.phi_1(np.float64(point))) == pytest.approx(wanted, rel=1e-12)


def test_two_layers_of_ones_own(script: Script) -> None:
    boxes = [part for name in ("a_1", "b_1", "a_2", "b_2") for part in ("--box", f"{name}=0:2")]
    done = script(
        "design", "--activation", "relu", "--family", "a*x + b*Abs(x)", "--layers", "2", *boxes, "--json", "-"
    )
    assert done.returncode == 0, done.stderr
    record = json.loads(done.stdout)
    assert record["status"] == "exact"
    assert len(record["branches"]) == 2
    assert record["gauge"]["exponents_of_k"] == [{"a": 1, "b": 1}, {"a": -1, "b": -1}]


@pytest.mark.parametrize(("name", "family"), [("relu", "leaky_relu"), ("elu", "rational"), ("elu", "hermite")])
def test_the_numpy_network_has_the_predicted_diagonal_and_slope(
    script: Script, tmp_path: Path, name: str, family: str
) -> None:
    """At |x| = tau_0 the CK's diagonal is gamma_*^2; the off-diagonal is alpha_1 S + alpha_3 S^2 + O(S^3)."""
    arguments = ("--activation", name, "--family", family, "--emit", "numpy", "--output", "network.py")
    done = script("design", *arguments, "--json", "out.json")
    assert done.returncode == 0, done.stderr
    target = json.loads((tmp_path / "out.json").read_text("utf-8"))["target"]
    check = """
import numpy as np, network
rng = np.random.default_rng(0)
overlap, width, draws = 0.25, 1500, 6
data = np.array([[1.0, overlap, 0.0], [0.0, (1 - overlap**2) ** 0.5, 0.0], [0.0, 0.0, 1.0]]) * network.TAU_0
kernels = [network.conjugate_kernel(data, width, rng) for _ in range(draws)]
mean = np.mean(kernels, axis=0)
print(*np.diagonal(mean), mean[0, 1], mean[0, 2])
"""
    ran = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, cwd=tmp_path, check=False)
    assert ran.returncode == 0, ran.stderr
    *diagonal, near, far = map(float, ran.stdout.split())
    k0, k1, k3 = (float(target[key]) for key in ("diagonal", "k1", "k3"))
    noise = 4 * k0 / (1500 * 6) ** 0.5
    for value in diagonal:
        assert abs(value - k0) < 2 * noise
    assert abs(far) < noise
    # What is left over belongs to degree >= 3 in the overlap.
    assert abs(near - k1 * 0.25 - k3 * 0.25**2) < noise + (k0 - k1 - k3) * 0.25**3


def loaded(text: str, folder: Path) -> Any:
    """The text as a module."""
    path = folder / "network.py"
    path.write_text(text, "utf-8")
    spec = importlib.util.spec_from_file_location(f"emitted_{folder.name}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_which_network_trained_how(script: Script, tmp_path: Path) -> None:
    """ReLU's recurrent NTK: no network at one rate, one hidden layer at two, as text, JSON and code."""
    arguments = ("--activation", "relu", "--kernel", "ntk-recurrent", "--digits", "20")
    done = script("design", *arguments, "--json", "out.json")
    assert done.returncode == 0, done.stderr
    record = json.loads((tmp_path / "out.json").read_text("utf-8"))
    assert record["status"] == "exact"
    weights = record["training"]["weights"]
    assert [each["name"] for each in weights] == ["W_1", "readout"]
    assert weights[0]["rate"].startswith("0.02916337422961")
    assert len(weights[0]["rate"].lstrip("0.")) == 20
    assert float(weights[0]["radius"]) < 1e-20
    assert all(each["trained"] for each in weights)
    assert record["training"]["branches"] == [weights]
    assert "whatever its activations" in record["training"]["why_not_one_rate"]
    assert not record["training"]["one_rate"]
    assert "k_3 >= 2*k_2" in record["conditions"]
    assert f"learning rates: W_1 {weights[0]['rate']}, readout 1.0" in done.stdout
    flat = " ".join(done.stdout.split())
    assert "at one learning rate for all weights no network with one or two hidden layers matches" in flat
    script("design", *arguments, "--rates", "per-layer", "--emit", "torch", "--output", "network.py")
    assert f"RATES = ({weights[0]['rate']}, 1.0" in (tmp_path / "network.py").read_text("utf-8")
    shown = script("design", *arguments, "--rates", "per-layer", "--emit", "latex").stdout
    LatexWalker(shown, tolerant_parsing=False).get_latex_nodes()
    assert "$r_0$ & $0$ & $" + weights[0]["rate"].removeprefix("0.") in shown
    assert "$r_1$ & $1$ & $" in shown


def test_one_rate_is_said_of_what_is_proved_for_one_rate(script: Script, tmp_path: Path) -> None:
    arguments = ("--activation", "gelu", "--kernel", "ntk-recurrent", "--rates", "one")
    done = script("design", *arguments, "--family", "hermite")
    flat = " ".join(done.stdout.split())
    assert "no network with one or two hidden layers, all weights at one learning rate, matches, whatever its" in flat
    assert "all weights are trained at one learning rate" in flat
    deeper = script("design", *arguments, "--json", "out.json")
    assert "the least depth found: no network with one or two hidden layers, all weights" in " ".join(
        deeper.stdout.split()
    )
    record = json.loads((tmp_path / "out.json").read_text("utf-8"))
    assert (record["status"], len(record["layers"])) == ("exact", 5)
    assert record["training"]["one_rate"]
    assert "divide the input of the next one" in record["gauge"]["freedom"]
    ck = json.loads(script("design", "--activation", "gelu", "--json", "-").stdout)
    assert ck["training"] is None


def test_a_rate_is_looked_for_in_a_box(script: Script) -> None:
    """At one rate erf layers match tanh's NTK at one width only; at the width 1 they do at one rate_0."""
    arguments = ("--activation", "tanh", "--kernel", "ntk-all", "--family", "erf", "--box", "a_1=0:4", "--fix", "w_1=1")
    done = script("design", *arguments, "--box", "rate_0=0:4", "--json", "-")
    assert done.returncode == 0, done.stderr
    record = json.loads(done.stdout)
    assert record["status"] == "exact"
    assert len(record["branches"]) == 1
    first, last = record["training"]["weights"]
    assert 0 < float(first["rate"]) < 4
    assert float(last["rate"]) == 1
    assert float(last["radius"]) == 0


@pytest.mark.skipif(importlib.util.find_spec("torch") is None, reason="PyTorch is not installed")
def test_the_torch_networks_gradients_have_the_kernel_designed(script: Script, tmp_path: Path) -> None:
    """By PyTorch's own gradients and the learning rates of the optimiser's groups."""
    arguments = ("--activation", "relu", "--kernel", "ntk-recurrent", "--emit", "torch", "--output", "network.py")
    script("design", *arguments, "--rates", "per-layer", "--json", "out.json")
    k0 = float(json.loads((tmp_path / "out.json").read_text("utf-8"))["target"]["diagonal"])
    check = """
import torch, network
torch.manual_seed(0)
data, total = torch.eye(3) * network.TAU_0, 0.0
for draw in range(8):
    model = network.Network(3, 3000)
    output = model(data)
    for group in model.parameter_groups(1.0):
        for value in output:
            (slope,) = torch.autograd.grad(value, group["params"], retain_graph=True)
            total += group["lr"] * float((slope**2).sum())
print(total / 24)
"""
    ran = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, cwd=tmp_path, check=True)
    assert float(ran.stdout) == pytest.approx(k0, rel=0.05)


@pytest.mark.skipif(importlib.util.find_spec("torch") is None, reason="PyTorch is not installed")
def test_the_torch_network_has_the_predicted_diagonal(script: Script, tmp_path: Path) -> None:
    script("design", "--activation", "elu", "--emit", "torch", "--output", "network.py", "--json", "out.json")
    k0 = float(json.loads((tmp_path / "out.json").read_text("utf-8"))["target"]["diagonal"])
    check = """
import torch, network
torch.manual_seed(0)
with torch.no_grad():
    last = network.Network(3, 4000)(torch.eye(3) * network.TAU_0)
print(float((last**2).mean()))
"""
    ran = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, cwd=tmp_path, check=True)
    assert float(ran.stdout) == pytest.approx(k0, rel=0.1)


def test_the_latex_text_is_read_back(script: Script) -> None:
    done = script("design", "--activation", "relu", "--digits", "10", "--emit", "latex")
    assert done.returncode == 0, done.stderr
    LatexWalker(done.stdout, tolerant_parsing=False).get_latex_nodes()
    assert done.stdout.startswith("% Has the kernel ck of the DEQ with phi(x) = Max(0, x)")
    check_networks({"network-relu": done.stdout}, "relu")
    closest = script("design", "--activation", "swish", "--family", "leaky_relu", "--layers", "2", "--emit", "latex")
    assert "the closest one found" in closest.stderr
    assert "1.069770585" in closest.stdout.replace("$ & $", ".")


def test_a_question_that_stays_undecided_is_code_3(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def undecided(*arguments: Any, **options: Any) -> None:
        raise numerics.matching.designs.UndecidedDesignError("undecided: too near to the least variance")

    script = command_module("design")
    monkeypatch.setattr(numerics.matching, "design", undecided)
    monkeypatch.setattr(sys, "argv", ["design.py", "--activation", "relu"])
    with pytest.raises(SystemExit) as stopped:
        _running.run(script.main)
    assert stopped.value.code == 3
    assert capsys.readouterr().err.endswith("design.py: undecided: too near to the least variance\n")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--activation", "relu", "--layers", "2"), "--layers needs --family: leaky_relu"),
        (("--activation", "relu", "--box", "a_1=0:1"), "--box needs --family"),
        (("--activation", "relu", "--family", "erf", "--layers", "2"), "1 hidden layer here"),
        (("--activation", "relu", "--family", "foo"), "the named families are leaky_relu"),
        (("--activation", "relu", "--family", "a*x", "--box", "a=0:1"), "named with its layer, such as a_1"),
        (("--activation", "relu", "--family", "a*x", "--box", "a_2=0:1"), "(layer 1)"),
        (("--activation", "relu", "--family", "a*x", "--box", "a_1=1:0"), "must be below the upper one"),
        (("--activation", "relu", "--family", "a*x", "--box", "a_1"), "must be NAME=LOW:HIGH"),
        (("--activation", "relu", "--family", "a*x+b*x", "--box", "a_1=0:1"), "unknown name 'b'"),
        (("--activation", "relu", "--family", "a*x", "--box", "a_1=0:1", "--box", "b_1=0:1"), "no parameter b"),
        (("--activation", "relu", "--family", "a*x", "--box", "a_1=0:1", "--fix", "a_1=1"), "not several of them"),
        (("--activation", "relu", "--family", "a*x", "--fix", "a_1=1"), "give a parameter a --box"),
        (("--activation", "relu", "--family", "x", "--family", "x", "--family", "x"), "at most two hidden layers"),
        (("--activation", "relu", "--family", "a*tanh(x)", "--box", "a_1=0:1"), "no closed form"),
        (("--activation", "relu", "--family", "a*sign(x)", "--box", "a_1=0:1"), "jumps"),
        (("--activation", "relu", "--family", "E*x", "--box", "E_1=0:1"), "cannot name a parameter"),
        (("--activation", "relu", "--family", "a*x+b*Abs(x)", "--box", "a_1=0:1", "--fix", "b_1=1", "--layers", "2"),
         "every parameter of layer 2 needs"),
        (("--activation", "relu", "--family", "leaky_relu", "--box", "a_1=0:1"), "must cover a_1, b_1"),
        (("--activation", "relu", "--family", "__import__('os')", "--box", "a_1=0:1"), "not part of the grammar"),
        (("--activation", "relu", "--sigma-a2", "1.2"), "give a sigma-a2 below 1, or --sigma-b2"),
        (("--activation", "relu", "--emit", "numpy", "--output", "nowhere/x.py"), "does not exist"),
        (("--activation", "relu", "--emit", "numpy", "--json", "-"), "both write to standard output"),
        (("--activation", "sign", "--kernel", "ntk-all"), "cannot be matched"),
        (("--activation", "relu", "--rates", "one"), "the kernel is the CK"),
        (("--activation", "tanh", "--kernel", "ntk-all", "--family", "erf", "--box", "a_1=0:1", "--fix", "w_1=1",
          "--rates", "one"), "given like parameters: rate_0"),
        (("--activation", "tanh", "--family", "erf", "--box", "a_1=0:1", "--fix", "w_1=1", "--box", "rate_0=0:1"),
         "the CK has none"),
        (("--activation", "tanh", "--family", "erf", "--box", "rate_0=0:1", "--fix", "w_1=1"), "a parameter a --box"),
        (("--activation", "relu", "--kernel", "ntk-all", "--family", "leaky_relu", "--rates", "per-layer"),
         "at one learning rate here"),
        (("--activation", "5"), "nothing to match"),
    ],
)  # fmt: skip
def test_bad_use(script: Script, arguments: tuple[str, ...], words: str) -> None:
    done = script("design", *arguments)
    assert done.returncode == 2
    assert words in " ".join(done.stderr.split())
    assert done.stdout == ""


def test_a_cell_of_several_states(script: Script, tmp_path: Path) -> None:
    """The network of a cell, and what cannot be says why."""
    two = 'sigma_a2 = [["1/5", "1/5"], [0, "1/5"]]\n[[states]]\nactivation = "tanh"\nsigma_b2 = "4/5"\n'
    two += '[[states]]\nactivation = "relu"\nsigma_b2 = "1/2"\n'
    (tmp_path / "two.toml").write_text(two, encoding="utf-8")
    done = script("design", "--deq", "two.toml", "--json", "network.json")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("Has the kernel ck of state 0 of the cell of tanh, relu")
    record = json.loads((tmp_path / "network.json").read_text("utf-8"))
    assert (record["schema"], record["status"], len(record["states"])) == ("design-states", "exact", 2)
    (tmp_path / "biased.toml").write_text(two + 'sigma_c2 = "1/9"\n', encoding="utf-8")
    for words, said in (
        (("--deq", "biased.toml"), "a bias or a mean reaches it"),
        (("--deq", "two.toml", "--kernel", "ntk-all"), "ck would be accepted"),
        (("--deq", "two.toml", "--sigma-a2", "1/2"), "--sigma-a2"),
        (("--deq", "two.toml", "--data", "digits"), "--data is for one centred state"),
        ((), "--activation, or --deq"),
    ):
        done = script("design", *words)
        assert (done.returncode, done.stdout) == (2, "")
        assert said in done.stderr
