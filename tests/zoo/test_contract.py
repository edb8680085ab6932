"""What every algorithm of the zoo promises, checked for all of them alike."""

import os
import time

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrl.config import VOCABULARY, hints
from jaxrl.families.off_policy import OffPolicyConfig
from jaxrl.zoo import ZOO
from tests.zoo.cases import Case, alone
from tests.zoo.trees import assert_near, assert_same, at, bits, differ, finite, is_key, types

BUDGET = 8  # seconds of CPU time for all contracts of one algorithm

CRITIC_FREE = {"rloo", "grpo"}
CLIPPED = {"ppo", "grpo"}
WITHOUT_POLICY = {"pqn"}


@pytest.fixture(scope="module", params=ZOO)
def case(request):
    """An algorithm, for all tests that name it: they stand in a row."""
    return Case(request.param)


def test_the_state_keeps_its_types(case):
    assert types(case.to(case.first, 1)[0]) == types(case.first)


def test_settings_that_are_floats_retrace_nothing(case):
    case.to(case.first, 1)
    case.to(case.first, 2, configs=jax.tree.map(lambda x: 0.9 * x, case.configs))
    assert case.num_traces == 1


@pytest.mark.parametrize("ends", [(1,), (3,), (2, 4), (1, 2, 3, 4)])
def test_pieces_add_up_to_the_whole_bit_for_bit(case, ends):
    state = case.first
    for end in ends:  # and an evaluation at each of them
        state, _ = case.to(state, end)
    assert_same(case.to(state, 5)[0], case.last[0])


def test_a_window_that_is_over_changes_nothing(case):
    assert_same(case.to(case.last[0], 3)[0], case.last[0])


def test_side_by_side_is_one_after_the_other_and_no_key_serves_twice(case):
    states, used = alone(at(case.configs, 1), case.keys)
    together, _ = case.to(case.first, 1)
    for seed, state in enumerate(states):
        assert_near(at(together, 1, seed), state)
    assert len(used) > 100
    assert len(np.unique(used, axis=0)) == len(used)


def test_seeds_and_settings_matter(case):
    params = case.last[0].learner.params
    scene = case.last[0].scene
    assert differ(at(params, 0, 0), at(params, 0, 1))
    assert differ(at(params, 0, 0), at(params, 1, 0))
    assert differ(at(scene, 0, 0), at(scene, 0, 1))


def test_nothing_is_nan_and_the_metrics_are_all_there(case):
    state, metrics = case.last
    assert finite(state) and finite(metrics)
    assert (bits(state.num_updates) == 5).all() and (bits(state.bad_update) == -1).all()
    assert set(metrics) >= named_metrics(case.name)
    assert all((bits(average.count) > 0).all() for average in metrics.values())
    assert (bits(metrics["refused"].mean) == 0).all()
    length = bits(metrics["episode_length"].mean)
    assert (length >= 1).all() and (length <= 5).all()


def named_metrics(name):
    names = {"steps", "episode_return", "episode_length", "refused", "grad_norm", "lr"}
    replayed = isinstance(ZOO[name].config, OffPolicyConfig)
    if name not in CRITIC_FREE:
        names |= {"value_loss"} if replayed else {"value_loss", "explained_variance"}
    if name not in WITHOUT_POLICY and not replayed:
        names |= {"entropy", "approx_kl"}
    if name in CLIPPED:
        names |= {"clip_fraction"}
    return names | {"eval_return"}


def test_a_state_survives_a_file(case):
    state, _ = case.to(case.first, 2)
    leaves, treedef = jax.tree.flatten(state)
    saved = [bits(x).tobytes() for x in leaves]  # no device, no key, no tree

    def load(data, like):
        numbers = jnp.array(np.frombuffer(data, bits(like).dtype).reshape(bits(like).shape))
        if not is_key(like):
            return numbers
        return jax.random.wrap_key_data(numbers, impl=jax.random.key_impl(like))

    loaded = jax.tree.unflatten(treedef, map(load, saved, leaves))
    assert_same(case.to(loaded, 5), case.to(state, 5))


def test_a_reward_that_is_nan_leaves_the_learner_as_it_was(case):
    good, _ = case.to(case.first, 2)
    refused, metrics = case.to(good, 4, spoil=np.nan)
    assert_same(refused.learner, good.learner)
    assert (bits(refused.bad_update) == 2).all()
    assert (bits(metrics["refused"].total) == 2).all()
    again, metrics = case.to(refused, 5)
    assert (bits(again.bad_update) == 2).all() and finite(again.learner)
    assert (bits(metrics["refused"].total) == 0).all()
    assert differ(again.learner.params, good.learner.params)


def test_all_of_this_takes_little_time(case):
    """The last contract: what this process worked since it began with the algorithm.

    Time in which others have the processor does not count; but they slow each step down, so that
    a machine with more to do than it has processors is given longer.
    """
    load = os.getloadavg()[0] / len(os.sched_getaffinity(0))
    assert time.process_time() - case.begin < BUDGET * max(1.0, load)


@pytest.mark.parametrize("name", ZOO)
def test_every_field_is_in_the_vocabulary(name):
    assert set(hints(type(ZOO[name].config))) <= set(VOCABULARY)


def test_every_name_of_the_vocabulary_is_a_field():
    used = set().union(*(hints(type(entry.config)) for entry in ZOO.values()))
    assert set(VOCABULARY) <= used
