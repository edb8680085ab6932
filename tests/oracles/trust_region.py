"""The natural gradient and TRPO's step, with dense matrices and finite differences."""

import numpy as np


def conjugate_gradient(product, b, num_iterations=None, tolerance=None):
    """The solution of product(x) = b: the matrix is read off column by column and inverted."""
    matrix = np.stack([product(unit) for unit in np.eye(len(b))], -1)
    return np.linalg.solve(matrix.astype(np.float64), np.asarray(b, np.float64))


def gradient(function, x, step=1e-5):
    """Central differences, one coordinate after the other."""
    total = np.zeros(len(x))
    for i, unit in enumerate(np.eye(len(x))):
        total[i] = (function(x + step * unit) - function(x - step * unit)) / (2 * step)
    return total


def hessian(function, x, step=1e-4):
    """Central differences of the gradient."""
    rows = []
    for unit in np.eye(len(x)):
        ends = (gradient(function, x + sign * step * unit) for sign in (1, -1))
        rows.append(np.subtract(*ends) / (2 * step))
    return np.stack(rows)


def trust_region_step(
    surrogate, divergence, params, *, max_kl, damping=0.1, num_iterations=10, num_backtracks=10
):
    """The parameters (a vector) after the longest good step of those that are tried."""
    fisher = hessian(divergence, params) + damping * np.eye(len(params))
    direction = np.linalg.solve(fisher, -gradient(surrogate, params))
    step = direction * np.sqrt(2 * max_kl / (direction @ fisher @ direction))
    for k in range(num_backtracks):
        tried = params + step / 2**k
        if surrogate(tried) < surrogate(params) and divergence(tried) <= max_kl:
            return tried
    return params
