"""PPO from human feedback: actor, critic, reward and reference models.

    L = E[−min(r Â, clip(r, 1 ± ε) Â)] + c_v E[value loss] − c_e E[H(π)]  over tokens
    rₜ = −β (log π_old(aₜ) − log π_ref(aₜ)), and the clipped score at the last token

The reward is the task's, or its `judge`, a trained reward model. The critic begins as a copy of the
actor with a head of its own, the reference as another copy.
Reference: Ouyang et al. 2022, arXiv:2203.02155, section 3.5; Ziegler et al. 2019, arXiv:1909.08593.
"""

import math
from functools import partial
from typing import Literal

from jaxrl.config import config
from jaxrl.families import language, settings
from jaxrl.families.headed import headed
from jaxrl.families.language import LanguageConfig, LanguageSetting, model, voice
from jaxrl.families.minibatch import Passes
from jaxrl.families.rlhf import Parts, Price, rlhf_learner
from jaxrl.families.warm_up import warmed
from jaxrl.formulas.advantages import whiten
from jaxrl.formulas.policy_losses import proportional_kl_coefficient
from jaxrl.formulas.value_losses import clipped_value_loss, squared_loss
from jaxrl.types import Array, Learner


@config
class Config(LanguageConfig):
    """PPO with four models."""

    gamma: float = 1.0
    lam: float = 0.95
    clip_eps: float = 0.2
    clip_eps_high: float | None = None
    value_clip: float | None = 0.2
    value_coef: float = 0.5
    entropy_coef: float = 0.0
    kl_coef: float = 0.05
    target_kl: float | None = None
    kl_horizon: float = 10_000.0
    score_clip: float | None = 5.0
    whiten: Literal["batch", "none"] = "batch"
    ddof: int = 0
    num_epochs: int = 2


def learner(config: Config, setting: LanguageSetting) -> Learner:
    """The learner of a configuration."""
    return rlhf_learner(parts(config, setting))


def parts(config: Config, setting: LanguageSetting) -> Parts:
    """The slots of a configuration."""
    language.check(config)
    task, speaker = setting.task, model(config, setting)
    warm = warmed(voice(speaker, task, 1.0), task, config)
    spoken = voice(speaker, task, config.temperature, config.early_stop)
    passes = Passes(config.num_epochs, config.num_minibatches)
    high = config.clip_eps if config.clip_eps_high is None else config.clip_eps_high
    return Parts(
        voice=spoken._replace(init=warm.init),
        critic=headed(speaker, task),
        price=Price(config.kl_coef, partial(adapted, config)),
        gamma=config.gamma,
        lam=config.lam,
        score_clip=math.inf if config.score_clip is None else config.score_clip,
        whiten=partial(whitened, config),
        bounds=(1.0 - config.clip_eps, 1.0 + high),
        value_loss=partial(value_loss, config),
        value_coef=config.value_coef,
        entropy_coef=config.entropy_coef,
        optimizer=settings.optimizer(config, setting, passes.num_steps),
        passes=passes,
        num_microbatches=config.num_microbatches,
    )


def adapted(config: Config, coef: Array, kl: Array, num_responses: float) -> Array:
    """The price of leaving the reference: fixed, or moved towards a target KL."""
    if config.target_kl is None:
        return coef
    target, horizon = config.target_kl, config.kl_horizon
    return proportional_kl_coefficient(coef, kl, target, num_responses, horizon)


def whitened(config: Config, advantage: Array, mask: Array) -> Array:
    """Advantages over the batch."""
    if config.whiten == "none":
        return advantage
    return whiten(advantage, mask, ddof=config.ddof)


def value_loss(config: Config, value: Array, old_value: Array, target: Array) -> Array:
    """The loss of each token's value."""
    if config.value_clip is None:
        return squared_loss(value, target)
    return clipped_value_loss(value, old_value, target, config.value_clip)
