"""Environments: gymnax's, the user's own, combinators of them, and probes with known answers."""

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
from jaxrl.envs.gymnax import gymnax_env
from jaxrl.envs.probes import PROBES, ProbeRow, ProbeState, probe, stacked, value
from jaxrl.envs.typed import typed
from jaxrl.types import Env

__all__ = [
    "PROBES",
    "BitFlipState",
    "ProbeRow",
    "ProbeState",
    "Statistics",
    "action_mask",
    "bit_flip",
    "clip_action",
    "clip_reward",
    "episode_statistics",
    "flatten",
    "frame_stack",
    "goal_cost",
    "goal_reached",
    "gymnax_env",
    "make",
    "mask_velocity",
    "probe",
    "repeat_action",
    "rescale_action",
    "scale_reward",
    "shape_reward",
    "stacked",
    "sticky_actions",
    "time_limit",
    "value",
]


def make(env: Any, /, **params: Any) -> Env:
    """An environment from whatever names one.

    Args:
      env: a name of gymnax's registry, an object with gymnax's interface, or an `Env`, which
        comes back with the types that learners count on.
      params: parameters of gymnax's environment: see `gymnax_env`.
    """
    if not isinstance(env, Env):
        return gymnax_env(env, **params)
    if params:
        raise TypeError(f"params must be empty where env is an Env, not {', '.join(params)}")
    return typed(env)
