"""DPO and its relatives, which learn from preferred and rejected responses.

    L = mean over pairs of ℓ(β Δ),  Δ = log π(w)/π_ref(w) − log π(l)/π_ref(l)
    of DPO: ℓ = −log σ(β Δ)

Responses are sampled once from the start, or anew from the policy of now (`online`), and ranked by
the task's reward; or a task is `taught` by examples. The best and the worst of a group are
compared; by RRHF, all of it. cDPO, robust DPO, IPO, the hinge loss, SimPO, ORPO, KTO and RRHF are
settings of it (`language_zoo`).
Reference: Rafailov et al. 2023, arXiv:2305.18290; the others stand with their formulas.
"""

from collections.abc import Callable
from functools import partial
from typing import Literal

import jax
import jax.numpy as jnp
from jax.core import Tracer

from jaxrl.config import config, demand
from jaxrl.families import language, settings
from jaxrl.families.language import LanguageConfig, LanguageSetting, begun, model, voice
from jaxrl.families.minibatch import Passes
from jaxrl.families.preference import (
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
    warm = warmed(plain, task, config)
    passes = Passes(config.num_epochs, config.num_minibatches)
    reference = config.loss not in REFERENCE_FREE

    def init(key: Array, params: PyTree) -> tuple[PyTree, PyTree]:
        params = begun(key, warm.init, params)
        # A copy, so that what is donated is donated once.
        return params, jax.tree.map(jnp.copy, params) if reference else ()

    return Parts(
        voice=spoken,
        policies=Policies(init, lambda state: state.params),
        score=partial(likelihood, plain),
        loss=partial(loss, config),
        implied=partial(implied, config),
        optimizer=settings.optimizer(config, setting, passes.num_steps),
        passes=passes,
        num_microbatches=config.num_microbatches,
        reference=reference,
        pairs=config.loss != "rrhf",
        drifting=config.loss == "kto",
    )


def compared(config: Config, said: Said) -> Said:
    """Responses whose scores are sums over their tokens, or means."""
    if not config.per_token and config.loss not in REFERENCE_FREE:
        return said
    ref_score = None if said.ref_score is None else divide(said.ref_score, said.length)
    return said._replace(score=divide(said.score, said.length), ref_score=ref_score)


def implied(config: Config, said: Said) -> Array:
    """The rewards for which the policy would be best, [P, K]."""
    score, ref_score, *_ = compared(config, said)
    return config.beta * (score if ref_score is None else score - ref_score)


def loss(config: Config, said: Said) -> Array:
    """The loss of each prompt."""
    mean = divide(said.score, said.length)
    likely = preference.best_response_loss(mean, said.reward)
    return LOSSES[config.loss](config, said) + config.likelihood_coef * likely


def margin(config: Config, said: Said) -> Array:
    """Δ of each pair."""
    score, ref_score, *_ = compared(config, said)
    assert ref_score is not None
    return preference.preference_margin(score[:, 0], score[:, 1], ref_score[:, 0], ref_score[:, 1])


def sigmoid(config: Config, said: Said) -> Array:
    """DPO's, and with smoothing cDPO's."""
    return preference.dpo_loss(margin(config, said), config.beta, config.smoothing)


def robust(config: Config, said: Said) -> Array:
    """Robust DPO's."""
    return preference.robust_dpo_loss(margin(config, said), config.beta, config.smoothing)


def ipo(config: Config, said: Said) -> Array:
    """IPO's."""
    return preference.ipo_loss(margin(config, said), config.beta)


def hinge(config: Config, said: Said) -> Array:
    """That of SLiC and RSO."""
    return preference.hinge_loss(margin(config, said), config.beta)


def simpo(config: Config, said: Said) -> Array:
    """SimPO's."""
    mean = compared(config, said).score
    return preference.simpo_loss(mean[:, 0], mean[:, 1], config.beta, config.target_margin)


def orpo(config: Config, said: Said) -> Array:
    """ORPO's."""
    mean = compared(config, said).score
    return preference.orpo_loss(mean[:, 0], mean[:, 1], config.beta)


def kto(config: Config, said: Said) -> Array:
    """KTO's: the better response is desirable, the other is not."""
    score, ref_score, *_ = compared(config, said)
    assert ref_score is not None and said.drift is not None
    weights = config.desirable_weight, config.undesirable_weight
    desirable = jnp.broadcast_to(jnp.arange(2)[None] == 0, score.shape)
    ratio = score - ref_score
    return preference.kto_loss(ratio, desirable, said.drift, config.beta, *weights).mean(-1)


def rrhf(config: Config, said: Said) -> Array:
    """RRHF's: the ranking of all, and the likelihood of the best."""
    ranked = preference.rrhf_loss(compared(config, said).score, said.reward)
    return ranked + preference.best_response_loss(said.score, said.reward)


LOSSES: dict[str, Callable[[Config, Said], Array]] = {
    "sigmoid": sigmoid,
    "robust": robust,
    "ipo": ipo,
    "hinge": hinge,
    "simpo": simpo,
    "orpo": orpo,
    "kto": kto,
    "rrhf": rrhf,
}
"""The loss of each prompt, by name; of a pair the better response comes first."""


def check(config: Config) -> None:
    """Fields that must fit each other: one sentence where they do not."""
    language.check(config)
    holds = config.group_size > 1
    demand(config, holds, "group_size", "be at least 2 to compare responses")
    known = config.loss == "robust" and not isinstance(config.smoothing, Tracer)
    holds = not known or config.smoothing < 0.5
    demand(config, holds, "smoothing", "be below 0.5 for the robust loss")
    holds = config.loss != "kto" or config.num_prompts // config.num_minibatches > 1
    demand(config, holds, "num_prompts", "be at least 2 in each minibatch for KTO")
    holds = config.loss != "kto" or not config.per_token
    demand(config, holds, "per_token", "be false for KTO")
