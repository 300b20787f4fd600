r"""Export equations, moments and certified constants as LaTeX: a document, fragments to \input, macros and BibTeX.

Into the folder --output go deq.tex, which compiles by itself, fragments/*.tex with one table or set of equations each,
macros.tex with a command for every number, the same numbers in numbers.json, and references.bib.  With --networks, the
explicit networks that match; with --verdicts, what a run of deqverify verify found.  The same input gives the same
bytes.  Files of these names are replaced, others left alone.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from deqverify.commands import _budgets, _cells, _errors, _export_cell, _export_files, _options, _outputs, _progress

if TYPE_CHECKING:
    from numerics.equilibrium import CertifiedCoefficients
    from numerics.publish import VerdictFile
    from numerics.publish.paper import Export, Matching, Section, Subject
    from theory.activations import Activation

__all__ = ["main", "parser"]

_EXAMPLES = """\
  deqverify export-latex --activation tanh --output tables
  deqverify export-latex --activation relu --activation "x*Phi(x)" --digits 20 --output tables
  deqverify export-latex --activation leaky_relu --parameter a=1/10 --symbolic --output tables
  deqverify export-latex --registry --sigma-a2 0.5 --sigma-b2 0.5 --output registry
  deqverify export-latex --activation swish --line-width 240 --output column --json -
  deqverify export-latex --activation relu --networks --output tables
  deqverify export-latex --deq cell.toml --output tables
  deqverify verify --quick --json verdicts.json
  deqverify export-latex --activation relu --verdicts verdicts.json --output tables

In a paper: \\input{tables/macros}, \\input{tables/fragments/system}, \\input{tables/fragments/constants-1};
the fragments need amsmath, amssymb and, for tables, booktabs."""

_DIGITS_AT_MOST, _PREFIX_AT_MOST = 50, 20
_LINE_WIDTHS = (240, 1000)
_DIGIT_WIDTH = 5
_LABEL_WIDTH = 130
_PHRASE = re.compile(r"[A-Za-z]{2}[A-Za-z ,;()-]*")


def main(argv: Sequence[str] | None) -> int:
    """Parse the arguments, derive, solve, write."""
    arguments = _arguments(argv)
    folder = _export_files.prepared_folder(arguments.output)
    _export_files.refuse_own_file(arguments)
    if arguments.deq is not None:
        with _budgets.budgeted(arguments.budget):
            return _export_cell.run(arguments, folder)
    activations = _activations(arguments)
    verdicts = _verdict_file(arguments)

    from numerics.publish.paper import Export, bibliography, latex_document, macros, number_record

    subjects = tuple(_subjects(activations, arguments))
    found = _networks(subjects, arguments)
    export = Export(
        arguments.digits,
        arguments.line_width,
        _export_files.author(),
        _heading(arguments, subjects, verdicts),
        subjects,
        arguments.sigma_a2,
        arguments.sigma_b2,
        arguments.tau0,
    )
    files = {"deq.tex": latex_document(export, _sections(found, verdicts))}
    files |= {f"fragments/{name}.tex": text for name, text in export.fragments.items()}
    prefix = arguments.macro_prefix
    files["macros.tex"] = export.heading + macros(subjects, arguments.digits, prefix)
    files["references.bib"] = bibliography()
    record = _parameters(arguments) | {"activations": number_record(subjects, arguments.digits, prefix)}
    if found:
        from numerics.publish.paper import network_record

        record["networks"] = [network_record(subject, found[subject.slug]) for subject in subjects]
    if verdicts is not None:
        record["verdicts"] = {"sha256": verdicts.sha256, "deqverify": verdicts.version}
    record |= _outputs.provenance()
    files["numbers.json"] = _outputs.json_text(record, "export-latex-numbers")
    _export_files.write(folder, files)
    if arguments.json != "-":
        _summary(export, arguments.output, len(files))
    if arguments.json:
        manifest = {"output": arguments.output, "files": _export_files.listed(files)} | record
        _outputs.write_json(arguments.json, manifest, "export-latex")
    return 0


def parser() -> _options.Parser:
    """Return the parser of the command's arguments."""
    parser = _options.Parser(__doc__ or "", _EXAMPLES, activations=True)
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument(
        "--activation", action="append", metavar="NAME", help="a registered name, or an expression in x; repeatable"
    )
    what.add_argument("--registry", action="store_true", help="every registered activation")
    _cells.add_deq(what)
    parser.add_argument("--output", required=True, metavar="DIR", help="folder for the files; made where it is absent")
    _options.add_parameter(parser, "of every activation that has it; repeatable")
    parser.add_argument("--symbolic", action="store_true", help="keep parameters without a --parameter as symbols in "
                        "the formulas (the numbers take their defaults)")  # fmt: skip
    _options.add_weights(parser, "4/5")
    _options.add_tau0(parser)
    parser.add_argument(
        "--digits",
        type=_options.integer_between(1, _DIGITS_AT_MOST),
        default=10,
        help="significant digits (default 10)",
    )
    parser.add_argument(
        "--line-width", type=_options.integer_between(*_LINE_WIDTHS), default=390, metavar="PT",
        help="width of the text that formulas and tables are fitted to, in points (default 390)",
    )  # fmt: skip
    parser.add_argument(
        "--macro-prefix", type=_letters, default="deq", metavar="LETTERS",
        help="of the macros' names, so that two exports can be used in one paper (default deq)",
    )  # fmt: skip
    parser.add_argument(
        "--networks", action="store_true", help="explicit networks with the same conjugate kernels as well"
    )
    parser.add_argument(
        "--verdicts", metavar="FILE", help="show the verdicts that deqverify verify --json wrote to this file"
    )
    _budgets.add_budget(parser)
    parser.add_argument("--json", metavar="PATH", help="write what was exported to a file, or to standard output for -")
    return parser


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    options = parser()
    arguments = options.parse_args(argv)
    others = {"parameter", "symbolic", "sigma_a2", "sigma_b2", "tau0", "networks", "verdicts"} & options.given(argv)
    if arguments.deq is not None and others:
        options.error(
            f"{_cells.spelled(others)} does not go with --deq, whose file describes the whole DEQ: leave it out"
        )
    if arguments.registry and arguments.parameter:
        options.error("--parameter goes with --activation: the registry is exported with its defaults")
    most = (arguments.line_width - _LABEL_WIDTH) // _DIGIT_WIDTH
    if arguments.digits > most:
        options.error(f"--digits {arguments.digits} do not fit a line of {arguments.line_width} pt: at most {most} do")
    return arguments


