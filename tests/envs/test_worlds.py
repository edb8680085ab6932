"""The worlds of the literature against their rules, written anew, and what their names take."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrl.envs import (
    WORLDS,
    cliff_walking,
    environments,
    frozen_lake,
    make,
    random_walk,
    windy_gridworld,
    world,
)
from tests.envs.tiny import walk
from tests.sentences import hold_sentence


def ways(mdp, state, action):
    """{(state, reward): probability} of what the tables say may come."""
    prob, reward = (np.asarray(x)[state, action] for x in (mdp.transition, mdp.reward))
    return {(int(s), float(reward[s])): float(prob[s]) for s in np.flatnonzero(prob)}


def cells(mdp):
    return [int(s) for s in np.flatnonzero(~np.asarray(mdp.terminal))]


def test_cliff_walking_is_that_of_the_textbook():
    """In coordinates that grow to the right and upwards, from the start."""
    mdp = cliff_walking()
    assert np.flatnonzero(mdp.terminal).tolist() == [47] and mdp.initial[36] == 1
    for state in cells(mdp):
        x, y = state % 12, 3 - state // 12
        for action, (right, up) in enumerate([(0, 1), (1, 0), (0, -1), (-1, 0)]):
            to = min(11, max(0, x + right)), min(3, max(0, y + up))
            expected = ((3 - to[1]) * 12 + to[0], -1.0)
            if to[1] == 0 and 0 < to[0] < 11:
                expected = (36, -100.0)
            assert ways(mdp, state, action) == {expected: 1.0}
    first, _, timesteps = walk(make("CliffWalking"), 0, *[1] * 11, 2)
    assert first == 36 and timesteps.reward.sum() == -13 and timesteps.terminated[-1]
    assert not timesteps.terminated[:-1].any() and not timesteps.truncated.any()


@pytest.mark.parametrize("slippery", [True, False])
@pytest.mark.parametrize(("name", "size"), [("FrozenLake", 4), ("FrozenLake8x8", 8)])
def test_frozen_lakes_are_those_of_gymnasium(name, size, slippery):
    """Actions 0 to 3 are left, down, right and up; ice slips to (a − 1) % 4 and (a + 1) % 4."""
    mdp, limit = world(name, slippery=slippery)
    assert limit == {4: 100, 8: 200}[size] and mdp.initial[0] == 1
    holes = {4: {5, 7, 11, 12}, 8: {19, 29, 35, 41, 42, 46, 49, 52, 54, 59}}[size]
    goal = size * size - 1
    assert set(np.flatnonzero(mdp.terminal).tolist()) == holes | {goal}
    for state in cells(mdp):
        for action in range(4):
            expected = {}
            for b in [(action - 1) % 4, action, (action + 1) % 4] if slippery else [action]:
                row, column = divmod(state, size)
                row, column = {
                    0: (row, max(column - 1, 0)),
                    1: (min(row + 1, size - 1), column),
                    2: (row, min(column + 1, size - 1)),
                    3: (max(row - 1, 0), column),
                }[b]
                reached = row * size + column, float(row * size + column == goal)
                expected[reached] = expected.get(reached, 0) + (1 / 3 if slippery else 1)
            assert ways(mdp, state, action) == pytest.approx(expected)


def test_windy_gridworld_is_that_of_the_textbook():
    mdp = windy_gridworld()
    wind = [0, 0, 0, 1, 1, 1, 2, 2, 1, 0]
    for state in cells(mdp):
        y, x = divmod(state, 10)
        for action, (down, right) in enumerate([(-1, 0), (0, 1), (1, 0), (0, -1)]):
            to = min(6, max(0, y + down - wind[x])), min(9, max(0, x + right))
            assert ways(mdp, state, action) == {(to[0] * 10 + to[1], -1.0): 1.0}
    right, down, left = 1, 2, 3
    path = [right] * 9 + [down] * 4 + [left] * 2  # the best one, figure of example 6.5
    first, _, timesteps = walk(make("WindyGridworld"), *path)
    assert first == 30 and timesteps.obs[-1] == 37
    assert timesteps.terminated.tolist() == [False] * 14 + [True]


@pytest.mark.parametrize(("num_states", "left"), [(5, 0.0), (19, -1.0)])
def test_random_walks_are_those_of_the_textbook(num_states, left):
    mdp = random_walk(num_states, left)
    end = num_states + 1
    assert set(np.flatnonzero(mdp.terminal).tolist()) == {0, end}
    assert mdp.initial[end // 2] == 1
    for state in cells(mdp):
        paid = {0: left, end: 1.0}
        assert ways(mdp, state, 0) == {(state - 1, paid.get(state - 1, 0.0)): 1.0}
        assert ways(mdp, state, 1) == {(state + 1, paid.get(state + 1, 0.0)): 1.0}


@pytest.mark.parametrize("name", WORLDS)
def test_every_world_goes_by_its_name(name):
    assert name in environments() and "CartPole-v1" in environments()
    env, (mdp, _) = make(name), world(name)
    assert env.spaces[0].num_values == mdp.num_states == len(mdp.reward)
    state, obs = env.reset(jax.random.key(0))
    assert mdp.initial[obs] > 0
    _, timestep = env.step(jax.random.key(1), state, jnp.int32(0))
    assert mdp.transition[obs, 0, timestep.obs] > 0
    truncated = walk(make(name, max_steps=1), 0)[2].truncated
    assert truncated.tolist() == [not mdp.terminal[timestep.obs]]


def test_a_map_of_ones_own():
    mdp = frozen_lake(("SF", "HG"), slippery=False)
    assert mdp.terminal.tolist() == [False, False, True, True]
    assert ways(mdp, 1, 1) == {(3, 1.0): 1.0}


MISTAKES = (
    ("FrozenLak", {}, "env must be the name of an environment, such as FrozenLake, "),
    ("CartPole", {}, "env must be the name of an environment, such as CartPole-v1"),
    ("FrozenLake", {"slipery": True}, "slipery is not a parameter of FrozenLake, which has slip"),
    ("FrozenLake", {"slippery": 1}, "slippery must be True or False, not 1"),
    ("FrozenLake", {"lake": ("SG",)}, "lake is not a parameter of FrozenLake"),
    ("CliffWalking", {"slippery": True}, "slippery is not a parameter of CliffWalking"),
    ("CliffWalking", {"max_steps": 0}, "max_steps must be an integer of at least 1, not 0"),
    ("RandomWalk", {"num_states": 0}, "num_states must be an integer of at least 1, not 0"),
    ("RandomWalk", {"num_states": 2.5}, "num_states must be an integer of at least 1, not 2.5"),
    ("RandomWalk", {"left_reward": math.nan}, "left_reward must be a finite number, not nan"),
    ("RandomWalk", {"left_reward": "much"}, "left_reward must be a finite number, not 'much'"),
)


@pytest.mark.parametrize(("name", "params", "words"), MISTAKES, ids=str)
def test_a_mistake_is_named_in_one_sentence(name, params, words):
    with pytest.raises(ValueError) as error:
        make(name, **params)
    hold_sentence(str(error.value), words)
