"""Q-learning, double Q-learning, Sarsa and expected Sarsa: tables of action values, step by step.

    Q(s, a) ← Q(s, a) + α (r + γ v′ − Q(s, a))

with v′ = maxₐ Q(s′, a), another table's opinion of the best action (double), Q(s′, a′) at the
action that is taken next (Sarsa), or the mean over the policy (expected Sarsa). Where a time limit
ends an episode no action follows: there Sarsa too takes the mean. With traces an error also
corrects what led to it: Sarsa(λ), and Watkins's Q(λ), whose traces end before an action that was
not greedy. Several environments share the table: an entry moves by the mean of their errors.
Discrete observations and actions only.
Reference: Watkins & Dayan 1992, doi:10.1007/BF00992698; van Hasselt 2010, "Double Q-learning";
Rummery & Niranjan 1994, CUED/F-INFENG/TR 166; van Seijen et al. 2009,
doi:10.1109/ADPRL.2009.4927542.
"""

from typing import Literal

import jax
import jax.numpy as jnp

from jaxrl.config import config, demand
from jaxrl.families import settings
from jaxrl.families.bootstrap import discounts
from jaxrl.families.explore import falling
from jaxrl.families.settings import Setting
from jaxrl.families.tabular import (
    ControlConfig,
    Error,
    action_values,
    check_traces,
    corrected,
    fresh,
    num_states,
    tried,
    uniform,
)
from jaxrl.formulas.selection import epsilon_greedy_prob
from jaxrl.formulas.value_targets import (
    double_q_target,
    expected_sarsa_target,
    max_value,
    q_learning_target,
    sarsa_target,
)
from jaxrl.formulas.weightings import action_value
from jaxrl.loops.online import Step
from jaxrl.networks import action_mask, content
from jaxrl.types import Array, Discrete, Learner, LearnerState, Metrics, PyTree


@config
class Config(ControlConfig):
    """Q-learning."""

    target: Literal["max", "double", "sarsa", "expected"] = "max"
    traces: Literal["accumulating", "replacing"] | None = None
    lam: float = 0.9


def learner(config: Config, setting: Setting) -> Learner:
    """The learner of a configuration."""
    num_actions = settings.action_space(config, setting, Discrete).num_values
    double = config.target == "double"
    shape = (1 + double, num_states(config, setting), num_actions)
    check_traces(config)
    demand(config, not double or config.traces is None, "traces", "be None with two tables")

    def init(key: Array, obs: PyTree) -> LearnerState:
        del key, obs  # all entries begin alike
        return fresh(config, shape, config.traces)

    def act(
        state: LearnerState, obs: PyTree, noise: Array | None, carry: PyTree
    ) -> tuple[Array, PyTree, PyTree]:
        action = tried(config, setting, state, obs, noise)
        if config.traces is None or config.target != "max":
            return action, (), carry
        q = action_values(state.params, obs)
        return action, action_value(q, action) == max_value(q, action_mask(obs)), carry

    def update(chance: PyTree, state: LearnerState, step: Step) -> tuple[LearnerState, Metrics]:
        steps = step.transition
        which = jnp.asarray(chance, jnp.int32) if double else jnp.zeros_like(steps.action)
        index = which, content(steps.obs), steps.action
        epsilon = falling(config, state, setting)
        size = _target(config, state.params, which, step, epsilon) - state.params[index]
        decay = jnp.full_like(size, config.gamma * config.lam)
        if config.traces is not None and config.target == "max":
            decay = jnp.where(steps.extras, decay, 0.0)
        return corrected(config, setting, state, Error(index, size, decay, steps.done))

    def chance(key: Array, num_rows: int) -> PyTree:
        return jax.random.bernoulli(key, shape=(num_rows,)) if double else ()

    return Learner(init, lambda key, num_envs: (), uniform, act, update, chance)


def _target(config: Config, params: Array, which: Array, step: Step, epsilon: Array) -> Array:
    """What entries of the tables `which` should have been, [N]."""
    steps = step.transition
    reward, discount = steps.reward, discounts(config.gamma, steps.terminated)
    obs, mask = content(steps.next_obs), action_mask(steps.next_obs)
    next_q = params[which, obs]
    if config.target == "max":
        return q_learning_target(reward, next_q, discount, mask)
    if config.target == "double":
        return double_q_target(reward, params[1 - which, obs], next_q, discount, mask)
    prob = epsilon_greedy_prob(next_q, epsilon, mask)
    expected = expected_sarsa_target(reward, next_q, prob, discount)
    if config.target == "expected":
        return expected
    taken = sarsa_target(reward, next_q, step.next_action, discount)
    return jnp.where(steps.truncated, expected, taken)
