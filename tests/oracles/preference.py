"""Losses from preferences, labels and rankings of whole responses."""

import math

import numpy as np

from tests.oracles.pieces import each, each_list, first_best, log_sigmoid, log_sum_exp
from tests.oracles.walk import every, mean


def preference_margin(chosen, rejected, ref_chosen, ref_rejected):
    """How much more than the reference the policy prefers the chosen response."""
    return each(lambda w, v, a, b: (w - a) - (v - b), chosen, rejected, ref_chosen, ref_rejected)


def pairwise_reward_loss(chosen, rejected, margin=0.0, centre=0.0):
    """Bradley-Terry with a margin, and a pull of the scores' sum towards 0."""

    def loss(w, v, m, c):
        return -log_sigmoid(w - v - m) + c * (w + v) ** 2

    return each(loss, chosen, rejected, margin, centre)


def all_pairs_loss(score, label):
    """The mean Bradley-Terry loss of the pairs that the labels order."""

    def loss(scores, labels):
        pairs = []
        for i in range(len(scores)):
            for j in range(len(scores)):
                if labels[i] > labels[j]:
                    pairs.append(-log_sigmoid(scores[i] - scores[j]))
        return mean(pairs)

    return each_list(loss, score, label)


def plackett_luce_loss(score, label):
    """Minus the log-probability of drawing the responses in the labels' order, best first."""

    def loss(scores, labels):
        left = sorted(range(len(scores)), key=lambda i: -labels[i])
        total = 0.0
        while left:
            total -= scores[left[0]] - log_sum_exp([scores[i] for i in left])
            left = left[1:]
        return total

    return each_list(loss, score, label)


def dpo_loss(margin, beta, smoothing=0.0):
    """Cross-entropy with labels that are wrong with the probability `smoothing`."""

    def loss(x, b, eps):
        return -(1 - eps) * log_sigmoid(b * x) - eps * log_sigmoid(-b * x)

    return each(loss, margin, beta, smoothing)


def robust_dpo_loss(margin, beta, smoothing):
    """The loss whose mean over flipped labels is the loss of the true label."""

    def loss(x, b, eps):
        return (-(1 - eps) * log_sigmoid(b * x) + eps * log_sigmoid(-b * x)) / (1 - 2 * eps)

    return each(loss, margin, beta, smoothing)


def ipo_loss(margin, beta):
    """The squared distance of the margin from 1/(2β)."""
    return each(lambda x, b: (x - 1 / (2 * b)) ** 2, margin, beta)


def hinge_loss(margin, beta):
    """What the margin times β lacks to 1."""
    return each(lambda x, b: max(0.0, 1 - b * x), margin, beta)


def simpo_loss(chosen, rejected, beta, gamma):
    """Bradley-Terry on average log-probabilities with a target margin."""

    def loss(w, v, b, g):
        return -log_sigmoid(b * (w - v) - g)

    return each(loss, chosen, rejected, beta, gamma)


def orpo_loss(chosen, rejected, beta):
    """Likelihood of the chosen response, and the odds ratio of the two."""

    def log_odds(x):
        return x - math.log(-math.expm1(x))

    def loss(w, v, b):
        return -w - b * log_sigmoid(log_odds(w) - log_odds(v))

    return each(loss, chosen, rejected, beta)


def kto_reference(log_ratio):
    """The mean log-ratio on mismatched pairs, at least 0."""
    return np.asarray(max(mean([x for _, x in every(log_ratio)]), 0.0))


def kto_loss(log_ratio, desirable, reference, beta, desirable_weight=1.0, undesirable_weight=1.0):
    """What a response's prospect value lacks to its weight."""
    kept = (log_ratio, desirable, reference, beta, desirable_weight, undesirable_weight)

    def loss(x, good, z, b, weight_good, weight_bad):
        if good:
            return weight_good * (1 - math.exp(log_sigmoid(b * (x - z))))
        return weight_bad * (1 - math.exp(log_sigmoid(b * (z - x))))

    return each(loss, *kept)


def rrhf_loss(score, reward):
    """The sum over ordered pairs of how much the worse response is preferred."""

    def loss(scores, rewards):
        total = 0.0
        for i in range(len(scores)):
            for j in range(len(scores)):
                if rewards[i] < rewards[j]:
                    total += max(0.0, scores[i] - scores[j])
        return total

    return each_list(loss, score, reward)


def best_response_loss(log_prob, reward):
    """Minus the log-probability of the first response of the highest reward."""

    def loss(log_probs, rewards):
        return -log_probs[first_best(range(len(rewards)), lambda i: rewards[i])]

    return each_list(loss, log_prob, reward)


def sft_loss(logits, target):
    """Minus the log-probability of each target token."""
    total = np.zeros(target.shape)
    for index in np.ndindex(target.shape):
        total[index] = log_sum_exp(logits[index]) - logits[index][target[index]]
    return total
