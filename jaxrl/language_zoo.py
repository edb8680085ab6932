"""The zoo of language: every algorithm that trains a language model, by its name."""

from typing import Any, NamedTuple

import jax

from jaxrl.algorithms import lm_dpo, lm_grpo, lm_ppo, lm_reward, lm_sft
from jaxrl.config import replace, title
from jaxrl.families.lagged import lagged
from jaxrl.families.language import LanguageConfig, LanguageSetting
from jaxrl.families.shown import kept, shown
from jaxrl.loops.prompted import Plan, prompted
from jaxrl.names import unknown
from jaxrl.text import Task
from jaxrl.types import Algorithm, Learner, LearnerState, PyTree


class LanguageEntry(NamedTuple):
    """An algorithm: the configuration it starts from, its learner, and the loop that feeds it."""

    config: Any
    learner: Any  # config, setting -> Learner
    loop: Any  # config, task, learner -> Algorithm
    examine: Any = None  # config, setting -> how it is evaluated, as by `lm_reward.examine`; None
    # for the reward of greedy responses
    policy: Any = lambda learnt: learnt.params  # LearnerState -> parameters of who answers


def _target(learnt: LearnerState) -> PyTree:
    return learnt.target


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


def _plan(config: LanguageConfig) -> Plan:
    return Plan(config.num_prompts, config.group_size, config.prompt_order == "shuffled")


def _imitated(config: lm_sft.Config, task: Task, learner: Learner) -> Algorithm:
    return prompted(task, shown(learner, task.demonstration), _plan(config))


def _told(config: lm_ppo.Config, task: Task, learner: Learner) -> Algorithm:
    return prompted(task, learner, _plan(config))


def _compared(config: lm_dpo.Config | lm_reward.Config, task: Task, learner: Learner) -> Algorithm:
    if task.shown is not None:
        size = jax.eval_shape(task.shown, task.train).ended.shape[1]
        if size != config.group_size:
            raise ValueError(
                f"{title(config)}.group_size must be the {size} responses that each prompt comes "
                f"with, not {config.group_size}"
            )
        learner = shown(learner, task.shown)
    elif not config.online:
        learner = kept(learner, task.train, config.group_size, config.num_prompts)
    return prompted(task, learner, _plan(config))


def compares(config: Any) -> bool:
    """Whether a configuration learns from responses that are compared."""
    return isinstance(config, lm_dpo.Config | lm_reward.Config)


def learns_from_examples(algorithm: str) -> bool:
    """Whether an algorithm can learn from what others said, without a reward of its own words."""
    config = language_entry(algorithm).config
    return compares(config) or isinstance(config, lm_sft.Config)


def _group(config: lm_grpo.Config) -> LanguageEntry:
    return LanguageEntry(config, lm_grpo.learner, _prompted)


def _preference(config: lm_dpo.Config) -> LanguageEntry:
    return LanguageEntry(config, lm_dpo.learner, _compared)


def _reward(config: lm_reward.Config) -> LanguageEntry:
    return LanguageEntry(config, lm_reward.learner, _compared, lm_reward.examine, _target)


LANGUAGE: dict[str, LanguageEntry] = {
    "lm_sft": LanguageEntry(lm_sft.Config(), lm_sft.learner, _imitated),
    "lm_reward": _reward(lm_reward.Config()),
    "lm_reward_pairs": _reward(lm_reward.Config(ranking="all_pairs")),
    "lm_reward_ranks": _reward(lm_reward.Config(ranking="plackett_luce")),
    "lm_ppo": LanguageEntry(
        lm_ppo.Config(), lm_ppo.learner, _told, policy=lambda learnt: learnt.params["actor"]
    ),
    "lm_dpo": _preference(lm_dpo.Config()),
    "lm_cdpo": _preference(lm_dpo.Config(smoothing=0.1)),
    "lm_robust": _preference(lm_dpo.Config(loss="robust", smoothing=0.1)),
    "lm_ipo": _preference(lm_dpo.Config(loss="ipo")),
    "lm_hinge": _preference(lm_dpo.Config(loss="hinge")),
    "lm_simpo": _preference(lm_dpo.Config(loss="simpo", beta=2.0)),
    "lm_orpo": _preference(lm_dpo.Config(loss="orpo")),
    "lm_kto": _preference(lm_dpo.Config(loss="kto")),
    "lm_rrhf": _preference(lm_dpo.Config(loss="rrhf", beta=1.0)),
    "lm_grpo": _group(lm_grpo.Config()),
    "lm_grpo_steps": _group(lm_grpo.Config(advantage="stepwise")),
    "lm_iterative_grpo": _group(lm_grpo.Config(reference_period=16)),
    "lm_dr_grpo": _group(
        lm_grpo.Config(advantage="centred", reduction="fixed_length", kl_coef=None)
    ),
    # `overlong_cache` is for tasks that leave more tokens than right answers need.
    "lm_dapo": _group(
        lm_grpo.Config(clip_eps_high=0.28, reduction="token_mean", kl_coef=None, max_rounds=4)
    ),
    # The paper's window of 3e-4 and 4e-4 is for a thousand tokens: a mean over n of them
    # varies by 1/√n.
    "lm_gspo": _group(
        lm_grpo.Config(ratio="sequence", clip_eps=0.03, clip_eps_high=0.04, kl_coef=None)
    ),
    "lm_gspo_token": _group(
        lm_grpo.Config(ratio="sequence_token", clip_eps=0.03, clip_eps_high=0.04, kl_coef=None)
    ),
    "lm_dcpo": _group(
        lm_grpo.Config(
            advantage="smoothed",
            bounds="dynamic",
            clip_eps=0.16,
            clip_eps_high=0.2,
            dual_clip=10.0,
            reduction="only_token_mean",
            kl_coef=None,
        )
    ),
    "lm_cispo": _group(
        lm_grpo.Config(
            surrogate="cispo", clip_eps=1.0, clip_eps_high=4.0, reduction="token_mean", kl_coef=None
        )
    ),
    "lm_rloo": _group(
        lm_grpo.Config(
            advantage="leave_one_out",
            surrogate="policy_gradient",
            reduction="sequence_sum",
            kl_coef=0.05,
            kl="reward",
            num_minibatches=1,
        )
    ),
    "lm_opo": _group(
        lm_grpo.Config(
            advantage="length_weighted",
            surrogate="policy_gradient",
            reduction="sequence_sum",
            kl_coef=None,
            num_minibatches=1,
        )
    ),
    "lm_reinforce_pp": _group(
        lm_grpo.Config(
            advantage="whitened_return", reduction="token_mean", kl_coef=0.01, kl="reward"
        )
    ),
    "lm_reinforce_pp_baseline": _group(
        lm_grpo.Config(advantage="whitened_centred", reduction="token_mean", kl_coef=0.01, kl="k2")
    ),
    "lm_remax": _group(
        lm_grpo.Config(
            advantage="greedy",
            surrogate="policy_gradient",
            reduction="sequence_sum",
            kl_coef=None,
            num_minibatches=1,
        )
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
