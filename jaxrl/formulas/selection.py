"""Choosing actions from values, as pure functions of the values and of given noise.

`mask` is 1 at legal actions; an illegal one is never chosen, however good it looks. Gumbel noise is
−log(−log u), `jax.random.gumbel`.
"""

import jax
import jax.numpy as jnp

from jaxrl import checks
from jaxrl.numerics import divide, legal
from jaxrl.types import Array, Scalar


def greedy(values: Array, mask: Array | None = None) -> Array:
    """The best action; the first of equals.

        a = argmaxₐ Q(s, a)

    Args:
      values: Q(s, ·), [..., A].
    Returns: integers [...].
    Reference: Sutton & Barto 2018, eq. 2.2; note 003, section 1.2.
    >>> greedy(jnp.array([1.0, 3.0, 2.0]), jnp.array([1, 0, 1])).item()
    2
    """
    mask = checks.optional_flag(checks.sequence(values=values), mask=mask)
    return legal(values, mask).argmax(-1).astype(jnp.int32)


def epsilon_greedy(
    values: Array, noise: Array, epsilon: Scalar, mask: Array | None = None
) -> Array:
    """The best action, or with probability ε any legal one, all alike.

        a = argmaxₐ Q(s, a) if u₀ ≥ ε, else the ⌊u₁ n⌋-th of the n legal actions

    Args:
      values: Q(s, ·), [..., A].
      noise: (u₀, u₁), uniform in [0, 1), [..., 2].
      epsilon: ε, a number, or [...], one for each environment.
    Reference: Watkins 1989; note 003, section 1.2.
    """
    shape = checks.sequence(values=values)
    checks.sequence(noise=noise)
    if noise.shape != (*shape[:-1], 2):
        raise ValueError(f"noise must have the shape {(*shape[:-1], 2)}, not {noise.shape}")
    checks.fits(shape[:-1], epsilon=epsilon)
    mask = checks.optional_flag(shape, mask=mask)
    rank = jnp.cumsum(mask, -1, dtype=jnp.int32)
    count = rank[..., -1]
    nth = jnp.minimum((noise[..., 1] * count.astype(noise.dtype)).astype(jnp.int32), count - 1)
    other = jnp.argmax(mask & (rank == nth[..., None] + 1), -1).astype(jnp.int32)
    return jnp.where(noise[..., 0] < epsilon, other, greedy(values, mask))


def epsilon_greedy_prob(values: Array, epsilon: Scalar, mask: Array | None = None) -> Array:
    """Probabilities of `epsilon_greedy`, for expected Sarsa.

        π(a | s) = (1 − ε) 1[a = argmax Q] + ε / n at the n legal actions

    Returns: [..., A].
    Reference: Sutton & Barto 2018, section 5.4.
    """
    shape = checks.sequence(values=values)
    checks.fits(shape[:-1], epsilon=epsilon)
    mask = checks.optional_flag(shape, mask=mask)
    epsilon = jnp.broadcast_to(jnp.asarray(epsilon, values.dtype), shape[:-1])[..., None]
    share = mask.astype(values.dtype)
    best = jax.nn.one_hot(greedy(values, mask), shape[-1], dtype=values.dtype)
    mixed = (1 - epsilon) * best + epsilon * divide(share, share.sum(-1, keepdims=True))
    return jnp.where(mask, mixed, 0.0)


def boltzmann(values: Array, noise: Array, temperature: Scalar, mask: Array | None = None) -> Array:
    """An action of the softmax of the values, by the Gumbel trick.

        a = argmaxₐ (Q(s, a) / τ + gₐ), so that a ~ softmax(Q / τ)

    Args:
      noise: g, Gumbel, [..., A].
      temperature: τ > 0.
    Reference: Gumbel 1954; Maddison et al. 2014, arXiv:1411.0030; note 003, section 1.2.
    """
    shape = checks.sequence(values=values, noise=noise)
    checks.fits((), temperature=temperature)
    return greedy(values / temperature + noise, checks.optional_flag(shape, mask=mask))


def boltzmann_prob(values: Array, temperature: Scalar, mask: Array | None = None) -> Array:
    """Probabilities of `boltzmann`.

        π(a | s) = exp(Q(s, a) / τ) / Σ exp(Q / τ) over the legal actions, and 0 if there is none

    Returns: [..., A].
    Reference: Sutton & Barto 2018, eq. 13.2.
    """
    mask = checks.optional_flag(checks.sequence(values=values), mask=mask)
    checks.fits((), temperature=temperature)
    over = ~mask.any(-1, keepdims=True)
    return jnp.where(over, 0.0, jax.nn.softmax(legal(values / temperature, mask | over)))


def top_k(values: Array, noise: Array, k: int, mask: Array | None = None) -> Array:
    """One of the k best actions, each with the same probability.

        a = argmax_{a ∈ top-k(Q)} gₐ

    Args:
      noise: g, Gumbel (or any continuous noise, the same for all), [..., A].
      k: a static integer; fewer legal actions than k are all candidates.
    Reference: Fan et al. 2018, arXiv:1805.04833, section 5.4; note 003, section 1.2.
    """
    shape = checks.sequence(values=values, noise=noise)
    checks.at_least(1, k=k)
    mask = checks.optional_flag(shape, mask=mask)
    order = jnp.argsort(legal(values, mask), -1, descending=True)
    rank = jnp.argsort(order, -1)
    return greedy(noise, mask & (rank < k))
