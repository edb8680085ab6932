"""Replay by priority: rows that surprised are drawn more often (Schaul et al. 2016).

    P(i) = mᵢ / Σⱼ mⱼ      mᵢ = pᵢ^α  or  rank(i)^−α
    wᵢ = (N P(i))⁻¹ / maxⱼ (N P(j))⁻¹ = minⱼ mⱼ / mᵢ   over the batch

Learners raise weights to the power β, which leaves their maximum at 1. New rows have the largest
priority so far. A row of priority 0 is never drawn, unless there is no other. A priority that is
not finite is none: the row keeps what it had.
Reference: Schaul et al. 2016, arXiv:1511.05952, section 3.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxrl import checks
from jaxrl.data import tree
from jaxrl.data.buffer import Buffer
from jaxrl.data.ring import Choice, ring
from jaxrl.types import Array, Scalar

LARGEST = 1e30  # a priority whose sums over all rows are finite
NUM_BINS, BINS_PER_OCTAVE = 256, 8  # priorities from 2⁻¹⁶ to 2¹⁶ in steps of 9 %


class Weighed(NamedTuple):
    """What the choice by proportion carries."""

    tree: tree.Tree
    peak: Array  # the largest priority so far


class Ranked(NamedTuple):
    """What the choice by rank carries."""

    tree: tree.Tree
    bins: Array  # the bin of each row's priority, 0 for none
    counts: Array  # rows in each bin


def prioritised(capacity: int, num_envs: int, exponent: Scalar) -> Buffer:
    """Replay in proportion to a power of the priority; `exponent` 0 draws all but zeros alike.

    Args:
      capacity: steps held in all; rounded up to a multiple of `num_envs`.
      exponent: α, in [0, 1]; it may be traced.
    """
    checks.probability(exponent=exponent)

    def enter(state: Weighed, index: Array, ready: Array) -> Weighed:
        mass = jnp.where(ready, state.peak**exponent, 0.0)
        return state._replace(tree=tree.changed(state.tree, index, mass))

    def reprioritise(state: Weighed, index: Array, priority: Array) -> Weighed:
        sound = _sound(priority)
        mass = jnp.where(sound > 0, sound**exponent, 0.0)
        mass = jnp.where(jnp.isfinite(priority), mass, jnp.nan)
        peak = jnp.maximum(state.peak, sound.max())
        return Weighed(tree.changed(state.tree, index, mass), peak)

    def choose(num_rows: int) -> Choice:
        init = lambda: Weighed(tree.empty(num_rows), jnp.ones(()))  # noqa: E731
        return _by_tree(num_rows, init, enter, reprioritise)

    return ring(capacity, num_envs, choose)


def ranked(capacity: int, num_envs: int, exponent: Scalar) -> Buffer:
    """Replay by a power of the rank of the priority, which outliers do not disturb.

    A row has the rank that its priority had when it was set: 1 + the rows in higher bins + half
    of the others in its own, where a bin is 9 % wide. Schaul et al. let ranks age likewise, until
    their array is sorted again. A new row is of rank 1.

    Args:
      capacity: steps held in all; rounded up to a multiple of `num_envs`.
      exponent: α, in [0, 1]; it may be traced.
    """
    checks.probability(exponent=exponent)

    def enter(state: Ranked, index: Array, ready: Array) -> Ranked:
        state = _binned(state, index, jnp.where(ready, NUM_BINS - 1, 0))
        return state._replace(tree=tree.changed(state.tree, index, jnp.where(ready, 1.0, 0.0)))

    def reprioritise(state: Ranked, index: Array, priority: Array) -> Ranked:
        sound, told = _sound(priority), jnp.isfinite(priority)
        old = state.bins.at[index].get(mode="promise_in_bounds").astype(jnp.int32)
        new = jnp.where(told, _bin(sound), old)
        state = _binned(state, index, new)
        mass = jnp.where(sound > 0, _rank(state.counts)[new] ** -exponent, 0.0)
        mass = jnp.where(told, mass, jnp.nan)
        return state._replace(tree=tree.changed(state.tree, index, mass))

    def choose(num_rows: int) -> Choice:
        def init() -> Ranked:
            bins = jnp.zeros(num_rows, jnp.uint8)
            return Ranked(tree.empty(num_rows), bins, jnp.zeros(NUM_BINS, jnp.int32))

        return _by_tree(num_rows, init, enter, reprioritise)

    return ring(capacity, num_envs, choose)


def _by_tree(
    num_rows: int,
    init: Callable[[], Any],
    enter: Callable[..., Any],
    reprioritise: Callable[..., Any],
) -> Choice:
    """What both choices share: rows drawn in proportion to their mass."""

    def draw(key: Array, shape: tuple[int, ...]) -> Array:
        return jax.random.uniform(key, (*shape, tree.depth(num_rows)))

    return Choice(init, enter, draw, _pick, reprioritise)


def _pick(state: Any, noise: Array, first: Array, count: Array) -> tuple[Array, Array]:
    """Rows by mass; where there is none at all, any row that may be drawn."""
    some = tree.total(state.tree) > 0
    anywhere = first + (noise[..., 0] * count.astype(noise.dtype)).astype(jnp.int32)
    index = tree.drawn(state.tree, noise)
    mass = jnp.where(some, tree.mass(state.tree, index), 1.0)
    return jnp.where(some, index, anywhere), mass.min() / mass


def _sound(priority: Array) -> Array:
    """Priorities of which any power and any sum is finite; 0 for those that are not themselves."""
    sound = jnp.isfinite(priority) & (priority > 0)
    return jnp.where(sound, jnp.minimum(priority, LARGEST), 0.0)


def _bin(priority: Array) -> Array:
    """The bin of a priority by its logarithm: 0 for none, the greatest for new rows alone."""
    octave = jnp.log2(jnp.where(priority > 0, priority, 1.0))
    middle = NUM_BINS // 2
    place = jnp.clip(jnp.floor(BINS_PER_OCTAVE * octave) + middle, 1, NUM_BINS - 2)
    return jnp.where(priority > 0, place, 0).astype(jnp.int32)


def _binned(state: Ranked, index: Array, new: Array) -> Ranked:
    """The state after rows moved to other bins; a row that comes several times moves once."""
    old = state.bins.at[index].get(mode="promise_in_bounds")
    bins = state.bins.at[index].set(jnp.uint8(0)).at[index].max(new.astype(jnp.uint8))
    order = jnp.argsort(index)
    index = index[order]
    once = jnp.concatenate([jnp.ones(1, bool), index[1:] != index[:-1]]).astype(jnp.int32)
    counts = state.counts.at[old[order].astype(jnp.int32)].add(-once)
    counts = counts.at[bins[index].astype(jnp.int32)].add(once)
    return state._replace(bins=bins, counts=counts)


def _rank(counts: Array) -> Array:
    """The mean rank of the rows in each bin."""
    higher = jnp.cumsum(counts[::-1])[::-1] - counts
    return (2 + 2 * higher + jnp.maximum(counts - 1, 0)) / 2
