"""Arguments that commands share: their parser, the values it reads, activations and kernels."""

from __future__ import annotations

import argparse
import math
import re
import sys
import textwrap
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NoReturn

from deqverify.commands import _help
from deqverify.commands._errors import BAD_USE, UsageError, program
from deqverify.commands._outputs import other_name_of_standard_output, prepare_output, refuse_same_paths
from theory.kernels import Kernel, UnknownKernelError
from theory.named import NAMED

if TYPE_CHECKING:
    import sympy as sp

    from theory.activations import Activation

__all__ = [
    "Parser",
    "activation_argument",
    "add_kernel",
    "add_parameter",
    "add_tau0",
    "add_weights",
    "integer_between",
    "nonnegative",
    "number",
    "parameter",
    "resolve_text",
    "short_number",
    "verdict_lines",
]

_CODES = """\
exit codes:
  0    as expected
  1    a claim or a target fails
  2    bad use
  3    undecided
  130  interrupted
  141  the reader has gone
  143  terminated"""


_ACTIVATIONS = f"""\
activations:
  {", ".join(NAMED)}
  or an expression in x such as "tanh(x) + |x|/3"; functions may be spelled as in NumPy, PyTorch or JAX
  (--list-activations describes the names)"""


#: Characters of an exact number that a heading shows.
_HEADING_LENGTH = 24


class _Formatter(argparse.HelpFormatter):
    """Lays out paragraphs and examples, and says the default of every option that does not say it itself."""

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        return _help.laid_out(text, width)

    def _get_help_string(self, action: argparse.Action) -> str:
        text = _help.spelled(action.help or "", self._prog)
        if action.required:
            return f"{text} (required)"
        if re.search(r"\(default|default:|by default", text) or action.default is argparse.SUPPRESS:
            return text
        if isinstance(action.default, bool):
            return f"{text} (default {'on' if action.default else 'off'})"
        return f"{text} (default {'none' if action.default in (None, []) else '%(default)s'})"


class _ShowAndLeave(argparse.Action):
    """An option that prints a text and leaves, whatever else is given."""

    def __init__(self, text: Callable[[str], str], **others: Any) -> None:
        super().__init__(nargs=0, default=argparse.SUPPRESS, **others)
        self._text = text

    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> NoReturn:
        sys.stdout.write(self._text(parser.prog) + "\n")
        parser.exit()


class Parser(argparse.ArgumentParser):
    """An argument parser whose complaints are one sentence, and whose examples keep their lines.

    Every command has --version.  Texts name commands as in "deqverify solve", and are shown as the user calls them.

    Args:
        description: what the command does.
        examples: lines of the help's end.
        verdicts: what the verdicts mean that the command gives, as lines; "" where it gives none.
        activations: whether it takes activations: then it has --list-activations.
    """

    def __init__(self, description: str, examples: str, verdicts: str = "", *, activations: bool = False) -> None:
        name = program()
        ends = ["examples:", examples.rstrip("\n"), "", _CODES]
        ends += ["", "verdicts:", verdicts] if verdicts else []
        ends += ["", _ACTIVATIONS] if activations else []
        super().__init__(
            prog=name,
            description=_help.spelled(description, name),
            epilog=_help.spelled("\n".join(ends), name),
            formatter_class=_Formatter,
            allow_abbrev=False,
        )
        self.add_argument("--version", action=_ShowAndLeave, text=_version, help="print the version and leave")
        if activations:
            self.add_argument(
                "--list-activations", action=_ShowAndLeave, text=_activations, help="describe the named ones and leave"
            )

    def parse_args(self, args: Sequence[str] | None = None) -> argparse.Namespace:  # type: ignore[override]
        """Parse the arguments; a value may begin with a minus, as in --activation "-tanh(x)".

        Raises:
            UsageError: an output that could not be written, or a second one to the same path.
        """
        arguments = super().parse_args(self._joined(sys.argv[1:] if args is None else args))
        self._check_outputs(arguments)
        return arguments

    def given(self, args: Sequence[str] | None = None) -> frozenset[str]:
        """Names of the options that stand among the arguments, with their defaults or with others.

        Args:
            args: arguments that `parse_args` has accepted.
        """
        defaults = {action: action.default for action in self._actions}
        for action in defaults:
            action.default = argparse.SUPPRESS
        try:
            return frozenset(vars(super().parse_args(self._joined(sys.argv[1:] if args is None else args))))
        finally:
            for action, default in defaults.items():
                action.default = default

    def _check_outputs(self, arguments: argparse.Namespace) -> None:
        outputs: dict[str, str] = {}
        for action in self._actions:
            target = getattr(arguments, action.dest, None)
            if action.metavar not in ("PATH", "DIR") or target is None:
                continue
            option = action.option_strings[0]
            if action.metavar == "PATH":
                target = other_name_of_standard_output(target)
                setattr(arguments, action.dest, target)
                prepare_output(target, option)
            elif not target:
                raise UsageError(f"{option}: the path is empty; give the name of a folder")
            outputs[option] = target
        refuse_same_paths(outputs)

    def _joined(self, words: Sequence[str]) -> list[str]:
        """Join options that take one value to values that begin with a minus and are no options."""
        joined = list[str]()
        waiting = False
        for word in words:
            if waiting and len(word) > 1 and word.startswith("-") and not self._is_option(word):
                joined[-1] += f"={word}"
                waiting = False
                continue
            action = self._option_string_actions.get(word)
            waiting = action is not None and action.nargs is None
            joined.append(word)
        return joined

    def _is_option(self, word: str) -> bool:
        return word in self._option_string_actions or re.fullmatch(r"--[a-z][a-z0-9-]*(=.*)?", word) is not None

    def error(self, message: str) -> NoReturn:
        """Print the complaint and leave with exit code 2."""
        self.exit(BAD_USE, f"{self.prog}: {message} (--help shows what is accepted)\n")


