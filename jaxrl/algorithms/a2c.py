"""A2C: one step down the policy gradient and the value loss after every few steps of acting.

    L = −E[Â log π] + c_v E[½ (v − G)²] − c_e E[H(π)]

Reference: Mnih et al. 2016, arXiv:1602.01783 (A3C; this is its synchronous form).
"""

from typing import Literal

from jaxrl.config import config
from jaxrl.families import settings
from jaxrl.families.estimate import gae_estimate
from jaxrl.families.objective import one_step
from jaxrl.families.policy import policy_learner
from jaxrl.families.settings import OneStepConfig, Setting
from jaxrl.types import Learner


@config
class Config(OneStepConfig):
    """A2C, by RMSProp as in the paper."""

    num_steps: int = 5
    lr: float = 7e-4
    lam: float = 1.0
    rms_decay: float | None = 0.99
    whiten: Literal["batch", "none"] = "none"


def learner(config: Config, setting: Setting) -> Learner:
    """The learner of a configuration."""
    parts = settings.parts(config, setting)
    improver = one_step(parts, config, settings.optimizer(config, setting, 1))
    return policy_learner(parts, gae_estimate(config.lam, config.whiten == "batch"), improver)
