"""Shaping of rewards: for language models (KL, length), and by potentials."""

import jax.numpy as jnp

from jaxrl import checks
from jaxrl.formulas.divergences import k1
from jaxrl.numerics import divide
from jaxrl.types import Array, Scalar


def kl_reward(
    score: Array,
    log_prob: Array,
    ref_log_prob: Array,
    mask: Array,
    beta: Scalar,
    clip: Scalar = jnp.inf,
) -> Array:
    """Token rewards of RLHF: the price of leaving the reference, and the score at the end.

        rₜ = −β (log π(aₜ) − log π_ref(aₜ)) + 1[t is the last token] · clip(score, −c, c)

    Args:
      score: of the reward model, one per response, [...].
      log_prob, ref_log_prob: of the response's tokens, [T, ...], as sampled.
      mask: 1 at response tokens, wherever they start and end, [T, ...].
      beta: β, 0.1 in the note.
      clip: c, 5 in the note.
    Returns: rₜ, [T, ...], 0 at masked positions; a response without tokens gets nothing.
    Reference: Ouyang et al. 2022, arXiv:2203.02155, section 3.5; note 004, 3.4.1 (compute_rewards).
    """
    shape = checks.sequence(log_prob=log_prob, ref_log_prob=ref_log_prob)
    if checks.same_shape(score=score) != shape[1:]:
        raise ValueError(f"score must have the shape {shape[1:]}, not {score.shape}")
    mask = checks.flag(shape, mask=mask)
    checks.fits(shape, beta=beta)
    checks.fits(shape[1:], clip=clip)
    remaining = jnp.cumsum(mask[::-1], axis=0)[::-1]
    last = mask & (remaining == 1)
    penalty = -beta * k1(jnp.where(mask, log_prob - ref_log_prob, 0.0))
    return penalty + jnp.where(last, jnp.clip(score, -clip, clip)[None], 0.0)


def soft_overlong_penalty(length: Array, max_length: Scalar, cache: Scalar) -> Array:
    """DAPO's soft punishment of responses that come near to, or pass, the longest allowed.

        0 if L ≤ L_max − C,  ((L_max − C) − L) / C up to L_max,  −1 beyond

    Args:
      length: L, number of tokens (not characters), [...].
      cache: C, the last tokens, over which the punishment grows.
    Reference: Yu et al. 2025, arXiv:2503.14476, eq. 13.
    >>> soft_overlong_penalty(jnp.array([50.0, 90.0, 110.0]), 100, 20)
    Array([ 0. , -0.5, -1. ], dtype=float32)
    """
    checks.fits((), max_length=max_length, cache=cache)
    excess = _real(length) - (max_length - cache)
    return jnp.where(excess > 0, -jnp.minimum(excess / cache, 1.0), 0.0)


def linear_length_penalty(length: Array, limit: Scalar, coefficient: Scalar) -> Array:
    """A price per token beyond a limit.

        −c max(0, L − L₀)

    Args:
      length: L, number of tokens, [...].
      limit: L₀; 0 prices every token.
    Reference: Singhal et al. 2023, arXiv:2310.03716.
    """
    checks.fits((), limit=limit, coefficient=coefficient)
    return -coefficient * jnp.maximum(_real(length) - limit, 0.0)


def relative_length_reward(length: Array, correct: Array) -> Array:
    """Prefers the shorter of several right answers, and punishes long wrong ones.

        λᵢ = ½ − (Lᵢ − min L) / (max L − min L);  λᵢ if correct, else min(0, λᵢ)

    Args:
      length: L, number of tokens of each response of a group, [..., G].
      correct: 1 or 0, [..., G].
    Returns: [..., G], 0 where all of a group are equally long.
    Reference: Kimi Team 2025, arXiv:2501.12599, section 2.3.3.
    """
    real = _real(length)
    correct = checks.flag(checks.sequence(length=real), correct=correct)
    shortest, longest = real.min(-1, keepdims=True), real.max(-1, keepdims=True)
    preference = 0.5 - divide(real - shortest, longest - shortest)
    rewarded = jnp.where(correct, preference, jnp.minimum(preference, 0.0))
    return jnp.where(longest > shortest, rewarded, 0.0)


def potential_shaping(potential: Array, next_potential: Array, discount: Scalar) -> Array:
    """Potential-based shaping: guides exploration and changes no optimal policy.

        F = γₜ Φ(s′) − Φ(s)

    Args:
      potential, next_potential: Φ at sₜ and at the state reached, [T, ...].
      discount: γₜ = γ (1 − terminatedₜ): a terminal state has no potential.
    Reference: Ng et al. 1999, theorem 1; note 004, question 9-1.
    """
    shape = checks.sequence(potential=potential, next_potential=next_potential)
    checks.fits(shape, discount=discount)
    return discount * next_potential - potential


def _real(length: Array) -> Array:
    checks.numeric(length=length)
    is_real = jnp.issubdtype(length.dtype, jnp.floating)
    return length if is_real else jnp.asarray(length, jnp.float32)
