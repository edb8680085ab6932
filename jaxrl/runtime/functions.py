"""Rewards as the command line names them: [WEIGHT*]FILE.py:function, or [WEIGHT*]RUN.

A function's file is run. It takes a `prompt` and a `response` and gives a number, or `prompts` and
`responses`, all of an update at once, and gives a number for each.
"""

import functools
import importlib.util
import inspect
import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from jaxrl.runtime.host_rewards import Judge, each, line

FUNCTION = re.compile(r"(.*\.py):(\w*)")


class Part(NamedTuple):
    """One of the rewards that are added up."""

    text: str  # all of it, as it was given
    weight: float
    path: str  # FILE.py:function, or a run's folder

    @property
    def is_function(self) -> bool:
        """Whether it is code that is run."""
        return FUNCTION.fullmatch(self.path) is not None

    @property
    def option(self) -> list[str]:
        """How the command line says it."""
        return ["--reward", self.text]


def part(text: str) -> Part:
    """What a text stands for."""
    before, star, path = text.rpartition("*")
    try:
        weight = float(before) if star else 1.0
    except ValueError:
        weight = math.nan
    if not path or path.endswith(".py") or not math.isfinite(weight):
        raise ValueError(
            "reward must be FILE.py:function or a run's folder, or WEIGHT* and one of these, not "
            f"{text!r}"
        )
    return Part(text, weight, path)


def parts(reward: str | tuple[str, ...] | None) -> list[Part]:
    """The rewards of a record."""
    texts = () if reward is None else (reward,) if isinstance(reward, str) else reward
    return [part(text) for text in texts]


def options(reward: str | tuple[str, ...] | None) -> list[str]:
    """The options without which no function is run, whatever a file says."""
    return [word for x in parts(reward) if x.is_function for word in x.option]


def load(path: str) -> Judge:
    """The function that FILE.py:function names; a ValueError says in one sentence what is wrong."""
    match = FUNCTION.fullmatch(path)
    assert match is not None
    file, name = Path(match[1]), match[2]
    if not file.is_file():
        raise ValueError(f"reward must be in a file that is there, not {path!r}")
    return _loaded(file.resolve(), file.stat().st_mtime_ns, name, path)


@functools.lru_cache(maxsize=8)
def _loaded(file: Path, changed: int, name: str, path: str) -> Judge:
    """Run once for all functions of a run, as long as the file is the same."""
    function = getattr(_module(file), name, None)
    if not callable(function):
        raise ValueError(f"reward must be a function of its file, and there is none: {path!r}")
    match tuple(_parameters(function)):
        case ("prompt", "response"):
            return each(function)
        case ("prompts", "responses"):
            return function
        case others:
            raise ValueError(
                "reward must be a function of (prompt, response) or (prompts, responses), not "
                f"of ({', '.join(others)}): {path!r}"
            )


def _module(file: Path) -> Any:
    spec = importlib.util.spec_from_file_location(file.stem, file)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        raise ValueError(f"reward must be in a file that can be run: {line(error)}") from error
    return module


def _parameters(function: Callable[..., Any]) -> list[str]:
    """The names of those that must be given."""
    try:
        given = inspect.signature(function).parameters.values()
    except ValueError:  # some of those that are no Python tell none
        return ["..."]
    return [x.name for x in given if x.default is x.empty and x.kind is not x.VAR_KEYWORD]
