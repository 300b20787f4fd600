"""Break theory/ and numerics/ in one small way at a time, and see whether the tests of the package notice.

The ways are cosmic-ray's operators.  Its own runner has one command of tests for every mutant and no sampling, so the
runner is here: a seed and the text of a mutant say when its turn comes, packages take turns, and each mutant meets
the tests of its package (the folder under tests/ of the same name and the properties that import it; where there is no
such folder, every test that imports it; and its docstrings' examples), until one fails.  Some tests of each file are
measured beforehand, for a sixth of the time that a package is given; every mutant meets these, the cheapest first, and
one that they let pass meets the others, those of its own module first: of these, a failure counts if the test passes
without the mutant.  A test that takes ten times what it should has noticed, too.  Nothing in the checkout is changed,
and what is changed there during a run is not seen: the work is in build/mutants, where results are kept; a run goes on
where the last one stopped.  A mutant that was killed is not tried again while its file is as it was; one that survived
is, when its tests have changed or are given more time.

The shares are of the mutants that were tried: as packages take turns, a small one weighs as much as a large one.

.ci/equivalent_mutants.toml lists mutants that no test can kill, with reasons.  Exit code 0, whatever the score; 2: bad
use.
"""

from __future__ import annotations

import argparse
import ast
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import time
import tomllib
import venv
from collections import Counter, defaultdict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from statistics import NormalDist
from threading import Lock
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "build" / "mutants"
#: The checkout as a run found it.
FOUND = FOLDER / "checkout"
EQUIVALENT = ROOT / ".ci" / "equivalent_mutants.toml"
TOOL = "cosmic-ray==8.7.0"
#: cosmic-ray can put every operator in place of every other, and most of these mutants fail with a TypeError whatever
#: is tested: they would only flatter the score.
OPERATORS = (
    *(f"ReplaceBinaryOperator_{each}" for each in ("Add_Sub", "Sub_Add", "Mul_Div", "Div_Mul", "Pow_Mul", "Mod_Mul")),
    *(f"ReplaceBinaryOperator_{each}" for each in ("FloorDiv_Div", "BitAnd_BitOr", "BitOr_BitAnd", "Mul_Add")),
    *(f"ReplaceComparisonOperator_{each}" for each in ("Lt_LtE", "LtE_Lt", "Gt_GtE", "GtE_Gt", "Eq_NotEq", "NotEq_Eq")),
    *(f"ReplaceComparisonOperator_{each}" for each in ("Is_IsNot", "IsNot_Is", "Lt_Gt", "Gt_Lt", "LtE_GtE", "GtE_LtE")),
    *(f"ReplaceUnaryOperator_{each}" for each in ("USub_UAdd", "Delete_Not", "Delete_Invert")),
    *("NumberReplacer", "AddNot", "ReplaceAndWithOr", "ReplaceOrWithAnd", "ReplaceTrueWithFalse"),
    *("ReplaceFalseWithTrue", "ReplaceBreakWithContinue", "ReplaceContinueWithBreak", "ZeroIterationForLoop"),
)
#: Figures of the report: this share of intervals holds the true share.
CONFIDENCE = 0.95
#: Exit codes of pytest: no test failed, there was none.  Others than these and 1: they could not even be collected.
_PASSED = (0, 5)
#: The share of a package's time that is for tests that were not measured.
_OTHERS = 5 / 6


@dataclass(frozen=True)
class Mutant:
    """One change of one line.

    Attributes:
        package: whose tests it meets, such as "theory/moments".
        file: the file it changes.
        where: the function or class that the line is in; empty outside of them.
        line: its number.
        column: where the change begins.
        old: the line without its indentation.
        operator: of cosmic-ray.
        occurrence: which of the operator's places in the file.
        digest: of the file without the mutant.
    """

    package: str
    file: str
    where: str
    line: int
    column: int
    old: str
    operator: str
    occurrence: int
    digest: str

    @property
    def key(self) -> str:
        """What its results are kept under."""
        return digest(self.file, self.digest, self.operator, str(self.occurrence))

    def turn(self, seed: int) -> str:
        """When it is tried: independent of all other mutants, of its line's number and of the rest of its file."""
        twin = self.occurrence if self.operator == "NumberReplacer" else 0
        return digest(str(seed), self.file, self.where, self.old, str(self.column), self.operator, str(twin % 2))


def digest(*texts: str) -> str:
    """A short hash."""
    return hashlib.sha256("\0".join(texts).encode()).hexdigest()[:20]


