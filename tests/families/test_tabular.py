"""Tables that were learnt, held to the exact answers of planning."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrl import evaluate, exact_evaluation, make_train, value_iteration
from jaxrl.algorithms import monte_carlo, td
from jaxrl.config import replace
from jaxrl.envs import Mdp, cliff_walking, frozen_lake, mdp_env, random_walk
from jaxrl.families.settings import Setting
from jaxrl.families.tabular import action_values
from jaxrl.types import Rollout, Transition
from jaxrl.zoo import ZOO
from tests.compiler import SOME
from tests.envs.test_mdp import chances

KEYS = jax.random.split(jax.random.key(0), 3)
ALWAYS = {"epsilon_start": 1.0, "epsilon_end": 1.0}
"""Actions that are all alike, whatever is learnt."""


def learnt(config, env, total_steps):
    """The tables of three seeds."""
    train = jax.vmap(lambda key: make_train(config, env, total_steps)(key)[0].learner)
    return jax.jit(train, compiler_options=SOME)(KEYS)


def mean_table(config, mdp, total_steps, max_steps=None):
    params = learnt(config, mdp_env(mdp, max_steps), total_steps).params
    return np.asarray(params.mean(1))  # of two tables, where there are two


def alike(mdp):
    return jnp.full((mdp.num_states, mdp.num_actions), 1 / mdp.num_actions)


def soft(mdp, epsilon):
    """The process in which at the rate ε any action is taken in place of the one that was meant."""
    meant, paid = np.asarray(mdp.transition), np.asarray(mdp.transition) * np.asarray(mdp.reward)
    prob, total = ((1 - epsilon) * x + epsilon * x.mean(1, keepdims=True) for x in (meant, paid))
    return mdp._replace(transition=prob, reward=total / np.where(prob > 0, prob, 1))


@pytest.mark.parametrize("max_steps", [None, 4])
@pytest.mark.parametrize("name", ["q_learning", "double_q_learning"])
def test_q_learning_finds_the_best_values_whatever_it_does(name, max_steps):
    """A limit that cuts every other episode changes none of them."""
    mdp, gamma = chances(1), 0.8
    config = replace(ZOO[name].config, **ALWAYS, gamma=gamma, lr=0.1, anneal_lr=True)
    table = mean_table(config, mdp, 400_000, max_steps)
    best = np.asarray(value_iteration(mdp, gamma).q)
    assert np.abs(table - best).max() < 0.05 * np.abs(best).max()


@pytest.mark.parametrize("max_steps", [None, 4])
@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("sarsa", {}),
        ("expected_sarsa", {}),
        ("sarsa", {"traces": "replacing", "lam": 0.7}),
        ("monte_carlo", {"num_steps": 50, "averaging": True}),
        ("monte_carlo", {"num_steps": 50, "averaging": True, "visits": "first"}),
    ],
)
def test_values_on_the_policy_are_those_of_the_policy(name, changes, max_steps):
    mdp, gamma = chances(1), 0.8
    fields = ALWAYS | {"gamma": gamma, "lr": 0.1, "anneal_lr": True} | changes
    if name == "monte_carlo":
        fields |= {"lr": 0.0}
    table = mean_table(replace(ZOO[name].config, **fields), mdp, 400_000, max_steps)
    true = np.asarray(exact_evaluation(mdp, alike(mdp), gamma).q)
    # a mean of returns that were cut keeps for long what the table expected at first
    near = 0.12 if name == "monte_carlo" and max_steps else 0.06
    assert np.abs(table - true).max() < near * np.abs(true).max()


def test_td_knows_the_random_walk():
    walk = random_walk()
    true = np.arange(1, 6) / 6
    for changes in ({}, {"traces": "accumulating"}, {"traces": "replacing"}, {"num_envs": 4}):
        config = td.Config(gamma=1.0, lr=0.1, anneal_lr=True, **changes)
        value = np.asarray(learnt(config, mdp_env(walk), 100_000).params)
        np.testing.assert_allclose(value[:, 1:6], np.broadcast_to(true, (3, 5)), atol=0.03)
        assert (value[:, [0, 6]] == 0).all()


CLIFF = {"gamma": 1.0, "lr": 0.5, "epsilon_start": 0.1, "epsilon_end": 0.1}


@pytest.mark.parametrize(
    ("name", "changes"),
    [("q_learning", {}), ("sarsa", {"anneal_lr": True}), ("expected_sarsa", {})],
)
def test_sarsa_keeps_away_from_the_cliff_and_q_learning_does_not(name, changes):
    """Where a tenth of all actions is chance, the best path is another one: by 2 steps longer."""
    mdp = cliff_walking()
    config = replace(ZOO[name].config, **CLIFF | changes)
    states = learnt(config, "CliffWalking", 200_000)
    known = soft(mdp, 0.1) if "sarsa" in name else mdp
    best = jax.nn.one_hot(value_iteration(known, 1.0).policy, 4)
    length = exact_evaluation(mdp, best, 1.0).value[36]
    assert length == (-15 if "sarsa" in name else -13)
    for seed in range(3):
        state = jax.tree.map(lambda x, seed=seed: x[seed], states)
        played = evaluate(config, state, "CliffWalking", KEYS[0], 2, max_steps=100)
        returns = np.asarray(played.episode_return)
        assert (returns == -13).all() if name == "q_learning" else (returns <= -15).all()
        if name != "sarsa":  # whose values are noisy
            assert (returns == length).all()
        assert (returns >= -21).all() and played.finished.all()


def test_q_learning_wins_on_ice_as_often_as_can_be():
    mdp = frozen_lake()
    states = learnt(*tuned_on_ice(), 500_000)
    policy = action_values(states.params[0], jnp.arange(16)).argmax(-1)
    won = exact_evaluation(mdp, jax.nn.one_hot(policy, 4), 0.99).value[0]
    assert won > 0.97 * value_iteration(mdp, 0.99).value[0]


def tuned_on_ice():
    config = replace(ZOO["q_learning"].config, gamma=0.99, lr=0.02, averaging=True, epsilon_end=0.1)
    return config, "FrozenLake"


def gamble(num_actions=10):
    """Left leads to bets that lose 0.1 in the mean, right to nothing: Sutton & Barto's example 6.7.

    A bet wins 0.9 or loses 1.1: its deviation is 1.
    """
    transition, reward = np.zeros((2, 5, num_actions, 5), np.float32)
    transition[0, :, 2], transition[0, 0] = 1.0, np.eye(5)[1]
    transition[1, :, 3:] = 0.5
    reward[1, :, 3:] = 0.9, -1.1
    transition[2:, :, 2] = 1.0
    return Mdp(transition, reward, np.arange(5) > 1, np.float32([1, 0, 0, 0, 0]))


def test_two_tables_are_less_hopeful_than_one():
    """Of ten bets that all lose, one table believes in the luckiest."""
    mdp = gamble()
    assert value_iteration(mdp, 1.0).q[0, 0] == pytest.approx(-0.1)
    hopes = {}
    for name in ("q_learning", "double_q_learning"):
        config = replace(ZOO[name].config, gamma=1.0, num_steps=100, **ALWAYS)
        params = learnt(config, mdp_env(mdp), 3000).params
        hopes[name] = float(params[:, :, 0, 0].mean())
    assert hopes["q_learning"] > 0.1
    assert hopes["double_q_learning"] < hopes["q_learning"] - 0.1


def rollout(rng, num_steps, num_envs):
    """Random steps in which each trajectory ends once, in death, at a limit or not at all."""
    shape = (num_steps, num_envs)
    ends, how = rng.integers(1, num_steps, num_envs), np.arange(num_envs) % 3
    time = np.arange(num_steps)[:, None]
    terminated, truncated = ((time == ends) & (how == kind) for kind in (0, 1))
    mask = (time <= ends) | (how == 2)
    obs, next_obs, action = (rng.integers(0, n, shape) for n in (3, 3, 2))
    reward = np.where(mask, rng.normal(size=shape), 0.0).astype(np.float32)
    steps = Transition(obs, action, (), reward, next_obs, terminated, truncated)
    steps = jax.tree.map(jnp.asarray, steps)
    return Rollout(steps, steps.next_obs[-1], (), (), jnp.asarray(mask))


@pytest.mark.parametrize("visits", ["every", "first"])
@pytest.mark.parametrize(("averaging", "lr"), [(True, 0.0), (False, 0.2)])
def test_monte_carlo_learns_the_means_of_returns(visits, averaging, lr):
    """Two updates, each by a loop over trajectories, from the end of each of them."""
    config = monte_carlo.Config(gamma=0.9, lr=lr, averaging=averaging, visits=visits, **ALWAYS)
    learner = monte_carlo.learner(config, Setting(mdp_env(chances()).spaces, 10))
    state, rng = learner.init(KEYS[0], jnp.zeros(6, int)), np.random.default_rng(0)
    q, count = np.zeros((4, 2)), np.zeros((4, 2))
    for _ in range(2):
        data = rollout(rng, 7, 6)
        state, _ = learner.update(KEYS[0], state, data)
        steps, mask = jax.tree.map(np.asarray, (data.transition, data.mask))
        found = {}
        for n in range(6):
            follow = q[steps.next_obs[mask[:, n].sum() - 1, n]].mean()
            follow *= not steps.terminated[:, n].any()
            seen = {}
            for t in reversed(range(mask[:, n].sum())):
                follow = steps.reward[t, n] + 0.9 * follow
                place = steps.obs[t, n], steps.action[t, n]
                seen.setdefault(place, []).append(follow)
            for place, returns in seen.items():
                found.setdefault(place, []).extend(returns if visits == "every" else returns[-1:])
        for place, returns in found.items():
            count[place] += len(returns)
            rate = max(lr, averaging * len(returns) / count[place])
            q[place] += rate * (np.mean(returns) - q[place])
    np.testing.assert_allclose(state.params[0], q, rtol=1e-4, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["ppo", "dqn"])
def test_networks_learn_a_frozen_lake_without_slipping(name):
    """Each state by a number of its own: the number itself would say little."""
    steps = {"ppo": 40_960, "dqn": 40_000}[name]
    env = mdp_env(frozen_lake(slippery=False), 100)
    config = replace(ZOO[name].config, anneal_lr=True)
    states, metrics = jax.jit(jax.vmap(make_train(config, env, steps)), compiler_options=SOME)(KEYS)
    assert (metrics["episode_return"].mean[:, -1] > 0.6).sum() >= 2
    kernels = [x for x in jax.tree.leaves(states.learner.params) if x.ndim == 3]
    assert 16 in {x.shape[1] for x in kernels}


def test_what_tells_no_numbers_is_not_normalised():
    with pytest.raises(ValueError, match=r"ppo.normalise_obs must be False for observations that"):
        make_train(replace(ZOO["ppo"].config, normalise_obs=True), "FrozenLake", 10_000)
