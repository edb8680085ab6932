"""Functions from an environment to an environment: observations, rewards, ends of episodes."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxrl import checks
from jaxrl.envs.typed import typed
from jaxrl.formulas.shaping import potential_shaping
from jaxrl.types import (
    Array,
    Box,
    Discrete,
    Env,
    MaskedObs,
    MultiDiscrete,
    PyTree,
    Scalar,
    Space,
    Timestep,
)


class Timed(NamedTuple):
    """A state, and how many steps led to it."""

    state: PyTree
    time: Array


class Stacked(NamedTuple):
    """A state, and the frames that are shown with it."""

    state: PyTree
    frames: PyTree


class Statistics(NamedTuple):
    """A state, and the return and the length of the episode up to it."""

    state: PyTree
    episode_return: Array
    length: Array


def time_limit(env: Env, max_steps: int | Array) -> Env:
    """Truncates an episode after `max_steps` steps, unless it terminates there.

    Rewards and observations stay as they are; the observation does not show the time.
    """
    if isinstance(max_steps, int | float | np.integer):
        checks.at_least(1, max_steps=max_steps)
    env = typed(env)

    def step(key: Array, state: Timed, action: Array) -> tuple[Timed, Timestep]:
        inner, timestep = env.step(key, state.state, action)
        time = state.time + 1
        truncated = (timestep.truncated | (time >= max_steps)) & ~timestep.terminated
        return Timed(inner, time), timestep._replace(truncated=truncated)

    def reset(key: Array) -> tuple[Timed, PyTree]:
        state, obs = env.reset(key)
        return Timed(state, jnp.zeros((), jnp.int32)), obs

    return Env(reset, step, env.spaces)


def scale_reward(env: Env, scale: Scalar) -> Env:
    """Multiplies rewards by `scale`; changes nothing else."""
    return _with_reward(env, lambda reward: reward * scale)


def clip_reward(env: Env, low: Scalar, high: Scalar) -> Env:
    """Clips rewards to [low, high]; changes nothing else."""
    checks.ascending(low=low, high=high)
    return _with_reward(env, lambda reward: jnp.clip(reward, low, high))


def shape_reward(env: Env, potential: Callable[[PyTree], Array], discount: Scalar) -> Env:
    """Adds γ Φ(s′) − Φ(s) to rewards, which changes no optimal policy.

    Φ(s′) is 0 where the episode terminates, and not where it is truncated.

    Args:
      potential: Φ, from the environment's state to one float.
      discount: γ, the learner's own.
    """
    env = typed(env)

    def phi(state: PyTree) -> Array:
        value = potential(state)
        if jnp.shape(value) != ():
            raise ValueError(f"potential must give one number, not the shape {jnp.shape(value)}")
        return jnp.asarray(value, jnp.float32)[None]

    def step(key: Array, state: PyTree, action: Array) -> tuple[PyTree, Timestep]:
        next_state, timestep = env.step(key, state, action)
        survival = jnp.asarray(~timestep.terminated, jnp.float32)[None]
        shaping = potential_shaping(phi(state), phi(next_state), discount * survival)
        return next_state, timestep._replace(reward=timestep.reward + shaping[0])

    return env._replace(step=step)


def episode_statistics(env: Env) -> Env:
    """Keeps the return and the length of the episode so far in the state, a `Statistics`.

    Rewards, observations and ends stay as they are; the statistics of a whole episode stand in the
    state that its last step gives. Other combinators inside or outside decide which reward counts.
    """

    def step(key: Array, state: Statistics, action: Array) -> tuple[Statistics, Timestep]:
        inner, timestep = env.step(key, state.state, action)
        total, length = state.episode_return + timestep.reward, state.length + 1
        return Statistics(inner, total, length), timestep

    def reset(key: Array) -> tuple[Statistics, PyTree]:
        state, obs = env.reset(key)
        return Statistics(state, jnp.zeros((), jnp.float32), jnp.zeros((), jnp.int32)), obs

    return Env(reset, step, env.spaces)


def flatten(env: Env) -> Env:
    """Turns observations, arrays or trees of them, into one float32 vector.

    Categories come one-hot. The mask of a `MaskedObs` is kept as it is.
    """
    spaces = _leaves(_unmasked(env.spaces.observation))

    def vector(obs: PyTree) -> Array:
        parts = zip(spaces, jax.tree.leaves(obs), strict=True)
        return jnp.concatenate([_as_vector(space, x) for space, x in parts])

    bounds = [_bounds(space) for space in spaces]
    low, high = (jnp.concatenate(side) for side in zip(*bounds, strict=True))
    return _with_obs(env, vector, Box(low, high, low.shape))


def mask_velocity(env: Env, kept: Sequence[int]) -> Env:
    """Shows only some entries of a vector, such as the positions: a test of memory.

    For CartPole, (0, 2) leaves the positions. Rewards and ends stay as they are.
    """
    space = _unmasked(env.spaces.observation)
    if not isinstance(space, Box) or len(space.shape) != 1:
        raise TypeError(f"mask_velocity needs observations that are vectors, not {space}")
    size, entries = space.shape[0], np.array(kept, np.int32)
    if entries.ndim != 1 or not entries.size or not np.all((entries >= 0) & (entries < size)):
        raise ValueError(f"kept must hold one or more of the entries 0 to {size - 1}, not {kept}")
    low, high = (jnp.broadcast_to(jnp.asarray(x), (size,))[entries] for x in space[:2])
    masked = Box(low, high, entries.shape, space.dtype)
    return _with_obs(env, lambda obs: obs[entries], masked)


def frame_stack(env: Env, num_frames: int) -> Env:
    """Shows the last `num_frames` observations side by side on the last axis, the newest last.

    An episode starts with its first observation that many times. [H, W, C] becomes
    [H, W, C · num_frames]; the mask of a `MaskedObs` is the newest one alone.
    """
    checks.at_least(1, num_frames=num_frames)
    space = _unmasked(env.spaces.observation)
    if not isinstance(space, Box) or not space.shape:
        raise TypeError(f"frame_stack needs observations that are arrays, not {space}")

    def repeated(x: Array) -> Array:
        return jnp.concatenate([x] * num_frames, axis=-1)

    def reset(key: Array) -> tuple[Stacked, PyTree]:
        state, obs = env.reset(key)
        frames = repeated(_unmasked(obs))
        return Stacked(state, frames), _replaced(obs, frames)

    def step(key: Array, state: Stacked, action: Array) -> tuple[Stacked, Timestep]:
        inner, timestep = env.step(key, state.state, action)
        newest = _unmasked(timestep.obs)
        frames = jnp.concatenate([state.frames[..., newest.shape[-1] :], newest], axis=-1)
        return Stacked(inner, frames), timestep._replace(obs=_replaced(timestep.obs, frames))

    low, high = (x if jnp.ndim(x) == 0 else repeated(jnp.asarray(x)) for x in space[:2])
    shape = (*space.shape[:-1], space.shape[-1] * num_frames)
    spaces = _replaced(env.spaces.observation, Box(low, high, shape, space.dtype))
    return Env(reset, step, env.spaces._replace(observation=spaces))


def action_mask(env: Env, legal: Callable[[PyTree], Array]) -> Env:
    """Shows which actions are legal: observations become `MaskedObs`.

    Nothing else changes; an illegal action that is taken nonetheless reaches the environment.

    Args:
      legal: from the environment's state to flags, one for each value of the action.
    """
    space = env.spaces.action
    if isinstance(space, Box):
        raise TypeError(f"action_mask needs actions that are discrete, not {space}")
    shape = (sum(_categories(space)),)

    def masked(state: PyTree, obs: PyTree) -> MaskedObs:
        return MaskedObs(obs, checks.flag(shape, legal=legal(state)))

    def reset(key: Array) -> tuple[PyTree, MaskedObs]:
        state, obs = env.reset(key)
        return state, masked(state, obs)

    def step(key: Array, state: PyTree, action: Array) -> tuple[PyTree, Timestep]:
        state, timestep = env.step(key, state, action)
        return state, timestep._replace(obs=masked(state, timestep.obs))

    flags: Any = Box(False, True, shape, "bool")
    shown = MaskedObs(env.spaces.observation, flags)
    return Env(reset, step, env.spaces._replace(observation=shown))


def _with_reward(env: Env, change: Callable[[Array], Array]) -> Env:
    def step(key: Array, state: PyTree, action: Array) -> tuple[PyTree, Timestep]:
        state, timestep = env.step(key, state, action)
        return state, timestep._replace(reward=change(timestep.reward))

    return env._replace(step=step)


def _with_obs(env: Env, change: Callable[[PyTree], Array], space: Space) -> Env:
    """Changes observations, or what a `MaskedObs` holds besides its mask."""

    def reset(key: Array) -> tuple[PyTree, PyTree]:
        state, obs = env.reset(key)
        return state, _replaced(obs, change(_unmasked(obs)))

    def step(key: Array, state: PyTree, action: Array) -> tuple[PyTree, Timestep]:
        state, timestep = env.step(key, state, action)
        obs = _replaced(timestep.obs, change(_unmasked(timestep.obs)))
        return state, timestep._replace(obs=obs)

    spaces = env.spaces._replace(observation=_replaced(env.spaces.observation, space))
    return Env(reset, step, spaces)


def _unmasked(obs: PyTree) -> PyTree:
    return obs.obs if isinstance(obs, MaskedObs) else obs


def _replaced(obs: PyTree, new: Any) -> PyTree:
    return obs._replace(obs=new) if isinstance(obs, MaskedObs) else new


def _leaves(spaces: PyTree) -> list[Space]:
    return jax.tree.leaves(spaces, is_leaf=lambda x: isinstance(x, Space))


def _categories(space: Discrete | MultiDiscrete) -> tuple[int, ...]:
    return space.num_values if isinstance(space, MultiDiscrete) else (space.num_values,)


def _as_vector(space: Space, x: Array) -> Array:
    if isinstance(space, Box):
        return x.ravel().astype(jnp.float32)
    columns = zip(_categories(space), jnp.atleast_1d(x), strict=True)
    return jnp.concatenate([jax.nn.one_hot(c, n, dtype=jnp.float32) for n, c in columns])


def _bounds(space: Space) -> tuple[Array, Array]:
    """The bounds of what `_as_vector` gives."""
    if not isinstance(space, Box):
        space = Box(0.0, 1.0, (sum(_categories(space)),))
    low, high = (
        jnp.broadcast_to(jnp.asarray(x).astype(jnp.float32), space.shape).ravel()
        for x in (space.low, space.high)
    )
    return low, high
