"""Choice of an action from values, given the noise."""

import math

import numpy as np

from tests.oracles.pieces import first_best, legal_actions, softmax
from tests.oracles.walk import full


def _choose(values, mask, choice):
    """One action for each state: choice(index, the legal actions)."""
    action = np.zeros(values.shape[:-1], np.int32)
    for index in np.ndindex(action.shape):
        action[index] = choice(index, legal_actions(mask, index, values.shape[-1]))
    return action


def greedy(values, mask=None):
    """The best legal action, the first of equals."""
    return _choose(values, mask, lambda i, legal: first_best(legal, lambda a: values[(*i, a)]))


def epsilon_greedy(values, noise, epsilon, mask=None):
    """Any legal action where the first uniform is below epsilon, else the best one."""
    rate = full(epsilon, values.shape[:-1])

    def choice(index, legal):
        if noise[(*index, 0)] < rate[index]:
            return legal[math.floor(noise[(*index, 1)] * len(legal))]
        return first_best(legal, lambda a: values[(*index, a)])

    return _choose(values, mask, choice)


def boltzmann(values, noise, temperature, mask=None):
    """The best legal action by value/τ plus Gumbel noise."""
    tau = full(temperature, values.shape[:-1])

    def choice(index, legal):
        return first_best(legal, lambda a: values[(*index, a)] / tau[index] + noise[(*index, a)])

    return _choose(values, mask, choice)


def top_k(values, noise, k, mask=None):
    """The one of the k best legal actions that has the most noise."""

    def choice(index, legal):
        ranked = sorted(legal, key=lambda a: -values[(*index, a)])
        return first_best(sorted(ranked[:k]), lambda a: noise[(*index, a)])

    return _choose(values, mask, choice)


def epsilon_greedy_prob(values, epsilon, mask=None):
    """Each legal action's share of epsilon, and the rest for the best one."""
    rate, best = full(epsilon, values.shape[:-1]), greedy(values, mask)
    prob = np.zeros(values.shape)
    for index in np.ndindex(best.shape):
        legal = legal_actions(mask, index, values.shape[-1])
        for a in legal:
            prob[(*index, a)] = rate[index] / len(legal)
        prob[(*index, best[index])] += 1 - rate[index]
    return prob


def boltzmann_prob(values, temperature, mask=None):
    """The softmax of value/τ over the legal actions."""
    tau = full(temperature, values.shape[:-1])
    prob = np.zeros(values.shape)
    for index in np.ndindex(values.shape[:-1]):
        legal = legal_actions(mask, index, values.shape[-1])
        shares = softmax([values[(*index, a)] for a in legal], tau[index])
        for a, share in zip(legal, shares, strict=True):
            prob[(*index, a)] = share
    return prob
