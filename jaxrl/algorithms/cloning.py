"""Behaviour cloning and DAgger: imitate an expert on its own states, or on those one reaches.

    L = E[−log π(a* | s)], or E[½ ‖μ(s) − a*‖²] in a box

Behaviour cloning learns what was done where the expert acts, or from a data set alone. DAgger asks
the expert about each state that is reached, and acts by itself but for the share β of the steps,
which falls over the first part of training; what was learnt from once stays in replay.
Reference: Pomerleau 1991, doi:10.1162/neco.1991.3.1.88; Ross et al. 2011, arXiv:1011.0686,
algorithm 3.1.
"""

from typing import Literal

from jaxrl.config import config
from jaxrl.families import settings
from jaxrl.families.cloning import Parts, cloning_learner, fit
from jaxrl.families.explore import moved
from jaxrl.families.off_policy import ReplayConfig, importance
from jaxrl.families.settings import Setting
from jaxrl.types import Array, Learner, LearnerState, Transition


@config
class Config(ReplayConfig):
    """Behaviour cloning."""

    labels: Literal["done", "asked"] = "done"
    expert_share: float = 1.0
    expert_share_end: float = 0.0
    exploration_fraction: float = 0.2


def learner(config: Config, setting: Setting) -> Learner:
    """The learner of a configuration."""
    fitted = fit(setting.spaces.action)
    custom = settings.own_networks(setting)
    if custom.critic is not None:
        raise ValueError(f"networks.critic must be None, not a {type(custom.critic).__name__}")
    network = settings.network(config, setting.spaces, custom.actor, fitted.size, 0.01)

    def share(state: LearnerState) -> Array:
        return moved(config, state, setting, config.expert_share, config.expert_share_end)

    return cloning_learner(
        Parts(
            network=network,
            fit=fitted,
            expert=None if isinstance(setting.expert, Transition) else setting.expert,
            share=share if config.labels == "asked" else None,
            optimizer=settings.optimizer(config, setting, 1),
            importance=lambda state, weight: importance(config, setting, state, weight),
        )
    )
