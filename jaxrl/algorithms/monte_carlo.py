"""Monte Carlo control: a table of action values from the returns of whole trajectories.

    Q(s, a) ← Q(s, a) + α (G − Q(s, a)),  G = Σₖ γᵏ rₖ  to the end of the episode

Each update plays `num_envs` trajectories of at most `num_steps` steps by the ε-greedy policy. A
trajectory that is cut off, by a time limit or by `num_steps`, counts what the table expects of the
policy from there. With `averaging` and lr = 0 an entry is the mean of all its returns. Discrete
observations and actions only.
Reference: Sutton & Barto 2018, section 5.4; Singh & Sutton 1996, doi:10.1007/BF00114726 (first and
every visits).
"""

from typing import Literal

import jax.numpy as jnp

from jaxrl.config import config
from jaxrl.families import settings
from jaxrl.families.bootstrap import discounts
from jaxrl.families.explore import falling
from jaxrl.families.settings import Setting
from jaxrl.families.tabular import (
    ControlConfig,
    Index,
    action_values,
    averaged,
    fresh,
    num_states,
    step_size,
    tried,
    uniform,
)
from jaxrl.formulas.reduce import masked_mean
from jaxrl.formulas.selection import epsilon_greedy_prob
from jaxrl.formulas.value_losses import squared_loss
from jaxrl.formulas.value_targets import expected_value
from jaxrl.formulas.weightings import reward_to_go
from jaxrl.networks import action_mask, content
from jaxrl.types import Array, Discrete, Learner, LearnerState, Metrics, PyTree, Rollout, once


@config
class Config(ControlConfig):
    """Monte Carlo control, of every visit."""

    num_envs: int = 8
    num_steps: int = 200
    lr: float = 0.02
    averaging: bool = True
    visits: Literal["every", "first"] = "every"


def learner(config: Config, setting: Setting) -> Learner:
    """The learner of a configuration."""
    num_actions = settings.action_space(config, setting, Discrete).num_values
    shape = (1, num_states(config, setting), num_actions)

    def init(key: Array, obs: PyTree) -> LearnerState:
        del key, obs  # all entries begin alike
        return fresh(config, shape)

    def act(
        state: LearnerState, obs: PyTree, noise: Array | None, carry: PyTree
    ) -> tuple[Array, PyTree, PyTree]:
        return tried(config, setting, state, obs, noise), (), carry

    def update(key: Array, state: LearnerState, rollout: Rollout) -> tuple[LearnerState, Metrics]:
        del key  # nothing is left to chance
        steps, epsilon = rollout.transition, falling(config, state, setting)
        index = jnp.zeros_like(steps.action), content(steps.obs), steps.action
        mask = jnp.ones_like(steps.done) if rollout.mask is None else rollout.mask
        if config.visits == "first":
            mask = mask & first_visit(index, mask, shape)
        returns, weight = _returns(config, state.params, rollout, epsilon), mask.astype(jnp.float32)
        taken, rate = state.params[index], step_size(config, setting, state)
        entries = state.params, state.slots.count, index
        table, count = averaged(*entries, returns - taken, rate, weight)
        slots = state.slots._replace(count=count)
        loss = masked_mean(squared_loss(taken, returns), mask)
        state = state._replace(params=table, num_updates=state.num_updates + 1, slots=slots)
        return state, once(value_loss=loss, lr=rate, epsilon=epsilon)

    return Learner(init, lambda key, num_envs: (), uniform, act, update)


def first_visit(index: Index, mask: Array, shape: tuple[int, ...]) -> Array:
    """Whether a step is the first one of its trajectory at its entry, [T, N]."""
    num_steps, num_envs = mask.shape
    time = jnp.broadcast_to(jnp.arange(num_steps)[:, None], mask.shape)
    place = (jnp.broadcast_to(jnp.arange(num_envs)[None], mask.shape), *index)
    never = jnp.full((num_envs, *shape), num_steps)
    earliest = never.at[place].min(jnp.where(mask, time, num_steps))
    return earliest[place] == time


def _returns(config: Config, params: Array, rollout: Rollout, epsilon: Array) -> Array:
    """What followed each step, and where a trajectory was cut, what the policy would have had."""
    steps = rollout.transition
    next_q = action_values(params, steps.next_obs)
    prob = epsilon_greedy_prob(next_q, epsilon, action_mask(steps.next_obs))
    discount = discounts(config.gamma, steps.terminated)
    return reward_to_go(steps.reward, expected_value(next_q, prob), discount, steps.done)
