"""Advantages, each as a double sum over the errors that follow."""

import numpy as np

from tests.oracles.walk import (
    end_of_episode,
    every,
    full,
    mean,
    steps,
    valid,
    valid_steps,
    variance,
)
from tests.oracles.weightings import td_error


def _sum_of_errors(error, decay, done):
    """Sum over k from t to the end of the episode of (decay_t ... decay_{k-1}) error_k."""
    total = np.zeros(error.shape)
    for t, column in steps(error.shape):
        product = 1.0
        for k in range(t, end_of_episode(done, t, column) + 1):
            total[(t, *column)] += product * error[(k, *column)]
            product *= decay[(k, *column)]
    return total


def gae(reward, value, next_value, discount, done, lam):
    """The sum of the TD errors to come, each discounted by (discount lam) per step."""
    error = td_error(reward, value, next_value, discount)
    return _sum_of_errors(error, full(discount, error.shape) * full(lam, error.shape), done)


def masked_gae(reward, value, mask, discount, lam, last_value=0.0):
    """The same over the tokens of a response, as if those in the gaps were not there."""
    discount, lam = full(discount, reward.shape), full(lam, reward.shape)
    last_value = full(last_value, reward.shape[1:])
    total = np.zeros(reward.shape)
    for column in np.ndindex(reward.shape[1:]):
        tokens = [(t, *column) for t in valid_steps(mask, column)]
        values = [value[token] for token in tokens] + [last_value[column]]
        for i, token in enumerate(tokens):
            product = 1.0
            for j in range(i, len(tokens)):
                gamma = discount[tokens[j]]
                error = reward[tokens[j]] + gamma * values[j + 1] - values[j]
                total[token] += product * error
                product *= gamma * lam[tokens[j]]
    return total


def length_adaptive_lambda(length, alpha):
    """1 - 1 / (alpha length), not below 0."""
    total = np.zeros(length.shape)
    for index, number in every(length):
        total[index] = max(0.0, 1 - 1 / (alpha * number)) if number else 0.0
    return total


def vtrace(reward, value, next_value, discount, done, rho, trace):
    """The value, and the sum of the weighted TD errors to come."""
    rho, trace = full(rho, reward.shape), full(trace, reward.shape)
    error = rho * td_error(reward, value, next_value, discount)
    return value + _sum_of_errors(error, full(discount, reward.shape) * trace, done)


def vtrace_advantage(reward, value, next_value, target, discount, done, rho):
    """The weighted TD error towards the next target; towards the next value at an end."""
    total = np.zeros(reward.shape)
    discount, rho = full(discount, reward.shape), full(rho, reward.shape)
    for t, column in steps(reward.shape):
        here = (t, *column)
        ends = done[here] or t == len(reward) - 1
        after = next_value[here] if ends else target[(t + 1, *column)]
        total[here] = rho[here] * (reward[here] + discount[here] * after - value[here])
    return total


def retrace(reward, q, next_value, discount, done, trace):
    """The action value, and the sum of the TD errors to come, cut by the traces after t."""
    error = td_error(reward, q, next_value, discount)
    discount, trace = full(discount, reward.shape), full(trace, reward.shape)
    decay = np.zeros(reward.shape)
    for t, column in steps(reward.shape):
        if t + 1 < len(reward):
            decay[(t, *column)] = discount[(t, *column)] * trace[(t + 1, *column)]
    return q + _sum_of_errors(error, decay, done)


def whiten(x, mask=None, *, ddof=0, eps=1e-8):
    """Mean 0 and deviation 1 over all that counts."""
    kept = np.ones(x.shape) if mask is None else mask
    numbers = valid(x, kept)
    centre, deviation = mean(numbers), variance(numbers, ddof) ** 0.5
    total = np.zeros(x.shape)
    if len(set(numbers)) > 1:
        for index in zip(*np.nonzero(kept), strict=True):
            total[index] = (x[index] - centre) / (deviation + eps)
    return total
