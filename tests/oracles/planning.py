"""Backups of dynamic programming: sums over actions and successors, one at a time."""

import numpy as np

from tests.oracles.walk import full


def action_backup(transition, reward, next_value, discount):
    """What each action brings, and what each state that it leads to is worth."""
    num_states, num_actions, _ = transition.shape
    factor = full(discount, (num_states,))
    q = np.zeros((num_states, num_actions))
    for s in range(num_states):
        for a in range(num_actions):
            for after in range(num_states):
                worth = reward[s, a, after] + factor[after] * next_value[after]
                q[s, a] += transition[s, a, after] * worth
    return q


def expectation_backup(transition, reward, next_value, prob, discount):
    """The mean over the policy's actions."""
    q = action_backup(transition, reward, next_value, discount)
    value = np.zeros(len(q))
    for s in range(len(q)):
        for a in range(q.shape[1]):
            value[s] += prob[s, a] * q[s, a]
    return value


def optimality_backup(transition, reward, next_value, discount):
    """The best action's."""
    q = action_backup(transition, reward, next_value, discount)
    return np.array([max(row) for row in q])
