"""Log-probability and entropy of a softmax from its logits, without storing a log-softmax.

The gradient is formed from the logits, one normaliser and one entropy per row. On a CPU, whose
compiler may store what it should fuse, large logits are read a few rows at a time.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.custom_derivatives import CustomVJPPrimal, SymbolicZero

from jaxrl.numerics import accumulator, plogp, widen
from jaxrl.types import Array

BLOCK_ENTRIES = 2**20
"""Logits that are read at a time: 4 MiB in float32, which stays in cache."""


class _Row(NamedTuple):
    """What is kept of a row: log Σ eˣ = top + log_total, apart, so that large logits stay exact."""

    top: Array
    log_total: Array
    entropy: Array


@jax.custom_vjp
def taken_and_entropy(logits: Array, action: Array) -> tuple[Array, Array]:
    """(log p(a), H) of logits [..., A] and actions [...], in float32 or wider."""
    return _read(logits, action, _rows(logits))


def _forward(
    logits: CustomVJPPrimal, action: CustomVJPPrimal
) -> tuple[tuple[Array, Array], tuple[Array, Array, _Row]]:
    residuals = logits.value, action.value, _rows(logits.value)
    return _read(*residuals), residuals


def _backward(
    residuals: tuple[Array, Array, _Row], cotangents: tuple[Array, Array]
) -> tuple[Array, None]:
    """∂ log p(a) / ∂xₖ = 1[k = a] − pₖ and ∂H / ∂xₖ = −pₖ (log pₖ + H), if asked for."""
    logits, action, row = residuals
    top, log_total, entropy = (x[..., None] for x in row)
    log_prob = widen(logits) - top - log_total
    prob = jnp.exp(log_prob)
    slope = jnp.zeros_like(prob)
    for_log_prob, for_entropy = cotangents
    if not isinstance(for_log_prob, SymbolicZero):
        column = jax.lax.broadcasted_iota(jnp.int32, logits.shape, logits.ndim - 1)
        chosen = column == action[..., None].astype(jnp.int32)
        slope += (chosen.astype(prob.dtype) - prob) * for_log_prob[..., None]
    if not isinstance(for_entropy, SymbolicZero):
        slope -= plogp(prob, log_prob + entropy) * for_entropy[..., None]
    # The products that follow need this twice, once transposed: let them read it, not remake it.
    return jax.lax.optimization_barrier(slope.astype(logits.dtype)), None


taken_and_entropy.defvjp(_forward, _backward, symbolic_zeros=True)


def _read(logits: Array, action: Array, row: _Row) -> tuple[Array, Array]:
    taken = widen(jnp.take_along_axis(logits, action[..., None], -1))[..., 0]
    return taken - row.top - row.log_total, row.entropy


@jax.jit
def _rows(logits: Array) -> _Row:
    if logits.size <= BLOCK_ENTRIES:
        return _direct(logits)
    return jax.lax.platform_dependent(logits, cpu=_blocked, default=_direct)


def _direct(logits: Array) -> _Row:
    x = widen(logits)
    top = jnp.max(x, -1, keepdims=True)
    weight = jnp.exp(x - top)
    total = weight.sum(-1)
    mean = jnp.sum(weight * jnp.where(x > -jnp.inf, x - top, 0.0), -1) / total
    return _Row(top[..., 0], jnp.log(total), jnp.log(total) - mean)


def _blocked(logits: Array) -> _Row:
    rows = logits.reshape(-1, logits.shape[-1])
    num_rows = len(rows)
    size = min(num_rows, max(1, BLOCK_ENTRIES // rows.shape[1]))

    def block(i: Array, done: _Row) -> _Row:
        start = jnp.minimum(i * size, num_rows - size)  # the last block may repeat a few rows
        new = _direct(jax.lax.dynamic_slice_in_dim(rows, start, size))
        put = jax.lax.dynamic_update_slice_in_dim
        return jax.tree.map(lambda whole, part: put(whole, part, start, 0), done, new)

    first = rows[:, 0].astype(accumulator(logits.dtype))
    empty = jnp.where(first == 0, 0.0, jnp.zeros_like(first))  # under shard_map placed as the data
    row = jax.lax.fori_loop(0, -(-num_rows // size), block, _Row(empty, empty, empty))
    return jax.tree.map(lambda x: x.reshape(logits.shape[:-1]), row)
