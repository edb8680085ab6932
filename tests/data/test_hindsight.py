"""Hindsight: goals that were reached, each as likely, and the rewards that they would have had."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from jaxrl.data import chained, hindsight, n_step, prioritised, uniform
from tests.data.history import NUM_ENVS, drawn, fed, origin, past
from tests.oracles import replay

NUM_ROWS, NUM_GOALS, HORIZON, GAMMA = 10, 3, 4, 0.9
INNER = uniform(29, NUM_ENVS)


class Aimed(NamedTuple):
    """An observation that is no dict."""

    achieved_goal: Any
    desired_goal: Any


def reward(achieved, desired):
    """A number that tells every pair of goals from every other."""
    return (achieved[..., 0] - 0.37 * desired[..., 0]).astype(jnp.float32)


BUFFER = hindsight(INNER, reward, NUM_GOALS, HORIZON)
SAMPLE = jax.jit(BUFFER.sample)


def aimed(history, kind=dict):
    """A past whose observations achieve their id; what they want is known by a half."""
    wish = lambda x: x + 0.5  # noqa: E731
    return history._replace(
        obs=kind(achieved_goal=history.obs, desired_goal=wish(history.obs)),
        next_obs=kind(achieved_goal=history.next_obs, desired_goal=wish(history.next_obs)),
    )


def future(history, t, lane):
    """The last step of a row's future."""
    steps = replay.before_end(history, t, lane, HORIZON)
    return t + sum(steps) - 1


def goals(history, data):
    """Whether rows have another goal, and the step that reached it."""
    _, lane = origin(data)
    wanted = np.asarray(data.obs["desired_goal"])[:, 0]
    reached = history.next_obs[..., 0]
    other = wanted == np.round(wanted)
    where = [np.flatnonzero(reached[:, i] == w) for w, i in zip(wanted, lane, strict=True)]
    assert [len(x) for x in where] == list(other.astype(int))
    return other, np.array([x[0] if len(x) else -1 for x in where])


@pytest.mark.parametrize("num_added", [6, 57])
def test_goals_are_of_the_future_and_rewards_are_theirs(num_added):
    plain = past(num_added)
    history = aimed(plain)
    sample = drawn(BUFFER, fed(BUFFER, history), 4000)
    step, lane = origin(sample.data)
    other, reached = goals(plain, sample.data)
    last = np.array([future(plain, t, i) for t, i in zip(step, lane, strict=True)])
    assert ((reached >= step) & (reached <= last))[other].all()
    assert stats.binomtest(int(other.sum()), 4000, NUM_GOALS / (NUM_GOALS + 1)).pvalue > 1e-4
    for length in range(2, HORIZON + 1):
        offset = (reached - step)[other & (last - step == length - 1)]
        assert stats.chisquare(np.bincount(offset, minlength=length)).pvalue > 1e-4
    wanted = np.where(other[:, None], plain.next_obs[reached, lane], plain.obs[step, lane] + 0.5)
    after = np.where(other[:, None], wanted, plain.next_obs[step, lane] + 0.5)
    earned = plain.next_obs[step, lane, 0] - np.float32(0.37) * wanted[:, 0]
    assert np.array_equal(sample.data.obs["desired_goal"], wanted)
    assert np.array_equal(sample.data.next_obs["desired_goal"], after)
    assert np.array_equal(sample.data.obs["achieved_goal"], plain.obs[step, lane])
    assert np.array_equal(sample.data.next_obs["achieved_goal"], plain.next_obs[step, lane])
    np.testing.assert_allclose(
        sample.data.reward, np.where(other, earned, plain.reward[step, lane]), rtol=1e-5
    )
    assert (np.asarray(sample.weight) == 1).all()
    assert set(step) == set(replay.drawable(num_added, NUM_ROWS, newest=HORIZON - 1))


