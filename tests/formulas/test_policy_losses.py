"""Policy losses: on-policy they all are the policy gradient; worked numbers; what clipping does."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrl.formulas.policy_losses import (
    adaptive_kl_coefficient,
    cispo,
    clipped_surrogate,
    decoupled_surrogate,
    dual_clipped_surrogate,
    importance_weighted,
    kl_penalised,
    not_clipped,
    policy_gradient,
    proportional_kl_coefficient,
)
from jaxrl.formulas.ratios import gspo_token_log_ratio, sequence_log_ratio
from tests.formulas.near import assert_near

ADVANTAGE = np.float32([1, -1, 2])
OLD = -np.ones(3, np.float32)
NEW = np.float32([-1.6931472, -1, -0.5945349])
RATIO = NEW - OLD  # the logarithms of 1/2, 1, 3/2
Loss = Callable[[Any, Any, Any], Any]

LOSSES: dict[str, Loss] = {
    "policy gradient": lambda new, old, a: policy_gradient(new, a),
    "importance weighted": lambda new, old, a: importance_weighted(new - old, a),
    "clipped": lambda new, old, a: clipped_surrogate(new - old, a, 0.8, 1.2),
    "clipped higher": lambda new, old, a: clipped_surrogate(new - old, a, 0.8, 1.28),
    "dual clipped": lambda new, old, a: dual_clipped_surrogate(new - old, a, 0.8, 1.2, 3.0),
    "cispo": lambda new, old, a: cispo(new, new - old, a, 0.8, 1.2),
    "decoupled": lambda new, old, a: decoupled_surrogate(new - old, 0 * old, a, 0.8, 1.2, 2.0),
    "penalised": lambda new, old, a: kl_penalised(new - old, a, 0 * old, 0.1),
}


@pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)
def test_on_policy_every_gradient_is_the_policy_gradient(loss: Loss) -> None:
    gradient = jax.grad(lambda x: jnp.sum(loss(x, OLD, ADVANTAGE)))(OLD)
    np.testing.assert_allclose(gradient, -ADVANTAGE, rtol=1e-6)


def test_on_policy_gspo_shares_the_gradient_among_the_tokens() -> None:
    for ratio in (sequence_log_ratio, gspo_token_log_ratio):

        def loss(x: Any, ratio: Any = ratio) -> Any:
            log_ratio = ratio(x, OLD, np.ones(3, bool))
            return jnp.sum(clipped_surrogate(log_ratio, np.full(3, 2, np.float32), 0.9, 1.1))

        np.testing.assert_allclose(jax.grad(loss)(OLD), [-2.0] * 3, rtol=1e-6)


WIDE_RATIO, WIDE_ADVANTAGE = np.log(np.float32([0.5, 1, 10])), np.float32([1, -1, -4])
BEHAVIOUR = OLD - np.float32([-0.5, -1.5, -0.8])
ROWS = {
    "PPO": (clipped_surrogate(RATIO, ADVANTAGE, 0.8, 1.2), [-0.5, 1, -2.4], -0.6333),
    "REINFORCE": (
        policy_gradient(np.float32([-0.5, -1, -1.5]), ADVANTAGE),
        [0.5, -1, 3],
        0.8333,
    ),
    "on policy": (clipped_surrogate(0 * RATIO, ADVANTAGE, 0.8, 1.2), [-1, 1, -2], -0.6667),
    "CISPO": (cispo(NEW, RATIO, ADVANTAGE, 0.8, 1.2), [1.354518, -1, 1.426884], 0.593797),
    "dual clip": (
        dual_clipped_surrogate(WIDE_RATIO, WIDE_ADVANTAGE, 0.8, 1.2, 3.0),
        [-0.5, 1, 12],
        4.1667,
    ),
    "no dual clip": (clipped_surrogate(WIDE_RATIO, WIDE_ADVANTAGE, 0.8, 1.2), [-0.5, 1, 40], 13.5),
    "IS": (
        decoupled_surrogate(RATIO, BEHAVIOUR, ADVANTAGE, 0.8, 1.2, 9.0),
        [-0.30325, 1.6487, -1.96488],
        -0.2065,
    ),
    "TIS": (
        decoupled_surrogate(RATIO, BEHAVIOUR, ADVANTAGE, 0.8, 1.2, 0.8),
        [-0.3033, 0.8, -1.92],
        -0.4744,
    ),
}


@pytest.mark.parametrize(("loss", "expected", "mean"), ROWS.values(), ids=ROWS)
def test_worked_numbers_of_nemo(loss: Any, expected: Any, mean: float) -> None:
    np.testing.assert_allclose(loss, expected, rtol=2e-4)
    np.testing.assert_allclose(np.mean(loss), mean, atol=1e-4)


def grid() -> tuple[np.ndarray, np.ndarray]:
    """Ratios on both sides of the bounds 0.8 and 1.2, with both signs of the advantage."""
    ratio, advantage = np.meshgrid(
        np.float32([0.3, 0.75, 0.85, 1.0, 1.15, 1.25, 4.0]), np.float32([-2, -0.5, 0.5, 2])
    )
    return np.log(ratio), advantage


def slope(loss: Callable[[Any], Any], x: np.ndarray) -> np.ndarray:
    return np.asarray(jax.grad(lambda x: jnp.sum(loss(x)))(x))


def test_the_gradient_is_that_of_what_is_not_clipped() -> None:
    """The third note's form: 1[not clipped] r A times the score."""
    log_ratio, advantage = grid()
    kept = np.asarray(not_clipped(log_ratio, advantage, 0.8, 1.2))
    assert 0 < kept.mean() < 1
    gradient = slope(lambda x: clipped_surrogate(x, advantage, 0.8, 1.2), log_ratio)
    assert_near(gradient, -kept * np.exp(log_ratio) * advantage, 1e-5)
    fewer = np.asarray(not_clipped(log_ratio, advantage, 0.8, 1.2, 3.0))
    assert (fewer <= kept).all() and fewer.sum() == kept.sum() - 2  # r = 4, twice bad
    gradient = slope(lambda x: dual_clipped_surrogate(x, advantage, 0.8, 1.2, 3.0), log_ratio)
    assert_near(gradient, -fewer * np.exp(log_ratio) * advantage, 1e-5)


