"""Policy losses, per action or token, unreduced: a reduction, and what it divides by, come after.

Ratios come in log form (see `ratios`). Bounds are bounds of the ratio, numbers or one per token, so
that PPO (1 ± ε), DAPO's clip-higher, GSPO and DCPO's `dynamic_bounds` are one function. All
bounding happens before the exponential: a ratio beyond its bound can neither overflow nor turn a
zero gradient into NaN.
"""

import math

import jax
import jax.numpy as jnp

from jaxrl import checks
from jaxrl.formulas.ratios import truncated_weight
from jaxrl.numerics import accumulator
from jaxrl.types import Array, Scalar


def policy_gradient(log_prob: Array, advantage: Array) -> Array:
    """Policy-gradient loss (REINFORCE, actor-critic, A2C).

        ℓ = −Ψ log π(a | s)

    Args:
      advantage: Ψ, one of the six weightings; [T, ...], or [1, ...] for one per sequence.
    Reference: Williams 1992, doi:10.1007/BF00992696; note 003, eq. 0.6.
    """
    checks.fits(checks.sequence(log_prob=log_prob), advantage=advantage)
    return -advantage * log_prob


def importance_weighted(log_ratio: Array, advantage: Array) -> Array:
    """Importance-weighted surrogate: TRPO's objective, and PPO-penalty's first term.

        ℓ = −r Â,  r = eᵈ

    Reference: Schulman et al. 2015, arXiv:1502.05477, eq. 14; note 003, section 1.8.
    """
    checks.fits(checks.sequence(log_ratio=log_ratio), advantage=advantage)
    return -jnp.exp(log_ratio) * advantage


def clipped_surrogate(log_ratio: Array, advantage: Array, lower: Scalar, upper: Scalar) -> Array:
    """Clipped surrogate (PPO-clip, GRPO, DAPO, GSPO, DCPO).

        ℓ = −min(r Â, clip(r, l, u) Â),  r = eᵈ

    Args:
      advantage: Â, [T, ...], or [1, ...] for one per sequence.
      lower, upper: l = 1 − ε and u = 1 + ε in PPO; numbers or arrays that fit [T, ...].
    Reference: Schulman et al. 2017, arXiv:1707.06347, eq. 7; note 003, section 1.8.
    >>> log_ratio = jnp.log(jnp.array([0.5, 1.0, 1.5]))
    >>> clipped_surrogate(log_ratio, jnp.array([1.0, -1.0, 2.0]), 0.8, 1.2)
    Array([-0.5,  1. , -2.4], dtype=float32)
    """
    shape = checks.sequence(log_ratio=log_ratio)
    checks.fits(shape, advantage=advantage, lower=lower, upper=upper)
    low, high = _log(lower, log_ratio), _log(upper, log_ratio)
    above = jnp.where(log_ratio <= high, log_ratio, high)  # at the bound the gradient passes whole
    below = jnp.where(log_ratio >= low, log_ratio, low)
    return -jnp.exp(jnp.where(advantage >= 0, above, below)) * advantage


def dual_clipped_surrogate(
    log_ratio: Array, advantage: Array, lower: Scalar, upper: Scalar, ceiling: Scalar
) -> Array:
    """Clipped surrogate whose ratio is also bounded where the advantage is negative.

        ℓ = −max(min(r Â, clip(r, l, u) Â), c Â) for Â < 0, else the clipped surrogate

    Args:
      ceiling: c > u; 3 in the paper, 10 in DCPO and DAPO's comparison.
    Reference: Ye et al. 2020, arXiv:1912.09729.
    """
    shape = checks.sequence(log_ratio=log_ratio)
    checks.fits(shape, advantage=advantage, ceiling=ceiling)
    capped = jnp.minimum(log_ratio, _log(ceiling, log_ratio))
    return clipped_surrogate(jnp.where(advantage < 0, capped, log_ratio), advantage, lower, upper)


def cispo(
    log_prob: Array, log_ratio: Array, advantage: Array, lower: Scalar, upper: Scalar
) -> Array:
    """CISPO: the clipped ratio only weights, so that every token keeps a gradient.

        ℓ = −sg[clip(r, l, u)] Â log π

    Args:
      lower: l; 0 for the paper's one-sided clip.
    Reference: MiniMax 2025, arXiv:2506.13585, eq. 4-5.
    """
    shape = checks.sequence(log_prob=log_prob, log_ratio=log_ratio)
    checks.fits(shape, advantage=advantage, lower=lower, upper=upper)
    bounded = jnp.clip(log_ratio, _log(lower, log_ratio), _log(upper, log_ratio))
    return policy_gradient(log_prob, jax.lax.stop_gradient(jnp.exp(bounded)) * advantage)


