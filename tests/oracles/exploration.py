"""Rewards for what a prediction did not foresee."""

import numpy as np

from tests.oracles.preference import sft_loss
from tests.oracles.walk import every, full


def icm_forward_loss(prediction, feature):
    """Half the squared distance of the predicted features."""
    total = np.zeros(feature.shape[:-1])
    for index, guess, truth in every(prediction, feature):
        total[index[:-1]] += 0.5 * (guess - truth) ** 2
    return total


def icm_inverse_loss(logits, action):
    """Minus the log-probability of the action taken."""
    return sft_loss(logits, action)


def icm_reward(prediction, feature, scale):
    """The forward loss, scaled."""
    total = icm_forward_loss(prediction, feature)
    factor = full(scale, total.shape)
    for index in np.ndindex(total.shape):
        total[index] *= factor[index]
    return total


def rnd_error(prediction, feature):
    """The mean squared distance of the predicted features."""
    total = np.zeros(feature.shape[:-1])
    for index, guess, truth in every(prediction, feature):
        total[index[:-1]] += (guess - truth) ** 2 / feature.shape[-1]
    return total
