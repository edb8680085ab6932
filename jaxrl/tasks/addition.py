"""Addition: "12+34=" asks for "46"."""

import numpy as np

from jaxrl import checks
from jaxrl.tasks.questions import EASY, HARD, Draw, Mix, Question, exact_match, place, task
from jaxrl.text import Task

MOST_DIGITS = 18
"""Of a number that 64 bits hold."""


def addition(
    digits: int = 2,
    num_train: int = 2000,
    num_test: int = 200,
    easy: float = 0.0,
    hard: float = 0.0,
    spare: int = 0,
    seed: int = 0,
) -> Task:
    """The sum of two numbers; the reward is 1 for it and its end, and 0 for all else.

        rₜ = 1[yₜ = y*ₜ] / (n + 1)   of n digits and the end, to methods that learn by steps

    Two operands that are held out for the test are in no prompt to learn from, in neither order.

    Args:
      digits: of each operand at most; an easy one has one, a hard one twice as many.
      easy, hard: shares of the prompts to learn from.
      spare: how many tokens a response may be longer than the longest right one.
    """
    checks.at_least(1, digits=digits)
    times = 2 if hard else 1
    if digits * times > MOST_DIGITS:
        raise ValueError(f"digits must be {MOST_DIGITS // times} at most, not {digits}")
    mix = Mix(num_train, num_test, easy, hard, seed, spare)
    return task("0123456789+=", _draw(digits), mix, digits * times + 2, exact_match, place)


def _draw(digits: int) -> Draw:
    bounds = {EASY: (0, 10), HARD: (10 ** (2 * digits - 1), 10 ** (2 * digits))}

    def draw(chance: np.random.Generator, level: int) -> Question:
        a, b = chance.integers(*bounds.get(level, (0, 10**digits)), size=2).tolist()
        return Question(f"{a}+{b}=", str(a + b), key=(min(a, b), max(a, b)))

    return draw