def decoupled_surrogate(
    log_ratio: Array,
    behaviour_log_ratio: Array,
    advantage: Array,
    lower: Scalar,
    upper: Scalar,
    maximum: Scalar,
) -> Array:
    """Decoupled PPO: clipped about a recent policy, corrected for the older one that acted.

        ℓ = sg[min(π_prox/π_behav, C)] · (−min(r Â, clip(r, l, u) Â)),  r = π_θ/π_prox

    Args:
      log_ratio: log π_θ − log π_prox, [T, ...].
      behaviour_log_ratio: log π_prox − log π_behav, [T, ...].
      maximum: C; infinite in Hilton et al.
    Reference: Hilton et al. 2022, arXiv:2110.00641; Fu et al. 2025, arXiv:2505.24298.
    """
    checks.sequence(log_ratio=log_ratio, behaviour_log_ratio=behaviour_log_ratio)
    weight = truncated_weight(behaviour_log_ratio, maximum)
    return weight * clipped_surrogate(log_ratio, advantage, lower, upper)


def not_clipped(
    log_ratio: Array,
    advantage: Array,
    lower: Scalar,
    upper: Scalar,
    ceiling: Scalar = math.inf,
) -> Array:
    """Where the clipped surrogate passes its gradient on; 1 less its mean is the clip fraction.

        1[(Â ≥ 0 and r ≤ u) or (Â < 0 and l ≤ r ≤ c)]

    The gradient of `clipped_surrogate` is this times −r Â ∇ log π.

    Args:
      ceiling: c, where the surrogate is `dual_clipped_surrogate`.
    Reference: note 003, section 1.8 (gradient forms); Schulman et al. 2017, arXiv:1707.06347.
    """
    shape = checks.sequence(log_ratio=log_ratio)
    checks.fits(shape, advantage=advantage, lower=lower, upper=upper, ceiling=ceiling)
    most = jnp.where(advantage >= 0, _log(upper, log_ratio), _log(ceiling, log_ratio))
    enough = (advantage >= 0) | (log_ratio >= _log(lower, log_ratio))
    return (enough & (log_ratio <= most)).astype(log_ratio.dtype)


def kl_penalised(log_ratio: Array, advantage: Array, kl: Array, beta: Scalar) -> Array:
    """PPO-penalty: the surrogate with a price on the distance from the old policy.

        ℓ = −r Â + β KL(π_old ‖ π)

    Args:
      kl: at each state, [T, ...], exact (`categorical_kl`, `gaussian_kl`) or estimated (`k3`).
      beta: β, moved by `adaptive_kl_coefficient`.
    Reference: Schulman et al. 2017, arXiv:1707.06347, eq. 8; note 004, section 2.4.2.
    """
    shape = checks.sequence(log_ratio=log_ratio, kl=kl)
    checks.fits(shape, beta=beta)
    return importance_weighted(log_ratio, advantage) + beta * kl


def adaptive_kl_coefficient(
    beta: Scalar, kl: Scalar, target: Scalar, tolerance: Scalar = 1.5, factor: Scalar = 2.0
) -> Array:
    """Adaptive coefficient of PPO-penalty: dearer above the target, cheaper below.

        β ← β f if KL > τ KL*, β / f if KL < KL* / τ, else β

    Args:
      kl: KL measured after the update, a scalar.
      target: KL*.
    Reference: Schulman et al. 2017, arXiv:1707.06347, section 4; note 004, section 2.4.2.
    """
    checks.fits((), beta=beta, kl=kl, target=target, tolerance=tolerance, factor=factor)
    beta = jnp.asarray(beta)
    lowered = jnp.where(kl < target / tolerance, beta / factor, beta)
    return jnp.where(kl > target * tolerance, beta * factor, lowered)


def proportional_kl_coefficient(
    beta: Scalar, kl: Scalar, target: Scalar, num_steps: Scalar, horizon: Scalar
) -> Array:
    """Adaptive coefficient of RLHF: proportional to the relative error, slow over a horizon.

        β ← β (1 + clip(KL/KL* − 1, −0.2, 0.2) n / H)

    Args:
      num_steps: n, samples since the last change.
      horizon: H, samples over which β may change much.
    Reference: Ziegler et al. 2019, arXiv:1909.08593, section 2.2, with n/H in place of its 0.1.
    """
    checks.fits((), beta=beta, kl=kl, target=target, num_steps=num_steps, horizon=horizon)
    error = jnp.clip(jnp.asarray(kl) / target - 1, -0.2, 0.2)
    return beta * (1 + error * num_steps / horizon)


def _log(bound: Scalar, like: Array) -> Array:
    """Log of a bound of the ratio; a bound below 0, as of ε > 1, never binds.

    It is taken in float32: 1 + 4e-4 is 1 in bfloat16, but its log is not 0 there.
    """
    wide = jnp.asarray(bound, accumulator(like.dtype))
    return jnp.log(jnp.maximum(wide, 0.0)).astype(like.dtype)
