"""Log-probabilities of chosen categories."""

import math

import numpy as np


def _log_prob(logits):
    """The categories' log-probabilities, by the definition."""
    top = max(logits)
    log_mass = top + math.log(sum(math.exp(x - top) for x in logits))
    return [x - log_mass for x in logits]


def selected_log_prob(logits, action):
    """The log-probability of the category chosen."""
    total = np.zeros(action.shape)
    for index in np.ndindex(action.shape):
        total[index] = _log_prob(logits[index])[action[index]]
    return total


def log_prob_and_entropy(logits, action):
    """The log-probability of the category chosen, and the entropy."""
    entropy = np.zeros(action.shape)
    for index in np.ndindex(action.shape):
        for x in _log_prob(logits[index]):
            entropy[index] -= math.exp(x) * x if x > -math.inf else 0.0
    return selected_log_prob(logits, action), entropy


def hidden_log_prob_and_entropy(hidden, unembedding, action, chunk_size=None):
    """The same from the last hidden state; chunks have no say in the result."""
    return log_prob_and_entropy(hidden @ unembedding, action)