def _version(program: str) -> str:
    from deqverify import __version__

    return f"{program} (deqverify {__version__})"


def _activations(_: str) -> str:
    """The named activations, with their parameters, one a line."""
    lines = []
    for name, entry in NAMED.items():
        settings = [f"{' or '.join((each.name, *each.aliases))} = {each.default}" for each in entry.parameters]
        also = f"; also {', '.join(entry.aliases)}" if entry.aliases else ""
        lines.append(f"{name:17} {entry.description}{also}{'; ' * bool(settings)}{', '.join(settings)}")
    return "\n".join(lines)


def verdict_lines(meanings: Mapping[str, str]) -> str:
    """The end of a help that says what verdicts mean: each by name, with its meaning beside it."""
    width = max(map(len, meanings))
    lines = []
    for name, meaning in meanings.items():
        lead = f"  {name:<{width}}  "
        lines.append(textwrap.fill(meaning, 100, initial_indent=lead, subsequent_indent=" " * len(lead)))
    return "\n".join(lines)


def number(text: str) -> sp.Expr:
    """Read an exact real number: 0.2 is 1/5; fractions and constants such as sqrt(2) are accepted.

    Raises:
        argparse.ArgumentTypeError: the text is not one.
    """
    from theory.grammar import ActivationSyntaxError, parse_number

    try:
        return parse_number(text)
    except ActivationSyntaxError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def short_number(value: sp.Expr) -> str:
    """Return an exact number as text, or to 15 digits where that is too long for a heading."""
    import sympy as sp

    text = str(value)
    return text if len(text) <= _HEADING_LENGTH else f"{sp.N(value, 15)}..."


def integer_between(low: int, high: int) -> Callable[[str], int]:
    """Return an argument type for whole numbers in a range; it raises argparse.ArgumentTypeError."""

    def read(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            value = low - 1
        if not low <= value <= high:
            raise argparse.ArgumentTypeError(f"must be a whole number from {low} to {high}, not {text!r}")
        return value

    return read


def parameter(text: str) -> tuple[str, sp.Expr]:
    """Read NAME=NUMBER.

    Raises:
        argparse.ArgumentTypeError: the text is not of that form.
    """
    name, equals, value = text.partition("=")
    if not equals or not name.strip():
        raise argparse.ArgumentTypeError(f"must be NAME=NUMBER, such as a=0.1, not {text!r}")
    from theory.grammar import foreign_character

    foreign = foreign_character(name)
    if foreign is not None:
        raise argparse.ArgumentTypeError(f"names are ASCII: {foreign}")
    return name.strip(), number(value)


class _EachOnce(argparse.Action):
    """Collects NAME=NUMBER, each name once."""

    def __call__(
        self, parser: argparse.ArgumentParser, namespace: argparse.Namespace, values: Any, _: str | None = None
    ) -> None:
        known = getattr(namespace, self.dest, [])
        if values[0] in dict(known):
            raise argparse.ArgumentError(self, f"{values[0]} is given twice; give it once")
        setattr(namespace, self.dest, [*known, values])


def add_parameter(parser: argparse.ArgumentParser, meaning: str = "of the activation; repeatable") -> None:
    """Add --parameter, the pairs (name, number) of an activation's parameters."""
    parser.add_argument(
        "--parameter", action=_EachOnce, type=parameter, default=[], metavar="NAME=NUMBER", help=meaning
    )


def add_weights(
    parser: argparse.ArgumentParser,
    sigma_b2: str | None = None,
    meaning: str = "input weight variance",
    read: Callable[[str], Any] = number,
) -> None:
    """Add --sigma-a2 and --sigma-b2.

    Args:
        parser: where to.
        sigma_b2: its default; None for 1 - sigma_a2.
        meaning: of --sigma-b2.
        read: reads --sigma-b2.
    """
    parser.add_argument("--sigma-a2", type=number, default="1/5", help="recurrent weight variance")
    tied = " (default 1 - sigma_a2)" if sigma_b2 is None else ""
    parser.add_argument("--sigma-b2", type=read, default=sigma_b2, help=meaning + tied)


def add_tau0(parser: argparse.ArgumentParser) -> None:
    """Add --tau0."""
    parser.add_argument("--tau0", type=number, default="1", help="input scale, sqrt(tr C/p)")


def add_kernel(parser: argparse.ArgumentParser, meaning: str = "which kernel") -> None:
    """Add --kernel."""
    parser.add_argument(
        "--kernel", type=_kernel, default=Kernel.CK, metavar="KERNEL", help=f"{meaning}: {', '.join(Kernel)}"
    )


def _kernel(text: str) -> Kernel:
    try:
        return Kernel.read(text)
    except UnknownKernelError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def nonnegative(option: str, value: float) -> None:
    """Raise UsageError unless the value of an option is a finite number >= 0."""
    if not (math.isfinite(value) and value >= 0):
        raise UsageError(f"{option} must be a finite number >= 0, not {value:g}")


def resolve_text(text: str) -> Activation:
    """Return the activation of a registry name or expression; a note on stderr says how ^ is read."""
    from theory.activations import resolve

    if "^" in text:
        sys.stderr.write(f"{program()}: note: ^ is read as **, a power\n")
    return resolve(text)


def activation_argument(text: str, parameters: Mapping[str, sp.Expr] | None = None) -> Activation:
    """Return the activation of a registry name or expression, its parameters given values."""
    from numerics.budget import stage

    with stage("reading the activation"):
        activation = resolve_text(text).with_parameters(parameters)
        activation.check()
    return activation
