"""The offline loop: what is learnt from data alone, and the contracts of every other loop."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrl import make_offline, make_train
from jaxrl.algorithms import dqn
from jaxrl.config import replace
from jaxrl.data import fixed
from jaxrl.data.conform import conform_actions
from jaxrl.envs import PROBES, probe, value
from jaxrl.envs.probes import stacked
from jaxrl.families.off_policy import ReplayConfig, replay
from jaxrl.families.settings import Setting, in_sequences
from jaxrl.loops.run import run
from jaxrl.networks.value import Chance
from jaxrl.train import with_replay
from jaxrl.types import Box, Spaces
from jaxrl.zoo import ZOO
from tests.sentences import hold_sentence
from tests.zoo.cases import in_a_box, small, world
from tests.zoo.keys import PLAIN, USED, noted
from tests.zoo.trees import assert_near, assert_same, at, differ, finite, types
from tests.zoo.worlds import drift

NUM_ENVS, NUM_STEPS, GAMMA = 4, 32, 0.9
SIZES = {"num_envs": NUM_ENVS, "hidden_sizes": (16,), "gamma": GAMMA, "capacity": 128}
CONFIG = dqn.Config(
    **SIZES, learning_starts=128, batch_size=32, num_iterations=10, lr=1e-2, polyak=0.05
)
SMALL = replace(CONFIG, hidden_sizes=(4,), batch_size=4, num_iterations=2, replay="proportional")
KEY = jax.random.key(0, impl=PLAIN)
VALUED = ("constant", "observation", "delay", "match", "time_limit")


def collected(env, key, config=CONFIG):
    """The steps of a policy that tries all actions alike, [T, N, ...]: warm-up's."""
    state = make_train(config, env, 10_000).algorithm.init(key)
    return jax.tree.map(lambda x: x.reshape(NUM_STEPS, NUM_ENVS, *x.shape[1:]), state.buffer.data)


@functools.cache
def data() -> Any:
    return jax.jit(lambda key: collected(drift(), key))(KEY)


def offline(config=SMALL, **changes):
    return make_offline(replace(config, **changes), drift(), data(), 20)


def test_values_are_the_analytic_ones():
    rows = stacked([PROBES[name] for name in VALUED])

    def one(row):
        env = probe(row)
        steps = collected(env, KEY)
        state, metrics = make_offline(CONFIG, env, steps, 2000)(KEY)
        network = dqn.network(CONFIG, Setting(env.spaces, 1))
        obs = steps.obs.reshape(-1, 2)
        q = network.step(state.learner.params, obs, (), Chance())[0].numbers.max((-2, -1))
        return q, value(row, obs, GAMMA), metrics["steps"].mean

    q, true, steps = jax.jit(jax.vmap(one))(rows)
    assert (steps[:, -1] == 2000).all()
    for name, ours, theirs in zip(VALUED, q, true, strict=True):
        assert np.abs(ours - theirs).max() < 0.06 * np.abs(theirs).max(), name


@functools.cache
def programs():
    training = offline()
    first = jax.jit(training.algorithm.init)(KEY)
    return first, jax.jit(functools.partial(run, training.algorithm))


def test_pieces_add_up_to_the_whole_bit_for_bit():
    state, go_on = programs()
    whole, metrics = go_on(state, jnp.int32(7))
    assert finite(whole) and differ(whole.learner.params, state.learner.params)
    assert types(whole) == types(state) and differ(whole.buffer, state.buffer)
    assert metrics["value_loss"].count == 14 and metrics["episode_return"].count == 0
    for size in (1, 4, 2):
        state, _ = go_on(state, jnp.int32(size))
    assert_same(state, whole)


def test_the_state_holds_no_data():
    plain = jax.eval_shape(offline(replay="uniform").algorithm.init, KEY)
    assert not jax.tree.leaves(plain.buffer)
    sizes = [x.size for x in jax.tree.leaves(jax.eval_shape(offline().algorithm.init, KEY).buffer)]
    assert sum(sizes) < 2 * NUM_STEPS * NUM_ENVS  # priorities, and no observations


def test_seeds_side_by_side_are_one_after_the_other_and_no_key_serves_twice():
    training, keys = offline(), jax.random.split(KEY, 2)
    train = jax.jit(lambda key: training(key)[0])
    with jax.debug_key_reuse(True):
        train.trace(noted(keys[0]))
    USED.clear()
    alone = [train(noted(key)) for key in keys]
    used = USED.rows()
    assert len(used) > 40 and len(np.unique(used, axis=0)) == len(used)
    together = jax.jit(jax.vmap(lambda key: training(key)[0]))(keys)
    for seed, state in enumerate(alone):
        assert_near(at(together, seed).learner.params, state.learner.params, 1e-4)
    assert differ(alone[0].learner.params, alone[1].learner.params)


