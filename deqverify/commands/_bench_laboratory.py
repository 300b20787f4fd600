"""Benchmarks of the laboratory: kernels, spectral laws, and many samples."""

from __future__ import annotations

import os
import resource
import subprocess
import tempfile
import tracemalloc
from functools import partial
from pathlib import Path

from deqverify.commands import _errors, _options
from deqverify.commands._measuring import Benchmark, Measurement, Say, timed
from theory.kernels import Kernel, KernelCoefficients

__all__ = ["BENCHMARKS"]

#: Samples and dimension of the many-samples benchmark: S alone is 3.2 GB.
_MANY, _MANY_DIMENSION = 20_000, 8_000
_GIB = 2.0**30
#: Seconds for a prediction.
_PREDICTION = 0.5


def _kernels(say: Say) -> list[Measurement]:
    """CK and recurrent NTK together, against all eigenvalues of the CK."""
    import numpy as np
    from scipy.linalg import eigvalsh

    from numerics.data import GaussianMixture
    from numerics.equilibrium import solve_float
    from numerics.kernels import implicit_kernels, with_dual
    from theory.equations import DEQ

    p = 3200
    say("drawing the data")
    sample = GaussianMixture.released_experiment(p).sample(np.random.default_rng(0))
    gram, tau0 = sample.gram(), sample.mixture.tau0
    measured = []
    for name in ("relu", "tanh"):
        activation = _options.activation_argument(name)
        phi, bias = with_dual(activation), solve_float(DEQ(activation, "1/5", "4/5", tau0))["bias"]
        wanted = (Kernel.CK, Kernel.NTK_RECURRENT)
        say(f"{name}, kernels of {len(gram)} samples")
        seconds, found = timed(lambda: implicit_kernels(gram, phi, 0.2, 0.8, bias, kernels=wanted))  # noqa: B023
        say(f"{name}, eigenvalues")
        reference, _ = timed(lambda: eigvalsh(found[Kernel.CK]))  # noqa: B023
        say(f"{name}, memory")
        tracemalloc.start()
        implicit_kernels(gram, phi, 0.2, 0.8, bias, kernels=wanted)
        arrays = tracemalloc.get_traced_memory()[1] / gram.nbytes + 1
        tracemalloc.stop()
        met = seconds <= reference and arrays < 4
        detail = f"reference: scipy.linalg.eigvalsh of the CK; peak {arrays:.2f} n x n arrays, S included"
        target = "no slower, under 4 arrays"
        title = f"{name}: CK and NTK, n = {len(gram)}"
        measured.append(Measurement(title, seconds, reference, reference / seconds, target, met, detail))
    return measured


def _spectral_law(say: Say) -> list[Measurement]:
    """Density at 400 points, edges and isolated eigenvalues, from the population alone."""
    from numerics.data import GaussianMixture
    from numerics.equilibrium import solve_float
    from numerics.spectrum import SpectralLaw
    from theory.equations import DEQ

    measured = []
    activation = _options.activation_argument("relu")
    for p in (400, 1600, 6400):
        mixture = GaussianMixture.released_experiment(p, means=2.0, cov_shift=20.0)
        numbers = solve_float(DEQ(activation, "1/5", "4/5", mixture.tau0)).kernel(Kernel.CK)

        def law(mixture: GaussianMixture = mixture, numbers: KernelCoefficients[float] = numbers) -> SpectralLaw:
            found = SpectralLaw.of(mixture, numbers)
            found.density(found.density_points(400))
            return found

        say(f"spectral law, p = {p}")
        seconds, found = timed(law)
        detail = f"{len(found.edges)} intervals, {len(found.outliers)} isolated eigenvalues"
        measured.append(
            Measurement(f"relu: spectral law, p = {p}", seconds, None, None, "under 1 s", seconds < 1, detail)
        )
    return measured