@pytest.mark.parametrize(
    ("ratio", "advantage", "kept"),
    [(1.3, 1, 0), (1.3, -1, 1), (0.7, 1, 1), (0.7, -1, 0), (1.1, 1, 1), (0.9, -1, 1), (1.3, 0, 0)],
)
def test_clipping_stops_only_what_has_gone_too_far(
    ratio: float, advantage: float, kept: float
) -> None:
    x, a = np.log(np.float32([ratio])), np.float32([advantage])
    np.testing.assert_array_equal(not_clipped(x, a, 0.8, 1.2), [kept])


def test_a_ceiling_stops_bad_tokens_that_became_likely() -> None:
    log_ratio, advantage = grid()
    plain = clipped_surrogate(log_ratio, advantage, 0.8, 1.2)
    dual = dual_clipped_surrogate(log_ratio, advantage, 0.8, 1.2, 3.0)
    high = (advantage < 0) & (np.exp(log_ratio) > 3)
    np.testing.assert_array_equal(np.asarray(dual)[~high], np.asarray(plain)[~high])
    np.testing.assert_allclose(np.asarray(dual)[high], -3 * advantage[high])
    gradient = slope(lambda x: dual_clipped_surrogate(x, advantage, 0.8, 1.2, 3.0), log_ratio)
    assert not gradient[high].any()


def test_wide_bounds_do_not_clip() -> None:
    log_ratio, advantage = grid()
    loss = clipped_surrogate(log_ratio, advantage, 0.0, 1e9)
    assert_near(loss, importance_weighted(log_ratio, advantage), 1e-6)


def test_bounds_per_token() -> None:
    log_ratio, advantage = grid()
    lower, upper = np.full_like(advantage, 0.8), np.full_like(advantage, 1.2)
    by_token = clipped_surrogate(log_ratio, advantage, lower, upper)
    np.testing.assert_array_equal(by_token, clipped_surrogate(log_ratio, advantage, 0.8, 1.2))


def test_every_token_keeps_its_gradient_in_cispo() -> None:
    log_ratio, advantage = grid()
    gradient = slope(lambda x: cispo(x, x - (x - log_ratio), advantage, 0.8, 1.2), log_ratio)
    assert_near(gradient, -np.clip(np.exp(log_ratio), 0.8, 1.2) * advantage, 1e-5)


def test_the_behaviour_weight_has_no_gradient() -> None:
    log_ratio, advantage = grid()
    behind = 0.3 * log_ratio
    assert not slope(
        lambda x: decoupled_surrogate(log_ratio, x, advantage, 0.8, 1.2, 1.1), behind
    ).any()
    weight = np.minimum(np.exp(behind), 1.1)
    ours = slope(lambda x: decoupled_surrogate(x, behind, advantage, 0.8, 1.2, 1.1), log_ratio)
    plain = slope(lambda x: clipped_surrogate(x, advantage, 0.8, 1.2), log_ratio)
    assert_near(ours, weight * plain, 1e-5)


def test_extreme_ratios_of_no_advantage_stay_finite() -> None:
    """A ratio that overflows times an advantage of zero would be NaN."""
    log_ratio, none = np.float32([-1e4, 1e4]), np.zeros(2, np.float32)
    for loss in (
        lambda x: clipped_surrogate(x, none, 0.8, 1.2),
        lambda x: dual_clipped_surrogate(x, none, 0.8, 1.2, 3.0),
    ):
        assert np.isfinite(loss(log_ratio)).all()
        assert np.isfinite(slope(loss, log_ratio)).all()


@pytest.mark.parametrize(
    ("kl", "expected"), [(0.5, 0.4), (0.14, 0.2), (0.1, 0.2), (0.07, 0.2), (0.01, 0.1)]
)
def test_an_adaptive_coefficient_doubles_and_halves(kl: float, expected: float) -> None:
    np.testing.assert_allclose(adaptive_kl_coefficient(0.2, kl, 0.1), expected, rtol=1e-6)


@pytest.mark.parametrize(
    ("kl", "factor"), [(0.1, 1.0), (0.11, 1.01), (9.0, 1.02), (0.0, 0.98), (0.095, 0.995)]
)
def test_a_proportional_coefficient_moves_by_the_error(kl: float, factor: float) -> None:
    beta = proportional_kl_coefficient(0.2, kl, 0.1, 1000, 10000)
    np.testing.assert_allclose(beta, 0.2 * factor, rtol=1e-5)
