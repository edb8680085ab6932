"""Responses of every kind to the prompts of a task, and what they look like as text."""

import jax
import numpy as np

from jaxrl.text import Response, Task, take

KINDS = ("right", "cut", "changed", "longer", "garbage", "babble", "silent", "empty", "stutter")


def some(task: Task, count: int):
    """The first prompts to learn from."""
    return take(jax.tree.map(np.asarray, task.train), np.arange(count))


def spoken(task: Task, prompts, seed: int) -> Response:
    """One response of each kind to each prompt; where nothing is said there is garbage."""
    chance = np.random.default_rng(seed)
    shown = jax.tree.map(np.asarray, jax.jit(task.demonstration)(prompts))
    size, num_prompts = task.vocabulary.size, prompts.token.shape[1]
    shape = (task.num_tokens, num_prompts, len(KINDS))
    token = chance.integers(0, size, shape).astype(np.int32)
    mask, ended = np.zeros(shape, bool), np.zeros(shape[1:], bool)
    for p in range(num_prompts):
        right = np.asarray(shown.token)[np.asarray(shown.mask)[:, p, 0], p, 0].tolist()
        right = right[:-1] if shown.ended[p, 0] else right
        for g, kind in enumerate(KINDS):
            row, end = said(chance, kind, right, size)
            row = [*row, task.vocabulary.eos] if end else row
            row, end = row[: shape[0]], end and len(row) <= shape[0]
            token[: len(row), p, g], mask[: len(row), p, g], ended[p, g] = row, True, end
    return Response(token, mask, np.zeros(shape, np.float32), ended)


def said(chance, kind, right, size):
    """Tokens without the end, and whether it follows."""
    anything = [t for t in range(size) if t != 1]  # the pad too, which means nothing
    other = chance.choice(anything, 40).tolist()
    match kind:
        case "right":
            return right, True
        case "cut":
            return right[: chance.integers(len(right) + 1)], False
        case "changed":
            place = chance.integers(len(right))
            return [*right[:place], other[0], *right[place + 1 :]], True
        case "longer":
            return [*right, other[0]], True
        case "garbage":
            return other[: chance.integers(1, 6)], True
        case "babble":
            return other, False
        case "stutter":  # the token that ends a response, where it does not
            return [*right, 1, other[0]], True
        case "silent":
            return [], True
        case _:
            return [], False


def words(task: Task, response: Response):
    """The names of the tokens before the end, and whether it came: [P][G]."""
    assert task.tokenizer is not None
    decode = task.tokenizer.decode
    token, mask, ended = (np.asarray(x) for x in (response.token, response.mask, response.ended))

    def read(p, g):
        names = [decode([t]) for t in token[mask[:, p, g], p, g].tolist()]
        return (names[:-1] if ended[p, g] else names), bool(ended[p, g])

    return [[read(p, g) for g in range(token.shape[2])] for p in range(token.shape[1])]
