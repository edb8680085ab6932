"""REINFORCE: the policy gradient of whole trajectories, in each of its six weightings.

    L = −E[Ψ log π] + c_v E[½ (v − G)²] − c_e E[H(π)]

Each update plays `num_envs` trajectories from fresh starts. Without a critic (weightings 1 and 2,
constant baselines, leave-one-out) the objective is the return within `num_steps` steps: a time
limit ends it, and nothing is added for what would have come. A critic (`baseline="value"`,
weightings 4 to 6) adds its value there.
RLOO is `weighting="baselined_return"`, `baseline="leave_one_out"`: several trajectories from each
start state, each compared with the mean of the others.
Reference: Williams 1992, doi:10.1007/BF00992696; Ahmadian et al. 2024, arXiv:2402.14740 (RLOO).
"""

from typing import Literal

import jax.numpy as jnp

from jaxrl.config import config
from jaxrl.families import settings
from jaxrl.families.estimate import (
    CRITIC_WEIGHTINGS,
    Baseline,
    Weighting,
    judge_of,
    return_estimate,
    weighted_estimate,
)
from jaxrl.families.objective import one_step
from jaxrl.families.policy import policy_learner
from jaxrl.families.settings import OneStepConfig, Setting
from jaxrl.types import Learner


@config
class Config(OneStepConfig):
    """REINFORCE."""

    num_envs: int = 16
    num_steps: int = 500
    lr: float = 1e-3
    lam: float = 1.0
    weighting: Weighting = "baselined_return"
    baseline: Baseline = "value"
    baseline_decay: float = 0.9
    group_size: int = 1
    whiten: Literal["batch", "none"] = "none"


def learner(config: Config, setting: Setting) -> Learner:
    """The learner of a configuration."""
    whitened = config.whiten == "batch"
    if config.weighting in CRITIC_WEIGHTINGS:
        critic = judge_of(config.weighting)
        estimate = weighted_estimate(config.weighting, config.lam, whitened)
    else:
        valued = config.weighting == "baselined_return" and config.baseline == "value"
        critic = "state" if valued else None
        estimate = return_estimate(
            config.weighting, config.baseline, config.baseline_decay, config.group_size, whitened
        )
    parts = settings.parts(config, setting, critic)
    improver = one_step(parts, config, settings.optimizer(config, setting, 1))
    return policy_learner(parts, estimate, improver, slots=jnp.zeros(()))
