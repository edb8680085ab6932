"""GRPO for language models, whose relatives without a critic differ by a few fields.

    L = reduce[ℓ(r, Â) + β KL(π ‖ π_ref)]
    of GRPO: (1/G) Σᵢ (1/|oᵢ|) Σₜ [−min(r Â, clip(r, 1 ± ε) Â) + β k3], Â = (R − mean R) / std R

Dr. GRPO, DAPO, GSPO and GSPO-token, DCPO, CISPO, RLOO, OPO, REINFORCE++ and its variant with a
baseline, ReMax, GRPO with rewards of steps, and iterative GRPO are settings of it (`language_zoo`).
Reference: Shao et al. 2024, arXiv:2402.03300; the others stand with their formulas.
"""

import math
from collections.abc import Callable
from functools import partial
from typing import Literal

from jaxrl.config import config, demand
from jaxrl.families import group_slots as slots
from jaxrl.families import language, settings
from jaxrl.families.group import Parts, Penalty, group_learner
from jaxrl.families.group_slots import Advantage, Bounds, Ratio, Surrogate
from jaxrl.families.language import LanguageConfig, LanguageSetting, model, voice
from jaxrl.families.minibatch import Passes
from jaxrl.families.warm_up import warmed
from jaxrl.formulas import divergences, groups, policy_losses, ratios
from jaxrl.formulas.shaping import soft_overlong_penalty
from jaxrl.text import Task, num_places
from jaxrl.types import Array, Learner, Scalar


@config
class Config(LanguageConfig):
    """GRPO; what others change is off."""

    advantage: Literal[
        "relative",
        "centred",
        "leave_one_out",
        "leave_one_out_relative",
        "length_weighted",
        "smoothed",
        "greedy",
        "whitened_return",
        "whitened_centred",
        "stepwise",
    ] = "relative"
    ddof: int = 0
    ratio: Literal["token", "sequence", "sequence_token", "total"] = "token"
    surrogate: Literal["clipped", "cispo", "policy_gradient"] = "clipped"
    bounds: Literal["fixed", "dynamic"] = "fixed"
    clip_eps: float = 0.2
    clip_eps_high: float | None = None
    dual_clip: float | None = None
    reduction: Literal[
        "token_mean", "sequence_mean", "sequence_sum", "fixed_length", "only_token_mean"
    ] = "sequence_mean"
    kl_coef: float | None = 0.04
    kl: Literal["k1", "k2", "k3", "k3_corrected", "reward"] = "k3"
    reference_period: int | None = None
    entropy_coef: float = 0.0
    max_rounds: int | None = None
    overlong_cache: int | None = None
    learn_cut: bool = True
    staleness: int = 0
    correction: Literal["token", "sequence", "masked"] | None = None
    weight_max: float = 2.0
    weight_min: float = 0.5
    drop_kl: float | None = None


ALONE = ("greedy", "whitened_return")
"""Advantages that compare with no other response to the same prompt."""


def learner(config: Config, setting: LanguageSetting) -> Learner:
    """The learner of a configuration."""
    return group_learner(parts(config, setting))


def parts(config: Config, setting: LanguageSetting) -> Parts:
    """The slots of a configuration."""
    check(config)
    task, speaker = setting.task, model(config, setting)
    spoken = voice(speaker, task, config.temperature, config.early_stop)
    taught = warmed(voice(speaker, task, 1.0), task, config)
    passes = Passes(config.num_epochs, config.num_minibatches)
    smoothed = config.advantage == "smoothed"
    return Parts(
        voice=spoken._replace(init=taught.init),
        advantage=advantages(config)[config.advantage],
        ratio=RATIOS[config.ratio],
        bounds=bounds(config),
        surrogate=surrogate(config),
        reduction=slots.reductions(task.num_tokens, config.group_size)[config.reduction],
        optimizer=settings.optimizer(config, setting, passes.num_steps),
        passes=passes,
        ceiling=None if config.surrogate == "cispo" else ceiling(config),
        num_microbatches=config.num_microbatches,
        penalty=penalty(config),
        correction=correction(config),
        drop_kl=config.drop_kl,
        entropy_coef=config.entropy_coef,
        bonus=bonus(config, task),
        learn_cut=config.learn_cut,
        slots=groups.smoothed_state(num_places(task.train)) if smoothed else (),
    )


