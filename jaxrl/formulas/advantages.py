"""Advantages: how much better an action did than expected.

`discount` and `done` are two arguments, as in `returns`: a time limit is not death.
"""

import jax.numpy as jnp

from jaxrl import checks
from jaxrl.formulas.recurrence import recurrence
from jaxrl.formulas.reduce import masked_mean, masked_var
from jaxrl.formulas.weightings import td_error
from jaxrl.numerics import inverse_deviation, next_step, widen
from jaxrl.types import Array, Scalar


def gae(
    reward: Array, value: Array, next_value: Array, discount: Scalar, done: Array, lam: Scalar
) -> Array:
    """Generalised advantage estimation.

        δₜ = rₜ + γₜ v′ₜ − vₜ
        Âₜ = δₜ + γₜ λ (1 − dₜ) Âₜ₊₁

    Args:
      value: vₜ, [T, ...].
      next_value: v′ₜ, value of the state reached, before any reset, [T, ...].
      discount: γₜ = γ (1 − terminatedₜ), [T, ...] or a number.
      done: dₜ = terminatedₜ | truncatedₜ, [T, ...].
      lam: λ; 0 for the TD error (little variance, much bias), 1 for the return less the value (no
        bias, much variance; the first note's question 4 first states this the wrong way round).
    Returns: Âₜ, [T, ...]. The value target is Âₜ + vₜ; a second λ for it makes VC-PPO's.
    Reference: Schulman et al. 2016, arXiv:1506.02438, eq. 16.
    >>> gae(jnp.ones(2), jnp.zeros(2), jnp.ones(2), 0.5, jnp.array([False, True]), 1.0)
    Array([2.25, 1.5 ], dtype=float32)
    """
    shape = checks.sequence(reward=reward, value=value, next_value=next_value)
    checks.fits(shape, discount=discount, lam=lam)
    done = checks.flag(shape, done=done)
    return recurrence(_traced_error, (reward, value, next_value, discount, done, lam))


def masked_gae(
    reward: Array,
    value: Array,
    mask: Array,
    discount: Scalar,
    lam: Scalar,
    last_value: Scalar = 0.0,
) -> Array:
    """Token-level GAE that steps over gaps (prompts, tool output, padding) as if they were absent.

        δₜ = rₜ + γ v_n(t) − vₜ
        Âₜ = δₜ + γ λ Â_n(t)  where n(t) is the next valid position; past the last, v = v_T, Â = 0

    Args:
      reward, value: at each token, [T, ...]; whatever stands at masked ones is never read.
      mask: 1 at response tokens, [T, ...].
      discount, lam: numbers, or one per sequence, [1, ...] (`length_adaptive_lambda`).
      last_value: v_T, [...] or a number: 0 where responses end, a value where they are truncated.
    Returns: Âₜ, [T, ...], 0 at masked positions.
    Reference: Schulman et al. 2016, arXiv:1506.02438, eq. 16; Yue et al. 2025, arXiv:2504.05118.
    """
    shape = checks.sequence(reward=reward, value=value)
    mask = checks.flag(shape, mask=mask)
    checks.fits((1, *shape[1:]), discount=discount, lam=lam)
    checks.fits(shape[1:], last_value=last_value)
    reward, value = jnp.where(mask, reward, 0.0), jnp.where(mask, value, 0.0)
    last = jnp.broadcast_to(jnp.asarray(last_value, value.dtype), shape[1:])
    next_value = next_step(recurrence(_nearest, (value, mask), last), last)
    carried = recurrence(_gapped_error, (reward, value, next_value, discount, mask, lam))
    return jnp.where(mask, carried, 0.0)


def length_adaptive_lambda(length: Array, alpha: Scalar) -> Array:
    """A λ for each response that keeps the horizon of GAE a fixed share of its length.

        λ = max(0, 1 − 1 / (α l))

    Args:
      length: l, the number of tokens, [...].
      alpha: α, 0.05 in the paper.
    Reference: Yue et al. 2025, arXiv:2504.05118, eq. 5; the bound at 0 is ours.
    >>> length_adaptive_lambda(jnp.array([8.0, 100.0]), 0.05)
    Array([0. , 0.8], dtype=float32)
    """
    checks.numeric(length=length)
    checks.fits(jnp.shape(length), alpha=alpha)
    return jnp.maximum(1.0 - 1.0 / (alpha * jnp.asarray(length, jnp.float32)), 0.0)


