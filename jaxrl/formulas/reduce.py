"""Reductions under masks, each with an external denominator for micro-batches and devices.

Token losses are [T, ...]: time first, one sequence per trailing index. Reductions of micro-batches
add up to the full batch's when each divides by the count of the *whole* batch: sum `token_count` or
`sequence_count` over micro-batches and devices and pass it as `denominator`.
"""

import jax.numpy as jnp

from jaxrl import checks
from jaxrl.numerics import divide, widen
from jaxrl.types import Array, Scalar

Axis = int | tuple[int, ...] | None


def masked_sum(x: Array, mask: Array, axis: Axis = None) -> Array:
    """Sum over the valid entries.

        Σ mₜ xₜ

    Reference: Ouyang et al. 2022, arXiv:2203.02155 (over response tokens).
    >>> masked_sum(jnp.array([1.0, jnp.nan, 3.0]), jnp.array([1, 0, 1])).item()
    4.0
    """
    mask = checks.flag(checks.same_shape(x=x), mask=mask)
    return jnp.where(mask, widen(x), 0.0).sum(axis)


def masked_mean(x: Array, mask: Array, axis: Axis = None) -> Array:
    """Mean over the valid entries; 0 where there is none.

        Σ mₜ xₜ / Σ mₜ

    Reference: Ouyang et al. 2022, arXiv:2203.02155 (over response tokens).
    >>> masked_mean(jnp.array([1.0, jnp.nan, 3.0]), jnp.array([1, 0, 1])).item()
    2.0
    """
    total = masked_sum(x, mask, axis)
    count = checks.flag(x.shape, mask=mask).sum(axis, dtype=total.dtype)
    return divide(total, count)


def masked_var(x: Array, mask: Array, axis: Axis = None, *, ddof: int = 0) -> Array:
    """Variance of the valid entries; 0 where there are no more than `ddof` of them.

        Σ mₜ (xₜ − μ)² / (Σ mₜ − ddof)

    Args:
      ddof: 0 for the population's variance, 1 for the sample's (torch's default).
    Reference: Chan et al. 1983, doi:10.1080/00031305.1983.10483115 (two passes).
    >>> masked_var(jnp.arange(1.0, 6.0), jnp.array([1, 1, 0, 0, 1]), ddof=1).item()
    4.333333492279053
    """
    mask = checks.flag(checks.same_shape(x=x), mask=mask)
    checks.at_least(0, ddof=ddof)
    valid = jnp.where(mask, widen(x), 0.0)
    count = mask.sum(axis, dtype=valid.dtype, keepdims=True)
    member = jnp.max(valid, axis, keepdims=True, where=mask, initial=-jnp.inf)
    valid = jnp.where(mask, valid - member, 0.0)  # equal entries become exactly 0
    mean = divide(valid.sum(axis, keepdims=True), count)
    squares = jnp.where(mask, jnp.square(valid - mean), 0.0).sum(axis)
    return divide(squares, jnp.maximum(count.reshape(squares.shape) - ddof, 0.0))


def token_count(mask: Array) -> Array:
    """Number of valid tokens, the denominator of `token_mean`.

        Σᵢ |oᵢ|

    Reference: Yu et al. 2025, arXiv:2503.14476, eq. 8.
    >>> token_count(jnp.array([[1, 1], [0, 1]])).item()
    3.0
    """
    return checks.flag(jnp.shape(mask), mask=mask).sum(dtype=jnp.float32)


def sequence_count(mask: Array) -> Array:
    """Number of sequences with at least one valid token, the denominator of `sequence_mean`.

        G = Σᵢ 1[|oᵢ| > 0]

    Rows without a token are padding: they count for nothing, so padding a batch changes nothing.
    Reference: Shao et al. 2024, arXiv:2402.03300, eq. 3.
    >>> sequence_count(jnp.array([[1, 0, 1], [1, 0, 0]])).item()
    2.0
    """
    return checks.flag(jnp.shape(mask), mask=mask).any(0).sum(dtype=jnp.float32)


def token_mean(x: Array, mask: Array, denominator: Scalar | None = None) -> Array:
    """Mean over all tokens of all sequences alike (DAPO): long sequences weigh more.

        ΣᵢΣₜ mᵢₜ xᵢₜ / Σᵢ |oᵢ|

    Args:
      denominator: in place of Σ|oᵢ| of this batch, that of the batch it is a part of.
    Reference: Yu et al. 2025, arXiv:2503.14476, eq. 8.
    >>> x = jnp.array([[0.1, 0.4], [0.2, 0.5], [0.3, 0.6]])
    >>> mask = jnp.array([[1, 1], [1, 1], [0, 1]])
    >>> round(token_mean(x, mask).item(), 6)
    0.36
    """
    checks.sequence(x=x)
    return _over(masked_sum(x, mask), token_count(mask), denominator)


def sequence_mean(x: Array, mask: Array, denominator: Scalar | None = None) -> Array:
    """Mean over sequences of each one's mean over its tokens (GRPO): all weigh the same.

        (1/G) Σᵢ (1/|oᵢ|) Σₜ mᵢₜ xᵢₜ

    Args:
      denominator: in place of G of this batch, that of the batch it is a part of.
    Reference: Shao et al. 2024, arXiv:2402.03300, eq. 3.
    >>> x = jnp.array([[0.1, 0.4], [0.2, 0.5], [0.3, 0.6]])
    >>> mask = jnp.array([[1, 1], [1, 1], [0, 1]])
    >>> round(sequence_mean(x, mask).item(), 6)
    0.325
    """
    return _over(only_token_mean(x, mask), sequence_count(mask), denominator)


def sequence_sum(x: Array, mask: Array, denominator: Scalar | None = None) -> Array:
    """Mean over sequences of each one's sum over its tokens (the sequence's log-likelihood).

        (1/G) Σᵢ Σₜ mᵢₜ xᵢₜ

    Args:
      denominator: in place of G of this batch, that of the batch it is a part of.
    Reference: Ahmadian et al. 2024, arXiv:2402.14740, eq. 6.
    """
    checks.sequence(x=x)
    return _over(masked_sum(x, mask), sequence_count(mask), denominator)


def fixed_length(x: Array, mask: Array, length: Scalar, denominator: Scalar | None = None) -> Array:
    """Sum over tokens by one constant for all sequences (Dr. GRPO): no bias towards a length.

        (1/G) Σᵢ (1/L) Σₜ mᵢₜ xᵢₜ

    Args:
      length: L, the largest length that a response may have, not the longest one here.
      denominator: in place of G of this batch, that of the batch it is a part of.
    Reference: Liu et al. 2025, arXiv:2503.20783, section 3.2.
    """
    checks.fits((), length=length)
    return sequence_sum(x, mask, denominator) / length


def only_token_mean(x: Array, mask: Array, denominator: Scalar = 1.0) -> Array:
    """Sum over sequences of each one's mean over its tokens (DCPO's OTM): no 1/G.

        Σᵢ (1/|oᵢ|) Σₜ mᵢₜ xᵢₜ

    Args:
      denominator: 1 in the paper; a number of prompts makes it their mean.
    Reference: Yang et al. 2025, arXiv:2509.02333, eq. 8.
    """
    checks.sequence(x=x)
    return _over(masked_mean(x, mask, axis=0).sum(), jnp.float32(1.0), denominator)


def _over(total: Array, count: Array, denominator: Scalar | None) -> Array:
    if denominator is not None:
        checks.fits((), denominator=denominator)
        count = jnp.asarray(denominator, total.dtype)
    return divide(total, count)
