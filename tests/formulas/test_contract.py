"""What every formula keeps: one table of cases, one test for each promise."""

import importlib
import inspect
import pkgutil
import re
from collections.abc import Callable, Iterator
from functools import cached_property
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxrl.formulas
from tests import oracles
from tests.formulas.case import Case
from tests.formulas.cases_policy import CASES as POLICY_CASES
from tests.formulas.cases_value import CASES as VALUE_CASES
from tests.formulas.near import assert_near, leaves

CASES = POLICY_CASES + VALUE_CASES
POISON = (np.nan, 1e9, -1e9, np.inf)
Arguments = dict[str, Any]


def is_float(x: Any) -> bool:
    """Whether an argument is a floating array (a Python float is not)."""
    return isinstance(x, np.ndarray) and x.dtype == np.float32


def exact(arguments: Arguments) -> Arguments:
    """The same numbers in float64, for the oracle."""
    return jax.tree.map(lambda x: np.asarray(x, np.float64) if is_float(x) else x, arguments)


class Subject:
    """A case with inputs drawn once and its formula compiled once."""

    def __init__(self, case: Case) -> None:
        self.case = case
        self.rng = np.random.default_rng(0)
        self.arguments = case.inputs(self.rng)
        self.forward = jax.jit(self.call)
        self.backward = jax.jit(self._backward)

    def call(self, arguments: Arguments) -> Any:
        """The formula's result."""
        return self.case.formula(**arguments, **self.case.options)

    def oracle(self, arguments: Arguments) -> Any:
        """The oracle's result."""
        return self.case.oracle(**exact(arguments), **self.case.options)

    def _backward(self, arguments: Arguments, weights: list[Any]) -> tuple[Any, Arguments]:
        """The result, and the gradient of its weighted sum by the differentiable arguments."""
        moving = {name: arguments[name] for name in self.case.differentiable}
        result, pull = jax.vjp(lambda some: self.call({**arguments, **some}), moving)
        (gradient,) = pull(jax.tree.unflatten(jax.tree.structure(result), weights))
        return result, gradient

    @cached_property
    def expected(self) -> Any:
        """What the oracle says."""
        return self.oracle(self.arguments)

    @cached_property
    def weights(self) -> list[np.ndarray]:
        """Random weights of the elements of the result."""
        drawn = [self.rng.normal(size=x.shape) for x in leaves(self.expected)]
        return [x.astype(np.float32) for x in drawn]

    def weighted(self, arguments: Arguments) -> float:
        """The oracle's result as one number."""
        pairs = zip(leaves(self.oracle(arguments)), self.weights, strict=True)
        return sum(float(np.sum(x * w)) for x, w in pairs)


def title(case: Case) -> str:
    """The formula, how its inputs are drawn, its options."""
    static = [f"{k}={v}" for k, v in case.options.items() if not callable(v)]
    return "-".join([case.formula.__name__, *filter(None, [case.name]), *static])


@pytest.fixture(scope="module", params=CASES, ids=title)
def subject(request: pytest.FixtureRequest) -> Subject:
    """Module scope keeps the tests of one case together, and so its compiled functions."""
    return Subject(request.param)


def only(needs: Callable[[Case], Any]) -> Callable[[Any], Any]:
    """Parametrises a test by the cases that it has something to say about."""
    cases = [case for case in CASES if needs(case)]
    return pytest.mark.parametrize("subject", cases, ids=title, indirect=True, scope="module")


def distinct(cases: list[Case]) -> list[Case]:
    """One case for each formula and set of arguments, for what has to be compiled anew."""
    seen = {
        (case.formula, *case.inputs(np.random.default_rng(0))): case for case in reversed(cases)
    }
    return list(seen.values())


DISTINCT = distinct(CASES)


def test_equals_oracle(subject: Subject) -> None:
    result = subject.forward(subject.arguments)
    for ours, theirs in zip(leaves(result), leaves(subject.expected), strict=True):
        whole = np.array_equal(theirs, np.round(theirs))
        assert ours.dtype == np.float32 or (whole and ours.dtype == np.int32)
    assert_near(result, subject.expected, subject.case.tolerance)


@only(lambda case: case.bfloat16 is not None)
def test_bfloat16(subject: Subject) -> None:
    half = jax.tree.map(
        lambda x: jnp.asarray(x, jnp.bfloat16) if is_float(x) else x, subject.arguments
    )
    back = jax.tree.map(lambda x: np.asarray(x, np.float32) if _is_half(x) else x, half)
    result = jax.tree.leaves(subject.forward(half))
    assert all(x.dtype in (jnp.bfloat16, jnp.float32, jnp.int32) for x in result)
    assert_near(
        [np.asarray(x, np.float32) for x in result],
        leaves(subject.oracle(back)),
        subject.case.bfloat16,
    )


def _is_half(x: Any) -> bool:
    return isinstance(x, jax.Array) and x.dtype == jnp.bfloat16


@only(lambda case: case in DISTINCT and case.inputs(np.random.default_rng(0)))
def test_vmap_over_a_trailing_axis(subject: Subject) -> None:
    draws = [subject.arguments, subject.case.inputs(np.random.default_rng(1))]
    arrays = jax.tree.map(lambda x: isinstance(x, np.ndarray), draws[0])
    both = jax.tree.map(lambda a, x, y: np.stack([x, y], -1) if a else x, arrays, *draws)
    axes = jax.tree.map(lambda a: -1 if a else None, arrays)
    result = jax.jit(jax.vmap(subject.call, in_axes=(axes,), out_axes=-1))(both)
    for i, arguments in enumerate(draws):
        arguments = jax.tree.map(lambda a, x, b: x if a else b, arrays, arguments, both)
        one = [x[..., i] for x in leaves(result)]
        assert_near(one, subject.forward(arguments), subject.case.tolerance)


