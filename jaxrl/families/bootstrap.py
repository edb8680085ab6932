"""Values of the states that a rollout reached, at no more cost than needed."""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from jaxrl.numerics import next_step, select
from jaxrl.types import Array, PyTree, Rollout, Scalar

Evaluate = Callable[[PyTree, PyTree], Array]  # obs [N, ...], carry [N, ...] -> [N] or [N, A]


def discounts(gamma: Scalar, terminated: Array) -> Array:
    """γ (1 − terminated): a time limit discounts nothing."""
    return gamma * (1.0 - terminated.astype(jnp.float32))


def next_values(
    evaluate: Evaluate, value: Array, rollout: Rollout, carries: PyTree, last_carry: PyTree
) -> Array:
    """v′ₜ, the value of what step t reached, shaped as `value`.

    That is the next step's value, except where an episode ended: a terminated one has no further
    value (and `discount` does not ask for it), and a truncated one did not go on from what the
    next row shows. Those rows alone are evaluated, one after the other, however many there are.

    Args:
      evaluate: the value of one row of observations and memories.
      value: vₜ, [T, N], or Q(sₜ, ·), [T, N, A].
      carries: the memory after each step, [T, N, ...].
      last_carry: the memory with which the next rollout starts, [N, ...].
    """
    steps = rollout.transition
    value = next_step(value, evaluate(rollout.last_obs, last_carry))
    cut = steps.truncated if rollout.mask is None else steps.truncated & rollout.mask

    def some_left(state: tuple[Array, Array]) -> Array:
        return jnp.any(state[1])

    def fill(state: tuple[Array, Array]) -> tuple[Array, Array]:
        value, left = state
        t = jnp.argmax(left)
        obs, carry = jax.tree.map(lambda x: x[t], (steps.next_obs, carries))
        row = select(cut[t], evaluate(obs, carry), value[t])
        return value.at[t].set(row), left.at[t].set(False)

    return jax.lax.while_loop(some_left, fill, (value, cut.any(1)))[0]
