"""Compact replay: what comes out is what went in, from far fewer bytes."""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrl.data import chained, n_step, packed, prioritised, stacked, uniform
from jaxrl.types import MaskedObs, Transition
from tests.data.history import NUM_ENVS, drawn, example, fed, origin, past
from tests.oracles import replay

NUM_ROWS, NUM_FINALS, NUM_FRAMES = 10, 2, 3
INNER = uniform(29, NUM_ENVS)
CHAINED = chained(INNER, NUM_FINALS)
OVER = n_step(chained(prioritised(29, NUM_ENVS, 0.0), NUM_FINALS), 3, 0.9)
STACKED = stacked(INNER, NUM_FRAMES)


def lost(history, step, lane, num_finals):
    """Whether a row's last observation is none of the newest ones of its environment."""
    end = history.truncated[step, lane] & ~history.terminated[step, lane]
    later = np.cumsum(history.done[::-1], 0)[::-1]
    return end & (later[step, lane] > num_finals)


def check(data, history, keep):
    """Hold the rows of a batch to the past; next observations where they are kept."""
    step, lane = origin(data)
    rows = jax.tree.map(lambda x: x[step, lane], history)
    for name in ("obs", "action", "extras", "reward", "terminated", "truncated"):
        same(getattr(data, name), getattr(rows, name))
    same(*(jax.tree.map(lambda x: np.asarray(x)[keep], x.next_obs) for x in (data, rows)))


def same(ours, theirs):
    for x, y in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True):
        assert x.dtype == y.dtype and np.array_equal(x, y)


@functools.partial(jax.jit, static_argnums=(0, 2))
def held(buffer, state, count):
    """The places of the oldest steps that may be drawn, [count, N], and their rows."""
    places = buffer.after(buffer.span(state)[0], jnp.arange(count))
    return places, buffer.read(state, places)


@pytest.mark.parametrize("num_added", [5, 57])
def test_next_observations_are_those_of_the_next_row(num_added):
    history = past(num_added)
    history = history._replace(truncated=history.done)  # also where a death came at the limit
    sample = drawn(CHAINED, fed(CHAINED, history), 600)
    step, lane = origin(sample.data)
    gone = lost(history, step, lane, NUM_FINALS)
    assert gone.any() == (num_added == 57)
    assert np.array_equal(sample.weight, np.where(gone, 0.0, 1.0))
    dead = history.terminated[step, lane]
    assert (dead & (np.asarray(sample.weight) == 1)).any()
    later = np.cumsum(history.done[::-1], 0)[::-1][step, lane]
    check(sample.data, history, ~gone & ~(dead & (later > NUM_FINALS)))
    assert set(step) == set(replay.drawable(num_added, NUM_ROWS, newest=1))


