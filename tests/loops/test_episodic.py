"""The episodic loop: groups from one start, and nothing after an end."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrl import make_train
from jaxrl.config import replace
from jaxrl.loops import episodic
from jaxrl.types import Box, Discrete, Env, Spaces, Timestep
from jaxrl.zoo import ZOO
from tests.loops.chance import LIMIT, chance, replay, spy, updates

NUM_ENVS, NUM_UPDATES = 12, 3
LONG, SHORT = LIMIT + 3, LIMIT - 2  # windows behind the limit, and before it
windows = pytest.mark.parametrize("num_steps", [LONG, SHORT])


@functools.cache
def found(num_steps=LONG, group_size=4):
    algorithm = episodic(chance(), spy(), NUM_ENVS, num_steps, group_size)
    return [metrics for _, metrics in updates(algorithm, NUM_UPDATES)[0]]


def valid(steps):
    """Steps up to the first end of each environment, and with it."""
    done = np.asarray(steps.done)
    before = np.cumsum(done, 0) - done
    return before == 0


@windows
def test_groups_share_their_start_and_no_start_serves_twice(num_steps):
    tags = np.stack([np.asarray(m["rollout"].transition.obs[0]) for m in found(num_steps)])
    assert not tags[..., 1:].any()
    groups = tags[..., 0].reshape(-1, 4)
    assert (groups == groups[:, :1]).all()
    assert len(np.unique(groups[:, 0])) == len(groups)


@windows
def test_the_mask_is_exact(num_steps):
    for metrics in found(num_steps):
        rollout = metrics["rollout"]
        np.testing.assert_array_equal(rollout.mask, valid(rollout.transition))
    assert any(not np.asarray(m["rollout"].mask).all() for m in found(num_steps))


@windows
def test_valid_steps_follow_the_rules(num_steps):
    for metrics in found(num_steps):
        steps, mask = metrics["rollout"].transition, np.asarray(metrics["rollout"].mask)
        expected = replay(steps)
        actual = (steps.next_obs, steps.reward, steps.terminated, steps.truncated)
        for one, other in zip(actual, expected, strict=True):
            np.testing.assert_array_equal(np.asarray(one)[mask], other[mask])
        on = mask[1:]
        np.testing.assert_array_equal(
            np.asarray(steps.obs)[1:][on], np.asarray(steps.next_obs)[:-1][on]
        )
        np.testing.assert_array_equal(
            np.asarray(steps.extras["carry"])[mask], np.asarray(steps.obs)[mask][:, 1]
        )
        draws = np.asarray(steps.next_obs)[..., 3].ravel()
        assert len(np.unique(draws)) == len(draws)


@windows
def test_every_trajectory_counts_once_and_as_far_as_it_went(num_steps):
    for metrics in found(num_steps):
        rollout = metrics["rollout"]
        mask, reward = np.asarray(rollout.mask), np.asarray(rollout.transition.reward)
        assert float(metrics["episode_return"].count) == NUM_ENVS
        assert float(metrics["episode_return"].total) == reward[mask].sum()
        assert float(metrics["episode_length"].total) == mask.sum()


def test_what_follows_an_end_idles_at_the_start():
    """No network sees the state in which an episode ended, which need not be finite."""
    for metrics in found():
        rollout = metrics["rollout"]
        mask, obs = np.asarray(rollout.mask), np.asarray(rollout.transition.obs)
        for n in range(NUM_ENVS):
            for t in range(mask[:, n].sum(), len(obs)):
                np.testing.assert_array_equal(obs[t, n], obs[0, n])
            np.testing.assert_array_equal(np.asarray(rollout.last_obs)[n], obs[0, n])


@pytest.mark.parametrize("name", ["reinforce", "rloo", "grpo"])
def test_a_state_that_is_no_number_ends_an_episode_and_no_training(name):
    def reset(key):
        x = jax.random.normal(key)
        return x, x[None]

    def step(key, x, action):
        x = x + jnp.where(action == 1, 1.0, -1.0)
        x = jnp.where(jnp.abs(x) > 2, jnp.nan, x)
        return x, Timestep(jnp.stack([x]), jnp.float32(1), jnp.isnan(x), jnp.bool_(False))

    env = Env(reset, step, Spaces(Box(-jnp.inf, jnp.inf, (1,)), Discrete(2)))
    fields = {"num_envs": 8, "num_steps": 16, "hidden_sizes": (4,), "group_size": 4}
    config = replace(ZOO[name].config, **fields)
    _, metrics = jax.jit(make_train(config, env, 3 * 8 * 16))(jax.random.key(0))
    assert metrics["episode_length"].total.sum() < 3 * 8 * 16  # some ended
    assert metrics["refused"].total.sum() == 0 and np.isfinite(metrics["policy_loss"].total).all()


def test_what_an_environment_pays_after_its_end_is_not_refused():
    """An episode is over: NaN behind it is nobody's reward."""
    env = chance()

    def step(key, state, action):
        ended = (state.time > 0) & ((state.draw % 5 == 0) | (state.time >= LIMIT))
        state, reached = env.step(key, state, action)
        return state, reached._replace(reward=jnp.where(ended, jnp.nan, reached.reward))

    for _, metrics in updates(episodic(env._replace(step=step), spy(), NUM_ENVS, LONG, 1), 2)[0]:
        assert np.isfinite(float(metrics["episode_return"].total))
        assert float(metrics["refused"].total) == 0


def test_a_group_of_one_is_no_group():
    starts = [np.asarray(m["rollout"].transition.obs[0, :, 0]) for m in found(group_size=1)]
    assert len(np.unique(starts)) == NUM_ENVS * NUM_UPDATES


def test_trajectories_of_a_group_go_their_own_ways():
    reached = np.asarray(found()[0]["rollout"].transition.next_obs[0, :, 3])
    assert len(np.unique(reached)) == NUM_ENVS


def test_seeds_differ():
    algorithm = episodic(chance(), spy(), NUM_ENVS, SHORT, 4)
    one, two = (updates(algorithm, 1, seed)[0][0][1]["rollout"].transition.obs for seed in (0, 1))
    assert not (np.asarray(one)[0, :, 0] == np.asarray(two)[0, :, 0]).any()
    assert jax.tree.structure(one) == jax.tree.structure(two)
