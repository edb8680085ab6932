"""Tasks of language: verifiable ones as functions of arrays, and combinators of them."""

import inspect
from collections.abc import Callable
from typing import Any

from jaxrl.names import unknown
from jaxrl.tasks.addition import addition
from jaxrl.tasks.characters import characters
from jaxrl.tasks.combinators import ended, learned, noisy, overlong, weighted, written_with
from jaxrl.tasks.countdown import countdown
from jaxrl.tasks.examples import taught
from jaxrl.tasks.padding import (
    prompt_texts,
    prompts_from_text,
    prompts_of,
    response_from_text,
    response_of,
    response_texts,
)
from jaxrl.tasks.questions import EASY, HARD, ORDINARY, Answer, Question, exact_match
from jaxrl.tasks.random_walks import random_walks
from jaxrl.tasks.sorting import sorting
from jaxrl.tasks.spelling import spelled
from jaxrl.text import Task

__all__ = [
    "EASY",
    "HARD",
    "ORDINARY",
    "TASKS",
    "Answer",
    "Question",
    "addition",
    "characters",
    "countdown",
    "ended",
    "exact_match",
    "learned",
    "make_task",
    "noisy",
    "overlong",
    "prompt_texts",
    "prompts_from_text",
    "prompts_of",
    "random_walks",
    "response_from_text",
    "response_of",
    "response_texts",
    "sorting",
    "spelled",
    "taught",
    "weighted",
    "written_with",
]

TASKS: dict[str, Callable[..., Task]] = {
    "addition": addition,
    "countdown": countdown,
    "random_walks": random_walks,
    "sorting": sorting,
}
"""Each task by name; its parameters are those of the function."""


def make_task(name: str, /, **params: Any) -> Task:
    """A task by name.

    Args:
      params: those of the function of that name.
    """
    if name not in TASKS:
        raise ValueError(unknown("task", name, TASKS))
    known = inspect.signature(TASKS[name]).parameters
    for param in params:
        if param not in known:
            raise ValueError(unknown("parameter", param, known, f"of {name}"))
    return TASKS[name](**params)
