"""Choice of actions: frequencies, legal actions, limits."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrl.formulas import selection
from tests.formulas.tools import array, frequencies_match, near, sample

NUM_DRAWS = 20_000
VALUES = np.array([0.3, 1.2, -0.4, 0.9, 0.1], np.float32)
NUM_ACTIONS = len(VALUES)
EVERY = np.ones(NUM_ACTIONS, bool)
NOT_BEST = np.array([True, False, True, True, False])  # forbids the best one
SINGLE = np.array([False, False, True, False, False])
MASKS = [None, EVERY, NOT_BEST, SINGLE]


def _many(row):
    return None if row is None else np.broadcast_to(row, (NUM_DRAWS, NUM_ACTIONS))


def _uniform(seed):
    return jax.random.uniform(jax.random.key(seed), (NUM_DRAWS, 2))


def _gumbel(seed):
    return jax.random.gumbel(jax.random.key(seed), (NUM_DRAWS, NUM_ACTIONS))


@pytest.mark.parametrize("mask", MASKS)
@pytest.mark.parametrize("epsilon", [0.0, 0.3, 1.0])
def test_epsilon_greedy_frequencies(mask, epsilon):
    action = selection.epsilon_greedy(_many(VALUES), _uniform(0), epsilon, _many(mask))
    frequencies_match(action, selection.epsilon_greedy_prob(VALUES, epsilon, mask))


@pytest.mark.parametrize("mask", MASKS)
@pytest.mark.parametrize("temperature", [0.3, 1.0, 5.0])
def test_boltzmann_frequencies(mask, temperature):
    action = selection.boltzmann(_many(VALUES), _gumbel(1), temperature, _many(mask))
    frequencies_match(action, selection.boltzmann_prob(VALUES, temperature, mask))


@pytest.mark.parametrize("mask", MASKS)
@pytest.mark.parametrize("k", [1, 2, 3, 5])
def test_top_k_frequencies(mask, k):
    """The same chance for each of the k best legal actions, of all legal ones if they are fewer."""
    legal = [a for a in np.argsort(-VALUES) if mask is None or mask[a]][:k]
    prob = np.zeros(NUM_ACTIONS)
    prob[legal] = 1 / len(legal)
    action = selection.top_k(_many(VALUES), _gumbel(2), k, _many(mask))
    frequencies_match(action, prob)


@pytest.mark.parametrize("tempting", [1e9, np.inf, np.nan, -np.inf])
def test_no_illegal_action_is_ever_chosen(tempting):
    values = np.where(NOT_BEST, VALUES, np.float32(tempting))
    many, mask = _many(values), _many(NOT_BEST)
    loud = jnp.where(NOT_BEST, _gumbel(3), 1e9)
    actions = {
        "greedy": selection.greedy(many, mask),
        "epsilon_greedy": selection.epsilon_greedy(many, _uniform(3), 0.5, mask),
        "boltzmann": selection.boltzmann(many, loud, 0.7, mask),
        "top_k": selection.top_k(many, loud, 4, mask),
    }
    for name, action in actions.items():
        assert action.dtype == jnp.int32, name
        assert np.all(NOT_BEST[np.asarray(action)]), name
    for prob in (
        selection.epsilon_greedy_prob(values, 0.5, NOT_BEST),
        selection.boltzmann_prob(values, 0.7, NOT_BEST),
    ):
        near(prob.sum(), 1.0)
        near(prob[~NOT_BEST], np.zeros(2))


def test_where_no_action_is_legal_none_is_probable():
    values, mask = VALUES[None], jnp.zeros((1, NUM_ACTIONS), bool)
    for prob in (selection.epsilon_greedy_prob, selection.boltzmann_prob):
        np.testing.assert_array_equal(prob(values, 0.5, mask), np.zeros((1, NUM_ACTIONS)))
        gradient = jax.grad(lambda v, prob=prob: prob(v, 0.5, mask).sum())(values)
        np.testing.assert_array_equal(gradient, np.zeros((1, NUM_ACTIONS)))


def test_a_hopeless_legal_action_is_better_than_an_illegal_one():
    values, mask = array([5.0, -np.inf, 1.0]), jnp.array([[False, True, False]])
    noise = jnp.zeros((1, 3))
    for action in (
        selection.greedy(values, mask),
        selection.epsilon_greedy(values, array([0.9, 0.0]), 0.5, mask),
        selection.boltzmann(values, noise, 1.0, mask),
        selection.top_k(values, noise, 2, mask),
    ):
        np.testing.assert_array_equal(action, [1])


def test_worked_choices():
    values, mask = array([0.0, 2.0, 1.0]), jnp.array([[True, False, True]])
    for noise, action in (((0.2, 0.6), 2), ((0.2, 0.4), 0), ((0.7, 0.4), 2)):
        chosen = selection.epsilon_greedy(values, array(noise), 0.5, mask)
        np.testing.assert_array_equal(chosen, [action])
    prob = selection.epsilon_greedy_prob(values, 0.5, mask)
    near(prob, array([0.25, 0.0, 0.75]))
    near(selection.boltzmann_prob(array([0.0, np.log(3.0)]), 1.0), array([0.25, 0.75]))


@pytest.mark.parametrize("num_actions", [1, 2, 3, 5, 7, 100])
def test_extreme_noise_chooses_the_first_and_the_last_legal_action(num_actions):
    values = jnp.zeros((1, num_actions))
    first = selection.epsilon_greedy(values, array([0.0, 0.0]), 1.0)
    np.testing.assert_array_equal(first, [0])
    for largest in (np.nextafter(np.float32(1), np.float32(0)), 1.0):  # a half type rounds to 1
        last = selection.epsilon_greedy(values, array([0.0, largest]), 1.0)
        np.testing.assert_array_equal(last, [num_actions - 1])


def test_epsilon_and_temperature_of_each_state():
    values = jnp.broadcast_to(VALUES, (2, NUM_ACTIONS))
    noise = array([0.1, 0.999], [0.1, 0.999])
    action = selection.epsilon_greedy(values, noise, array(0.0, 1.0))
    np.testing.assert_array_equal(action, [1, 4])
    prob = selection.epsilon_greedy_prob(values, array(0.0, 1.0))
    near(prob[1], np.full(NUM_ACTIONS, 0.2))
    near(prob[0], np.eye(NUM_ACTIONS)[1])


@pytest.mark.parametrize("mask", [None, NOT_BEST])
def test_limits_are_greedy(mask):
    values, noise = sample(0, 30, NUM_ACTIONS), _gumbel(4)[:30]
    mask = None if mask is None else np.broadcast_to(mask, values.shape)
    best = np.asarray(selection.greedy(values, mask))
    still = jnp.zeros_like(noise)
    for action in (
        selection.boltzmann(values, still, 1.0, mask),
        selection.boltzmann(values, noise, 1e-6, mask),
        selection.top_k(values, noise, 1, mask),
        selection.epsilon_greedy(values, _uniform(5)[:30], 0.0, mask),
    ):
        np.testing.assert_array_equal(action, best)
    near(selection.boltzmann_prob(values, 1e-6, mask), np.eye(NUM_ACTIONS)[best])


def test_the_first_of_equal_values_is_greedy():
    values = array([1.0, 3.0, 3.0], [2.0, 2.0, 2.0])
    np.testing.assert_array_equal(selection.greedy(values), [1, 0])
    near(selection.epsilon_greedy_prob(values, 0.0), array([0.0, 1.0, 0.0], [1.0, 0.0, 0.0]))


def test_boltzmann_prob_is_stable_and_ignores_a_shift():
    near(selection.boltzmann_prob(VALUES + 1e4, 1.0), selection.boltzmann_prob(VALUES, 1.0), 5e-3)
    gradient = jax.grad(lambda v: selection.boltzmann_prob(v, 1e-3)[0])(jnp.asarray(VALUES))
    assert np.all(np.isfinite(gradient))
