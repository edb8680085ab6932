"""Identities of the rewards for what a prediction did not foresee."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxrl.formulas import exploration, imitation
from tests.formulas.tools import array, near, sample

PREDICTION, FEATURE = sample(0, 5, 3, 8), sample(1, 5, 3, 8)


@pytest.mark.parametrize("error", [exploration.icm_forward_loss, exploration.rnd_error])
def test_what_was_foreseen_earns_nothing(error):
    value, gradient = jax.value_and_grad(lambda x: jnp.sum(error(x, FEATURE)))(FEATURE)
    near(value, 0.0)
    near(gradient, np.zeros_like(FEATURE))


def test_worked_errors():
    prediction, feature = array([3.0, 4.0]), array([0.0, 0.0])
    near(exploration.icm_forward_loss(prediction, feature), array(12.5))
    near(exploration.icm_reward(prediction, feature, 0.2), array(2.5))
    near(exploration.rnd_error(prediction, feature), array(12.5))
    near(exploration.rnd_error(array([3.0, 4.0, 0.0, 0.0]), jnp.zeros((1, 4))), array(6.25))


def test_icm_reward_is_the_scaled_forward_loss():
    loss = exploration.icm_forward_loss(PREDICTION, FEATURE)
    near(exploration.icm_reward(PREDICTION, FEATURE, 0.3), 0.3 * loss)
    near(exploration.icm_reward(PREDICTION, FEATURE, 0.0), jnp.zeros_like(loss))


def test_rnd_is_the_forward_loss_by_the_number_of_features():
    error = exploration.rnd_error(PREDICTION, FEATURE)
    near(error, exploration.icm_forward_loss(PREDICTION, FEATURE) * 2 / 8)


def test_gradients_are_the_errors():
    def total(loss):
        return jax.grad(lambda x: jnp.sum(loss(x, FEATURE)))(PREDICTION)

    near(total(exploration.icm_forward_loss), PREDICTION - FEATURE)
    near(total(exploration.rnd_error), (PREDICTION - FEATURE) * 2 / 8)


def test_the_inverse_model_is_trained_as_a_clone():
    logits, action = sample(2, 5, 3, 4), np.full((5, 3), 1, np.int32)
    inverse = exploration.icm_inverse_loss(logits, action)
    near(inverse, imitation.cloning_loss(logits, action))


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 10**6), st.floats(-5, 5))
def test_errors_ignore_a_shift_and_the_order_of_features(seed, shift):
    prediction, feature = sample(seed, 4, 6), sample(seed + 1, 4, 6)
    order = np.random.default_rng(seed).permutation(6)
    for error in (exploration.icm_forward_loss, exploration.rnd_error):
        value = error(prediction, feature)
        shifted = error(prediction + np.float32(shift), feature + np.float32(shift))
        near(shifted, value, rtol=1e-4, atol=1e-5)
        near(error(prediction[:, order], feature[:, order]), value)
