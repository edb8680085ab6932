"""Ratios of policies: in log form for the losses, and as weights that carry no gradient.

The mask goes in here, before any exponential, and again at the reduction: so nothing that stands at
a masked token (padding, −∞, NaN) reaches a value or a gradient.
"""

import jax
import jax.numpy as jnp

from jaxrl import checks
from jaxrl.formulas.reduce import masked_mean, masked_sum
from jaxrl.types import Array, Scalar


def token_log_ratio(log_prob: Array, old_log_prob: Array, mask: Array | None = None) -> Array:
    """Log importance ratio of each action or token (PPO, GRPO).

        dₜ = log π(aₜ | sₜ) − log π_old(aₜ | sₜ)

    Returns: dₜ, [T, ...], 0 at masked positions; the ratio is exp dₜ.
    Reference: Schulman et al. 2017, arXiv:1707.06347, section 3; note 002, section 5.1.
    >>> jnp.exp(token_log_ratio(jnp.log(jnp.array([0.3])), jnp.log(jnp.array([0.1])))).round(4)
    Array([3.], dtype=float32)
    """
    shape = checks.sequence(log_prob=log_prob, old_log_prob=old_log_prob)
    mask = checks.optional_flag(shape, mask=mask)
    return jnp.where(mask, log_prob - old_log_prob, 0.0)


def sequence_log_ratio(log_prob: Array, old_log_prob: Array, mask: Array) -> Array:
    """Log ratio of the whole sequence by its length (GSPO), the same at each of its tokens.

        log s = (1/|o|) Σₜ mₜ dₜ

    Returns: [T, ...], 0 at masked positions.
    Reference: Zheng et al. 2025, arXiv:2507.18071, eq. 7.
    """
    log_ratio = token_log_ratio(log_prob, old_log_prob, mask)
    return _spread(masked_mean(log_ratio, mask, axis=0), log_ratio, mask)


def total_log_ratio(log_prob: Array, old_log_prob: Array, mask: Array) -> Array:
    """Log ratio of the whole sequence, for weights of sequences (`truncated_weight`).

        log π(o)/π_old(o) = Σₜ mₜ dₜ

    Returns: [T, ...], the same at each token, 0 at masked positions.
    Reference: Zheng et al. 2025, arXiv:2507.18071, section 4.1.
    """
    log_ratio = token_log_ratio(log_prob, old_log_prob, mask)
    return _spread(masked_sum(log_ratio, mask, axis=0), log_ratio, mask)


def gspo_token_log_ratio(log_prob: Array, old_log_prob: Array, mask: Array) -> Array:
    """GSPO-token: the sequence's ratio in value, each token's own in gradient.

        log sₜ = sg[log s] + log πₜ − sg[log πₜ]

    With equal advantages at all tokens it is GSPO in value and gradient.
    Returns: [T, ...], 0 at masked positions.
    Reference: Zheng et al. 2025, arXiv:2507.18071, eq. 14.
    """
    value = jax.lax.stop_gradient(sequence_log_ratio(log_prob, old_log_prob, mask))
    own = jnp.where(checks.flag(log_prob.shape, mask=mask), log_prob, 0.0)
    return value + (own - jax.lax.stop_gradient(own))


def dynamic_bounds(
    old_log_prob: Array, eps_low: Scalar, eps_high: Scalar, ceiling: Scalar = 10.0
) -> tuple[Array, Array]:
    """DCPO's dynamic clip bounds: wide for rare tokens, narrow for likely ones.

        lower = ½ + ½ √max(1 − 4 ε_low / q, 0)
        upper = min(½ + ½ √(1 + 4 ε_high / q), r_max)  with q = π_old(aₜ | sₜ)

    Args:
      old_log_prob: log q, [T, ...].
      eps_low, eps_high: 0.16 and 0.2 in the paper.
      ceiling: r_max; also the ceiling of `dual_clipped_surrogate` there.
    Returns: (lower, upper), ratio bounds [T, ...] for `clipped_surrogate`.
    Reference: Yang et al. 2025, arXiv:2509.02333, eq. 4.
    """
    shape = checks.sequence(old_log_prob=old_log_prob)
    checks.fits(shape, eps_low=eps_low, eps_high=eps_high, ceiling=ceiling)
    inverse = jnp.exp(-old_log_prob)
    lower = 0.5 + 0.5 * jnp.sqrt(jnp.maximum(1 - 4 * eps_low * inverse, 0.0))
    upper = 0.5 + 0.5 * jnp.sqrt(1 + 4 * eps_high * inverse)
    return lower, jnp.minimum(upper, ceiling)


def truncated_weight(log_ratio: Array, maximum: Scalar) -> Array:
    """Truncated importance weight, without gradient: TIS, and V-trace's ρ and c.

        w = sg[min(eᵈ, C)]

    Args:
      log_ratio: per token, or `total_log_ratio` for the weight of the sequence.
      maximum: C, 1 for V-trace, about 2 for the mismatch between samplers and trainers.
    Reference: Ionides 2008, doi:10.1198/106186008X320456; Espeholt et al. 2018, arXiv:1802.01561.
    """
    checks.fits(checks.sequence(log_ratio=log_ratio), maximum=maximum)
    return jax.lax.stop_gradient(jnp.minimum(jnp.exp(log_ratio), maximum))


def masked_weight(log_ratio: Array, lower: Scalar, upper: Scalar) -> Array:
    """Importance weight that drops what lies outside of its bounds, without gradient.

        w = sg[eᵈ · 1[l ≤ eᵈ ≤ u]]

    Args:
      log_ratio: per token, or `total_log_ratio` to drop whole sequences.
    Reference: Ling Team 2025, arXiv:2510.18855, eq. 2 (IcePop).
    """
    checks.fits(checks.sequence(log_ratio=log_ratio), lower=lower, upper=upper)
    ratio = jax.lax.stop_gradient(jnp.exp(log_ratio))
    return jnp.where((ratio >= lower) & (ratio <= upper), ratio, 0.0)


def retrace_weight(log_ratio: Array, lam: Scalar) -> Array:
    """Retrace's trace coefficient, without gradient: never above λ, so that it stays finite.

        c = sg[λ min(1, eᵈ)]

    Reference: Munos et al. 2016, arXiv:1606.02647.
    """
    checks.fits(checks.sequence(log_ratio=log_ratio), lam=lam)
    return lam * truncated_weight(log_ratio, 1.0)


def off_policy_mask(advantage: Array, log_ratio: Array, mask: Array, threshold: Scalar) -> Array:
    """Drops sequences that are both bad and far from the policy that made them.

        1[Âₜ ≥ 0 or (1/|o|) Σₜ mₜ (−dₜ) ≤ δ]

    Args:
      threshold: δ, the largest mean of log π_old − log π that a negative sequence may have.
    Returns: 0 or 1, [T, ...], 0 at masked positions.
    Reference: DeepSeek-AI 2025, arXiv:2512.02556, eq. 9.
    """
    shape = checks.sequence(advantage=advantage, log_ratio=log_ratio)
    checks.fits((), threshold=threshold)
    flags = checks.flag(shape, mask=mask)
    distance = -masked_mean(log_ratio, mask, axis=0)
    keep = (advantage >= 0) | (distance <= threshold)[None]
    return jax.lax.stop_gradient((keep & flags).astype(log_ratio.dtype))


def _spread(total: Array, like: Array, mask: Array) -> Array:
    spread = jnp.broadcast_to(total[None], like.shape).astype(like.dtype)
    return jnp.where(checks.flag(like.shape, mask=mask), spread, 0.0)
