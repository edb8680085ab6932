"""Permutations: bijections of every size, and none of them likelier than another."""

from functools import partial

import jax
import numpy as np
import pytest
from scipy import stats

from jaxrl.data import permutation

KEY = jax.random.key(3)


@partial(jax.jit, static_argnums=(1, 2))
def drawn(key, size, num_keys):
    """The permutations of many keys, [num_keys, size]."""
    return jax.vmap(lambda k: permutation(k, size))(jax.random.split(key, num_keys))


def is_order(row, size):
    return row.dtype == np.int32 and np.array_equal(np.sort(row), np.arange(size))


SIZES = [*range(1, 18), 31, 33, 63, 64, 65, 257, 511, 600, 4096, 5000]


@pytest.mark.parametrize("some", [SIZES[i::3] for i in range(3)], ids=lambda sizes: str(sizes[0]))
def test_every_index_comes_once(some):
    for size in some:
        assert is_order(np.asarray(permutation(KEY, size)), size), size


@pytest.mark.slow
def test_every_index_comes_once_at_many_sizes():
    for size in range(19, 601, 29):  # each compiles anew
        assert all(is_order(row, size) for row in np.asarray(drawn(KEY, size, 3))), size


@pytest.mark.parametrize("size", [2, 5, 8, 16, 100])
def test_every_index_is_as_likely_at_every_place(size):
    order = np.asarray(drawn(KEY, size, 6000))
    counts = [np.bincount(order[:, i], minlength=size) for i in range(size)]
    square = ((np.array(counts) - 6000 / size) ** 2 / (6000 / size)).sum()
    assert stats.chi2.sf(square, (size - 1) ** 2) > 1e-4


@pytest.mark.parametrize("size", [4, 6, 8, 16, 32, 64, 128])
def test_every_pair_is_as_likely_side_by_side(size):
    """The distance between what two places hold; minibatches are made of neighbours."""
    order = np.asarray(drawn(KEY, size, 20_000))
    for apart in (1, size // 2, size - 1):
        counts = np.bincount((order[:, apart] - order[:, 0]) % size, minlength=size)[1:]
        assert stats.chisquare(counts).pvalue > 1e-4, apart


@pytest.mark.parametrize("size", [4, 6])
def test_every_order_of_a_few_is_as_likely(size):
    order = np.asarray(drawn(KEY, size, 20_000))
    kinds = np.unique(order, axis=0, return_counts=True)[1]
    num_orders = int(np.prod(range(1, size + 1)))
    assert len(kinds) == num_orders
    assert stats.chisquare(kinds).pvalue > 1e-4


def test_keys_differ_and_one_key_repeats():
    order = np.asarray(drawn(KEY, 200, 500))
    assert len(np.unique(order, axis=0)) == 500
    agreement = (order[:1] == order[1:]).sum() / 499
    assert 0.8 < agreement < 1.2  # two random orders agree at one place on average
    assert np.array_equal(order, np.asarray(drawn(KEY, 200, 500)))


@pytest.mark.parametrize("size", [5, 16, 100])
def test_vmap_and_jit_change_nothing(size):
    keys = jax.random.split(KEY, 7)
    alone = [np.asarray(permutation(key, size)) for key in keys]
    assert np.array_equal(np.asarray(drawn(KEY, size, 7)), alone)


def test_a_size_below_one_is_refused():
    with pytest.raises(ValueError, match="size must be an integer of at least 1, not 0"):
        permutation(KEY, 0)
