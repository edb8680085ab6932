"""What every algorithm of the zoo promises, checked for all of them alike."""

import time

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrl.config import VOCABULARY, hints
from jaxrl.families.off_policy import ReplayConfig
from jaxrl.families.tabular import TabularConfig
from jaxrl.language_zoo import LANGUAGE
from jaxrl.types import Box, Discrete, Env, MultiDiscrete, Spaces
from jaxrl.zoo import ZOO
from tests.sentences import hold_sentence
from tests.zoo.cases import CURIOUS, Case, alone, budget, made, rows_of, small
from tests.zoo.trees import assert_near, assert_same, at, bits, differ, finite, is_key, types
from tests.zoo.yardstick import QUICK, yardstick

ALL = ZOO | LANGUAGE
BUDGET = 8  # seconds of CPU time for all contracts of one algorithm, on a quick machine
REPLAY_BUDGET = 18  # of one that learns from replay: twice the program, R2D2's a bit more

CRITIC_FREE = {"rloo", "grpo"}
CLONING = {"bc", "dagger"}
JUDGED = {"gail", "airl"}
CLIPPED = {"ppo", "grpo"}
WITHOUT_POLICY = {"pqn"}
ENTROPIC = {"sac", "redq", "discrete_sac"}
TABULAR = {n for n, entry in ZOO.items() if isinstance(entry.config, TabularConfig)}
FOLLOWING = ENTROPIC | {"ddpg", "td3", "d4pg"}

PLANE = Box(-1.0, 1.0, (2,))
ACTIONS = {"Box": PLANE, "Discrete": Discrete(2), "MultiDiscrete": MultiDiscrete((2, 3))}
IN_A_BOX = "ddpg td3 d4pg sac redq"
AMONG_FEW = "actor_critic pqn dqn double_dqn c51 qr_dqn iqn munchausen_dqn rainbow r2d2"
AMONG_FEW += " discrete_sac"
ONLY = dict.fromkeys(IN_A_BOX.split(), "Box") | dict.fromkeys(AMONG_FEW.split(), "Discrete")
ONLY |= dict.fromkeys(TABULAR, "Discrete")
"""Who acts in one kind of space only; all others in each."""


@pytest.fixture(scope="module", params=rows_of([*ZOO, *CURIOUS]))
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


def replayed(name):
    return isinstance(ZOO[name].config, ReplayConfig)


def named_metrics(name):
    names = {"steps", "episode_return", "episode_length", "refused", "lr"}
    if name in TABULAR:
        return names | {"value_loss", "eval_return"}
    names |= {"grad_norm"}
    if name in CLONING:
        names |= {"cloning_loss", "agreement"}
    elif name not in CRITIC_FREE:
        names |= {"value_loss"} if replayed(name) else {"value_loss", "explained_variance"}
    if name not in WITHOUT_POLICY and not replayed(name):
        names |= {"entropy", "approx_kl"}
    if name in FOLLOWING:
        names |= {"policy_loss", "q"}
    if name in ENTROPIC:
        names |= {"entropy", "temperature"}
    if name in CLIPPED:
        names |= {"clip_fraction"}
    if name in JUDGED:
        names |= {"discriminator_loss", "discriminator_accuracy", "imitation_reward"}
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
    """The last contract: what this process worked since it began with the algorithm."""
    seconds = time.process_time() - case.begin
    slowness = max(1.0, yardstick() / QUICK)
    assert seconds < slowness * (REPLAY_BUDGET if replayed(case.name) else BUDGET)


@pytest.mark.parametrize("name", ZOO)
@pytest.mark.parametrize("kind", ACTIONS)
def test_actions_that_cannot_be_taken_are_refused_before_anything_is_traced(name, kind):
    def never(*args):
        raise AssertionError("the environment was asked")

    config, only = small(name), ONLY.get(name, kind)
    shown = Discrete(4) if name in TABULAR else PLANE
    arguments = (config, Env(never, never, Spaces(shown, ACTIONS[kind])), budget(config, 1))
    if kind == only:
        assert made(*arguments).num_updates == 1
        return
    with pytest.raises(ValueError) as error:
        made(*arguments)
    hold_sentence(str(error.value), f"needs a {only} action space, not {ACTIONS[kind]}")


@pytest.mark.parametrize("name", sorted(TABULAR))
def test_a_table_is_refused_where_states_have_no_numbers(name):
    with pytest.raises(ValueError) as error:
        made(small(name), "CartPole-v1", 10_000)
    title = type(ZOO[name].config).__module__.rpartition(".")[2]
    hold_sentence(str(error.value), f"{title} needs a Discrete observation space, not a Box")


@pytest.mark.parametrize("name", ALL)
def test_every_field_is_in_the_vocabulary(name):
    assert set(hints(type(ALL[name].config))) <= set(VOCABULARY)


def test_every_name_of_the_vocabulary_is_a_field():
    used = set().union(*(hints(type(entry.config)) for entry in ALL.values()))
    assert set(VOCABULARY) <= used
