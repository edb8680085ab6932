"""The off-policy loop: what it remembers replayed in NumPy, what it learns from noted."""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrl.data import Buffer, Sample
from jaxrl.loops import Pace, off_policy
from jaxrl.loops.off_policy import LEAST
from jaxrl.loops.run import run
from jaxrl.loops.wander import wandering
from jaxrl.types import Box, Discrete, Learner, LearnerState, MaskedObs, MultiDiscrete, once
from tests.loops.chance import chance, replay, updates

PACE = Pace(
    num_envs=5,
    num_steps=3,
    num_gradients=2,
    batch_size=4,
    num_iterations=6,
    learning_starts=18,  # not a multiple of 5: 4 steps of each environment, 20 in all
)
FIRST, NUM_UPDATES = 4, 4
NUM_TURNS = NUM_UPDATES * PACE.num_iterations
NUM_ROWS = FIRST + NUM_TURNS * PACE.num_steps
NUM_GRADIENTS = NUM_TURNS * PACE.num_gradients


class Diary(NamedTuple):
    """A buffer that forgets nothing: rows [T, N], how many, and the priorities it was told."""

    rows: Any
    count: Any
    told: Any


def diary():
    def init(example):
        shape = (NUM_ROWS, PACE.num_envs)
        rows = jax.tree.map(lambda x: jnp.zeros((*shape, *x.shape), x.dtype), example)
        return Diary(rows, jnp.int32(0), jnp.zeros(2**12))

    def add(state, row):
        rows = jax.tree.map(lambda x, y: x.at[state.count].set(y), state.rows, row)
        return state._replace(rows=rows, count=state.count + 1)

    def sample(state, noise):
        data = jax.tree.map(lambda x: x[noise % state.count, noise % 5], state.rows)
        weight = jnp.full(noise.shape, state.count, jnp.float32)  # so that learners can note it
        return Sample(data, noise % 2**12, weight)

    def reprioritise(state, index, priority):
        return state._replace(told=state.told.at[index].set(priority))

    draw = functools.partial(jax.random.randint, minval=0, maxval=2**30)
    return Buffer(init, add, draw, sample, reprioritise)


def student():
    """Acts by its noise and counts its steps; notes what it is fed, and asks for its number."""

    def init(key, obs):
        notes = {
            "key": jnp.zeros((NUM_GRADIENTS, 2), jnp.uint32),
            "index": jnp.zeros((NUM_GRADIENTS, PACE.batch_size), jnp.int32),
            "weight": jnp.zeros((NUM_GRADIENTS, PACE.batch_size)),
            "reward": jnp.zeros((NUM_GRADIENTS, PACE.batch_size)),
        }
        return LearnerState({"count": jnp.zeros(())}, (), jnp.int32(0), (), notes)

    def act(state, obs, noise, carry):
        action = jnp.zeros(carry.shape, jnp.int32) if noise is None else noise % 3
        return (
            action,
            {"carry": carry, "learnt": jnp.full(carry.shape, state.num_updates)},
            carry + 1,
        )

    def update(key, state, sample):
        seen = {
            "key": jax.random.key_data(key),
            "index": sample.index,
            "weight": sample.weight,
            "reward": sample.data.reward,
        }
        notes = jax.tree.map(lambda x, y: x.at[state.num_updates].set(y), state.slots, seen)
        count = state.num_updates + 1
        params = {"count": state.params["count"] + 1}
        priority = jnp.full(sample.index.shape, count, jnp.float32)
        numbers = once(number=jnp.asarray(count, jnp.float32))
        return LearnerState(params, (), count, (), notes), numbers, priority

    return Learner(
        init,
        lambda key, num_envs: jnp.zeros(num_envs, jnp.int32),
        lambda key, shape: jax.random.randint(key, shape, 0, 2**30),
        act,
        update,
    )


@functools.cache
def history():
    return updates(off_policy(chance(), student(), diary(), PACE), NUM_UPDATES)


def remembered():
    return history()[1].buffer.rows


def test_warm_up_is_whole_steps_and_then_each_update_adds_its_own():
    counts = [int(state.buffer.count) for state, _ in history()[0]]
    step = PACE.num_iterations * PACE.num_steps
    assert counts == [FIRST + i * step for i in range(NUM_UPDATES)]
    assert int(history()[1].buffer.count) == NUM_ROWS


def test_every_step_follows_the_rules():
    rows = remembered()
    reached, reward, terminated, truncated = replay(rows)
    assert terminated.sum() > 5 and truncated.sum() > 5
    np.testing.assert_array_equal(rows.next_obs, reached)
    np.testing.assert_array_equal(rows.reward, reward)
    np.testing.assert_array_equal(rows.terminated, terminated)
    np.testing.assert_array_equal(rows.truncated, truncated)


def test_episodes_go_on_across_turns_and_resets_serve_once():
    rows = remembered()
    done = np.asarray(rows.terminated | rows.truncated)
    obs, next_obs = np.asarray(rows.obs), np.asarray(rows.next_obs)
    np.testing.assert_array_equal(obs[1:][~done[:-1]], next_obs[:-1][~done[:-1]])
    after = obs[1:][done[:-1]]
    assert not after[:, 1:].any()
    tags = np.concatenate([obs[0, :, 0], after[:, 0]])
    assert len(np.unique(tags)) == len(tags)
    draws = next_obs[..., 3].ravel()
    assert len(np.unique(draws)) == len(draws)


def test_memory_is_reset_where_an_episode_ended_and_runs_on_through_warm_up():
    rows = remembered()
    np.testing.assert_array_equal(rows.extras["carry"], rows.obs[..., 1])


