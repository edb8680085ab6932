"""The probes' answers, found again by trying every sequence of actions."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrl.envs import PROBES, ProbeRow, probe, stacked, value
from tests.envs.tiny import KEY, hold_contract, walk

GAMMA = 0.9
FINITE = [name for name, row in PROBES.items() if row.terminates]
KEYS = jax.random.split(KEY, 8)  # both cues are among them


def best_return(row, key, continuous):
    """The best discounted return by brute force, and the first observation."""
    values = [[-1.0], [1.0]] if continuous else [0, 1]
    actions = jnp.array(list(itertools.product(values, repeat=row.length)))

    def one(actions):
        first, _, timesteps = walk(probe(row, continuous), *actions, key=key)
        assert timesteps.terminated.shape == (row.length,)
        return first, jnp.sum(timesteps.reward * GAMMA ** jnp.arange(1.0 * row.length))

    first, returns = jax.vmap(one)(actions)
    return first[0], returns.max()


@pytest.mark.parametrize("continuous", [False, True])
@pytest.mark.parametrize("name", FINITE)
def test_the_value_of_a_start_is_the_best_return(name, continuous):
    row = PROBES[name]
    first, best = jax.vmap(lambda key: best_return(row, key, continuous))(KEYS)
    np.testing.assert_allclose(value(row, first, GAMMA), best, rtol=1e-5)


@pytest.mark.parametrize("name", PROBES)
def test_values_obey_the_bellman_equation_along_the_best_path(name):
    row = PROBES[name]

    def walked(key):
        cue = probe(row).reset(key)[0].cue
        best = (cue > 0).astype(jnp.int32) if row.match else 1
        return walk(probe(row), *[best] * row.length, key=key)

    first, _, timesteps = jax.vmap(walked)(KEYS)
    obs = jnp.concatenate([first[:, None], timesteps.obs], axis=1)
    discount = GAMMA * (1 - jnp.asarray(timesteps.terminated, jnp.float32))
    target = timesteps.reward + discount * value(row, obs[:, 1:], GAMMA)
    np.testing.assert_allclose(value(row, obs[:, :-1], GAMMA), target, rtol=1e-5)
    done = np.asarray(timesteps.terminated | timesteps.truncated)
    assert done[:, -1].all() and not done[:, :-1].any()


def test_a_time_limit_does_not_lower_the_value():
    row = PROBES["time_limit"]
    first, _, timesteps = walk(probe(row), *[0] * 4)
    assert timesteps.truncated.tolist() == [False, False, False, True]
    assert not timesteps.terminated.any()
    np.testing.assert_allclose(value(row, first, GAMMA), 10.0, rtol=1e-5)


def test_the_known_values():
    known = {"constant": 1, "delay": GAMMA, "action": 1, "match": 1, "memory": GAMMA**3}
    for name, expected in known.items():
        first = probe(PROBES[name]).reset(KEY)[1]
        np.testing.assert_allclose(value(PROBES[name], first, GAMMA), expected, rtol=1e-5)


def test_memory_shows_its_cue_once():
    row = PROBES["memory"]
    first, states, timesteps = walk(probe(row), 0, 0, 0, 1)
    assert first.tolist() == [states.cue[0], 0]
    assert timesteps.obs.tolist() == [[0, 0.25], [0, 0.5], [0, 0.75], [0, 1]]
    assert timesteps.reward.tolist() == [0, 0, 0, states.cue[0]]


def test_exploration_pays_only_for_going_all_the_way():
    row = PROBES["exploration"]
    rewards = walk(probe(row), *[1] * 6)[2].reward
    np.testing.assert_allclose(rewards, [-0.01] * 5 + [0.99], rtol=1e-5)
    _, _, missed = walk(probe(row), 0, *[1] * 5)
    assert missed.reward.sum() < 0
    assert value(row, missed.obs[:-1], GAMMA).tolist() == [0] * 5


def test_all_rows_run_as_one():
    rows = stacked(list(PROBES.values()))
    keys = jax.random.split(KEY, len(PROBES))
    actions = jnp.ones((len(PROBES), 6), jnp.int32)
    _, _, together = jax.vmap(lambda row, key, a: walk(probe(row), *a, key=key))(
        rows, keys, actions
    )
    values = jax.vmap(value, (0, 0, None))(rows, together.obs, GAMMA)
    for i, row in enumerate(PROBES.values()):
        _, _, alone = walk(probe(row), *[1] * 6, key=keys[i])
        np.testing.assert_allclose(together.reward[i], alone.reward, rtol=1e-6)
        np.testing.assert_array_equal(together.truncated[i], alone.truncated)
        np.testing.assert_allclose(values[i], value(row, alone.obs, GAMMA), rtol=1e-5)


@pytest.mark.parametrize("continuous", [False, True])
@pytest.mark.parametrize("name", PROBES)
def test_probes_keep_the_contract(name, continuous):
    hold_contract(probe(PROBES[name], continuous))


def test_a_stacked_row_keeps_the_contract():
    row = jax.tree.map(lambda x: x[0], stacked([ProbeRow(), PROBES["memory"]]))
    hold_contract(probe(row))


def test_continuous_actions_count_no_more_than_their_bounds():
    rewards = walk(probe(PROBES["action"], continuous=True), [-5.0], [0.5])[2].reward
    assert rewards.tolist() == [-1, 0.5]
