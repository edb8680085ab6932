"""Targets and losses of value-based and actor-critic methods that learn Q."""

import math

import numpy as np

from tests.oracles.pieces import first_best, legal_actions, log_sum_exp, soft_mean, softmax
from tests.oracles.walk import end_of_episode, every, full, steps


def _best(q, mask, index):
    """The first of the best legal actions in one state."""
    choices = legal_actions(mask, index, q.shape[-1])
    return first_best(choices, lambda a: q[(*index, a)])


def max_value(q, mask=None):
    """The value of the best legal action."""
    return double_value(q, q, mask)


def double_value(q, selector, mask=None):
    """The value by q of the legal action that the selector likes best."""
    total = np.zeros(q.shape[:-1])
    for index in np.ndindex(total.shape):
        total[index] = q[(*index, _best(selector, mask, index))]
    return total


def expected_value(q, prob):
    """The mean value under the policy's probabilities."""
    total = np.zeros(q.shape[:-1])
    for index, x, p in every(q, prob):
        total[index[:-1]] += p * x
    return total


def soft_value(q, temperature, mask=None):
    """max over policies of the mean value plus τ times the entropy, attained by the softmax."""
    total = np.zeros(q.shape[:-1])
    tau = full(temperature, q.shape[:-1])
    for index in np.ndindex(total.shape):
        values = [q[(*index, a)] for a in legal_actions(mask, index, q.shape[-1])]
        total[index] = soft_mean(softmax(values, tau[index]), values, tau[index])
    return total


def td_target(reward, next_value, discount):
    """One reward and the discounted value of the state reached."""
    total = np.zeros(reward.shape)
    for index, r, value, gamma in every(reward, next_value, discount):
        total[index] = r + gamma * value
    return total


def q_learning_target(reward, next_q, discount, mask=None):
    """Bootstraps from the best legal action."""
    return td_target(reward, max_value(next_q, mask), discount)


def sarsa_target(reward, next_q, next_action, discount):
    """Bootstraps from the action taken next."""
    chosen = np.zeros(reward.shape)
    for index in np.ndindex(reward.shape):
        chosen[index] = next_q[(*index, next_action[index])]
    return td_target(reward, chosen, discount)


def expected_sarsa_target(reward, next_q, prob, discount):
    """Bootstraps from the policy's mean value."""
    return td_target(reward, expected_value(next_q, prob), discount)


def double_q_target(reward, next_q, selector, discount, mask=None):
    """One network chooses the action, the other values it."""
    return td_target(reward, double_value(next_q, selector, mask), discount)


def soft_q_target(reward, next_q, discount, temperature, mask=None):
    """Bootstraps from the soft value."""
    return td_target(reward, soft_value(next_q, temperature, mask), discount)


def munchausen_target(reward, q, action, next_q, discount, temperature, alpha, clip=-1.0):
    """Adds a clipped share of the policy's own log-probability to the reward of a soft target."""
    total = np.zeros(reward.shape)
    for index, r, gamma, tau, share in every(reward, discount, temperature, alpha):
        own = q[(*index, action[index])] - tau * log_sum_exp([x / tau for x in q[index]])
        bonus = share * min(max(own, clip), 0.0)
        value = soft_mean(softmax(next_q[index], tau), next_q[index], tau)
        total[index] = r + bonus + gamma * value
    return total


def peng_target(reward, next_q, discount, done, lam):
    """The λ-weighted mean of the n-step returns that end in max Q, up to the first done."""
    total = np.zeros(reward.shape)
    best, gammas = max_value(next_q), full(discount, reward.shape)
    lams = full(lam, reward.shape)
    for t, column in steps(reward.shape):
        end = end_of_episode(done, t, column)
        collected, decay, weight = 0.0, 1.0, 1.0
        for k in range(t, end + 1):
            here = (k, *column)
            collected += decay * reward[here]
            decay *= gammas[here]
            share = 1.0 if k == end else 1.0 - lams[here]
            total[(t, *column)] += weight * share * (collected + decay * best[here])
            weight *= lams[here]
    return total


def watkins_target(reward, q, action, next_q, discount, done, lam):
    """Q plus the sum of the later errors, each with the trace that is left after the greedy steps.

    Every action after the first must be greedy by q, or the trace ends there.
    """
    total = np.zeros(reward.shape)
    best, gammas = max_value(next_q), full(discount, reward.shape)
    lams = full(lam, reward.shape)
    for t, column in steps(reward.shape):
        first = (t, *column)
        total[first] = q[(*first, action[first])]
        trace = 1.0
        for k in range(t, end_of_episode(done, t, column) + 1):
            here = (k, *column)
            own = q[(*here, action[here])]
            if k > t and own < max(q[here]):
                break
            trace *= lams[here] if k > t else 1.0
            total[first] += trace * (reward[here] + gammas[here] * best[here] - own)
            trace *= gammas[here]
    return total


def dueling(value, advantage):
    """The value of the state plus each action's advantage above the mean one."""
    total = np.zeros(advantage.shape)
    for index in np.ndindex(advantage.shape):
        others = advantage[index[:-1]]
        total[index] = value[index[:-1]] + advantage[index] - sum(others) / len(others)
    return total


def deterministic_policy_loss(action, action_gradient):
    """Minus the action along Q's gradient."""
    total = np.zeros(action.shape[:-1])
    for index, a, g in every(action, action_gradient):
        total[index[:-1]] -= a * g
    return total


def smoothed_action(action, noise, scale, clip, low, high):
    """The target's action with bounded noise, inside the action's bounds."""
    total = np.zeros(action.shape)
    for index, a, x, s, bound, least, most in every(action, noise, scale, clip, low, high):
        total[index] = min(max(a + min(max(s * x, -bound), bound), least), most)
    return total


def min_value(values):
    """The most pessimistic of the critics on the first axis."""
    total = np.full(values.shape[1:], np.inf)
    for index, x in every(values):
        total[index[1:]] = min(total[index[1:]], x)
    return total


def sac_target(reward, next_value, next_log_prob, discount, temperature):
    """Bootstraps from the value with the entropy's bonus for the action drawn next."""
    total = np.zeros(reward.shape)
    arrays = (reward, next_value, next_log_prob, discount, temperature)
    for index, r, value, log_prob, gamma, alpha in every(*arrays):
        total[index] = r + gamma * (value - alpha * log_prob)
    return total


def sac_actor_loss(log_prob, q, temperature):
    """The temperature's share of the log-probability, less the value."""
    total = np.zeros(log_prob.shape)
    for index, x, value, alpha in every(log_prob, q, temperature):
        total[index] = alpha * x - value
    return total


def temperature_loss(log_temperature, log_prob, target_entropy):
    """Minus the temperature times what the entropy lacks."""
    total = np.zeros(np.shape(log_prob))
    for index, log_alpha, x, target in every(log_temperature, log_prob, target_entropy):
        total[index] = -math.exp(log_alpha) * (x + target)
    return total


def discrete_soft_value(q, logits, temperature):
    """The mean under the policy of the value less τ log-probabilities."""
    total = np.zeros(q.shape[:-1])
    tau = full(temperature, q.shape[:-1])
    for index in np.ndindex(total.shape):
        total[index] = soft_mean(softmax(logits[index]), q[index], tau[index])
    return total
