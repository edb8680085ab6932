"""Countdown: "237:13=" asks for an expression of 2, 3 and 7 that makes 13, as "2*3+7".

Expressions are read from left to right: 2+3*7 is 35.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxrl import checks
from jaxrl.tasks.characters import characters
from jaxrl.tasks.questions import EASY, HARD, Draw, Mix, Numbers, Question, Reward, task
from jaxrl.text import Prompts, Response, Task, end
from jaxrl.types import Array

OPERATIONS = "+-*"
ALPHABET = "0123456789" + OPERATIONS + ":="
LARGEST_TARGET, MOST_NUMBERS = 99, 9
FIRST_DIGIT, FIRST_OPERATION = characters(ALPHABET).encode("0+")


class Aim(NamedTuple):
    """What an expression is to be made of, and to come to."""

    count: Numbers  # how often each digit is given, [P, 10]
    target: Numbers  # [P]


class Reading(NamedTuple):
    """An expression as far as it was read."""

    value: Array  # of what stands so far, [P, G]
    operation: Array  # that waits for its second number: a place in OPERATIONS
    waiting: Array  # whether the next token must be a number
    left: Array  # how often each digit may still be used, [P, G, 10]
    valid: Array  # whether it can still become an expression


def countdown(
    numbers: int = 3,
    form: float = 0.1,
    num_train: int = 2000,
    num_test: int = 200,
    easy: float = 0.0,
    hard: float = 0.0,
    spare: int = 0,
    seed: int = 0,
) -> Task:
    """An expression of all the numbers given that makes the target.

    The reward is `form` for an expression that uses each number once, 1 if it is right too. That
    of a step is its part of `form` while all is valid so far, and the rest at a right end.

    Args:
      numbers: of 2 to this many; an easy prompt has one, which is the target, a hard one twice
        as many, 9 at most.
      easy, hard: shares of the prompts to learn from.
      spare: how many tokens a response may be longer than the longest right one.
    """
    checks.at_least(2, numbers=numbers)
    if numbers > MOST_NUMBERS:
        raise ValueError(f"numbers must be {MOST_NUMBERS} at most, not {numbers}")
    if not 0 <= form <= 1:
        raise ValueError(f"form must be between 0 and 1, not {form}")
    mix = Mix(num_train, num_test, easy, hard, seed, spare)
    most = min(2 * numbers, MOST_NUMBERS) if hard else numbers
    return task(ALPHABET, _draw(numbers), mix, 2 * most, *rewards(form))


def rewards(form: float) -> tuple[Reward, Reward]:
    """The reward of a response, [P, G], and that of each of its steps, [T, P, G]."""

    def outcome(prompts: Prompts, response: Response) -> Array:
        _, formed, right = judged(prompts, response)
        return jnp.where(right, 1.0, form * formed.astype(jnp.float32))

    def steps(prompts: Prompts, response: Response) -> Array:
        valid, _, right = judged(prompts, response)
        length = 2 * prompts.answer.about.count.sum(1, dtype=jnp.float32)
        part = form * valid.astype(jnp.float32) / length[None, :, None]
        return part + (1 - form) * (end(response) & right[None]).astype(jnp.float32)

    return outcome, steps


def judged(prompts: Prompts, response: Response) -> tuple[Array, Array, Array]:
    """Whether each step is valid, [T, P, G], and a response well formed and right, [P, G]."""
    aim: Aim = prompts.answer.about
    shape = response.ended.shape
    number = jnp.zeros(shape, jnp.int32)
    true = jnp.ones(shape, bool)
    left = jnp.broadcast_to(aim.count[:, None], (*shape, 10))
    start = Reading(number, number, true, left, true)

    def step(reading: Reading, x: tuple[Array, Array, Array]) -> tuple[Reading, Array]:
        token, mask, ends = x
        further = _read(reading, token)
        done = ~reading.waiting & (reading.left.sum(-1, dtype=jnp.int32) == 0)
        valid = reading.valid & jnp.where(ends, done, further.valid)
        further = _where(mask, further, reading)
        return further._replace(valid=jnp.where(mask, valid, reading.valid)), valid & mask

    steps = (response.token, response.mask, end(response))
    reading, valid = jax.lax.scan(step, start, steps)
    formed = reading.valid & response.ended
    return valid, formed, formed & (reading.value == aim.target[:, None])


def _read(reading: Reading, token: Array) -> Reading:
    """One token further, if it is a number or an operation where there must be one."""
    digit, operation = token - FIRST_DIGIT, token - FIRST_OPERATION
    used = jax.nn.one_hot(digit, 10, dtype=jnp.int32)  # no digit: zeros
    given = (used * reading.left).sum(-1, dtype=jnp.int32) > 0
    is_operation = (operation >= 0) & (operation < len(OPERATIONS))
    more = reading.left.sum(-1, dtype=jnp.int32) > 0
    valid = jnp.where(reading.waiting, given, is_operation & more)
    results = (reading.value + digit, reading.value - digit, reading.value * digit)
    further = Reading(
        jnp.where(reading.waiting, _chosen(reading.operation, results), reading.value),
        jnp.where(reading.waiting, reading.operation, operation),
        ~reading.waiting,
        jnp.where(reading.waiting[..., None], reading.left - used, reading.left),
        valid,
    )
    return _where(valid & reading.valid, further, reading)._replace(valid=valid)


def _chosen(place: Array, choices: tuple[Array, ...]) -> Array:
    return jax.lax.select_n(jnp.clip(place, 0, len(choices) - 1), *choices)


def _where(condition: Array, yes: Reading, no: Reading) -> Reading:
    def chosen(x: Array, y: Array) -> Array:
        return jnp.where(condition[..., None] if x.ndim > condition.ndim else condition, x, y)

    return jax.tree.map(chosen, yes, no)


def _draw(numbers: int) -> Draw:
    fixed = {EASY: 1, HARD: min(2 * numbers, MOST_NUMBERS)}

    def draw(chance: np.random.Generator, level: int) -> Question:
        while True:
            count = fixed.get(level) or int(chance.integers(2, numbers + 1))
            digits = chance.integers(1, 10, size=count).tolist()
            operations = chance.integers(0, len(OPERATIONS), size=count - 1).tolist()
            target = _result(digits, operations)
            if 0 <= target <= LARGEST_TARGET:
                return _question(digits, operations, target)

    return draw


def _result(digits: list[int], operations: list[int]) -> int:
    value = digits[0]
    for operation, digit in zip(operations, digits[1:], strict=True):
        value = (value + digit, value - digit, value * digit)[operation]
    return value


def _question(digits: list[int], operations: list[int], target: int) -> Question:
    signs = ["", *(OPERATIONS[operation] for operation in operations)]
    answer = "".join(f"{sign}{digit}" for sign, digit in zip(signs, digits, strict=True))
    count = np.bincount(digits, minlength=10).astype(np.int32)
    given = "".join(map(str, sorted(digits)))
    return Question(f"{given}:{target}=", answer, Aim(count, np.array(target, np.int32)))
