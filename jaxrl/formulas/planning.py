"""Backups of dynamic programming, from the tables of a finite process with S states and A actions.

`discount` is γ (1 − terminal(s′)) of the state that is reached, [S], or a number. Repeated, a
backup of states converges to a value; `greedy` (jaxrl.formulas.selection) of a backup of actions
is the improved policy.
"""

import jax.numpy as jnp

from jaxrl import checks
from jaxrl.formulas.value_targets import expected_value, max_value, td_target
from jaxrl.types import Array, Scalar


def action_backup(transition: Array, reward: Array, next_value: Array, discount: Scalar) -> Array:
    """Value of each action by one look ahead.

        q(s, a) = Σ_s′ P(s′ | s, a) (r(s, a, s′) + γ(s′) v(s′))

    Args:
      transition: P(s′ | s, a), [S, A, S].
      reward: r(s, a, s′), [S, A, S].
      next_value: v, [S].
    Returns: q, [S, A].
    Reference: Sutton & Barto 2018, eq. 4.6.
    """
    shape = checks.sequence(transition=transition, reward=reward)
    if len(shape) != 3 or shape[0] != shape[2]:
        raise ValueError(f"transition must have the shape [S, A, S], not {shape}")
    states = checks.sequence(next_value=next_value)
    if states != shape[:1]:
        raise ValueError(f"next_value must have the shape {shape[:1]}, not {states}")
    checks.fits(states, discount=discount)
    factor = jnp.broadcast_to(jnp.asarray(discount, next_value.dtype), states)
    following, factor = (jnp.broadcast_to(x[None, None], shape) for x in (next_value, factor))
    return expected_value(td_target(reward, following, factor), transition)


def expectation_backup(
    transition: Array, reward: Array, next_value: Array, prob: Array, discount: Scalar
) -> Array:
    """Bellman's expectation equation, as an update: iterative policy evaluation repeats it.

        v(s) ← Σₐ π(a | s) Σ_s′ P(s′ | s, a) (r(s, a, s′) + γ(s′) v(s′))

    Args:
      prob: π(a | s), [S, A].
      The others are those of `action_backup`.
    Returns: v, [S].
    Reference: Bellman 1957; Sutton & Barto 2018, eq. 4.5.
    """
    return expected_value(action_backup(transition, reward, next_value, discount), prob)


def optimality_backup(
    transition: Array, reward: Array, next_value: Array, discount: Scalar
) -> Array:
    """Bellman's optimality equation, as an update: value iteration repeats it.

        v(s) ← maxₐ Σ_s′ P(s′ | s, a) (r(s, a, s′) + γ(s′) v(s′))

    Args: those of `action_backup`.
    Returns: v, [S].
    Reference: Bellman 1957; Sutton & Barto 2018, eq. 4.10.
    """
    return max_value(action_backup(transition, reward, next_value, discount))
