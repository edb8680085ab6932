"""Supervised fine-tuning: imitation of demonstrations, whose prompts are only read.

    L = Σ −log π(oₜ) / Σ |o|

A task's demonstrations, or the examples that it is `taught` by. Its reward is that of the
demonstrations; an evaluation answers the test prompts greedily.
Reference: Ouyang et al. 2022, arXiv:2203.02155, section 3.1.
"""

import jax.numpy as jnp

from jaxrl.config import config, demand
from jaxrl.families import language, settings
from jaxrl.families.language import (
    LanguageConfig,
    LanguageSetting,
    Voice,
    begun,
    improved,
    model,
    speaking,
    text_of,
    voice,
)
from jaxrl.families.minibatch import Passes
from jaxrl.families.warm_up import imitation, warmed
from jaxrl.text import Answers, Task
from jaxrl.types import Array, Learner, LearnerState, Metrics, PyTree


@config
class Config(LanguageConfig):
    """Supervised fine-tuning."""

    num_prompts: int = 64
    group_size: int = 1
    num_minibatches: int = 1
    lr: float = 1e-3


def learner(config: Config, setting: LanguageSetting) -> Learner:
    """The learner of a configuration."""
    language.check(config)
    demand(config, config.group_size == 1, "group_size", "be the 1 demonstration")
    speaker, task = model(config, setting), setting.task
    spoken = voice(speaker, task, config.temperature, config.early_stop)
    plain = voice(speaker, task, 1.0)  # what is imitated is the distribution itself
    warm = warmed(plain, task, config)
    passes = Passes(config.num_epochs, config.num_minibatches)
    optimizer = settings.optimizer(config, setting, passes.num_steps)
    reported = imitation(plain, config.num_microbatches)

    def init(key: Array, params: PyTree) -> LearnerState:
        params = begun(key, warm.init, params)
        return LearnerState(params, optimizer.init(params), jnp.int32(0))

    def update(key: Array, state: LearnerState, data: Answers) -> tuple[LearnerState, Metrics]:
        text = text_of(data.prompts, data.response)
        return improved(key, state, reported, optimizer, text, passes)

    return speaking(spoken, lambda state: state.params, init, update)


def demonstration_loss(spoken: Voice, params: PyTree, task: Task) -> Array:
    """The loss of the demonstrations of the test prompts."""
    text = text_of(task.test, task.demonstration(task.test))
    return imitation(spoken).loss(params, text)[0]
