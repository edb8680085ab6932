"""The nouns that the whole package shares: arrays, spaces, environments, learners, algorithms.

A noun is a tuple of data; a thing with several verbs is a tuple of pure functions.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax

Array = jax.Array

Scalar = float | Array
"""A number, or an array of the same rank as its neighbours that broadcasts against them."""

PyTree = Any
"""A tree of arrays."""

Settings = dict[str, Any]
"""Fields of a configuration by name, and `total_steps`."""


class Box(NamedTuple):
    """Arrays of one shape between two bounds, which are numbers or arrays of that shape."""

    low: Scalar
    high: Scalar
    shape: tuple[int, ...]
    dtype: Any = "float32"


class Discrete(NamedTuple):
    """The integers 0 to num_values − 1."""

    num_values: int


class MultiDiscrete(NamedTuple):
    """Vectors of integers, each with a number of values of its own."""

    num_values: tuple[int, ...]


Space = Box | Discrete | MultiDiscrete


class Spaces(NamedTuple):
    """What an environment shows, and what it takes."""

    observation: PyTree  # of spaces
    action: Space


class MaskedObs(NamedTuple):
    """An observation that says which actions are legal.

    `action_mask` is bool: [..., A] of a discrete space, the values of all components one after the
    other, [..., ΣA], of a multi-discrete one.
    """

    obs: PyTree
    action_mask: Array


class Timestep(NamedTuple):
    """What one step of one environment gives; `obs` is what it reached, before any reset."""

    obs: PyTree
    reward: Array
    terminated: Array
    truncated: Array


class Env(NamedTuple):
    """One environment: no batch axis, no reset of its own.

    The state may hold whatever the environment needs; `truncated` is a time limit, not death.
    """

    reset: Callable[[Array], tuple[PyTree, PyTree]]  # key -> (state, obs)
    step: Callable[[Array, PyTree, Array], tuple[PyTree, Timestep]]  # key, state, action
    spaces: Spaces


class Transition(NamedTuple):
    """One step of acting, or [T, N] of them; `obs` is what was acted on."""

    obs: PyTree
    action: PyTree
    extras: PyTree  # what `Learner.act` gave besides
    reward: Array
    next_obs: PyTree  # what the step reached, before any reset
    terminated: Array
    truncated: Array

    @property
    def done(self) -> Array:
        """Whether the episode ended, by death or by a time limit."""
        return self.terminated | self.truncated


class Rollout(NamedTuple):
    """What a loop hands to a learner: [T, N] transitions and what surrounds them."""

    transition: Transition
    last_obs: PyTree  # what the next rollout will start from, [N, ...]
    first_carry: PyTree  # the learner's memory before the first step
    last_carry: PyTree  # and after the last one
    mask: Array | None = None  # whether a step belongs to a trajectory, [T, N]; None: all do


class Average(NamedTuple):
    """A mean in the making: sums and counts add up over time, minibatches and devices."""

    total: Array
    count: Array

    @property
    def mean(self) -> Array:
        """The mean; NaN where nothing was counted."""
        return self.total / self.count


Metrics = dict[str, Average]


def once(**numbers: Array) -> Metrics:
    """Numbers of one update as metrics, each counted once."""
    return {name: Average(x, jax.numpy.ones(())) for name, x in numbers.items()}


class LearnerState(NamedTuple):
    """What is learnt, and what learning keeps."""

    params: PyTree
    opt_state: PyTree
    num_updates: Array
    target: PyTree = ()  # a second set of parameters: reference, behaviour or target network
    slots: PyTree = ()  # whatever else an algorithm keeps: a baseline, a coefficient, statistics


class Learner(NamedTuple):
    """What learns; knows no environment, buffer or device."""

    init: Callable[[Array, PyTree], LearnerState]  # key, obs [N, ...]
    carry: Callable[[Array, int], PyTree]  # key, num_envs -> initial memory, () if there is none
    noise: Callable[[Array, tuple[int, ...]], PyTree]  # key, shape -> all that acting consumes
    act: Callable[..., tuple[PyTree, PyTree, PyTree]]  # state, obs, noise, carry -> action, extras
    # and carry; noise = None acts greedily
    update: Callable[[Any, LearnerState, Any], tuple[Any, ...]]  # chance, state, data -> state,
    # metrics; from replay also the priority of each row
    chance: Callable[[Array, int], Any] = lambda key, num_rows: key  # key, number of rows -> all
    # that an update from replay consumes, which the loop draws in bulk; elsewhere it is the key
    wanders: bool = True  # whether replay is first filled by random actions, not by `act`


class Algorithm(NamedTuple):
    """A loop: makes data and feeds a learner."""

    init: Callable[..., PyTree]  # key -> state; of a loop of prompts also from given parameters
    update: Callable[[PyTree], tuple[PyTree, Metrics]]
