"""Games on a board of squares, drawn from what the agent sees, or from the state."""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from jaxrl.runtime.colours import BLUE, GREEN, INK, ORANGE, PAPER, PINK, RED, SKY, YELLOW
from jaxrl.runtime.render.canvas import GREY, ICE, SEA, WALL, Canvas, cells, middle

CHANNELS = {
    "Asterix-MinAtar": (BLUE, RED, GREY, ORANGE),  # player, enemy, trail, gold
    "Breakout-MinAtar": (BLUE, INK, GREY, ORANGE),  # paddle, ball, trail, brick
    "Freeway-MinAtar": (BLUE, RED, *[GREY] * 5),  # chicken, car, trails by speed
    "Seaquest-MinAtar": (
        *(BLUE, SKY, INK, GREY, RED),  # front, back, our bullet, trail, their bullet
        *(ORANGE, PINK, SKY, GREEN, GREEN),  # fish, submarine, oxygen, divers aboard, diver
    ),
    "SpaceInvaders-MinAtar": (BLUE, ORANGE, ORANGE, ORANGE, INK, RED),  # cannon, aliens, bullets
    "Pong-misc": (BLUE, ORANGE, GREY),  # paddles, ball, where it was
}
"""A colour for each channel of an observation; a channel covers those after it."""

LAKE = ("    ", " O O", "   O", "O  G")


def channels(colours: tuple[str, ...], state: Any, obs: np.ndarray) -> Canvas:
    """A board [height, width, channels], where at most a few squares are taken twice."""
    taken = obs > 0
    first = np.where(taken.any(-1), taken.argmax(-1), len(colours))
    return cells(np.array([*colours, PAPER])[first])


def catch(state: Any, obs: np.ndarray) -> Canvas:
    """A ball falls; the paddle has to be there."""
    made = cells(np.full(obs.shape, PAPER), 220)
    made.box(middle(state.paddle_y, state.paddle_x), 0.94, 0.94, BLUE)
    made.disc(middle(state.ball_y, state.ball_x), 0.4, ORANGE)
    return made


def deep_sea(state: Any, obs: np.ndarray) -> Canvas:
    """A diver sinks, to the left or to the right; the treasure is at the far corner."""
    board = np.full(obs.shape, PAPER)
    board[np.tril_indices(len(board))] = SEA  # what can be reached
    board[-1, -1] = YELLOW
    made = cells(board, 320)
    depth = min(int(state.row), len(board) - 1)  # the last step leaves the board
    made.disc(middle(depth, state.column), 0.4, BLUE)
    return made


def frozen_lake(state: Any, obs: np.ndarray) -> Canvas:
    """A walk over ice with holes to a goal."""
    colours = {" ": ICE, "O": BLUE, "G": GREEN}
    made = cells(np.array([[colours[square] for square in row] for row in LAKE]), 280)
    made.disc(middle(*divmod(int(state.position), len(LAKE[0]))), 0.3, ORANGE)
    return made


def walk(walls: Callable[[], np.ndarray], state: Any, obs: np.ndarray) -> Canvas:
    """A walk between walls to a goal."""
    made = cells(np.where(walls(), WALL, PAPER))
    made.box(middle(*state.goal), 0.94, 0.94, GREEN)
    made.disc(middle(*state.pos), 0.38, ORANGE)
    return made


def four_rooms() -> np.ndarray:
    """The walls of FourRooms, [13, 13]."""
    walls = _border(13)
    walls[1:12, 6] = walls[6, 1:6] = walls[7, 7:12] = True
    walls[[3, 10, 6, 7], [6, 6, 2, 9]] = False  # the doors
    return walls


def meta_maze() -> np.ndarray:
    """The walls of MetaMaze, [11, 11]: pillars at every other square."""
    walls = _border(11)
    walls[2:10:2, 2:10:2] = True
    return walls


def _border(size: int) -> np.ndarray:
    walls = np.ones((size, size), bool)
    walls[1:-1, 1:-1] = False
    return walls


DRAWINGS = {
    **{name: partial(channels, colours) for name, colours in CHANNELS.items()},
    "Catch-bsuite": catch,
    "DeepSea-bsuite": deep_sea,
    "FourRooms-misc": partial(walk, four_rooms),
    "FrozenLake-misc": frozen_lake,
    "MetaMaze-misc": partial(walk, meta_maze),
}
