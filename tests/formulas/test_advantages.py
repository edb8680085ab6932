"""Advantages: limits, the on-policy case, gaps in responses, and worked numbers."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxrl.formulas.advantages import (
    gae,
    length_adaptive_lambda,
    masked_gae,
    retrace,
    vtrace,
    vtrace_advantage,
    whiten,
)
from jaxrl.formulas.returns import lambda_return
from jaxrl.formulas.weightings import reward_to_go, td_error
from tests.formulas.draw import draw
from tests.formulas.near import assert_near

SHAPE = (8, 3)
ONES = np.ones(SHAPE, np.float32)
compiled_gae, compiled_masked_gae, compiled_whiten = map(jax.jit, (gae, masked_gae, whiten))


def window(seed: int) -> dict[str, Any]:
    """A window in which the next value is the value of the next step, except where it is cut."""
    data = draw("reward value next_value discount done", SHAPE)(np.random.default_rng(seed))
    inside = ~data["done"][:-1]
    data["next_value"][:-1][inside] = data["value"][1:][inside]
    return data


def without(data: dict[str, Any], *names: str) -> dict[str, Any]:
    return {k: x for k, x in data.items() if k not in names}


def test_gae_of_lambda_zero_is_the_td_error() -> None:
    data = window(0)
    assert_near(gae(**data, lam=0.0), td_error(**without(data, "done")), 1e-6)


@pytest.mark.parametrize("lam", [0.0, 0.3, 0.95, 1.0])
def test_gae_is_the_lambda_return_above_the_value(lam: float) -> None:
    data = window(1)
    returns = lambda_return(**without(data, "value"), lam=lam)
    assert_near(gae(**data, lam=lam) + data["value"], returns, 1e-5)
    if lam == 1.0:
        assert_near(returns, reward_to_go(**without(data, "value")), 1e-5)


def test_a_time_limit_is_not_death() -> None:
    """Where values are right no step has an advantage; but for death it would have one."""
    done = np.random.default_rng(2).random(SHAPE) < 0.4
    value = 10 * ONES
    assert_near(1 + gae(ONES, value, value, 0.9, done, 0.95), ONES, 1e-5)
    died = gae(ONES, value, value, np.where(done, 0, 0.9).astype(np.float32), done, 0.95)
    np.testing.assert_allclose(died[done], np.full(done.sum(), -9.0), rtol=1e-6)


@pytest.mark.parametrize("lam", [0.0, 0.6, 1.0])
def test_vtrace_on_policy_is_the_lambda_return(lam: float) -> None:
    data = window(3)
    target = vtrace(**data, rho=ONES, trace=lam * ONES)
    assert_near(target, lambda_return(**without(data, "value"), lam=lam), 1e-5)
    if lam == 1.0:
        advantage = vtrace_advantage(**data, target=target, rho=ONES)
        assert_near(advantage, target - data["value"], 1e-5)


def test_vtrace_ignores_what_the_policy_would_not_do() -> None:
    data = window(4)
    np.testing.assert_array_equal(vtrace(**data, rho=0 * ONES, trace=ONES), data["value"])
    one_step = data["reward"] + data["discount"] * data["next_value"]
    assert_near(vtrace(**data, rho=ONES, trace=0 * ONES), one_step, 1e-5)


def test_retrace_on_policy_of_a_certain_policy_is_the_return() -> None:
    data = window(5)
    q = data.pop("value")  # of a deterministic policy: the next value is the next q
    assert_near(retrace(q=q, **data, trace=ONES), reward_to_go(**data), 1e-5)
    one_step = data["reward"] + data["discount"] * data["next_value"]
    assert_near(retrace(q=q, **data, trace=0 * ONES), one_step, 1e-5)


def test_retrace_weighs_by_the_trace_of_the_next_step() -> None:
    zero, trace = jnp.zeros(3), jnp.array([5.0, 0.5, 0.25])
    reward, done = jnp.array([0.0, 0.0, 1.0]), jnp.array([False, False, True])
    target = retrace(reward, zero, zero, 1.0, done, trace)
    np.testing.assert_allclose(target, [0.125, 0.25, 1.0])


ROWS = {
    "NeMo-RL, value 1/2": ([0, 0, 1], [0.5] * 3, 1.0, 1.0, [0.5, 0.5, 0.5]),
    "NeMo-RL, lambda 0": ([0, 0, 5], [1, 2, 3], 1.0, 0.0, [1, 1, 2]),
    "RLHF PPO": (
        [-0.01, 0.02, -0.04, 5.02],
        [0.1, 0.2, 0.3, 0.4],
        1.0,
        0.95,
        [4.2192225, 4.34655, 4.449, 4.62],
    ),
}


@pytest.mark.parametrize(
    ("reward", "value", "discount", "lam", "expected"), ROWS.values(), ids=ROWS
)
def test_worked_numbers(
    reward: Any, value: Any, discount: float, lam: float, expected: Any
) -> None:
    reward, value = np.float32(reward), np.float32(value)
    mask = np.ones(len(reward), bool)
    advantage = masked_gae(reward, value, mask, discount, lam)
    assert_near(advantage, np.array(expected), 1e-5)
    after = np.append(value[1:], np.float32(0))
    assert_near(gae(reward, value, after, discount, ~mask, lam), advantage, 1e-6)


def test_worked_numbers_of_whitening() -> None:
    advantage = np.float32([4.2192225, 4.34655, 4.449, 4.62])
    expected = np.array([-1.118825, -0.366955, 0.238012, 1.247768])
    assert_near(whiten(advantage, ddof=1), expected, 1e-5)


def test_values_in_gaps_have_no_say() -> None:
    """The row of verl's test, with anything in the gaps."""
    reward = np.array([0, 0, 0.1, 0.1, 0.1, 0, 0, 0.1, 1, 0, 0], np.float32)
    mask = np.array([0, 0, 1, 1, 1, 0, 0, 1, 1, 0, 0], bool)
    value = np.array([0, 0, 4, 5, 6, 0, 0, 7, 9, 0, 0], np.float32)
    short = masked_gae(reward[mask], value[mask], np.ones(5, bool), 0.9, 0.95)
    for filling in (0.0, 999.0, -1e6):
        filled = np.where(mask, value, np.float32(filling))
        long = np.asarray(masked_gae(reward, filled, mask, 0.9, 0.95))
        assert_near(long[mask], short, 1e-6)
        assert not long[~mask].any()


