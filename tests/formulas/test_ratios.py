"""Ratios and weights: worked numbers, and whose gradient passes through."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrl.formulas.policy_losses import clipped_surrogate, importance_weighted
from jaxrl.formulas.ratios import (
    dynamic_bounds,
    gspo_token_log_ratio,
    masked_weight,
    off_policy_mask,
    retrace_weight,
    sequence_log_ratio,
    token_log_ratio,
    total_log_ratio,
    truncated_weight,
)
from jaxrl.formulas.reduce import sequence_mean
from tests.formulas.draw import draw
from tests.formulas.near import assert_near

ADVANTAGE, OLD = np.float32([1, -1, 2]), -np.ones(3, np.float32)
NEW = np.float32([-1.6931472, -1, -0.5945349])  # ratios 1/2, 1, 3/2
ALL = np.ones(3, bool)


def test_a_ratio_of_probabilities() -> None:
    log_ratio = token_log_ratio(np.log(np.float32([0.3, 0.1])), np.log(np.float32([0.1, 0.1])))
    np.testing.assert_allclose(np.exp(log_ratio), [3.0, 1.0], rtol=1e-6)


def test_gspo_of_nemo() -> None:
    log_ratio = sequence_log_ratio(NEW, OLD, ALL)
    loss = clipped_surrogate(log_ratio, ADVANTAGE, 0.8, 1.2)
    np.testing.assert_allclose(loss, [-0.9086, 0.9086, -1.8171], atol=1e-4)


def test_sequence_ratios_of_areal() -> None:
    new, old = np.float32([[0.0, 2.0], [1.0, 0.0]]), np.zeros((2, 2), np.float32)
    log_ratio = sequence_log_ratio(new, old, np.ones((2, 2), bool))
    np.testing.assert_allclose(np.exp(log_ratio), [[1.6487213, 2.7182818]] * 2, rtol=1e-6)


def test_sums_and_means_over_a_sequence() -> None:
    rng = np.random.default_rng(0)
    data = draw("log_prob old_log_prob mask", (6, 3))(rng)
    length = data["mask"].sum(0).astype(np.float32)[None]
    assert length.min() == 0 < length.max()
    assert_near(total_log_ratio(**data), length * sequence_log_ratio(**data), 1e-5)
    one = data["mask"] & (np.cumsum(data["mask"], 0) == 1)
    alone = sequence_log_ratio(data["log_prob"], data["old_log_prob"], one)
    assert_near(alone, token_log_ratio(data["log_prob"], data["old_log_prob"], one), 1e-6)


def test_gspo_token_is_gspo_in_value_and_gradient() -> None:
    """With one advantage for the whole sequence; with two they differ, which is its purpose."""
    data = draw("log_prob old_log_prob mask", (6, 4))(np.random.default_rng(1))
    old, mask = data["old_log_prob"], data["mask"]
    whole = np.tile(np.float32([1, 2, -1, 0.5]), (6, 1))

    def loss(log_prob: Any, ratio: Any, advantage: Any) -> Any:
        log_ratio = ratio(log_prob, old, mask)
        return sequence_mean(clipped_surrogate(log_ratio, advantage, 0.5, 2.0), mask)

    both = [jax.value_and_grad(loss) for _ in range(2)]
    ratios = (sequence_log_ratio, gspo_token_log_ratio)
    ours, theirs = (f(data["log_prob"], r, whole) for f, r in zip(both, ratios, strict=True))
    assert_near(ours, theirs, 1e-5)
    partial = np.where(np.arange(6)[:, None] < 3, whole, 0)
    ours, theirs = (f(data["log_prob"], r, partial) for f, r in zip(both, ratios, strict=True))
    assert_near(ours[0], theirs[0], 1e-5)
    assert np.abs(ours[1] - theirs[1]).max() > 0.01


def test_gradient_of_gspo() -> None:
    """The gradient of s A is s A / |o| times the sum of the scores."""
    gradient = jax.grad(
        lambda x: importance_weighted(sequence_log_ratio(x, OLD, ALL), 2.0 * ALL)[0]
    )(NEW)
    ratio = 0.75 ** (1 / 3)
    np.testing.assert_allclose(gradient, np.full(3, -2 * ratio / 3), rtol=1e-5)


BOUNDS = {
    0.0005: (0.5, 10.0),
    0.002: (0.5, 10.0),
    0.01: (0.5, 5.0),
    0.05: (0.5, 2.56155),
    0.1: (0.5, 2.0),
    0.2: (0.5, 1.61803),
    0.5: (0.5, 1.30623),
    0.64: (0.5, 1.25),
    0.8: (0.72361, 1.20711),
    1 / 1.2: (0.74083, 1.2),
    0.9: (0.76874, 1.18718),
    1.0: (0.8, 1.17082),
}


def test_dynamic_bounds_of_dcpo() -> None:
    """GRPO's 0.8 at q = 1 and its 1.2 at q = 1/1.2 are what 0.16 and 0.2 were chosen for."""
    old = np.log(np.float32(list(BOUNDS)))
    lower, upper = dynamic_bounds(old, 0.16, 0.2)
    at_the_root = np.float32([5e-4 if q == 0.64 else 1e-5 for q in BOUNDS])  # rounding under it
    expected_lower, expected_upper = np.array(list(BOUNDS.values())).T
    assert (np.abs(lower - expected_lower) <= at_the_root).all()
    np.testing.assert_allclose(upper, expected_upper, atol=1e-5)


