"""Reductions: worked numbers, and that micro-batches add up to the batch they are parts of."""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxrl.formulas.reduce import (
    fixed_length,
    masked_mean,
    masked_sum,
    masked_var,
    only_token_mean,
    sequence_count,
    sequence_mean,
    sequence_sum,
    token_count,
    token_mean,
)
from tests.formulas.draw import draw
from tests.formulas.near import assert_near

Reduction = Callable[..., Any]
LOSS = np.float32([[0.1, 0.2, 0.3], [0.4, 0.5, 0.6]]).T  # Tunix's rows are our columns
MASK = np.array([[1, 1, 0], [1, 1, 1]]).T

ROWS = {
    "token mean": (token_mean(LOSS, MASK), 0.36),
    "sequence mean": (sequence_mean(LOSS, MASK), 0.325),
    "fixed length": (fixed_length(LOSS, MASK, 3.0), 0.3),
    "sequence sum": (sequence_sum(LOSS, MASK), 0.9),
    "sum by a constant": (sequence_sum(LOSS, MASK, 4.0), 0.45),
    "only token mean": (only_token_mean(LOSS, MASK), 0.65),
    "no token": (token_mean(LOSS, 0 * MASK), 0.0),
    "mean": (masked_mean(np.float32([1, 2, 3, 4, 5]), np.array([1, 1, 0, 0, 1])), 2.666667),
    "variance": (
        masked_var(np.float32([1, 2, 3, 4, 5]), np.array([1, 1, 0, 0, 1]), ddof=1),
        4.333333,
    ),
}


@pytest.mark.parametrize(("result", "expected"), ROWS.values(), ids=ROWS)
def test_worked_numbers_of_tunix(result: Any, expected: float) -> None:
    np.testing.assert_allclose(result, expected, rtol=1e-6)


def test_what_weighs_the_same() -> None:
    """Three tokens of advantage 3/2 and one of 3: Tunix's packed row, and the broken version's."""
    loss, mask = -np.float32([[1.5, 3]] * 3), np.array([[1, 1], [1, 0], [1, 0]])
    np.testing.assert_allclose(sequence_mean(loss, mask), -2.25)
    np.testing.assert_allclose(token_mean(loss, mask), -1.875)
    areal = -np.float32([[1, 2, 3, 4], [0.5] * 4]).T
    np.testing.assert_allclose(sequence_mean(areal, np.ones((4, 2))), -1.5)


def full_length(x: Any, mask: Any, denominator: Any = None) -> Any:
    return fixed_length(x, mask, 8.0, denominator)


REDUCTIONS: dict[str, tuple[Reduction, Callable[[Any], Any]]] = {
    "token_mean": (token_mean, token_count),
    "sequence_mean": (sequence_mean, sequence_count),
    "sequence_sum": (sequence_sum, sequence_count),
    "fixed_length": (full_length, sequence_count),
    "only_token_mean": (only_token_mean, lambda mask: 1.0),
}
over_reductions = pytest.mark.parametrize(
    ("reduction", "count"), REDUCTIONS.values(), ids=REDUCTIONS
)


def parts(x: np.ndarray, mask: np.ndarray, sizes: tuple[int, ...]) -> list[tuple[Any, Any]]:
    """The batch cut into micro-batches of whole sequences."""
    cuts = np.cumsum(sizes)[:-1]
    return list(zip(np.split(x, cuts, 1), np.split(mask, cuts, 1), strict=True))


LENGTHS = np.array([1, 8, 2, 0, 4, 8, 0, 4, 4, 1])  # 8 sequences, 32 tokens, and two of padding


@over_reductions
@pytest.mark.parametrize("sizes", [(10,), (5, 5), (1, 9), (4, 3, 3), (1,) * 10])
def test_micro_batches_add_up_to_the_batch(
    reduction: Reduction, count: Callable[[Any], Any], sizes: tuple[int, ...]
) -> None:
    """Exactly where all counts are powers of two and so nothing is rounded."""
    rng = np.random.default_rng(0)
    mask = rng.permuted(np.arange(8)[:, None] < LENGTHS, axis=0)
    whole, real = rng.integers(-9, 9, (8, 10)), rng.normal(size=(8, 10))
    for x, tolerance in ((whole, 0.0), (real, 1e-6)):
        x = x.astype(np.float32)
        total = sum(reduction(a, m, count(mask)) for a, m in parts(x, mask, sizes))
        np.testing.assert_allclose(total, reduction(x, mask), rtol=tolerance)


