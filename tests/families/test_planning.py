"""Dynamic programming: against sums over all paths, each other, and the literature's answers."""

import itertools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrl import (
    exact_evaluation,
    policy_evaluation,
    policy_iteration,
    value_iteration,
)
from jaxrl.envs import WORLDS, cliff_walking, frozen_lake, random_walk, windy_gridworld, world
from jaxrl.families.planning import start_value
from tests.envs.test_mdp import chances
from tests.sentences import hold_sentence

GAMMAS = (0.5, 0.9, 0.99)


def alike(mdp):
    """The policy that takes all actions alike."""
    return jnp.full((mdp.num_states, mdp.num_actions), 1 / mdp.num_actions)


def sure(mdp, policy):
    """A policy of one action in each state, as probabilities."""
    return jax.nn.one_hot(policy, mdp.num_actions)


def paths_value(mdp, prob, gamma, num_steps, state):
    """The mean return of so many steps: one path after the other, in float64."""
    if num_steps == 0 or mdp.terminal[state]:
        return 0.0
    transition, reward = (np.asarray(x, np.float64) for x in (mdp.transition, mdp.reward))
    total = 0.0
    for action, after in itertools.product(range(mdp.num_actions), range(mdp.num_states)):
        chance = float(prob[state, action]) * transition[state, action, after]
        if chance > 0:
            follow = paths_value(mdp, prob, gamma, num_steps - 1, after)
            total += chance * (reward[state, action, after] + gamma * follow)
    return total


def test_a_few_sweeps_are_the_value_of_as_many_steps():
    mdp = chances(1)
    prob = jnp.array([[0.2, 0.8], [1.0, 0.0], [0.5, 0.5], [0.3, 0.7]])
    for num_steps in (1, 2, 4):
        plan = policy_evaluation(mdp, prob, 0.9, 0.0, num_steps)
        paths = [paths_value(mdp, prob, 0.9, num_steps, s) for s in range(4)]
        np.testing.assert_allclose(plan.value, paths, rtol=1e-5, atol=1e-6)
        assert plan.num_iterations == num_steps


@pytest.mark.parametrize("gamma", GAMMAS)
@pytest.mark.parametrize("seed", range(3))
def test_the_exact_value_is_where_the_sweeps_lead(seed, gamma):
    mdp = chances(seed, 6, 3)
    prob = jax.random.dirichlet(jax.random.key(seed), jnp.ones(3), (6,))
    exact, swept = exact_evaluation(mdp, prob, gamma), policy_evaluation(mdp, prob, gamma)
    np.testing.assert_allclose(swept.value, exact.value, rtol=1e-4, atol=1e-3)
    np.testing.assert_allclose((prob * exact.q).sum(-1), exact.value, rtol=1e-4, atol=1e-4)
    assert exact.value[3] == swept.value[3] == 0 and (exact.q[3] == 0).all()


