"""A file of verdicts, as ``deqverify verify --json`` writes it, read back.

Nothing in the file is trusted: its size, keys and types are checked, and its claims must be those of this ledger.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import sympy as sp

from theory.claims import CLAIMS, VerdictKind
from theory.grammar import ActivationSyntaxError, parse_number

__all__ = ["Planted", "RecordedVerdict", "VerdictFile", "VerdictFileError", "read_verdicts"]

_SIZE_AT_MOST = 20_000_000
_MEGABYTE = 1_000_000
_NUMBER_BELOW = 1e12


class VerdictFileError(ValueError):
    """A file of verdicts that cannot be taken."""


@dataclass(frozen=True)
class RecordedVerdict:
    """One verdict of the file.

    Attributes:
        claim: identifier of the claim.
        subject: what it was checked on.
        kind: the verdict.
        as_expected: whether it is the one that a correct theory gets.
        evidence: a sentence with the figures that decide it.
    """

    claim: str
    subject: str
    kind: VerdictKind
    as_expected: bool
    evidence: str


@dataclass(frozen=True)
class Planted:
    """One wrong theory of the file: what it says, and how it fared.

    Attributes:
        identifier: its name.
        kernel: the kernel that it is about.
        description: what is wrong with it.
        refuted: whether the check saw that.
        witness: the functional that is furthest from 0.
        score: that functional's limit in standard errors.
        detectable: fraction of the error that would be seen, or None where none would.
        generated: whether it was made by changing a formula.
    """

    identifier: str
    kernel: str
    description: str
    refuted: bool
    witness: str
    score: float
    detectable: float | None
    generated: bool = False


@dataclass(frozen=True)
class VerdictFile:
    """A run of ``deqverify verify``.

    Attributes:
        sha256: of the file.
        version: of deqverify that made it.
        profile: how much work it was.
        seed: root seed.
        sigma_a2: exact variance of the recurrent weights.
        sigma_b2: exact variance of the input weights.
        verdicts: in the file's order.
        planted: the wrong theories, in the file's order.
    """

    sha256: str
    version: str
    profile: str
    seed: int
    sigma_a2: sp.Expr
    sigma_b2: sp.Expr
    verdicts: tuple[RecordedVerdict, ...]
    planted: tuple[Planted, ...]


class _Fields:
    """Takes typed values out of nested JSON; what is amiss is one sentence with the place of it."""

    def __init__(self, name: str) -> None:
        self._name = name

    def fail(self, complaint: str) -> NoReturn:
        raise VerdictFileError(f"{self._name}: {complaint}; give a file that deqverify verify --json wrote")

    def get(self, record: Any, key: str, kind: type | tuple[type, ...], place: str = "") -> Any:
        """Return record[key], which must be of a kind (a truth value is no number)."""
        where = f"{place}{key}"
        if not isinstance(record, dict) or key not in record:
            self.fail(f"{where} is missing")
        value = record[key]
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
            self.fail(f"{where} has the wrong type, {type(value).__name__}")
        return value

    def number(self, record: Any, key: str, place: str) -> float:
        try:
            value = float(self.get(record, key, (int, float), place))
        except OverflowError:
            value = math.inf
        if not abs(value) < _NUMBER_BELOW:
            self.fail(f"{place}{key} is not a number below {_NUMBER_BELOW:g}")
        return value

    def exact(self, record: Any, key: str, place: str) -> sp.Expr:
        try:
            return parse_number(self.get(record, key, str, place))
        except ActivationSyntaxError:
            self.fail(f"{place}{key} is not an exact number")


def read_verdicts(path: str) -> VerdictFile:
    """Read a file that ``deqverify verify --json`` wrote.

    Raises:
        VerdictFileError: it is too large, no such JSON, or about claims that this ledger does not have.
        OSError: it cannot be read.
    """
    fields = _Fields(path)
    with Path(path).open("rb") as file:
        data = file.read(_SIZE_AT_MOST + 1)
    if len(data) > _SIZE_AT_MOST:
        fields.fail(f"the file has more than {_SIZE_AT_MOST // _MEGABYTE} MB")
    try:
        record = json.loads(data)
    except (ValueError, RecursionError):
        # Not UTF-8, not JSON, a number of thousands of digits, or nested beyond reason.
        fields.fail("that is not valid JSON")
    if not isinstance(record, dict):
        fields.fail("that is not a JSON object")
    parameters = fields.get(record, "parameters", dict)
    if parameters.get("variant") is not None:
        fields.fail("that run asked about one variant, not about the ledger")
    _check_claims(fields, record)
    verdicts = tuple(_verdicts(fields, fields.get(record, "verdicts", list)))
    planted = tuple(_planted(fields, fields.get(record, "planted", list)))
    return VerdictFile(
        hashlib.sha256(data).hexdigest(),
        fields.get(fields.get(record, "versions", dict), "deqverify", str, "versions."),
        fields.get(fields.get(parameters, "profile", dict, "parameters."), "name", str, "parameters.profile."),
        fields.get(record, "seed", int),
        fields.exact(parameters, "sigma_a2", "parameters."),
        fields.exact(parameters, "sigma_b2", "parameters."),
        verdicts,
        planted,
    )


def _check_claims(fields: _Fields, record: Mapping[str, Any]) -> None:
    """The claims that were checked must read as those that the section prints."""
    stated = {}
    for position, each in enumerate(fields.get(record, "claims", list)):
        place = f"claims[{position}]."
        stated[fields.get(each, "id", str, place)] = fields.get(each, "latex", str, place)
    for position, each in enumerate(fields.get(record, "verdicts", list)):
        name = fields.get(each, "claim", str, f"verdicts[{position}].")
        if name not in CLAIMS:
            fields.fail(f"verdicts[{position}] is on {_quoted(name)}, which is no claim of this ledger")
        if stated.get(name) != CLAIMS[name].latex:
            fields.fail(f"the claim {name} is stated otherwise there than in this ledger")


def _quoted(text: str) -> str:
    """A name from the file for a sentence: printable and short."""
    return repr(text[:40])


def _verdicts(fields: _Fields, records: list[Any]) -> Iterator[RecordedVerdict]:
    kinds = {kind.value: kind for kind in VerdictKind}
    for position, each in enumerate(records):
        place = f"verdicts[{position}]."
        kind = fields.get(each, "verdict", str, place)
        if kind not in kinds:
            fields.fail(f"{place}verdict is {_quoted(kind)}, none of {', '.join(kinds)}")
        claim = fields.get(each, "claim", str, place)
        as_expected = kinds[kind] is CLAIMS[claim].expected
        if fields.get(each, "as_expected", bool, place) is not as_expected:
            fields.fail(f"{place}as_expected contradicts its verdict, {kind}")
        evidence = fields.get(each, "evidence", str, place)
        yield RecordedVerdict(claim, fields.get(each, "subject", str, place), kinds[kind], as_expected, evidence)


def _planted(fields: _Fields, records: list[Any]) -> Iterator[Planted]:
    for position, each in enumerate(records):
        place = f"planted[{position}]."
        none = isinstance(each, dict) and "detectable" in each and each["detectable"] is None
        yield Planted(
            identifier=fields.get(each, "id", str, place),
            kernel=fields.get(each, "kernel", str, place),
            description=fields.get(each, "description", str, place),
            refuted=fields.get(each, "refuted", bool, place),
            witness=fields.get(each, "witness", str, place),
            score=fields.number(each, "score", place),
            detectable=None if none else fields.number(each, "detectable", place),
            # Older files have no such theories.
            generated="generated" in each and fields.get(each, "generated", bool, place),
        )
