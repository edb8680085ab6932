"""Environments of one's own, held to what every other one promises."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from jaxrl.types import Array, Env, PyTree, Timestep

TYPES = {"reward": jnp.float32, "terminated": jnp.bool_, "truncated": jnp.bool_}


def typed(env: Env) -> Env:
    """The environment with rewards of float32 and ends of bool, whatever numbers its own are."""
    if isinstance(env.step, partial) and env.step.func is _step:
        return env
    return env._replace(step=partial(_step, env.step))


def _step(step: Any, key: Array, state: PyTree, action: Array) -> tuple[PyTree, Timestep]:
    state, reached = step(key, state, action)
    for name in TYPES:
        if shape := jnp.shape(getattr(reached, name)):
            raise ValueError(f"env.step must give {name} as one number, not of shape {shape}")
    numbers = {name: jnp.asarray(getattr(reached, name), kind) for name, kind in TYPES.items()}
    return state, reached._replace(**numbers)


def demand_alike(what: str, before: PyTree, after: PyTree) -> None:
    """One sentence, when a step is traced, unless it leaves [N, ...] of the kind that it found."""
    first, came = (jax.tree.map(_kind, tree) for tree in (before, after))
    if first != came:
        raise ValueError(f"env.step must give {what} as env.reset does, {first}, not {came}")


def _kind(x: Array) -> str:
    return f"{x.dtype}{list(x.shape[1:])}"
