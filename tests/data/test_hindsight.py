"""Hindsight: goals that were reached, each as likely, and the rewards that they would have had."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from jaxrl.algorithms import dqn
from jaxrl.data import chained, hindsight, n_step, prioritised, uniform
from jaxrl.envs import bit_flip, goal_cost, goal_reached
from jaxrl.train import make_train, with_replay
from tests.data.history import NUM_ENVS, drawn, fed, origin, past
from tests.oracles import replay
from tests.sentences import hold_sentence

NUM_ROWS, NUM_GOALS, HORIZON, GAMMA = 10, 3, 4, 0.9
INNER = uniform(29, NUM_ENVS)


class Aimed(NamedTuple):
    """An observation that is no dict."""

    achieved_goal: Any
    desired_goal: Any


def reward(achieved, desired):
    """A number that tells every pair of goals from every other."""
    return (achieved[..., 0] - 0.37 * desired[..., 0]).astype(jnp.float32)


def reached(achieved, desired):
    """Half of all pairs of goals, without a pattern."""
    return ((abs(achieved - desired) * 2 // 1 + abs(achieved)) % 4 <= 1)[..., 0]


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


@pytest.mark.parametrize("n", [1, 3])
def test_goals_that_end_episodes_end_those_that_reach_them(n):
    plain = past(57)
    history = aimed(plain)
    buffer = n_step(hindsight(INNER, reward, NUM_GOALS, HORIZON, reached), n, GAMMA)
    data = drawn(buffer, fed(buffer, history), 600).data
    step, lane = origin(data)
    other, reaching = goals(plain, data)
    rows = []
    for t, i, is_other, g in zip(step, lane, other, reaching, strict=True):
        goal, own = plain.next_obs[g, i], history.next_obs["desired_goal"]
        seen = replay.relabelled(plain, goal, own, reward, reached) if is_other else plain
        rows.append(replay.n_step(seen, t, i, n, GAMMA))
    total, discount, last = (np.array(x) for x in zip(*rows, strict=True))
    np.testing.assert_allclose(data.reward, total, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(data.discount, discount, rtol=1e-6)
    assert np.array_equal(data.next_obs["achieved_goal"], plain.next_obs[last, lane])
    own = reached(history.next_obs["achieved_goal"], history.next_obs["desired_goal"])[last, lane]
    ended, spared = plain.terminated[last, lane], (discount > 0) & other
    assert (ended & own & spared).any() and (ended & ~own & other).any()  # cut short; dead
    assert not (ended & ~own & spared).any() and (~ended & (discount == 0) & other).any()


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


@pytest.mark.parametrize("terminated", [False, True])
def test_goals_that_are_lost_come_with_weight_zero(terminated):
    """Around chains, with a tuple for an observation, and with priorities."""
    plain = past(57, ends=0.6)
    done, none = plain.done, np.zeros_like(plain.done)
    ends = (done, none) if terminated else (none, done)
    plain = plain._replace(terminated=ends[0], truncated=ends[1])
    inner = chained(prioritised(29, NUM_ENVS, 1.0), 1)
    buffer = hindsight(inner, reward, NUM_GOALS, HORIZON)
    state = fed(buffer, aimed(plain, Aimed))
    sample = drawn(buffer, state, 600)
    step, lane = origin(sample.data)
    goal, _ = np.divmod(np.asarray(inner.read(state, sample.index.goal).action) - 1, NUM_ENVS)
    later = np.cumsum(done[::-1], 0)[::-1]
    gone = lambda t: done[t, lane] & (later[t, lane] > 1)  # noqa: E731
    other = np.asarray(sample.index.relabelled)
    lost = np.where(other, gone(step) | gone(goal), gone(step) & (not terminated))
    assert np.array_equal(np.asarray(sample.weight) == 0, lost)
    assert lost.any() and (lost & ~gone(step)).any() and not lost.all()
    keep = ~lost & other
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


def flipper(num_bits, num_steps):
    """A training of DQN to flip bits, and the same with goals in hindsight."""
    config = dqn.Config(
        num_envs=8,
        num_gradients=2,
        batch_size=64,
        hidden_sizes=(64,),
        gamma=0.98,
        polyak=0.01,
        exploration_fraction=0.5,
    )
    env, often = bit_flip(num_bits), num_steps - config.learning_starts
    plain = make_train(config, env, num_steps, often, num_eval_episodes=64)
    around = lambda buffer: hindsight(buffer, goal_cost, 4, num_bits, goal_reached)  # noqa: E731
    return plain, with_replay(plain, config, around)


def score(train):
    """The return of greedy episodes at the end."""
    return float(jax.jit(train)(jax.random.key(0))[1]["eval_return"].mean[-1])


def test_bits_are_flipped_after_hindsight():
    assert score(flipper(8, 6000)[1]) > -4.5  # the shortest way is −3 on average


@pytest.mark.slow
def test_bits_are_flipped_after_hindsight_alone():
    plain, seeing = map(score, flipper(10, 20_000))
    assert plain < -9 and seeing > -5.5


@pytest.mark.parametrize(
    ("num_bits", "told"), [(126, True), (125, True), (119, True), (118, False)]
)
def test_warm_up_must_fill_the_horizon(num_bits, told):
    """125 steps of each of 8 environments, and 64 rows to draw from them."""
    if told:
        with pytest.raises(ValueError, match=r"dqn\.(learning_starts|batch_size) must") as error:
            flipper(num_bits, 2000)
        hold_sentence(str(error.value))
    else:
        flipper(num_bits, 2000)


def test_only_replay_can_have_a_combinator():
    train = make_train("ppo", "CartPole-v1")
    with pytest.raises(TypeError, match="config must be an off-policy configuration, not 'ppo'"):
        with_replay(train, "ppo", lambda buffer: buffer)
