"""Divergences: what each estimator estimates, and whose gradient it has, by enumeration."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrl.formulas.divergences import (
    categorical_entropy,
    categorical_kl,
    gaussian_entropy,
    gaussian_kl,
    k1,
    k2,
    k3,
    k3_corrected,
)
from tests.formulas.near import assert_near

LOGITS, REFERENCE = jnp.array([0.3, -1.0, 0.8, 0.0]), jnp.array([-0.5, 0.4, 1.0, 0.2])
PROB = jax.nn.softmax(LOGITS)
Estimator = Callable[[Any], Any]


def log_ratio(logits: Any) -> Any:
    """Of every category."""
    return jax.nn.log_softmax(logits) - jax.nn.log_softmax(REFERENCE)


def mean_gradient(estimator: Estimator) -> Any:
    """As a loss: samples are drawn from the policy, and drawing them has no gradient."""
    return jax.grad(lambda x: jnp.sum(PROB * estimator(log_ratio(x))))(LOGITS)


REVERSE = jax.grad(categorical_kl)(LOGITS, REFERENCE)
FORWARD = jax.grad(categorical_kl, argnums=1)(REFERENCE, LOGITS)
GRADIENTS = {
    "k1": (k1, jnp.zeros(4)),
    "k2": (k2, REVERSE),
    "k3": (k3, FORWARD),
    "k3_corrected": (k3_corrected, REVERSE),
}


def test_the_two_divergences_have_two_gradients() -> None:
    assert np.abs(REVERSE - FORWARD).max() > 0.05


@pytest.mark.parametrize(("estimator", "expected"), GRADIENTS.values(), ids=GRADIENTS)
def test_gradients_in_expectation(estimator: Estimator, expected: Any) -> None:
    np.testing.assert_allclose(mean_gradient(estimator), expected, atol=1e-6)


@pytest.mark.parametrize("estimator", [k1, k3, k3_corrected])
def test_values_in_expectation(estimator: Estimator) -> None:
    mean = jnp.sum(PROB * estimator(log_ratio(LOGITS)))
    assert_near(mean, categorical_kl(LOGITS, REFERENCE), 1e-5)


@pytest.mark.parametrize("x", [-3.0, -1e-3, 0.0, 1e-3, 2.0])
def test_gradients_of_one_sample(x: float) -> None:
    slopes = {k1: 1.0, k2: x, k3: 1 - np.exp(-x), k3_corrected: x}
    for estimator, expected in slopes.items():
        np.testing.assert_allclose(
            jax.grad(lambda x, f=estimator: f(x)[0])(jnp.array([x])), expected, rtol=1e-4, atol=1e-6
        )


ROWS = {
    "x = 1": ([1.0], [1.0], [0.5], [0.367879]),
    "x = -1": ([-1.0], [-1.0], [0.5], [0.718282]),
    "NeMo-RL": ([-1.0, 14, 29], [-1.0, 14, 29], [0.5, 98, 420.5], [0.7183, 13, 28]),
    "NeMo-RL, as a loss": ([1.0, 0, -1], [1.0, 0, -1], [0.5, 0, 0.5], [0.3679, 0, 0.7183]),
}


@pytest.mark.parametrize(("x", "first", "second", "third"), ROWS.values(), ids=ROWS)
def test_worked_numbers(x: Any, first: Any, second: Any, third: Any) -> None:
    x = np.float32(x)
    expected = ((k1, first), (k2, second), (k3, third), (k3_corrected, third))
    for estimator, numbers in expected:
        np.testing.assert_allclose(estimator(x), numbers, rtol=1e-4, atol=1e-6)


def test_small_log_ratios_are_not_lost_to_rounding() -> None:
    """exp(-x) - 1 + x is x^2 / 2 nearby, a difference of two numbers near 1, and never below 0."""
    x = np.float32([1e-5, -1e-4, 1e-3, -1e-2])
    exact = np.expm1(-x.astype(np.float64)) + x.astype(np.float64)
    assert (np.asarray(k3(x)) >= 0).all()
    np.testing.assert_allclose(k3(x), exact, atol=1.5e-7)
    np.testing.assert_allclose(k3_corrected(x), exact, atol=1.5e-7)


def test_a_divergence_is_zero_only_from_itself() -> None:
    np.testing.assert_allclose(categorical_kl(LOGITS, LOGITS), 0, atol=1e-6)
    np.testing.assert_allclose(categorical_kl(LOGITS, LOGITS + 3), 0, atol=1e-6)
    assert categorical_kl(LOGITS, REFERENCE) > 0.1
    mean, log_std = jnp.array([0.3, -1.0]), jnp.array([0.1, -0.5])
    np.testing.assert_allclose(gaussian_kl(mean, log_std, mean, log_std), 0, atol=1e-6)


def blocked(*categories: int) -> Any:
    return LOGITS.at[jnp.array(categories)].set(-jnp.inf)


@pytest.mark.parametrize("categories", [(0,), (1, 3), (0, 1, 2)])
def test_impossible_categories_are_as_if_absent(categories: tuple[int, ...]) -> None:
    """In value and in gradient, which for them is zero, not NaN."""
    left = np.delete(np.arange(4), categories)
    full, other = (
        blocked(*categories),
        jnp.where(jnp.isinf(blocked(*categories)), -jnp.inf, REFERENCE),
    )
    for f, args in (
        (categorical_entropy, (full,)),
        (categorical_kl, (full, other)),
        (categorical_kl, (full, REFERENCE)),
    ):
        value, gradient = jax.value_and_grad(f)(*args)
        if args[-1] is REFERENCE:
            assert np.isfinite(value) and np.isfinite(gradient).all()
            continue
        fewer, fewer_gradient = jax.value_and_grad(f)(*(x[left] for x in args))
        np.testing.assert_allclose(value, fewer, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(gradient[left], fewer_gradient, rtol=1e-5, atol=1e-6)
        assert not np.delete(gradient, left).any()


def test_what_the_other_excludes_is_infinitely_far() -> None:
    assert categorical_kl(LOGITS, blocked(2)) == np.inf


def test_entropies_of_the_most_and_the_least_certain() -> None:
    np.testing.assert_allclose(
        categorical_entropy(jnp.zeros((2, 5))), np.log([5.0, 5.0]), rtol=1e-6
    )
    assert categorical_entropy(blocked(0, 1, 3)) == 0
    huge = jax.value_and_grad(categorical_entropy)(jnp.array([1e4, 0.0, -1e4]))
    assert all(np.isfinite(x).all() for x in huge)


def test_gaussians_by_integration() -> None:
    x = np.linspace(-30, 30, 200001)

    def density(mean: float, log_std: float) -> np.ndarray:
        z = (x - mean) / np.exp(log_std)
        return np.exp(-z * z / 2) / np.sqrt(2 * np.pi) / np.exp(log_std)

    p, q = density(0.3, 0.2), density(-0.5, 0.6)
    step = x[1] - x[0]
    numbers = [jnp.array([number]) for number in (0.3, 0.2, -0.5, 0.6)]
    np.testing.assert_allclose(gaussian_kl(*numbers), np.sum(p * np.log(p / q)) * step, rtol=1e-5)
    np.testing.assert_allclose(
        gaussian_entropy(numbers[1]), -np.sum(p * np.log(p)) * step, rtol=1e-5
    )


def test_dimensions_add_up() -> None:
    rng = np.random.default_rng(0)
    parts = rng.normal(size=(4, 3)).astype(np.float32)
    each = [float(gaussian_kl(*(x[i : i + 1] for x in parts))) for i in range(3)]
    np.testing.assert_allclose(gaussian_kl(*parts), sum(each), rtol=1e-5)
    each = [float(gaussian_entropy(parts[0, i : i + 1])) for i in range(3)]
    np.testing.assert_allclose(gaussian_entropy(parts[0]), sum(each), rtol=1e-5)