def main() -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("minutes", type=float, help="what it may take; 0 to report what is known")
    parser.add_argument("packages", nargs="*", metavar="PACKAGE", help="such as theory/moments (default: all)")
    parser.add_argument("--seed", type=int, default=1, help="says which mutants come first (default: 1)")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="mutants at a time (default: one a core)")
    parser.add_argument(
        "--most",
        type=float,
        default=180,
        metavar="SECONDS",
        help="of processor time for a package's tests (default: 180)",
    )
    arguments = parser.parse_intermixed_args()
    _in_tool()
    copy(ROOT, FOUND)
    packages = sorted(sources())
    if unknown := set(arguments.packages) - set(packages):
        parser.error(f"there is no package {', '.join(sorted(unknown))}: accepted are {', '.join(packages)}")
    survey = Survey(arguments.packages or packages, arguments.seed, arguments.most)
    survey.run(time.monotonic() + 60 * arguments.minutes, arguments.jobs)
    report = survey.report()
    (FOLDER / "report.txt").write_text(report, encoding="utf-8")
    print(report, end="")
    return 0


def _in_tool() -> None:
    """Go on in the environment that has cosmic-ray, which is made unless it is there."""
    folder = FOLDER / "tool"
    python = folder / "bin" / "python"
    if Path(sys.prefix) == folder:
        return
    if not (folder / TOOL).exists():
        venv.create(folder, clear=True, with_pip=True)
        install = [python, "-m", "pip", "--disable-pip-version-check", "install", "-qq", TOOL]
        subprocess.run(install, check=True)
        (folder / TOOL).touch()
    os.execv(python, [str(python), *sys.argv])  # noqa: S606


@cache
def tracked() -> list[str]:
    """The files of the checkout that git does not ignore."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()
    return [name for name in listed if (ROOT / name).is_file()]


def text(name: str) -> str:
    """A file as the run found it."""
    return (FOUND / name).read_text(encoding="utf-8")


@cache
def sources() -> dict[str, list[str]]:
    """The files of each package; those beside the packages belong to theory and numerics themselves."""
    found = defaultdict(list)
    for name in tracked():
        parts = name.split("/")
        if parts[0] in ("theory", "numerics") and name.endswith(".py"):
            found["/".join(parts[:2] if len(parts) > 2 else parts[:1])].append(name)
    return dict(found)


@cache
def tests(package: str) -> list[str]:
    """The files of tests, and examples in docstrings, that a package's mutants meet."""
    modules = [name.removesuffix(".py").removesuffix("/__init__").replace("/", ".") for name in sources()[package]]
    names = modules if "/" not in package else [package.replace("/", ".")]
    pattern = "|".join(_imported(name) for name in names if "." in name)
    files = [name for name in tracked() if re.match(r"tests/(theory|numerics|properties)/(.*/)?test_\w+\.py$", name)]
    own = [name for name in files if name.startswith(f"tests/{package}/") and "/" in package]
    users = [name for name in files if re.search(pattern, text(name))]
    examples = [
        f"tests/test_doctests.py::test_examples_print_what_they_show[{module}]"
        for module, name in zip(modules, sources()[package], strict=True)
        if ">>> " in text(name)
    ]
    return [*dict.fromkeys([*own, *(u for u in users if not own or "/properties/" in u)]), *examples]


def _imported(module: str) -> str:
    """Finds `from theory.kernels import`, and `from numerics import budget`."""
    top, _, last = module.rpartition(".")
    return rf"(from|import) {re.escape(module)}\b|from {re.escape(top)} import .*\b{last}\b"


def mutants(package: str, seed: int) -> list[Mutant]:
    """The mutants of a package in the order of their turns, no place a second time before all had theirs."""
    found = sorted(
        (each for name in sources()[package] for each in _of_file(package, name)), key=lambda m: m.turn(seed)
    )
    before: Counter[tuple[str, int, int]] = Counter()
    ranked = []
    for turn, each in enumerate(found):
        ranked.append((before[each.file, each.line, each.column], turn, each))
        before[each.file, each.line, each.column] += 1
    return [each for _, _, each in sorted(ranked, key=lambda r: r[:2])]


