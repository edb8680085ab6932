"""Functions from an environment to an environment that change what its actions do."""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from jaxrl import checks
from jaxrl.types import Array, Box, Env, MultiDiscrete, PyTree, Scalar, Space, Timestep


class Sticky(NamedTuple):
    """A state, the action that led to it, and whether there was one."""

    state: PyTree
    action: Array
    started: Array


def repeat_action(env: Env, num_repeats: int) -> Env:
    """Takes each action `num_repeats` times, or until the episode ends.

    The rewards are summed, without discount; the last observation is shown.
    """
    checks.at_least(1, num_repeats=num_repeats)

    def step(key: Array, state: PyTree, action: Array) -> tuple[PyTree, Timestep]:
        keys = jax.random.split(key, num_repeats)

        def again(reached: tuple[PyTree, Timestep], key: Array) -> tuple:
            state, timestep = reached
            done = timestep.terminated | timestep.truncated
            next_state, latest = env.step(key, state, action)
            latest = latest._replace(reward=timestep.reward + latest.reward)
            kept = jax.tree.map(partial(jnp.where, done), reached, (next_state, latest))
            return kept, None

        return jax.lax.scan(again, env.step(keys[0], state, action), keys[1:])[0]

    return env._replace(step=step)


def sticky_actions(env: Env, prob: Scalar) -> Env:
    """Takes the previous action instead of the new one with probability `prob`.

    The first action of an episode is never replaced, and an action that was repeated may be
    repeated again. Rewards, observations and ends are those of the action that was taken.
    """
    checks.probability(prob=prob)

    def reset(key: Array) -> tuple[Sticky, PyTree]:
        state, obs = env.reset(key)
        return Sticky(state, _zero(env.spaces.action), jnp.array(False)), obs

    def step(key: Array, state: Sticky, action: Array) -> tuple[Sticky, Timestep]:
        key_stick, key_step = jax.random.split(key)
        stuck = state.started & (jax.random.uniform(key_stick) < prob)
        taken = jnp.where(stuck, state.action, action)
        inner, timestep = env.step(key_step, state.state, taken)
        return Sticky(inner, taken, jnp.array(True)), timestep

    return Env(reset, step, env.spaces)


def clip_action(env: Env) -> Env:
    """Clips actions to the bounds of their Box; the rest stays as it is."""
    space = _box(env.spaces.action, "clip_action")

    def step(key: Array, state: PyTree, action: Array) -> tuple[PyTree, Timestep]:
        return env.step(key, state, jnp.clip(action, space.low, space.high))

    return env._replace(step=step)


def rescale_action(env: Env, low: Scalar = -1.0, high: Scalar = 1.0) -> Env:
    """Lets the agent act in [low, high], which is mapped linearly to the environment's own bounds.

    Nothing is clipped: put `clip_action` around it for that. The rest stays as it is.
    """
    space = _box(env.spaces.action, "rescale_action")
    concrete = [x for x in space[:2] if not isinstance(x, Tracer)]
    if not all(np.all(np.isfinite(x)) for x in concrete):
        raise ValueError(f"rescale_action needs actions between finite bounds, not {space}")
    checks.ascending(low=low, high=high)

    def step(key: Array, state: PyTree, action: Array) -> tuple[PyTree, Timestep]:
        fraction = (action - low) / (high - low)
        return env.step(key, state, (1 - fraction) * space.low + fraction * space.high)

    spaces = env.spaces._replace(action=space._replace(low=low, high=high))
    return env._replace(step=step, spaces=spaces)


def _box(space: Space, name: str) -> Box:
    if not isinstance(space, Box):
        raise TypeError(f"{name} needs actions in a Box, not {space}")
    return space


def _zero(space: Space) -> Array:
    if isinstance(space, Box):
        return jnp.zeros(space.shape, space.dtype)
    shape = (len(space.num_values),) if isinstance(space, MultiDiscrete) else ()
    return jnp.zeros(shape, jnp.int32)
