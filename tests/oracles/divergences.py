"""Divergences and entropies, category by category."""

import math

import numpy as np

from tests.oracles.walk import every


def _each(rule, log_ratio):
    """Applies a rule of one number to every element."""
    total = np.zeros(log_ratio.shape)
    for index, x in every(log_ratio):
        total[index] = rule(x)
    return total


def k1(log_ratio):
    """The log-ratio itself."""
    return _each(lambda x: x, log_ratio)


def k2(log_ratio):
    """Half its square."""
    return _each(lambda x: 0.5 * x * x, log_ratio)


def k3(log_ratio):
    """The inverse ratio minus 1, minus its own logarithm."""
    return _each(lambda x: 1 / math.exp(x) - 1 - math.log(1 / math.exp(x)), log_ratio)


def k3_corrected(log_ratio):
    """The value of k3; only the gradient is another."""
    return k3(log_ratio)


def _prob(logits):
    """The categories' probabilities."""
    top = max(logits)
    mass = [math.exp(x - top) for x in logits]
    return [m / sum(mass) for m in mass]


def categorical_kl(logits, other_logits):
    """The mean of log(p / q) under p; categories without mass do not count."""
    total = np.zeros(logits.shape[:-1])
    for index in np.ndindex(total.shape):
        for p, q in zip(_prob(logits[index]), _prob(other_logits[index]), strict=True):
            if p > 0:
                total[index] += p * math.log(p / q) if q > 0 else math.inf
    return total


def gaussian_kl(mean, log_std, other_mean, other_log_std):
    """The divergence of one diagonal Gaussian from another, dimension by dimension."""
    total = np.zeros(mean.shape[:-1])
    for index, m, s, other_m, other_s in every(mean, log_std, other_mean, other_log_std):
        variance, other_variance = math.exp(s) ** 2, math.exp(other_s) ** 2
        distance = (variance + (m - other_m) ** 2) / other_variance
        total[index[:-1]] += 0.5 * (math.log(other_variance / variance) + distance - 1)
    return total


def categorical_entropy(logits):
    """The mean of -log p under p; categories without mass do not count."""
    total = np.zeros(logits.shape[:-1])
    for index in np.ndindex(total.shape):
        for p in _prob(logits[index]):
            total[index] -= p * math.log(p) if p > 0 else 0.0
    return total


def gaussian_entropy(log_std):
    """The entropy of a diagonal Gaussian, dimension by dimension."""
    total = np.zeros(log_std.shape[:-1])
    for index, s in every(log_std):
        total[index[:-1]] += 0.5 * math.log(2 * math.pi * math.e * math.exp(s) ** 2)
    return total
