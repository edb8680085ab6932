"""Equality up to rounding."""

from typing import Any

import jax
import numpy as np


def leaves(tree: Any) -> list[np.ndarray]:
    """The arrays of a result, in order."""
    return [np.asarray(x) for x in jax.tree.leaves(tree)]


def scale(x: np.ndarray) -> float:
    """The largest finite number, to which a tolerance relates."""
    return float(np.abs(x[np.isfinite(x)]).max(initial=0.0))


def assert_near(ours: Any, theirs: Any, tolerance: float) -> None:
    """Equal up to the tolerance, relative to each number and to the largest of its array."""
    ours, theirs = leaves(ours), leaves(theirs)
    assert len(ours) == len(theirs)
    for x, y in zip(ours, theirs, strict=True):
        assert x.shape == y.shape
        y = y.astype(np.float64)
        atol = tolerance * max(scale(y), 1e-3)
        np.testing.assert_allclose(x.astype(np.float64), y, rtol=tolerance, atol=atol)