def advantages(config: Config) -> dict[str, Advantage]:
    """How the responses to a prompt are compared, by name."""
    return {
        "relative": slots.relative(config.ddof),
        "centred": slots.of_total(groups.group_centred),
        "leave_one_out": slots.of_total(groups.leave_one_out),
        "leave_one_out_relative": slots.of_total(groups.leave_one_out_relative),
        "length_weighted": slots.length_weighted,
        "smoothed": slots.smoothed,
        "greedy": slots.against_greedy,
        "whitened_return": slots.whitened_return,
        "whitened_centred": slots.whitened_centred,
        "stepwise": slots.stepwise(config.ddof),
    }


RATIOS: dict[str, Ratio] = {
    "token": ratios.token_log_ratio,
    "sequence": ratios.sequence_log_ratio,
    "sequence_token": ratios.gspo_token_log_ratio,
    "total": ratios.total_log_ratio,
}
"""What is compared with the policy before, by name."""


def bounds(config: Config) -> Bounds:
    """Between which ratios a token is learnt from: everywhere the same, or wider for rare ones."""
    if config.surrogate == "policy_gradient":
        return lambda old: (0.0, math.inf)
    high = config.clip_eps if config.clip_eps_high is None else config.clip_eps_high
    if config.bounds == "dynamic":
        return lambda old: ratios.dynamic_bounds(old, config.clip_eps, high)
    return lambda old: (1.0 - config.clip_eps, 1.0 + high)


def ceiling(config: Config) -> Scalar:
    """The largest ratio where the advantage is negative."""
    return math.inf if config.dual_clip is None else config.dual_clip


def surrogate(config: Config) -> Surrogate:
    """The loss of each token."""
    most = ceiling(config)
    made: dict[str, Surrogate] = {
        "clipped": lambda log_prob, log_ratio, advantage, bounds: (
            policy_losses.dual_clipped_surrogate(log_ratio, advantage, *bounds, most)
        ),
        "cispo": lambda log_prob, log_ratio, advantage, bounds: policy_losses.cispo(
            log_prob, log_ratio, advantage, *bounds
        ),
        "policy_gradient": lambda log_prob, log_ratio, advantage, bounds: (
            policy_losses.policy_gradient(log_prob, advantage)
        ),
    }
    return made[config.surrogate]


def penalty(config: Config) -> Penalty | None:
    """The price of leaving the reference."""
    if config.kl_coef is None:
        return None
    kinds = {
        "k1": divergences.k1,
        "k2": divergences.k2,
        "k3": divergences.k3,
        "k3_corrected": divergences.k3_corrected,
        "reward": None,
    }
    return Penalty(config.kl_coef, kinds[config.kl], config.reference_period)


def correction(config: Config) -> Ratio | None:
    """The weight that makes up for an older policy's having spoken."""
    if config.correction is None:
        return None
    return slots.correction(config.correction, config.weight_min, config.weight_max)


def bonus(config: Config, task: Task) -> Callable[[Array], Array] | None:
    """What a response gets for its length."""
    if config.overlong_cache is None:
        return None
    return partial(soft_overlong_penalty, max_length=task.num_tokens, cache=config.overlong_cache)


def check(config: Config) -> None:
    """Fields that must fit each other: one sentence where they do not."""
    language.check(config)
    compares = config.advantage not in ALONE or config.max_rounds is not None
    holds = config.group_size > 1 or not compares
    demand(config, holds, "group_size", "be at least 2 to compare responses")
    holds = config.max_rounds is None or config.advantage != "stepwise"
    demand(config, holds, "max_rounds", "be None where steps are judged, not outcomes")
    once = config.prompt_order == "shuffled" and config.max_rounds is None
    holds = once or config.advantage != "smoothed"
    what = "not be smoothed if prompts may come twice"
    demand(config, holds, "advantage", what)
    holds = config.dual_clip is None or config.surrogate == "clipped"
    demand(config, holds, "dual_clip", f"be None where the surrogate is {config.surrogate!r}")
