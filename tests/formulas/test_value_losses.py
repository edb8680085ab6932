"""Value losses: limits, minimisers, and what the clipped loss is for."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrl.formulas.value_losses import (
    clipped_value_loss,
    expectile_loss,
    explained_variance,
    huber_loss,
    sequence_priority,
    squared_loss,
)
from tests.formulas.near import assert_near

RNG = np.random.default_rng(0)
VALUE, TARGET = RNG.normal(size=(2, 20)).astype(np.float32)


def slope(loss: Any, value: np.ndarray) -> np.ndarray:
    return np.asarray(jax.grad(lambda x: jnp.sum(loss(x)))(value))


def test_the_gradient_of_half_a_square_is_the_error() -> None:
    assert_near(slope(lambda v: squared_loss(v, TARGET), VALUE), VALUE - TARGET, 1e-6)


def test_huber_is_square_near_and_straight_far() -> None:
    assert_near(huber_loss(VALUE, TARGET, 1e3), squared_loss(VALUE, TARGET), 1e-6)
    gradient = slope(lambda v: huber_loss(v, TARGET, 0.5), VALUE)
    assert_near(gradient, np.clip(VALUE - TARGET, -0.5, 0.5), 1e-6)


def test_a_sequence_is_as_urgent_as_its_worst_step_or_as_its_mean_one() -> None:
    error = np.float32([[1.0, -2.0], [-3.0, 0.0]])
    for share, expected in ((1.0, [3.0, 2.0]), (0.0, [2.0, 1.0]), (0.9, [2.9, 1.9])):
        assert_near(sequence_priority(error, share), np.array(expected), 1e-6)


def test_expectiles() -> None:
    """At one half it is the squared loss; its minimiser splits the weighted errors evenly."""
    assert_near(expectile_loss(VALUE, TARGET, 0.5), squared_loss(VALUE, TARGET), 1e-6)
    for tau in (0.1, 0.9):
        loss = jax.jit(lambda v, tau=tau: jnp.mean(expectile_loss(jnp.full(20, v), TARGET, tau)))
        value = 0.0
        for _ in range(200):
            value = value - 0.5 * jax.grad(loss)(value)
        error = TARGET - np.float32(value)
        up, down = tau * error[error > 0].sum(), (tau - 1) * error[error < 0].sum()
        np.testing.assert_allclose(up, down, rtol=1e-4)
        assert (tau > 0.5) == (value > TARGET.mean())


def test_a_clipped_loss_is_the_plain_one_nearby_and_never_less() -> None:
    plain = np.asarray(squared_loss(VALUE, TARGET))
    assert_near(clipped_value_loss(VALUE, VALUE + 0.1, TARGET, 0.2), plain, 1e-6)
    far = np.asarray(clipped_value_loss(VALUE, VALUE - 1, TARGET, 0.2))
    assert (far >= plain).all() and (far > plain).any()


def test_a_value_that_moved_too_far_towards_its_target_rests() -> None:
    value, old, target = np.float32([1.0, -1.0]), np.zeros(2, np.float32), np.full(2, 3, np.float32)
    gradient = slope(lambda v: clipped_value_loss(v, old, target, 0.2), value)
    np.testing.assert_allclose(gradient, [0.0, -4.0], atol=1e-6)


def test_explained_variance() -> None:
    assert explained_variance(TARGET, TARGET) == 1
    np.testing.assert_allclose(explained_variance(np.zeros_like(TARGET), TARGET), 0, atol=1e-6)
    np.testing.assert_allclose(explained_variance(-TARGET, TARGET), -3, rtol=1e-5)
    shifted = explained_variance(TARGET + 5, TARGET)  # a constant error leaves no variance
    np.testing.assert_allclose(shifted, 1, rtol=1e-5)


@pytest.mark.parametrize("value", [0.0, 0.1, 1e6])
def test_equal_targets_have_nothing_to_explain(value: float) -> None:
    assert explained_variance(VALUE, np.full_like(VALUE, value)) == 0
    gradient = jax.grad(lambda v: explained_variance(v, jnp.full_like(v, value)))(VALUE)
    assert np.isfinite(gradient).all()
