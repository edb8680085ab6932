"""Reward models: a language model with a number for a head, from comparisons of responses.

    L = mean over prompts of ℓ(s₁, …, s_K; R₁, …, R_K)
    of a pair: ℓ = −log σ(s_w − s_l − m (R_w − R_l)) + c (s_w + s_l)²

Of a group of responses the best and the worst are compared, or all of it as its pairs or as its
ranking (Plackett-Luce, for rewards that differ: equal ones are ranked as they stand). They are
sampled once from the start, or anew for each update (`online`), and ranked by the task's reward; or
a task is `taught` by examples. What is learnt becomes another task's `judge` by `reward_model`.
Reference: Ouyang et al. 2022, arXiv:2203.02155, section 3.5; Christiano et al. 2017,
arXiv:1706.03741.
"""

from collections.abc import Callable
from typing import Literal

import jax
import jax.numpy as jnp

from jaxrl.config import config, demand
from jaxrl.families import language, settings
from jaxrl.families.headed import headed
from jaxrl.families.language import LanguageConfig, LanguageSetting, begun, model, text_of, voice
from jaxrl.families.minibatch import Passes
from jaxrl.families.preference import Loss, Parts, Policies, Said, preference_learner
from jaxrl.families.warm_up import warmed
from jaxrl.formulas import preference
from jaxrl.networks.generation import row_keys
from jaxrl.numerics import divide
from jaxrl.text import take, unequal
from jaxrl.types import Array, Learner, LearnerState, PyTree


@config
class Config(LanguageConfig):
    """A reward model."""

    group_size: int = 4
    num_minibatches: int = 1
    online: bool = False
    ranking: Literal["pair", "all_pairs", "plackett_luce"] = "pair"
    margin: float = 0.0
    centre: float = 0.0


def learner(config: Config, setting: LanguageSetting) -> Learner:
    """The learner of a configuration."""
    return preference_learner(parts(config, setting))


def parts(config: Config, setting: LanguageSetting) -> Parts:
    """The slots of a configuration."""
    language.check(config)
    holds = config.group_size > 1
    demand(config, holds, "group_size", "be at least 2 to compare responses")
    task, speaker = setting.task, model(config, setting)
    warm = warmed(voice(speaker, task, 1.0), task, config)
    passes, judge = Passes(config.num_epochs, config.num_minibatches), headed(speaker, task)

    def init(key: Array, params: PyTree) -> tuple[PyTree, PyTree]:
        k_start, k_head = jax.random.split(key)
        params = begun(k_start, warm.init, params)
        return judge.init(k_head, params), params

    return Parts(
        voice=voice(speaker, task, config.temperature, config.early_stop),
        policies=Policies(init, lambda state: state.target),
        score=judge.score,
        loss=loss(config),
        implied=lambda said: said.score,
        optimizer=settings.optimizer(config, setting, passes.num_steps),
        passes=passes,
        num_microbatches=config.num_microbatches,
        pairs=config.ranking == "pair",
    )


def loss(config: Config) -> Loss:
    """The loss of each prompt."""

    def pair(said: Said) -> Array:
        margin = config.margin * (said.reward[:, 0] - said.reward[:, 1])
        chosen, rejected = said.score[:, 0], said.score[:, 1]
        return preference.pairwise_reward_loss(chosen, rejected, margin, config.centre)

    return {
        "pair": pair,
        "all_pairs": lambda said: preference.all_pairs_loss(said.score, said.reward),
        "plackett_luce": lambda said: preference.plackett_luce_loss(said.score, said.reward),
    }[config.ranking]


def examine(
    config: Config, setting: LanguageSetting
) -> Callable[[Array, Learner, LearnerState, int], tuple[Array, Array, Array]]:
    """Accuracy on fresh responses of the start to test prompts, in place of a reward."""
    task, judge = setting.task, headed(model(config, setting), setting.task)

    def examined(
        key: Array, learner: Learner, learnt: LearnerState, num: int
    ) -> tuple[Array, Array, Array]:
        prompts = take(task.test, jnp.arange(num))
        noise = row_keys(key, num, config.group_size)
        response = learner.act(learnt, prompts, noise, ())[0]
        score = judge.score(learnt.params, text_of(prompts, response))
        reward = task.reward(prompts, response)
        right, told = accuracy(score, reward), unequal(reward)
        mean = divide(jnp.where(told, right, 0.0).sum(), told.sum(dtype=jnp.float32))
        # A prompt with nothing to compare counts as the others do on average.
        return jnp.where(told, right, mean), jnp.full(num, config.group_size), told

    return examined


def accuracy(score: Array, reward: Array) -> Array:
    """Share of the pairs of unequal rewards that scores [..., K] put in their order, [...]."""
    better = reward[..., :, None] > reward[..., None, :]
    right = better & (score[..., :, None] > score[..., None, :])
    count = [x.sum((-2, -1), dtype=jnp.float32) for x in (right, better)]
    return divide(*count)
