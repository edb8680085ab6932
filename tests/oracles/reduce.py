"""Reductions over what counts, by walking and counting."""

import numpy as np

from tests.oracles import walk
from tests.oracles.walk import valid, valid_steps


def _along(x, mask, axis, rule):
    """Applies a rule of a list of numbers along the given axes."""
    if axis is None:
        return np.array(rule(valid(x, mask)))
    axes = {a % x.ndim for a in (axis if isinstance(axis, tuple) else (axis,))}
    shape = [size for a, size in enumerate(x.shape) if a not in axes]
    total = np.zeros(shape)
    for kept in np.ndindex(*shape):
        place = iter(kept)
        index = tuple(slice(None) if a in axes else next(place) for a in range(x.ndim))
        total[kept] = rule(valid(x[index], mask[index]))
    return total


def masked_sum(x, mask, axis=None):
    """The sum of what counts."""
    return _along(x, mask, axis, lambda numbers: sum(numbers, 0.0))


def masked_mean(x, mask, axis=None):
    """The mean of what counts."""
    return _along(x, mask, axis, walk.mean)


def masked_var(x, mask, axis=None, *, ddof=0):
    """The variance of what counts."""
    return _along(x, mask, axis, lambda numbers: walk.variance(numbers, ddof))


def _sequences(x, mask):
    """The tokens' numbers of each sequence that has any."""
    for column in np.ndindex(x.shape[1:]):
        if tokens := valid_steps(mask, column):
            yield [float(x[(t, *column)]) for t in tokens]


def _ratio(above, below):
    return np.array(above / below if below else 0.0)


def token_count(mask):
    """How many tokens count."""
    return np.array(float(len(valid(mask, mask))))


def sequence_count(mask):
    """How many sequences have a token that counts."""
    return np.array(float(len(list(_sequences(mask, mask)))))


def token_mean(x, mask, denominator=None):
    """The mean over all tokens."""
    below = token_count(mask) if denominator is None else denominator
    return _ratio(sum(sum(numbers) for numbers in _sequences(x, mask)), below)


def sequence_mean(x, mask, denominator=None):
    """The mean over the sequences of the means over their tokens."""
    below = sequence_count(mask) if denominator is None else denominator
    return _ratio(sum(walk.mean(numbers) for numbers in _sequences(x, mask)), below)


def sequence_sum(x, mask, denominator=None):
    """The mean over the sequences of the sums over their tokens."""
    below = sequence_count(mask) if denominator is None else denominator
    return _ratio(sum(sum(numbers) for numbers in _sequences(x, mask)), below)


def fixed_length(x, mask, length, denominator=None):
    """The mean over the sequences of the sums over their tokens, per token of a full response."""
    return sequence_sum(x, mask, denominator) / length


def only_token_mean(x, mask, denominator=None):
    """The sum over the sequences of the means over their tokens."""
    return sequence_mean(x, mask, 1.0 if denominator is None else denominator)
