"""A past that every buffer can be fed: each number in it says which step it is of."""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from jaxrl.types import Transition

NUM_STEPS, NUM_ENVS = 57, 3


def past(num_steps=NUM_STEPS, num_envs=NUM_ENVS, seed=0, ends=0.3):
    """Steps [T, N]: obs are ids, next_obs that of the next step or, at an end, its negative."""
    source = np.random.default_rng(seed)
    index = np.arange(1, num_steps * num_envs + 1).reshape(num_steps, num_envs)
    end = source.random((num_steps, num_envs))
    terminated, truncated = end < ends / 2, (end >= ends / 2) & (end < ends)
    following = np.where(terminated | truncated, -index, index + num_envs)
    pair = lambda x: np.stack([x, 10 * x], -1).astype(np.float32)  # noqa: E731
    return Transition(
        pair(index),
        index.astype(np.int32),
        {"carry": pair(index)},
        source.normal(size=index.shape).astype(np.float32),
        pair(following),
        terminated,
        truncated,
    )


def example(history):
    """The shape of one environment's step."""
    return jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape[2:], x.dtype), history)


@functools.partial(jax.jit, static_argnums=0)
def _fed(buffer, state, history):
    return jax.lax.scan(lambda state, row: (buffer.add(state, row), None), state, history)[0]


def fed(buffer, history):
    """The buffer's state after the whole of a past."""
    history = jax.tree.map(jnp.asarray, history)
    return _fed(buffer, buffer.init(example(history)), history)


@functools.partial(jax.jit, static_argnums=(0, 2))
def drawn(buffer, state, size, key=None):
    """A batch."""
    key = jax.random.key(7) if key is None else key
    return buffer.sample(state, buffer.draw(key, (size,)))


def origin(data, num_envs=NUM_ENVS):
    """Step and environment of rows, from their actions."""
    return np.divmod(np.asarray(data.action) - 1, num_envs)
