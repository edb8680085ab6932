"""Repeat an algorithm's update, and add up what it reports."""

import jax
import jax.numpy as jnp

from jaxrl.tracing import traced_once, zeros_of
from jaxrl.types import Algorithm, Array, Metrics, PyTree


def nothing(algorithm: Algorithm, state: PyTree) -> Metrics:
    """Metrics of no update yet."""
    return zeros_of(traced_once(algorithm.update), state)[1]


def run(
    algorithm: Algorithm,
    state: PyTree,
    num_updates: Array | int,
    metrics: Metrics | None = None,
) -> tuple[PyTree, Metrics]:
    """`num_updates` updates, and the sum of their metrics, on top of those given.

    The law: run(run(s, a), b) is run(s, a + b), bit for bit, metrics included. A compiler may
    treat a loop whose length it knows in another way than a longer one, so it is not told: the
    length is traced, and one executable serves all lengths.
    """
    num_updates = jax.lax.optimization_barrier(jnp.asarray(num_updates, jnp.int32))
    start = nothing(algorithm, state) if metrics is None else metrics
    update = traced_once(algorithm.update)

    def body(_: Array, carried: tuple[PyTree, Metrics]) -> tuple[PyTree, Metrics]:
        state, new = update(carried[0])
        return state, jax.tree.map(jnp.add, carried[1], new)

    return jax.lax.fori_loop(0, num_updates, body, (state, start))
