"""Flipping bits: the smallest task with goals, which trial and error alone cannot learn.

Reference: Andrychowicz et al. 2017, arXiv:1707.01495, section 3.1.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxrl import checks
from jaxrl.types import Array, Box, Discrete, Env, PyTree, Spaces, Timestep


class BitFlipState(NamedTuple):
    """The bits as they are, as they should be, and how many were flipped."""

    bits: Array
    goal: Array
    time: Array


def bit_flip(num_bits: int) -> Env:
    """An action flips one of `num_bits` bits; each step costs 1 but the one that reaches the goal.

    Reaching it ends the episode; after `num_bits` steps the time is up. Observations are dicts of
    `achieved_goal` and `desired_goal`, of zeros and ones.
    """
    checks.at_least(1, num_bits=num_bits)

    def shown(state: BitFlipState) -> dict[str, Array]:
        return {"achieved_goal": state.bits, "desired_goal": state.goal}

    def reset(key: Array) -> tuple[BitFlipState, PyTree]:
        bits, goal = jax.random.bernoulli(key, shape=(2, num_bits)).astype(jnp.float32)
        state = BitFlipState(bits, goal, jnp.int32(0))
        return state, shown(state)

    def step(key: Array, state: BitFlipState, action: Array) -> tuple[BitFlipState, Timestep]:
        del key  # all chance is in the start
        bits = state.bits.at[action].set(1 - state.bits[action])
        state = BitFlipState(bits, state.goal, state.time + 1)
        ended = goal_reached(bits, state.goal)
        late = (state.time >= num_bits) & ~ended
        return state, Timestep(shown(state), goal_cost(bits, state.goal), ended, late)

    goal = Box(0.0, 1.0, (num_bits,))
    space = {"achieved_goal": goal, "desired_goal": goal}
    return Env(reset, step, Spaces(space, Discrete(num_bits)))


def goal_reached(achieved: Array, desired: Array) -> Array:
    """Whether all entries of two goals are equal, [..., D] -> [...]."""
    return (achieved == desired).all(-1)


def goal_cost(achieved: Array, desired: Array) -> Array:
    """The reward 0 where the goal is reached, and −1 elsewhere, [..., D] -> [...]."""
    return goal_reached(achieved, desired).astype(jnp.float32) - 1.0
