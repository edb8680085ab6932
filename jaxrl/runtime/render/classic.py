"""Classic control, drawn from the state of the environment."""

import math
from functools import partial
from typing import Any

import numpy as np

from jaxrl.runtime.colours import BLUE, GREEN, INK, ORANGE, RED
from jaxrl.runtime.render.canvas import FAINT, Canvas, Point, canvas


def cart_pole(state: Any, obs: np.ndarray) -> Canvas:
    """A cart on a rail with a pole; the marks are where it is lost."""
    made, x = canvas(-2.6, 2.6, -0.5, 1.7), float(state.x)
    made.line([(-2.4, 0), (2.4, 0)], FAINT, 0.03)
    for end in (-2.4, 2.4):
        made.line([(end, -0.1), (end, 0.1)], INK, 0.03)
    made.box((x, 0), 0.6, 0.3, BLUE)
    made.line([(x, 0.1), _turned((x, 0.1), 1.0, math.pi / 2 - state.theta)], ORANGE, 0.1)
    made.disc((x, 0.1), 0.05, INK)
    return made


def acrobot(state: Any, obs: np.ndarray) -> Canvas:
    """Two links that hang; the tip has to reach the line."""
    made, first = canvas(-2.3, 2.3, -2.2, 2.2, 360), float(state.joint_angle1) - math.pi / 2
    elbow = _turned((0.0, 0.0), 1.0, first)
    tip = _turned(elbow, 1.0, first + state.joint_angle2)
    made.line([(-2.3, 1), (2.3, 1)], GREEN, 0.03)
    made.line([(0, 0), elbow], BLUE, 0.16)
    made.line([elbow, tip], ORANGE, 0.16)
    for joint in ((0.0, 0.0), elbow):
        made.disc(joint, 0.06, INK)
    return made


def pendulum(state: Any, obs: np.ndarray) -> Canvas:
    """A pendulum that has to stand; the arc is the torque."""
    made, torque = canvas(-1.3, 1.3, -1.3, 1.3, 320), float(np.squeeze(state.last_u))
    sweep = np.linspace(0, torque / 2 * math.pi, 30)  # half a turn at the full torque of 2
    made.line([_turned((0, 0), 0.4, math.pi / 2 + angle) for angle in sweep], RED, 0.03)
    made.line([(0, 0), _turned((0, 0), 1.0, math.pi / 2 + state.theta)], BLUE, 0.16)
    made.disc((0, 0), 0.05, INK)
    return made


def mountain_car(flag: float, state: Any, obs: np.ndarray) -> Canvas:
    """A car in a valley, and the flag that it has to reach."""
    made, x = canvas(-1.25, 0.65, -0.05, 1.25), float(state.position)
    ground = [(a, _height(a)) for a in np.linspace(-1.25, 0.65, 80)]
    made.shape([*ground, (0.65, -0.05), (-1.25, -0.05)], FAINT)
    made.line(ground, INK, 0.012)
    height = _height(flag)
    made.line([(flag, height), (flag, height + 0.2)], INK, 0.012)
    made.shape([(flag, height + 0.2), (flag + 0.11, height + 0.16), (flag, height + 0.12)], GREEN)
    slope = math.atan(1.35 * math.cos(3 * x))
    body = [(-0.075, 0.025), (0.075, 0.025), (0.06, 0.075), (-0.06, 0.075)]
    made.shape([_beside(x, slope, corner) for corner in body], BLUE)
    for wheel in (-0.045, 0.045):
        made.disc(_beside(x, slope, (wheel, 0.022)), 0.022, ORANGE)
    return made


def _height(x: float) -> float:
    """Of the mountain; gravity in the environment follows its slope."""
    return 0.45 * math.sin(3 * x) + 0.55


def _beside(x: float, slope: float, offset: Point) -> Point:
    """A point given in the frame of the car."""
    along, up = offset
    cosine, sine = math.cos(slope), math.sin(slope)
    return x + along * cosine - up * sine, _height(x) + along * sine + up * cosine


def _turned(start: Point, length: float, angle: Any) -> Point:
    """The point at some distance, in the direction of an angle from the x axis."""
    return start[0] + length * math.cos(angle), start[1] + length * math.sin(angle)


DRAWINGS = {
    "Acrobot-v1": acrobot,
    "CartPole-v1": cart_pole,
    "MountainCar-v0": partial(mountain_car, 0.5),
    "MountainCarContinuous-v0": partial(mountain_car, 0.45),
    "Pendulum-v1": pendulum,
}
