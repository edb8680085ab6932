"""Models from elsewhere: a folder of Llama, Qwen2 or Qwen3, as transformers has it, to begin with.

A run that begins with one keeps the description and the tokeniser in its own folder, so that who
goes on with it, or asks it, needs the other folder no more; a run that begins with that run's
policy takes them over.
"""

import functools
from pathlib import Path
from typing import Any

import jax

from jaxrl.networks.language import language_model
from jaxrl.runtime import tokenizer_files, weights
from jaxrl.tasks import make_task, spelled
from jaxrl.text import LanguageModel, Task

TOKENIZER = "tokenizer.json"
FILES = (weights.CONFIG, TOKENIZER, "tokenizer_config.json")
"""What a run keeps of the folder, weights apart."""

SIZES = ("num_layers", "width", "num_heads")
"""Fields that two models must share for the parameters of one to be those of the other."""


def origin(folder: Any) -> str | None:
    """The folder, if it describes a model: one of weights, or of a run that began with some."""
    return folder if isinstance(folder, str) and (Path(folder) / weights.CONFIG).is_file() else None


def sizes(folder: str) -> dict[str, int]:
    """The fields of a configuration that the model decides."""
    shape = weights.described(folder)[0]
    return {name: getattr(shape, name) for name in SIZES}


def model(folder: str) -> LanguageModel:
    """The model, without its weights."""
    shape = weights.described(folder)[0]
    try:
        return language_model(shape)
    except ValueError as error:
        raise ValueError(f"{Path(folder) / weights.CONFIG} describes no model: {error}") from error


def texts(folder: str) -> dict[str, str]:
    """What a run keeps of the folder: contents by names."""
    files = {name: Path(folder) / name for name in FILES}
    return {name: file.read_text("utf-8") for name, file in files.items() if file.is_file()}


def task(name: str, params: dict[str, Any], folder: str) -> Task:
    """A task by its name, in the tokens of the model; a ValueError where they do not go together.

    Without a tokeniser in the folder its tokens must be as many as the task's own are.
    """
    return _task(name, tuple(params.items()), Path(folder).resolve())


@functools.lru_cache(maxsize=8)
def _task(name: str, params: tuple[tuple[str, Any], ...], folder: Path) -> Task:
    """Made once for all functions of a run; what is kept must be no tracer."""
    shape = weights.described(folder)[0]
    with jax.ensure_compile_time_eval():
        made = make_task(name, **dict(params))
        size = shape.vocabulary_size
        if (folder / TOKENIZER).is_file():
            made = spelled(made, _tokenizer(folder, size))
        elif made.vocabulary.size != size:
            raise ValueError(
                f"start must have a {TOKENIZER}, or the {made.vocabulary.size} tokens of {name}, "
                f"not {size}: {folder}"
            )
    longest = len(made.train.token) + made.num_tokens
    if longest > shape.context:
        raise ValueError(
            f"start must have a context of the {longest} tokens at least of prompts and responses "
            f"of {name}, not of {shape.context}: {folder}"
        )
    return made


def _tokenizer(folder: Path, size: int) -> Any:
    """The tokeniser, with as many tokens as the model tells apart."""
    found = tokenizer_files.load(folder)
    if (num := found.vocabulary.size) > size:
        raise ValueError(
            f"start must have a tokenizer of the {size} tokens of its model, not {num}: {folder}"
        )
    return found._replace(vocabulary=found.vocabulary._replace(size=size))
