"""Distributional value learning: returns as categorical distributions, or as quantiles."""

import jax
import jax.numpy as jnp

from jaxrl import checks
from jaxrl.numerics import plogp
from jaxrl.types import Array, Scalar


def categorical_projection(atoms: Array, prob: Array, support: Array) -> Array:
    """Projection of a distribution onto evenly spaced atoms (C51, D4PG).

        (Φp)ᵢ = Σⱼ pⱼ · clip(1 − |clip(z̃ⱼ, z₁, z_K) − zᵢ| / Δz, 0, 1)

    It keeps the mass, and the mean of what lies inside of the support.

    Args:
      atoms: z̃, where the mass lies, for example r + γ z, [..., M].
      prob: p, [..., M].
      support: z, evenly spaced and rising, [K] with K ≥ 2.
    Returns: Φp, [..., K].
    Reference: Bellemare et al. 2017, arXiv:1707.06887, eq. 7.
    """
    checks.sequence(atoms=atoms, prob=prob)
    checks.sequence(support=support)
    if support.ndim != 1 or support.size < 2:
        raise ValueError(f"support must have the shape (K,) with K at least 2, not {support.shape}")
    low, high = support[0], support[-1]
    place = (jnp.clip(atoms, low, high) - low) / (high - low) * (support.size - 1)
    index = jnp.arange(support.size, dtype=place.dtype).reshape((1,) * (atoms.ndim - 1) + (-1, 1))
    share = jnp.maximum(1 - jnp.abs(place[..., None, :] - index), 0.0)
    return jnp.einsum("...ij,...j->...i", share, prob, precision="highest")


def categorical_loss(logits: Array, target_prob: Array) -> Array:
    """Cross-entropy of a categorical value distribution against its projected target.

        ℓ = −Σᵢ pᵢ log softmax(x)ᵢ

    Args:
      logits: x, [..., K].
      target_prob: p, from `categorical_projection`, [..., K].
    Reference: Bellemare et al. 2017, arXiv:1707.06887, algorithm 1.
    """
    checks.sequence(logits=logits, target_prob=target_prob)
    return -plogp(target_prob, jax.nn.log_softmax(logits)).sum(-1)


def quantile_midpoints(num_quantiles: int) -> Array:
    """The quantile levels of QR-DQN.

        τ̂ᵢ = (2i − 1) / 2N

    Reference: Dabney et al. 2018, arXiv:1710.10044, lemma 2.
    >>> quantile_midpoints(4)
    Array([0.125, 0.375, 0.625, 0.875], dtype=float32)
    """
    checks.at_least(1, num_quantiles=num_quantiles)
    return (jnp.arange(num_quantiles, dtype=jnp.float32) + 0.5) / num_quantiles


def quantile_huber_loss(quantile: Array, tau: Array, target: Array, kappa: Scalar = 1.0) -> Array:
    """Quantile regression with a Huber loss (QR-DQN, IQN).

        ℓ = Σᵢ meanⱼ |τᵢ − 1[u < 0]| L_κ(u) / κ,  u = yⱼ − qᵢ

    with L_κ the Huber loss; κ = 0 is the limit |τᵢ − 1[u < 0]| |u|.

    Args:
      quantile: qᵢ, [..., N].
      tau: τᵢ: fixed levels [N] (`quantile_midpoints`), or sampled ones [..., N] (IQN).
      target: yⱼ, samples or quantiles of the target, [..., M].
    Reference: Dabney et al. 2018, arXiv:1710.10044, eq. 10 (without 1/κ); arXiv:1806.06923.
    """
    shape = checks.sequence(quantile=quantile)
    if checks.sequence(target=target)[:-1] != shape[:-1]:
        raise ValueError(f"target must have the shape {shape[:-1]} + (M,), not {target.shape}")
    if checks.sequence(tau=tau) not in (shape, shape[-1:]):
        raise ValueError(f"tau must have the shape {shape} or {shape[-1:]}, not {tau.shape}")
    checks.fits((), kappa=kappa)
    error = target[..., None, :] - quantile[..., :, None]
    tau = jnp.broadcast_to(tau.reshape((1,) * (quantile.ndim - tau.ndim) + tau.shape), shape)
    weight = jnp.abs(tau[..., None] - (error < 0).astype(tau.dtype))
    distance = jnp.abs(error)
    near = jnp.minimum(distance, kappa)
    scale = jnp.where(jnp.asarray(kappa) > 0, kappa, 1.0)
    loss = jnp.square(near) / (2 * scale) + distance - near
    return (weight * loss).mean(-1).sum(-1)
