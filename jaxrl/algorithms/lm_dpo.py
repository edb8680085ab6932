"""DPO and its relatives, which learn from preferred and rejected responses.

    L = mean of −log σ(β Δ),  Δ = log π(w)/π_ref(w) − log π(l)/π_ref(l)

Responses are sampled once from the start, or anew from the policy of now (`online`), and ranked by
the task's reward; or a task is `taught` by examples. The best and the worst of a group are
compared; by RRHF, all of it. Each difference is a field: cDPO, robust DPO, IPO, the hinge loss, SimPO, ORPO, KTO and RRHF are
settings (`language_zoo`).
Reference: Rafailov et al. 2023, arXiv:2305.18290; the others stand with their formulas.
"""

from collections.abc import Callable
from functools import partial
from typing import Literal

import jax
import jax.numpy as jnp
from jax.core import Tracer

from jaxrl.config import config
from jaxrl.families import language, settings
from jaxrl.families.language import LanguageConfig, LanguageSetting, model, voice
from jaxrl.families.minibatch import Passes
from jaxrl.families.preference import (
    Loss,
    Parts,
    Policies,
    Said,
    likelihood,
    preference_learner,
)
from jaxrl.families.warm_up import warmed
from jaxrl.formulas import preference
from jaxrl.numerics import divide
from jaxrl.types import Array, Learner, PyTree


@config
class Config(LanguageConfig):
    """DPO; what others change is off."""

    group_size: int = 4
    num_minibatches: int = 1
    lr: float = 1e-4
    online: bool = False
    loss: Literal["sigmoid", "robust", "ipo", "hinge", "simpo", "orpo", "kto", "rrhf"] = "sigmoid"
    beta: float = 0.1
    smoothing: float = 0.0
    target_margin: float = 0.5
    per_token: bool = False
    likelihood_coef: float = 0.0
    desirable_weight: float = 1.0
    undesirable_weight: float = 1.0


REFERENCE_FREE = ("simpo", "orpo", "rrhf")
"""Losses that compare with no reference."""


def learner(config: Config, setting: LanguageSetting) -> Learner:
    """The learner of a configuration."""
    return preference_learner(parts(config, setting))


def parts(config: Config, setting: LanguageSetting) -> Parts:
    """The slots of a configuration."""
    check(config)
    task, speaker = setting.task, model(config, setting)
    plain = voice(speaker, task, 1.0)  # what is compared is the distribution itself
    spoken = voice(speaker, task, config.temperature, config.early_stop)
    begun = warmed(plain, task, config)
    passes = Passes(config.num_epochs, config.num_minibatches)
    reference = config.loss not in REFERENCE_FREE

    def init(key: Array, params: PyTree) -> tuple[PyTree, PyTree]:
        params = begun.init(key) if params is None else params
        # A copy, so that what is donated is donated once.
        return params, jax.tree.map(jnp.copy, params) if reference else ()

    return Parts(
        voice=spoken,
        policies=Policies(init, lambda state: state.params),
        score=partial(likelihood, plain),
        loss=loss(config),
        implied=lambda said: config.beta * log_ratio(config, said),
        optimizer=settings.optimizer(config, setting, passes.num_steps),
        passes=passes,
        num_microbatches=config.num_microbatches,
        reference=reference,
        pairs=config.loss != "rrhf",
        drifting=config.loss == "kto",
    )


def log_ratio(config: Config, said: Said) -> Array:
    """How much likelier responses are than by the reference, if there is one, [P, K]."""
    apart = said.score if said.ref_score is None else said.score - said.ref_score
    each = config.per_token or config.loss in REFERENCE_FREE
    return divide(apart, said.length) if each else apart


def loss(config: Config) -> Loss:
    """The loss of each prompt."""
    of_ratio = losses(config)[config.loss]

    def total(said: Said) -> Array:
        mean = divide(said.score, said.length)
        likely = preference.best_response_loss(mean, said.reward)
        return of_ratio(said, log_ratio(config, said)) + config.likelihood_coef * likely

    return total


def losses(config: Config) -> dict[str, Callable[[Said, Array], Array]]:
    """Losses of log ratios [P, K], by name; of a pair the better response comes first."""
    beta, smoothing, gamma = config.beta, config.smoothing, config.target_margin

    def margin(ratio: Array) -> Array:
        return ratio[:, 0] - ratio[:, 1]

    def kto(said: Said, ratio: Array) -> Array:
        assert said.drift is not None
        weights = config.desirable_weight, config.undesirable_weight
        desirable = jnp.broadcast_to(jnp.arange(2)[None] == 0, ratio.shape)
        return preference.kto_loss(ratio, desirable, said.drift, beta, *weights).mean(-1)

    def rrhf(said: Said, ratio: Array) -> Array:
        ranked = preference.rrhf_loss(ratio, said.reward)
        return ranked + preference.best_response_loss(said.score, said.reward)

    return {
        "sigmoid": lambda said, ratio: preference.dpo_loss(margin(ratio), beta, smoothing),
        "robust": lambda said, ratio: preference.robust_dpo_loss(margin(ratio), beta, smoothing),
        "ipo": lambda said, ratio: preference.ipo_loss(margin(ratio), beta),
        "hinge": lambda said, ratio: preference.hinge_loss(margin(ratio), beta),
        "simpo": lambda said, ratio: preference.simpo_loss(ratio[:, 0], ratio[:, 1], beta, gamma),
        "orpo": lambda said, ratio: preference.orpo_loss(ratio[:, 0], ratio[:, 1], beta),
        "kto": kto,
        "rrhf": rrhf,
    }


def check(config: Config) -> None:
    """Fields that must fit each other: one sentence where they do not."""
    language.check(config)
    holds = config.group_size > 1
    language.demand(config, holds, "group_size", "be at least 2 to compare responses")
    known = config.loss == "robust" and not isinstance(config.smoothing, Tracer)
    holds = not known or config.smoothing < 0.5
    language.demand(config, holds, "smoothing", "be below 0.5 for the robust loss")
    holds = config.loss != "kto" or config.num_prompts // config.num_minibatches > 1
    language.demand(config, holds, "num_prompts", "be at least 2 in each minibatch for KTO")
