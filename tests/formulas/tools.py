"""What the tests of values, choices and preferences share."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from scipy import stats


def sample(seed: int, *shape: int, scale: float = 1.0) -> np.ndarray:
    """Normal float32 numbers."""
    return (scale * np.random.default_rng(seed).normal(size=shape)).astype(np.float32)


def array(*numbers: Any) -> jax.Array:
    """A float32 vector (or matrix) of the numbers (or rows)."""
    return jnp.array(numbers, jnp.float32)


def near(actual: Any, expected: Any, rtol: float = 1e-5, atol: float = 1e-6) -> None:
    """Equal shapes, and numbers equal up to rounding."""
    assert np.shape(actual) == np.shape(expected)
    np.testing.assert_allclose(np.asarray(actual), np.asarray(expected), rtol=rtol, atol=atol)


def frequencies_match(action: Any, prob: Any) -> None:
    """Chi-squared: the actions [N] could come from `prob` [A]; none has probability 0."""
    counts = np.bincount(np.asarray(action), minlength=len(prob))
    prob = np.asarray(prob, np.float64)
    possible = prob > 0
    assert counts[~possible].sum() == 0
    if possible.sum() == 1:
        return
    expected = counts.sum() * prob[possible] / prob[possible].sum()
    assert stats.chisquare(counts[possible], expected).pvalue > 1e-3
