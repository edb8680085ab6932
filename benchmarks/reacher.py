"""What Reacher-misc is worth to a controller that knows the arm: python -m benchmarks.reacher.

The two links turn independently, each by a torque of at most 1, so the angles that put the hand on
the goal are known, and the fastest way to them is full torque towards them and then against
(Pontryagin et al. 1962, the double integrator). Of the angles that will do it takes the nearest in
time. The score is the mean return over random starts, as gymnax draws them.
"""

import numpy as np

NUM_EPISODES, NUM_STEPS, DT = 4096, 100, 0.05
TURNS = 2 * np.pi * np.arange(-2, 3)[:, None, None]


def seconds_to_rest(angle: np.ndarray, speed: np.ndarray) -> np.ndarray:
    """The least time from here to rest at the angle 0."""
    side = np.sign(angle + speed * abs(speed) / 2)
    return side * speed + 2 * np.sqrt(np.maximum(speed**2 / 2 + side * angle, 0))


def error(angle: np.ndarray, speed: np.ndarray, goal: np.ndarray) -> np.ndarray:
    """How far the links are from where they reach the goal soonest, [N, 2]."""
    direction = np.arctan2(goal[:, 1], goal[:, 0])
    bend = np.arccos(np.minimum(np.hypot(*goal.T), 2) / 2)
    ways = []
    for side in (1, -1):
        there = np.stack([direction + side * bend, direction - side * bend], 1)
        turns = angle - there - TURNS
        soonest = seconds_to_rest(turns, speed).argmin(0)
        ways.append(np.take_along_axis(turns, soonest[None], 0)[0])
    seconds = np.stack([seconds_to_rest(way, speed).max(1) for way in ways])
    return np.where(seconds.argmin(0)[:, None] == 0, *ways)


def torque(angle: np.ndarray, speed: np.ndarray) -> np.ndarray:
    """Full torque towards the angle 0 and then against, and a spring near rest."""
    near = (abs(angle) < 0.1) & (abs(speed) < 0.3)
    full = -np.clip(20 * (angle + speed * abs(speed) / 2), -1, 1)
    return np.where(near, np.clip(-20 * angle - 8 * speed, -1, 1), full)


def score() -> float:
    """The mean return."""
    chance = np.random.default_rng(0)
    angle = chance.uniform(-np.pi, np.pi, (NUM_EPISODES, 2))
    speed = chance.uniform(-1, 1, (NUM_EPISODES, 2))
    goal = chance.uniform(-2, 2, (NUM_EPISODES, 2))
    target, total = angle - error(angle, speed, goal), np.zeros(NUM_EPISODES)
    for _ in range(NUM_STEPS):
        speed = speed + DT * torque(angle - target, speed)
        angle = angle + DT * speed
        hand = np.stack([np.cos(angle).sum(1), np.sin(angle).sum(1)], 1)
        total += np.exp(-((hand - goal) ** 2).sum(1))
    return float(total.mean())


if __name__ == "__main__":
    print(f"{score():.1f}")
