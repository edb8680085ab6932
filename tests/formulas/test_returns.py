"""Returns: their limits, their fixed point, and what a time limit does to them."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxrl.formulas.returns import (
    discounted_return,
    lambda_return,
    n_step_return,
    squashed_return,
    stretched_return,
)
from jaxrl.formulas.weightings import reward_to_go
from tests.formulas.draw import draw
from tests.formulas.near import assert_near

GAMMA = 0.9
SHAPE = (7, 4)
COMPILED = {
    "lambda return": jax.jit(partial(lambda_return, lam=0.7)),
    "n-step return": jax.jit(partial(n_step_return, n=3)),
    "return": jax.jit(reward_to_go),
}
over_returns = pytest.mark.parametrize("returns", COMPILED.values(), ids=COMPILED)


def window(seed: int) -> dict[str, Any]:
    return draw("reward next_value discount done", SHAPE)(np.random.default_rng(seed))


def test_n_step_returns_go_from_one_step_to_the_whole_episode() -> None:
    data = window(0)
    one = data["reward"] + data["discount"] * data["next_value"]
    assert_near(n_step_return(**data, n=1), one, 1e-6)
    for n in (SHAPE[0], SHAPE[0] + 5):
        assert_near(n_step_return(**data, n=n), reward_to_go(**data), 1e-5)


def test_lambda_goes_from_one_step_to_the_whole_episode() -> None:
    data = window(1)
    assert_near(lambda_return(**data, lam=0.0), n_step_return(**data, n=1), 1e-6)
    assert_near(lambda_return(**data, lam=1.0), reward_to_go(**data), 1e-5)


def test_constant_rewards_are_a_geometric_series() -> None:
    total = discounted_return(jnp.ones(50), GAMMA, 0.0)
    assert_near(total, (1 - GAMMA ** np.arange(50, 0, -1)) / (1 - GAMMA), 1e-5)


@pytest.mark.parametrize("eps", [1e-3, 0.1])
def test_squashing_is_undone_and_keeps_the_order(eps: float) -> None:
    """Over ten orders of magnitude, of both signs; small returns are halved, large ones rooted."""
    size = np.logspace(-5, 5, 200, dtype=np.float32)
    returns = np.concatenate([-size[::-1], np.zeros(1, np.float32), size])
    squashed = np.asarray(squashed_return(returns, eps))
    assert (np.diff(squashed) > 0).all()
    np.testing.assert_allclose(stretched_return(squashed, eps), returns, rtol=2e-5)
    np.testing.assert_allclose(squashed[201:210] / size[:9], 0.5 + eps, rtol=1e-4)
    np.testing.assert_allclose(squashed[-1], np.sqrt(1e5 + 1) - 1 + eps * 1e5, rtol=1e-5)


def test_squashing_has_a_slope_at_zero() -> None:
    np.testing.assert_allclose(jax.grad(squashed_return)(0.0), 0.501, rtol=1e-6)
    np.testing.assert_allclose(jax.grad(stretched_return)(0.0), 1 / 0.501, rtol=1e-6)


@pytest.mark.parametrize("lam", [0.0, 0.7, 1.0])
def test_a_time_limit_is_not_death(lam: float) -> None:
    """A constant reward is worth 1 / (1 - gamma) for ever, wherever episodes are cut."""
    truncated = np.random.default_rng(2).random(SHAPE) < 0.3
    value = np.full(SHAPE, 1 / (1 - GAMMA), np.float32)
    data = {"reward": np.ones(SHAPE, np.float32), "next_value": value, "discount": GAMMA}
    assert_near(lambda_return(**data, done=truncated, lam=lam), value, 1e-5)
    assert_near(n_step_return(**data, done=truncated, n=3), value, 1e-5)


@pytest.mark.parametrize("lam", [0.0, 0.7, 1.0])
def test_death_ends_all_rewards(lam: float) -> None:
    """The last step before a termination is worth its own reward, whatever is said to follow."""
    data = window(3)
    terminated = data["discount"] == 0
    assert terminated.any()
    for total in (lambda_return(**data, lam=lam), n_step_return(**data, n=4)):
        np.testing.assert_array_equal(total[terminated], data["reward"][terminated])


def test_a_cut_in_the_middle_is_two_windows() -> None:
    data = window(4)
    data["done"][3] = True
    joined = lambda_return(**data, lam=0.8)
    parts = [lambda_return(**{k: x[p] for k, x in data.items()}, lam=0.8) for p in _halves(4)]
    assert_near(joined, np.concatenate(parts), 1e-6)


def _halves(at: int) -> tuple[slice, slice]:
    return slice(None, at), slice(at, None)


@over_returns
@settings(deadline=None, max_examples=25)
@given(shift=st.integers(-50, 50), seed=st.integers(0, 100))
def test_a_shift_of_rewards_and_values_shifts_every_return(
    returns: Any, shift: int, seed: int
) -> None:
    """If each reward grows by c and each value by c / (1 - gamma), each return does so too."""
    data = {**window(seed), "discount": 0.5}
    moved = {**data, "reward": data["reward"] + shift, "next_value": data["next_value"] + 2 * shift}
    gap = np.asarray(returns(**moved)) - np.asarray(returns(**data))
    np.testing.assert_allclose(gap, np.full(SHAPE, 2 * shift), atol=1e-4)


@over_returns
@settings(deadline=None, max_examples=25)
@given(seed=st.integers(0, 100), garbage=st.floats(-1e6, 1e6, width=32))
def test_what_follows_an_end_has_no_say(returns: Any, seed: int, garbage: float) -> None:
    data = window(seed)
    data["done"][3] = True
    dirty = {**data, "reward": data["reward"].copy(), "next_value": data["next_value"].copy()}
    dirty["reward"][4:] = dirty["next_value"][4:] = garbage
    np.testing.assert_array_equal(returns(**dirty)[:4], returns(**data)[:4])
