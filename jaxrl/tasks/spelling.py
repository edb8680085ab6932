"""A task whose text goes through another tokeniser, while its rewards read characters as before."""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

from jaxrl.tasks.padding import (
    Rows,
    prompt_texts,
    prompts_of,
    response_texts,
    right_padded,
    shown,
)
from jaxrl.tasks.questions import Reward, demonstration
from jaxrl.text import Prompts, Response, Task, Tokenizer, end
from jaxrl.types import Array, PyTree


class Known(NamedTuple):
    """What is known of each prompt; `Prompts.answer` of a task that is spelled."""

    own: PyTree  # what the task itself knows
    token: Array  # a demonstration, its end included, [P, T]
    mask: Array  # [P, T], bool
    ended: Array  # whether the demonstration comes to its end, [P]


class Reading(NamedTuple):
    """Responses as the task itself has them, [S, P, G], and where their characters come from."""

    response: Response
    place: Array  # of each character of each token, [T, C, P, G]; S where it has none


def spelled(task: Task, tokenizer: Tokenizer) -> Task:
    """A task that is asked and answered in the tokens of another tokeniser.

    A response is worth what its text is: however it is cut into tokens, the task's reward reads
    the characters that they stand for. A token's share of the steps is that of its characters.
    """
    own = task.tokenizer
    if own is None or task.judge is not None or task.shown is not None:
        raise ValueError("task must have a tokenizer, and neither a judge nor examples")
    parts = task.train, task.test
    asked = [_encoded(tokenizer, prompt_texts(own, x)) for x in parts]
    said = [_demonstrated(task, tokenizer, x) for x in parts]
    length = max(len(row) for rows in asked for row in rows)
    num_tokens = max(task.num_tokens, *(len(row) for rows in said for row in rows))
    pad = tokenizer.vocabulary.pad

    def prompts(old: Prompts, asked: Rows, said: Rows) -> Prompts:
        token, mask = (jnp.asarray(x.T) for x in right_padded(said, pad, num_tokens))
        known = Known(old.answer, token, mask, task.demonstration(old).ended[:, 0])
        return prompts_of(asked, pad, length, answer=known)._replace(index=old.index)

    train, test = map(prompts, parts, asked, said)
    reward, step_reward = _rewards(task, jnp.asarray(spelling(own, tokenizer, task.num_tokens)))
    return task._replace(
        vocabulary=tokenizer.vocabulary,
        train=train,
        test=test,
        num_tokens=num_tokens,
        reward=reward,
        demonstration=demonstration,
        tokenizer=tokenizer,
        step_reward=task.step_reward and step_reward,
    )


def spelling(own: Tokenizer, tokenizer: Tokenizer, longest: int) -> np.ndarray:
    """The characters of each token as the task's own tokens, [2, V, C]; −1 where there is none.

    First those of a token that a text begins with, then those of one that follows another: some
    tokenisers leave out a space at the beginning. A token that is too long, or has characters that
    are not the task's, is one of its pads.
    """
    size = tokenizer.vocabulary.size
    before = next(([i] for i in range(size) if tokenizer.decode([i]).strip()), [])

    def characters(begun: list[int], token: int) -> list[int]:
        try:
            text = tokenizer.decode([*begun, token]).removeprefix(tokenizer.decode(begun))
            found = own.encode(text)
        except ValueError:
            return [own.vocabulary.pad]
        return found if len(found) <= longest else [own.vocabulary.pad]

    rows = [characters(begun, token) for begun in ([], before) for token in range(size)]
    return right_padded(rows, -1, max(map(len, rows)))[0].T.reshape(2, size, -1)


def read(task: Task, alphabet: Array, response: Response) -> Reading:
    """What tokens stand for: of a text that is longer than the task's longest, its beginning."""
    vocabulary, size = task.vocabulary, task.num_tokens
    said = response.mask & ~end(response)
    follows = (jnp.arange(len(said)) > 0).astype(jnp.int32)[:, None, None]
    character = jnp.moveaxis(alphabet[follows, response.token], -1, 1)  # [T, C, P, G]
    flat = character.reshape(-1, *said.shape[1:])
    there = ((character >= 0) & said[:, None]).reshape(flat.shape)
    place = jnp.where(there, jnp.cumsum(there, 0, dtype=jnp.int32) - 1, size)
    length = there.sum(0, keepdims=True, dtype=jnp.int32)
    ended = response.ended & (length[0] < size)
    _, row, column = jnp.ogrid[:1, : flat.shape[1], : flat.shape[2]]
    token = jnp.full((size, *ended.shape), vocabulary.pad, jnp.int32)
    token = token.at[place, row, column].set(flat, mode="drop")
    step = jnp.arange(size, dtype=jnp.int32)[:, None, None]
    token = jnp.where(ended[None] & (step == length), vocabulary.eos, token)
    mask = step < length + ended[None].astype(jnp.int32)
    return Reading(shown(token, mask, ended), place.reshape(character.shape))


def _rewards(task: Task, alphabet: Array) -> tuple[Reward, Reward]:
    """The task's reward of a response, and of each of its tokens."""

    def own(prompts: Prompts) -> Prompts:
        return prompts._replace(answer=prompts.answer.own)

    def reward(prompts: Prompts, response: Response) -> Array:
        return task.reward(own(prompts), read(task, alphabet, response).response)

    def steps(prompts: Prompts, response: Response) -> Array:
        reading = read(task, alphabet, response)
        assert task.step_reward is not None
        worth = task.step_reward(own(prompts), reading.response)
        ends = jnp.where(end(reading.response), worth, 0.0).sum(0)
        nothing = jnp.zeros((1, *worth.shape[1:]))
        flat = reading.place.reshape(-1, *worth.shape[1:])
        each = jnp.take_along_axis(jnp.concatenate([worth, nothing]), flat, 0, mode="clip")
        paid = each.reshape(reading.place.shape).sum(1)
        return paid + jnp.where(end(response), ends[None], 0.0)

    return reward, steps


def _demonstrated(task: Task, tokenizer: Tokenizer, prompts: Prompts) -> Rows:
    """The tokens of the demonstrations, their ends included."""
    assert task.tokenizer is not None
    right = task.demonstration(prompts)
    rows = _encoded(tokenizer, [text for (text,) in response_texts(task.tokenizer, right)])
    eos = [tokenizer.vocabulary.eos]
    return [[*row, *eos * ends] for row, (ends,) in zip(rows, right.ended.tolist(), strict=True)]


def _encoded(tokenizer: Tokenizer, texts: list[str]) -> Rows:
    """The tokens of texts, each of which must be what its tokens spell."""
    rows = [tokenizer.encode(text) for text in texts]
    for text, row in zip(texts, rows, strict=True):
        if (found := "".join(tokenizer.decode([token]) for token in row)) != text:
            raise ValueError(f"tokenizer must have tokens that spell {text!r}, not {found!r}")
    return rows