def _letters(text: str) -> str:
    """Read the beginning of a LaTeX command."""
    if not (text.isascii() and text.isalpha() and len(text) <= _PREFIX_AT_MOST):
        raise argparse.ArgumentTypeError(f"must be 1 to {_PREFIX_AT_MOST} letters from A to z, not {text!r}")
    return text


def _activations(arguments: argparse.Namespace) -> list[tuple[Activation, Activation]]:
    """(as written in formulas, with values for all parameters) of every activation asked for."""
    from theory.activations import registered_names

    asked = registered_names() if arguments.registry else arguments.activation
    found = [_options.resolve_text(name) for name in asked]
    for position, activation in enumerate(found):
        if activation in found[:position]:
            raise _errors.UsageError(f"{activation.name} is given twice; give each activation once")
    given = dict(arguments.parameter)
    known = [{parameter.symbol.name for parameter in activation.parameters} for activation in found]
    for name in given:
        if not any(name in each for each in known):
            accepted = ", ".join(sorted(set().union(*known))) or "none"
            raise _errors.UsageError(
                f"--parameter {name}: no activation given has it; their parameters are: {accepted}"
            )
    pairs = []
    for activation, names_known in zip(found, known, strict=True):
        own = {name: value for name, value in given.items() if name in names_known}
        written = activation.with_parameters(own, keep_symbolic=arguments.symbolic)
        valued = activation.with_parameters(own)
        with _budgets.budgeted(arguments.budget):
            valued.check()
        pairs.append((written, valued))
    return pairs


def _subjects(pairs: Sequence[tuple[Activation, Activation]], arguments: argparse.Namespace) -> Iterator[Subject]:
    from numerics.publish.paper import Subject, escaped
    from numerics.records import derive
    from theory.latex import activation_moments, activation_system, name_long_constants

    customs = 0
    for written, valued in _progress.track(pairs, "deriving and certifying"):
        if valued.name.isidentifier() and valued.name != "x":
            slug, title = valued.name.replace("_", "-"), rf"\texttt{{{escaped(valued.name)}}}"
        else:
            customs += 1
            slug, title = f"custom-{customs}", f"Custom activation {customs}"
        available = arguments.line_width * 100
        with _budgets.budgeted(arguments.budget):
            named, constants = name_long_constants(written)
            derived = derive(named)
            moments = activation_moments(
                f"moments-{slug}", named, derived.values, derived.definitions, available, constants
            )
            solution, missing = _solution(valued, arguments)
        yield Subject(
            title,
            _suffix(slug),
            slug,
            _note(valued, written),
            valued,
            derived,
            moments,
            activation_system(f"system-{slug}", derived.definitions),
            solution,
            missing,
        )


