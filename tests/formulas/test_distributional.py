"""Identities and limits of categorical and quantile distributions."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxrl.formulas import distributional
from jaxrl.formulas.value_losses import huber_loss
from tests.formulas.tools import array, near, sample

SUPPORT = np.linspace(-10, 10, 51).astype(np.float32)


def _prob(seed, *shape):
    return np.asarray(jax.nn.softmax(sample(seed, *shape)))


def test_worked_projection():
    support = array(0.0, 1.0, 2.0)
    atoms, prob = array([0.25, 1.5], [-3.0, 9.0]), array([0.4, 0.6], [0.5, 0.5])
    expected = array([0.3, 0.4, 0.3], [0.5, 0.0, 0.5])
    near(distributional.categorical_projection(atoms, prob, support), expected)


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 10**6), st.floats(0.0, 0.99), st.floats(-1, 1))
def test_projection_keeps_mass_and_mean_inside_the_support(seed, discount, reward):
    prob = _prob(seed, 3, 21)
    support = SUPPORT[15:36]
    atoms = np.broadcast_to(np.float32(reward) + np.float32(discount) * support / 2, (3, 21))
    projected = np.asarray(distributional.categorical_projection(atoms, prob, support))
    assert np.all(projected >= 0)
    near(projected.sum(-1), np.ones(3))
    near((projected * support).sum(-1), (prob * atoms).sum(-1), atol=2e-5)
    order = np.random.default_rng(seed).permutation(21)
    shuffled = distributional.categorical_projection(atoms[:, order], prob[:, order], support)
    near(shuffled, projected)


def test_projection_onto_its_own_support_is_the_identity():
    prob = _prob(1, 4, 51)
    atoms = np.broadcast_to(SUPPORT, prob.shape)
    near(distributional.categorical_projection(atoms, prob, SUPPORT), prob, atol=1e-5)


@pytest.mark.parametrize("far", [10.5, 1e9])
def test_atoms_outside_the_support_go_to_its_ends(far):
    atoms, prob = array([-far, far, 0.0]), array([0.2, 0.5, 0.3])
    projected = distributional.categorical_projection(atoms, prob, SUPPORT)
    expected = np.zeros((1, 51))
    expected[0, [0, -1, 25]] = 0.2, 0.5, 0.3
    near(projected, expected)


def test_a_terminal_reward_is_one_spike():
    atoms = jnp.full((51,), 4.0)
    projected = distributional.categorical_projection(atoms, _prob(2, 51), SUPPORT)
    expected = np.zeros(51)
    expected[35] = 1.0
    near(projected, expected, atol=1e-5)


def test_categorical_loss_is_least_at_the_target_and_pulls_towards_it():
    target, logits = _prob(3, 5, 7), sample(4, 5, 7)
    entropy = -(target * np.log(target)).sum(-1)
    near(distributional.categorical_loss(np.log(target), target), entropy)
    assert np.all(np.asarray(distributional.categorical_loss(logits, target)) > entropy)
    gradient = jax.grad(lambda x: jnp.sum(distributional.categorical_loss(x, target)))(logits)
    near(gradient, jax.nn.softmax(logits) - target)


def _plain(quantile, tau, target):
    return float(distributional.quantile_huber_loss(array(quantile), array(tau), target, 0.0))


@pytest.mark.parametrize("tau", [0.05, 0.25, 0.5, 0.7, 0.95])
def test_the_plain_loss_is_least_at_the_quantile(tau):
    target = np.sort(sample(5, 11, scale=3.0))
    best = min(target, key=lambda x: _plain(x, tau, target))
    near(best, np.quantile(target, tau, method="inverted_cdf"))


def test_descent_finds_all_quantiles():
    target = sample(6, 101)
    tau = distributional.quantile_midpoints(5)

    def loss(quantile):
        return jnp.sum(distributional.quantile_huber_loss(quantile, tau, target, 0.01))

    def step(i, quantile):
        return quantile - 0.5 / (1 + 0.05 * i) * jax.grad(loss)(quantile)

    found = jax.jit(lambda x: jax.lax.fori_loop(0, 2000, step, x))(jnp.zeros(5))
    near(found, np.quantile(target, np.asarray(tau)), atol=0.05)


def test_small_kappa_tends_to_the_plain_loss():
    quantile, target = sample(7, 4, 3), sample(8, 4, 6)
    tau = array(0.2, 0.5, 0.8)
    plain = distributional.quantile_huber_loss(quantile, tau, target, 0.0)
    previous = np.inf
    for kappa in (1e-1, 1e-2, 1e-3):
        smooth = distributional.quantile_huber_loss(quantile, tau, target, kappa)
        gap = float(jnp.max(jnp.abs(smooth - plain)))
        assert gap <= min(3 * kappa, previous)
        previous = gap


def test_the_median_is_half_the_huber_loss():
    quantile, target = sample(9, 4, 1), sample(10, 4, 6, scale=3.0)
    loss = distributional.quantile_huber_loss(quantile, array(0.5), target, 2.0)
    huber = huber_loss(jnp.broadcast_to(quantile, (4, 6)), target, 2.0)
    near(loss, jnp.mean(huber, -1) / 2 / 2)


@pytest.mark.parametrize("kappa", [0.0, 1.0])
def test_gradients_are_finite_where_quantile_and_target_meet(kappa):
    meeting = array([1.0, 2.0])

    def loss(quantile):
        return jnp.sum(
            distributional.quantile_huber_loss(quantile, array(0.3, 0.6), meeting, kappa)
        )

    gradient = jax.grad(loss)(meeting)
    assert np.all(np.isfinite(gradient))
    assert np.all(np.abs(gradient) <= 1.0)


def test_shared_and_sampled_levels_are_the_same():
    quantile, target, tau = sample(11, 4, 3), sample(12, 4, 5), array(0.1, 0.4, 0.9)
    shared = distributional.quantile_huber_loss(quantile, tau, target)
    own = distributional.quantile_huber_loss(quantile, jnp.broadcast_to(tau, (4, 3)), target)
    near(shared, own)
    order = np.array([2, 0, 1])
    near(distributional.quantile_huber_loss(quantile[:, order], tau[order], target), shared)


def test_quantile_midpoints():
    near(distributional.quantile_midpoints(5), array(0.1, 0.3, 0.5, 0.7, 0.9))
    near(distributional.quantile_midpoints(1), array(0.5))
