"""Holds what commands write as JSON against the published schemas."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any, NoReturn

from jsonschema import Draft202012Validator

from deqverify.commands._schemas import schema_names, schema_text

__all__ = ["check_record", "check_written", "validator"]


@cache
def validator(name: str) -> Draft202012Validator:
    """The validator of a schema, which is one itself."""
    schema = json.loads(schema_text(name))
    Draft202012Validator.check_schema(schema)
    return Draft202012Validator(schema)


def _refuse(token: str) -> NoReturn:
    raise AssertionError(f"{token} is no JSON")


def check_record(text: str) -> dict[str, Any]:
    """The record in a JSON text, which must be as the schema it names says, without NaN or Infinity."""
    record: dict[str, Any] = json.loads(text, parse_constant=_refuse)
    name = record["schema"]
    assert name in schema_names()
    assert next(iter(record)) == "schema"
    complaints = [f"{error.json_path}: {error.message[:300]}" for error in validator(name).iter_errors(record)]
    assert not complaints, "\n".join([f"not as deqverify/schemas/{name}.json says:", *complaints])
    return record


def check_written(arguments: Sequence[str], printed: str, folder: Path) -> None:
    """Check what a run wrote for --json, if it did."""
    if "--json" not in arguments:
        return
    target = arguments[arguments.index("--json") + 1]
    path = folder / target
    if target == "-":
        check_record(printed)
    elif path.is_file() and path.stat().st_size:
        check_record(path.read_text(encoding="utf-8"))
