"""Value losses, element by element."""

import numpy as np

from tests.oracles.walk import every, valid, variance


def squared_loss(value, target):
    """Half the square of the error."""
    total = np.zeros(value.shape)
    for index, v, g in every(value, target):
        total[index] = 0.5 * (v - g) ** 2
    return total


def squared_distance(x, y):
    """Half the sum of the squares of the differences."""
    total = np.zeros(x.shape[:-1])
    for index, one, other in every(x, y):
        total[index[:-1]] += 0.5 * (one - other) ** 2
    return total


def huber_loss(value, target, delta=1.0):
    """Half the square of a small error, and a line of slope delta for a large one."""
    total = np.zeros(value.shape)
    for index, v, g, width in every(value, target, delta):
        error = abs(v - g)
        total[index] = 0.5 * error**2 if error <= width else width * (error - 0.5 * width)
    return total


def sequence_priority(error, share):
    """A mixture of the largest and the mean size of the errors of each sequence."""
    total = np.zeros(error.shape[1:])
    for column in np.ndindex(error.shape[1:]):
        sizes = [abs(float(error[(t, *column)])) for t in range(len(error))]
        total[column] = share * max(sizes) + (1 - share) * sum(sizes) / len(sizes)
    return total


def expectile_loss(value, target, tau):
    """The squared error, weighted tau below the target and 1 - tau above it."""
    total = np.zeros(value.shape)
    for index, v, g, share in every(value, target, tau):
        total[index] = (1 - share if g < v else share) * (g - v) ** 2
    return total


def clipped_value_loss(value, old_value, target, eps):
    """The worse of the loss and of the loss of the value kept near the old one."""
    total = np.zeros(value.shape)
    for index, v, old, g, width in every(value, old_value, target, eps):
        kept = min(max(v, old - width), old + width)
        total[index] = 0.5 * max((v - g) ** 2, (kept - g) ** 2)
    return total


def explained_variance(value, target, mask=None):
    """The share of the target's variance that the value explains."""
    goals, errors = valid(target, mask), valid(np.subtract(target, value), mask)
    whole = variance(goals)
    return np.array(1 - variance(errors) / whole if whole > 0 else 0.0)