@over_reductions
def test_micro_batches_have_the_gradient_of_the_batch(
    reduction: Reduction, count: Callable[[Any], Any]
) -> None:
    data = draw("x mask", (6, 5))(np.random.default_rng(1))
    x, mask = data["x"], data["mask"]
    whole = jax.grad(reduction)(x, mask)
    each = [jax.grad(reduction)(a, m, count(mask)) for a, m in parts(x, mask, (2, 2, 1))]
    assert_near(np.concatenate(each, 1), whole, 1e-6)


@over_reductions
def test_the_count_is_the_usual_denominator(
    reduction: Reduction, count: Callable[[Any], Any]
) -> None:
    data = draw("x mask", (6, 5))(np.random.default_rng(2))
    assert_near(reduction(**data, denominator=count(data["mask"])), reduction(**data), 1e-6)
    assert_near(reduction(**data, denominator=count(data["mask"]) * 2), reduction(**data) / 2, 1e-6)


@over_reductions
@settings(deadline=None, max_examples=25)
@given(
    seed=st.integers(0, 1000),
    order=st.permutations(range(4)),
    padding=st.tuples(st.integers(0, 3), st.integers(0, 2)),
)
def test_neither_padding_nor_order_matters(
    reduction: Reduction, count: Any, seed: int, order: list[int], padding: tuple[int, int]
) -> None:
    data = draw("x mask", (5, 4))(np.random.default_rng(seed))
    result = reduction(**data)
    widths = tuple((0, size) for size in padding)
    garbage = np.pad(data["x"], widths, constant_values=np.nan)
    np.testing.assert_allclose(reduction(garbage, np.pad(data["mask"], widths)), result, rtol=1e-5)
    shuffled = reduction(data["x"][:, order], data["mask"][:, order])
    np.testing.assert_allclose(shuffled, result, rtol=1e-5, atol=1e-6)


def test_counts() -> None:
    mask = np.array([[1, 0, 0], [1, 0, 1]])
    assert token_count(mask) == 3 and sequence_count(mask) == 2
    assert token_count(mask).dtype == sequence_count(mask).dtype == jnp.float32
    assert token_count(np.ones((1000, 20), np.int8)) == 20000


@over_reductions
def test_of_one_full_sequence(reduction: Reduction, count: Any) -> None:
    x = np.float32([[1], [2], [6]])
    expected = {sequence_sum: 9.0, full_length: 9 / 8}.get(reduction, 3.0)
    np.testing.assert_allclose(reduction(x, np.ones((3, 1))), expected, rtol=1e-6)


@pytest.mark.parametrize("value", [0.1, 0.7, -1e6])
def test_the_variance_of_equals_is_as_good_as_nothing(value: float) -> None:
    x = np.full((7, 3), value, np.float32)
    assert masked_var(x, np.ones_like(x)) <= 1e-12 * value**2


@pytest.mark.parametrize("ddof", [0, 1])
def test_a_variance_far_from_zero(ddof: int) -> None:
    """Sums of squares would lose it all to rounding."""
    x = np.float32(10000 + np.random.default_rng(3).normal(size=(50, 4)))
    ours = masked_var(x, np.ones_like(x), ddof=ddof)
    np.testing.assert_allclose(ours, x.astype(np.float64).var(ddof=ddof), rtol=1e-4)
    by_column = masked_var(x, np.ones_like(x), axis=0, ddof=ddof)
    np.testing.assert_allclose(by_column, x.astype(np.float64).var(0, ddof=ddof), rtol=1e-4)


def test_bfloat16_losses_are_summed_in_float32() -> None:
    """A sum of 1000 ones stops at 256 in bfloat16."""
    ones, mask = jnp.ones((1000, 2), jnp.bfloat16), np.ones((1000, 2), bool)
    assert masked_sum(ones, mask) == 2000
    for reduction in (token_mean, sequence_mean, partial(fixed_length, length=1000.0)):
        assert reduction(ones, mask) == 1
