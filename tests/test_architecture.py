"""The repository polices itself: floors, exactness, no evaluated text, no leaks of the machine.

Each rule is a function from a parsed module to the complaints about it.  It is run over the
repository, and over snippets made to break it, so that no rule can pass by never firing.
"""

from __future__ import annotations

import ast
import importlib
import re
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import pytest
from packaging.markers import Marker
from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parent.parent
FLOORS = ("theory", "numerics", "deqverify", "scripts")
#: The packages of a floor by level: each imports from lower levels only, and siblings never import each other.
LEVELS = {
    "theory": (
        {"symbols", "functions", "kernels", "named"},
        {"grammar", "analysis"},
        {"activations"},
        {"moments"},
        {"equations"},
        {"matching", "claims", "latex"},
    ),
    "numerics": (
        {"arrays", "parameters", "budget", "memory", "named", "display"},
        {"arithmetic", "linalg", "records"},
        {"data", "moments"},
        {"equilibrium", "kernels", "networks", "equivalents"},
        {"matching", "spectrum"},
        {"experiments", "learning"},
        {"released"},
        {"ledger", "publish"},
    ),
}

Complaints = Iterator[str]
Rule = Callable[[ast.Module, str], Complaints]


def _floor_files() -> list[str]:
    return [path.relative_to(ROOT).as_posix() for floor in FLOORS for path in sorted((ROOT / floor).rglob("*.py"))]


def _test_files() -> list[str]:
    return [path.relative_to(ROOT).as_posix() for path in sorted((ROOT / "tests").rglob("*.py"))]


@cache
def _parse(name: str) -> ast.Module:
    return ast.parse((ROOT / name).read_text(encoding="utf-8"), filename=name)


def _floor(name: str) -> str:
    return name.split("/", 1)[0]


def _dotted(node: ast.expr) -> str:
    """Return "np.random.rand" for such an expression and "" for anything but names and dots."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        head = _dotted(node.value)
        return f"{head}.{node.attr}" if head else ""
    return ""


def _imports(tree: ast.Module, name: str) -> Iterator[tuple[int, str]]:
    """Yield line and absolute dotted name of every import, those inside functions included."""
    package = name.removesuffix(".py").split("/")[:-1]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            # One leading dot is the module's own package, each further one a level up.
            kept = len(package) - node.level + 1
            base = package[: max(kept, 0)] if node.level else []
            stem = [*base, *([node.module] if node.module else [])]
            yield from ((node.lineno, ".".join([*stem, alias.name])) for alias in node.names)


# --- the rules -----------------------------------------------------------------------------------


def imports_go_down(tree: ast.Module, name: str) -> Complaints:
    floor = _floor(name)
    forbidden = {
        "theory": {"numerics", "deqverify", "scripts", "tests"},
        "numerics": {"deqverify", "scripts", "tests"},
        "deqverify": {"scripts", "tests"},
        "scripts": {"tests"},
    }[floor]
    for line, module in _imports(tree, name):
        top = module.split(".")[0]
        if top in forbidden:
            yield f"{name}:{line}: {floor} must not import {module}"
        elif floor == "theory" and top not in {"sympy", "theory", *sys.stdlib_module_names}:
            yield f"{name}:{line}: theory imports SymPy and the standard library, not {module}"


def _level(module: str) -> int | None:
    """The level of a module's package on its floor, or None where the floor has no levels or it is a floor itself."""
    floor, *rest = module.split(".")
    return next((k for k, names in enumerate(LEVELS.get(floor, ())) if rest and rest[0] in names), None)


def imports_keep_levels(tree: ast.Module, name: str) -> Complaints:
    floor = _floor(name)
    if floor not in LEVELS or name == f"{floor}/__init__.py":
        return
    own = name.removesuffix(".py").split("/")[1]
    level = _level(f"{floor}.{own}")
    if level is None:
        yield f"{name}: {own} has no place in the table of levels"
        return
    for line, module in _imports(tree, name):
        parts = module.split(".")
        if parts[0] == floor and len(parts) > 1 and parts[1] != own:
            other = _level(module)
            if other is None or other >= level:
                yield f"{name}:{line}: {floor}.{own} must not import {module}, which is not on a lower level"


