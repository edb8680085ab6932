"""Estimates: what a rollout says of its actions, and what the value is fitted to."""

from collections.abc import Callable
from typing import Literal

import jax.numpy as jnp
from jax.nn import softmax

from jaxrl.families.policy import Estimate, Experience
from jaxrl.formulas.advantages import gae, whiten
from jaxrl.formulas.baselines import mean_baseline, moving_baseline
from jaxrl.formulas.groups import leave_one_out
from jaxrl.formulas.returns import lambda_return
from jaxrl.formulas.weightings import (
    action_advantage,
    action_value,
    baselined_return,
    reward_to_go,
    td_error,
    trajectory_return,
)
from jaxrl.shares import own, whole
from jaxrl.types import Array, LearnerState, PyTree, Scalar

Weighting = Literal[
    "trajectory_return",
    "reward_to_go",
    "baselined_return",
    "action_value",
    "action_advantage",
    "td_error",
]
Baseline = Literal["mean", "moving", "value", "leave_one_out"]


def white(x: Array, mask: Array | None) -> Array:
    """Whitened over all of a batch, of which each device may have a share."""
    return own(whiten(*whole((x, mask))))


def gae_estimate(lam: Scalar, whitened: bool = False) -> Estimate:
    """Generalised advantages, and the λ-return that they make of the value."""

    def estimate(state: LearnerState, x: Experience) -> tuple[Array, Array, PyTree]:
        advantage = gae(x.reward, x.value, x.next_value, x.discount, x.done, lam)
        target = advantage + x.value
        return white(advantage, x.mask) if whitened else advantage, target, state.slots

    return estimate


CRITIC_WEIGHTINGS: dict[str, Callable[[Experience], Array]] = {
    "action_value": lambda x: action_value(x.judged, x.action),
    "action_advantage": lambda x: action_advantage(x.judged, x.action, softmax(x.output)),
    "td_error": lambda x: td_error(x.reward, x.value, x.next_value, x.discount),
}
"""Weightings 4 to 6 of the policy gradient, which ask a critic."""


def judge_of(weighting: str) -> Literal["state", "action"]:
    """The critic that a weighting asks."""
    return "state" if weighting == "td_error" else "action"


def weighted_estimate(weighting: str, lam: Scalar, whitened: bool = False) -> Estimate:
    """Weightings 4 to 6; the critic is fitted to the λ-return over its own values."""

    def estimate(state: LearnerState, x: Experience) -> tuple[Array, Array, PyTree]:
        target = lambda_return(x.reward, x.next_value, x.discount, x.done, lam)
        weight = CRITIC_WEIGHTINGS[weighting](x)
        return white(weight, x.mask) if whitened else weight, target, state.slots

    return estimate


def returns_of(x: Experience, weighting: str = "reward_to_go") -> Array:
    """Weightings 1 and 2; what was cut short counts the value of where it was cut, if any."""
    rule = trajectory_return if weighting == "trajectory_return" else reward_to_go
    return rule(x.reward, x.next_value, x.discount, x.done)


def trajectory_returns(x: Experience) -> Array:
    """The discounted return of each environment's first trajectory in a rollout, [N]."""
    return reward_to_go(x.reward, x.next_value, x.discount, x.done)[0]


def return_estimate(
    weighting: str, baseline: str, decay: Scalar, group_size: int, whitened: bool
) -> Estimate:
    """Weightings 1 to 3, of whole trajectories, with a baseline for the third.

    The slots hold the moving average of returns, if that is the baseline.
    """

    def estimate(state: LearnerState, x: Experience) -> tuple[Array, Array, PyTree]:
        returns, slots = returns_of(x, weighting), state.slots
        weight = returns
        if weighting == "baselined_return" and baseline == "leave_one_out":
            weight = over_steps(leave_one_out(grouped(trajectory_returns(x), group_size)), x)
        elif weighting == "baselined_return":
            weight, slots = _baselined(x, returns, baseline, decay, slots)
        return white(weight, x.mask) if whitened else weight, returns, slots

    return estimate


def _baselined(
    x: Experience, returns: Array, baseline: str, decay: Scalar, slots: PyTree
) -> tuple[Array, PyTree]:
    if baseline == "value":
        return baselined_return(returns, x.value), slots
    mean = mean_baseline(*whole((returns, x.mask)))
    if baseline == "mean":
        return baselined_return(returns, mean), slots
    weight = baselined_return(returns, slots)  # of updates before this one: no bias
    return weight, moving_baseline(slots, mean[None], decay)


def grouped(per_env: Array, group_size: int) -> Array:
    """[N] -> [N / group_size, group_size]: trajectories from one start state stand together."""
    return per_env.reshape(-1, group_size)


def over_steps(per_group: Array, x: Experience) -> Array:
    """One number per trajectory at each of its steps, [T, N]."""
    return jnp.broadcast_to(per_group.reshape(1, -1), x.reward.shape)
