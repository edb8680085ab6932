"""What the oracles of values, choices and preferences share."""

import math

import numpy as np

from tests.oracles.walk import every


def log_sigmoid(x):
    """log 1/(1 + exp(-x)) without overflow."""
    return -math.log1p(math.exp(-x)) if x > 0 else x - math.log1p(math.exp(x))


def softmax(numbers, temperature=1.0):
    """Probabilities proportional to exp(x/τ)."""
    top = max(numbers)
    mass = [math.exp((x - top) / temperature) for x in numbers]
    return [m / sum(mass) for m in mass]


def log_sum_exp(numbers):
    """The log of the summed exponentials."""
    top = max(numbers)
    return top + math.log(sum(math.exp(x - top) for x in numbers))


def soft_mean(prob, values, temperature):
    """The mean under the probabilities of the value less τ log-probabilities."""
    total = 0.0
    for p, x in zip(prob, values, strict=True):
        total += p * (x - temperature * math.log(p)) if p > 0 else 0.0
    return total


def legal_actions(mask, index, num_actions):
    """The numbers of the legal actions in one state."""
    return [a for a in range(num_actions) if mask is None or mask[(*index, a)]]


def first_best(choices, score):
    """The first choice of the highest score."""
    best = choices[0]
    for choice in choices:
        if score(choice) > score(best):
            best = choice
    return best


def each(function, *arrays):
    """The function of every element."""
    total = np.zeros(np.broadcast_shapes(*(np.shape(x) for x in arrays)))
    for index, *numbers in every(*arrays):
        total[index] = function(*numbers)
    return total


def each_list(function, *arrays):
    """The function of every list along the last axis."""
    total = np.zeros(arrays[0].shape[:-1])
    for index in np.ndindex(total.shape):
        total[index] = function(*(x[index] for x in arrays))
    return total