def _learning(say: Say) -> list[Measurement]:
    """Errors of ridge regression and gradient flow from the population alone, against solving for one readout."""
    import numpy as np
    from scipy.linalg import solve

    from numerics.data import GaussianMixture
    from numerics.equilibrium import solve_float
    from numerics.spectrum import LearningLaw
    from theory.equations import DEQ

    measured = []
    activation = _options.activation_argument("relu")
    for p in (400, 1600, 6400):
        mixture = GaussianMixture.released_experiment(p, means=2.0, cov_shift=8.0)
        numbers = solve_float(DEQ(activation, "1/5", "4/5", mixture.tau0)).kernel(Kernel.CK)
        law = LearningLaw(mixture, numbers)
        say(f"n = {mixture.samples}, prediction")
        ridge, learned = timed(lambda: law.ridge(0.1))  # noqa: B023
        flow, _ = timed(lambda: law.flow(10.0))  # noqa: B023
        say(f"n = {mixture.samples}, a readout")
        matrix = np.eye(mixture.samples) + 1 / mixture.samples
        reference, _ = timed(lambda: solve(matrix, np.ones(len(matrix)), assume_a="pos"))  # noqa: B023
        title, detail = f"relu: what is learned, n = {mixture.samples}", f"test error {learned.test.error:.4f}"
        detail += f", gradient flow {flow:.2g} s; reference: one positive definite system of n equations"
        met = max(ridge, flow) < _PREDICTION
        measured.append(Measurement(title, ridge, reference, reference / ridge, "each under 0.5 s", met, detail))
    return measured


def _many_samples(say: Say) -> list[Measurement]:
    """The exact CK of 20,000 samples, and its spectrum by stochastic Lanczos quadrature."""
    import numpy as np

    from numerics.equilibrium import solve_float
    from numerics.kernels import implicit_kernels, with_dual
    from numerics.linalg import lanczos_spectrum
    from theory.equations import DEQ

    rng = np.random.default_rng(0)
    say(f"S of {_MANY} samples in dimension {_MANY_DIMENSION}")
    data = rng.standard_normal((_MANY_DIMENSION, _MANY))
    data /= np.sqrt(_MANY_DIMENSION)
    # scipy's syrk would need a second array to mirror the triangle: NumPy calls it for X^T X by itself.
    gram = data.T @ data
    deq = DEQ(_options.activation_argument("relu"), "1/5")
    phi, bias = with_dual(deq.activation), solve_float(deq)["bias"]
    say("the exact CK, tile by tile")
    seconds, found = timed(lambda: implicit_kernels(gram, phi, 0.2, 0.8, bias))
    kernel = found[Kernel.CK]
    say("its spectrum by Lanczos")
    later, spectrum = timed(lambda: lanczos_spectrum(kernel, rng, steps=60, probes=4))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / _GIB
    shown = ", ".join(f"{value:.6g}" for value in spectrum.extreme(2, 1e-3))
    detail = f"residual {found.evidence.residual:.1e}; peak {peak:.1f} GiB of memory in this process"
    target = "works in 24 GiB"
    return [
        Measurement(f"relu: exact CK, n = {_MANY}", seconds, None, None, target, peak < 24, detail),
        Measurement(
            f"its spectrum by Lanczos, n = {_MANY}",
            later,
            None,
            None,
            target,
            peak < 24,
            f"{detail}; largest eigenvalues {shown}",
        ),
    ]


def _forward(say: Say) -> list[Measurement]:
    """A forward pass of the matching explicit network, against the DEQ's at equal width: what the match is good for."""
    import numpy as np

    from numerics.equilibrium import solve_float
    from numerics.matching import design
    from numerics.networks import FiniteDEQ, FiniteExplicitNetwork
    from theory.equations import DEQ

    width, p, samples = 2000, 400, 256
    measured = []
    for name in ("relu", "tanh", "gelu"):
        deq = DEQ(_options.activation_argument(name), "1/5")
        rng = np.random.default_rng(0)
        data = rng.standard_normal((p, samples)) / np.sqrt(p)
        network = FiniteDEQ.draw(deq, solve_float(deq)["bias"], width=width, dimension=p, rng=rng)
        found = design(deq)
        explicit = FiniteExplicitNetwork.draw(found.network.pointwise(), width=width, dimension=p, rng=rng)
        say(f"{name}, the DEQ's equilibrium")
        reference, equilibrium = timed(lambda: network.equilibrium(data, tolerance=1e-6))  # noqa: B023
        say(f"{name}, its explicit network")
        seconds, _ = timed(lambda: explicit.forward(data))  # noqa: B023
        steps = equilibrium.iterations
        detail = f"{found.family}, {len(explicit.layers)} layers of width {width}; the DEQ took {steps} steps"
        title = f"{name}: forward pass, m = {width}"
        measured.append(
            Measurement(title, seconds, reference, reference / seconds, "cheaper", seconds < reference, detail)
        )
    return measured


