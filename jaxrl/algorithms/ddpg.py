"""DDPG and its improvements, each a field of its own: TD3 and D4PG are other defaults of them.

    L_Q = E[w ℓ(Z(s, a), r + γ Z⁻(s′, μ⁻(s′) + noise))],  ∇J = E[∇_θ μ(s) ∇ₐ Q(s, a)]

with Z an expected value or a categorical distribution (D4PG), the least of several (TD3), and an
actor that takes a step for every `policy_delay` of the critics. Actions in a box only.
Reference: Lillicrap et al. 2016, arXiv:1509.02971; Fujimoto et al. 2018, arXiv:1802.09477 (TD3);
Barth-Maron et al. 2018, arXiv:1804.08617 (D4PG).
"""

from jaxrl.config import config
from jaxrl.families import settings
from jaxrl.families.actor_critic import actor_critic_learner, lingering
from jaxrl.families.box import span
from jaxrl.families.critic_settings import CriticConfig, critics_of_box, first_votes, parts
from jaxrl.families.deterministic import Smoothing, Wobble, deterministic
from jaxrl.families.settings import Setting
from jaxrl.families.temperature import fixed_temperature
from jaxrl.types import Box, Learner


@config
class Config(CriticConfig):
    """DDPG; what it is improved by is off."""

    noise_std: float = 0.2
    noise_spread: float = 1.0
    noise_memory: float = 0.85
    smoothing_std: float = 0.0
    smoothing_clip: float = 0.5


def learner(config: Config, setting: Setting) -> Learner:
    """The learner of a configuration."""
    space = settings.action_space(config, setting, Box)
    bounds = span(space)
    wobble = Wobble(config.noise_std, config.noise_spread)
    smoothing = Smoothing(config.smoothing_std, config.smoothing_clip)
    conduct = lingering(deterministic(bounds, wobble, smoothing), config.noise_memory)
    critics = critics_of_box(config, setting, bounds)
    jury, temperature = first_votes(config), fixed_temperature(0.0)
    return actor_critic_learner(parts(config, setting, conduct, critics, jury, temperature))