@settings(deadline=None, max_examples=25)
@given(mask=st.lists(st.booleans(), min_size=10, max_size=10), seed=st.integers(0, 1000))
def test_masked_gae_is_gae_of_the_tokens_alone(mask: list[bool], seed: int) -> None:
    rng = np.random.default_rng(seed)
    reward, value = rng.normal(size=(2, 10)).astype(np.float32)
    kept = np.array(mask)
    long = np.asarray(compiled_masked_gae(reward, value, kept, 0.9, 0.8, last_value=0.5))
    assert not long[~kept].any()
    if kept.any():
        after = np.append(value[kept][1:], np.float32(0.5))
        never = np.zeros(kept.sum(), bool)
        assert_near(
            long[kept], compiled_gae(reward[kept], value[kept], after, 0.9, never, 0.8), 1e-5
        )


@settings(deadline=None, max_examples=25)
@given(seed=st.integers(0, 1000), order=st.permutations(range(3)), padding=st.integers(1, 4))
def test_neither_order_nor_padding_matters(seed: int, order: list[int], padding: int) -> None:
    rng = np.random.default_rng(seed)
    names = "reward value mask discount lam"
    data = draw(names, SHAPE, discount=0.9, lam=0.8)(rng)
    advantage = np.asarray(compiled_masked_gae(**data))
    arrays = {k: data[k] for k in ("reward", "value", "mask")}
    shuffled = compiled_masked_gae(**{**data, **{k: x[:, order] for k, x in arrays.items()}})
    np.testing.assert_allclose(shuffled, advantage[:, order], rtol=1e-6)
    longer = {k: np.pad(x, ((0, padding), (0, 0))) for k, x in arrays.items()}
    np.testing.assert_allclose(
        compiled_masked_gae(**{**data, **longer})[:-padding], advantage, rtol=1e-6
    )
    white, long = (
        compiled_whiten(advantage, data["mask"]),
        np.pad(advantage, ((0, padding), (0, 0))),
    )
    assert_near(compiled_whiten(long, longer["mask"])[:-padding], white, 1e-5)


def test_an_adaptive_lambda_grows_with_length() -> None:
    """NeMo-RL's rows: responses of 3 and of 8 tokens are too short for any trace."""
    lam = length_adaptive_lambda(np.int32([0, 3, 8, 20, 100, 10000]), 0.05)
    np.testing.assert_allclose(lam, [0, 0, 0, 0, 0.8, 0.998], rtol=1e-6)


@pytest.mark.parametrize("ddof", [0, 1])
def test_whitened_numbers_have_mean_0_and_deviation_1(ddof: int) -> None:
    x = np.random.default_rng(6).normal(3, 5, (50, 4)).astype(np.float32)
    white = np.asarray(whiten(x, ddof=ddof), np.float64)
    assert abs(white.mean()) < 1e-6 and abs(white.std(ddof=ddof) - 1) < 1e-6
    assert_near(whiten(100 - 7 * x, ddof=ddof), -white, 1e-5)


@pytest.mark.parametrize("value", [0.0, 0.1, 0.7, -1e6, 1 / 3, 123456.789])
@pytest.mark.parametrize("shape", [(3,), (7, 3), (1, 1), (100, 11)])
def test_equal_numbers_whiten_to_nothing(value: float, shape: tuple[int, ...]) -> None:
    assert not np.asarray(whiten(np.full(shape, value, np.float32))).any()