def _of_file(package: str, name: str) -> Iterator[Mutant]:
    """The mutants of a file, before it is known whether they change the program."""
    from cosmic_ray.ast import ast_nodes, get_ast
    from cosmic_ray.plugins import get_operator

    source = text(name)
    lines, made_of = source.splitlines(), digest(source)
    nodes, scopes = list(ast_nodes(get_ast(source))), _scopes(ast.parse(source))
    for operator in OPERATORS:
        places = get_operator(f"core/{operator}")().mutation_positions
        for occurrence, (line, column) in enumerate(start for node in nodes for start, _ in places(node)):
            old, where = lines[line - 1].strip(), scopes.get(line, "")
            # Declarations: whether instances can be changed, which nothing does, and which arguments have names.
            if old.startswith("@dataclass") or lines[line - 1][column : column + 2] == "*,":
                continue
            yield Mutant(package, name, where, line, column, old, operator, occurrence, made_of)


def _scopes(tree: ast.Module) -> dict[int, str]:
    """The function or class of each line, by the line's number."""
    found: dict[int, str] = {}

    def visit(node: ast.AST, prefix: str) -> None:
        for child in ast.iter_child_nodes(node):
            name = prefix
            if isinstance(child, (ast.FunctionDef, ast.ClassDef)):
                name = f"{prefix}.{child.name}".lstrip(".")
                found.update(dict.fromkeys(range(child.lineno, (child.end_lineno or child.lineno) + 1), name))
            visit(child, name)

    visit(tree, "")
    return found


def mutated(mutant: Mutant) -> str | None:
    """The file with a mutant in it; None if that is no program, or the same program."""
    from cosmic_ray.mutating import mutate_code
    from cosmic_ray.plugins import get_operator

    source = text(mutant.file)
    code = mutate_code(source, get_operator(f"core/{mutant.operator}")(), mutant.occurrence)
    try:
        return None if code is None or _program(code) == _program(source) else str(code)
    except SyntaxError:
        return None