@pytest.mark.parametrize("seed", [0, 1])
def test_n_steps_end_with_what_was_reached(seed):
    history = past(57, seed=seed)
    sample = drawn(OVER, fed(OVER, history), 600)
    step, lane = origin(sample.data)
    rows = [replay.n_step(history, t, i, 3, 0.9) for t, i in zip(step, lane, strict=True)]
    reward, discount, last = (np.array(x) for x in zip(*rows, strict=True))
    gone = lost(history, last, lane, NUM_FINALS)
    assert np.array_equal(np.asarray(sample.weight) == 0, gone)
    np.testing.assert_allclose(sample.data.reward, reward, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(sample.data.discount, discount, rtol=1e-6)
    used = ~gone & (discount > 0)
    assert used.any()
    assert np.array_equal(
        np.asarray(sample.data.next_obs)[used], history.next_obs[last, lane][used]
    )
    assert set(step) == set(replay.drawable(57, NUM_ROWS, newest=3))


def test_priorities_pass_through():
    buffer = packed(chained(prioritised(29, NUM_ENVS, 1.0), NUM_FINALS))
    state = fed(buffer, past(57))
    places = np.asarray(held(buffer, state, NUM_ROWS - 1)[0]).ravel()
    told = jax.jit(buffer.reprioritise)
    state = told(state, jnp.asarray(places[1:]), jnp.zeros(len(places) - 1))
    assert (np.asarray(drawn(buffer, state, 50).index) == places[0]).all()


def frames(history, masked):
    """A past whose observations show their newest frames."""
    steps, lanes = np.indices(history.reward.shape)
    show = lambda t, i: replay.stack(history, t, i, NUM_FRAMES)  # noqa: E731
    obs = np.vectorize(show, signature="(),()->(k)")(steps, lanes).astype(np.float32)
    width = history.obs.shape[-1]
    reached = np.concatenate([obs[..., width:], history.next_obs], -1)
    if not masked:
        return history._replace(obs=obs, next_obs=reached)
    mask, other = (history.obs[..., :1] % n == 0 for n in (2, 3))
    return history._replace(obs=MaskedObs(obs, mask), next_obs=MaskedObs(reached, other))


@pytest.mark.parametrize("masked", [False, True])
def test_frames_are_stacked_as_they_were(masked):
    history = frames(past(57), masked)
    sample = drawn(STACKED, fed(STACKED, history), 600)
    check(sample.data, history, slice(None))
    step, _ = origin(sample.data)
    assert set(step) == set(replay.drawable(57, NUM_ROWS, oldest=NUM_FRAMES - 1))


def test_frames_are_stacked_over_chains_and_bits():
    history = frames(past(57), masked=False)
    buffer = stacked(packed(chained(INNER, NUM_ROWS)), NUM_FRAMES)
    sample = drawn(buffer, fed(buffer, history), 600)
    check(sample.data, history, slice(None))
    assert (np.asarray(sample.weight) == 1).all()
    step, _ = origin(sample.data)
    assert set(step) == set(replay.drawable(57, NUM_ROWS, newest=1, oldest=NUM_FRAMES - 1))


def bits(history):
    """A past whose observations are flags, with masks of actions."""

    def flags(obs):
        number = obs[..., 0].astype(np.int64)
        flag = (number[..., None] >> np.arange(15) & 1).astype(bool)
        return MaskedObs(flag.reshape(*number.shape, 3, 5), flag[..., :9])

    return history._replace(obs=flags(history.obs), next_obs=flags(history.next_obs))


@pytest.mark.parametrize(("inner", "newest"), [(INNER, 0), (chained(INNER, NUM_ROWS), 1)])
def test_flags_come_back_from_their_bits(inner, newest):
    history, buffer = bits(past(57)), packed(inner)
    state = fed(buffer, history)
    check(drawn(buffer, state, 300).data, history, slice(None))
    rows = held(buffer, state, NUM_ROWS - newest)[1]
    steps = replay.drawable(57, NUM_ROWS, newest)
    same(rows, jax.tree.map(lambda x: x[steps], history))


def test_packed_stands_inside_of_what_reads_observations():
    with pytest.raises(ValueError, match="packed must stand inside of stacked and hindsight"):
        packed(stacked(CHAINED, 2))


def test_packed_buffers_of_several_learners_are_their_own():
    buffer = packed(CHAINED)
    pasts = [bits(past(57, seed=seed)) for seed in range(2)]
    states = [fed(buffer, history) for history in pasts]
    together = jax.jit(jax.vmap(lambda state: drawn(buffer, state, 64)))(
        jax.tree.map(lambda *x: jnp.stack(x), *states)
    )
    for i, state in enumerate(states):
        same(jax.tree.map(lambda x, i=i: x[i], together), drawn(buffer, state, 64))


def num_bytes(buffer, row):
    state = jax.eval_shape(lambda: buffer.init(row))
    return sum(math.prod(x.shape) * x.dtype.itemsize for x in jax.tree.leaves(state))


def test_a_million_transitions_of_breakout_take_an_eleventh_of_the_bytes():
    image, flag = jax.ShapeDtypeStruct((10, 10, 4), bool), jax.ShapeDtypeStruct((), bool)
    number = functools.partial(jax.ShapeDtypeStruct, ())
    row = Transition(image, number(jnp.int32), (), number(jnp.float32), image, flag, flag)
    plain = uniform(10**6, 128)
    num_rows = -(-(10**6) // 128) * 128
    assert num_bytes(plain, row) == num_rows * (2 * 400 + 10) + 8
    finals = 1001 * 128 * 50 + 128 * 4
    compact = num_bytes(packed(chained(plain, 1000)), row)
    assert compact == num_rows * (50 + 4 + 10) + finals + 8
    assert 11 * compact < num_bytes(plain, row)


def test_compact_buffers_that_cannot_be_are_refused():
    with pytest.raises(ValueError, match="num_finals must be an integer of at least 1, not 0"):
        chained(INNER, 0)
    with pytest.raises(ValueError, match="num_frames must be an integer of at least 1, not 0"):
        stacked(INNER, 0)
    with pytest.raises(ValueError, match=r"num_frames must divide the last axis of \(2,\), not 3"):
        stacked(INNER, 3).init(example(past(1)))
