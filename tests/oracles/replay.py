"""Replay by lists: which steps may be drawn, and what each of them then shows."""

import numpy as np


def drawable(num_added, num_steps, newest=0, oldest=0):
    """The steps that are held, without the newest and the oldest ones."""
    held = list(range(max(0, num_added - num_steps), num_added))
    return held[oldest : len(held) - newest]


def n_step(history, t, lane, n, gamma):
    """Reward, discount and the step that a window of at most n steps ends with."""
    reward, k = 0.0, 0
    while True:
        reward += gamma**k * float(history.reward[t + k, lane])
        k += 1
        if k == n or history.done[t + k - 1, lane]:
            last = t + k - 1
            return reward, gamma**k * (1 - float(history.terminated[last, lane])), last


def before_end(history, t, lane, length):
    """Whether each step of a window comes before the first end of an episode, or is that."""
    done = history.done[t : t + length, lane]
    return [not done[:k].any() for k in range(length)]


def relabelled(history, goal, own, reward, reached):
    """The history as it would have been with one goal for all, where reaching a goal ends all.

    What a step's own goal ended, [T, N], is cut short where this goal does not end it.
    """
    terminated, truncated = history.terminated.copy(), history.truncated.copy()
    paid = history.reward.copy()
    for step in np.ndindex(terminated.shape):
        achieved = history.next_obs[step]
        paid[step] = reward(achieved, goal)
        died = terminated[step] and not reached(achieved, own[step])
        over = terminated[step] or truncated[step]
        terminated[step] = died or reached(achieved, goal)
        truncated[step] = over and not terminated[step]
    return history._replace(reward=paid, terminated=terminated, truncated=truncated)


def stack(history, t, lane, num_frames):
    """The newest frames of step t, with copies of the episode's first one before it."""
    frames = []
    for _ in range(num_frames):
        frames.append(history.obs[t, lane])
        if t > 0 and not history.done[t - 1, lane]:
            t -= 1
    return np.concatenate(frames[::-1], -1)


def rank(priority):
    """The mean rank of each priority, the largest first."""
    return [1 + (priority > x).sum() + ((priority == x).sum() - 1) / 2 for x in priority]
