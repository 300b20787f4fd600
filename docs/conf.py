"""Sphinx configuration of the documentation site: the pages of docs/, and the reference from the docstrings.

The source folder is the repository's root, so that pages link to each other on the site as they do in the repository.
Formulas are set by a MathJax that is copied into the site: nothing is fetched to show them.
"""

from __future__ import annotations

import importlib
import re
from typing import Any

from deqverify import __version__

project = "deqverify"
author = "the deqverify authors"
copyright = author
version = release = __version__

extensions = [
    *("myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.viewcode"),
    "sphinx-mathjax-offline",
]
root_doc = "docs/index"
include_patterns = ["README.md", "CHANGELOG.md", "CONTRIBUTING.md", "docs/*.md", "docs/reference/*.rst"]
exclude_patterns = ["docs/_*"]
templates_path = ["_templates"]
default_role = "py:obj"
rst_prolog = ".. |colon| unicode:: 0x3A\n   :ltrim:\n"

myst_enable_extensions = ["dollarmath"]
myst_fence_as_directive = ["math"]
myst_heading_anchors = 4

autodoc_default_options = {"members": True, "show-inheritance": True}
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
autodoc_type_aliases = {name: name for name in ("Array", "ArrayLike", "Tau0Reading", "EntryLaw", "Errors")}
autodoc_member_order = "bysource"
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_ivar = True
napoleon_attr_annotations = False

html_theme = "furo"
html_title = "deqverify"
html_additional_pages = {"index": "redirect.html"}
html_show_sphinx = False

#: The packages and modules of the reference, each a page with what its ``__all__`` lists.
REFERENCE = {
    "deqverify": ["deqverify", "deqverify.results"],
    "theory": [
        *("theory.activations", "theory.analysis", "theory.claims", "theory.equations", "theory.functions"),
        *("theory.grammar", "theory.kernels", "theory.latex", "theory.matching", "theory.moments", "theory.named"),
        "theory.symbols",
    ],
    "numerics": [
        *("numerics.arithmetic", "numerics.arrays", "numerics.budget", "numerics.data", "numerics.display"),
        *("numerics.equilibrium", "numerics.equivalents", "numerics.experiments", "numerics.kernels"),
        *("numerics.learning", "numerics.ledger", "numerics.linalg", "numerics.matching", "numerics.memory"),
        "numerics.moments",
        *("numerics.networks", "numerics.parameters", "numerics.publish", "numerics.records", "numerics.released"),
        "numerics.spectrum",
    ],
}

_TREES = """

```{toctree}
:hidden:
:caption: Guide
getting-started
library
theory
activations
cells
ledger
spectra
learning
design
networks
real-data
latex
campaigns
certification
limits
architecture
```

```{toctree}
:hidden:
:caption: Reference
reference/deqverify
reference/theory
reference/numerics
```

```{toctree}
:hidden:
:caption: Project
../README
../CONTRIBUTING
../CHANGELOG
```
"""


# --- docstrings as reStructuredText -----------------------------------------------------------------------------------
_CODE = re.compile(r"(``.+?``|`[^`]+`)")
_SECTION = re.compile(r"(Args|Attributes|Example|Raises|Returns|Yields):$")
_OURS = re.compile(r"``((?:theory|numerics|deqverify)(?:\.\w+)+)``")


def _escaped(text: str) -> str:
    """A line whose stars, bars and hanging underscores mean themselves; names of ours become references."""
    parts = _CODE.split(text)
    parts[::2] = [re.sub(r"([*|\\])|_(?!\w)", lambda mark: "\\" + mark[0], part) for part in parts[::2]]
    return _OURS.sub(r"`\1`", "".join(parts))


def _prepare_docstring(app: Any, what: str, name: str, thing: Any, options: Any, lines: list[str]) -> None:
    """Write a docstring's plain text and indented formulas so that they are read as what they are."""
    found: list[str] = []
    section = formula = prompt = False
    for line in lines:
        text = line.strip()
        if text and line == text:
            # Back at the margin: a section begins, or plain text.
            section, formula = bool(_SECTION.match(line)), False
        elif text and not section and not formula and found and not found[-1].strip():
            found += ["::", ""]
            formula = True
        prompt = text.startswith(">>>") or (prompt and bool(text))
        found.append(line if prompt or formula else _escaped(line))
    if found and what in ("attribute", "data", "property"):
        # Napoleon would take what stands before a colon for the attribute's type.
        found[0] = found[0].replace(": ", " |colon| ")
    lines[:] = found


_ALIAS = re.compile(r"TypeAliasForwardRef\('(\w+)'\)")


def _prepare_signature(
    app: Any, what: str, name: str, thing: Any, options: Any, signature: str | None, returned: str | None
) -> tuple[str | None, str | None]:
    """Write the names of type aliases inside of other types as themselves."""
    return tuple(text and _ALIAS.sub(r"\1", text) for text in (signature, returned))  # type: ignore[return-value]


# --- references -------------------------------------------------------------------------------------------------------
def _skip_generated(app: Any, what: str, name: str, thing: Any, skip: bool, options: Any) -> bool | None:
    """Leave out what scikit-learn adds to every estimator, whose text refers to pages of its own."""
    return True if re.fullmatch(r"set_\w+_request", name) else None


def _homes() -> dict[str, str]:
    """Where what a module defines is documented: under the name of the package that offers it."""
    homes: dict[str, str] = {}
    # The front door last: what it hands on is documented where it comes from.
    for module in (module for modules in reversed(REFERENCE.values()) for module in modules):
        package = importlib.import_module(module)
        for name in package.__all__:
            thing = getattr(package, name)
            defined = getattr(thing, "__module__", None), getattr(thing, "__qualname__", None)
            if all(isinstance(part, str) for part in defined):
                home = homes.setdefault(".".join(map(str, defined)), f"{module}.{name}")
                homes[f"{module}.{name}"] = home
    return homes


_HOMES = _homes()


def _find_home(app: Any, env: Any, node: Any, content: Any) -> Any:
    """Resolve a name under the module that defines it, or a short name that one package alone offers."""
    target = node.get("reftarget", "")
    homes = {home for defined, home in _HOMES.items() if defined == target or home.endswith(f".{target}")}
    if node.get("refdomain") != "py" or len(homes) != 1:
        return None
    return env.get_domain("py").resolve_xref(env, node["refdoc"], app.builder, "obj", homes.pop(), node, content)


_FENCED = re.compile(r"(^```.*?^```\s*?$)", re.MULTILINE | re.DOTALL)
_NAMED = re.compile(r"(?<![`\w}])`((?:theory|numerics|deqverify)(?:\.\w+)+)`(?!`)")


def _prepare_page(app: Any, page: str, source: list[str]) -> None:
    """Make names of the library references, and list all pages at the end of the contents."""
    if page.startswith("docs/reference/"):
        return
    parts = _FENCED.split(source[0])
    parts[::2] = [_NAMED.sub(r"{py:obj}`\1`", part) for part in parts[::2]]
    source[0] = "".join(parts) + (_TREES if page == root_doc else "")


def setup(app: Any) -> None:
    """Connect what is above."""
    app.connect("autodoc-process-docstring", _prepare_docstring, priority=100)
    app.connect("autodoc-process-signature", _prepare_signature)
    app.connect("autodoc-skip-member", _skip_generated)
    app.connect("source-read", _prepare_page)
    app.connect("missing-reference", _find_home)