def packages_are_entered_by_their_facades(tree: ast.Module, name: str) -> Complaints:
    """Other packages import a package, not its files."""
    own = name.split("/")[:2]
    for line, module in _imports(tree, name):
        parts = module.split(".")
        if parts[0] not in LEVELS or parts[:2] == own:
            continue
        for length in range(3, len(parts)):
            if (ROOT / "/".join(parts[:length])).with_suffix(".py").is_file():
                package, file = ".".join(parts[: length - 1]), ".".join(parts[:length])
                yield f"{name}:{line}: import from {package}, not from its file {file}"


def theory_is_exact(tree: ast.Module, name: str) -> Complaints:
    if _floor(name) != "theory":
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, float | complex):
            yield f"{name}:{node.lineno}: {node.value} is a float: use sp.Rational"


_EVALUATORS = {"eval", "exec", "sympify", "parse_expr"}


def text_is_never_evaluated(tree: ast.Module, name: str) -> Complaints:
    """Reject eval, exec, sympify and parse_expr, called, passed on or imported.

    `eval` as an attribute is a hook of SymPy's function classes and evaluates no text, so only
    `builtins.eval` counts there.
    """
    for line, module in _imports(tree, name):
        if module.rsplit(".", 1)[-1] in _EVALUATORS:
            yield f"{name}:{line}: {module} evaluates text as code"
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
            found = node.id
        elif isinstance(node, ast.Attribute):
            is_hook = node.attr in {"eval", "exec"} and _dotted(node.value) != "builtins"
            found = "" if is_hook else node.attr
        else:
            continue
        if found in _EVALUATORS:
            yield f"{name}:{node.lineno}: {found} evaluates text as code"


def only_scripts_print(tree: ast.Module, name: str) -> Complaints:
    if _floor(name) == "scripts" or name.startswith("deqverify/commands/"):
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and _dotted(node.func) in {"print", "builtins.print"}:
            yield f"{name}:{node.lineno}: only scripts print"


def errors_are_named(tree: ast.Module, name: str) -> Complaints:
    for node in ast.walk(tree):
        if not isinstance(node, ast.ExceptHandler):
            continue
        if node.type is None:
            yield f"{name}:{node.lineno}: bare except"
            continue
        caught = node.type.elts if isinstance(node.type, ast.Tuple) else [node.type]
        for kind in caught:
            if _dotted(kind).removeprefix("builtins.") in {"Exception", "BaseException"}:
                yield f"{name}:{node.lineno}: name the errors meant, not {_dotted(kind)}"


def modules_say_what_they_offer(tree: ast.Module, name: str) -> Complaints:
    if ast.get_docstring(tree) is None:
        yield f"{name}: no module docstring"
    # A script is run, not imported.
    if _floor(name) == "scripts" and not name.rsplit("/", 1)[1].startswith("_"):
        return
    # A package's __init__ of nothing but a docstring offers nothing.
    if name.endswith("/__init__.py") and len(tree.body) == 1:
        return
    assigned = {
        target.id
        for node in tree.body
        if isinstance(node, ast.Assign | ast.AnnAssign)
        for target in (node.targets if isinstance(node, ast.Assign) else [node.target])
        if isinstance(target, ast.Name)
    }
    if "__all__" not in assigned:
        yield f"{name}: no __all__"


_GENERATORS = {
    "BitGenerator", "Generator", "MT19937", "PCG64", "PCG64DXSM", "Philox", "SFC64",
    "SeedSequence", "default_rng",
}  # fmt: skip


