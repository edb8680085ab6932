"""A batch of answers by one policy, for losses of another."""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from jaxrl.algorithms import lm_grpo
from jaxrl.families.group import arranged, objective
from jaxrl.families.language import LanguageSetting
from jaxrl.language_zoo import language_config
from jaxrl.text import Answers, Response, take
from jaxrl.types import LearnerState
from tests.language.oracle import log_probs
from tests.language.tiny import NUM_TOKENS, VOCABULARY, majority, tiny_model

NUM_PROMPTS, GROUP = 4, 3
TEMPERATURE = 0.7
OWN = {"lm_dapo": {"overlong_cache": 1}}
TASK, MODEL = majority(), tiny_model()
SIZES = {
    "num_prompts": NUM_PROMPTS,
    "group_size": GROUP,
    "num_minibatches": 1,
    "temperature": TEMPERATURE,
}


def params(seed, near=None, distance=0.7):
    """Random parameters, or some near others."""
    drawn = MODEL.init(jax.random.key(seed))
    if near is None:
        return drawn
    return jax.tree.map(lambda x, noise: x + distance * noise, near, drawn)


@functools.cache
def policies():
    """The policy that spoke, the one that learns, and the reference."""
    first = params(0)
    return first, params(1, near=first), params(2, near=first)


@functools.cache
def answers():
    """Responses of all lengths, some of them cut, with rewards that differ in most groups."""
    chance = np.random.default_rng(3)
    shape = (NUM_TOKENS, NUM_PROMPTS, GROUP)
    length = 1 + np.arange(NUM_PROMPTS * GROUP).reshape(shape[1:]) % NUM_TOKENS
    mask = np.arange(NUM_TOKENS)[:, None, None] < length
    ended = chance.random(shape[1:]) < 0.6
    token = np.where(mask, chance.integers(1, 5, shape), VOCABULARY.pad)
    last = np.arange(NUM_TOKENS)[:, None, None] == length - 1
    token = np.where(last & ended, VOCABULARY.eos, token).astype(np.int32)
    prompts = take(TASK.train, jnp.array([0, 5, 2, 9]))
    said = Response(token, mask, np.zeros(shape), ended)
    log_prob = log_probs(policies()[0], prompts, said, TEMPERATURE)
    reward = chance.integers(0, 3, shape[1:]).astype(np.float32)
    reward[1] = 1.0  # a group of equals
    return Answers(
        prompts,
        Response(*(jnp.array(x) for x in (token, mask, log_prob.astype(np.float32), ended))),
        jnp.array(reward),
        jnp.array(np.where(mask, chance.random(shape), 0.0).astype(np.float32)),
        jnp.array(chance.integers(0, 2, (NUM_PROMPTS, 1)).astype(np.float32)),
        jnp.arange(1, NUM_PROMPTS + 1)[:, None],
        jnp.ones(NUM_PROMPTS, bool),
    )


def parts_of(name, **changes):
    config = language_config(name, **(SIZES | OWN.get(name, {}) | changes))
    return lm_grpo.parts(config, LanguageSetting(TASK, 1, MODEL))


@functools.cache
def program(name, changes):
    """params, the policy before the update, answers -> value, numbers and gradient of the loss."""
    parts = parts_of(name, **dict(changes))

    def evaluated(params, now, data):
        state = LearnerState(now, (), jnp.int32(0), policies()[2], parts.slots)
        batch = arranged(parts, state, data)[0]
        return jax.value_and_grad(objective(parts).loss, has_aux=True)(params, batch)

    example = policies()[0], policies()[0], shown(name, answers())
    return jax.jit(evaluated).lower(*example).compile()


def shown(name, data):
    """The data as the loop hands them to a method."""
    return data if name == "lm_grpo_steps" else data._replace(step_reward=None)


def evaluated(name, params, now=None, data=None, **changes):
    """(loss, its numbers by name) and the gradient of a method on the batch."""
    now = policies()[0] if now is None else now
    data = shown(name, answers() if data is None else data)
    made = program(name, tuple(sorted(changes.items())))
    (value, numbers), gradient = made(params, now, data)
    names = objective(parts_of(name, **changes)).names
    return value, dict(zip(names, numbers, strict=True)), gradient
