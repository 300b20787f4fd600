"""The published schemas of what ``--json`` writes: JSON Schema, draft 2020-12, a file for each kind of record."""

from __future__ import annotations

from importlib.resources import files

__all__ = ["schema_names", "schema_text"]

_FOLDER = files("deqverify") / "schemas"


def schema_names() -> list[str]:
    """Return the names of all schemas; a record has its own under the key "schema"."""
    return sorted(each.name.removesuffix(".json") for each in _FOLDER.iterdir() if each.name.endswith(".json"))


def schema_text(name: str) -> str:
    """Return a schema as JSON.

    Args:
        name: one of ``schema_names()``.

    Raises:
        FileNotFoundError: there is no such schema.
    """
    return (_FOLDER / f"{name}.json").read_text(encoding="utf-8")
