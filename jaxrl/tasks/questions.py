"""What the tasks share: questions as text, how hard they are, and the arrays they become."""

from collections.abc import Callable, Hashable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxrl import checks
from jaxrl.tasks.characters import characters
from jaxrl.tasks.padding import prompts_of, right_padded, shown
from jaxrl.text import Prompts, Response, Task, Tokenizer, end
from jaxrl.types import Array, PyTree

EASY, ORDINARY, HARD = range(3)
"""How hard a question is meant to be: so easy that a whole group is right, or so that none is."""

PATIENCE = 1000
"""How often a draw that may not be used is drawn again."""


class Question(NamedTuple):
    """A prompt, and what is known of it."""

    prompt: str
    answer: str  # a demonstration
    about: PyTree = ()  # numbers that the reward needs besides
    ends: bool = True  # whether the demonstration comes to its end
    key: Hashable = None  # what two questions share of which one gives the other away


class Answer(NamedTuple):
    """What is known of each prompt; `Prompts.answer` of every task here."""

    token: Array  # a demonstration, its end included, [P, T]
    mask: Array  # [P, T], bool
    ended: Array  # whether the demonstration comes to its end, [P]
    level: Array  # EASY, ORDINARY or HARD, [P]
    about: PyTree  # numbers of the task's own, [P, ...]


class Mix(NamedTuple):
    """How many prompts a task has, how hard those to learn from are, and how long answers may be.

    The prompts to be tested on are ordinary ones.
    """

    num_train: int
    num_test: int
    easy: float  # share of the prompts to learn from
    hard: float
    seed: int
    spare: int = 0  # tokens that a response may be longer than the longest right one


Draw = Callable[[np.random.Generator, int], Question]
"""chance, level -> a question."""

Reward = Callable[[Prompts, Response], Array]

Numbers = Array | np.ndarray
"""NumPy's in a `Question`, jax's in an `Answer`."""


def questions(draw: Draw, mix: Mix) -> tuple[list[tuple[int, Question]], list[Question]]:
    """Questions to learn from, each with its level, and other ones to be tested on.

    Those to be tested on are all different; none of the others has its key among theirs.
    """
    checks.at_least(1, num_train=mix.num_train, num_test=mix.num_test)
    checks.at_least(0, seed=mix.seed, spare=mix.spare)
    for name in ("easy", "hard"):
        if not 0 <= getattr(mix, name) <= 1 or mix.easy + mix.hard > 1:
            raise ValueError(
                "easy and hard must be shares of no less than 0, and together of no more than 1, "
                f"not {mix.easy} and {mix.hard}"
            )
    chance = np.random.default_rng(mix.seed)
    held_out: dict[Hashable, Question] = {}

    def other(level: int) -> Question:
        for _ in range(PATIENCE):
            question = draw(chance, level)
            if (question.key or question.prompt) not in held_out:
                return question
        raise ValueError(
            f"num_test must leave prompts to learn from, not be {mix.num_test} with "
            f"{len(held_out)} prompts found"
        )

    for _ in range(mix.num_test):
        question = other(ORDINARY)
        held_out[question.key or question.prompt] = question
    num_easy, num_hard = (round(share * mix.num_train) for share in (mix.easy, mix.hard))
    levels = np.full(mix.num_train, ORDINARY)
    levels[:num_easy], levels[mix.num_train - num_hard :] = EASY, HARD
    chance.shuffle(levels)
    return [(level, other(level)) for level in levels.tolist()], list(held_out.values())


def task(
    alphabet: str,
    draw: Draw,
    mix: Mix,
    longest: int,
    reward: Reward,
    step_reward: Reward | None = None,
) -> Task:
    """A task of questions; `reward` finds an `Answer` in its prompts.

    Args:
      longest: tokens of the longest right response, its end included.
    """
    tokenizer, num_tokens = characters(alphabet), longest + mix.spare
    train, held_out = questions(draw, mix)
    test = [(ORDINARY, question) for question in held_out]
    length = max(len(tokenizer.encode(question.prompt)) for _, question in (*train, *test))
    pad = tokenizer.vocabulary.pad

    def prompts(rows: list[tuple[int, Question]], first: int) -> Prompts:
        tokens = [tokenizer.encode(question.prompt) for _, question in rows]
        return prompts_of(tokens, pad, length, first, _answer(tokenizer, rows, num_tokens))

    return Task(
        tokenizer.vocabulary,
        prompts(train, 0),
        prompts(test, len(train)),
        num_tokens,
        reward,
        demonstration,
        tokenizer,
        step_reward,
    )


def demonstration(prompts: Prompts) -> Response:
    """The demonstrations among the answers, [T, P, 1]."""
    answer: Answer = prompts.answer
    return shown(answer.token.T[:, :, None], answer.mask.T[:, :, None], answer.ended[:, None])


def matches(prompts: Prompts, response: Response) -> Array:
    """Whether each token is that of the demonstration at its place, as its end is, [T, P, G]."""
    right = demonstration(prompts)
    if len(right.token) != len(response.token):
        raise ValueError(
            f"response must have room for {len(right.token)} tokens, not {len(response.token)}"
        )
    same = (response.token == right.token) & (end(response) == end(right))
    return response.mask & right.mask & same


def exact_match(prompts: Prompts, response: Response) -> Array:
    """1 where a response is the demonstration, from its first token to its end; else 0."""
    right = demonstration(prompts)
    return (matches(prompts, response) | ~right.mask).all(0).astype(jnp.float32)


def place(prompts: Prompts, response: Response) -> Array:
    """What each token that is the demonstration's adds to a whole of 1, [T, P, G]."""
    count = prompts.answer.mask.sum(1, dtype=jnp.float32)
    return matches(prompts, response).astype(jnp.float32) / count[None, :, None]


def _answer(tokenizer: Tokenizer, rows: list[tuple[int, Question]], num_tokens: int) -> Answer:
    eos = [tokenizer.vocabulary.eos]
    tokens = [tokenizer.encode(q.answer) + eos * q.ends for _, q in rows]
    token, mask = right_padded(tokens, tokenizer.vocabulary.pad, num_tokens)
    return Answer(
        jnp.asarray(token.T),
        jnp.asarray(mask.T),
        jnp.asarray(np.array([q.ends for _, q in rows])),
        jnp.asarray(np.array([level for level, _ in rows], np.int32)),
        jax.tree.map(lambda *x: jnp.asarray(np.stack(x)), *(q.about for _, q in rows)),
    )
