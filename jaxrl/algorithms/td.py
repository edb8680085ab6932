"""TD(λ): the value of a policy, here the one that takes all legal actions alike, step by step.

    V(s) ← V(s) + α (r + γ V(s′) − V(s))

It predicts and does not act better for it: greedily it takes the first legal action. With traces
an error also corrects the states that led to it. Several environments share the table: an entry
moves by the mean of their errors. Discrete observations and actions only.
Reference: Sutton 1988, doi:10.1007/BF00115009; Sutton & Barto 2018, sections 6.1 and 12.2.
"""

from typing import Literal

import jax.numpy as jnp

from jaxrl.config import config
from jaxrl.families import settings
from jaxrl.families.bootstrap import discounts
from jaxrl.families.settings import Setting
from jaxrl.families.tabular import (
    Error,
    TabularConfig,
    check_traces,
    corrected,
    fresh,
    num_states,
    uniform,
)
from jaxrl.formulas.selection import epsilon_greedy, greedy
from jaxrl.formulas.value_targets import td_target
from jaxrl.loops.online import Step
from jaxrl.networks import action_mask, content
from jaxrl.types import Array, Discrete, Learner, LearnerState, Metrics, PyTree


@config
class Config(TabularConfig):
    """TD(0)."""

    traces: Literal["accumulating", "replacing"] | None = None
    lam: float = 0.9


def learner(config: Config, setting: Setting) -> Learner:
    """The learner of a configuration."""
    num_actions = settings.action_space(config, setting, Discrete).num_values
    shape = (num_states(config, setting),)
    check_traces(config)

    def init(key: Array, obs: PyTree) -> LearnerState:
        del key, obs  # all entries begin alike
        return fresh(config, shape, config.traces)

    def act(
        state: LearnerState, obs: PyTree, noise: Array | None, carry: PyTree
    ) -> tuple[Array, PyTree, PyTree]:
        alike, mask = jnp.zeros((*content(obs).shape, num_actions)), action_mask(obs)
        if noise is None:
            return greedy(alike, mask), (), carry
        return epsilon_greedy(alike, noise, 1.0, mask), (), carry

    def update(chance: PyTree, state: LearnerState, step: Step) -> tuple[LearnerState, Metrics]:
        steps, value = step.transition, state.params
        obs, next_obs = content(steps.obs), content(steps.next_obs)
        target = td_target(steps.reward, value[next_obs], discounts(config.gamma, steps.terminated))
        size = target - value[obs]
        decay = jnp.full_like(size, config.gamma * config.lam)
        return corrected(config, setting, state, Error((obs,), size, decay, steps.done))

    return Learner(init, lambda key, num_envs: (), uniform, act, update, lambda key, num_rows: ())
