"""Baselines, by counting."""

import math

import numpy as np

from tests.oracles.walk import every, mean, valid


def mean_baseline(returns, mask=None):
    """The mean of all returns that count."""
    return np.array(mean(valid(returns, mask)))


def moving_baseline(baseline, returns, decay):
    """The old baseline, moved towards the mean of the new returns."""
    return np.array(decay * baseline + (1 - decay) * mean(valid(returns)))


def optimal_baseline(returns, squared_score):
    """The mean return, weighted by the squared length of the score, which is what is given."""
    above = below = 0.0
    for _, g, square in every(returns, squared_score):
        above += square * g
        below += square
    return np.array(above / below if below else 0.0)


def action_dependent_loss(logits, action, weight, baseline):
    """The score times what the baseline leaves, and the baseline's mean under the policy."""
    total = np.zeros(action.shape)
    for index in np.ndindex(action.shape):
        scale = sum(math.exp(x) for x in logits[index])
        prob = [math.exp(x) / scale for x in logits[index]]
        chosen = action[index]
        left = weight[index] - baseline[index][chosen]
        expected = sum(p * b for p, b in zip(prob, baseline[index], strict=True))
        total[index] = -(math.log(prob[chosen]) * left + expected)
    return total
