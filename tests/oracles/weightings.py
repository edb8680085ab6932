"""The six weights of the score in the policy gradient."""

import numpy as np

from tests.oracles.returns import n_step_return
from tests.oracles.walk import end_of_episode, every, full


def trajectory_return(reward, next_value, discount, done):
    """The return of the whole episode that a step belongs to, found by walking the episodes."""
    discount = full(discount, reward.shape)
    total = np.zeros(reward.shape)
    for column in np.ndindex(reward.shape[1:]):
        start = 0
        while start < len(reward):
            stop = end_of_episode(done, start, column)
            product, episode = 1.0, 0.0
            for k in range(start, stop + 1):
                episode += product * reward[(k, *column)]
                product *= discount[(k, *column)]
            episode += product * next_value[(stop, *column)]
            for k in range(start, stop + 1):
                total[(k, *column)] = episode
            start = stop + 1
    return total


def reward_to_go(reward, next_value, discount, done):
    """The rewards from here to the end of the episode, and the value of what was cut off."""
    return n_step_return(reward, next_value, discount, done, n=len(reward))


def baselined_return(returns, baseline):
    """The return minus a baseline."""
    total = np.zeros(returns.shape)
    for index, g, b in every(returns, baseline):
        total[index] = g - b
    return total


def action_value(q, action):
    """The value of the action that was taken."""
    total = np.zeros(action.shape)
    for index in np.ndindex(action.shape):
        total[index] = q[index][action[index]]
    return total


def action_advantage(q, action, prob):
    """The value of the action taken above the policy's mean value."""
    total = np.zeros(action.shape)
    for index in np.ndindex(action.shape):
        value = 0.0
        for p, x in zip(prob[index], q[index], strict=True):
            value += p * x
        total[index] = q[index][action[index]] - value
    return total


def td_error(reward, value, next_value, discount):
    """The surprise of one step."""
    total = np.zeros(reward.shape)
    for index, r, v, w, gamma in every(reward, value, next_value, discount):
        total[index] = r + gamma * w - v
    return total
