"""Rewards that are Python functions of text: called on the host, between compiled functions.

A loop with such a reward generates in one compiled function, calls the reward, and updates in
another. The reward keeps nothing: where the user's function raises, the loop's state is as it was.
"""

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from jaxrl.tasks import prompt_texts, response_texts
from jaxrl.text import Prompts, Response, Tokenizer

Judge = Callable[[list[str], list[str]], Any]
"""Prompts, responses -> a number for each response."""

LONGEST_SHOWN = 200


def each(function: Callable[[str, str], Any]) -> Judge:
    """A function of one prompt and one response, called once for each response."""

    def judge(prompts: list[str], responses: list[str]) -> list[Any]:
        return [
            _told(prompt, response, function)
            for prompt, response in zip(prompts, responses, strict=True)
        ]

    return judge


def host_reward(
    rewards: Mapping[str, tuple[Judge, float]], tokenizer: Tokenizer
) -> Callable[[Prompts, Response], np.ndarray]:
    """The weighted sum of rewards of text, as a function for a loop on the host, -> [P, G].

    Args:
      rewards: by name, a function of many prompts and responses, or `each` of one of a single
        prompt and response, and its weight.
    """
    if not rewards:
        raise ValueError("rewards must be one at least, not none")

    def reward(prompts: Prompts, response: Response) -> np.ndarray:
        answers = response_texts(tokenizer, response)
        asked = prompt_texts(tokenizer, prompts)
        shape = response.ended.shape
        question = [prompt for prompt in asked for _ in range(shape[1])]
        answer = [text for group in answers for text in group]
        total = np.zeros(len(answer))
        for name, (judge, weight) in rewards.items():
            total += weight * _scores(name, judge, question, answer)
        return total.reshape(shape).astype(np.float32)

    return reward


def _scores(name: str, judge: Judge, prompts: list[str], responses: list[str]) -> np.ndarray:
    try:
        given = judge(prompts, responses)
    except _Sample as failed:
        raise ValueError(f"reward {name!r} {failed}") from failed.__cause__
    except Exception as error:
        raise ValueError(f"reward {name!r} raised {_line(error)}") from error
    try:
        scores = list(given)
    except TypeError as error:
        raise ValueError(
            f"reward {name!r} must give a number for each response, not {_shown(given)}"
        ) from error
    if len(scores) != len(responses):
        raise ValueError(
            f"reward {name!r} must give {len(responses)} numbers, one for each response, not "
            f"{len(scores)}"
        )
    for score, prompt, response in zip(scores, prompts, responses, strict=True):
        if not _is_number(score):
            where = _where(prompt, response)
            raise ValueError(
                f"reward {name!r} must give a finite number, not {_shown(score)}{where}"
            )
    return np.array([float(score) for score in scores])


class _Sample(Exception):
    """What went wrong with one sample; its cause is the user's error."""


def _told(prompt: str, response: str, function: Callable[[str, str], Any]) -> Any:
    try:
        return function(prompt, response)
    except Exception as error:
        raise _Sample(f"raised {_line(error)}{_where(prompt, response)}") from error


def _where(prompt: str, response: str) -> str:
    return f" for the prompt {_shown(prompt)} and the response {_shown(response)}"


def _is_number(x: Any) -> bool:
    try:
        array = np.asarray(x)
    except ValueError:  # lists of different lengths
        return False
    return array.ndim == 0 and array.dtype.kind in "biuf" and math.isfinite(array.item())


def _line(error: Exception) -> str:
    """An error on one line, without a full stop."""
    return " ".join(f"{type(error).__name__}: {error}".split()).rstrip(".: ")


def _shown(x: Any) -> str:
    text = " ".join(repr(x).split())
    return text if len(text) <= LONGEST_SHOWN else text[:LONGEST_SHOWN] + "…"
