"""Finite worlds of the literature, with its exact rules; they go by their names.

A grid's cells are numbered row by row from the top left one.
"""

import functools
import inspect
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxrl import checks
from jaxrl.envs.mdp import Mdp, mdp_env
from jaxrl.types import Env

UP, RIGHT, DOWN, LEFT = (-1, 0), (0, 1), (1, 0), (0, -1)
"""Moves (rows, columns)."""

LAKE = ("SFFF", "FHFH", "FFFH", "HFFG")
WIDE_LAKE = (
    *("SFFFFFFF", "FFFFFFFF", "FFFHFFFF", "FFFFFHFF"),
    *("FFFHFFFF", "FHHFFFHF", "FHFFHFHF", "FFFHFFFG"),
)
"""Gymnasium's two maps: start, frozen, hole, goal."""

WIND = (0, 0, 0, 1, 1, 1, 2, 2, 1, 0)
"""How far each column's wind blows upwards."""


def cliff_walking() -> Mdp:
    """A grid of 4 × 12 with a cliff along the lower edge, between start and goal.

    A step costs 1; one into the cliff costs 100 and leads back to the start. Actions: up, right,
    down, left.
    Reference: Sutton & Barto 2018, example 6.6.
    """
    start, goal = 36, 47

    def moved(cell: int, action: int) -> Ways:
        reached = _beside(cell, (UP, RIGHT, DOWN, LEFT)[action], (4, 12))
        if start < reached < goal:
            return [(1.0, start, -100.0)]
        return [(1.0, reached, -1.0)]

    return _mdp(48, 4, moved, start, {goal})


def frozen_lake(lake: tuple[str, ...] = LAKE, slippery: bool = True) -> Mdp:
    """A frozen lake with holes, in which an episode ends as it does at the goal, which pays 1.

    On slippery ice a move goes where it was meant, or to either side of that, with probability 1/3
    each. Actions: left, down, right, up.
    Reference: Gymnasium's FrozenLake-v1 (Towers et al. 2024, arXiv:2407.17032).
    """
    cells, size = "".join(lake), (len(lake), len(lake[0]))
    moves = (LEFT, DOWN, RIGHT, UP)

    def moved(cell: int, action: int) -> Ways:
        turns = (-1, 0, 1) if slippery else (0,)
        ways = [_beside(cell, moves[(action + turn) % 4], size) for turn in turns]
        return [(1 / len(ways), reached, float(cells[reached] == "G")) for reached in ways]

    over = {cell for cell, kind in enumerate(cells) if kind in "HG"}
    return _mdp(len(cells), 4, moved, cells.index("S"), over)


def windy_gridworld() -> Mdp:
    """A grid of 7 × 10 whose columns have winds that blow upwards; a step costs 1.

    The wind is that of the column that is left. Actions: up, right, down, left.
    Reference: Sutton & Barto 2018, example 6.5.
    """
    size = (7, 10)

    def moved(cell: int, action: int) -> Ways:
        rows, columns = (UP, RIGHT, DOWN, LEFT)[action]
        blown = (rows - WIND[cell % size[1]], columns)
        return [(1.0, _beside(cell, blown, size), -1.0)]

    return _mdp(70, 4, moved, 30, {37})


def random_walk(num_states: int = 5, left_reward: float = 0.0) -> Mdp:
    """A row of states with an end on either side; the right one pays 1. The start is the middle.

    Actions: left, right; the policy that takes both alike is the walk of the textbook.
    Reference: Sutton & Barto 2018, example 6.2 (5 states), and 7.1 (19 states, left_reward −1).
    """
    checks.at_least(1, num_states=num_states)
    last = num_states + 1

    def moved(cell: int, action: int) -> Ways:
        reached = min(max(cell + (-1, 1)[action], 0), last)
        return [(1.0, reached, {0: left_reward, last: 1.0}.get(reached, 0.0))]

    return _mdp(last + 1, 2, moved, (last + 1) // 2, {0, last})


Ways = list[tuple[float, int, float]]
"""Where a step may lead: probability, state, reward."""


def _beside(cell: int, move: tuple[int, int], size: tuple[int, int]) -> int:
    """The cell that a move leads to; the edge stops it."""
    row, column = (
        min(max(at + by, 0), length - 1)
        for at, by, length in zip(divmod(cell, size[1]), move, size, strict=True)
    )
    return row * size[1] + column


def _mdp(
    num_states: int,
    num_actions: int,
    moved: Callable[[int, int], Ways],
    start: int,
    terminal: set[int],
) -> Mdp:
    """The tables of rules; a terminal state stays where it is, for nothing."""
    shape = (num_states, num_actions, num_states)
    transition, reward = np.zeros(shape, np.float32), np.zeros(shape, np.float32)
    for cell, action in np.ndindex(*shape[:2]):
        ways = [(1.0, cell, 0.0)] if cell in terminal else moved(cell, action)
        for prob, reached, paid in ways:
            transition[cell, action, reached] += prob
            reward[cell, action, reached] = paid
    cells = np.arange(num_states)
    over = np.isin(cells, list(terminal))
    with jax.ensure_compile_time_eval():  # constants, inside a trace too
        return Mdp(*map(jnp.asarray, (transition, reward, over, np.float32(cells == start))))


class World(NamedTuple):
    """A world with a name: its rules, and its time limit."""

    mdp: Callable[..., Mdp]
    max_steps: int | None = None


WORLDS = {
    "CliffWalking": World(cliff_walking),
    "FrozenLake": World(functools.partial(frozen_lake, LAKE), 100),
    "FrozenLake8x8": World(functools.partial(frozen_lake, WIDE_LAKE), 200),
    "RandomWalk": World(random_walk),
    "WindyGridworld": World(windy_gridworld),
}
"""The worlds by name."""


def world(name: str, /, **params: Any) -> tuple[Mdp, int | None]:
    """The process of a named world, and its time limit; both by its parameters.

    >>> mdp, limit = world("FrozenLake", slippery=False)
    >>> mdp.num_states, mdp.num_actions, limit
    (16, 4, 100)
    """
    made, limit = WORLDS[name]
    known = {
        key: p.default for key, p in inspect.signature(made).parameters.items() if key != "lake"
    }
    known |= {"max_steps": limit}
    for key, value in params.items():
        if key not in known:
            raise ValueError(f"{key} is not a parameter of {name}, which has {', '.join(known)}")
        _check_param(key, value, known[key])
    limit = params.pop("max_steps", limit)
    return made(**params), limit


def world_env(name: str, /, **params: Any) -> Env:
    """The environment of a named world."""
    return mdp_env(*world(name, **params))


def _check_param(name: str, value: Any, default: Any) -> None:
    if name == "max_steps":
        if value is not None:
            checks.at_least(1, max_steps=value)
    elif isinstance(default, bool):
        if not isinstance(value, bool):
            raise ValueError(f"{name} must be True or False, not {value!r}")
    elif isinstance(default, float) and (
        isinstance(value, bool) or not isinstance(value, int | float) or not np.isfinite(value)
    ):
        raise ValueError(f"{name} must be a finite number, not {value!r}")
