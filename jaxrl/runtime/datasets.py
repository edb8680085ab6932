"""Data sets: what a buffer remembers as one file and back, and examples of text for a task."""

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxrl.data import Buffer
from jaxrl.data.conform import conform, named
from jaxrl.envs import make
from jaxrl.runtime import tensors
from jaxrl.runtime.text_files import examples
from jaxrl.tasks import taught
from jaxrl.text import Task
from jaxrl.train import row
from jaxrl.train_imitation import shown
from jaxrl.types import PyTree, Transition


def save(path: Path | str, buffer: Buffer, state: PyTree) -> None:
    """Write all rows that may be drawn, [T, N, ...], in the order of time; whole or not at all."""
    first, count = buffer.span(state)
    places = buffer.after(first, jnp.arange(int(count)))
    if int(count) == 0:
        raise ValueError("state must hold rows that may be drawn, not none")
    if lost := int((~buffer.whole(state, places)).sum()):
        raise ValueError(f"state must hold each row's next observation, not lack those of {lost}")
    data = buffer.read(state, places)
    tensors.save(path, {name: np.asarray(x) for name, x in named(data).items()}, {})


def load(path: Path | str, example: Transition) -> Transition:
    """The rows of a file, [T, N, ...], for `jaxrl.data.dataset`.

    Args:
      example: one row as arrays or their shapes, as `Buffer.init` takes it; the file must fit it.
    """
    return conform(tensors.load(path)[0], example, path)


def taught_by(task: Task, path: str) -> Task:
    """A task whose prompts to learn from, and what is said to them, are those of a file."""
    assert task.tokenizer is not None
    with jax.ensure_compile_time_eval():  # what is kept must be no tracer
        found = examples(path, task.tokenizer, len(task.train.token), task.num_tokens)
        return taught(task, *found)


def demonstrations(path: str, env: str, env_params: dict[str, Any]) -> Transition:
    """The steps of a file, whoever took them in an environment."""
    return _read(path, shown(make(env, **env_params)))


def rows(path: Path | str, config: Any, env: Any, env_params: dict[str, Any]) -> Transition:
    """The rows of a file as a configuration and an environment ask for them."""
    return _read(path, row(config, env, env_params))


def _read(path: Path | str, example: Transition) -> Transition:
    try:
        return load(path, example)
    except OSError as error:
        raise ValueError(f"dataset must be a readable file, not {str(path)!r}") from error
