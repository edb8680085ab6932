"""One-step actor-critic: the policy gradient weighted by a critic's opinion of each action.

    L = −E[Ψ log π] + c_v E[½ (q − G)²],  Ψ = Q(s, a), Q(s, a) − E_π[Q(s, ·)], or δ

G is the λ-return over the critic's values of the policy: λ = 0 makes it expected Sarsa.
Reference: Sutton et al. 1999, "Policy gradient methods with function approximation".
"""

from typing import Literal

from jaxrl.config import config
from jaxrl.families import settings
from jaxrl.families.estimate import judge_of, weighted_estimate
from jaxrl.families.objective import one_step
from jaxrl.families.policy import policy_learner
from jaxrl.families.settings import OneStepConfig, Setting
from jaxrl.types import Learner


@config
class Config(OneStepConfig):
    """One-step actor-critic."""

    num_steps: int = 5
    lr: float = 1e-3
    lam: float = 0.9
    weighting: Literal["action_value", "action_advantage", "td_error"] = "action_advantage"
    whiten: Literal["batch", "none"] = "none"


def learner(config: Config, setting: Setting) -> Learner:
    """The learner of a configuration."""
    parts = settings.parts(config, setting, judge_of(config.weighting))
    improver = one_step(parts, config, settings.optimizer(config, setting, 1))
    estimate = weighted_estimate(config.weighting, config.lam, config.whiten == "batch")
    return policy_learner(parts, estimate, improver)
