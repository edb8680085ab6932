"""The nouns of the language side: prompts, responses, tasks, language models.

Time is axis 0: a prompt is [L, P], padded on the left; a response [T, P, G], padded on the right,
of G responses to each of P prompts. Masks say which tokens count; no mask is made from tokens.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from jaxrl.types import Array, PyTree


class Vocabulary(NamedTuple):
    """The tokens of a model: how many, and the two that mean something to generation."""

    size: int
    eos: int  # ends a response, and belongs to it
    pad: int  # stands where nothing is, and is never read


class Tokenizer(NamedTuple):
    """Text as tokens and back; neither adds or drops a token that means something."""

    vocabulary: Vocabulary
    encode: Callable[[str], list[int]]
    decode: Callable[[Sequence[int]], str]


class Prompts(NamedTuple):
    """Questions side by side."""

    token: Array  # [L, P], padded on the left
    mask: Array  # [L, P], bool
    index: Array  # which of the task's prompts each one is, [P]
    answer: PyTree = ()  # what the task's reward needs to know of them, [P, ...]


class Response(NamedTuple):
    """What a policy said, or was shown; the token that ends it is inside of the mask."""

    token: Array  # [T, P, G]
    mask: Array  # [T, P, G], bool
    log_prob: Array  # of the tokens under the distribution they were sampled from, [T, P, G]
    ended: Array  # whether it came to its end, or was cut, [P, G]


class Answers(NamedTuple):
    """What a loop hands to a learner: prompts, responses to them, and what these were worth."""

    prompts: Prompts
    response: Response
    reward: Array  # [P, G]
    step_reward: Array | None  # of each token, [T, P, G], where the method asks for it
    greedy_reward: Array | None  # that of the greedy response, [P, 1], where the method asks for it
    greedy_length: Array | None  # and how many tokens that has
    valid: Array  # whether there is a group to learn from, [P], bool


class Task(NamedTuple):
    """Prompts to learn from and others to be tested on, and what a response is worth."""

    vocabulary: Vocabulary
    train: Prompts
    test: Prompts
    num_tokens: int  # T, the longest response
    reward: Callable[[Prompts, Response], Array]  # -> [P, G]
    demonstration: Callable[[Prompts], Response]  # a response to learn from, [T, P, 1]
    tokenizer: Tokenizer | None = None  # what shows its tokens as text, where there is one
    step_reward: Callable[[Prompts, Response], Array] | None = None  # of each token, [T, P, G]
    judge: Callable[[Prompts, Response], Array] | None = None  # what is learnt from in place of
    # `reward`, as a trained model is; tests go by `reward`
    shown: Callable[[Prompts], Response] | None = None  # responses to learn from that are there
    # already, [T, P, G]


class LanguageModel(NamedTuple):
    """A causal model of tokens; `params` is its first argument everywhere."""

    init: Callable[[Array], PyTree]  # key -> params
    hidden: Callable[[PyTree, Array, Array], Array]  # params, token [L, B], mask -> [L, B, D]
    unembedding: Callable[[PyTree], Array]  # params -> [D, V]: logits are hidden @ unembedding
    prefill: Callable[[PyTree, Array, Array], tuple[PyTree, Array]]  # params, prompt [L, P], mask
    # -> what decoding needs of it, hidden of its last token [P, D]
    follow: Callable[[PyTree, PyTree, Array], Array]  # params, what prefill gave,
    # response [T, P, G] -> hidden [T, P, G, D]: all its tokens at once
    blank: Callable[[PyTree, int, int], PyTree]  # what prefill gave, G, T -> an empty cache
    decode: Callable[..., tuple[Array, PyTree]]  # params, what prefill gave, cache, t, token [P, G]
    # -> hidden [P, G, D], cache: one token further, at position t of the response


def take(prompts: Prompts, rows: Array) -> Prompts:
    """Some of the prompts, by their places."""
    answer = jax.tree.map(lambda x: x[rows], prompts.answer)
    return Prompts(prompts.token[:, rows], prompts.mask[:, rows], prompts.index[rows], answer)


def num_places(prompts: Prompts) -> int:
    """How many rows a table has that is looked up by the prompts' index.

    A task that is made inside of `jit`, where its numbers are not known, must have 0 to N − 1.
    """
    known = not isinstance(prompts.index, Tracer)
    return int(np.asarray(prompts.index).max()) + 1 if known else len(prompts.index)


def unequal(reward: Array) -> Array:
    """Which groups [P, G] have something to compare, [P]."""
    return reward.max(-1) > reward.min(-1)


def lengths(response: Response) -> Array:
    """How many tokens each response has, its end included, [P, G]."""
    return response.mask.sum(0, dtype=jnp.int32)


def last(response: Response) -> Array:
    """Whether a token is the last of its response, [T, P, G]."""
    following = jnp.concatenate([response.mask[1:], jnp.zeros_like(response.mask[:1])])
    return response.mask & ~following


def end(response: Response) -> Array:
    """Whether a token is the one that ends its response; a response that was cut has none."""
    return last(response) & response.ended[None]
