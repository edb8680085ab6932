"""The user's own environments: types that learners count on, and what a step may not give."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrl import make_train
from jaxrl.algorithms import a2c
from jaxrl.envs import make
from tests.envs.tiny import KEY, counter, walk
from tests.sentences import hold_sentence

KINDS = {
    "Python's own": {"terminated": False, "truncated": False},
    "integers": {"reward": jnp.int32(1), "terminated": jnp.int32(0)},
    "numbers": {"reward": jnp.bfloat16(1), "terminated": jnp.float32(0)},
}


def giving(**fields):
    """The counter, whose steps give other things."""

    def step(key, state, action):
        state, reached = counter().step(key, state, action)
        return state, reached._replace(**fields)

    return counter()._replace(step=step)


@pytest.mark.parametrize("kind", KINDS)
def test_numbers_of_any_kind_become_those_that_learners_count_on(kind):
    env = giving(**KINDS[kind])
    steps = walk(make(env), 1, 1)[2]
    assert steps.reward.dtype == jnp.float32 and steps.reward.tolist() == [1, 1]
    assert steps.terminated.dtype == steps.truncated.dtype == bool and not steps.terminated.any()
    assert traced(env)[0].episode.reward.dtype == np.float32


def traced(env):
    config = a2c.Config(num_envs=2, num_steps=4)
    return jax.eval_shape(make_train(config, env, 16), KEY)


UNFIT = {
    "reward must be a number": ({"reward": jnp.ones(1)}, "reward as one number", "shape (1,)"),
    "one end": ({"truncated": jnp.zeros(2, bool)}, "truncated as one number", "shape (2,)"),
    "another obs": ({"obs": jnp.zeros(3)}, "obs as env.reset does, float32[2], not float32[3]"),
    "other types": ({"obs": jnp.zeros(2, int)}, "obs as", "float32[2], not int32[2]"),
}


@pytest.mark.parametrize("kind", UNFIT)
def test_what_a_step_may_not_give_is_told_in_one_sentence(kind):
    fields, *words = UNFIT[kind]
    with pytest.raises(ValueError) as error:
        traced(giving(**fields))
    hold_sentence(str(error.value), "env.step must give", *words)


def test_a_state_stays_what_it_was():
    env = counter()

    def step(key, state, action):
        state, reached = env.step(key, state, action)
        return jnp.float32(state), reached

    with pytest.raises(ValueError) as error:
        traced(env._replace(step=step))
    hold_sentence(str(error.value), "a state as env.reset does, int32[], not float32[]")
