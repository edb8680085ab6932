"""Training and evaluation of language models as pure functions: key -> (state, metrics)."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from jaxrl import checks
from jaxrl.config import validate
from jaxrl.families.language import LanguageSetting
from jaxrl.language_zoo import build_language, language_entry
from jaxrl.tasks import make_task
from jaxrl.text import LanguageModel, Task, lengths, take
from jaxrl.train import Evaluation, Training, whole_updates
from jaxrl.types import Array, Learner, LearnerState
from jaxrl.zoo import Budget

DEFAULT_RESPONSES = 51_200
"""The budget of a training that names none."""


def make_language_train(
    config: Any,
    task: Task | str,
    total_steps: int = DEFAULT_RESPONSES,
    evaluate_every: int | None = None,
    *,
    task_params: dict[str, Any] | None = None,
    num_eval_episodes: int | None = None,
    model: LanguageModel | None = None,
    optimizer: Any = None,
) -> Training:
    """A pure function key -> (state, metrics) that trains a language model on a task's prompts.

    A step is a response that is learnt from. A fresh model is prepared by `demonstration_steps` of
    imitation; to start from parameters instead, give the training as its state what its
    `algorithm.init(key, params)` makes of them.

    Args:
      config: an algorithm's configuration, or its name.
      task: a task, or its name, with `task_params` for its parameters.
      total_steps: the budget in responses, rounded down to whole updates.
      evaluate_every: steps between two greedy evaluations; None for none.
      num_eval_episodes: prompts of the task's test in each evaluation; None for all of them.
      model: in place of the transformer that the configuration asks for.
      optimizer: (config, schedule) -> an optax transformation.
    """
    config = language_entry(config).config if isinstance(config, str) else config
    validate(config)
    task = make_task(task, **(task_params or {})) if isinstance(task, str) else task
    num_tests = len(task.test.index)
    num_eval = num_tests if num_eval_episodes is None else num_eval_episodes
    every = 1 if evaluate_every is None else evaluate_every
    checks.at_least(1, total_steps=total_steps, evaluate_every=every, num_eval_episodes=num_eval)
    if num_eval > num_tests:
        raise ValueError(
            f"num_eval_episodes must be at most the task's {num_tests} test prompts, not {num_eval}"
        )
    per_update = config.num_prompts * config.group_size
    num_updates = whole_updates(Budget(per_update, "num_prompts × group_size"), total_steps)
    setting = LanguageSetting(task, num_updates, model, optimizer)
    algorithm, learner = build_language(config, setting)
    every = None if evaluate_every is None else max(1, evaluate_every // per_update)
    run_of = (num_updates, per_update, every, num_eval)
    play = examination(config, setting)
    return Training(algorithm, learner, task, *run_of, play=play, num_tests=num_tests)


def examination(config: Any, setting: LanguageSetting) -> Callable[..., Evaluation]:
    """How what is learnt is evaluated: by an examination of the algorithm's own, or `examine`."""
    own = language_entry(config).examine
    if own is None:
        return examine
    examined = own(config, setting)

    def play(
        key: Array,
        task: Task,
        learner: Learner,
        learnt: LearnerState,
        num_episodes: int,
        greedy: bool = True,
    ) -> Evaluation:
        del task, greedy  # the setting's; an algorithm's own examination has but one way
        return Evaluation(*examined(key, learner, learnt, num_episodes))

    return play


def examine(
    key: Array,
    task: Task,
    learner: Learner,
    learnt: LearnerState,
    num_episodes: int,
    greedy: bool = True,
) -> Evaluation:
    """One response to each of the first test prompts; its return is its reward."""
    prompts = take(task.test, jnp.arange(num_episodes))
    noise = None if greedy else learner.noise(key, (num_episodes, 1))
    response = learner.act(learnt, prompts, noise, ())[0]
    reward = task.reward(prompts, response).astype(jnp.float32)
    numbers = reward, lengths(response), response.ended
    return Evaluation(*jax.tree.map(lambda x: x[:, 0], numbers))