def test_impossible_tokens_have_finite_bounds() -> None:
    bounds = dynamic_bounds(np.float32([-np.inf, -200.0]), 0.16, 0.2)
    np.testing.assert_array_equal(bounds, [[0.5, 0.5], [10.0, 10.0]])


def test_truncated_weights_of_nemo_and_verl() -> None:
    log_ratio = OLD - np.float32([-0.5, -1.5, -0.8])
    np.testing.assert_allclose(
        truncated_weight(log_ratio, 9.0), [0.6065, 1.6487, 0.8187], atol=1e-4
    )
    loss = truncated_weight(log_ratio, 0.8) * clipped_surrogate(NEW - OLD, ADVANTAGE, 0.8, 1.2)
    np.testing.assert_allclose(loss, [-0.3033, 0.8, -1.92], atol=1e-4)
    verl = truncated_weight(np.float32([-2.0, -2.0]) - np.float32([-1.0, -2.5]), 2.0)
    np.testing.assert_allclose(verl, [0.368, 1.649], atol=1e-3)


def test_weights_of_an_untouched_policy_are_one() -> None:
    none = np.zeros(4, np.float32)
    for weight in (
        truncated_weight(none, 1.0),
        masked_weight(none, 0.5, 5.0),
        retrace_weight(none, 1.0),
    ):
        np.testing.assert_array_equal(weight, np.ones(4))


def test_weights_of_extreme_ratios_are_finite() -> None:
    log_ratio = np.float32([-1e4, -90.0, 90.0, 1e4, np.inf, -np.inf])
    np.testing.assert_allclose(truncated_weight(log_ratio, 2.0), [0, 0, 2, 2, 2, 0], atol=1e-6)
    np.testing.assert_allclose(masked_weight(log_ratio, 0.5, 5.0), np.zeros(6))
    np.testing.assert_allclose(retrace_weight(log_ratio, 0.9), [0, 0, 0.9, 0.9, 0.9, 0], atol=1e-6)


def test_masked_weights_drop_what_lies_outside() -> None:
    ratio = np.float32([0.49, 0.51, 1.0, 4.9, 5.1])
    weight = masked_weight(np.log(ratio), 0.5, 5.0)
    np.testing.assert_allclose(weight, [0, 0.51, 1.0, 4.9, 0], rtol=1e-5)


@pytest.mark.parametrize(
    "weight",
    [
        lambda d: truncated_weight(d, 2.0),
        lambda d: masked_weight(d, 0.5, 5.0),
        lambda d: retrace_weight(d, 0.9),
        lambda d: off_policy_mask(jnp.sin(d), d, jnp.ones(3, bool), 0.1),
    ],
)
def test_weights_have_no_gradient(weight: Any) -> None:
    gradient = jax.grad(lambda d: jnp.sum(weight(d)))(jnp.array([-0.3, 0.0, 0.4]))
    np.testing.assert_array_equal(gradient, np.zeros(3))


def test_off_policy_mask_of_trl() -> None:
    """One token per sequence: a good one stays, a bad one stays only if it is near."""
    advantage, distance = np.float32([[1, -1, -1]]), np.float32([[2, 0.5, 2]])
    keep = off_policy_mask(advantage, -distance, np.ones((1, 3), bool), 1.0)
    np.testing.assert_array_equal(keep, [[1, 1, 0]])


def test_no_ratio_reads_a_masked_infinity() -> None:
    """Padding has log-probability minus infinity on both sides, whose difference is NaN."""
    log_prob = np.float32([-1.0, -np.inf])
    mask = np.array([True, False])
    for ratio in (token_log_ratio, sequence_log_ratio, total_log_ratio, gspo_token_log_ratio):
        value, gradient = jax.value_and_grad(lambda x, r=ratio: r(x, log_prob, mask).sum())(
            log_prob
        )
        assert value == 0.0
        np.testing.assert_array_equal(gradient, [1.0, 0.0])
