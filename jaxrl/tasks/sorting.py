"""Sorting: "3142=" asks for "1234"."""

import jax.numpy as jnp
import numpy as np

from jaxrl import checks
from jaxrl.tasks.questions import EASY, HARD, Draw, Mix, Question, matches, place, task
from jaxrl.text import Prompts, Response, Task
from jaxrl.types import Array

DIGITS = "0123456789"


def sorting(
    length: int = 6,
    num_train: int = 2000,
    num_test: int = 200,
    easy: float = 0.0,
    hard: float = 0.0,
    spare: int = 0,
    seed: int = 0,
) -> Task:
    """Some digits in order; the reward is the share of places that are right.

        R = Σₜ rₜ,  rₜ = 1[yₜ = y*ₜ] / (n + 1)   for n digits and the end

    Args:
      length: of 2 digits to this many; an easy prompt has one, a hard one twice as many.
      easy, hard: shares of the prompts to learn from.
      spare: how many tokens a response may be longer than the longest right one.
    """
    checks.at_least(2, length=length)
    mix = Mix(num_train, num_test, easy, hard, seed, spare)
    longest = length * (2 if hard else 1) + 1
    return task(DIGITS + "=", _draw(length), mix, longest, places, place)


def places(prompts: Prompts, response: Response) -> Array:
    """The share of places that are right, that of the end included, [P, G]."""
    right = matches(prompts, response).sum(0, dtype=jnp.float32)
    return right / prompts.answer.mask.sum(1, dtype=jnp.float32)[:, None]


def _draw(length: int) -> Draw:
    def draw(chance: np.random.Generator, level: int) -> Question:
        count = {EASY: 1, HARD: 2 * length}.get(level) or int(chance.integers(2, length + 1))
        items = "".join(map(str, chance.integers(0, 10, size=count).tolist()))
        return Question(f"{items}=", "".join(sorted(items)))

    return draw
