"""How a token is chosen from logits, and the probability with which it was."""

import math
from collections.abc import Callable

import jax
import jax.numpy as jnp

from jaxrl import checks
from jaxrl.formulas.log_probs import selected_log_prob
from jaxrl.types import Array, Scalar

Choose = Callable[[Array, Array], tuple[Array, Array]]
"""Noise uniform in [0, 1) [...], logits [..., V] -> tokens [...], and their log-probabilities as
they were chosen."""

FEW = 256
"""Tokens up to which one product with a triangle is the quickest way to sum them all up."""


def likeliest(noise: Array, logits: Array) -> tuple[Array, Array]:
    """The most probable token, with its log-probability at temperature 1; luck plays no part."""
    token = jnp.argmax(logits, -1).astype(jnp.int32)
    return token, selected_log_prob(logits, token)


def sampling(temperature: Scalar = 1.0, top_k: int | None = None, top_p: Scalar = 1.0) -> Choose:
    """A token of softmax(x / τ), of the k best ones and the nucleus of mass p alone.

    The log-probability is that of the distribution which was sampled, filters and all.

    Args:
      temperature: τ; the number 0 is `likeliest`, a traced one must be above 0.
      top_k: a static integer; None for all.
      top_p: the number 1 for all.
    """
    if isinstance(temperature, int | float) and temperature == 0:
        return likeliest
    if top_k is not None:
        checks.at_least(1, top_k=top_k)
    if isinstance(temperature, int | float) and not 0 < temperature < math.inf:
        raise ValueError(f"temperature must be a number of at least 0, not {temperature}")
    if isinstance(top_p, int | float) and not 0 < top_p <= 1:
        raise ValueError(f"top_p must be above 0 and at most 1, not {top_p}")

    def choose(noise: Array, logits: Array) -> tuple[Array, Array]:
        logits = logits / temperature
        if top_k is not None and top_k < logits.shape[-1]:
            logits = best(logits, top_k)
        if not (isinstance(top_p, int | float) and top_p == 1):
            logits = nucleus(logits, top_p)
        token = inverse(noise, logits)
        return token, selected_log_prob(logits, token)

    return choose


def best(logits: Array, k: int) -> Array:
    """The k largest logits, −∞ in place of the others; equals of the k-th stay.

    Reference: Fan et al. 2018, arXiv:1805.04833, section 5.4.
    """
    least = jax.lax.top_k(logits, k)[0][..., -1:]
    return jnp.where(logits >= least, logits, -jnp.inf)


def nucleus(logits: Array, p: Scalar) -> Array:
    """The smallest set of most probable tokens with mass p or more, −∞ in place of the others.

    A token stays if those above it weigh less than p; equals of the last one stay.
    Reference: Holtzman et al. 2020, arXiv:1904.09751, section 3.1.
    """
    ordered = jnp.sort(logits, -1, descending=True)
    prob = jax.nn.softmax(ordered, -1)
    above = jnp.cumsum(prob, -1) - prob
    least = jnp.min(jnp.where(above < p, ordered, jnp.inf), -1, keepdims=True)
    return jnp.where(logits >= jnp.minimum(least, ordered[..., :1]), logits, -jnp.inf)


def inverse(noise: Array, logits: Array) -> Array:
    """The token at which the cumulative probability exceeds u; never one of probability 0.

        a = min {a : Σ_{k ≤ a} pₖ > u}

    One number decides, where Gumbel noise would take as many as there are tokens.
    Reference: Devroye 1986, Non-Uniform Random Variate Generation, section III.2.
    """
    prob = jnp.exp(logits - jnp.max(logits, -1, keepdims=True))
    total = _running_sum(prob)
    index = jax.lax.broadcasted_iota(jnp.int32, prob.shape, prob.ndim - 1)
    possible = prob > 0
    beyond = possible & (total > noise[..., None] * total[..., -1:])
    first = jnp.min(jnp.where(beyond, index, prob.shape[-1]), -1)
    last = jnp.max(jnp.where(possible, index, -1), -1)  # where rounding leaves nothing beyond
    return jnp.minimum(first, last)


def _running_sum(prob: Array) -> Array:
    if (size := prob.shape[-1]) > FEW:
        return jnp.cumsum(prob, -1)
    triangle = jnp.triu(jnp.ones((size, size), prob.dtype))
    return jnp.matmul(prob, triangle, precision=jax.lax.Precision.HIGHEST)
