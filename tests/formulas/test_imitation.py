"""Identities, signs and stability of cloning and of rewards from a discriminator."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrl.formulas import imitation, preference
from tests.formulas.tools import array, near, sample

LOGIT = np.linspace(-6, 6, 25).astype(np.float32)
REWARDS = [imitation.gail_reward, imitation.airl_reward, imitation.saturating_reward]


def test_signs_and_order_of_the_rewards():
    """GAIL's always pays for staying alive, the saturating one never does, AIRL's does both."""
    gail, airl, saturating = (np.asarray(reward(LOGIT)) for reward in REWARDS)
    assert np.all(gail > 0)
    assert np.all(saturating < 0)
    near(airl, LOGIT)
    near(gail + saturating, LOGIT, atol=1e-5)
    for reward in (gail, airl, saturating):
        assert np.all(np.diff(reward) > 0)
    near(imitation.gail_reward(array(0.0)), np.log([2.0]))
    near(imitation.saturating_reward(array(0.0)), -np.log([2.0]))


@pytest.mark.parametrize("reward", REWARDS)
@pytest.mark.parametrize("logit", [-1e4, -100.0, 100.0, 1e4])
def test_rewards_are_finite_far_out(reward, logit):
    value, gradient = jax.value_and_grad(lambda x: jnp.sum(reward(x)))(array(logit))
    assert np.isfinite(value)
    assert np.all((gradient >= 0) & (gradient <= 1))


def test_far_out_values():
    near(imitation.gail_reward(array(100.0)), array(100.0))
    near(imitation.saturating_reward(array(-100.0)), array(-100.0))
    near(imitation.gail_reward(array(-20.0)), np.array([np.exp(-20)]), atol=1e-12)
    near(jax.grad(lambda x: imitation.gail_reward(x)[0])(array(100.0)), array(1.0))


def test_discriminator_gradient_is_its_error():
    expert = np.arange(25) % 2 == 0

    def loss(logit):
        return jnp.sum(imitation.discriminator_loss(logit, expert))

    near(jax.grad(loss)(LOGIT), jax.nn.sigmoid(LOGIT) - expert.astype(np.float32))
    near(
        imitation.discriminator_loss(LOGIT, expert.astype(np.float32)),
        imitation.discriminator_loss(LOGIT, expert),
    )


@pytest.mark.parametrize("expert", [False, True])
@pytest.mark.parametrize("logit", [-100.0, 100.0])
def test_discriminator_is_stable(expert, logit):
    def loss(x):
        return jnp.sum(imitation.discriminator_loss(x, jnp.array([expert])))

    value, gradient = jax.value_and_grad(loss)(array(logit))
    wrong = expert == (logit < 0)
    near(value, 100.0 if wrong else 0.0)
    near(gradient, array(np.sign(logit) if wrong else 0.0))


def test_discriminator_is_least_at_the_density_ratio():
    """With 3 expert samples to 1 of the policy the best logit is log 3."""
    expert = jnp.array([True, True, True, False])

    def loss(x):
        return jnp.sum(imitation.discriminator_loss(jnp.full(4, x), expert))

    near(jax.grad(loss)(jnp.float32(np.log(3.0))), 0.0)


def test_cloning_is_the_loss_of_supervised_tuning():
    logits, action = sample(0, 5, 3, 4), np.full((5, 3), 2, np.int32)
    near(imitation.cloning_loss(logits, action), preference.sft_loss(logits, action))
    near(imitation.cloning_loss(jnp.zeros((1, 4)), jnp.array([0])), np.log([4.0]))


def test_squared_cloning_pulls_towards_the_expert():
    action, expert = sample(1, 5, 3), sample(2, 5, 3)
    near(imitation.squared_cloning_loss(expert, expert), np.zeros(5))
    near(imitation.squared_cloning_loss(array([3.0, 4.0]), array([0.0, 0.0])), array(12.5))
    gradient = jax.grad(lambda a: jnp.sum(imitation.squared_cloning_loss(a, expert)))(action)
    near(gradient, action - expert)
