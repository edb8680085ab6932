"""What the training of a language model takes from other runs: a policy, and a reward model."""

import jax

from jaxrl.algorithms import lm_reward
from jaxrl.families import language
from jaxrl.families.headed import reward_model
from jaxrl.families.language import LanguageSetting
from jaxrl.language_zoo import language_entry
from jaxrl.runtime.load import Run, load
from jaxrl.runtime.record import Record
from jaxrl.runtime.sides import LANGUAGES
from jaxrl.text import Prompts, Response, Task
from jaxrl.types import Array, PyTree

SIZES = ("num_layers", "width", "num_heads")
"""Fields that two models must share for the parameters of one to be those of the other."""


def start(record: Record) -> tuple[PyTree, ...]:
    """What `Training.begin` takes besides its key: the parameters of the policy of another run.

    They are those of its best seed, whatever the seed that begins with them.
    """
    if record.start is None:
        return ()
    run = _run("start", record.start, record.world())
    for name in SIZES:
        theirs, ours = (getattr(config, name) for config in (run.config, record.config))
        if ours != theirs:
            raise ValueError(f"{name} must be {theirs} as in {record.start!r}, not {ours}")
    return (language_entry(run.algorithm).policy(run.learner_state()),)


def judged(task: Task, path: str) -> Task:
    """The task with the reward model of a run for its judge, which is read when first asked.

    So whoever answers, and learns nothing, does not open that run.
    """

    def judge(prompts: Prompts, response: Response) -> Array:
        with jax.ensure_compile_time_eval():  # of parameters that are kept, none is a tracer
            config, params = judgement(path, task)
        speaker = language.model(config, LanguageSetting(task, 1))
        return reward_model(speaker, params)(prompts, response)

    return task._replace(judge=judge)


def judgement(path: str, task: Task) -> tuple[lm_reward.Config, PyTree]:
    """The configuration and the parameters of a run's reward model."""
    run = _run("reward", path, task)
    if not isinstance(run.config, lm_reward.Config):
        raise ValueError(f"reward must be a run of a reward model, not {run.algorithm}: {path}")
    return run.config, run.learner_state().params


def check(record: Record, begins: bool = True) -> None:
    """Whether other runs are there, and of use: one sentence where they are not.

    Args:
      begins: whether it is to begin, and not to go on from a checkpoint.
    """
    if begins:
        start(record)
    if record.reward is not None:
        judgement(record.reward, record.world())


def _run(name: str, path: str, task: Task) -> Run:
    """A run of a language model whose tokens are the task's."""
    run = load(path)
    if run.side is not LANGUAGES:
        raise ValueError(
            f"{name} must be a run of a language model, not of {run.algorithm}: {path}"
        )
    if tokens(run.env) != tokens(task):
        raise ValueError(f"{name} must have the task's tokens, not those of {run.env_name}: {path}")
    return run


def tokens(task: Task) -> list[str]:
    """Each token of a task as text."""
    size, tokenizer = task.vocabulary.size, task.tokenizer
    return [str(i) if tokenizer is None else tokenizer.decode([i]) for i in range(size)]