def flags(case: Case) -> list[str]:
    """The arguments that are masks or say that an episode is done."""
    drawn = case.inputs(np.random.default_rng(0))
    return [name for name, x in drawn.items() if isinstance(x, np.ndarray) and x.dtype == bool]


@pytest.mark.parametrize("dtype", [np.int32, np.float32])
@only(lambda case: flags(case) and case in DISTINCT)
def test_flags_of_any_dtype(subject: Subject, dtype: Any) -> None:
    numbers = {name: subject.arguments[name].astype(dtype) for name in flags(subject.case)}
    result = subject.forward({**subject.arguments, **numbers})
    assert_near(result, subject.expected, subject.case.tolerance)


@only(lambda case: case.differentiable)
def test_gradient(subject: Subject) -> None:
    _, gradient = subject.backward(subject.arguments, subject.weights)
    assert all(np.isfinite(x).all() for x in leaves(gradient))
    if not subject.case.value_gradient:
        return
    at = {name: exact(subject.arguments)[name] for name in subject.case.differentiable}
    step = 1e-6
    for _ in range(3):
        way = jax.tree.map(lambda x: subject.rng.normal(size=np.shape(x)), at)
        ends = [jax.tree.map(lambda x, v, h=h: x + h * v, at, way) for h in (step, -step)]
        up, down = (subject.weighted({**exact(subject.arguments), **end}) for end in ends)
        parts = [g * v for g, v in zip(leaves(gradient), leaves(way), strict=True)]
        ours, size = (sum(np.sum(f(x)) for x in parts) for f in (np.asarray, np.abs))
        assert abs(ours - (up - down) / (2 * step)) <= 1e-4 * max(size, 1e-2)


@pytest.mark.parametrize("poison", POISON)
@only(lambda case: case.masked)
def test_masked_slots_have_no_say(subject: Subject, poison: float) -> None:
    case, clean = subject.case, subject.arguments
    assert case.mask is not None
    outside = ~np.asarray(clean[case.mask], bool)
    dirty = {name: np.where(outside, poison, clean[name]) for name in case.masked}
    dirty = {name: x.astype(np.float32) for name, x in dirty.items()}
    before = subject.backward(clean, subject.weights)
    after = subject.backward({**clean, **dirty}, subject.weights)
    for x, y in zip(leaves(before), leaves(after), strict=True):
        assert not np.isnan(y).any()
        np.testing.assert_array_equal(x, y)


def wrong_shapes(case: Case, name: str, x: np.ndarray) -> Iterator[np.ndarray]:
    """One axis too many, one too few, one step too few; none of them may be spread."""
    if name not in case.free:
        yield x[..., None]
        if x.ndim > 1:
            yield x[0]
        if x.ndim and len(x) != 2:  # of two, one would be left, which may be spread
            yield x[1:]


def bad_arguments(case: Case) -> Iterator[tuple[str, Arguments, bool]]:
    """Ways to get an argument wrong: its name, all arguments, whether only it can be at fault."""
    good = case.inputs(np.random.default_rng(0))
    arrays = {k: x for k, x in good.items() if isinstance(x, np.ndarray) and k not in case.opaque}
    for name, x in arrays.items():
        yield name, {**good, name: jax.random.key(0)}, True
        if is_float(x) and name not in case.any_dtype:
            yield name, {**good, name: np.ones(x.shape, np.int32)}, True
        if x.dtype == np.int32 and name not in case.any_dtype:
            yield name, {**good, name: x.astype(np.float32)}, True
        for wrong in wrong_shapes(case, name, x):
            yield name, {**good, name: wrong}, name == case.mask
    if case.axis is not None and not case.opaque:
        cut = (slice(0, 0),) if case.axis == 0 else (..., slice(0, 0))
        empty = {name: x[cut] if x.ndim else x for name, x in arrays.items()}
        if any(x.size == 0 for x in empty.values()):
            yield next(iter(arrays)), {**good, **empty}, False


@only(lambda case: any(True for _ in bad_arguments(case)))
@pytest.mark.parametrize("compiled", [False, True], ids=["eager", "jit"])
def test_bad_arguments(subject: Subject, compiled: bool) -> None:
    call = jax.jit(subject.call) if compiled else subject.call
    for name, arguments, certain in bad_arguments(subject.case):
        with pytest.raises((ValueError, TypeError)) as caught:
            call(arguments)
            pytest.fail(f"no complaint about {name}: {jax.tree.map(np.shape, arguments)}")
        message = str(caught.value)
        assert "\n" not in message and len(message) < 200, message
        assert " not " in message, message  # what came instead
        words = re.split(r"\W+", message)
        # Of two shapes that disagree either may be the wrong one; of a key or a type none.
        assert words[0] == name if certain else name in words or words[0] in arguments, message


def public(module: Any) -> set[str]:
    """The functions that a module defines for its users."""
    members = inspect.getmembers(module, inspect.isfunction)
    return {k for k, f in members if f.__module__ == module.__name__ and not k.startswith("_")}


MODULES = [module.name for module in pkgutil.iter_modules(jaxrl.formulas.__path__)]


@pytest.mark.parametrize("module", MODULES)
def test_every_formula_has_a_case_and_an_oracle(module: str) -> None:
    ours = importlib.import_module(f"{jaxrl.formulas.__name__}.{module}")
    theirs = importlib.import_module(f"{oracles.__name__}.{module}")
    cases = {case.formula.__name__ for case in CASES if case.formula.__module__ == ours.__name__}
    assert public(ours), "a module without formulas"
    assert public(ours) == cases
    assert public(ours) <= public(theirs)
