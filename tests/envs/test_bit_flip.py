"""Flipping bits: each step against NumPy."""

import jax
import numpy as np

from jaxrl.envs import bit_flip

NUM_BITS = 3


def test_steps_flip_one_bit_until_the_goal_or_the_end_of_time():
    env = bit_flip(NUM_BITS)
    step, reset = jax.jit(env.step), jax.jit(env.reset)
    source, ends = np.random.default_rng(0), []
    for episode in range(20):
        state, obs = reset(jax.random.key(episode))
        bits, goal = np.array(obs["achieved_goal"]), np.array(obs["desired_goal"])
        assert set(np.unique([bits, goal])) <= {0.0, 1.0}
        for time in range(1, NUM_BITS + 1):
            action = int(source.integers(NUM_BITS))
            state, shown = step(jax.random.key(0), state, jax.numpy.int32(action))
            bits[action] = 1 - bits[action]
            there = bool((bits == goal).all())
            assert np.array_equal(shown.obs["achieved_goal"], bits)
            assert np.array_equal(shown.obs["desired_goal"], goal)
            assert float(shown.reward) == (0 if there else -1)
            assert bool(shown.terminated) == there
            assert bool(shown.truncated) == (time == NUM_BITS and not there)
            if there:
                break
        ends.append(there)
    assert len(set(ends)) == 2
