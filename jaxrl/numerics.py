"""Numerical helpers below the formulas: accumulation type, safe division and deviations."""

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike

from jaxrl.types import Array, PyTree, Scalar


def accumulator(dtype: DTypeLike) -> DTypeLike:
    """The type in which sums over `dtype` are taken: float32 or wider."""
    return dtype if jnp.finfo(dtype).bits >= 32 else jnp.float32


def widen(x: Array) -> Array:
    """`x` in the type in which sums over it are taken."""
    return jnp.asarray(x, accumulator(x.dtype))


def floats(x: Array) -> Array:
    """`x` where it is of floats; integers and bools as float32."""
    return x if jnp.issubdtype(x.dtype, jnp.floating) else x.astype(jnp.float32)


def divide(numerator: Array, denominator: Array) -> Array:
    """numerator / denominator; 0, with gradient 0, where the denominator is 0."""
    empty = denominator == 0
    return jnp.where(empty, 0.0, numerator / jnp.where(empty, 1.0, denominator))


def inverse_deviation(variance: Array, eps: Scalar) -> Array:
    """1 / (√variance + ε); 0, with gradient 0, where the variance is not positive."""
    varies = variance > 0
    deviation = jnp.sqrt(jnp.where(varies, variance, 1.0))
    return jnp.where(varies, 1 / (deviation + eps), 0.0)


def plogp(prob: Array, log_prob: Array) -> Array:
    """prob · log_prob with 0 · (−∞) = 0, the limit that entropies and divergences need."""
    return prob * jnp.where(prob > 0, log_prob, 0.0)


def expectation(prob: Array, values: Array) -> Array:
    """Σ prob · values over the last axis; a value of −∞ (an illegal action) adds nothing."""
    return jnp.sum(prob * jnp.where(values > -jnp.inf, values, 0.0), -1)


def cosine_of_half_turns(x: Array) -> Array:
    """cos πx, in products and sums alone: `jnp.cos` takes several times as long on a CPU."""
    whole = jnp.round(x)
    squared = jnp.square(jnp.pi * (x - whole))
    cosine = jnp.ones_like(squared)
    for k in (11, 9, 7, 5, 3, 1):
        cosine = 1 - squared / (k * (k + 1)) * cosine
    odd = whole - 2 * jnp.floor(whole / 2)
    return cosine * (1 - 2 * odd)


def next_step(x: Array, last: Array) -> Array:
    """xₜ₊₁ at t, and `last` at the end of the window."""
    return jnp.concatenate([x[1:], last[None]])


def previous_step(x: Array, first: Array) -> Array:
    """xₜ₋₁ at t, and `first` at the beginning of the window."""
    return jnp.concatenate([first[None], x[:-1]])


def legal(values: Array, mask: Array) -> Array:
    """`values` with −∞ at illegal actions, and above that at the worst of the legal ones."""
    return jnp.where(mask, jnp.maximum(values, jnp.finfo(values.dtype).min), -jnp.inf)


def select(condition: Array, x: PyTree, y: PyTree) -> PyTree:
    """Leaf by leaf x where the condition holds, else y; trailing axes are the leaves' own."""
    return jax.tree.map(lambda a, b: jnp.where(_spread(condition, a.ndim), a, b), x, y)


def _spread(condition: Array, num_axes: int) -> Array:
    return condition.reshape(condition.shape + (1,) * (num_axes - condition.ndim))
