"""The six weightings: how each follows from another, and that all give one policy gradient."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxrl.formulas.weightings import (
    action_advantage,
    action_value,
    baselined_return,
    reward_to_go,
    td_error,
    trajectory_return,
)
from tests.formulas.draw import draw
from tests.formulas.near import assert_near

GAMMA = 0.9


def window(seed: int) -> dict[str, Any]:
    return draw("reward next_value discount done", (8, 3))(np.random.default_rng(seed))


def test_the_whole_return_is_that_of_the_first_step() -> None:
    data = window(0)
    whole, to_go = np.asarray(trajectory_return(**data)), np.asarray(reward_to_go(**data))
    first = np.concatenate([np.ones_like(data["done"][:1]), data["done"][:-1]])
    assert 3 < first.sum() < first.size
    assert_near(whole[first], to_go[first], 1e-6)
    same = ~data["done"][:-1]
    np.testing.assert_array_equal(whole[1:][same], whole[:-1][same])


def test_returns_without_a_critic() -> None:
    """With zeros for the next value, rewards alone are summed."""
    reward = jnp.array([1.0, 4.0, 4.0, 8.0])
    done, zero = jnp.array([False, True, False, False]), jnp.zeros(4)
    discount = jnp.full(4, 0.5)
    np.testing.assert_allclose(trajectory_return(reward, zero, discount, done), [3, 3, 8, 8])
    np.testing.assert_allclose(reward_to_go(reward, zero, discount, done), [3, 4, 8, 8])


def test_errors_average_to_advantages() -> None:
    """In a small world of known values the mean TD error of an action is its advantage."""
    rng = np.random.default_rng(1)
    prob, reward = rng.dirichlet(np.ones(3), 2), rng.normal(size=(2, 3))
    move = rng.dirichlet(np.ones(2), (2, 3))  # state, action -> next state
    value = np.zeros(2)
    for _ in range(500):
        q = reward + GAMMA * move @ value
        value = (prob * q).sum(-1)
    state, action, after = (x.ravel() for x in np.indices((2, 3, 2)))
    error = td_error(
        _single(reward[state, action]), _single(value[state]), _single(value[after]), GAMMA
    )
    mean = (move * np.asarray(error).reshape(2, 3, 2)).sum(-1)
    place = np.indices((2, 3)).astype(np.int32)
    advantage = action_advantage(_single(q[place[0]]), place[1], _single(prob[place[0]]))
    assert_near(mean, advantage, 1e-4)


def _single(x: Any) -> np.ndarray:
    return np.asarray(x, np.float32)


def test_advantages_average_to_nothing() -> None:
    rng = np.random.default_rng(2)
    q, prob = _single(rng.normal(size=(4, 3))), _single(rng.dirichlet(np.ones(3), 4))
    each = [action_advantage(q, np.full(4, a, np.int32), prob) for a in range(3)]
    np.testing.assert_allclose((prob * np.stack(each, -1)).sum(-1), np.zeros(4), atol=1e-6)


def test_all_six_give_one_expected_gradient() -> None:
    """One step, three actions, summed over all of them; values are those of the policy itself."""
    logits = jnp.array([0.3, -1.0, 0.8])
    q, zero = jnp.array([[1.0, -2.0, 0.5]] * 3), jnp.zeros(3)
    action, end = jnp.arange(3), jnp.ones((1, 3), bool)
    policy = jax.nn.softmax(logits)
    prob = jnp.stack([policy] * 3)
    value = (prob * q).sum(-1)
    reward, none = jnp.diagonal(q)[None], jnp.zeros((1, 3))
    weights = {
        "trajectory": trajectory_return(reward, none, 0.0, end)[0],
        "to go": reward_to_go(reward, none, 0.0, end)[0],
        "baselined": baselined_return(reward[0], value),
        "action value": action_value(q, action),
        "advantage": action_advantage(q, action, prob),
        "error": td_error(reward[0], value, zero, 0.0),
    }

    def mean_loss(logits: Any, weight: Any) -> Any:
        return -jnp.sum(policy * weight * jax.nn.log_softmax(logits))

    exact = jax.grad(lambda x: -jnp.sum(jax.nn.softmax(x) * q[0]))(logits)
    for weight in weights.values():
        assert_near(jax.grad(mean_loss)(logits, weight), exact, 1e-5)
