"""Priorities: rows come as often as their mass says, and those without any never."""

from itertools import pairwise

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from benchmarks.replay import chi_square
from jaxrl.data import prioritised, ranked, tree
from jaxrl.data.priority import BINS_PER_OCTAVE
from tests.data.history import NUM_ENVS, drawn, fed, past
from tests.oracles.replay import rank

LARGE = 2**20


@pytest.mark.parametrize("kind", ["wide", "sparse"])
def test_a_million_draws_from_a_million_leaves_follow_their_mass(kind):
    source = np.random.default_rng(1)
    mass = np.exp(source.normal(size=LARGE) * 3).astype(np.float32)
    mass[source.random(LARGE) < (0.5 if kind == "wide" else 0.9999)] = 0.0
    leaves = jax.jit(tree.changed)(tree.empty(LARGE), jnp.arange(LARGE), mass)
    noise = jax.random.uniform(jax.random.key(0), (10**6, tree.depth(LARGE)))
    leaf = np.asarray(jax.jit(tree.drawn)(leaves, noise))
    counts = np.bincount(leaf, minlength=LARGE)
    assert counts[mass == 0].sum() == 0
    assert chi_square(counts, mass.astype(np.float64)) > 1e-4


@pytest.mark.parametrize("noise", [0.0, np.nextafter(np.float32(1), np.float32(0))])
def test_the_ends_of_the_noise_take_leaves_with_mass(noise):
    """Where a running sum rounds, the greatest number below 1 must not fall off its end."""
    source = np.random.default_rng(2)
    for size in (1, 15, 16, 17, 300):
        mass = source.random(size).astype(np.float32) ** 8
        mass[source.random(size) < 0.5] = 0.0
        mass[source.integers(size)] = 1e-8
        leaves = tree.changed(tree.empty(size), jnp.arange(size), jnp.asarray(mass))
        leaf = tree.drawn(leaves, jnp.full((1, tree.depth(size)), noise))
        assert mass[np.asarray(leaf)] > 0


def test_parents_are_the_sums_of_their_children_after_any_changes():
    leaves, mass = tree.empty(1000), np.zeros(1000, np.float32)
    source = np.random.default_rng(3)
    change = jax.jit(tree.changed)
    for _ in range(30):
        leaf = source.integers(1000, size=64)
        new = source.random(64).astype(np.float32) * 10.0 ** source.integers(-9, 9, 64)
        new = new.astype(np.float32)
        for i in leaf:
            mass[i] = new[leaf == i].max()
        leaves = change(leaves, jnp.asarray(leaf), jnp.asarray(new))
    assert np.array_equal(tree.mass(leaves, jnp.arange(1000)), mass)
    for below, above in pairwise(leaves):
        total = np.zeros(below.shape[0], np.float32)
        for i in range(tree.RADIX):
            total += np.asarray(below[:, i])
        assert np.array_equal(np.asarray(above).ravel()[: len(total)], total)


