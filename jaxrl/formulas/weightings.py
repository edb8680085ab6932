"""The six weightings Ψₜ of the policy gradient, in the order of the first note.

    ∇J(θ) = E[Σₜ Ψₜ ∇ log π_θ(aₜ | sₜ)]

1 `trajectory_return`, 2 `reward_to_go`, 3 `baselined_return`, 4 `action_value`,
5 `action_advantage`, 6 `td_error`: from the least biased to the least varying.
"""

import jax.numpy as jnp

from jaxrl import checks
from jaxrl.formulas.recurrence import recurrence
from jaxrl.formulas.returns import lambda_return
from jaxrl.numerics import expectation, previous_step
from jaxrl.types import Array, Scalar


def trajectory_return(reward: Array, next_value: Array, discount: Scalar, done: Array) -> Array:
    """Weighting 1: the return of the whole episode, at each of its steps.

        Ψₜ = R(τ) = Σₖ γᵏ rₖ  over the episode τ to which t belongs

    Args:
      next_value: v′ₜ, counted where the episode is cut (truncation, end of the window); zeros for
        a critic-free return, which then ends there.
    Returns: R(τ), [T, ...]; an episode that began before the window starts at its first step here.
    Reference: Williams 1992, doi:10.1007/BF00992696; note 001, weighting 1.
    """
    returns = reward_to_go(reward, next_value, discount, done)
    ended = checks.flag(reward.shape, done=done)
    first = previous_step(ended, jnp.ones_like(ended[0]))
    return recurrence(_kept, (returns[::-1], first[::-1]))[::-1]


def reward_to_go(reward: Array, next_value: Array, discount: Scalar, done: Array) -> Array:
    """Weighting 2, REINFORCE: what follows the action.

        Ψₜ = Gₜ = Σ_{k≥t} γᵏ⁻ᵗ rₖ  until the episode ends

    The first note sums returns G here; rewards r are meant (erratum).

    Args:
      next_value: v′ₜ, counted where the episode is cut (truncation, end of the window); zeros for
        a critic-free return, which then ends there.
    Returns: Gₜ, [T, ...].
    Reference: Sutton et al. 1999, section 1; note 001, weighting 2.
    """
    return lambda_return(reward, next_value, discount, done, 1.0)


def baselined_return(returns: Array, baseline: Scalar) -> Array:
    """Weighting 3, REINFORCE with a baseline: what follows beyond what was expected.

        Ψₜ = Gₜ − b(sₜ)

    Args:
      baseline: a number (`mean_baseline`, `moving_baseline`) or V(sₜ), [T, ...].
    Reference: Williams 1992, doi:10.1007/BF00992696, eq. 11; note 001, weighting 3.
    """
    checks.fits(checks.sequence(returns=returns), baseline=baseline)
    return returns - baseline


def action_value(q: Array, action: Array) -> Array:
    """Weighting 4, actor-critic with Q: the value of the action taken.

        Ψₜ = Q(sₜ, aₜ)

    Args:
      q: Q(sₜ, ·), [..., A].
      action: aₜ, integers [...].
    Reference: Sutton et al. 1999, theorem 1; note 001, weighting 4.
    >>> action_value(jnp.array([[1.0, 2.0], [3.0, 4.0]]), jnp.array([1, 0]))
    Array([2., 3.], dtype=float32)
    """
    shape = checks.sequence(q=q)
    checks.integer(shape[:-1], action=action)
    return jnp.take_along_axis(q, jnp.expand_dims(action, -1), -1)[..., 0]


def action_advantage(q: Array, action: Array, prob: Array) -> Array:
    """Weighting 5, advantage actor-critic: the action's value beyond the policy's mean.

        Ψₜ = A(sₜ, aₜ) = Q(sₜ, aₜ) − Σₐ π(a | sₜ) Q(sₜ, a)

    Args:
      q: Q(sₜ, ·), [..., A].
      action: aₜ, integers [...].
      prob: π(· | sₜ), [..., A].
    Reference: Baird 1993, WL-TR-93-1146; note 001, weighting 5.
    """
    checks.sequence(q=q, prob=prob)
    return action_value(q, action) - expectation(prob, q)


def td_error(reward: Array, value: Array, next_value: Array, discount: Scalar) -> Array:
    """Weighting 6, one-step actor-critic: the temporal-difference error.

        Ψₜ = δₜ = rₜ + γₜ v′ₜ − vₜ

    The first note omits γ before V(s′) (erratum).

    Args:
      value: vₜ, [T, ...].
      next_value: v′ₜ, [T, ...].
      discount: γₜ = γ (1 − terminatedₜ), [T, ...] or a number.
    Reference: Sutton & Barto 2018, eq. 6.5; note 001, weighting 6.
    >>> td_error(jnp.ones(2), jnp.zeros(2), jnp.full(2, 10.0), jnp.array([0.5, 0.0]))
    Array([6., 1.], dtype=float32)
    """
    shape = checks.sequence(reward=reward, value=value, next_value=next_value)
    checks.fits(shape, discount=discount)
    return reward + discount * next_value - value


def _kept(x: Array, fresh: Array) -> tuple[Array, Array]:
    """Take x where it is fresh, and what was there before elsewhere."""
    return fresh * x, 1 - fresh
