"""Several passes of shuffled minibatches over one batch."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxrl.data import permutation
from jaxrl.optim.optimizer import Optimizer
from jaxrl.types import Array, Average, Metrics, PyTree, once

Loss = Callable[[PyTree, PyTree], tuple[Array, Array]]  # params, minibatch -> loss, numbers


class Passes(NamedTuple):
    """How often a batch is gone through, and in how many parts."""

    num_epochs: int = 1
    num_minibatches: int = 1

    @property
    def num_steps(self) -> int:
        """Optimiser steps in one update."""
        return self.num_epochs * self.num_minibatches


class Reported(NamedTuple):
    """A loss, and the names of the numbers that it reports besides, as one vector."""

    names: tuple[str, ...]
    loss: Loss
    stop: Callable[[Array], Array] | None = None  # numbers -> whether to skip this and all later


def descend(
    key: Array,
    reported: Reported,
    optimizer: Optimizer,
    state: tuple[PyTree, PyTree, Array],
    batch: PyTree,
    passes: Passes,
) -> tuple[tuple[PyTree, PyTree], Metrics]:
    """Parameters and optimiser state after the passes, and the means of what the loss reported.

    Args:
      state: parameters, optimiser state, and how many updates there were before.
      batch: leaves [B, ...], where num_minibatches divides B.
    """
    params, unpack = optimizer.layout(state[0])
    order = _order(key, len(jax.tree.leaves(batch)[0]), passes)
    counts = state[2] * passes.num_steps + jnp.arange(passes.num_steps)

    def step(carried: PyTree, now: tuple[Array, Array]) -> tuple[PyTree, Array]:
        (params, opt_state), going = carried
        count, rows = now
        part = batch if passes.num_minibatches == 1 else jax.tree.map(lambda x: x[rows], batch)
        *new, numbers = optimizer.step(
            lambda p: reported.loss(unpack(p), part), params, opt_state, count
        )
        new, numbers = tuple(new), jnp.append(numbers, 1.0)
        if reported.stop is not None:
            going = going & ~reported.stop(numbers)
            new = jax.tree.map(lambda a, b: jnp.where(going, a, b), new, (params, opt_state))
            numbers = jnp.where(going, numbers, 0.0)
        return (new, going), numbers

    start = ((params, state[1]), jnp.bool_(True))
    ((params, opt_state), _), numbers = jax.lax.scan(step, start, (counts, order))
    *totals, count = numbers.sum(0)
    names = (*reported.names, "grad_norm")
    metrics = {name: Average(total, count) for name, total in zip(names, totals, strict=True)}
    return (unpack(params), opt_state), metrics | once(lr=optimizer.schedule(counts[0]))


def _order(key: Array, size: int, passes: Passes) -> Array:
    """The rows of each minibatch, [steps, B / num_minibatches]: another order in every epoch."""
    if passes.num_minibatches == 1:
        return jnp.zeros((passes.num_epochs, 0), jnp.int32)
    keys = jax.random.split(key, passes.num_epochs)
    return jax.vmap(lambda k: permutation(k, size))(keys).reshape(passes.num_steps, -1)
