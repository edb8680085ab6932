"""Rows of tokens of different lengths as arrays and their masks, and back as text."""

from collections.abc import Sequence

import jax.numpy as jnp
import numpy as np

from jaxrl.text import Prompts, Response, Tokenizer, Vocabulary
from jaxrl.types import Array, PyTree

Rows = Sequence[Sequence[int]]


def left_padded(rows: Rows, pad: int, length: int) -> tuple[np.ndarray, np.ndarray]:
    """Tokens and mask, [length, number of rows], each row at the end of its column."""
    token, mask = right_padded([row[::-1] for row in rows], pad, length)
    return token[::-1], mask[::-1]


def right_padded(rows: Rows, pad: int, length: int) -> tuple[np.ndarray, np.ndarray]:
    """Tokens and mask, [length, number of rows], each row at the start of its column."""
    token = np.full((length, len(rows)), pad, np.int32)
    mask = np.zeros((length, len(rows)), bool)
    for column, row in enumerate(rows):
        if len(row) > length:
            raise ValueError(f"row {column} must have {length} tokens at most, not {len(row)}")
        token[: len(row), column] = row
        mask[: len(row), column] = True
    return token, mask


def prompts_of(
    rows: Rows, pad: int, length: int, first_index: int = 0, answer: PyTree = ()
) -> Prompts:
    """Prompts of rows of tokens, numbered from `first_index`."""
    token, mask = (jnp.asarray(x) for x in left_padded(rows, pad, length))
    index = np.arange(first_index, first_index + len(rows), dtype=np.int32)
    return Prompts(token, mask, jnp.asarray(index), answer)


def response_of(groups: Sequence[Rows], vocabulary: Vocabulary, length: int) -> Response:
    """Whole responses from rows of tokens, as many for each prompt; each gets its end."""
    size = len(groups[0])
    if any(len(group) != size for group in groups):
        raise ValueError(f"groups must have {size} responses each, as the first of them has")
    rows = [[*row, vocabulary.eos] for group in groups for row in group]
    token, mask = (
        jnp.asarray(x.reshape(length, len(groups), size))
        for x in right_padded(rows, vocabulary.pad, length)
    )
    return shown(token, mask, jnp.ones(token.shape[1:], bool))


def prompts_from_text(tokenizer: Tokenizer, texts: Sequence[str], length: int) -> Prompts:
    """Prompts of texts."""
    rows = [tokenizer.encode(text) for text in texts]
    return prompts_of(rows, tokenizer.vocabulary.pad, length)


def response_from_text(
    tokenizer: Tokenizer, texts: Sequence[Sequence[str]], length: int
) -> Response:
    """Whole responses of texts, as many for each prompt, [P][G]."""
    groups = [[tokenizer.encode(text) for text in group] for group in texts]
    return response_of(groups, tokenizer.vocabulary, length)


def shown(token: Array, mask: Array, ended: Array) -> Response:
    """A response that nobody sampled: its log-probabilities are 0."""
    return Response(token, mask, jnp.zeros(token.shape, jnp.float32), ended)


def prompt_texts(tokenizer: Tokenizer, prompts: Prompts) -> list[str]:
    """Each prompt as text, [P]."""
    token, mask = np.asarray(prompts.token), np.asarray(prompts.mask)
    return [tokenizer.decode(token[mask[:, p], p].tolist()) for p in range(prompts.token.shape[1])]


def response_texts(tokenizer: Tokenizer, response: Response) -> list[list[str]]:
    """Each response as text without the token that ends it, [P][G]."""
    token, mask, ended = (np.asarray(x) for x in (response.token, response.mask, response.ended))

    def text(p: int, g: int) -> str:
        said = token[mask[:, p, g], p, g].tolist()
        return tokenizer.decode(said[:-1] if ended[p, g] else said)

    _, num_prompts, size = token.shape
    return [[text(p, g) for g in range(size)] for p in range(num_prompts)]
