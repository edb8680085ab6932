"""The zoo of language: every algorithm that trains a language model, by its name."""

from typing import Any, NamedTuple

from jaxrl.algorithms import lm_grpo
from jaxrl.config import replace
from jaxrl.families.lagged import lagged
from jaxrl.families.language import LanguageSetting
from jaxrl.loops.prompted import Plan, prompted
from jaxrl.names import unknown
from jaxrl.text import Task
from jaxrl.types import Algorithm, Learner


class LanguageEntry(NamedTuple):
    """An algorithm: the configuration it starts from, its learner, and the loop that feeds it."""

    config: Any
    learner: Any  # config, setting -> Learner
    loop: Any  # config, task, learner -> Algorithm
    policy: Any = lambda learnt: learnt.params  # LearnerState -> parameters of who answers


def _prompted(config: lm_grpo.Config, task: Task, learner: Learner) -> Algorithm:
    plan = Plan(
        num_prompts=config.num_prompts,
        group_size=config.group_size,
        shuffled=config.prompt_order == "shuffled",
        greedy=config.advantage == "greedy",
        stepwise=config.advantage == "stepwise",
        max_rounds=config.max_rounds,
    )
    return prompted(task, lagged(learner, config.staleness), plan)


LANGUAGE: dict[str, LanguageEntry] = {
    "lm_grpo": LanguageEntry(lm_grpo.Config(), lm_grpo.learner, _prompted),
    "lm_grpo_steps": LanguageEntry(
        lm_grpo.Config(advantage="stepwise"), lm_grpo.learner, _prompted
    ),
    "lm_iterative_grpo": LanguageEntry(
        lm_grpo.Config(reference_period=16), lm_grpo.learner, _prompted
    ),
    "lm_dr_grpo": LanguageEntry(
        lm_grpo.Config(advantage="centred", reduction="fixed_length", kl_coef=None),
        lm_grpo.learner,
        _prompted,
    ),
    # `overlong_cache` is for tasks that leave more tokens than right answers need.
    "lm_dapo": LanguageEntry(
        lm_grpo.Config(clip_eps_high=0.28, reduction="token_mean", kl_coef=None, max_rounds=4),
        lm_grpo.learner,
        _prompted,
    ),
    # The paper's window of 3e-4 and 4e-4 is for a thousand tokens: a mean over n of them
    # varies by 1/√n.
    "lm_gspo": LanguageEntry(
        lm_grpo.Config(ratio="sequence", clip_eps=0.03, clip_eps_high=0.04, kl_coef=None),
        lm_grpo.learner,
        _prompted,
    ),
    "lm_gspo_token": LanguageEntry(
        lm_grpo.Config(ratio="sequence_token", clip_eps=0.03, clip_eps_high=0.04, kl_coef=None),
        lm_grpo.learner,
        _prompted,
    ),
    "lm_dcpo": LanguageEntry(
        lm_grpo.Config(
            advantage="smoothed",
            bounds="dynamic",
            clip_eps=0.16,
            clip_eps_high=0.2,
            dual_clip=10.0,
            reduction="only_token_mean",
            kl_coef=None,
        ),
        lm_grpo.learner,
        _prompted,
    ),
    "lm_cispo": LanguageEntry(
        lm_grpo.Config(
            surrogate="cispo", clip_eps=1.0, clip_eps_high=4.0, reduction="token_mean", kl_coef=None
        ),
        lm_grpo.learner,
        _prompted,
    ),
    "lm_rloo": LanguageEntry(
        lm_grpo.Config(
            advantage="leave_one_out",
            surrogate="policy_gradient",
            reduction="sequence_sum",
            kl_coef=0.05,
            kl="reward",
            num_minibatches=1,
        ),
        lm_grpo.learner,
        _prompted,
    ),
    "lm_opo": LanguageEntry(
        lm_grpo.Config(
            advantage="length_weighted",
            surrogate="policy_gradient",
            reduction="sequence_sum",
            kl_coef=None,
            num_minibatches=1,
        ),
        lm_grpo.learner,
        _prompted,
    ),
    "lm_reinforce_pp": LanguageEntry(
        lm_grpo.Config(
            advantage="whitened_return", reduction="token_mean", kl_coef=0.01, kl="reward"
        ),
        lm_grpo.learner,
        _prompted,
    ),
    "lm_reinforce_pp_baseline": LanguageEntry(
        lm_grpo.Config(advantage="whitened_centred", reduction="token_mean", kl_coef=0.01, kl="k2"),
        lm_grpo.learner,
        _prompted,
    ),
    "lm_remax": LanguageEntry(
        lm_grpo.Config(
            advantage="greedy",
            surrogate="policy_gradient",
            reduction="sequence_sum",
            kl_coef=None,
            num_minibatches=1,
        ),
        lm_grpo.learner,
        _prompted,
    ),
}


def language_entry(config: Any) -> LanguageEntry:
    """The entry that a name or a configuration belongs to."""
    if isinstance(config, str):
        if config not in LANGUAGE:
            raise ValueError(unknown("algorithm", config, LANGUAGE))
        return LANGUAGE[config]
    for found in LANGUAGE.values():
        if type(found.config) is type(config):
            return found
    raise TypeError(f"config must be an algorithm's name or configuration, not {config!r}")


def language_config(name: str, **changes: Any) -> Any:
    """The configuration of an algorithm, with changes."""
    return replace(language_entry(name).config, **changes)


def build_language(config: Any, setting: LanguageSetting) -> tuple[Algorithm, Learner]:
    """The algorithm of a configuration, and its learner, which acts by what it has learnt last."""
    entry = language_entry(config)
    learner = entry.learner(config, setting)
    return entry.loop(config, setting.task, learner), learner
