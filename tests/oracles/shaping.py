"""Rewards made from scores, lengths and potentials."""

import numpy as np

from tests.oracles.walk import every, full, valid_steps


def kl_reward(score, log_prob, ref_log_prob, mask, beta, clip=np.inf):
    """Each token pays for leaving the reference; the last one also receives the clipped score."""
    total = np.zeros(log_prob.shape)
    betas = full(beta, log_prob.shape)
    for column in np.ndindex(log_prob.shape[1:]):
        tokens = valid_steps(mask, column)
        for t in tokens:
            here = (t, *column)
            total[here] = -betas[here] * (log_prob[here] - ref_log_prob[here])
        if tokens:
            total[(tokens[-1], *column)] += min(max(float(score[column]), -clip), clip)
    return total


def soft_overlong_penalty(length, max_length, cache):
    """Nothing up to the cache, then down to -1 at the longest length, and -1 beyond it."""
    total = np.zeros(np.shape(length))
    for index, n, longest, soft in every(length, max_length, cache):
        if n <= longest - soft:
            total[index] = 0.0
        elif n <= longest:
            total[index] = (longest - soft - n) / soft
        else:
            total[index] = -1.0
    return total


def linear_length_penalty(length, limit, coefficient):
    """A price for each token beyond the limit."""
    total = np.zeros(np.shape(length))
    for index, n, free, price in every(length, limit, coefficient):
        total[index] = -price * (n - free) if n > free else 0.0
    return total


def relative_length_reward(length, correct):
    """From 1/2 for the shortest to -1/2 for the longest; wrong responses earn nothing by it."""
    total = np.zeros(length.shape)
    for index, n, right in every(length, correct):
        shortest, longest = float(min(length[index[:-1]])), float(max(length[index[:-1]]))
        if longest > shortest:
            share = 0.5 - (n - shortest) / (longest - shortest)
            total[index] = share if right else min(0.0, share)
    return total


def potential_shaping(potential, next_potential, discount):
    """The discounted potential of the state reached, less that of the state left."""
    total = np.zeros(potential.shape)
    for index, before, after, gamma in every(potential, next_potential, discount):
        total[index] = gamma * after - before
    return total
