"""The registry against the documentation of PyTorch and JAX, as ``tests/library_activations.py`` holds it."""

from __future__ import annotations

import pytest
import sympy as sp

from tests.library_activations import TABLE, LibraryActivation
from theory.activations import registry
from theory.analysis import DomainError
from theory.grammar import function_names, parse_activation, parse_number
from theory.named import NAMED, NOT_READ, key_of
from theory.symbols import x

#: On both sides of every kink and jump, and on none of them.
POINTS = ("-7.3", "-2.1", "-0.8", "-0.31", "-0.05", "0.07", "0.44", "0.9", "1.7", "6.5")
WITH_PARAMETERS = [row for row in TABLE if row.parameters]


def by_name(row: LibraryActivation) -> str:
    return row.name


def check(expression: sp.Expr, row: LibraryActivation, values: tuple[float, ...]) -> None:
    for point in POINTS:
        found = float(expression.subs(x, parse_number(point)).evalf(20))
        assert found == pytest.approx(row.formula(float(point), *values), rel=1e-13, abs=1e-15), point


def test_every_activation_is_in_the_table() -> None:
    assert sorted(row.name for row in TABLE) == sorted(registry.registered_names())


@pytest.mark.parametrize("row", TABLE, ids=by_name)
def test_defaults_and_values_are_the_libraries(row: LibraryActivation) -> None:
    activation = registry.registered(row.name)
    assert [each.default for each in activation.parameters] == [parse_number(text) for text in row.parameters.values()]
    check(
        activation.with_parameters({}).expr, row, tuple(float(sp.N(parse_number(t))) for t in row.parameters.values())
    )


@pytest.mark.parametrize("row", WITH_PARAMETERS, ids=by_name)
def test_parameters_have_the_libraries_names_and_ours(row: LibraryActivation) -> None:
    activation = registry.registered(row.name)
    values = [parse_number(text) for text in row.other]
    given = activation.with_parameters(dict(zip(row.parameters, values, strict=True)))
    own = {each.symbol.name: value for each, value in zip(activation.parameters, values, strict=True)}
    assert given.expr == activation.with_parameters(own).expr
    assert given.parameters == ()
    check(given.expr, row, tuple(map(float, values)))


@pytest.mark.parametrize("row", TABLE, ids=by_name)
def test_every_spelling_means_the_activation(row: LibraryActivation) -> None:
    for spelling in (row.name, row.name.upper(), row.name.replace("_", ""), *row.spellings):
        assert registry.resolve(spelling) == registry.registered(row.name), spelling


@pytest.mark.parametrize("row", TABLE, ids=by_name)
def test_a_call_has_the_same_defaults(row: LibraryActivation) -> None:
    for name in (row.name, *row.spellings):
        expression = parse_activation(f"{name}(x)")
        values = tuple(float(sp.N(parse_number(text))) for text in row.parameters.values())
        check(expression, row, values)


@pytest.mark.parametrize("row", [r for r in WITH_PARAMETERS if r.name not in ("hard_tanh", "rrelu")], ids=by_name)
def test_a_call_takes_the_parameters_by_place_and_by_name(row: LibraryActivation) -> None:
    named = ", ".join(f"{name}={value}" for name, value in zip(row.parameters, row.other, strict=True))
    values = tuple(float(sp.N(parse_number(text))) for text in row.other)
    for text in (f"{row.name}(x, {', '.join(row.other)})", f"{row.name}(x, {named})"):
        check(parse_activation(text), row, values)
    # Of another argument, in whatever form it is then written.
    inner = parse_activation(f"{row.name}(sin(x) + 0.3*x, {named})") if NAMED[row.name].composed else None
    if inner is not None:
        point = sp.Rational(-13, 10)
        value = float(sp.sin(point) + sp.Rational(3, 10) * point)
        assert float(inner.subs(x, point).evalf(20)) == pytest.approx(row.formula(value, *values), rel=1e-13)


@pytest.mark.parametrize("name", [name for name, entry in NAMED.items() if entry.composed])
def test_the_form_for_any_argument_is_the_same_function(name: str) -> None:
    parameters = {each.name: sp.Symbol(each.name, positive=True) for each in NAMED[name].parameters}
    forms = [parse_activation(text, parameters) for text in (NAMED[name].text, NAMED[name].composed)]
    for point in POINTS:
        values = {x: parse_number(point)} | {symbol: sp.Rational(7, 5) for symbol in parameters.values()}
        assert abs(sp.N((forms[0] - forms[1]).subs(values), 25)) < sp.Rational(1, 10**20)


def test_celu_is_elu_at_its_default() -> None:
    assert registry.registered("CELU").with_parameters({}).expr == registry.registered("ELU").with_parameters({}).expr


@pytest.mark.parametrize("text", ["np.tanh", "torch.tanh", "jnp.tanh", "nn.Tanh", "torch.nn.functional.tanh"])
def test_a_librarys_name_alone(text: str) -> None:
    assert registry.resolve(text) == registry.registered("tanh")


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("F.gelu", "x*Phi(x)"),
        ("jax.nn.gelu", "gelu_tanh(x)"),
        ("np.arcsinh", "asinh(x)"),
        ("sinh", "sinh(x)"),
        ("expm1", "exp(x) - 1"),
        ("np.square", "x**2"),
        ("nn.LeakyReLU(0.2)", "leaky_relu(x, 0.2)"),
    ],
)
def test_a_function_alone_is_taken_at_x(text: str, meant: str) -> None:
    assert registry.resolve(text).with_parameters({}).expr == parse_activation(meant)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("relux", "did you mean relu"),
        ("coth", "it has a pole at 0"),
        ("softmax", "function of one number"),
        ("nn.gelu", "gelu_tanh(x), JAX's"),
        ("np.nothing", "no activation is named 'nothing'"),
        ("х", "'х' is CYRILLIC SMALL LETTER HA"),
        ("gеlu", "did you mean e?"),
    ],
)
def test_an_unknown_name_is_refused_with_the_right_one(text: str, words: str) -> None:
    with pytest.raises(ValueError, match=words.replace("?", r"\?").replace("(", r"\(").replace(")", r"\)")):
        registry.resolve(text)


def test_parameters_are_refused_by_all_their_names() -> None:
    leaky = registry.registered("leaky_relu")
    with pytest.raises(DomainError, match="no parameter 'slope'; its parameters are: a or negative_slope"):
        leaky.with_parameters({"slope": sp.S.One})
    with pytest.raises(DomainError, match="parameter a of leaky_relu is given twice, once as negative_slope"):
        leaky.with_parameters({"a": sp.S.One, "negative_slope": sp.S.One})
    with pytest.raises(DomainError, match="parameter a of celu must be positive"):
        registry.registered("celu").with_parameters({"alpha": -sp.S.One})


def test_what_is_not_read_is_no_name_of_ours() -> None:
    assert not {name for name in NOT_READ if key_of(name) or name in function_names()}