@pytest.mark.parametrize("gamma", GAMMAS)
@pytest.mark.parametrize("seed", range(3))
def test_the_best_policy_is_the_best_of_all_policies(seed, gamma):
    """All 16 of them, in three states that count."""
    mdp = chances(seed)
    every = [jnp.array([*actions, 0]) for actions in itertools.product(range(2), repeat=3)]
    values = [exact_evaluation(mdp, sure(mdp, policy), gamma).value for policy in every]
    best = np.max(values, axis=0)
    for plan in (value_iteration(mdp, gamma), policy_iteration(mdp, gamma)):
        np.testing.assert_allclose(plan.value, best, rtol=1e-4, atol=1e-3)
        value = exact_evaluation(mdp, sure(mdp, plan.policy), gamma).value
        np.testing.assert_allclose(value, best, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("gamma", [0.9, 1.0])
@pytest.mark.parametrize("name", WORLDS)
def test_both_iterations_agree_on_every_world(name, gamma):
    mdp, _ = world(name)
    values, policies = (jax.jit(f)(mdp, gamma) for f in (value_iteration, policy_iteration))
    np.testing.assert_allclose(values.value, policies.value, rtol=1e-4, atol=1e-4)
    assert values.num_iterations < 10_000 and policies.num_iterations < 10_000
    swept = policy_evaluation(mdp, sure(mdp, policies.policy), gamma)  # which comes to an end
    np.testing.assert_allclose(swept.value, policies.value, rtol=1e-4, atol=1e-4)


def test_answers_of_the_literature():
    """Sutton & Barto's examples 6.2, 6.5 and 6.6; FrozenLake's best policy wins 14 times in 17."""
    walk = random_walk()
    value = exact_evaluation(walk, alike(walk), 1.0).value
    np.testing.assert_allclose(value[1:6], np.arange(1, 6) / 6, rtol=1e-5)
    for mdp, best in ((cliff_walking(), -13), (windy_gridworld(), -15)):
        assert start_value(mdp, value_iteration(mdp, 1.0).value) == best
    lake = frozen_lake()
    policy = sure(lake, value_iteration(lake, 0.99).policy)
    won = start_value(lake, exact_evaluation(lake, policy, 1.0).value)
    assert math.isclose(won, 14 / 17, abs_tol=1e-4)
    in_time = start_value(lake, policy_evaluation(lake, policy, 1.0, 0.0, 100).value)
    assert 0.73 < in_time < 0.75


def test_an_action_is_kept_where_another_is_as_good():
    """All actions are worth 0: what they were is what they are, and it ends."""
    mdp = chances()
    plan = policy_iteration(mdp._replace(reward=mdp.reward * 0), 0.9)
    assert plan.num_iterations < 10 and (plan.value == 0).all()


def test_values_differentiate_by_rewards_and_discount():
    """v(start) by r is how often a transition is expected, discounted."""
    mdp, prob = chances(2), alike(chances(2))

    def first(gamma, reward):
        changed = mdp._replace(reward=reward)
        return start_value(mdp, exact_evaluation(changed, prob, gamma).value)

    by_gamma, by_reward = jax.grad(first, (0, 1))(0.8, jnp.asarray(mdp.reward))
    ends = [float(first(0.8 + h, jnp.asarray(mdp.reward))) for h in (1e-2, -1e-2)]
    np.testing.assert_allclose(by_gamma, (ends[0] - ends[1]) / 2e-2, rtol=2e-2)
    paid = exact_evaluation(mdp._replace(reward=jnp.ones((4, 2, 4))), prob, 0.8).value
    np.testing.assert_allclose(by_reward.sum(), start_value(mdp, paid), rtol=1e-4)
    np.testing.assert_allclose((by_reward * mdp.reward).sum(), first(0.8, mdp.reward), rtol=1e-3)


def test_many_processes_and_discounts_are_planned_side_by_side():
    mdp, gammas = cliff_walking(), jnp.array([0.5, 0.9, 1.0])
    plans = jax.jit(jax.vmap(value_iteration, (None, 0)))(mdp, gammas)
    for i, gamma in enumerate(gammas):
        one = value_iteration(mdp, gamma)
        np.testing.assert_allclose(plans.value[i], one.value, rtol=1e-5)
        assert plans.num_iterations[i] == one.num_iterations


LAKE = frozen_lake()
MISTAKES = (
    (lambda: value_iteration(LAKE, 1.5), "gamma must be a number in [0, 1], not 1.5"),
    (lambda: value_iteration(LAKE, 0.9, -1.0), "tolerance must be a number of at least 0, not -1"),
    (lambda: value_iteration(LAKE, 0.9, math.nan), "tolerance must be", "not nan"),
    (lambda: policy_iteration(LAKE, 0.9, 0.1, 0), "max_iterations must be an integer", "not 0"),
    (lambda: policy_iteration(LAKE, 0.9, num_sweeps=0), "num_sweeps must be an integer", "not 0"),
    (
        lambda: policy_evaluation(LAKE, jnp.ones((16, 3)) / 3, 0.9),
        "prob must have the shape (16, 4), not (16, 3)",
    ),
    (
        lambda: exact_evaluation(LAKE, jnp.ones((16, 4), int), 0.9),
        "prob must be an array of floats",
    ),
    (lambda: exact_evaluation(LAKE, jnp.ones((16, 4)), 0.9), "prob must sum to 1", "not 4"),
)


@pytest.mark.parametrize("row", MISTAKES)
def test_a_mistake_is_named_in_one_sentence(row):
    plan, *words = row
    with pytest.raises((TypeError, ValueError)) as error:
        plan()
    hold_sentence(str(error.value), *words)