def test_acting_is_by_what_was_learnt_before_the_turn():
    learnt = np.asarray(remembered().extras["learnt"])[FIRST:, 0]
    turns = np.repeat(np.arange(NUM_TURNS), PACE.num_steps)
    np.testing.assert_array_equal(learnt, turns * PACE.num_gradients)


def test_gradients_see_all_rows_so_far_each_with_luck_of_its_own():
    notes = jax.tree.map(np.asarray, history()[1].learner.slots)
    turns = np.repeat(np.arange(1, NUM_TURNS + 1), PACE.num_gradients)
    expected = np.repeat((FIRST + turns * PACE.num_steps)[:, None], PACE.batch_size, 1)
    np.testing.assert_array_equal(notes["weight"], expected)
    assert len(np.unique(notes["key"], axis=0)) == NUM_GRADIENTS
    assert len(np.unique(notes["index"])) > 0.9 * notes["index"].size  # of 4096


def test_priorities_come_back_to_the_rows_that_they_are_of():
    index = np.asarray(history()[1].learner.slots["index"])
    told = np.zeros(2**12)
    for number, rows in enumerate(index, 1):
        told[rows] = number
    np.testing.assert_allclose(history()[1].buffer.told, np.where(told > 0, told + LEAST, 0))


def test_metrics_are_sums_over_all_gradient_steps():
    each = PACE.num_iterations * PACE.num_gradients
    for update, (_, metrics) in enumerate(history()[0]):
        numbers = np.arange(1, each + 1) + update * each
        assert float(metrics["number"].total) == numbers.sum()
        assert float(metrics["number"].count) == each


def test_learning_is_traced_once():
    traces = []

    def update(*args):
        traces.append(args)
        return student().update(*args)

    counted = off_policy(chance(), student()._replace(update=update), diary(), PACE)
    jax.eval_shape(lambda key: run(counted, counted.init(key), 3), jax.random.key(0))
    assert len(traces) == 1


def test_episode_statistics_know_of_warm_up():
    rows = jax.tree.map(np.asarray, remembered())
    sums, totals = np.zeros((2, PACE.num_envs)), []
    for reward, done in zip(rows.reward, rows.terminated | rows.truncated, strict=True):
        sums += np.stack([reward, np.ones(PACE.num_envs)])
        totals.append([*sums[:, done].sum(1), done.sum()])
        sums[:, done] = 0
    step = PACE.num_iterations * PACE.num_steps
    expected = np.array(totals)[FIRST:].reshape(NUM_UPDATES, step, 3).sum(1)
    for (_, metrics), (paid, length, count) in zip(history()[0], expected, strict=True):
        assert float(metrics["episode_return"].total) == paid
        assert float(metrics["episode_length"].total) == length
        assert float(metrics["episode_return"].count) == count


def test_a_reward_that_is_not_finite_is_never_learnt_from():
    env = chance()

    def step(key, state, action):
        state, reached = env.step(key, state, action)
        bad = (state.draw % 61) == 0
        return state, reached._replace(reward=jnp.where(bad, jnp.inf, reached.reward))

    algorithm = off_policy(env._replace(step=step), student(), diary(), PACE)
    found, state = updates(algorithm, NUM_UPDATES)
    kept = np.asarray(state.buffer.rows.reward)
    size = PACE.num_iterations * PACE.num_steps
    broken = ~np.isfinite(kept[FIRST:]).reshape(NUM_UPDATES, -1).all(1)
    assert broken.any() and not broken.all() and size * NUM_UPDATES + FIRST == len(kept)
    assert [bool(metrics["refused"].mean) for _, metrics in found] == broken.tolist()
    assert int(state.bad_update) == broken.argmax()
    done = (~broken).sum() * PACE.num_iterations * PACE.num_gradients
    assert int(state.learner.num_updates) == done
    notes = jax.tree.map(np.asarray, state.learner.slots)
    assert np.isfinite(notes["reward"]).all()
    unseen = notes["weight"][:done] == 0  # drawn, and not counted
    assert unseen.any() and not notes["reward"][:done][unseen].any()


def acted(space, obs, num=6000):
    novice = wandering(student(), space)
    noise = novice.noise(jax.random.key(0), (num,))
    state = LearnerState((), (), jnp.int32(0))
    return np.asarray(novice.act(state, obs, noise, jnp.zeros(num, jnp.int32))[0])


def test_random_actions_are_the_legal_ones_alike():
    masks = jnp.tile(jnp.array([True, False, True, True]), (6000, 1))
    action = acted(Discrete(4), MaskedObs(jnp.zeros((6000, 1)), masks))
    np.testing.assert_allclose(np.bincount(action) / 6000, [1 / 3, 0, 1 / 3, 1 / 3], atol=0.03)
    several = acted(MultiDiscrete((2, 3)), jnp.zeros((6000, 1)))
    table = np.histogram2d(*several.T, bins=(2, 3))[0] / 6000
    np.testing.assert_allclose(table, 1 / 6, atol=0.03)


def test_random_actions_fill_a_box():
    low = np.array([-2.0, 0.0], np.float32)
    action = acted(Box(low, low + 3, (2,)), jnp.zeros((6000, 1)))
    assert action.dtype == np.float32 and (action >= low).all() and (action <= low + 3).all()
    np.testing.assert_allclose(action.mean(0), low + 1.5, atol=0.05)
    np.testing.assert_allclose(action.var(0), 9 / 12, atol=0.05)
    with pytest.raises(ValueError, match="random actions need a Box of finite bounds, not Box"):
        acted(Box(-np.inf, np.inf, (2,)), jnp.zeros((6000, 1)))
