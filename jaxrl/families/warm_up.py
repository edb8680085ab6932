"""Imitation of demonstrations: a loss to learn by, and a fresh model that is taught for a while.

    L = Σ −log π(oₜ) / Σ |o|  over the tokens of responses; prompts are only read

Reference: Ouyang et al. 2022, arXiv:2203.02155.
"""

import jax
import jax.numpy as jnp

from jaxrl.families.language import (
    LanguageConfig,
    Text,
    Voice,
    accumulated,
    prompts_last,
    text_of,
)
from jaxrl.families.minibatch import Passes, Reported, descend
from jaxrl.formulas.reduce import token_count, token_mean
from jaxrl.optim.optimizer import adam, linear
from jaxrl.text import Task, take
from jaxrl.types import Array, PyTree


def imitation(voice: Voice, num_microbatches: int = 1) -> Reported:
    """Minus the mean log-probability of the tokens of `Text`, and the policy's entropy there."""

    def count(params: PyTree, text: Text) -> Array:
        return token_count(prompts_last(text.mask))

    def part(params: PyTree, text: Text, count: Array) -> tuple[Array, Array]:
        log_prob, entropy = voice.read(params, text)
        mask = prompts_last(text.mask)
        loss = token_mean(-log_prob, mask, count)
        spread = token_mean(jax.lax.stop_gradient(entropy), mask, count)
        return loss, jnp.stack([jax.lax.stop_gradient(loss), spread])

    return accumulated(("loss", "entropy"), count, part, num_microbatches)


def warmed(voice: Voice, task: Task, config: LanguageConfig) -> Voice:
    """A voice whose parameters begin where `demonstration_steps` steps of imitation end.

    `voice` is one of temperature 1; each step is down the loss of `demonstration_batch`
    demonstrations.
    """
    num_steps, size = config.demonstration_steps, config.demonstration_batch
    if num_steps == 0:
        return voice
    schedule = linear(config.demonstration_lr, num_steps, False)
    optimizer = adam(schedule, config.max_grad_norm, 1e-8)

    def init(key: Array) -> PyTree:
        k_params, k_steps = jax.random.split(key)
        params = voice.init(k_params)

        def step(carried: PyTree, key: Array) -> tuple[PyTree, None]:
            rows = jax.random.randint(key, (size,), 0, len(task.train.index))
            prompts = take(task.train, rows)
            text = text_of(prompts, task.demonstration(prompts))
            start = *carried, jnp.int32(0)
            return descend(key, imitation(voice), optimizer, start, text, Passes())[0], None

        keys = jax.random.split(k_steps, num_steps)
        return jax.lax.scan(step, (params, optimizer.init(params)), keys)[0][0]

    return voice._replace(init=init)
