"""A language model that says a number: a critic of tokens, or a judge of whole responses."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxrl.families.language import Text, fitting, spoken
from jaxrl.networks.language import Head, read, read_last, scalar_head
from jaxrl.text import LanguageModel, Prompts, Response, Task
from jaxrl.types import Array, PyTree


class Headed(NamedTuple):
    """A model with a head; its parameters are {"model", "head"}."""

    init: Callable[[Array, PyTree], PyTree]  # key, params of a language model, which are copied
    value: Callable[[PyTree, Text], Array]  # params, text -> v ahead of each token, [T, P, G]
    score: Callable[[PyTree, Text], Array]  # params, text -> s of each response, [P, G]


def headed(model: LanguageModel, task: Task) -> Headed:
    """A model that reads a task's prompts and responses."""
    pad = task.vocabulary.pad
    head = head_of(model)

    def init(key: Array, params: PyTree) -> PyTree:
        # A copy, so that what is donated is donated once.
        return {"model": jax.tree.map(jnp.copy, params), "head": head.init(key)}

    def value(params: PyTree, text: Text) -> Array:
        return head.value(params["head"], read(model, params["model"], *spoken(text, pad)))

    def score(params: PyTree, text: Text) -> Array:
        return scored(model, params, *spoken(text, pad))

    return Headed(init, value, score)


def scored(model: LanguageModel, params: PyTree, prompts: Prompts, response: Response) -> Array:
    """What a model with a head says at the end of each response, [P, G]."""
    hidden = read_last(model, params["model"], prompts, response)
    return head_of(model).value(params["head"], hidden)


def reward_model(model: LanguageModel, params: PyTree) -> Callable[[Prompts, Response], Array]:
    """A trained reward model as a reward: a task's `judge`, or one of those of `weighted`.

    Args:
      params: what `lm_reward` learnt; they may be traced.
    """

    def init(key: Array) -> PyTree:
        k_model, k_head = jax.random.split(key)
        return {"model": model.init(k_model), "head": head_of(model).init(k_head)}

    fitting("params", params, init)

    def reward(prompts: Prompts, response: Response) -> Array:
        return scored(model, params, prompts, response)

    return reward


def head_of(model: LanguageModel) -> Head:
    """A head as wide as the model."""
    params = jax.eval_shape(model.init, jax.random.key(0))
    return scalar_head(jax.eval_shape(model.unembedding, params).shape[0])