def told(buffer, num_rows, priority):
    """The state after each row's priority was set."""
    state = fed(buffer, past(num_rows // NUM_ENVS))
    return buffer.reprioritise(state, jnp.arange(num_rows), jnp.asarray(priority))


@pytest.mark.parametrize("exponent", [0.0, 0.6, 1.0])
def test_rows_are_drawn_by_a_power_of_their_priority(exponent):
    priority = np.array([*range(15), 0, 0.1, 1000, 3, 0, 0], np.float32)
    buffer = prioritised(21, NUM_ENVS, exponent)
    sample = drawn(buffer, told(buffer, 21, priority), 20_000)
    mass = np.where(priority > 0, priority.astype(np.float64) ** exponent, 0)
    check_law(sample, mass)


@pytest.mark.parametrize("exponent", [0.0, 0.7, 1.0])
def test_rows_are_drawn_by_a_power_of_their_rank(exponent):
    octave = np.array([3, 3, 1, -2, 0, 5, 4, 4, 4, 7, -6, 2, 2, 2, 2, 2, 2, 8, 0, -1, 6])
    priority = (2.0**octave * 2 ** (0.5 / BINS_PER_OCTAVE)).astype(np.float32)  # amid their bins
    buffer = ranked(21, NUM_ENVS, exponent)
    state = told(buffer, 21, priority)
    again = buffer.reprioritise(state, jnp.arange(21)[::-1], jnp.asarray(priority[::-1]))
    check_law(drawn(buffer, again, 20_000), np.array(rank(priority)) ** -exponent)
    none = buffer.reprioritise(again, jnp.arange(20), jnp.zeros(20))
    assert (np.asarray(drawn(buffer, none, 100).index) == 20).all()


def check_law(sample, mass):
    index = np.asarray(sample.index)
    counts = np.bincount(index, minlength=len(mass))
    assert counts[mass == 0].sum() == 0
    some = mass > 0
    expected = mass[some] / mass.sum() * counts.sum()
    merged = expected > 5
    found = [*counts[some][merged], counts[some][~merged].sum() + 1e-9]
    wanted = [*expected[merged], expected[~merged].sum() + 1e-9]
    assert stats.chisquare(found, wanted).pvalue > 1e-4
    weight = mass.sum() / (some.sum() * mass[index])
    np.testing.assert_allclose(sample.weight, weight / weight.max(), rtol=1e-5)


@pytest.mark.parametrize("make", [prioritised, ranked])
def test_the_counts_of_ranks_survive_rows_that_come_twice(make):
    buffer = make(21, NUM_ENVS, 0.7)
    state = fed(buffer, past(30))
    source = np.random.default_rng(4)
    for _ in range(20):
        index = source.integers(21, size=16)
        priority = np.exp(source.normal(size=21)).astype(np.float32)[index]
        state = buffer.reprioritise(state, jnp.asarray(index), jnp.asarray(priority))
    if make is ranked:
        counts = np.bincount(state.choice.bins, minlength=256)
        assert np.array_equal(counts[1:], state.choice.counts[1:])
        assert counts.sum() == 21


def test_a_new_row_has_the_largest_priority_so_far():
    buffer = prioritised(30, NUM_ENVS, 1.0)
    history = past(9)
    state = fed(buffer, jax.tree.map(lambda x: x[:8], history))
    state = buffer.reprioritise(state, jnp.array([4, 5]), jnp.array([50.0, 2.0]))
    state = buffer.add(state, jax.tree.map(lambda x: jnp.asarray(x[8]), history))
    assert np.array_equal(
        tree.mass(state.choice.tree, jnp.array([0, 4, 5, 24, 26])), [1, 50, 2, 50, 50]
    )


def test_rows_that_may_not_be_drawn_cannot_be_given_a_priority():
    buffer = prioritised(30, NUM_ENVS, 1.0).margin(2, 1)
    state = fed(buffer, past(8))
    state = buffer.reprioritise(state, jnp.arange(30), jnp.full(30, 9.0))
    mass = np.asarray(tree.mass(state.choice.tree, jnp.arange(30)))
    assert np.array_equal(mass, [0] * 3 + [9] * 15 + [0] * 12)


@pytest.mark.parametrize("make", [prioritised, ranked])
@pytest.mark.parametrize("bad", [np.nan, np.inf, -1.0])
def test_odd_priorities_leave_the_others_as_they_are(make, bad):
    buffer = make(21, NUM_ENVS, 0.6)
    state = told(buffer, 21, np.ones(21, np.float32))
    before = tree.mass(state.choice.tree, jnp.arange(21))
    state = buffer.reprioritise(state, jnp.array([3, 4]), jnp.array([bad, 2.0]))
    sample = drawn(buffer, state, 1000)
    assert np.isfinite(sample.weight).all()
    assert (np.asarray(sample.index) == 3).any() == (bad != -1.0)
    after = tree.mass(state.choice.tree, jnp.arange(21))
    kept = np.arange(21) != 4
    kept[3] = bad != -1.0
    np.testing.assert_array_equal(after[kept], before[kept])
    if make is prioritised:
        assert state.choice.peak == 2.0


def test_where_no_row_has_a_priority_all_are_alike():
    buffer = prioritised(21, NUM_ENVS, 0.6)
    sample = drawn(buffer, told(buffer, 21, np.zeros(21, np.float32)), 2000)
    assert stats.chisquare(np.bincount(sample.index, minlength=21)).pvalue > 1e-4
    assert (np.asarray(sample.weight) == 1).all()


def test_an_exponent_may_be_traced():
    history = past(7)

    def weight(exponent):
        buffer = prioritised(21, NUM_ENVS, exponent)
        state = buffer.init(jax.tree.map(lambda x: x[0, 0], history))
        state = buffer.add(state, jax.tree.map(lambda x: jnp.asarray(x[0]), history))
        state = buffer.reprioritise(state, jnp.arange(3), jnp.array([1.0, 4.0, 4.0]))
        return tree.mass(state.choice.tree, jnp.arange(3))

    masses = jax.jit(jax.vmap(weight))(jnp.array([0.0, 0.5, 1.0]))
    np.testing.assert_allclose(masses, [[1, 1, 1], [1, 2, 2], [1, 4, 4]])
