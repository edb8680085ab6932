"""Soft actor-critic: a stochastic actor that is paid for its entropy.

    L_Q = E[½ (Q(s, a) − r − γ (minₖ Qₖ⁻(s′, a′) − α log π(a′ | s′)))²]
    L_π = E[α log π(a | s) − minₖ Qₖ(s, a)],  a = f_θ(ε; s)

α moves so that the entropy meets its target. With more critics than judges it is REDQ: a random
few judge each target, the mean of all teaches the actor, and `num_gradients` can be large. Actions
in a box only.
Reference: Haarnoja et al. 2018, arXiv:1812.05905; Chen et al. 2021, arXiv:2101.05982 (REDQ).
"""

import jax.numpy as jnp

from jaxrl.config import config, demand_above
from jaxrl.families import settings
from jaxrl.families.actor_critic import actor_critic_learner, lingering
from jaxrl.families.box import span
from jaxrl.families.critic_settings import CriticConfig, all_vote, critics_of_box, parts
from jaxrl.families.settings import Setting
from jaxrl.families.soft import reparameterised
from jaxrl.families.temperature import fixed_temperature, learnt_temperature
from jaxrl.networks import distribution
from jaxrl.types import Box, Learner


@config
class Config(CriticConfig):
    """SAC."""

    num_critics: int = 2
    num_judges: int = 2
    temperature: float = 1.0
    learn_temperature: bool = True
    target_entropy: float = -1.0
    noise_memory: float = 0.0


def learner(config: Config, setting: Setting) -> Learner:
    """The learner of a configuration."""
    space = settings.action_space(config, setting, Box)
    bounds, choice = span(space), distribution(space, "squashed_gaussian")
    temperature = fixed_temperature(config.temperature)
    if config.learn_temperature:
        demand_above(config, 0, "temperature", " where it learns")
        # The density is of the action in its box: half widths other than 1 move its entropy.
        target = bounds.num_dims * config.target_entropy + jnp.log(bounds.half).sum()
        optimizer = settings.optimizer(config, setting, 1, every=config.policy_delay)
        temperature = learnt_temperature(optimizer, config.temperature, lambda _: target)
    critics, jury = critics_of_box(config, setting, bounds), all_vote(config)
    conduct = lingering(reparameterised(choice), config.noise_memory)
    return actor_critic_learner(
        parts(config, setting, conduct, critics, jury, temperature, "dependent")
    )
