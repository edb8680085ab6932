"""Finite processes as environments: what is drawn, paid and ended."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrl.envs import Mdp, mdp_env
from jaxrl.types import Discrete
from tests.envs.tiny import KEY, types, walk
from tests.sentences import hold_sentence

NUM = 20_000


def chances(seed=0, num_states=4, num_actions=2):
    """Random tables, in which some ways are impossible and the last state is terminal."""
    rng = np.random.default_rng(seed)
    prob = rng.dirichlet(np.ones(num_states), (num_states, num_actions))
    prob[rng.random(prob.shape) < 0.4] = 0.0
    prob[..., 1] += prob.sum(-1) == 0
    prob /= prob.sum(-1, keepdims=True)
    reward = rng.normal(size=prob.shape).astype(np.float32)
    initial = np.isin(np.arange(num_states), (0, 2)).astype(np.float32) / 2
    return Mdp(prob.astype(np.float32), reward, np.arange(num_states) == 3, initial)


def lots(env, state, action):
    """Many steps from one state."""
    one = jax.vmap(env.step, (0, None, None))
    return jax.jit(one)(jax.random.split(KEY, NUM), jnp.int32(state), jnp.int32(action))


def test_states_are_drawn_as_often_as_they_should_be_and_impossible_ones_never():
    mdp = chances()
    env = mdp_env(mdp)
    for state, action in np.ndindex(3, 2):
        reached, timestep = lots(env, state, action)
        share = np.bincount(reached, minlength=4) / NUM
        expected = np.asarray(mdp.transition)[state, action]
        assert (share[expected == 0] == 0).all()
        deviation = np.sqrt(expected * (1 - expected) / NUM)
        assert (np.abs(share - expected) <= 4.5 * deviation + 1e-6).all()
        np.testing.assert_array_equal(timestep.obs, reached)
        np.testing.assert_array_equal(timestep.reward, mdp.reward[state, action, reached])
        np.testing.assert_array_equal(timestep.terminated, np.asarray(reached) == 3)
        assert not timestep.truncated.any()
    starts = np.asarray(jax.vmap(env.reset)(jax.random.split(KEY, NUM))[1])
    assert set(starts.tolist()) == {0, 2} and abs((starts == 0).mean() - 0.5) < 0.02


def test_a_uniform_number_next_to_1_draws_no_impossible_state(monkeypatch):
    """Thirds do not add up to 1 in floats."""
    prob = np.zeros((5, 1, 5), np.float32)
    prob[:, :, [1, 2, 4]] = np.float32(1) / np.float32(3)
    mdp = Mdp(prob, np.zeros_like(prob), np.zeros(5, bool), np.float32(np.arange(5) == 0))
    env = mdp_env(mdp)
    highest = np.float32(1) - np.float32(2) ** -24
    for share, expected in ((0.0, 1), (highest, 4)):
        monkeypatch.setattr(jax.random, "uniform", lambda key, share=share: jnp.float32(share))
        assert env.step(KEY, jnp.int32(0), jnp.int32(0))[0] == expected


def test_a_limit_truncates_and_does_not_terminate():
    ring = np.zeros((3, 1, 3), np.float32)
    ring[[0, 1, 2], 0, [1, 2, 0]] = 1.0
    mdp = Mdp(ring, ring, np.zeros(3, bool), np.float32([1, 0, 0]))
    first, _, timesteps = walk(mdp_env(mdp, 4), *[0] * 4)
    assert first == 0 and timesteps.obs.tolist() == [1, 2, 0, 1]
    assert timesteps.truncated.tolist() == [False, False, False, True]
    assert not timesteps.terminated.any()
    over = mdp._replace(terminal=np.arange(3) == 1)
    _, _, timesteps = walk(mdp_env(over, 1), 0)  # death at the limit is death
    assert timesteps.terminated.tolist() == [True] and timesteps.truncated.tolist() == [False]


def test_types_are_kept():
    env = mdp_env(chances(), 5)
    state, obs = jax.eval_shape(env.reset, KEY)
    after, timestep = jax.eval_shape(env.step, KEY, state, jax.ShapeDtypeStruct((), "int32"))
    assert types(state) == types(after) and types(obs) == types(timestep.obs)
    assert env.spaces == (Discrete(4), Discrete(2))
    assert not any(x.weak_type for x in jax.tree.leaves((state, obs, timestep)))


def test_a_traced_process_is_the_process():
    """Nobody knows how few ways there are: the same are drawn all the same."""
    mdp = chances()
    actions = [0, 1, 1, 0, 1, 0, 0, 1]

    def path(scale, transition):
        changed = mdp._replace(reward=mdp.reward * scale, transition=transition)
        return walk(mdp_env(changed), *actions)[2]

    told = path(1.0, jnp.asarray(mdp.transition))
    traced = jax.jit(jax.vmap(path, (0, None)))(jnp.array([1.0, 2.0]), mdp.transition)
    for factor, row in ((1, 0), (2, 1)):
        np.testing.assert_array_equal(traced.obs[row], told.obs)
        np.testing.assert_allclose(traced.reward[row], factor * told.reward, rtol=1e-6)


GOOD = chances()
BAD = {
    "shape": (GOOD._replace(transition=GOOD.transition[:, :, :3]), "transition", "[4"),
    "square": (
        GOOD._replace(transition=GOOD.transition[:3], reward=GOOD.reward[:3]),
        "transition must have the shape [S, A, S], not (3, 2, 4)",
    ),
    "reward": (GOOD._replace(reward=GOOD.reward[:2]), "reward must have the shape (4, 2, 4)"),
    "sum": (GOOD._replace(transition=GOOD.transition * 1.5), "transition must sum to 1", "1.5"),
    "sign": (
        GOOD._replace(initial=np.float32([1.5, -0.5, 0, 0])),
        "initial must be of at least 0 over states, not -0.5",
    ),
    "starts": (GOOD._replace(initial=np.float32([1, 0])), "initial must have the shape (4,)"),
    "flags": (GOOD._replace(terminal=np.ones(3, bool)), "terminal must have the shape (4,)"),
    "start at the end": (
        GOOD._replace(initial=np.float32([0, 0, 0, 1])),
        "initial must be 0 at terminal states, not above it at 3",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_tables_that_do_not_fit_are_refused_in_one_sentence(name):
    mdp, *words = BAD[name]
    with pytest.raises(ValueError) as error:
        mdp_env(mdp)
    hold_sentence(str(error.value), *[word for word in words if word != "[4"])
