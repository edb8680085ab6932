"""What learners see of a buffer: n steps as one, or sequences."""

import jax
import jax.numpy as jnp

from jaxrl import checks
from jaxrl.data.buffer import Buffer, Experience, Sample, placeless
from jaxrl.numerics import select
from jaxrl.types import Array, PyTree, Scalar


def n_step(buffer: Buffer, n: int, gamma: Scalar) -> Buffer:
    """Replay whose batches hold `Experience` of n steps, or of fewer where an episode ends.

        R = Σₖ γᵏ rₜ₊ₖ      discount = γᵐ (1 − terminated)      after m ≤ n steps

    The last observation is the one that was truly reached, so that a time limit is no death. The
    n − 1 newest rows of each environment wait until they have n. No combinator stands around it.
    """
    checks.at_least(1, n=n)
    inner = buffer.margin(n - 1, 0)

    def sample(state: PyTree, noise: PyTree) -> Sample:
        drawn = inner.sample(state, noise)
        first, steps = drawn.data, jnp.arange(n)
        places = inner.after(drawn.index, steps)
        window = inner.read(state, places)
        alive = before_end(window.done)
        power = (gamma ** steps.astype(jnp.float32))[:, None]
        nothing = jnp.zeros_like(window.reward)
        reward = select(alive, power * window.reward, nothing).sum(0)
        last = alive.sum(0) - 1
        place = at(places, last)
        end, whole = inner.read(state, place), inner.whole(state, place)
        power = gamma ** (last + 1).astype(jnp.float32)
        discount = power * (1.0 - end.terminated.astype(jnp.float32))
        data = Experience(first.obs, first.action, first.extras, reward, discount, end.next_obs)
        return drawn._replace(data=data, weight=jnp.where(whole, drawn.weight, 0.0))

    return inner._replace(sample=sample, margin=placeless)


def sequences(buffer: Buffer, length: int) -> Buffer:
    """Replay whose batches hold `length` steps one after the other, [L, B, ...].

    Sequences may overlap, and go on where an episode ended with the next one. The extras are
    those of the first steps alone, [B, ...]: there is the memory with which a sequence begins. No
    combinator stands around it.
    Reference: Kapturowski et al. 2019 (R2D2), openreview.net/forum?id=r1lyTjAqYX.
    """
    checks.at_least(1, length=length)
    inner = buffer.margin(length - 1, 0)

    def sample(state: PyTree, noise: PyTree) -> Sample:
        drawn = inner.sample(state, noise)
        places = inner.after(drawn.index, jnp.arange(length))
        data = inner.read(state, places)._replace(extras=drawn.data.extras)
        whole = inner.whole(state, places).all(0)
        return drawn._replace(data=data, weight=jnp.where(whole, drawn.weight, 0.0))

    return inner._replace(sample=sample, margin=placeless)


def before_end(done: Array) -> Array:
    """Whether no episode has ended before each step, [L, B]."""
    ended = jnp.cumsum(done.astype(jnp.int32), 0)
    return ended == done.astype(jnp.int32)


def at(places: PyTree, row: Array) -> PyTree:
    """Of places [L, B] those of one row for each column, [B]."""
    return jax.tree.map(lambda x: jnp.take_along_axis(x, row[None], 0)[0], places)