def randomness_is_passed_in(tree: ast.Module, name: str) -> Complaints:
    """Reject the global random states, and generators seeded from the clock."""
    for line, module in _imports(tree, name):
        parts = module.split(".")
        if parts[0] == "random":
            yield f"{name}:{line}: random is global state: pass a numpy.random.Generator"
        elif parts[:2] == ["numpy", "random"] and len(parts) > 2 and parts[2] not in _GENERATORS:
            yield f"{name}:{line}: {module} is global state: pass a numpy.random.Generator"
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            dotted = _dotted(node)
            if re.fullmatch(r"(np|numpy)\.random\.\w+", dotted) and node.attr not in _GENERATORS:
                yield f"{name}:{node.lineno}: {dotted} is global state: pass a Generator"
        elif (
            isinstance(node, ast.Call)
            and _dotted(node.func).rsplit(".", 1)[-1] in {"default_rng", "SeedSequence"}
            and not node.args
            and not node.keywords
        ):
            yield f"{name}:{node.lineno}: a generator without a seed cannot be had again"


RULES: tuple[Rule, ...] = (
    imports_go_down,
    imports_keep_levels,
    packages_are_entered_by_their_facades,
    theory_is_exact,
    text_is_never_evaluated,
    only_scripts_print,
    errors_are_named,
    modules_say_what_they_offer,
    randomness_is_passed_in,
)

# --- rules about text, not syntax ----------------------------------------------------------------

# Assembled so that this file does not contain what it looks for.
_MACHINE_PATH = re.compile(r"(?<![\w.:/~*-])/(?:" + "|".join(["work", "home", "root", "tmp"]) + r")(?![\w-])")


def machine_paths(text: str) -> list[str]:
    return [
        f"line {number}: {line.strip()[:80]}"
        for number, line in enumerate(text.splitlines(), start=1)
        if _MACHINE_PATH.search(line)
    ]


def _tracked_files() -> list[str]:
    """Files of the repository: git's view, or everything outside .venv and the like."""
    try:
        listing = subprocess.run(
            ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
            cwd=ROOT, check=True, capture_output=True, text=True,
        ).stdout  # fmt: skip
        names = [name for name in listing.split("\0") if name]
    except (OSError, subprocess.CalledProcessError):
        names = [
            path.relative_to(ROOT).as_posix()
            for path in ROOT.rglob("*")
            if not any(part.startswith(".") or part == "__pycache__" for part in path.relative_to(ROOT).parts[:-1])
        ]
    return [name for name in sorted(names) if (ROOT / name).is_file()]


def _text_of(name: str) -> str | None:
    try:
        return (ROOT / name).read_text(encoding="utf-8")
    except UnicodeDecodeError:
        return None


# --- the lock ------------------------------------------------------------------------------------


def locked_versions(lock: str) -> list[tuple[str, str, Marker | None]]:
    """Return name, version and marker of each pin of a lock with hashes."""
    pins = []
    for line in lock.splitlines():
        if line and line[0] not in "# ":
            requirement = Requirement(line.rstrip("\\ "))
            (pin,) = requirement.specifier
            assert pin.operator == "=="
            pins.append((requirement.name.lower(), pin.version, requirement.marker))
    return pins


def unmet(required: list[str], lock: str) -> list[str]:
    """Requirements that some pin of the lock does not meet, or that the lock leaves out."""
    pins = locked_versions(lock)
    missing = []
    for text in required:
        requirement = Requirement(text)
        versions = [version for name, version, _ in pins if name == requirement.name.lower()]
        if not versions or not all(requirement.specifier.contains(v) for v in versions):
            missing.append(text)
    return missing


# --- over the repository -------------------------------------------------------------------------


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_repository_keeps_rule(rule: Rule) -> None:
    files = _floor_files()
    assert {_floor(name) for name in files} >= {"theory", "numerics"}
    assert [complaint for name in files for complaint in rule(_parse(name), name)] == []


def test_packages_have_what_they_offer() -> None:
    packages = [name for name in _floor_files() if name.endswith("/__init__.py") and not name.startswith("scripts/")]
    assert len(packages) > 20
    for name in packages:
        package = importlib.import_module(name.removesuffix("/__init__.py").replace("/", "."))
        assert [offered for offered in getattr(package, "__all__", ()) if not hasattr(package, offered)] == [], name


def test_no_machine_paths() -> None:
    names = _tracked_files()
    assert "pyproject.toml" in names
    texts = ((name, _text_of(name)) for name in names)
    assert [f"{name}: {found}" for name, text in texts if text for found in machine_paths(text)] == []


