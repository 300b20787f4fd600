"""Time the main computations, each against a plain way to the same numbers in the same run.

Times are those of the processor, so that other programs on the machine do not enter; set OMP_NUM_THREADS=1.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from deqverify.commands import _bench_laboratory, _errors, _options, _outputs, _progress
from deqverify.commands._measuring import Benchmark, Measurement, Say, timed

if TYPE_CHECKING:
    from theory.equations import DEQ

__all__ = ["BENCHMARKS", "Measurement", "main", "parser"]

_EXAMPLES = """\
  deqverify bench
  deqverify bench --only certified-50 --only sweep --json -
  deqverify bench --all
  deqverify bench --list
"""


def _deq(name: str, sigma_a2: Any = "1/5", sigma_b2: Any = None, tau0: Any = 1) -> DEQ:
    from theory.equations import DEQ

    return DEQ(_options.activation_argument(name), sigma_a2, sigma_b2, tau0)


def _against_naive(names: Sequence[str], digits: int, factor: float) -> Callable[[Say], list[Measurement]]:
    """Certified solution against a plain mpmath script (quadrature of every moment, secant iteration)."""

    def run(say: Say) -> list[Measurement]:
        from mpmath import mp, nstr

        from numerics.equilibrium import certify, solve_naively
        from numerics.moments import certified_moments

        measured = []
        for name in names:
            say(f"{name}, {digits} digits, certified")
            deq = _deq(name)
            certify(deq, 15)
            certified_moments.cache_clear()
            first, _ = timed(lambda: certify(deq, digits))  # noqa: B023
            again, found = timed(lambda: certify(deq, digits))  # noqa: B023
            say(f"{name}, {digits} digits, plain mpmath script")
            start = float(found["tau"])
            naive, plain = timed(lambda: solve_naively(deq, digits, start))  # noqa: B023
            with mp.workdps(digits + 10):
                wrong = [key for key in found.balls if not found.contains(key, nstr(plain[key], digits - 5))]
            complaint = f"; the two disagree in {', '.join(wrong)}" if wrong else ""
            measured.append(
                Measurement(
                    f"{name}: certified, {digits} digits",
                    first,
                    naive,
                    naive / first,
                    f">= {factor:g} times",
                    naive >= factor * first and not wrong,
                    f"closed forms and bounds derived anew; {again:.3f} s with them at hand{complaint}",
                )
            )
        return measured

    return run


def _thousand_digits(say: Say) -> list[Measurement]:
    """1000 certified digits for tanh."""
    from numerics.equilibrium import certify
    from numerics.moments import certified_moments

    say("tanh, 1000 digits, certified")
    certified_moments.cache_clear()
    seconds, found = timed(lambda: certify(_deq("tanh"), 1000))
    done = all(found.certified.values())
    detail = f"radius of tau_* {found.radius['tau']}"
    name = "tanh: certified, 1000 digits"
    return [Measurement(name, seconds, None, None, "under 60 s", done and seconds < 60, detail)]


def _sweep(say: Say) -> list[Measurement]:
    """1000 certified solutions of one activation, against a plain mpmath script at as many digits."""
    from numerics.equilibrium import certify, solve_naively
    from theory.equations import DEQ

    measured = []
    digits, count, few = 15, 1000, 5
    weights = [_options.number(f"{0.0008 * (1 + k):.4f}") for k in range(count)]
    for name in ("tanh", "relu", "gelu", "swish"):
        activation = _options.activation_argument(name)
        deqs = [DEQ(activation, weight) for weight in weights]
        say(f"{name}, {count} certified solutions of {digits} digits")
        seconds, found = timed(lambda: [certify(deq, digits) for deq in deqs])  # noqa: B023
        say(f"{name}, {few} of them by a plain mpmath script")
        picked = [(deqs[k], float(found[k]["tau"])) for k in range(count // few // 2, count, count // few)]
        slow, _ = timed(
            lambda: [solve_naively(deq, digits, start) for deq, start in picked]  # noqa: B023
        )
        reference = slow / few * count
        proved = all(all(one.certified.values()) for one in found)
        measured.append(
            Measurement(
                f"{name}: {count} solutions, {digits} digits, certified",
                seconds,
                reference,
                reference / seconds,
                "under 10 s",
                proved and seconds < 10,
                f"reference: a plain mpmath script at {few} of the points, times {count // few}",
            )
        )
    return measured


def _hard_cases(say: Say) -> list[Measurement]:
    """Certified solutions at 30 digits where trouble is expected."""
    from numerics.equilibrium import certify

    kinks = " + ".join(f"({(-1) ** k})*Max(x - {k}/4, 0)" for k in range(-10, 10))
    cases = [
        ("ReLU, sigma_a^2 within 1e-12 of the threshold", "relu", ("(1 - 1/10**12)/(1/2 - 1/(2*pi))", "1/2", "1")),
        ("tanh, tau_0 = 1e-8", "tanh", ("1/5", "4/5", "1/10**8")),
        ("tanh, tau_0 = 1e8", "tanh", ("1/5", "4/5", "10**8")),
        ("ELU, tau_0 = 1e8", "elu", ("1/5", "4/5", "10**8")),
        ("tanh(100 x)", "tanh(100*x)", ("1/5", "4/5", "1")),
        ("20 kinks", kinks, ("1/5", "4/5", "1")),
        ("tanh and 20 kinks", f"tanh(x) + {kinks}", ("1/5", "4/5", "1")),
        ("poles at 0.01 i", "1/(1 + 10000*x**2)", ("1/5", "4/5", "1")),
    ]
    measured = []
    for title, text, numbers in cases:
        say(title)
        deq = _deq(text, *numbers)
        seconds, found = timed(lambda: certify(deq, 30))  # noqa: B023
        refused = sorted({found.reason[key] for key, fine in found.certified.items() if not fine})
        detail = "; ".join(refused) or f"radius of tau_* {found.radius['tau']}"
        measured.append(Measurement(title, seconds, None, None, "certified", not refused, detail))
    return measured


def _all_equilibria(say: Say) -> list[Measurement]:
    """Every equilibrium over the half line, against a dense grid in float64 (which proves nothing)."""
    import numpy as np

    from numerics.arithmetic import pointwise
    from numerics.equilibrium import find_equilibria
    from numerics.moments import FloatMoments

    measured = []
    cases = [("tanh", 1, ("1/5", "4/5", "1")), ("gelu", 1, ("1/5", "4/5", "1")), ("cubic", 2, ("1/5", "4/5", "1"))]
    cases.append(("5*sigmoid(20*x - 40)", 3, ("1", "1/2", "1")))
    for text, count, numbers in cases:
        say(f"{text}, all equilibria")
        deq = _deq(text, *numbers)
        seconds, found = timed(lambda: find_equilibria(deq))  # noqa: B023
        weight, source, scale = float(deq.sigma_a2), float(deq.sigma_b2), float(deq.tau0)
        grid = np.geomspace(source * scale**2, found.searched_to**2, 20_000)

        def crossings(activation: Any = deq.activation, grid: Any = grid, weight: float = weight) -> int:
            gap = grid - weight * FloatMoments(pointwise(activation)).variance(np.sqrt(grid))
            return int(np.sum(np.diff(np.sign(gap - source * scale**2)) != 0))  # noqa: B023

        reference, seen = timed(crossings)
        met = found.complete and len(found.equilibria) == count
        detail = f"{len(found.equilibria)} proved, {seen} seen on a grid of {grid.size} points in float64"
        measured.append(
            Measurement(
                f"{text}: all equilibria", seconds, reference, reference / seconds, f"{count} and no other", met, detail
            )
        )
    return measured


#: The sub-benchmarks by name; a new one is a function and a line here.
BENCHMARKS: dict[str, Benchmark] = {
    "certified-50": Benchmark(
        _against_naive(("tanh", "swish", "gelu", "elu"), 50, 10), "50 certified digits against plain mpmath"
    ),
    "certified-500": Benchmark(
        _against_naive(("tanh", "swish", "elu"), 500, 30), "500 certified digits against plain mpmath", slow=True
    ),
    "certified-500-gelu": Benchmark(
        _against_naive(("gelu",), 500, 30), "the same for GELU, whose plain script takes very long", slow=True
    ),
    "certified-1000": Benchmark(_thousand_digits, "1000 certified digits of tanh"),
    "sweep": Benchmark(_sweep, "1000 certified solutions of 15 digits against plain mpmath"),
    "hard": Benchmark(_hard_cases, "parameters and activations that ask for trouble"),
    **_bench_laboratory.BENCHMARKS,
    "equilibria": Benchmark(_all_equilibria, "all equilibria, isolated with proof"),
}


def main(argv: Sequence[str] | None) -> int:
    """Run the sub-benchmarks that were asked for; leave with 1 when one misses its target."""
    arguments = parser().parse_args(argv)
    if arguments.list:
        for name, benchmark in BENCHMARKS.items():
            print(f"{name:20} {benchmark.meaning}{' (slow)' if benchmark.slow else ''}")
        return 0
    chosen = arguments.only or [name for name, one in BENCHMARKS.items() if arguments.all or not one.slow]
    progress = _progress.console(error=True)
    measured: dict[str, list[Measurement]] = {}
    for position, name in enumerate(chosen, start=1):
        with progress.status(name) as status:

            def say(text: str, name: str = name, position: int = position, status: Any = status) -> None:
                status.update(f"[{position}/{len(chosen)}] {name}: {text}".replace("[", r"\["))

            measured[name] = BENCHMARKS[name].run(say)
    if arguments.json != "-":
        _print_table(measured)
    if arguments.json:
        record = {"benchmarks": {name: [asdict(one) for one in rows] for name, rows in measured.items()}}
        _outputs.write_json(arguments.json, record | _outputs.provenance(), "bench")
    return 0 if all(one.met for rows in measured.values() for one in rows) else _errors.CLAIM_FAILED


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command's arguments."""
    parser = _options.Parser(__doc__ or "", _EXAMPLES)
    parser.add_argument(
        "--only",
        action="append",
        choices=sorted(BENCHMARKS),
        metavar="NAME",
        default=[],
        help="one that --list shows, repeatable (default: those that are not slow)",
    )
    parser.add_argument("--all", action="store_true", help="also those that take minutes")
    parser.add_argument("--list", action="store_true", help="list the sub-benchmarks and leave")
    parser.add_argument("--json", metavar="PATH", help="write JSON to a file, or to standard output for -")
    return parser


def _print_table(measured: dict[str, list[Measurement]]) -> None:
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE, pad_edge=False)
    for heading in ("", "seconds", "plain way", "ratio", "target", "met"):
        number = heading in ("seconds", "plain way", "ratio")
        table.add_column(heading, justify="right" if number else "left", no_wrap=bool(heading))
    for rows in measured.values():
        table.add_section()
        for one in rows:
            reference = "" if one.reference_seconds is None else _seconds(one.reference_seconds)
            ratio = "" if one.ratio is None else f"{one.ratio:.0f}" if one.ratio >= 10 else f"{one.ratio:.1f}"
            met = "yes" if one.met else "[bold]no[/]"
            table.add_row(one.name, _seconds(one.seconds), reference, ratio, one.target, met)
    screen = _progress.console()
    screen.print(table)
    everything = [one for rows in measured.values() for one in rows]
    screen.print(f"{sum(one.met for one in everything)} of {len(everything)} targets met")
    for one in everything:
        if not one.met:
            screen.print(f"  {one.name}: {one.detail}", markup=False)


def _seconds(value: float) -> str:
    """Three digits, without an exponent."""
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.3f}"