def _program(source: str) -> str:
    """What a file does: annotations, which are never evaluated, are left out."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.arg):
            node.annotation = None
        elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            node.returns = None
        elif isinstance(node, ast.AnnAssign):
            node.annotation = ast.Constant(value=None)
    return ast.dump(tree)


class Worker:
    """A process that passes tests, and the copy of the checkout that it does so in.

    Args:
        number: tells it from the others.
    """

    def __init__(self, number: int) -> None:
        self.copy, self.number = FOLDER / f"copy-{number}", number
        copy(FOUND, self.copy)
        one = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
        self._process = subprocess.Popen(
            [ROOT / ".venv" / "bin" / "python", FOUND / ".ci" / "mutants_worker.py"],
            cwd=self.copy,
            env=os.environ | one | {"CI": "true", "PYTHONPATH": str(self.copy)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def run(self, chosen: list[str], wall: float, **options: Any) -> dict[str, Any]:
        """Pass tests; see mutants_worker.py for the options and the answer."""
        assert self._process.stdin
        assert self._process.stdout
        files = {each: str(FOLDER / f"worker-{self.number}.{each}") for each in ("log", "record")}
        defaults = {"costs": {}, "left_out": [], "first": "", "broken": False, "most": float("inf")}
        self._process.stdin.write(json.dumps(files | defaults | options | {"tests": chosen, "wall": wall}) + "\n")
        self._process.stdin.flush()
        answer: dict[str, Any] = json.loads(self._process.stdout.readline())
        if answer["code"] == 70:
            sys.exit(f"the tests imported modules that are not of {self.copy}")
        return answer

    @contextmanager
    def broken(self, mutant: Mutant, code: str) -> Iterator[None]:
        """Have a mutant in the copy."""
        path = self.copy / mutant.file
        source, stamp = path.read_text(encoding="utf-8"), path.stat().st_mtime
        path.write_text(code, encoding="utf-8")
        # Python takes a compiled file for up to date by its second and its size.
        os.utime(path, (stamp, stamp + 1000))
        try:
            yield
        finally:
            path.write_text(source, encoding="utf-8")
            os.utime(path, (stamp, stamp))

    def close(self) -> None:
        """End the process."""
        assert self._process.stdin
        self._process.stdin.close()
        self._process.wait()


def copy(origin: Path, folder: Path) -> None:
    """Bring a copy of the checkout up to date."""
    names = set(tracked())
    for path in [each for each in folder.rglob("*") if each.is_file() and "__pycache__" not in each.parts]:
        if str(path.relative_to(folder)) not in names:
            path.unlink()
    for name in names:
        source, target = origin / name, folder / name
        if not target.exists() or target.read_bytes() != source.read_bytes():
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, target)


@dataclass
class Known:
    """What is known of a package's tests.

    Attributes:
        of: a hash of what it depends on.
        costs: seconds of processor time of those that were measured, and passed.
        failing: those that fail without a mutant.
    """

    of: str
    costs: dict[str, float]
    failing: list[str]


class Survey:
    """Mutants in turn, and what is known of them.

    Args:
        packages: whose mutants.
        seed: says which come first.
        most: seconds of processor time for the tests of a package.
    """

    def __init__(self, packages: list[str], seed: int, most: float) -> None:
        self.packages, self.seed, self.most = packages, seed, most
        self.results: dict[str, dict[str, Any]] = {}
        self._kept, self._lock = FOLDER / "results.jsonl", Lock()
        for line in self._kept.read_text(encoding="utf-8").splitlines() if self._kept.exists() else ():
            result = json.loads(line)
            self.results[result["key"]] = result
        self._measuring = {package: Lock() for package in packages}

    def _turns(self) -> Iterator[Mutant]:
        """Mutants of all packages, one of each in turn."""
        queues = {package: iter(mutants(package, self.seed)) for package in self.packages}
        while queues:
            for package in list(queues):
                if mutant := next(queues[package], None):
                    yield mutant
                else:
                    del queues[package]

    def run(self, deadline: float, jobs: int) -> None:
        """Try mutants until the time is up."""
        FOLDER.mkdir(parents=True, exist_ok=True)
        turns = self._turns()

        def work(number: int) -> None:
            worker = Worker(number)
            while time.monotonic() < deadline:
                with self._lock:
                    mutant = next((each for each in turns if not self._known(each)), None)
                if mutant is None:
                    break
                self._try(worker, mutant, deadline)
            worker.close()

        if time.monotonic() >= deadline:
            return
        with ThreadPoolExecutor(jobs) as pool:
            for done in [pool.submit(work, number) for number in range(jobs)]:
                done.result()

    def _known(self, mutant: Mutant) -> bool:
        """Whether nothing has changed that a result depends on."""
        result = self.results.get(mutant.key)
        if not result or result["outcome"] != "survived":
            return bool(result)
        return bool(result["tests"] == _content(mutant.package) and result["most"] >= self.most)

    def _try(self, worker: Worker, mutant: Mutant, deadline: float) -> None:
        code = mutated(mutant)
        if code is None:
            self._keep(mutant, "same program", "", 0.0, "")
            return
        known = self._measured(worker, mutant.package, deadline)
        if known is None:
            return
        with worker.broken(mutant, code):
            answers = list(self._meet(worker, mutant, known, deadline))
        if time.monotonic() >= deadline:
            return
        last = answers[-1]
        noticed = last["code"] not in _PASSED
        if noticed and len(answers) == 2:
            noticed = self._passes(worker, mutant.package, last["test"], known, deadline)
        new = code.splitlines()[mutant.line - 1].strip()
        seconds = sum(answer["seconds"] for answer in answers)
        self._keep(mutant, "killed" if noticed else "survived", new, seconds, last["test"] if noticed else "")

    def _meet(self, worker: Worker, mutant: Mutant, known: Known, deadline: float) -> Iterator[dict[str, Any]]:
        """Pass the tests that were measured, and then the others."""
        chosen = tests(mutant.package)
        answer = worker.run(chosen, deadline - time.monotonic(), costs=known.costs, broken=True)
        yield answer
        if answer["code"] in _PASSED:
            others = {"left_out": [*known.costs, *known.failing], "first": f"test_{Path(mutant.file).name}"}
            yield worker.run(chosen, deadline - time.monotonic(), broken=True, most=_OTHERS * self.most, **others)

    def _passes(self, worker: Worker, package: str, test: str, known: Known, deadline: float) -> bool:
        """Whether a test passes without a mutant; what is found is kept."""
        answer = worker.run([test], deadline - time.monotonic())
        known.costs |= answer["costs"]
        known.failing += [test] if test not in answer["costs"] else []
        self._write(package, known)
        return test in answer["costs"]

    def _keep(self, mutant: Mutant, outcome: str, new: str, seconds: float, test: str) -> None:
        """Keep a result."""
        result = {"key": mutant.key, **asdict(mutant), "new": new, "outcome": outcome, "test": test}
        result |= {"seconds": round(seconds, 2), "tests": _content(mutant.package), "most": self.most}
        with self._lock:
            self.results[mutant.key] = result
            with self._kept.open("a", encoding="utf-8") as file:
                file.write(json.dumps(result) + "\n")
        if new:
            print(f"{outcome:8} {mutant.file}:{mutant.line} {mutant.operator} {seconds:.1f} s", flush=True)

    def _measured(self, worker: Worker, package: str, deadline: float) -> Known | None:
        """What is known of a package's tests: measured once, and after a change; None if the time is up."""
        path = self._path(package)
        with self._measuring[package]:
            wanted = digest(_content(package), *map(text, sources()[package]), str(self.most))
            if path.exists() and (kept := json.loads(path.read_text()))["of"] == wanted:
                return Known(**kept)
            most = (1 - _OTHERS) * self.most
            answer = worker.run(tests(package), deadline - time.monotonic(), most=most)
            if answer["code"] == -1 and time.monotonic() >= deadline:
                return None
            if not answer["costs"]:
                sys.exit(f"no test of {package} passes without a mutant: see {FOLDER}/worker-{worker.number}.log")
            known = Known(wanted, answer["costs"], answer["failed"])
            for test in known.failing:
                print(f"fails without a mutant, and is left out: {test}", flush=True)
            print(f"{package}: {len(known.costs)} tests, {sum(known.costs.values()):.1f} s", flush=True)
            self._write(package, known)
            return known

    def _write(self, package: str, known: Known) -> None:
        path = self._path(package)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(asdict(known), indent=1))

    @staticmethod
    def _path(package: str) -> Path:
        return FOLDER / "costs" / f"{package.replace('/', '-')}.json"

    def report(self) -> str:
        """The killed share by package, and the mutants that survived."""
        excused = _equivalents()
        current = {name: digest(text(name)) for each in self.packages for name in sources()[each]}
        by_package: dict[str, Counter[str]] = {package: Counter() for package in self.packages}
        survivors, seconds = [], 0.0
        for result in self.results.values():
            if result["digest"] != current.get(result["file"]) or result["outcome"] == "same program":
                continue
            outcome = result["outcome"]
            seconds += result["seconds"]
            if outcome == "survived" and (result["file"], result["where"], result["old"], result["new"]) in excused:
                outcome = "equivalent"
            by_package[result["package"]][outcome] += 1
            if outcome == "survived":
                survivors.append(result)
        rows = [*by_package.items(), *((f"all of {top}", _total(by_package, top)) for top in ("theory", "numerics"))]
        lines = [f"{'package':24} killed  of  share  {CONFIDENCE:.0%} interval  equivalent"]
        lines += [_row(package, counts) for package, counts in rows if counts]
        lines += [f"{seconds / 3600:.2f} hours of processor time, without measuring what tests take"]
        for each in sorted(survivors, key=lambda r: (r["file"], r["line"])):
            lines += ["", f"{each['file']}:{each['line']} in {each['where'] or 'the module'}"]
            lines += [f"  - {each['old']}", f"  + {each['new']}"]
        return "\n".join(lines) + "\n"