def test_lock_meets_project() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    required = [
        *project["build-system"]["requires"],
        *project["project"]["dependencies"],
        *(r for extra in project["project"]["optional-dependencies"].values() for r in extra),
        *(r for group in project["dependency-groups"].values() for r in group),
    ]
    assert unmet(required, (ROOT / "requirements.lock").read_text(encoding="utf-8")) == []


# --- each rule fires -----------------------------------------------------------------------------

GOOD = '''"""A module."""
from __future__ import annotations

__all__ = ["half"]


def half() -> int:
    return 1
'''

BAD: list[tuple[Rule, str, str]] = [
    (imports_go_down, "theory/a.py", "import numerics"),
    (imports_go_down, "theory/a.py", "from numerics.moments.digits import enclose"),
    (imports_go_down, "theory/a.py", "def f():\n    import numpy as np"),
    (imports_go_down, "theory/a.py", "from mpmath import mp"),
    (imports_go_down, "theory/a.py", "import flint"),
    (imports_go_down, "theory/sub/a.py", "from ... import numerics"),
    (imports_go_down, "numerics/a.py", "from scripts.verify import main"),
    (imports_go_down, "numerics/a.py", "import tests.conftest"),
    (imports_go_down, "scripts/a.py", "import tests"),
    (imports_go_down, "numerics/a.py", "import deqverify"),
    (imports_keep_levels, "theory/grammar/a.py", "from theory.equations import b"),
    (imports_keep_levels, "theory/matching/a.py", "from theory.claims import b"),
    (imports_keep_levels, "numerics/kernels/a.py", "def f():\n    from numerics.equilibrium import solve"),
    (imports_keep_levels, "numerics/arrays.py", "from numerics import linalg"),
    (imports_keep_levels, "numerics/attic/a.py", "a = 1"),
    (packages_are_entered_by_their_facades, "numerics/ledger/a.py", "from numerics.data.mixture import draw"),
    (packages_are_entered_by_their_facades, "deqverify/a.py", "from theory.equations.deq import tau_equation"),
    (theory_is_exact, "theory/a.py", "a = 0.5"),
    (theory_is_exact, "theory/a.py", "a = 1e-9 * b"),
    (theory_is_exact, "theory/a.py", "a = 2j"),
    (text_is_never_evaluated, "scripts/a.py", "eval(text)"),
    (text_is_never_evaluated, "scripts/a.py", "run = exec"),
    (text_is_never_evaluated, "numerics/a.py", "import builtins\nbuiltins.eval(text)"),
    (text_is_never_evaluated, "theory/a.py", "sp.sympify(text)"),
    (text_is_never_evaluated, "theory/a.py", "from sympy import sympify as s"),
    (text_is_never_evaluated, "theory/a.py", "from sympy.parsing.sympy_parser import parse_expr"),
    (only_scripts_print, "numerics/a.py", "print(1)"),
    (only_scripts_print, "theory/a.py", "def f():\n    print()"),
    (errors_are_named, "scripts/a.py", "try:\n    f()\nexcept:\n    pass"),
    (errors_are_named, "numerics/a.py", "try:\n    f()\nexcept Exception:\n    pass"),
    (errors_are_named, "scripts/a.py", "try:\n    f()\nexcept (OSError, BaseException):\n    g()"),
    (modules_say_what_they_offer, "theory/a.py", '__all__ = ["a"]'),
    (modules_say_what_they_offer, "theory/a.py", '"""Text."""\na = 1'),
    (modules_say_what_they_offer, "theory/__init__.py", '"""Text."""\nfrom theory.a import b'),
    (randomness_is_passed_in, "numerics/a.py", "np.random.seed(0)"),
    (randomness_is_passed_in, "numerics/a.py", "draw = numpy.random.standard_normal"),
    (randomness_is_passed_in, "numerics/a.py", "from numpy.random import randn"),
    (randomness_is_passed_in, "scripts/a.py", "import random"),
    (randomness_is_passed_in, "scripts/a.py", "rng = np.random.default_rng()"),
]  # fmt: skip