#: Names an interpreter that has neural-tangents: it needs NumPy 1 and so an environment of its own.
_OTHER_PYTHON = "NEURAL_TANGENTS_PYTHON"
#: What that interpreter runs, on one core: folder -> kernels and the processor time of a compiled call.
_OTHER_PROGRAM = """
import os, sys, time
if hasattr(os, "sched_setaffinity"):
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
import numpy as np
from jax import config, jit
config.update("jax_enable_x64", True)
from neural_tangents import stax
folder, name, layers = sys.argv[1], sys.argv[2], int(sys.argv[3])
inputs = np.load(folder + "/inputs.npy")
activation = {"relu": stax.Relu, "erf": stax.Erf}[name]
parts = [part for _ in range(layers) for part in (stax.Dense(1), activation())]
kernel = stax.serial(*parts, stax.Dense(1))[2]
compiled = jit(lambda x: tuple(kernel(x, None, ("nngp", "ntk"))))
[each.block_until_ready() for each in compiled(inputs)]
seconds = float("inf")
for _ in range(int(sys.argv[4])):
    begin = time.process_time()
    nngp, ntk = (np.asarray(each) for each in compiled(inputs))
    seconds = min(seconds, time.process_time() - begin)
np.savez(folder + "/kernels.npz", nngp=nngp, ntk=ntk, seconds=seconds)
"""
_LAYERS, _REPEATS = 5, 5


def _first(pair: tuple[float, object]) -> float:
    return pair[0]


def _neural_tangents(say: Say) -> list[Measurement]:
    """Kernels of explicit networks against neural-tangents, where an interpreter that has it is named."""
    title = "explicit kernels against neural-tangents"
    python = os.environ.get(_OTHER_PYTHON)
    if not python:
        detail = f"skipped: {_OTHER_PYTHON} names no interpreter that has neural-tangents"
        return [Measurement(title, 0.0, None, None, "not measured", True, detail)]
    import numpy as np
    import threadpoolctl

    from numerics.kernels import EXPLICIT_KERNELS, explicit_kernels, with_dual

    inputs = np.random.default_rng(0).standard_normal((1000, 800))
    gram = inputs @ inputs.T / inputs.shape[1]
    measured = []
    with tempfile.TemporaryDirectory() as folder:
        np.save(Path(folder) / "inputs.npy", inputs)
        for name in ("relu", "erf"):
            say(f"{name}, neural-tangents")
            program = [python, "-c", _OTHER_PROGRAM, folder, name, str(_LAYERS), str(_REPEATS)]
            try:
                subprocess.run(program, check=True, capture_output=True, timeout=600)  # noqa: S603
            except (OSError, subprocess.SubprocessError) as error:
                raise _errors.UsageError(f"{_OTHER_PYTHON} = {python} cannot run neural-tangents: {error}") from error
            theirs = np.load(Path(folder) / "kernels.npz")
            phi = with_dual(_options.activation_argument(name))
            say(f"{name}, this project")
            layers = [(phi, 0.0)] * _LAYERS
            # Idle threads of the linear algebra wait busily, which is no work of ours.
            compute = partial(explicit_kernels, gram, layers, kernels=EXPLICIT_KERNELS, tolerance=1e-8)
            with threadpoolctl.threadpool_limits(limits=1):
                seconds, found = min((timed(compute) for _ in range(_REPEATS)), key=_first)
            # Their NTK ends with a trained dense layer and starts with one, as ours does: K_L + the readout's G_L.
            pairs = [(theirs["nngp"], found[Kernel.CK]), (theirs["ntk"], found[Kernel.NTK_ALL])]
            apart = max(np.abs(one - other).max() for one, other in pairs)
            reference = float(theirs["seconds"])
            met = bool(apart < 1e-6 and seconds <= reference)
            detail = (
                f"largest difference of CK and NTK {apart:.1e}; reference: its compiled call; one core, "
                f"least of {_REPEATS} of both"
            )
            shown = f"{name}: {_LAYERS} layers, n = {len(gram)}"
            measured.append(
                Measurement(shown, seconds, reference, reference / seconds, "equal to 1e-6, no slower", met, detail)
            )
    return measured


#: The sub-benchmarks of the laboratory, by name.
BENCHMARKS: dict[str, Benchmark] = {
    "kernels": Benchmark(_kernels, "CK and NTK of 2560 samples against their eigenvalues"),
    "spectral-law": Benchmark(_spectral_law, "the spectral law without a matrix"),
    "learning": Benchmark(_learning, "errors on fresh samples without a matrix"),
    "many-samples": Benchmark(_many_samples, "exact kernel and spectrum of 20,000 samples", slow=True),
    "forward": Benchmark(_forward, "a matching network's forward pass against its DEQ's"),
    "neural-tangents": Benchmark(
        _neural_tangents, f"explicit kernels against neural-tangents, if {_OTHER_PYTHON} names it"
    ),
}
