"""Public docstrings say what a caller needs: the errors that are raised, and the shapes of arrays."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
MODULES = [path for floor in ("theory", "numerics") for path in sorted((ROOT / floor).rglob("*.py"))]

_ARRAY = re.compile(r"\b(?:Array|ArrayLike|NDArray)\b")
#: What says of an argument or a field that it is an array, or of which shape.
_SHAPE = re.compile(r"\((?:[A-Za-z0-9+* ]+,)|\barrays?\b|shape")
#: Hooks of SymPy's classes, documented there.
_HOOKS = {"eval", "fdiff"}


def _public(tree: ast.Module) -> Iterator[tuple[str, ast.FunctionDef | ast.ClassDef]]:
    """What a module offers, with the public methods of its classes."""
    names: set[str] | None = None
    for node in tree.body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            names = set(ast.literal_eval(node.value))
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and (names is None or node.name in names):
            yield node.name, node
            methods = node.body if isinstance(node, ast.ClassDef) else []
            for method in methods:
                if isinstance(method, ast.FunctionDef) and not method.name.startswith("_"):
                    yield f"{node.name}.{method.name}", method


def _own_nodes(function: ast.FunctionDef) -> Iterator[ast.AST]:
    """The nodes of a function without those of functions inside it."""
    waiting: list[ast.AST] = list(function.body)
    while waiting:
        node = waiting.pop()
        yield node
        if not isinstance(node, ast.FunctionDef | ast.Lambda):
            waiting += ast.iter_child_nodes(node)


def _raised(function: ast.FunctionDef) -> set[str]:
    found = set()
    for node in _own_nodes(function):
        if isinstance(node, ast.Raise) and node.exc is not None:
            raised = node.exc.func if isinstance(node.exc, ast.Call) else node.exc
            found.add(ast.unparse(raised).rpartition(".")[2])
    # One that is caught and raised again has a small letter.
    return {name for name in found if name[0].isupper()} - {"NotImplementedError"}


def _section(text: str, name: str) -> str:
    """What a docstring says of one argument or field."""
    found = re.search(rf"^ *{name}: (.*?)(?=^ *\w+:|\Z)", text, re.MULTILINE | re.DOTALL)
    return found[1] if found else ""


def gaps(path: Path, source: str) -> list[str]:
    """What is missing in the docstrings of a module."""
    found = []
    for name, node in _public(ast.parse(source)):
        text = ast.get_docstring(node) or ""
        if isinstance(node, ast.FunctionDef):
            if not text and node.name not in _HOOKS and not name.startswith("Bounds."):
                found.append(f"{path}: {name} has no docstring")
            missing = [each for each in _raised(node) if each not in text]
            if missing and not re.search(r"\b[Rr]aise", text):
                found.append(f"{path}: {name} raises {', '.join(missing)}")
            arguments = [*node.args.args, *node.args.kwonlyargs]
            typed = [(each.arg, each.annotation) for each in arguments]
        else:
            fields = [each for each in node.body if isinstance(each, ast.AnnAssign)]
            typed = [(ast.unparse(each.target), each.annotation) for each in fields]
        for argument, annotation in typed:
            is_array = annotation is not None and _ARRAY.search(ast.unparse(annotation))
            if is_array and "Callable" not in ast.unparse(annotation) and not argument.startswith("_"):  # type: ignore[arg-type]
                said = _section(text, argument) if re.search(r"^ *(?:Args|Attributes):", text, re.MULTILINE) else text
                if not _SHAPE.search(said):
                    found.append(f"{path}: {name} does not say the shape of {argument}")
    return found


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_public_docstrings_are_whole(path: Path) -> None:
    assert gaps(path.relative_to(ROOT), path.read_text("utf-8")) == []


def test_gaps_are_found() -> None:
    source = '''
__all__ = ["f", "g", "h"]

def f(x: Array) -> None:
    """Do something."""
    raise ValueError("no")

def g(x: Array, y: Array) -> None:
    """Do something.

    Args:
        x: (n,) array.
        y: another.

    Raises:
        ValueError: always.
    """
    raise ValueError("no")

def h():
    pass

def hidden(x: Array):
    pass
'''
    assert gaps(Path("m.py"), source) == [
        "m.py: f raises ValueError",
        "m.py: f does not say the shape of x",
        "m.py: g does not say the shape of y",
        "m.py: h has no docstring",
    ]
