"""Log-probability and entropy of a softmax from its logits, without storing a log-softmax.

The gradient is formed from the logits, one normaliser and one entropy per row. On a CPU, whose
compiler may store what it should fuse, large logits are read a few rows at a time.
"""

import jax
import jax.numpy as jnp
from jax.custom_derivatives import CustomVJPPrimal, SymbolicZero

from jaxrl.numerics import plogp, widen
from jaxrl.types import Array

BLOCK_ENTRIES = 2**20
"""Logits that are read at a time: 4 MiB in float32, which stays in cache."""


@jax.custom_vjp
def log_prob_and_entropy(logits: Array, action: Array) -> tuple[Array, Array]:
    """(log p(a), H) of logits [..., A] and actions [...], in float32 or wider."""
    norm, entropy = _statistics(logits)
    return _taken(logits, action) - norm, entropy


def _forward(
    logits: CustomVJPPrimal, action: CustomVJPPrimal
) -> tuple[tuple[Array, Array], tuple[Array, ...]]:
    norm, entropy = _statistics(logits.value)
    log_prob = _taken(logits.value, action.value) - norm
    return (log_prob, entropy), (logits.value, action.value, norm, entropy)


def _backward(residuals: tuple[Array, ...], cotangents: tuple[Array, Array]) -> tuple[Array, None]:
    """∂ log p(a) / ∂xₖ = 1[k = a] − pₖ and ∂H / ∂xₖ = −pₖ (log pₖ + H), if asked for."""
    logits, action, norm, entropy = residuals
    log_prob = widen(logits) - norm[..., None]
    prob = jnp.exp(log_prob)
    slope = jnp.zeros_like(prob)
    for_log_prob, for_entropy = cotangents
    if not isinstance(for_log_prob, SymbolicZero):
        chosen = jnp.arange(logits.shape[-1], dtype=action.dtype) == action[..., None]
        slope += (chosen.astype(prob.dtype) - prob) * for_log_prob[..., None]
    if not isinstance(for_entropy, SymbolicZero):
        slope -= plogp(prob, log_prob + entropy[..., None]) * for_entropy[..., None]
    return slope.astype(logits.dtype), None


log_prob_and_entropy.defvjp(_forward, _backward, symbolic_zeros=True)


def _taken(logits: Array, action: Array) -> Array:
    return widen(jnp.take_along_axis(logits, action[..., None], -1))[..., 0]


def _statistics(logits: Array) -> tuple[Array, Array]:
    """Log-normaliser and entropy over the last axis."""
    if logits.size <= BLOCK_ENTRIES:
        return _direct(logits)
    return jax.lax.platform_dependent(logits, cpu=_blocked, default=_direct)


def _direct(logits: Array) -> tuple[Array, Array]:
    x = widen(logits)
    top = jnp.max(x, -1, keepdims=True)
    weight = jnp.exp(x - top)
    total = weight.sum(-1)
    mean = jnp.sum(weight * jnp.where(x > -jnp.inf, x - top, 0.0), -1) / total
    return top[..., 0] + jnp.log(total), jnp.log(total) - mean


def _blocked(logits: Array) -> tuple[Array, Array]:
    rows = logits.reshape(-1, logits.shape[-1])
    num_rows = len(rows)
    size = min(num_rows, max(1, BLOCK_ENTRIES // rows.shape[1]))

    def block(i: Array, sums: tuple[Array, ...]) -> tuple[Array, ...]:
        start = jnp.minimum(i * size, num_rows - size)  # the last block may repeat a few rows
        parts = _direct(jax.lax.dynamic_slice_in_dim(rows, start, size))
        return tuple(
            jax.lax.dynamic_update_slice_in_dim(all_rows, part, start, 0)
            for all_rows, part in zip(sums, parts, strict=True)
        )

    empty = jnp.zeros(num_rows, widen(rows[:1, 0]).dtype)
    norm, entropy = jax.lax.fori_loop(0, -(-num_rows // size), block, (empty, empty))
    return norm.reshape(logits.shape[:-1]), entropy.reshape(logits.shape[:-1])
