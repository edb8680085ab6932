"""Optimisers: two layouts, one result; schedules; the bound on the norm."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.flatten_util import ravel_pytree

from jaxrl.algorithms import a2c, actor_critic, impala, reinforce
from jaxrl.families import settings
from jaxrl.optim.optimizer import Optimizer, adam, linear, radam, rmsprop

LR, MAX_NORM, EPS, DECAY, NUM_STEPS = 0.1, 0.5, 1e-3, 0.8, 9
MAKERS = {
    "adam": lambda schedule: adam(schedule, MAX_NORM, EPS),
    "radam": lambda schedule: radam(schedule, MAX_NORM, EPS),
    "rmsprop": lambda schedule: rmsprop(schedule, MAX_NORM, DECAY, EPS),
}
PARAMS = {
    "matrix": np.linspace(-1, 1, 6, dtype=np.float32).reshape(2, 3),
    "vector": np.array([0.5, -2.0], np.float32),
    "scalar": np.float32(1.5),
}
each = pytest.mark.parametrize("name", MAKERS)


def loss(params):
    """Steep far from its bottom and flat near it, so that the bound binds at first only."""
    total = sum(jnp.sum(jnp.square(x) * (i + 1)) for i, x in enumerate(jax.tree.leaves(params)))
    return 0.1 * total, jnp.stack([total, params["scalar"]])


def slope(vector):
    """The loss's gradient of a vector: leaves in the order of their names."""
    return 0.2 * vector * np.repeat([1.0, 2.0, 3.0], [6, 1, 2])


def trained(optimizer, num_steps=NUM_STEPS):
    """The parameters, as a vector, and the numbers after some steps."""

    def run(params):
        laid, back = optimizer.layout(params)
        start = laid, optimizer.init(params)

        def step(state, count):
            *state, numbers = optimizer.step(lambda p: loss(back(p)), *state, count)
            return tuple(state), numbers

        (laid, _), numbers = jax.lax.scan(step, start, jnp.arange(num_steps))
        return ravel_pytree(back(laid))[0], numbers

    return jax.jit(run)(jax.tree.map(jnp.asarray, PARAMS))


def bounded(gradient):
    return gradient * min(1.0, MAX_NORM / np.linalg.norm(gradient))


def by_hand(name, num_steps=NUM_STEPS):
    """The same in float64: Kingma & Ba's Adam, and Hinton's RMSProp."""
    x = np.asarray(ravel_pytree(PARAMS)[0], np.float64)
    first, second = np.zeros_like(x), np.zeros_like(x)
    norms = []
    for t in range(1, num_steps + 1):
        lr = LR * (1 - (t - 1) / NUM_STEPS)
        norms.append(np.linalg.norm(slope(x)))
        gradient = bounded(slope(x))
        if name == "adam":
            first = 0.9 * first + 0.1 * gradient
            second = 0.999 * second + 0.001 * gradient**2
            ahead, around = first / (1 - 0.9**t), second / (1 - 0.999**t)
            x = x - lr * ahead / (np.sqrt(around) + EPS)
        else:
            second = DECAY * second + (1 - DECAY) * gradient**2
            x = x - lr * gradient / np.sqrt(second + EPS)
    return x, np.array(norms)


@each
def test_layouts_agree(name):
    optimizer = MAKERS[name](linear(LR, NUM_STEPS, True))
    rated = optax.chain(optimizer.transformation, optax.scale_by_learning_rate(optimizer.schedule))
    users = Optimizer(rated, optimizer.schedule, own=True)
    (flat, numbers), (tree, others) = trained(optimizer), trained(users)
    np.testing.assert_allclose(flat, tree, atol=1e-6)
    np.testing.assert_allclose(numbers, others, rtol=1e-5)


@pytest.mark.parametrize("name", ["adam", "rmsprop"])
def test_by_hand(name):
    found, numbers = trained(MAKERS[name](linear(LR, NUM_STEPS, True)))
    expected, norms = by_hand(name)
    np.testing.assert_allclose(found, expected, atol=2e-5)
    np.testing.assert_allclose(numbers[:, -1], norms, rtol=1e-4)  # ahead of the bound
    assert norms[0] > MAX_NORM


@pytest.mark.parametrize("algorithm", [a2c, actor_critic, impala, reinforce])
def test_rmsprop_where_its_decay_is_set(algorithm):
    setting = settings.Setting(None, NUM_STEPS)
    for decay in (DECAY, None):
        config = algorithm.Config(lr=LR, max_grad_norm=MAX_NORM, rms_decay=decay)
        schedule = linear(LR, NUM_STEPS, True)
        expected = adam(schedule, MAX_NORM, 1e-5)
        if decay is not None:
            expected = rmsprop(schedule, MAX_NORM, decay, 1e-5)
        found = trained(settings.optimizer(config, setting, 1))
        np.testing.assert_array_equal(found[0], trained(expected)[0])


def test_the_flat_vector_keeps_shapes_and_types():
    optimizer = MAKERS["adam"](linear(LR, NUM_STEPS, False))
    laid, back = optimizer.layout(PARAMS)
    assert laid.shape == (9,)
    for one, other in zip(*map(jax.tree.leaves, (back(laid), PARAMS)), strict=True):
        assert one.shape == other.shape and one.dtype == other.dtype
        np.testing.assert_array_equal(one, other)


def test_schedules():
    counts = jnp.arange(15)
    falling = jax.vmap(linear(0.5, 10, True))(counts)
    np.testing.assert_allclose(falling, 0.5 * np.maximum(1 - np.arange(15) / 10, 0), atol=1e-7)
    np.testing.assert_array_equal(jax.vmap(linear(0.5, 10, False))(counts), np.full(15, 0.5, "f4"))


def test_settings_may_be_traced():
    """Learning rate and bound as leaves: one compilation for a sweep."""

    def last(lr, bound):
        return trained(adam(linear(lr, NUM_STEPS, True), bound, EPS), 3)[0]

    rates, bounds = jnp.array([0.01, 0.1]), jnp.array([0.5, 5.0])
    swept = jax.jit(jax.vmap(last))(rates, bounds)
    alone = [last(float(a), float(b)) for a, b in zip(rates, bounds, strict=True)]
    np.testing.assert_allclose(swept, alone, atol=1e-6)
    assert np.abs(swept[0] - swept[1]).max() > 1e-3
