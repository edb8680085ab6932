"""IMPALA, synchronous: an actor-critic that corrects for actors whose policy is older.

    L = −E[ρ (r + γ vs′ − v) log π] + c_v E[½ (v − vs)²] − c_e E[H(π)]

Actors use a copy of the policy that is renewed every `policy_lag` updates; V-trace targets vs and
weights ρ make up for the difference. With `policy_lag=1` it is A3C's synchronous form.
The paper's optimiser is RMSProp: `rms_decay=0.99`.
Reference: Espeholt et al. 2018, arXiv:1802.01561.
"""

import jax
import jax.numpy as jnp

from jaxrl.config import config
from jaxrl.families import settings
from jaxrl.families.objective import one_step
from jaxrl.families.policy import Experience, current_log_prob, policy_learner
from jaxrl.families.settings import OneStepConfig, Setting
from jaxrl.formulas.advantages import vtrace, vtrace_advantage
from jaxrl.formulas.ratios import token_log_ratio, truncated_weight
from jaxrl.types import Array, Learner, LearnerState, PyTree


@config
class Config(OneStepConfig):
    """IMPALA."""

    num_steps: int = 20
    lr: float = 1e-3
    lam: float = 1.0
    rho_max: float = 1.0
    trace_max: float = 1.0
    policy_lag: int = 4
    entropy_coef: float = 0.01


def learner(config: Config, setting: Setting) -> Learner:
    """The learner of a configuration."""
    parts = settings.parts(config, setting)

    def estimate(state: LearnerState, x: Experience) -> tuple[Array, Array, PyTree]:
        log_ratio = token_log_ratio(current_log_prob(parts, state.params, x), x.log_prob)
        rho = truncated_weight(log_ratio, config.rho_max)
        trace = config.lam * truncated_weight(log_ratio, config.trace_max)
        target = vtrace(x.reward, x.value, x.next_value, x.discount, x.done, rho, trace)
        advantage = vtrace_advantage(
            x.reward, x.value, x.next_value, target, x.discount, x.done, rho
        )
        return advantage, target, state.slots

    def renewed(state: LearnerState) -> LearnerState:
        due = state.num_updates % config.policy_lag == 0
        copy = jax.tree.map(lambda new, old: jnp.where(due, new, old), state.params, state.target)
        return state._replace(target=copy)

    improver = one_step(parts, config, settings.optimizer(config, setting, 1))
    return policy_learner(
        parts,
        estimate,
        improver,
        target=True,
        acting=lambda state: state.target,
        settle=renewed,
    )
