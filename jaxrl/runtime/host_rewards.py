"""Rewards that are Python functions of text: called on the host, out of compiled functions or not.

`in_jit` makes of such a reward one of arrays, which any training takes for its task's `judge`; a
loop of one's own may as well call it between compiled functions. The reward keeps nothing: where
the user's function raises, the state that the update began with is as it was.
"""

import logging
import math
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxrl.tasks import prompt_texts, response_texts
from jaxrl.tasks.questions import Reward
from jaxrl.text import Prompts, Response, Tokenizer
from jaxrl.types import Array

Judge = Callable[[list[str], list[str]], Any]
"""Prompts, responses -> a number for each response."""

HostReward = Callable[[Prompts, Response], np.ndarray]
"""-> [P, G], out of jit."""

LONGEST_SHOWN = 200

PIECE = 20_000
"""Numbers that jax hands over at once. Larger arrays are copied by another thread, for which a call
would wait in vain where all threads are in calls."""


class RewardError(ValueError):
    """What went wrong in a reward of the host, in one sentence."""


def each(function: Callable[[str, str], Any]) -> Judge:
    """A function of one prompt and one response, called once for each response."""

    def judge(prompts: list[str], responses: list[str]) -> list[Any]:
        return [
            _told(prompt, response, function)
            for prompt, response in zip(prompts, responses, strict=True)
        ]

    return judge


def host_reward(rewards: Mapping[str, tuple[Judge, float]], tokenizer: Tokenizer) -> HostReward:
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


def in_jit(reward: HostReward) -> Reward:
    """A reward of the host as one of arrays: compiled functions call it as they run.

    What it raises ends the compiled function, whose error has the sentence in it: see `told`.
    """

    def called(prompts: Prompts, response: Response) -> Array:
        leaves, tree = jax.tree.flatten((prompts._replace(answer=()), response))
        shapes = [x.shape for x in leaves]

        def answer(*pieces: list[Array]) -> np.ndarray:
            whole = [
                np.concatenate([np.asarray(x) for x in parts]).reshape(shape)
                for parts, shape in zip(pieces, shapes, strict=True)
            ]
            return reward(*jax.tree.unflatten(tree, whole))

        like = jax.ShapeDtypeStruct(response.ended.shape, jnp.float32)
        return jax.pure_callback(answer, like, *map(_pieces, leaves), vmap_method="sequential")

    return called


def _pieces(x: Array) -> list[Array]:
    flat = jnp.ravel(x)
    return jnp.split(flat, list(range(PIECE, flat.size, PIECE)))


@contextmanager
def told() -> Iterator[None]:
    """Within it, what a reward raises inside of a compiled function is a `RewardError` here."""
    log = logging.getLogger("jax._src.callback")  # it would show the whole traceback
    before, log.disabled = log.disabled, True
    try:
        yield
    except (jax.errors.JaxRuntimeError, ValueError) as error:
        found = re.search(rf"{RewardError.__name__}: (.*)", str(error))
        if found is None:
            raise
        raise RewardError(found[1]) from error
    finally:
        log.disabled = before


def _scores(name: str, judge: Judge, prompts: list[str], responses: list[str]) -> np.ndarray:
    try:
        given = judge(prompts, responses)
    except _Sample as failed:
        raise RewardError(f"reward {name!r} {failed}") from failed.__cause__
    except (Exception, SystemExit) as error:
        raise RewardError(
            f"reward {name!r} raised {line(error)}{_culprit(judge, prompts, responses)}"
        ) from error
    try:
        scores = list(given)
    except TypeError as error:
        raise RewardError(
            f"reward {name!r} must give a number for each response, not {_shown(given)}"
        ) from error
    if len(scores) != len(responses):
        raise RewardError(
            f"reward {name!r} must give {len(responses)} numbers, one for each response, not "
            f"{len(scores)}"
        )
    for score, prompt, response in zip(scores, prompts, responses, strict=True):
        if not _is_number(score):
            where = _where(prompt, response)
            raise RewardError(
                f"reward {name!r} must give a finite number, not {_shown(score)}{where}"
            )
    return np.array([float(score) for score in scores])


class _Sample(Exception):
    """What went wrong with one sample; its cause is the user's error."""


def _told(prompt: str, response: str, function: Callable[[str, str], Any]) -> Any:
    try:
        return function(prompt, response)
    except (Exception, SystemExit) as error:
        raise _Sample(f"raised {line(error)}{_where(prompt, response)}") from error


def _culprit(judge: Judge, prompts: list[str], responses: list[str]) -> str:
    """The first sample on which the function raises alone, in words."""
    for prompt, response in zip(prompts, responses, strict=True):
        try:
            judge([prompt], [response])
        except (Exception, SystemExit):
            return _where(prompt, response)
    return ""


def _where(prompt: str, response: str) -> str:
    return f" for the prompt {_shown(prompt)} and the response {_shown(response)}"


def _is_number(x: Any) -> bool:
    try:
        array = np.asarray(x)
    except ValueError:  # lists of different lengths
        return False
    return array.ndim == 0 and array.dtype.kind in "biuf" and math.isfinite(array.item())


def line(error: BaseException) -> str:
    """An error on one line, without a full stop."""
    return " ".join(f"{type(error).__name__}: {error}".split()).rstrip(".: ")


def _shown(x: Any) -> str:
    text = " ".join(repr(x).split())
    return text if len(text) <= LONGEST_SHOWN else text[:LONGEST_SHOWN] + "…"
