"""How fast the machine is, by a program of JAX alone: what all contracts cost is held to it."""

import time

import jax
import jax.numpy as jnp

QUICK = 0.2
"""Seconds that `yardstick` takes where the budgets were set."""


def yardstick():
    """The CPU seconds that a fixed program takes to be traced, compiled and run, now and here."""
    begin = time.process_time()
    keys = jax.random.split(jax.random.key(0), 4)
    jax.block_until_ready(jax.jit(lambda keys: descend(keys))(keys))  # a new one each time
    return time.process_time() - begin


def descend(keys):
    """A network's weights after a step of gradient descent for each key."""

    def loss(weights, x):
        for w in weights:
            x = jnp.tanh(x @ w)
        return jnp.mean(jnp.square(x))

    def step(weights, key):
        value, grads = jax.value_and_grad(loss)(weights, jax.random.normal(key, (4, 8)))
        return [w - 0.1 * g for w, g in zip(weights, grads, strict=True)], value

    return jax.lax.scan(step, [jax.random.normal(key, (8, 8)) for key in keys], keys)