def vtrace(
    reward: Array,
    value: Array,
    next_value: Array,
    discount: Scalar,
    done: Array,
    rho: Array,
    trace: Array,
) -> Array:
    """V-trace target: the n-step return of π from data of another policy μ.

        xₜ = ρₜ (rₜ + γₜ v′ₜ − vₜ) + γₜ (1 − dₜ) cₜ xₜ₊₁,  target = vₜ + xₜ

    Args:
      rho: ρₜ = min(ρ̄, π/μ), `truncated_weight`, [T, ...]: decides what is converged to.
      trace: cₜ = λ min(c̄, π/μ), [T, ...]: decides how fast.
    Returns: vsₜ, [T, ...]; the λ-return where π = μ.
    Reference: Espeholt et al. 2018, arXiv:1802.01561, eq. 1.
    """
    shape = checks.sequence(reward=reward, value=value, next_value=next_value, rho=rho, trace=trace)
    checks.fits(shape, discount=discount)
    done = checks.flag(shape, done=done)
    inputs = (reward, value, next_value, discount, done, trace, rho)
    return value + recurrence(_traced_error, inputs)


def vtrace_advantage(
    reward: Array,
    value: Array,
    next_value: Array,
    target: Array,
    discount: Scalar,
    done: Array,
    rho: Array,
) -> Array:
    """The advantage by which V-trace's policy gradient is weighted.

        ρₜ (rₜ + γₜ wₜ − vₜ),  wₜ = vsₜ₊₁, and v′ₜ where the episode or the window ends

    Args:
      target: vsₜ of `vtrace`, [T, ...].
      rho: ρₜ, [T, ...].
    Reference: Espeholt et al. 2018, arXiv:1802.01561, section 4.2.
    """
    shape = checks.sequence(
        reward=reward, value=value, next_value=next_value, target=target, rho=rho
    )
    cut = checks.flag(shape, done=done).at[-1].set(True)
    follow = jnp.where(cut, next_value, next_step(target, target[-1]))
    return rho * td_error(reward, value, follow, discount)


def retrace(
    reward: Array, q: Array, next_value: Array, discount: Scalar, done: Array, trace: Array
) -> Array:
    """Retrace target for Q from data of any policy.

        xₜ = (rₜ + γₜ v′ₜ − qₜ) + γₜ (1 − dₜ) cₜ₊₁ xₜ₊₁,  target = qₜ + xₜ

    Args:
      q: Q(sₜ, aₜ), [T, ...].
      next_value: v′ₜ = E_π[Q(s′ₜ, ·)], [T, ...].
      trace: cₜ, [T, ...]: λ min(1, π/μ), `retrace_weight`; λ for Q(λ), λπ for tree backup.
    Returns: the target of Q(sₜ, aₜ), [T, ...].
    Reference: Munos et al. 2016, arXiv:1606.02647.
    """
    shape = checks.sequence(reward=reward, q=q, next_value=next_value, trace=trace)
    checks.fits(shape, discount=discount)
    done = checks.flag(shape, done=done)
    next_trace = next_step(trace, jnp.zeros_like(trace[-1]))
    inputs = (reward, q, next_value, discount, done, next_trace)
    return q + recurrence(_traced_error, inputs)


def whiten(x: Array, mask: Array | None = None, *, ddof: int = 0, eps: Scalar = 1e-8) -> Array:
    """Shift and scale to mean 0 and deviation 1 over all valid entries.

        (x − μ) / (σ + ε)

    Args:
      ddof: 0 for the population's deviation, 1 for the sample's (torch's default).
    Returns: [T, ...], 0 at masked entries, and everywhere if all valid entries are equal.
    Reference: note 002, section 5.2.3; Andrychowicz et al. 2020, arXiv:2006.05990, appendix B.9.
    """
    shape = checks.sequence(x=x)
    checks.fits((), eps=eps)
    mask = checks.optional_flag(shape, mask=mask)
    x = jnp.where(mask, widen(x), 0.0)
    x = x - x.ravel()[jnp.argmax(mask)]  # a member, so that equal entries become exactly 0
    scale = inverse_deviation(masked_var(x, mask, ddof=ddof), eps)
    return jnp.where(mask, (x - masked_mean(x, mask)) * scale, 0.0)


def _traced_error(
    r: Array, v: Array, v_next: Array, g: Array, d: Array, c: Array, rho: Scalar = 1.0
) -> tuple[Array, Array]:
    """ρ δ and the γ (1 − d) c by which later errors count: GAE, V-trace and Retrace alike."""
    return rho * (r + g * v_next - v), g * (1 - d) * c


def _gapped_error(
    r: Array, v: Array, v_next: Array, g: Array, m: Array, c: Array
) -> tuple[Array, Array]:
    """δ and γ c at a valid position; what comes later, unchanged, at a masked one."""
    return m * (r + g * v_next - v), m * g * c + (1 - m)


def _nearest(x: Array, m: Array) -> tuple[Array, Array]:
    """x at a valid position, what comes later at a masked one."""
    return m * x, 1 - m
