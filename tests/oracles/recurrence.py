"""The recurrence as the sum that it stands for."""

from collections.abc import Callable
from typing import Any

import numpy as np

from tests.oracles.walk import full, steps


def recurrence(coefficients: Callable[..., Any], inputs: tuple[Any, ...], last: Any) -> np.ndarray:
    """x_t = sum over k >= t of (a_t ... a_{k-1}) b_k, plus (a_t ... a_{T-1}) last."""
    shape = np.shape(inputs[0])
    inputs, last = tuple(full(x, shape) for x in inputs), full(last, shape[1:])
    x = np.zeros(shape)
    for t, column in steps(shape):
        product = 1.0
        for k in range(t, shape[0]):
            b, a = coefficients(*(array[(k, *column)] for array in inputs))
            x[(t, *column)] += product * b
            product *= a
        x[(t, *column)] += product * last[column]
    return x