def test_n_steps_add_up_the_rewards_of_one_goal():
    plain = past(57)
    history = aimed(plain)
    buffer = n_step(BUFFER, 3, GAMMA)
    data = drawn(buffer, fed(buffer, history), 600).data
    step, lane = origin(data)
    other, reached = goals(plain, data)
    assert other.any() and not other.all()
    rows = []
    for t, i, own, g in zip(step, lane, ~other, reached, strict=True):
        of_goal = plain.next_obs[..., 0] - 0.37 * plain.next_obs[g, i, 0]
        seen = plain if own else plain._replace(reward=of_goal)
        rows.append(replay.n_step(seen, t, i, 3, GAMMA))
    total, discount, last = (np.array(x) for x in zip(*rows, strict=True))
    np.testing.assert_allclose(data.reward, total, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(data.discount, discount, rtol=1e-6)
    assert np.array_equal(data.next_obs["achieved_goal"], plain.next_obs[last, lane])
    wanted = np.asarray(data.obs["desired_goal"])[other]
    assert np.array_equal(np.asarray(data.next_obs["desired_goal"])[other], wanted)


@pytest.mark.parametrize("noise", [0.0, np.nextafter(np.float32(1), np.float32(0))])
def test_the_ends_of_the_noise_take_the_ends_of_the_future(noise):
    plain = past(57)
    state = fed(BUFFER, aimed(plain))
    chance = BUFFER.draw(jax.random.key(2), (200,))
    chance = chance._replace(step=jnp.full(200, noise), relabel=jnp.zeros(200))
    data = SAMPLE(state, chance).data
    step, lane = origin(data)
    other, reached = goals(plain, data)
    last = [future(plain, t, i) for t, i in zip(step, lane, strict=True)]
    assert other.all() and np.array_equal(reached, last if noise else step)


def test_goals_that_are_lost_come_with_weight_zero():
    """Around chains, with a tuple for an observation, and with priorities."""
    plain = past(57, ends=0.6)
    plain = plain._replace(terminated=np.zeros_like(plain.done), truncated=plain.done)
    inner = chained(prioritised(29, NUM_ENVS, 1.0), 1)
    buffer = hindsight(inner, reward, NUM_GOALS, HORIZON)
    state = fed(buffer, aimed(plain, Aimed))
    sample = drawn(buffer, state, 600)
    step, lane = origin(sample.data)
    goal, _ = np.divmod(np.asarray(inner.read(state, sample.index.goal).action) - 1, NUM_ENVS)
    later = np.cumsum(plain.truncated[::-1], 0)[::-1]
    gone = lambda t: plain.truncated[t, lane] & (later[t, lane] > 1)  # noqa: E731
    lost = gone(step) | (gone(goal) & np.asarray(sample.index.relabelled))
    assert np.array_equal(np.asarray(sample.weight) == 0, lost)
    assert lost.any() and (lost & ~gone(step)).any() and not lost.all()
    keep = ~lost & np.asarray(sample.index.relabelled)
    wanted = np.asarray(sample.data.obs.desired_goal)[keep]
    assert np.array_equal(wanted, plain.next_obs[goal, lane][keep])
    place = np.asarray(sample.index.place)
    only = jnp.asarray(place == place[0], jnp.float32)
    state = jax.jit(buffer.reprioritise)(state, sample.index, only)
    assert (np.asarray(drawn(buffer, state, 600).index.place) == place[0]).all()


def test_rows_of_the_past_are_as_they_were():
    history = aimed(past(57))
    state = fed(BUFFER, history)
    first, count = BUFFER.span(state)
    rows = BUFFER.read(state, BUFFER.after(first, jnp.arange(int(count))))
    steps = replay.drawable(57, NUM_ROWS, newest=HORIZON - 1)
    for x, y in zip(jax.tree.leaves(rows), jax.tree.leaves(history), strict=True):
        assert np.array_equal(x, y[steps])


@pytest.mark.parametrize(("name", "sizes"), [("num_goals", (0, 1)), ("horizon", (1, 0))])
def test_sizes_that_cannot_be_are_refused(name, sizes):
    with pytest.raises(ValueError, match=f"{name} must be an integer of at least 1, not 0"):
        hindsight(INNER, reward, *sizes)
