"""Baselines: none of them biases the gradient, and the optimal one varies least."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrl.formulas.baselines import (
    action_dependent_loss,
    mean_baseline,
    moving_baseline,
    optimal_baseline,
)
from jaxrl.formulas.policy_losses import policy_gradient
from jaxrl.formulas.weightings import baselined_return
from tests.formulas.near import assert_near

LOGITS = jnp.array([[0.3, -1.0, 0.8], [0.0, 2.0, -0.5]])
Q = jnp.array([[1.0, -2.0, 0.5], [0.3, 0.7, 4.0]])


def every_action(x: Any) -> Any:
    """[S, A] -> [S, A, A]: one copy for each action that might be taken."""
    return jnp.repeat(x[:, None], x.shape[-1], axis=1)


def gradient_of_mean(loss: Any, weight: Any) -> Any:
    """The gradient by the logits, averaged over all actions with the policy's probabilities."""
    prob = jax.nn.softmax(LOGITS)
    action = jnp.broadcast_to(jnp.arange(Q.shape[-1]), Q.shape)
    return jax.grad(lambda x: jnp.sum(prob * loss(every_action(x), action, weight)))(LOGITS)


def score_loss(logits: Any, action: Any, weight: Any) -> Any:
    log_prob = jnp.take_along_axis(jax.nn.log_softmax(logits), action[..., None], -1)[..., 0]
    return policy_gradient(log_prob, weight)


EXACT = jax.grad(lambda x: -jnp.sum(jax.nn.softmax(x) * Q))(LOGITS)


@pytest.mark.parametrize("baseline", [0.0, 3.0, np.float32([[-1.0], [5.0]])])
def test_a_baseline_of_the_state_leaves_the_gradient(baseline: Any) -> None:
    weight = baselined_return(Q, baseline)
    assert_near(gradient_of_mean(score_loss, weight), EXACT, 1e-5)


@pytest.mark.parametrize("seed", range(3))
def test_a_baseline_of_the_action_leaves_the_gradient(seed: int) -> None:
    baseline = 3 * jax.random.normal(jax.random.key(seed), Q.shape)

    def loss(logits: Any, action: Any, weight: Any) -> Any:
        return action_dependent_loss(logits, action, weight, every_action(baseline))

    assert_near(gradient_of_mean(loss, Q), EXACT, 1e-5)
    biased = gradient_of_mean(score_loss, Q - baseline)
    assert jnp.max(jnp.abs(biased - EXACT)) > 0.1


def test_a_perfect_baseline_of_the_action_leaves_no_variance() -> None:
    """With b = Q every action gives the same gradient, that of the expectation."""
    for action in range(Q.shape[-1]):
        actions = jnp.full(Q.shape[:1], action)
        loss = lambda x, a=actions: jnp.sum(action_dependent_loss(x, a, _taken(a), Q))  # noqa: E731
        assert_near(jax.grad(loss)(LOGITS), EXACT, 1e-5)


def _taken(action: Any) -> Any:
    return jnp.take_along_axis(Q, action[:, None], -1)[:, 0]


def test_the_optimal_baseline_varies_least() -> None:
    """Over four samples in the policy's proportions, 1/2, 1/4, 1/4."""
    prob, action = jnp.array([0.5, 0.25, 0.25]), jnp.array([0, 0, 1, 2])
    returns = jnp.array([1.0, 1.0, -3.0, 2.5])
    score = jnp.eye(3)[action] - prob[None]
    np.testing.assert_allclose(score.sum(0), np.zeros(3), atol=1e-6)
    best = optimal_baseline(returns, jnp.sum(score**2, -1))

    def spread(b: Any) -> float:
        sample = score * (returns - b)[:, None]
        return float(jnp.sum(jnp.var(sample, axis=0)))

    assert all(spread(best) < spread(best + gap) for gap in (-0.5, -0.01, 0.01, 0.5))
    assert spread(best) < min(spread(mean_baseline(returns)), spread(0.0))


def test_a_moving_baseline_forgets_at_its_rate() -> None:
    returns = jnp.array([2.0, 4.0])
    assert_near(moving_baseline(1.0, returns, 0.0), mean_baseline(returns), 1e-6)
    assert_near(moving_baseline(1.0, returns, 1.0), np.float32(1.0), 1e-6)
    baseline: Any = 0.0
    for _ in range(10):
        baseline = moving_baseline(baseline, returns, 0.5)
    assert_near(baseline, np.float32(3 * (1 - 0.5**10)), 1e-6)