@pytest.mark.parametrize(("rule", "name", "source"), BAD)
def test_rule_fires(rule: Rule, name: str, source: str) -> None:
    assert list(rule(ast.parse(source), name))


def test_every_rule_has_a_snippet_that_breaks_it() -> None:
    assert {rule for rule, _, _ in BAD} == set(RULES)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
@pytest.mark.parametrize("folder", ["theory/analysis", "numerics/linalg", "deqverify", "scripts"])
def test_rule_lets_a_good_module_pass(rule: Rule, folder: str) -> None:
    assert list(rule(ast.parse(GOOD), f"{folder}/a.py")) == []


@pytest.mark.parametrize(
    ("rule", "name", "source"),
    [
        (imports_go_down, "theory/a.py", "from theory.symbols import x\nfrom . import symbols"),
        (imports_go_down, "numerics/a.py", "import numpy as np\nfrom theory import symbols"),
        (imports_go_down, "scripts/a.py", "import numerics.kernels\nimport theory.symbols"),
        (
            imports_keep_levels,
            "numerics/equilibrium/a.py",
            "from numerics.moments import b\nfrom numerics import budget",
        ),
        (imports_keep_levels, "theory/__init__.py", "from theory.claims import b"),
        (
            packages_are_entered_by_their_facades,
            "numerics/data/a.py",
            "from numerics.data.mixture import GaussianMixture",
        ),
        (packages_are_entered_by_their_facades, "numerics/data/a.py", "from theory.kernels import Kernel"),
        (packages_are_entered_by_their_facades, "numerics/ledger/a.py", "from numerics.data import GaussianMixture"),
        (theory_is_exact, "numerics/a.py", "a = 0.5"),
        (text_is_never_evaluated, "theory/a.py", "class f(sp.Function):\n    def eval(cls): ..."),
        (only_scripts_print, "scripts/a.py", "print(1)"),
        (errors_are_named, "numerics/a.py", "try:\n    f()\nexcept ValueError:\n    pass"),
        (modules_say_what_they_offer, "theory/__init__.py", '"""Text."""'),
        (randomness_is_passed_in, "numerics/a.py", "def f(rng: np.random.Generator): rng.normal()"),
        (randomness_is_passed_in, "scripts/a.py", "rng = np.random.default_rng(seed)"),
    ],
)
def test_rule_allows(rule: Rule, name: str, source: str) -> None:
    assert list(rule(ast.parse(source), name)) == []


@pytest.mark.parametrize("top", ["work", "home", "root", "tmp"])
@pytest.mark.parametrize("frame", ["see /{}/notes", 'Path("/{}")', "PATH=/{}:/bin", "(/{})"])
def test_machine_paths_are_found(top: str, frame: str) -> None:
    assert machine_paths("fine\n" + frame.format(top)) != []


@pytest.mark.parametrize("text", ["1/{}", "https://a.b/{}", "a/{}/b", "/{}s", "./{}/x"])
def test_other_slashes_are_not_machine_paths(text: str) -> None:
    assert machine_paths(text.format("root")) == []


@pytest.mark.parametrize("change", ["mpmath.mp.dps = 50", "mpmath.iv.prec = 99", "flint.ctx.dps = 50"])
def test_changed_precision_is_found(change: str, tmp_path: Path) -> None:
    (tmp_path / "conftest.py").write_text((ROOT / "tests" / "conftest.py").read_text("utf-8"))
    (tmp_path / "test_it.py").write_text(
        f"import flint, mpmath\ndef test_leak(): {change}\n"
        "def test_next(): assert mpmath.mp.prec == mpmath.iv.prec == flint.ctx.prec == 53\n"
    )
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-p", "no:xdist", "."],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert "left a changed precision behind" in done.stdout
    assert "2 passed, 1 error" in done.stdout


def test_unmet_requirements_are_found() -> None:
    lock = "a==1.5 \\\n    --hash=sha256:00\nb==2.0 ; python_version < '3.12'\nb==3.0\n"
    assert unmet(["a>=1", "b>=2"], lock) == []
    assert unmet(["a>=2", "b<3", "c"], lock) == ["a>=2", "b<3", "c"]
