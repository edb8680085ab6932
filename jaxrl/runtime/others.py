"""What training takes from elsewhere: policies to begin with or to imitate, and rewards."""

import functools
import shlex
from pathlib import Path

import jax
import jax.numpy as jnp

from jaxrl.algorithms import lm_reward
from jaxrl.families import language
from jaxrl.families.headed import reward_model
from jaxrl.families.language import LanguageSetting
from jaxrl.families.settings import Expert
from jaxrl.language_zoo import language_entry
from jaxrl.runtime import datasets, functions, pretrained, weights
from jaxrl.runtime.folder import CONFIG
from jaxrl.runtime.functions import Part
from jaxrl.runtime.host_rewards import HostReward, host_reward, in_jit
from jaxrl.runtime.load import Run, load
from jaxrl.runtime.record import Record
from jaxrl.runtime.sides import ENVIRONMENTS, LANGUAGES, side
from jaxrl.tasks import weighted
from jaxrl.tasks.questions import Reward
from jaxrl.text import Prompts, Response, Task, take
from jaxrl.train_imitation import policy
from jaxrl.types import Array, PyTree, Transition

NUM_TRIED = 4
"""Demonstrations on which a function is tried before training begins."""


def start(record: Record) -> tuple[PyTree, ...]:
    """What `Training.begin` takes besides its key: parameters of weights, or of a run's policy.

    The latter are those of its best seed, whatever the seed that begins with them.
    """
    if record.start is None:
        return ()
    if not (Path(record.start) / CONFIG).is_file():
        if pretrained.origin(record.start) is None:
            raise ValueError(
                f"start must be the folder of a run or of weights, not {record.start!r}: it has "
                f"neither {CONFIG} nor {weights.CONFIG}"
            )
        _check_sizes(record, pretrained.sizes(record.start))
        return (weights.load(record.start).params,)
    run = _run("start", record.start, record.world())
    _check_sizes(record, {name: getattr(run.config, name) for name in pretrained.SIZES})
    return (language_entry(run.algorithm).policy(run.learner_state()),)


def _check_sizes(record: Record, sizes: dict[str, int]) -> None:
    for name, theirs in sizes.items():
        if (ours := getattr(record.config, name)) != theirs:
            raise ValueError(f"{name} must be {theirs} as in {record.start!r}, not {ours}")


def judged(task: Task, reward: str | tuple[str, ...], called: bool) -> Task:
    """The task with a weighted sum of rewards for its judge, which are opened when first asked.

    So whoever answers, and learns nothing, opens no other run, and runs no function.

    Args:
      called: whether functions may be run.
    """

    def judge(prompts: Prompts, response: Response) -> Array:
        rewards = {
            part.text: (opened(task, part, called), part.weight) for part in functions.parts(reward)
        }
        return weighted(task, rewards).reward(prompts, response)

    return task._replace(judge=judge)


def opened(task: Task, part: Part, called: bool) -> Reward:
    """One of the rewards, of arrays."""
    if part.is_function:
        return in_jit(function(task, part, called))
    with jax.ensure_compile_time_eval():  # of parameters that are kept, none is a tracer
        run = judgement(part.path, task)
        params = run.learner_state().params
    setting = LanguageSetting(task, 1, **run.record.options())
    return reward_model(language.model(run.config, setting), params)


def function(task: Task, part: Part, called: bool) -> HostReward:
    """A function of a file as a reward on the host."""
    if not called:
        raise ValueError(
            f"reward must be named on the command line to be run: {shlex.join(part.option)}"
        )
    assert task.tokenizer is not None
    return host_reward({part.path: (functions.load(part.path), 1.0)}, task.tokenizer)


def judgement(path: str, task: Task) -> Run:
    """A run of a reward model."""
    run = _run("reward", path, task)
    if not isinstance(run.config, lm_reward.Config):
        raise ValueError(f"reward must be a run of a reward model, not {run.algorithm}: {path}")
    run.learner_state()  # raises where there is none yet
    return run


def check(record: Record, begins: bool = True) -> None:
    """Whether other runs are there, and of use: one sentence where they are not.

    Args:
      begins: whether it is to begin, and not to go on from a checkpoint.
    """
    if record.expert is not None:
        _teacher(record.expert, record.env)
    if side(record.config) is ENVIRONMENTS:
        return
    if begins:
        start(record)
    task = record.lessons()
    for part in functions.parts(record.reward):
        if part.is_function:
            asked = take(task.train, jnp.arange(min(len(task.train.index), NUM_TRIED)))
            function(task, part, record.called)(asked, task.demonstration(asked))
        else:
            judgement(part.path, task)


def expert(record: Record) -> Expert | Transition:
    """Whom a run imitates: the policy of another one's best seed, or the steps of a file.

    The policy is opened when it is first asked, which only who learns does.
    """
    if record.expert is None:
        assert record.dataset is not None
        return datasets.demonstrations(record.dataset, record.env, record.env_params)
    opened = functools.cache(functools.partial(_teacher, record.expert, record.env))

    def act(obs: PyTree) -> Array:
        with jax.ensure_compile_time_eval():  # of parameters that are kept, none is a tracer
            ask = opened()
        return ask(obs)

    return act


def _teacher(path: str, env: str) -> Expert:
    run = load(path)
    if run.env_name != env:
        raise ValueError(f"expert must be a run on {env}, not on {run.env_name}: {path}")
    try:
        return policy(run.config, run.learner_state(), run.env)
    except ValueError as error:
        raise ValueError(f"expert cannot be asked: {error}") from error


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
