"""A sum tree: leaves drawn in proportion to their mass, and none that has none.

Each node has `RADIX` children side by side, one line of a cache. A draw compares a uniform number
with the running sums of the children at each level, which are added up in one order, so that a
child without mass leaves the sum as it is and is never taken, whatever is rounded. A parent is
the sum of its children, anew after each change: no error builds up.

Barriers keep a CPU's compiler from doing the walk down again in everything that uses its end.
"""

import itertools

import jax
import jax.numpy as jnp

from jaxrl.types import Array

RADIX = 16

Tree = tuple[Array, ...]
"""Levels from the leaves to the root's children, each [num_nodes, RADIX]."""


def empty(num_leaves: int) -> Tree:
    """A tree without mass."""
    return tuple(jnp.zeros((size, RADIX)) for size in _sizes(num_leaves))


def depth(num_leaves: int) -> int:
    """How many levels there are, and uniform numbers in a draw."""
    return len(_sizes(num_leaves))


def mass(tree: Tree, leaf: Array) -> Array:
    """What leaves have."""
    return tree[0].reshape(-1).at[leaf].get(mode="promise_in_bounds")


def changed(tree: Tree, leaf: Array, mass: Array) -> Tree:
    """The tree after leaves [M] have a new mass; of several for one leaf the largest counts.

    A mass that is NaN leaves things as they are. (To read the old one here would copy the tree.)
    """
    told = jnp.where(jnp.isnan(mass), tree[0].size, leaf)  # beyond the last leaf: nowhere
    values = tree[0].reshape(-1).at[told].set(0.0, mode="drop").at[told].max(mass, mode="drop")
    levels, node = [values.reshape(-1, RADIX)], leaf
    for level in tree[1:]:
        node = node // RADIX
        total = _sums(levels[-1].at[node].get(mode="promise_in_bounds"))[-1]
        values = level.reshape(-1).at[node].set(total, mode="promise_in_bounds")
        levels.append(values.reshape(-1, RADIX))
    return tuple(levels)


def drawn(tree: Tree, noise: Array) -> Array:
    """Leaves in proportion to their mass, [B]; where there is none at all, the last one.

    Args:
      noise: uniform in [0, 1), [B, depth].
    """
    node = jnp.zeros(noise.shape[:-1], jnp.int32)
    for i, level in enumerate(reversed(tree)):
        children = level.at[node].get(mode="promise_in_bounds")
        sums = _sums(jax.lax.optimization_barrier(children))
        beyond = [(x <= noise[..., i] * sums[-1]).astype(jnp.int32) for x in sums]
        child = jnp.minimum(sum(beyond[1:], beyond[0]), RADIX - 1)
        node = jax.lax.optimization_barrier(node * RADIX + child)
    return node


def total(tree: Tree) -> Array:
    """The mass of all leaves."""
    return tree[-1].sum()


def _sums(children: Array) -> list[Array]:
    """Running sums over the last axis, from left to right."""
    return list(itertools.accumulate(children[..., i] for i in range(RADIX)))


def _sizes(num_leaves: int) -> list[int]:
    sizes = [-(-num_leaves // RADIX)]
    while sizes[-1] > 1:
        sizes.append(-(-sizes[-1] // RADIX))
    return sizes
