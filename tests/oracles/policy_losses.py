"""Policy losses, element by element."""

import math

import numpy as np

from tests.oracles.walk import every


def _each(rule, first, *others):
    """Applies a rule of numbers to every element."""
    total = np.zeros(np.shape(first))
    for index, *numbers in every(first, *others):
        total[index] = rule(*numbers)
    return total


def _clipped(d, a, least, most):
    """The lesser of the ratio's and the clipped ratio's gain."""
    r = math.exp(d)
    return min(r * a, min(max(r, least), most) * a)


def policy_gradient(log_prob, advantage):
    """The score function's loss."""
    return _each(lambda log_p, a: -a * log_p, log_prob, advantage)


def importance_weighted(log_ratio, advantage):
    """The weighted gain, negated."""
    return _each(lambda d, a: -math.exp(d) * a, log_ratio, advantage)


def clipped_surrogate(log_ratio, advantage, lower, upper):
    """The pessimistic gain of PPO, negated."""
    return _each(lambda *x: -_clipped(*x), log_ratio, advantage, lower, upper)


def dual_clipped_surrogate(log_ratio, advantage, lower, upper, ceiling):
    """The same, but where the advantage is negative no lower than the ceiling times it."""

    def rule(d, a, least, most, top):
        gain = _clipped(d, a, least, most)
        return -max(gain, top * a) if a < 0 else -gain

    return _each(rule, log_ratio, advantage, lower, upper, ceiling)


def cispo(log_prob, log_ratio, advantage, lower, upper):
    """The score function's loss, weighted by the clipped ratio."""

    def rule(log_p, d, a, least, most):
        return -min(max(math.exp(d), least), most) * a * log_p

    return _each(rule, log_prob, log_ratio, advantage, lower, upper)


def decoupled_surrogate(log_ratio, behaviour_log_ratio, advantage, lower, upper, maximum):
    """The clipped loss around a proximal policy, weighted back to the behaviour policy."""

    def rule(d, behind, a, least, most, top):
        return -min(math.exp(behind), top) * _clipped(d, a, least, most)

    return _each(rule, log_ratio, behaviour_log_ratio, advantage, lower, upper, maximum)


def not_clipped(log_ratio, advantage, lower, upper):
    """Whether the clipped loss still has a gradient."""

    def rule(d, a, least, most):
        r = math.exp(d)
        return float(r <= most if a >= 0 else r >= least)

    return _each(rule, log_ratio, advantage, lower, upper)


def kl_penalised(log_ratio, advantage, kl, beta):
    """The weighted gain, negated, and the price of the divergence."""
    return _each(lambda d, a, k, b: -math.exp(d) * a + b * k, log_ratio, advantage, kl, beta)


def adaptive_kl_coefficient(beta, kl, target, tolerance=1.5, factor=2.0):
    """Raised where the divergence is far above its target, lowered where it is far below."""

    def rule(b, k, goal):
        if k > tolerance * goal:
            return b * factor
        return b / factor if k < goal / tolerance else b

    return _each(rule, beta, kl, target)


def proportional_kl_coefficient(beta, kl, target, num_steps, horizon):
    """Moved in proportion to the divergence's relative error, which is cut at a fifth."""

    def rule(b, k, goal, n, h):
        error = min(max(k / goal - 1, -0.2), 0.2)
        return b * (1 + error * n / h)

    return _each(rule, beta, kl, target, num_steps, horizon)
