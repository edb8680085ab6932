"""Returns, each as a sum over the rewards that follow."""

import numpy as np

from tests.oracles.walk import end_of_episode, full, steps


def discounted_return(reward, discount, last):
    """The discounted sum of all rewards to come, and the last value behind them."""
    shape = reward.shape
    discount, last = full(discount, shape), full(last, shape[1:])
    total = np.zeros(shape)
    for t, column in steps(shape):
        product = 1.0
        for k in range(t, shape[0]):
            total[(t, *column)] += product * reward[(k, *column)]
            product *= discount[(k, *column)]
        total[(t, *column)] += product * last[column]
    return total


def n_step_return(reward, next_value, discount, done, n):
    """At most n rewards of the episode, then the value of the state after the last of them."""
    discount = full(discount, reward.shape)
    total = np.zeros(reward.shape)
    for t, column in steps(reward.shape):
        stop = min(t + n - 1, end_of_episode(done, t, column))
        product = 1.0
        for k in range(t, stop + 1):
            total[(t, *column)] += product * reward[(k, *column)]
            product *= discount[(k, *column)]
        total[(t, *column)] += product * next_value[(stop, *column)]
    return total


def squashed_return(returns, eps=1e-3):
    """The root of one plus the distance from zero, less one, with a little of the return."""
    total = np.zeros(returns.shape)
    for index in np.ndindex(returns.shape):
        g = float(returns[index])
        total[index] = np.sign(g) * (np.sqrt(abs(g) + 1) - 1) + eps * g
    return total


def stretched_return(squashed, eps=1e-3):
    """The return whose squashed one is given, found by halving an interval."""
    total = np.zeros(squashed.shape)
    for index in np.ndindex(squashed.shape):
        x, low, high = abs(float(squashed[index])), np.zeros(1), np.full(1, 1e6)
        for _ in range(200):
            middle = (low + high) / 2
            below = squashed_return(middle, eps)[0] < x
            low, high = (middle, high) if below else (low, middle)
        total[index] = np.sign(squashed[index]) * low[0]
    return total


def lambda_return(reward, next_value, discount, done, lam):
    """The mean of all n-step returns of the episode, weighted (1 - lam) lam^(n - 1)."""
    lam = full(lam, reward.shape)
    num_steps = reward.shape[0]
    of_n = [n_step_return(reward, next_value, discount, done, n) for n in range(1, num_steps + 1)]
    total = np.zeros(reward.shape)
    for t, column in steps(reward.shape):
        length = end_of_episode(done, t, column) - t + 1
        left = 1.0  # the weight that the shorter returns have not taken
        for n in range(1, length):
            mix = lam[(t + n - 1, *column)]
            total[(t, *column)] += left * (1 - mix) * of_n[n - 1][(t, *column)]
            left *= mix
        total[(t, *column)] += left * of_n[length - 1][(t, *column)]
    return total