@cache
def _content(package: str) -> str:
    """A hash of the tests that a package's mutants meet."""
    return digest(*(text(name.partition("::")[0]) for name in tests(package)))


def _equivalents() -> set[tuple[str, str, str, str]]:
    """The mutants that no test can kill: file, function, the line, and what stands there instead."""
    table = tomllib.loads(EQUIVALENT.read_text(encoding="utf-8")) if EQUIVALENT.exists() else {}
    return {(each["file"], each["where"], each["old"], each["new"]) for each in table.get("equivalent", [])}


def _total(by_package: dict[str, Counter[str]], top: str) -> Counter[str]:
    """The counts of theory, or of numerics."""
    return sum((counts for package, counts in by_package.items() if package.split("/")[0] == top), Counter())


def _row(package: str, counts: Counter[str]) -> str:
    """A line of the table."""
    killed, tried = counts["killed"], counts["killed"] + counts["survived"]
    low, high = wilson(killed, tried)
    share = f"{killed / tried:5.0%}" if tried else "    -"
    return f"{package:24} {killed:6} {tried:3}  {share}  {low:6.0%} to {high:4.0%}  {counts['equivalent']:10}"


def wilson(killed: int, tried: int) -> tuple[float, float]:
    """Wilson's interval of a share."""
    if not tried:
        return 0.0, 1.0
    z2 = NormalDist().inv_cdf((1 + CONFIDENCE) / 2) ** 2
    middle = (killed + z2 / 2) / (tried + z2)
    half = (z2 * (killed * (tried - killed) / tried + z2 / 4)) ** 0.5 / (tried + z2)
    return max(0.0, middle - half), min(1.0, middle + half)


if __name__ == "__main__":
    sys.exit(main())
