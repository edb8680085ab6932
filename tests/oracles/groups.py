"""Advantages within groups, member by member."""

import numpy as np

from tests.oracles.advantages import whiten
from tests.oracles.walk import every, mean, steps, variance


def _groups(reward, group, num_groups):
    """The members of each group, as lists of indices."""
    if group is None:
        for row in np.ndindex(reward.shape[:-1]):
            yield [(*row, i) for i in range(reward.shape[-1])]
    else:
        for name in range(num_groups):
            yield [(i,) for i in range(len(reward)) if group[i] == name]


def _by_member(reward, group, num_groups, rule):
    """Applies rule(one member's reward, the whole group's rewards, the others' rewards)."""
    total = np.zeros(reward.shape)
    for members in _groups(reward, group, num_groups):
        rewards = [float(reward[i]) for i in members]
        for place, i in enumerate(members):
            others = rewards[:place] + rewards[place + 1 :]
            total[i] = rule(rewards[place], rewards, others) if len(set(rewards)) > 1 else 0.0
    return total


def group_relative(reward, group=None, num_groups=None, *, ddof, eps=1e-6):
    """The reward's distance to the group's mean, in the group's deviations."""

    def rule(one, rewards, others):
        return (one - mean(rewards)) / (variance(rewards, ddof) ** 0.5 + eps)

    return _by_member(reward, group, num_groups, rule)


def group_centred(reward, group=None, num_groups=None):
    """The reward's distance to the group's mean."""
    return _by_member(reward, group, num_groups, lambda one, rewards, _: one - mean(rewards))


def leave_one_out(reward, group=None, num_groups=None):
    """The reward's distance to the mean of the others."""
    return _by_member(reward, group, num_groups, lambda one, _, others: one - mean(others))


def leave_one_out_relative(reward, group=None, num_groups=None, *, eps=1e-6):
    """The same in deviations of the others, where those differ among themselves."""

    def rule(one, rewards, others):
        deviation = variance(others, ddof=1) ** 0.5
        distance = one - mean(others)
        return distance / (deviation + eps) if deviation > 0 else distance

    return _by_member(reward, group, num_groups, rule)


def reinforce_plus_plus(reward, mask, *, ddof=0, eps=1e-8):
    """The token rewards to come, whitened over all tokens of the batch."""
    to_go = np.zeros(reward.shape)
    for t, column in steps(reward.shape):
        for k in range(t, len(reward)):
            if mask[(k, *column)]:
                to_go[(t, *column)] += reward[(k, *column)]
    return whiten(to_go, mask, ddof=ddof, eps=eps)


def greedy_advantage(reward, greedy_reward):
    """The reward above that of the greedy response."""
    total = np.zeros(reward.shape)
    for index, sampled, greedy in every(reward, greedy_reward):
        total[index] = sampled - greedy
    return total


def length_weighted_advantage(reward, length):
    """The reward above the group's mean reward per token."""
    total = np.zeros(reward.shape)
    for row in np.ndindex(reward.shape[:-1]):
        above = sum(float(n) * r for n, r in zip(length[row], reward[row], strict=True))
        below = sum(float(n) for n in length[row])
        for i, r in enumerate(reward[row]):
            total[(*row, i)] = r - above / below
    return total


def smoothed_state(num_prompts):
    """No prompt has been visited."""
    return tuple(np.zeros(num_prompts) for _ in range(3))


def _standard(one, centre, spread):
    """A standard score with the population's deviation; 0 where there is none."""
    return (one - centre) / spread**0.5 if spread > 0 else 0.0


def smoothed_advantage(state, prompt, reward):
    """DCPO's smoothing of this step's scores with those over all steps so far, equations 5 to 7."""
    count, means, variances = (np.array(x, np.float64) for x in state)
    total = np.zeros(reward.shape)
    for row, name in enumerate(prompt):
        rewards = [float(r) for r in reward[row]]
        i, before, mean_before = count[name] + 1, variances[name], means[name]
        mean_now, now = mean(rewards), variance(rewards)
        mean_all = (mean_now + (i - 1) * mean_before) / i
        gap = (i - 1) / i * (mean_before - mean_now) ** 2
        spread_all = (now + (i - 1) * before + gap) / i
        for place, one in enumerate(rewards):
            new, old = _standard(one, mean_now, now), _standard(one, mean_all, spread_all)
            sa_new = (i - 1) / i * new + old / i
            sa_total = new / i + (i - 1) / i * old
            total[row, place] = sa_new if abs(sa_new) < abs(sa_total) else sa_total
        count[name], means[name], variances[name] = i, mean_all, spread_all
    return total, (count, means, variances)
