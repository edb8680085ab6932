"""Ratios of new to old probability, token by token and sequence by sequence."""

import math

import numpy as np

from tests.oracles.walk import every, mean, valid_steps


def token_log_ratio(log_prob, old_log_prob, mask=None):
    """The difference of the log-probabilities where there is a token."""
    total = np.zeros(log_prob.shape)
    for index in np.ndindex(log_prob.shape):
        if mask is None or mask[index]:
            total[index] = log_prob[index] - old_log_prob[index]
    return total


def _per_sequence(log_prob, old_log_prob, mask, combine):
    """One number for each sequence, at each of its tokens."""
    total = np.zeros(log_prob.shape)
    for column in np.ndindex(log_prob.shape[1:]):
        tokens = [(t, *column) for t in valid_steps(mask, column)]
        number = combine([log_prob[i] - old_log_prob[i] for i in tokens])
        for i in tokens:
            total[i] = number
    return total


def sequence_log_ratio(log_prob, old_log_prob, mask):
    """The mean difference over the sequence (the geometric mean of its ratios)."""
    return _per_sequence(log_prob, old_log_prob, mask, mean)


def total_log_ratio(log_prob, old_log_prob, mask):
    """The sum of the differences over the sequence (its likelihood ratio)."""
    return _per_sequence(log_prob, old_log_prob, mask, sum)


def gspo_token_log_ratio(log_prob, old_log_prob, mask):
    """The value of the sequence's; only the gradient is another."""
    return sequence_log_ratio(log_prob, old_log_prob, mask)


def dynamic_bounds(old_log_prob, eps_low, eps_high, ceiling=10.0):
    """The ratios r with |r - 1| r q <= eps on either side of 1 (q the old probability)."""
    lower, upper = np.zeros(old_log_prob.shape), np.zeros(old_log_prob.shape)
    for index, old in every(old_log_prob):
        q = math.exp(old)
        lower[index] = 0.5 + 0.5 * math.sqrt(max(1 - 4 * eps_low / q, 0.0))
        upper[index] = min(0.5 + 0.5 * math.sqrt(1 + 4 * eps_high / q), ceiling)
    return lower, upper


def truncated_weight(log_ratio, maximum):
    """The ratio, at most the maximum."""
    total = np.zeros(log_ratio.shape)
    for index, d, most in every(log_ratio, maximum):
        total[index] = min(math.exp(d), most)
    return total


def masked_weight(log_ratio, lower, upper):
    """The ratio inside its bounds, nothing outside."""
    total = np.zeros(log_ratio.shape)
    for index, d, least, most in every(log_ratio, lower, upper):
        total[index] = math.exp(d) if least <= math.exp(d) <= most else 0.0
    return total


def retrace_weight(log_ratio, lam):
    """lam times the ratio, which counts as at most 1."""
    total = np.zeros(log_ratio.shape)
    for index, d, factor in every(log_ratio, lam):
        total[index] = factor * min(1.0, math.exp(d))
    return total


def off_policy_mask(advantage, log_ratio, mask, threshold):
    """Drops the bad tokens of sequences that the policy has left behind."""
    total = np.zeros(log_ratio.shape)
    for column in np.ndindex(log_ratio.shape[1:]):
        tokens = [(t, *column) for t in valid_steps(mask, column)]
        distance = mean([-log_ratio[i] for i in tokens])
        for i in tokens:
            total[i] = 1.0 if advantage[i] >= 0 or distance <= threshold else 0.0
    return total
