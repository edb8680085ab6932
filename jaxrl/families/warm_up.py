"""A policy with something to learn from: a fresh model, taught by demonstrations for a while."""

import jax
import jax.numpy as jnp

from jaxrl.families.language import LanguageConfig, Text, Voice, prompts_first, text_of
from jaxrl.families.minibatch import Passes, Reported, descend
from jaxrl.formulas.reduce import token_mean
from jaxrl.optim.optimizer import adam, linear
from jaxrl.text import Task, take
from jaxrl.types import Array, PyTree


def warmed(voice: Voice, task: Task, config: LanguageConfig) -> Voice:
    """A voice whose parameters begin where `demonstration_steps` steps of imitation end.

    `voice` is one of temperature 1; each step is down the mean of −log π over the tokens of
    `demonstration_batch` demonstrations.
    """
    num_steps, size = config.demonstration_steps, config.demonstration_batch
    if num_steps == 0:
        return voice
    schedule = linear(config.demonstration_lr, num_steps, False)
    optimizer = adam(schedule, config.max_grad_norm, 1e-8)

    def loss(params: PyTree, text: Text) -> tuple[Array, Array]:
        log_prob, _ = voice.read(params, text)
        total = token_mean(-log_prob, prompts_first(text.mask))
        return total, jnp.stack([total])

    def init(key: Array) -> PyTree:
        k_params, k_steps = jax.random.split(key)
        params = voice.init(k_params)

        def step(carried: PyTree, key: Array) -> tuple[PyTree, None]:
            rows = jax.random.randint(key, (size,), 0, len(task.train.index))
            prompts = take(task.train, rows)
            text = text_of(prompts, task.demonstration(prompts))
            start, names = (*carried, jnp.int32(0)), ("loss",)
            return descend(key, Reported(names, loss), optimizer, start, text, Passes())[0], None

        keys = jax.random.split(k_steps, num_steps)
        return jax.lax.scan(step, (params, optimizer.init(params)), keys)[0][0]

    return voice._replace(init=init)
