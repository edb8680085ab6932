"""The continuing loop: its rollouts replayed in NumPy, number by number."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrl.loops import on_policy, run
from tests.loops.chance import chance, replay, spy, updates

NUM_ENVS, NUM_STEPS, NUM_UPDATES = 5, 9, 4


@functools.cache
def history(num_steps=NUM_STEPS, num_updates=NUM_UPDATES):
    return updates(on_policy(chance(), spy(), NUM_ENVS, num_steps), num_updates)


def rollouts(**settings):
    return [metrics["rollout"] for _, metrics in history(**settings)[0]]


def joined(**settings):
    """All transitions of all updates, one after the other."""
    parts = [rollout.transition for rollout in rollouts(**settings)]
    return jax.tree.map(lambda *x: np.concatenate([np.asarray(y) for y in x]), *parts)


def test_every_step_follows_the_rules():
    steps = joined()
    reached, reward, terminated, truncated = replay(steps)
    assert terminated.sum() > 5 and truncated.sum() > 5  # the test tests both
    np.testing.assert_array_equal(steps.next_obs, reached)
    np.testing.assert_array_equal(steps.reward, reward)
    np.testing.assert_array_equal(steps.terminated, terminated)
    np.testing.assert_array_equal(steps.truncated, truncated)


def test_an_episode_goes_on_from_what_it_reached_also_across_updates():
    steps = joined()
    done = steps.terminated | steps.truncated
    going = ~done[:-1]
    np.testing.assert_array_equal(steps.obs[1:][going], steps.next_obs[:-1][going])
    assert not steps.obs[0, :, 1:].any()  # all begin at time 0


def test_an_end_is_followed_by_a_reset_that_serves_once():
    steps = joined()
    done = steps.terminated | steps.truncated
    after = steps.obs[1:][done[:-1]]
    assert not after[:, 1:].any()
    tags = np.concatenate([steps.obs[0, :, 0], after[:, 0]])
    assert len(np.unique(tags)) == len(tags)


def test_the_steps_keys_all_differ():
    draws = joined().next_obs[..., 3].ravel()
    assert len(np.unique(draws)) == len(draws)


def test_noise_learning_keys_and_actions():
    steps = joined()
    np.testing.assert_array_equal(steps.action, steps.extras["noise"] % 3)
    noise = steps.extras["noise"].ravel()
    assert len(np.unique(noise)) == len(noise)
    keys = [tuple(np.asarray(metrics["key"])) for _, metrics in history()[0]]
    assert len(set(keys)) == len(keys)


def test_memory_is_reset_where_an_episode_ended():
    steps = joined()
    np.testing.assert_array_equal(steps.extras["carry"], steps.obs[..., 1])  # steps since reset


def test_what_surrounds_a_rollout():
    found, state = history()
    for (before, metrics), nxt in zip(found, [*found[1:], (state, None)], strict=True):
        rollout, after = metrics["rollout"], nxt[0]
        np.testing.assert_array_equal(rollout.first_carry, before.scene.carry)
        np.testing.assert_array_equal(rollout.transition.obs[0], before.scene.obs)
        np.testing.assert_array_equal(rollout.last_obs, after.scene.obs)
        np.testing.assert_array_equal(rollout.last_carry, after.scene.carry)
        np.testing.assert_array_equal(rollout.last_carry, rollout.last_obs[:, 1])
        assert rollout.mask is None
    assert int(state.num_updates) == NUM_UPDATES and int(state.bad_update) == -1


@pytest.mark.parametrize("settings", [{}, {"num_steps": 1, "num_updates": 12}], ids=["9", "1"])
def test_episode_statistics(settings):
    """Of all episodes that ended in an update, whenever they began."""
    sums = np.zeros((2, NUM_ENVS))
    for _, metrics in history(**settings)[0]:
        steps = metrics["rollout"].transition
        count, total = 0, np.zeros(2)
        for reward, done in zip(np.asarray(steps.reward), np.asarray(steps.done), strict=True):
            sums += np.stack([reward, np.ones(NUM_ENVS)])
            count += done.sum()
            total += sums[:, done].sum(1)
            sums[:, done] = 0
        for name, expected in zip(("episode_return", "episode_length"), total, strict=True):
            assert float(metrics[name].count) == count
            assert float(metrics[name].total) == expected


def test_a_rollout_of_one_step_is_a_longer_one_in_slices():
    steps = joined(num_steps=1, num_updates=12)
    reached, *_ = replay(steps)
    np.testing.assert_array_equal(steps.next_obs, reached)
    done = steps.terminated | steps.truncated
    np.testing.assert_array_equal(steps.obs[1:][~done[:-1]], steps.next_obs[:-1][~done[:-1]])
    assert done.any() and not steps.obs[1:][done[:-1]][:, 1:].any()


@pytest.mark.parametrize("where", ["params", "slots"])
def test_an_update_that_is_not_finite_is_refused(where):
    found, state = updates(on_policy(chance(), spy(3, where), NUM_ENVS, 2), 5)
    refused = [float(metrics["refused"].mean) for _, metrics in found]
    assert refused == [0, 0, 1, 1, 1]  # the learner stands where it was, and tries again
    assert int(state.bad_update) == 2 and int(state.num_updates) == 5
    assert float(state.learner.params["count"]) == 2
    assert float(state.learner.opt_state["seen"]) == 2 and int(state.learner.num_updates) == 2


def test_a_reward_that_is_not_finite_is_refused():
    env = chance()

    def step(key, state, action):
        state, reached = env.step(key, state, action)
        bad = (state.draw % 11) == 0
        return state, reached._replace(reward=jnp.where(bad, jnp.inf, reached.reward))

    found, state = updates(on_policy(env._replace(step=step), spy(), NUM_ENVS, 2), 6)
    broken = [not np.isfinite(m["rollout"].transition.reward).all() for _, m in found]
    assert any(broken) and not all(broken)
    assert [bool(m["refused"].mean) for _, m in found] == broken
    assert int(state.bad_update) == broken.index(True)
    assert all(np.isfinite(m["episode_return"].total) for _, m in found)
    assert int(state.learner.num_updates) == broken.count(False)


def test_run_adds_up():
    def small(key, state, rollout):
        state, _ = spy().update(key, state, rollout)
        return state, {}

    algorithm = on_policy(chance(), spy()._replace(update=small), NUM_ENVS, NUM_STEPS)
    start = algorithm.init(jax.random.key(0))
    state, metrics = jax.jit(lambda s: run(algorithm, s, NUM_UPDATES))(start)
    found, expected = history()
    for name in ("episode_return", "episode_length", "refused"):
        parts = [m[name] for _, m in found]
        assert float(metrics[name].total) == sum(float(x.total) for x in parts)
        assert float(metrics[name].count) == sum(float(x.count) for x in parts)
    np.testing.assert_array_equal(state.scene.obs, expected.scene.obs)
    assert state.key == expected.key
