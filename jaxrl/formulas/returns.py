"""Returns: what a trajectory is worth from each of its steps.

In all of them `discount` = γ (1 − terminated) stops bootstrapping, and `done` = terminated or
truncated ends the episode: a truncated step keeps its bootstrap γ v′ and cuts the sum behind it.
The end of the window is such a cut. v′ₜ is the value of the state that step t reached, before any
reset.
"""

from functools import partial

import jax
import jax.numpy as jnp

from jaxrl import checks
from jaxrl.formulas.recurrence import recurrence
from jaxrl.numerics import next_step, widen
from jaxrl.types import Array, Scalar


def discounted_return(reward: Array, discount: Scalar, last: Scalar = 0.0) -> Array:
    """Discounted return of a stream of rewards.

        Gₜ = rₜ + γₜ Gₜ₊₁,  G_T = last

    Args:
      discount: γₜ = γ (1 − terminatedₜ), [T, ...] or a number.
      last: what the state after the last step is worth, [...] or a number.
    Returns: Gₜ, [T, ...].
    Reference: Sutton & Barto 2018, eq. 3.9.
    >>> discounted_return(jnp.ones(3), 0.5)
    Array([1.75, 1.5 , 1.  ], dtype=float32)
    """
    shape = checks.sequence(reward=reward)
    checks.fits(shape, discount=discount)
    checks.fits(shape[1:], last=last)
    return recurrence(_as_given, (reward, discount), last)


def n_step_return(reward: Array, next_value: Array, discount: Scalar, done: Array, n: int) -> Array:
    """Return over n steps and the value of the state reached then.

        G⁽¹⁾ₜ = rₜ + γₜ v′ₜ
        G⁽ⁿ⁾ₜ = rₜ + γₜ G⁽ⁿ⁻¹⁾ₜ₊₁, and G⁽¹⁾ₜ where the episode or the window ends

    Unrolled: Σₖ γᵏ rₜ₊ₖ + γᵐ v′ₜ₊ₘ₋₁ with m = n, or fewer where the episode ends first.

    Args:
      next_value: v′ₜ, for Q-learning maxₐ Q(s′ₜ, a), [T, ...].
      n: a static integer, at least 1.
    Returns: G⁽ⁿ⁾ₜ, [T, ...].
    Reference: Sutton & Barto 2018, eq. 7.1; note 004, question 2-8.
    """
    shape = checks.sequence(reward=reward, next_value=next_value)
    checks.fits(shape, discount=discount)
    checks.at_least(1, n=n)
    done = checks.flag(shape, done=done)
    return _lengthened(n, reward, next_value, discount, done)


def lambda_return(
    reward: Array, next_value: Array, discount: Scalar, done: Array, lam: Scalar
) -> Array:
    """The λ-return, target of TD(λ): a geometric mixture of n-step returns.

        Gₜ = rₜ + γₜ [(1 − λ (1 − dₜ)) v′ₜ + λ (1 − dₜ) Gₜ₊₁],  G_T = v′_{T−1}

    Args:
      lam: λ, 0 for the one-step target, 1 for the whole return; a number or [T or 1, ...].
    Returns: Gₜ, [T, ...]. Gₜ − vₜ is `gae` when v′ₜ = vₜ₊₁ inside episodes.
    Reference: Sutton & Barto 2018, eq. 12.2; Sutton 1988, doi:10.1007/BF00115009.
    """
    shape = checks.sequence(reward=reward, next_value=next_value)
    checks.fits(shape, discount=discount, lam=lam)
    done = checks.flag(shape, done=done)
    return recurrence(_mixture, (reward, next_value, discount, done, lam), next_value[-1])


def squashed_return(returns: Array, eps: Scalar = 1e-3) -> Array:
    """Returns on a scale that keeps small ones and takes the root of large ones.

        h(G) = sign(G) (√(|G| + 1) − 1) + ε G

    The target of a value on that scale is h(rₜ + γₜ h⁻¹(v′ₜ)), with h⁻¹ `stretched_return`.

    Args:
      eps: ε > 0, which keeps the slope of the inverse bounded.
    Reference: Pohlen et al. 2018, arXiv:1805.11593, proposition A.2; R2D2, section 2.3.
    >>> squashed_return(jnp.array([-3.0, 0.0, 99.0]), 0.01)
    Array([-1.03,  0.  ,  9.99], dtype=float32)
    """
    checks.fits(checks.same_shape(returns=returns), eps=eps)
    # √(x + 1) − 1 = x / (√(x + 1) + 1), which is no difference of two near numbers
    return returns / (jnp.sqrt(jnp.abs(returns) + 1) + 1) + eps * returns


def stretched_return(squashed: Array, eps: Scalar = 1e-3) -> Array:
    """Returns from their squashed scale: the inverse of `squashed_return`.

        h⁻¹(x) = sign(x) (((√(1 + 4ε (|x| + 1 + ε)) − 1) / 2ε)² − 1)

    Reference: Pohlen et al. 2018, arXiv:1805.11593, proposition A.2.
    >>> stretched_return(jnp.array([-1.03, 0.0, 9.99]), 0.01)
    Array([-3.,  0., 99.], dtype=float32)
    """
    checks.fits(checks.same_shape(squashed=squashed), eps=eps)
    distance = jnp.abs(squashed)
    root = jnp.sqrt(1 + 4 * eps * (distance + 1 + eps))
    share = 2 / (1 + 2 * eps + root)  # times |x| it is √(|G| + 1) − 1, the base above minus 1
    return squashed * share * (distance * share + 2)


@partial(jax.jit, static_argnums=0)
def _lengthened(n: int, reward: Array, next_value: Array, discount: Scalar, done: Array) -> Array:
    """n times: the reward and what follows, which is the next value where the episode ends."""
    dtype = reward.dtype
    reward, next_value = widen(reward), widen(next_value)
    discount = jnp.asarray(discount, reward.dtype)

    def longer(_: int, returns: Array) -> Array:
        follow = next_step(returns, next_value[-1])
        return reward + discount * jnp.where(done, next_value, follow)

    return jax.lax.fori_loop(1, n, longer, reward + discount * next_value).astype(dtype)


def _as_given(b: Array, a: Array) -> tuple[Array, Array]:
    return b, a


def _mixture(r: Array, v_next: Array, g: Array, d: Array, lam: Array) -> tuple[Array, Array]:
    trace = lam * (1 - d)
    return r + g * (1 - trace) * v_next, g * trace
