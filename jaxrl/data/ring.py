"""A ring of steps for each of many environments, and rows drawn from it uniformly."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxrl import checks
from jaxrl.data.buffer import Buffer, Sample
from jaxrl.types import Array, PyTree, Transition

HALF = 16  # bits of half a word


class Choice(NamedTuple):
    """How rows are drawn, as a slot of `ring`."""

    init: Callable[[], PyTree]  # -> state
    enter: Callable[[PyTree, Array, Array], PyTree]  # state, rows that may now be drawn, or no
    # longer, and which of both, [M] -> state
    draw: Callable[[Array, tuple[int, ...]], Array]  # key, shape -> noise
    pick: Callable[[PyTree, Array, Array, Array], tuple[Array, Array]]  # state, noise, the first
    # row that may be drawn and how many may -> rows, weights
    reprioritise: Callable[[PyTree, Array, Array], PyTree]  # state, rows, priority -> state


class Ring(NamedTuple):
    """Steps in the order of time, all environments of a step side by side."""

    data: PyTree  # [num_rows, ...]
    head: Array  # the step that is written next
    size: Array  # steps that were written, at most all
    choice: PyTree


class Layout(NamedTuple):
    """Sizes of a ring: row = step × num_envs + environment."""

    num_steps: int
    num_envs: int
    newest: int = 0  # steps that are not drawn yet
    oldest: int = 0  # and no more

    @property
    def num_rows(self) -> int:
        """Rows in all."""
        return self.num_steps * self.num_envs


def uniform(capacity: int, num_envs: int) -> Buffer:
    """Replay in which all rows are drawn alike, with replacement.

    Args:
      capacity: steps held in all; rounded up to a multiple of `num_envs`.
    """
    return ring(capacity, num_envs, lambda _: Choice(tuple, _same, _bits, _pick, _same))


def dataset(data: Transition) -> tuple[Buffer, Ring]:
    """Uniform replay of fixed data, and its state.

    Args:
      data: steps in the order of time, [T, N, ...]: N environments, or a row of them cut into N.
    """
    num_steps, num_envs = data.reward.shape
    for path, x in jax.tree_util.tree_leaves_with_path(data):
        if x.shape[:2] != (num_steps, num_envs):
            name = jax.tree_util.keystr(path, simple=True, separator=".")
            raise ValueError(
                f"{name} must have the first axes {(num_steps, num_envs)} of reward, not {x.shape}"
            )
    flat = jax.tree.map(lambda x: jnp.asarray(x).reshape(-1, *x.shape[2:]), data)
    buffer = uniform(num_steps * num_envs, num_envs)
    return buffer, Ring(flat, jnp.int32(0), jnp.int32(num_steps), ())


def fixed(data: Transition, replay: Callable[[int, int], Buffer]) -> Buffer:
    """Replay of fixed data, whose state is how their rows are drawn, and not the data.

    Args:
      data: as `dataset` takes it.
      replay: a capacity and a number of environments -> a buffer whose state is a `Ring`.
    """
    whole = dataset(data)[1]
    num_steps, num_envs = data.reward.shape
    buffer = replay(num_steps * num_envs, num_envs)

    def init(example: PyTree) -> PyTree:
        def entered(state: Ring, step: Transition) -> tuple[Ring, None]:
            return buffer.add(state, step), None

        steps = jax.tree.map(lambda x: x.reshape(num_steps, num_envs, *x.shape[1:]), whole.data)
        return jax.lax.scan(entered, buffer.init(example), steps)[0].choice

    def add(state: PyTree, transition: Transition) -> PyTree:
        raise TypeError("a data set is never added to")

    def sample(choice: PyTree, noise: PyTree) -> Sample:
        return buffer.sample(whole._replace(choice=choice), noise)

    def reprioritise(choice: PyTree, index: PyTree, priority: Array) -> PyTree:
        return buffer.reprioritise(whole._replace(choice=choice), index, priority).choice

    return Buffer(init, add, buffer.draw, sample, reprioritise)


def ring(capacity: int, num_envs: int, choose: Callable[[int], Choice]) -> Buffer:
    """Replay that holds the newest steps, and draws from them as `choose(number of rows)` does."""
    checks.at_least(1, capacity=capacity, num_envs=num_envs)
    num_steps = -(-capacity // num_envs)
    choice = choose(num_steps * num_envs)

    def margin(newest: int, oldest: int) -> Buffer:
        if newest + oldest >= num_steps:
            raise ValueError(
                f"capacity must hold more than a window of {newest + oldest + 1} steps of "
                f"{num_envs} environments, not {capacity!r} steps"
            )
        layout = Layout(num_steps, num_envs, newest, oldest)
        return Buffer(
            functools.partial(_init, layout, choice),
            functools.partial(_add, layout, choice),
            choice.draw,
            functools.partial(_sample, layout, choice),
            functools.partial(_reprioritise, layout, choice),
            _read,
            functools.partial(_after, layout),
            functools.partial(_span, layout),
            _whole,
            _whole,
            margin,
            newest + oldest + 1,
        )

    return margin(0, 0)


def _init(layout: Layout, choice: Choice, example: PyTree) -> Ring:
    rows = (layout.num_rows,)
    data = jax.tree.map(lambda x: jnp.zeros(rows + jnp.shape(x), jnp.result_type(x)), example)
    return Ring(data, jnp.int32(0), jnp.int32(0), choice.init())


def _add(layout: Layout, choice: Choice, state: Ring, transition: Transition) -> Ring:
    lane = jnp.arange(layout.num_envs)

    def written(rows: Array, new: Array) -> Array:
        return jax.lax.dynamic_update_slice_in_dim(rows, new, state.head * layout.num_envs, 0)

    data = jax.tree.map(written, state.data, transition)
    size = jnp.minimum(state.size + 1, layout.num_steps)
    ready = jnp.broadcast_to(size > layout.newest + layout.oldest, lane.shape)
    row = (state.head - layout.newest) % layout.num_steps * layout.num_envs + lane
    if layout.newest + layout.oldest:  # what enters is not what leaves
        gone = (state.head + layout.oldest) % layout.num_steps * layout.num_envs + lane
        row = jnp.concatenate([gone, row])
        ready = jnp.concatenate([jnp.zeros_like(ready), ready])
    head = (state.head + 1) % layout.num_steps
    return Ring(data, head, size, choice.enter(state.choice, row, ready))


def _sample(layout: Layout, choice: Choice, state: Ring, noise: Array) -> Sample:
    first, count = _span(layout, state)
    index, weight = choice.pick(state.choice, noise, first[0], count * layout.num_envs)
    index, weight = jax.lax.optimization_barrier((index % layout.num_rows, weight))
    return Sample(_read(state, index), index, weight)


def _reprioritise(
    layout: Layout, choice: Choice, state: Ring, index: Array, priority: Array
) -> Ring:
    age = (state.head - 1 - index // layout.num_envs) % layout.num_steps
    drawable = (age >= layout.newest) & (age < state.size - layout.oldest)
    priority = jnp.where(drawable, priority, 0.0)
    return state._replace(choice=choice.reprioritise(state.choice, index, priority))


def _read(state: Ring, index: Array) -> Any:
    return jax.tree.map(lambda x: x.at[index].get(mode="promise_in_bounds"), state.data)


def _after(layout: Layout, index: Array, steps: Array) -> Array:
    ahead = steps.reshape(-1, *(1,) * index.ndim) * layout.num_envs
    return (index[None] + ahead) % layout.num_rows


def _span(layout: Layout, state: Ring) -> tuple[Array, Array]:
    step = (state.head - state.size + layout.oldest) % layout.num_steps
    count = jnp.maximum(state.size - layout.newest - layout.oldest, 0)
    return step * layout.num_envs + jnp.arange(layout.num_envs), count


def _whole(state: Ring, index: Array) -> Array:
    return jnp.ones(index.shape, bool)


def _same(state: PyTree, *_: Array) -> PyTree:
    return state


def _bits(key: Array, shape: tuple[int, ...]) -> Array:
    return jax.random.bits(key, shape, jnp.uint32)


def _pick(state: PyTree, noise: Array, first: Array, count: Array) -> tuple[Array, Array]:
    return first + below(noise, count), jnp.ones(noise.shape)


def below(bits: Array, count: Array) -> Array:
    """Random words as integers from 0 to count − 1: the upper word of bits × count.

    One of them is likelier than another by count / 2³² at most; a float32 knows 2²³ numbers only.
    """
    count, low = count.astype(jnp.uint32), jnp.uint32((1 << HALF) - 1)
    (a, b), (c, d) = ((x >> HALF, x & low) for x in (bits, count))
    middle = a * d + (b * d >> HALF)
    upper = a * c + (middle >> HALF) + (((middle & low) + b * c) >> HALF)
    return upper.astype(jnp.int32)
