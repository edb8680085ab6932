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
from jaxrl.families.settings import PolicyConfig, Setting
from jaxrl.optim.optimizer import Optimizer, Schedule, rmsprop
from jaxrl.types import Learner


@config
class Config(PolicyConfig):
    """A2C."""

    num_steps: int = 5
    lr: float = 7e-4
    lam: float = 1.0
    value_coef: float = 0.5
    entropy_coef: float = 0.0
    rms_decay: float = 0.99
    whiten: Literal["batch", "none"] = "none"


def learner(config: Config, setting: Setting) -> Learner:
    """The learner of a configuration."""
    parts = settings.parts(config, setting)
    improver = one_step(parts, config, settings.optimizer(config, setting, 1, rms))
    return policy_learner(parts, gae_estimate(config.lam, config.whiten == "batch"), improver)


def rms(config: Config, schedule: Schedule) -> Optimizer:
    """RMSProp, as in the paper."""
    return rmsprop(schedule, config.max_grad_norm, config.rms_decay, 1e-5)
