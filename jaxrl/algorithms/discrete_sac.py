"""Discrete SAC: soft actor-critic with expectations over all actions in place of samples.

    L_Q = E[½ (Q(s, a) − r − γ Σ π(a′ | s′) (minₖ Qₖ⁻(s′, a′) − α log π(a′ | s′)))²]
    L_π = E[Σ π(a | s) (α log π(a | s) − minₖ Qₖ(s, a))]

Discrete actions only.
Reference: Christodoulou 2019, arXiv:1910.07207.
"""

import math

import jax.numpy as jnp

from jaxrl.config import config, demand_above
from jaxrl.families import settings
from jaxrl.families.actor_critic import actor_critic_learner
from jaxrl.families.critic_settings import CriticConfig, all_vote, critics_of_choices, parts
from jaxrl.families.settings import Setting
from jaxrl.families.soft import enumerated
from jaxrl.families.temperature import fixed_temperature, learnt_temperature
from jaxrl.networks import action_mask, distribution
from jaxrl.types import Discrete, Learner, PyTree, Scalar


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
        demand_above(config, 0, "temperature", " where it learns")

        def target(obs: PyTree) -> Scalar:
            return config.entropy_share * greatest_entropy(space, obs)

        optimizer = settings.optimizer(config, setting, 1, every=config.policy_delay)
        temperature = learnt_temperature(optimizer, config.temperature, target)
    critics = critics_of_choices(config, setting, space.num_values)
    conduct, jury = enumerated(distribution(space)), all_vote(config)
    return actor_critic_learner(parts(config, setting, conduct, critics, jury, temperature))


def greatest_entropy(space: Discrete, obs: PyTree) -> Scalar:
    """Of choices among the legal actions, in the mean over observations."""
    mask = action_mask(obs)
    if mask is None:
        return math.log(space.num_values)
    return jnp.log(jnp.maximum(mask.sum(-1), 1)).mean()