def _note(valued: Activation, written: Activation) -> str:
    """What an activation is, where that is said without formulas, and the values of its symbolic parameters."""
    from numerics.publish.paper import sentence
    from theory.latex import inline, latex

    parts = [sentence(valued.description)] if _PHRASE.fullmatch(valued.description) else []
    if written.parameters:
        defaults = [f"${latex(each.symbol)} = {inline(each.default)}$" for each in written.parameters]
        listed = " and ".join([", ".join(defaults[:-1]), defaults[-1]] if len(defaults) > 1 else defaults)
        parts.append(f"The constants are those of {listed}.")
    return " ".join(parts)


def _suffix(slug: str) -> str:
    """A name in letters only: leaky-relu is LeakyRelu, relu6 is ReluSix."""
    words = ("Zero", "One", "Two", "Three", "Four", "Five", "Six", "Seven", "Eight", "Nine")
    spelled = re.sub(r"\d", lambda digit: f"-{words[int(digit[0])]}-", slug)
    return "".join(part[:1].upper() + part[1:] for part in spelled.split("-"))


def _solution(activation: Activation, arguments: argparse.Namespace) -> tuple[CertifiedCoefficients | None, str]:
    """The certified coefficients; an activation of the registry may have none."""
    from numerics.equilibrium import certify
    from theory.equations import DEQ, EquilibriumError

    deq = DEQ(activation, arguments.sigma_a2, arguments.sigma_b2, arguments.tau0)
    try:
        return certify(deq, arguments.digits), ""
    except EquilibriumError as error:
        if not arguments.registry:
            raise EquilibriumError(f"{activation.name}: {error}") from error
        return None, str(error)


def _verdict_file(arguments: argparse.Namespace) -> VerdictFile | None:
    if arguments.verdicts is None:
        return None
    from numerics.publish import VerdictFileError, read_verdicts

    try:
        return read_verdicts(arguments.verdicts)
    except VerdictFileError as error:
        raise _errors.UsageError(f"--verdicts {error}") from error


def _networks(subjects: Sequence[Subject], arguments: argparse.Namespace) -> dict[str, Matching]:
    """The explicit networks by slug; none unless they are asked for."""
    if not arguments.networks:
        return {}
    from numerics.publish.paper import match

    tracked = _progress.track(subjects, "designing networks")
    found = {}
    for subject in tracked:
        with _budgets.budgeted(arguments.budget):
            found[subject.slug] = match(subject, arguments.digits)
    return found


def _sections(found: dict[str, Matching], verdicts: VerdictFile | None) -> Iterator[Section]:
    """The sections that need more than the export."""
    from numerics.publish.paper import claims_section, networks_section

    if found:
        yield lambda export: networks_section(export, found)
    yield lambda export: claims_section(export, verdicts)


def _parameters(arguments: argparse.Namespace) -> dict[str, Any]:
    names = ("sigma_a2", "sigma_b2", "tau0")
    record: dict[str, Any] = {name: str(getattr(arguments, name)) for name in names}
    return record | {
        name: getattr(arguments, name) for name in ("digits", "line_width", "symbolic", "networks", "macro_prefix")
    }


def _heading(arguments: argparse.Namespace, subjects: Sequence[Subject], verdicts: VerdictFile | None) -> str:
    """A comment for the top of a file: what made it, and from what."""
    parameters = ", ".join(f"{name} = {value}" for name, value in _parameters(arguments).items())
    names = "the registry" if arguments.registry else "; ".join(subject.activation.name for subject in subjects)
    more = [] if verdicts is None else [f"verdicts of the file with SHA-256 {verdicts.sha256}"]
    return _export_files.heading(names, parameters, *more)


def _summary(export: Export, target: str, count: int) -> None:
    from rich.text import Text

    console = _progress.console()
    numbers = sum(len(subject.solution.balls) for subject in export.subjects if subject.solution is not None)
    subjects = "1 activation" if len(export.subjects) == 1 else f"{len(export.subjects)} activations"
    console.print(Text(f"{count} files in {target}: {subjects}, {numbers} certified numbers"))
    for subject in export.subjects:
        if subject.solution is None:
            console.print(Text(f"no constants for {subject.activation.name}: {subject.missing}"))
        elif subject.solution.plain:
            keys = ", ".join(subject.solution.plain)
            reasons = "; ".join(sorted({subject.solution.reason[key] for key in subject.solution.plain}))
            console.print(Text(f"left out, not certified, of {subject.activation.name}: {keys}: {reasons}"))
