"""Divergences and entropies: estimated from one sampled action, and exact.

`k1`, `k2`, `k3` take x = log π − log π_ref of the sampled action. Where they stand decides which is
right. As a detached *reward*, k1 is unbiased. As a *loss*, differentiated at samples of π, k1 has a
gradient of mean zero, k2 that of the reverse KL(π ‖ π_ref), k3 that of the forward KL(π_ref ‖ π).
"""

import jax
import jax.numpy as jnp

from jaxrl import checks, softmax
from jaxrl.numerics import widen
from jaxrl.types import Array


def k1(log_ratio: Array) -> Array:
    """KL estimator k1: unbiased, and often negative; a reward, not a loss.

        x = log π(a) − log π_ref(a)

    Reference: Schulman 2020, joschu.net/blog/kl-approx.html.
    """
    checks.same_shape(log_ratio=log_ratio)
    return log_ratio


def k2(log_ratio: Array) -> Array:
    """KL estimator k2: biased in value, right in gradient.

        ½ x²

    Reference: Schulman 2020, joschu.net/blog/kl-approx.html.
    """
    checks.same_shape(log_ratio=log_ratio)
    return 0.5 * jnp.square(log_ratio)


def k3(log_ratio: Array) -> Array:
    """KL estimator k3 (GRPO's): unbiased in value, never negative, of little variance.

        e⁻ˣ + x − 1

    Large |x| overflows honestly; clip the argument, and the result, as some systems do.
    Reference: Schulman 2020, joschu.net/blog/kl-approx.html; GRPO, arXiv:2402.03300, eq. 4.
    """
    checks.same_shape(log_ratio=log_ratio)
    return jnp.expm1(-log_ratio) + log_ratio


def k3_corrected(log_ratio: Array) -> Array:
    """k3 in value with k2's gradient: the unbiased pair.

        sg[k3(x) − k2(x)] + k2(x)

    Reference: Tang & Munos 2025, arXiv:2506.09477; verl's "k3+".
    """
    half_square = k2(log_ratio)
    return jax.lax.stop_gradient(k3(log_ratio) - half_square) + half_square


def categorical_kl(logits: Array, other_logits: Array) -> Array:
    """Exact KL divergence of categorical distributions; swap the arguments for the reverse.

        KL(p ‖ q) = Σₐ pₐ (log pₐ − log qₐ)

    Args:
      logits: of p, [..., A]; −∞ marks an impossible action.
      other_logits: of q, [..., A].
    Returns: [...].
    Reference: Kullback & Leibler 1951, doi:10.1214/aoms/1177729694.
    """
    checks.sequence(logits=logits, other_logits=other_logits)
    log_p, log_q = jax.nn.log_softmax(widen(logits)), jax.nn.log_softmax(widen(other_logits))
    possible = logits > -jnp.inf
    return jnp.sum(jnp.exp(log_p) * jnp.where(possible, log_p - log_q, 0.0), -1)


def gaussian_kl(mean: Array, log_std: Array, other_mean: Array, other_log_std: Array) -> Array:
    """Exact KL divergence of diagonal Gaussians; swap the pairs for the reverse.

        KL(p ‖ q) = Σᵢ [log σ_q/σ_p + (σ_p² + (μ_p − μ_q)²) / (2 σ_q²) − ½]

    Args:
      mean, log_std: of p, [..., D].
      other_mean, other_log_std: of q, [..., D].
    Returns: [...].
    Reference: Duchi 2007, "Derivations for linear algebra and optimization".
    """
    checks.sequence(mean=mean, log_std=log_std, other_mean=other_mean, other_log_std=other_log_std)
    apart = log_std - other_log_std
    shift = jnp.square((mean - other_mean) * jnp.exp(-other_log_std))
    return jnp.sum(0.5 * (jnp.expm1(2 * apart) + shift) - apart, -1)


def gaussian_entropy(log_std: Array) -> Array:
    """Entropy of a diagonal Gaussian.

        H = Σᵢ [log σᵢ + ½ log 2πe]

    Args:
      log_std: log σ, [..., D].
    Reference: Cover & Thomas 2006, theorem 8.4.1.
    """
    checks.sequence(log_std=log_std)
    return jnp.sum(log_std + 0.5 * jnp.log(2 * jnp.pi * jnp.e), -1)


def categorical_entropy(logits: Array) -> Array:
    """Entropy of a categorical distribution, without storing its log-softmax for the gradient.

        H = −Σₐ pₐ log pₐ,  ∂H/∂xₐ = −pₐ (log pₐ + H)

    Args:
      logits: x, [..., A]; −∞ marks an impossible action.
    Reference: Shannon 1948, doi:10.1002/j.1538-7305.1948.tb01338.x, section 6.
    """
    shape = checks.sequence(logits=logits)
    return softmax.taken_and_entropy(logits, jnp.zeros(shape[:-1], jnp.int32))[1]
