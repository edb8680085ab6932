"""Discrete SAC: soft actor-critic with expectations over all actions in place of samples.

    L_Q = E[½ (Q(s, a) − r − γ Σ π(a′ | s′) (minₖ Qₖ⁻(s′, a′) − α log π(a′ | s′)))²]
    L_π = E[Σ π(a | s) (α log π(a | s) − minₖ Qₖ(s, a))]

Discrete actions only.
Reference: Christodoulou 2019, arXiv:1910.07207.
"""

import math

from jaxrl.config import config
from jaxrl.families import settings
from jaxrl.families.actor_critic import actor_critic_learner
from jaxrl.families.critic_settings import CriticConfig, all_vote, critics_of_choices, parts
from jaxrl.families.settings import Setting
from jaxrl.families.soft import enumerated
from jaxrl.families.temperature import fixed_temperature, learnt_temperature
from jaxrl.networks import distribution
from jaxrl.types import Discrete, Learner


@config
class Config(CriticConfig):
    """Discrete SAC."""

    num_critics: int = 2
    num_judges: int = 2
    temperature: float = 1.0
    learn_temperature: bool = True
    entropy_share: float = 0.5


def learner(config: Config, setting: Setting) -> Learner:
    """The learner of a configuration."""
    space = settings.action_space(config, setting, Discrete)
    temperature = fixed_temperature(config.temperature)
    if config.learn_temperature:
        target = config.entropy_share * math.log(space.num_values)
        optimizer = settings.optimizer(config, setting, 1)
        temperature = learnt_temperature(optimizer, config.temperature, target)
    critics = critics_of_choices(config, setting, space.num_values)
    conduct, jury = enumerated(distribution(space)), all_vote(config)
    return actor_critic_learner(parts(config, setting, conduct, critics, jury, temperature))