@pytest.mark.parametrize("kind", ["uniform", "proportional", "rank"])
def test_fixed_data_are_drawn_as_a_buffer_that_was_filled_with_them(kind):
    config = replace(SMALL, replay=kind, n_step=3)
    full = replay(config)
    lean = fixed(data(), lambda capacity, num_envs: replay(config))
    row = at(data(), 0, 0)

    @jax.jit
    def both(key):
        noise = full.draw(key, (8,))
        filled, _ = jax.lax.scan(lambda s, x: (full.add(s, x), None), full.init(row), data())
        choice = lean.init(row)
        samples = [(full.sample(filled, noise), lean.sample(choice, noise))]
        index = samples[0][0].index
        filled = full.reprioritise(filled, index, jnp.arange(8.0))
        choice = lean.reprioritise(choice, index, jnp.arange(8.0))
        return [*samples, (full.sample(filled, noise), lean.sample(choice, noise))]

    for theirs, ours in both(KEY):
        assert_same(ours, theirs)
    with pytest.raises(TypeError, match="a data set is never added to"):
        lean.add((), data())


def test_every_learner_of_replay_learns_from_data():
    """As shapes: what each compiles is that of its own loop. Memories are no part of a data set.

    Nor are the answers of an expert, which DAgger asks for.
    """
    boxed = data()._replace(action=jnp.zeros((NUM_STEPS, NUM_ENVS, 2)))
    for name, entry in ZOO.items():
        if not isinstance(entry.config, ReplayConfig) or in_sequences(entry.config):
            continue
        if getattr(entry.config, "labels", "done") == "asked":
            continue
        config = replace(small(name), capacity=NUM_STEPS * NUM_ENVS)
        steps = boxed if in_a_box(config) else data()
        algorithm = make_offline(config, world(config), steps, 1000).algorithm
        state = jax.eval_shape(algorithm.init, KEY)
        assert jax.eval_shape(algorithm.update, state)[0].learner == state.learner, name


RECURRENT = replace(SMALL, memory="gru", memory_size=4, sequence_length=4)
UNFIT = {
    "another environment": (
        {"env": drift()._replace(spaces=Spaces(Box(-1.0, 1.0, (2,)), Box(-1.0, 1.0, (2,))))},
        "dqn needs a Discrete action space",
    ),
    "another shape": (
        {"env": "CartPole-v1"},
        "dataset must hold obs as float32 of shape (32, 4, 4), not as float32 of shape (32, 4, 2)",
    ),
    "another action": (
        {"dataset": lambda x: x._replace(action=x.action + 1)},
        "dataset must hold actions of Discrete(num_values=2), not from 1 to 2",
    ),
    "a short window": (
        {"config": replace(SMALL, n_step=33)},
        "dataset must hold a window of dqn.n_step = 33 steps",
        "not 32 steps",
    ),
    "a short sequence": (
        {
            "config": replace(RECURRENT, sequence_length=33),
            "dataset": lambda x: x._replace(extras=jnp.zeros((NUM_STEPS, NUM_ENVS, 4))),
        },
        "dataset must hold a window of dqn.sequence_length = 33 steps",
        "not 32 steps",
    ),
    "a sequence that is all warm-up": (
        {"config": replace(RECURRENT, burn_in=4)},
        "dqn.burn_in must be less than sequence_length = 4, not 4",
    ),
    "an algorithm of rollouts": (
        {"config": "ppo"},
        "dataset needs an algorithm that learns from replay, not ppo",
    ),
    "one axis": ({"dataset": lambda x: at(x, 0)}, "dataset must hold reward of steps and"),
    "no step": (
        {"total_steps": 1},
        "total_steps must be at least one update, num_iterations × num_gradients = 2, not 1",
    ),
}


@pytest.mark.parametrize("kind", UNFIT)
def test_a_mistake_is_told_in_one_sentence(kind):
    changes, *words = UNFIT[kind]
    given = {"config": SMALL, "env": drift(), "dataset": lambda x: x, "total_steps": 20} | changes
    with pytest.raises(ValueError) as error:
        make_offline(**given | {"dataset": given["dataset"](data())})
    hold_sentence(str(error.value), *words)


def test_actions_at_bounds_of_any_type_are_inside():
    """float32(0.1) is above 0.1."""
    bounds = Box(np.array([-0.1, -2.0]), np.array([0.1, 0.7]), (2,))
    edge = jnp.stack([jnp.asarray(x, jnp.float32) for x in (bounds.low, bounds.high)])
    conform_actions(edge, bounds, "dataset")
    with pytest.raises(ValueError, match="dataset must hold actions of Box"):
        conform_actions(edge * 1.001, bounds, "dataset")


def test_a_training_from_data_takes_no_replay_of_its_own():
    with pytest.raises(ValueError) as error:
        with_replay(offline(), SMALL, lambda buffer: buffer)
    hold_sentence(str(error.value), "training must act in its environment")
