"""The two sides, environments and language: all in which their runs differ is decided here."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax

from jaxrl import zoo
from jaxrl.envs import make
from jaxrl.families.language import LanguageConfig
from jaxrl.families.settings import in_sequences
from jaxrl.language_zoo import LANGUAGE, language_entry
from jaxrl.names import unknown
from jaxrl.tasks import TASKS, make_task, prompt_texts
from jaxrl.text import Task
from jaxrl.train import Training, make_train
from jaxrl.train_imitation import make_imitation
from jaxrl.train_language import DEFAULT_RESPONSES, make_language_train
from jaxrl.types import Env

ONE_THREAD = 2**20
"""Up to this many multiplications in a layer, a second thread costs more than it brings."""


class Words(NamedTuple):
    """How a side's runs are told of."""

    steps: str
    batch: Callable[[Any], str]  # config -> what an update is made of
    episodes: str
    starts: str  # of episodes
    use: Callable[[Any], str]  # world -> a line that makes use of a run
    more: str  # the verbs that do, in Markdown, where {0} is the folder
    next: tuple[str, ...]  # verbs that a run is for


class Side(NamedTuple):
    """What is trained on, how, and in which words that is told."""

    settings: Callable[[str, str], tuple[Any, int]]  # algorithm, env -> configuration, budget
    world: Callable[..., Any]  # name, **params -> an environment, or a task
    train: Callable[..., Training]  # config, world, total_steps, evaluate_every, ...
    one_thread: Callable[[Any], bool]  # whether a second one would not help a configuration
    words: Words


def _few_products(config: Any) -> bool:
    """Small networks; recurrent ones on one thread would keep what they should free."""
    if in_sequences(config):
        return False
    rows = getattr(config, "batch_size", None) or (
        config.num_envs * config.num_steps // getattr(config, "num_minibatches", 1)
    )
    return rows * max(getattr(config, "hidden_sizes", ()), default=1) ** 2 <= ONE_THREAD


def _task(name: Any, **params: Any) -> Task:
    return _named(name, tuple(params.items())) if isinstance(name, str) else name


@functools.lru_cache(maxsize=8)
def _named(name: str, params: tuple[tuple[str, Any], ...]) -> Task:
    """Made once for all functions of a run; what is kept must be no tracer."""
    with jax.ensure_compile_time_eval():
        return make_task(name, **dict(params))


def _environment(name: Any, **params: Any) -> Env:
    if isinstance(name, str) and name in TASKS:
        raise ValueError(f"env must be an environment, not {name!r}: that is a task of lm_ methods")
    return make(name, **params)


def _trained(config: Any, env: Any, *budget: Any, expert: Any = None, **options: Any) -> Training:
    if expert is None:
        return make_train(config, env, *budget, **options)
    return make_imitation(config, env, expert, *budget, **options)


ENVIRONMENTS = Side(
    zoo.tuned,
    _environment,
    _trained,
    _few_products,
    Words(
        "environment steps",
        lambda config: f"{config.num_envs} environments",
        "episodes",
        "fresh starts",
        lambda env: "action = run.act(obs)",
        "`jaxrl eval {0}` plays more episodes, `jaxrl render {0}` draws some.",
        ("render", "plot", "eval"),
    ),
)

LANGUAGES = Side(
    lambda algorithm, task: (language_entry(algorithm).config, DEFAULT_RESPONSES),
    _task,
    make_language_train,
    lambda config: False,  # batched products want both
    Words(
        "responses",
        lambda config: f"{config.num_prompts} prompts × {config.group_size} responses",
        "prompts",
        "prompts held out",
        lambda task: f"text = run.answer({prompt_texts(task.tokenizer, task.test)[0]!r})",
        "`jaxrl eval {0}` asks them again; with `--stochastic` answers are drawn.",
        ("plot", "eval"),
    ),
)


def side(config: Any) -> Side:
    """The side that an algorithm's name or its configuration is on."""
    if not isinstance(config, str):
        return LANGUAGES if isinstance(config, LanguageConfig) else ENVIRONMENTS
    if config not in (known := [*zoo.ZOO, *LANGUAGE]):
        raise ValueError(unknown("algorithm", config, known))
    return LANGUAGES if config in LANGUAGE else ENVIRONMENTS
