"""Passes of minibatches: every row once in each, in another order, and none after a stop."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxrl.families.minibatch import Passes, Reported, descend
from jaxrl.optim.optimizer import Optimizer, linear

SIZE = 24


def history(num_steps):
    """An optimiser that writes each step's gradient down and moves every parameter by one."""

    def update(gradient, state, params):
        count, seen = state
        return jnp.ones_like(params), (count + 1, seen.at[count].set(gradient))

    init = (jnp.int32(0), jnp.zeros((num_steps, SIZE)))
    transformation = optax.GradientTransformation(lambda params: init, update)
    return Optimizer(transformation, lambda count: jnp.float32(0.0), own=True)


def loss(params, rows):
    """Its gradient says which rows it was given; it reports their sum, and if row 7 is there."""
    total = (params * jax.nn.one_hot(rows["id"], SIZE).sum(0)).sum()
    return total, jnp.stack(
        [rows["number"].sum(), params[0], (rows["number"] == 7).any().astype("float32")]
    )


@partial(jax.jit, static_argnums=(1, 2, 3))
def passed(key, passes, last=None, where=1):
    """Which rows each step saw, [steps, SIZE], the parameters, and the metrics."""
    optimizer = history(passes.num_steps)
    params = jnp.zeros(SIZE)
    batch = {"id": jnp.arange(SIZE), "number": jnp.arange(SIZE, dtype=jnp.float32)}
    stop = None if last is None else lambda numbers: numbers[where] >= last
    reported = Reported(("number", "first", "seven"), loss, stop)
    state = params, optimizer.init(params), jnp.int32(0)
    (params, (count, seen)), metrics = descend(key, reported, optimizer, state, batch, passes)
    return seen, params, count, metrics


@pytest.mark.parametrize("num_minibatches", [1, 3, 24])
def test_every_row_once_in_each_pass(num_minibatches):
    seen, params, count, metrics = passed(jax.random.key(0), Passes(4, num_minibatches))
    steps = np.asarray(seen).reshape(4, num_minibatches, SIZE)
    assert set(np.unique(steps)) <= {0, 1}
    np.testing.assert_array_equal(steps.sum(1), 1)
    np.testing.assert_array_equal(steps.sum(2), SIZE // num_minibatches)
    assert int(count) == 4 * num_minibatches == float(params[0])
    assert float(metrics["number"].total) == 4 * sum(range(SIZE))
    assert float(metrics["number"].count) == 4 * num_minibatches
    norm = np.sqrt(SIZE // num_minibatches)
    np.testing.assert_allclose(metrics["grad_norm"].mean, norm, rtol=1e-6)


def test_orders_differ_between_passes_and_keys():
    orders = [np.asarray(passed(jax.random.key(k), Passes(4, 3))[0]) for k in range(3)]
    firsts = np.stack(orders).reshape(12, 3, SIZE)[:, 0]
    assert len(np.unique(firsts, axis=0)) == 12


@pytest.mark.parametrize("last", [0, 1, 5, 99])
def test_a_stop_ends_all(last):
    """Before the step that would be too far; the state stays, and only what was done counts."""
    seen, params, count, metrics = passed(jax.random.key(0), Passes(4, 3), last)
    num_done = min(last, 12)
    assert int(count) == num_done == float(metrics["first"].count)
    np.testing.assert_array_equal(params, np.full(SIZE, num_done))
    assert float(metrics["first"].total) == sum(range(num_done))
    assert not np.asarray(seen)[num_done:].any()


def test_a_stop_is_for_good():
    """Minibatches that would not have stopped are skipped too, once one has."""
    keys, passes = map(jax.random.key, range(20)), Passes(4, 3)
    key = next(k for k in keys if not passed(k, passes)[0][0, 7])  # the first part goes through
    free = np.asarray(passed(key, passes)[0])
    first = int(np.argmax(free[:, 7]))
    seen, params, count, metrics = passed(key, passes, 1, 2)
    assert int(count) == first == float(metrics["seven"].count)
    np.testing.assert_array_equal(np.asarray(seen)[:first], free[:first])
    np.testing.assert_array_equal(params, np.full(SIZE, first))


def test_the_rate_is_that_of_the_step():
    """By the number of updates before, not by the steps that optax saw."""
    schedule = linear(1.0, 8, True)
    optimizer = Optimizer(optax.identity(), schedule)
    slope = Reported((), lambda params, rows: (params.sum(), jnp.zeros(0)))
    batch, passes = jnp.zeros(SIZE), Passes(2, 2)
    for updates in range(2):
        start = jnp.zeros(1), optimizer.init(jnp.zeros(1)), jnp.int32(updates)
        (params, _), _ = descend(jax.random.key(0), slope, optimizer, start, batch, passes)
        rates = [float(schedule(jnp.int32(4 * updates + i))) for i in range(4)]
        np.testing.assert_allclose(params, -sum(rates), rtol=1e-6)
