"""Cloning of experts, and rewards from a discriminator."""

import numpy as np

from tests.oracles.pieces import each, log_sigmoid
from tests.oracles.preference import sft_loss
from tests.oracles.walk import every


def cloning_loss(logits, action):
    """Minus the log-probability of the expert's action."""
    return sft_loss(logits, action)


def squared_cloning_loss(action, expert_action):
    """Half the squared distance to the expert's action."""
    total = np.zeros(action.shape[:-1])
    for index, a, goal in every(action, expert_action):
        total[index[:-1]] += 0.5 * (a - goal) ** 2
    return total


def discriminator_loss(logit, expert):
    """The cross-entropy of the logit's probability and the expert's flag."""

    def loss(x, flag):
        return -log_sigmoid(x) if flag else -log_sigmoid(-x)

    return each(loss, logit, expert)


def gail_reward(logit):
    """-log of the probability that it is not the expert."""
    return each(lambda x: -log_sigmoid(-x), logit)


def airl_reward(logit):
    """log D less log(1 - D)."""
    return each(lambda x: log_sigmoid(x) - log_sigmoid(-x), logit)


def saturating_reward(logit):
    """log of the probability that it is the expert."""
    return each(log_sigmoid, logit)
