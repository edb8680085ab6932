"""Rings: what is held, what may be drawn, and that all of it is drawn alike."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from jaxrl.data import dataset, prioritised, ranked, uniform
from jaxrl.data.ring import below
from tests.data.history import NUM_ENVS, drawn, example, fed, origin, past
from tests.oracles.replay import drawable

KINDS: dict[str, Any] = {
    "uniform": uniform,
    "proportional": lambda capacity, num_envs: prioritised(capacity, num_envs, 0.6),
    "rank": lambda capacity, num_envs: ranked(capacity, num_envs, 0.6),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("num_added", [4, 10, 11, 57])
@pytest.mark.parametrize("margin", [(0, 0), (2, 0), (0, 1), (2, 1)])
def test_rows_that_may_be_drawn_are_drawn_alike_and_no_others(kind, num_added, margin):
    history = past(num_added)
    buffer = KINDS[kind](29, NUM_ENVS).margin(*margin)  # 10 steps of each
    state = fed(buffer, history)
    sample = drawn(buffer, state, 6000)
    step, lane = origin(sample.data)
    allowed = drawable(num_added, 10, *margin)
    counts = np.zeros((num_added, NUM_ENVS))
    np.add.at(counts, (step, lane), 1)
    assert counts[allowed].sum() == 6000
    assert stats.chisquare(counts[allowed].ravel()).pvalue > 1e-4
    assert (np.asarray(sample.weight) == 1).all()
    for name in ("obs", "reward", "next_obs", "terminated", "truncated"):
        assert np.array_equal(getattr(sample.data, name), getattr(history, name)[step, lane])
    first, count = buffer.span(state)
    rows = buffer.read(state, buffer.after(first, jnp.arange(int(count))))
    assert np.array_equal(rows.action, history.action[allowed])


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 2**31 - 1))
def test_below_is_the_upper_word_of_the_product(word, count):
    assert int(below(np.uint32(word), jnp.int32(count))) == word * count >> 32


def test_a_row_is_added_in_place():
    buffer = uniform(2**16, 2)
    history = past(1, 2)
    state = buffer.init(example(history))
    row = jax.tree.map(lambda x: jnp.asarray(x[0]), history)
    before = [x.unsafe_buffer_pointer() for x in jax.tree.leaves(state.data)]
    state = jax.jit(buffer.add, donate_argnums=0)(state, row)
    assert [x.unsafe_buffer_pointer() for x in jax.tree.leaves(state.data)] == before


@pytest.mark.parametrize("kind", KINDS)
def test_a_buffer_of_each_learner_is_its_own(kind):
    buffer = KINDS[kind](30, NUM_ENVS)
    pasts = [past(12, seed=seed) for seed in range(3)]
    states = [fed(buffer, history) for history in pasts]
    keys = jax.random.split(jax.random.key(0), 3)

    def turn(state, key):
        first, second = jax.random.split(key)
        sample = buffer.sample(state, buffer.draw(first, (32,)))
        state = buffer.reprioritise(state, sample.index, jnp.abs(sample.data.reward))
        return state, buffer.sample(state, buffer.draw(second, (32,)))

    together = jax.vmap(turn)(jax.tree.map(lambda *x: jnp.stack(x), *states), keys)
    for i in range(3):
        alone = turn(states[i], keys[i])
        for x, y in zip(jax.tree.leaves(together), jax.tree.leaves(alone), strict=True):
            np.testing.assert_allclose(x[i], y, rtol=1e-6)


def test_a_data_set_is_drawn_from_as_it_is():
    history = past(9)
    buffer, state = dataset(history)
    sample = drawn(buffer, state, 500)
    step, lane = origin(sample.data)
    assert set(zip(step, lane, strict=True)) == {(t, n) for t in range(9) for n in range(NUM_ENVS)}
    assert np.array_equal(sample.data.obs, history.obs[step, lane])
    with pytest.raises(
        ValueError, match=r"action must have the first axes \(9, 3\) of reward, not"
    ):
        dataset(history._replace(action=history.action[1:]))


@pytest.mark.parametrize("kind", KINDS)
def test_sizes_that_cannot_be_are_refused(kind):
    with pytest.raises(ValueError, match="capacity must be an integer of at least 1, not 0"):
        KINDS[kind](0, 1)
    with pytest.raises(ValueError, match="hold more than a window of 6 steps of 2 environments"):
        KINDS[kind](10, 2).margin(4, 1)


@pytest.mark.parametrize("make", [prioritised, ranked])
def test_an_exponent_out_of_range_is_refused(make):
    with pytest.raises(ValueError, match=r"exponent must be a number in \[0, 1\], not 1.5"):
        make(10, 1, 1.5)
