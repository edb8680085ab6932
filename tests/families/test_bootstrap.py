"""Values of what a rollout reached, against a loop over its steps."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrl.families.bootstrap import next_values
from jaxrl.types import Rollout, Transition

T, N = 7, 4
ENDS = ("none", "terminated", "truncated", "all", "both", "last")
MEMORIES = ("memoryless", "memory")


def evaluate(obs, carry):
    """A value that tells every observation and every memory from every other."""
    value = jnp.sin(obs["x"]).sum(-1) + obs["y"].astype(jnp.float32)
    return value if isinstance(carry, tuple) else value + 10 * jnp.cos(carry)


def actions(obs, carry):
    value = evaluate(obs, carry)
    return jnp.stack([value, 2 * value, -value], -1)


def flags(ends, draw):
    terminated, truncated = (np.zeros((T, N), bool) for _ in range(2))
    if ends in ("terminated", "both"):
        terminated = draw.random((T, N)) < 0.4
    if ends in ("truncated", "both"):
        truncated = (draw.random((T, N)) < 0.4) & ~terminated
    truncated = np.ones((T, N), bool) if ends == "all" else truncated
    truncated[-1] |= ends == "last"
    return terminated, truncated


def case(ends: str, seed: int, memory: bool) -> tuple[Any, Any, Any]:
    """A rollout whose observations all differ, and memories after each step and at the end."""
    draw = np.random.default_rng(seed)
    terminated, truncated = flags(ends, draw)

    def obs(*shape):
        x = draw.normal(size=(*shape, 2)).astype(np.float32)
        return {"x": x, "y": draw.integers(0, 9, shape)}

    row = obs(T, N), obs(T, N), obs(N)
    carries = draw.normal(size=(T + 1, N)).astype(np.float32)
    memories = (carries[:-1], carries[-1]) if memory else ((), ())
    zeros = np.zeros((T, N), np.float32)
    steps = Transition(row[0], zeros, (), zeros, row[1], terminated, truncated)
    return Rollout(steps, row[2], (), memories[1]), memories[0], memories[1]


def solve(rollout, carries, last, judge):
    value = judge(rollout.transition.obs, ())
    return next_values(judge, value, rollout, carries, last)


def expected(rollout, carries, last, judge):
    """Step by step: the next row's value, or that of what was reached where it was cut."""
    steps = rollout.transition
    rows = []
    for t in range(T):
        if t + 1 < T:
            here = judge(jax.tree.map(lambda x, t=t: x[t + 1], steps.obs), ())
        else:
            here = judge(rollout.last_obs, last)
        here = np.array(here)
        for n in range(N):
            if steps.truncated[t, n]:
                one = jax.tree.map(lambda x, t=t, n=n: x[t, n][None], (steps.next_obs, carries))
                here[n] = np.asarray(judge(*one))[0]
        rows.append(here)
    return np.stack(rows)


@pytest.mark.parametrize("memory", MEMORIES)
@pytest.mark.parametrize("judge", [evaluate, actions], ids=["state", "action"])
def test_next_values(judge, memory):
    solved = jax.jit(partial(solve, judge=judge))
    for ends in ENDS:
        x = case(ends, 3, memory == "memory")
        np.testing.assert_allclose(solved(*x), expected(*x, judge), atol=1e-5, err_msg=ends)


@pytest.mark.parametrize("memory", MEMORIES)
def test_seeds_side_by_side(memory):
    """Each with other ends, so that some loops are over long before others."""
    rows = [case(ends, seed, memory == "memory") for seed, ends in enumerate(ENDS)]
    stacked = jax.tree.map(lambda *x: np.stack(x), *rows)
    found = jax.jit(jax.vmap(partial(solve, judge=evaluate)))(*stacked)
    for one, row, ends in zip(found, rows, ENDS, strict=True):
        np.testing.assert_allclose(one, expected(*row, evaluate), atol=1e-5, err_msg=ends)


def test_the_final_observation_counts_only_where_it_was_cut():
    """NaN elsewhere reaches nothing: a terminal state may be anything."""
    rollout, carries, last = case("both", 0, False)
    steps = rollout.transition
    x = np.where(steps.truncated[..., None], steps.next_obs["x"], np.nan)
    poisoned = rollout._replace(
        transition=steps._replace(next_obs={"x": x, "y": steps.next_obs["y"]})
    )
    one, other = (
        jax.jit(lambda r: solve(r, carries, last, evaluate))(r) for r in (rollout, poisoned)
    )
    np.testing.assert_array_equal(one, other)
