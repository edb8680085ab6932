"""Environments: gymnax's, finite ones, the user's own, combinators, probes with known answers."""

from typing import Any

from jaxrl.envs.actions import clip_action, repeat_action, rescale_action, sticky_actions
from jaxrl.envs.bit_flip import BitFlipState, bit_flip, goal_cost, goal_reached
from jaxrl.envs.combinators import (
    Statistics,
    action_mask,
    clip_reward,
    episode_statistics,
    flatten,
    frame_stack,
    mask_velocity,
    scale_reward,
    shape_reward,
    time_limit,
)
from jaxrl.envs.gymnax import DOWNLOADS, closest, gymnax_env, registered
from jaxrl.envs.mdp import Mdp, mdp_env
from jaxrl.envs.probes import PROBES, ProbeRow, ProbeState, probe, stacked, value
from jaxrl.envs.typed import typed
from jaxrl.envs.worlds import (
    WORLDS,
    cliff_walking,
    frozen_lake,
    random_walk,
    windy_gridworld,
    world,
    world_env,
)
from jaxrl.types import Env

__all__ = [
    "PROBES",
    "WORLDS",
    "BitFlipState",
    "Mdp",
    "ProbeRow",
    "ProbeState",
    "Statistics",
    "action_mask",
    "bit_flip",
    "cliff_walking",
    "clip_action",
    "clip_reward",
    "environments",
    "episode_statistics",
    "flatten",
    "frame_stack",
    "frozen_lake",
    "goal_cost",
    "goal_reached",
    "gymnax_env",
    "make",
    "mask_velocity",
    "mdp_env",
    "probe",
    "random_walk",
    "repeat_action",
    "rescale_action",
    "scale_reward",
    "shape_reward",
    "stacked",
    "sticky_actions",
    "time_limit",
    "value",
    "windy_gridworld",
    "world",
]


def make(env: Any, /, **params: Any) -> Env:
    """An environment from whatever names one.

    Args:
      env: a name of `WORLDS` or of gymnax's registry, an object with gymnax's interface, or an
        `Env`, which comes back with the types that learners count on.
      params: parameters of a world (see `world`), or of gymnax's environment: see `gymnax_env`.
    """
    if isinstance(env, str) and env in WORLDS:
        return world_env(env, **params)
    if isinstance(env, str) and env not in (known := [*environments(), DOWNLOADS]):
        close = closest(env, known[:-1])
        raise ValueError(f"env must be the name of an environment, {close}, not {env!r}")
    if not isinstance(env, Env):
        return gymnax_env(env, **params)
    if params:
        raise TypeError(f"params must be empty where env is an Env, not {', '.join(params)}")
    return typed(env)


def environments() -> list[str]:
    """The names that `make` takes."""
    return sorted([*WORLDS, *registered()])
