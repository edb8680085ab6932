"""Distributions of returns: atoms with probabilities, and quantiles."""

import itertools
import math

import numpy as np

from tests.oracles.pieces import log_sum_exp


def categorical_projection(atoms, prob, support):
    """Shares the mass of each atom between its two neighbours on the support, as C51 does."""
    lowest, highest = support[0], support[-1]
    gap = (highest - lowest) / (len(support) - 1)
    total = np.zeros((*atoms.shape[:-1], len(support)))
    for index in np.ndindex(atoms.shape):
        place = (min(max(atoms[index], lowest), highest) - lowest) / gap
        below = min(math.floor(place), len(support) - 2)
        total[(*index[:-1], below)] += prob[index] * (below + 1 - place)
        total[(*index[:-1], below + 1)] += prob[index] * (place - below)
    return total


def categorical_loss(logits, target_prob):
    """The cross-entropy of the target's distribution and the predicted one."""
    total = np.zeros(logits.shape[:-1])
    for index in np.ndindex(logits.shape):
        log_prob = logits[index] - log_sum_exp(logits[index[:-1]])
        total[index[:-1]] -= target_prob[index] * log_prob
    return total


def quantile_huber_loss(quantile, tau, target, kappa=1.0):
    """Summed over the quantiles, averaged over the targets: the tilted Huber loss of each pair."""
    total = np.zeros(quantile.shape[:-1])
    levels = np.broadcast_to(tau, quantile.shape)
    for index in np.ndindex(quantile.shape):
        for goal in target[index[:-1]]:
            u = goal - quantile[index]
            tilt = abs(levels[index] - (1.0 if u < 0 else 0.0))
            if kappa == 0:
                loss = abs(u)
            elif abs(u) <= kappa:
                loss = 0.5 * u * u / kappa
            else:
                loss = abs(u) - 0.5 * kappa
            total[index[:-1]] += tilt * loss / target.shape[-1]
    return total


def quantile_midpoints(num_quantiles):
    """The middle of each of the equal parts of the unit interval."""
    edges = [i / num_quantiles for i in range(num_quantiles + 1)]
    return np.array([(a + b) / 2 for a, b in itertools.pairwise(edges)])
