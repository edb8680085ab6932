"""The user's own environment, held to what every other one promises."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from jaxrl.types import Array, Box, Env, MultiDiscrete, PyTree, Space, Timestep

TYPES = {"reward": jnp.float32, "terminated": jnp.bool_, "truncated": jnp.bool_}


def with_types(env: Env) -> Env:
    """The environment with rewards of float32 and ends of bool, whatever numbers its own are."""
    return env._replace(step=partial(_step, env.step))


def typed(env: Env) -> Env:
    """As `with_types`; one sentence where a step does not give what `reset` and a `Timestep` say.

    An environment that has its types already comes back as it is.
    """
    if isinstance(env.step, partial) and env.step.func is _step:
        return env
    made = with_types(env)
    key = jax.eval_shape(lambda: jax.random.key(0))
    action = jax.ShapeDtypeStruct(*_like(env.spaces.action))
    state, obs = jax.eval_shape(env.reset, key)
    next_state, reached = jax.eval_shape(made.step, key, state, action)
    _demand_alike("a state", state, next_state)
    _demand_alike("obs", obs, reached.obs)
    return made


def _step(step: Any, key: Array, state: PyTree, action: Array) -> tuple[PyTree, Timestep]:
    state, reached = step(key, state, action)
    for name in TYPES:
        if shape := jnp.shape(getattr(reached, name)):
            raise ValueError(f"env.step must give {name} as one number, not of shape {shape}")
    numbers = {name: jnp.asarray(getattr(reached, name), kind) for name, kind in TYPES.items()}
    return state, reached._replace(**numbers)


def _demand_alike(what: str, first: PyTree, later: PyTree) -> None:
    kinds, came = (
        jax.tree.map(lambda x: f"{x.dtype}{list(x.shape)}", tree) for tree in (first, later)
    )
    if kinds != came:
        raise ValueError(f"env.step must give {what} as env.reset does, {kinds}, not {came}")


def _like(space: Space) -> tuple[tuple[int, ...], Any]:
    """Shape and type of an action."""
    if isinstance(space, Box):
        return space.shape, jnp.float32
    return ((len(space.num_values),) if isinstance(space, MultiDiscrete) else ()), jnp.int32
