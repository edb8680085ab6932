"""Finite Markov decision processes: all that is known of one, and the environment that it is."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from jaxrl import checks
from jaxrl.envs.combinators import time_limit
from jaxrl.types import Array, Discrete, Env, Spaces, Timestep


class Mdp(NamedTuple):
    """A finite Markov decision process of S states and A actions.

    What a terminal state leads to is never read: an episode ends there, and its value is 0.
    """

    transition: Array  # P(s′ | s, a), [S, A, S]
    reward: Array  # r(s, a, s′), [S, A, S]
    terminal: Array  # whether an episode ends on arrival, bool [S]
    initial: Array  # probability of a start, [S]; 0 at terminal states

    @property
    def num_states(self) -> int:
        """S."""
        return self.transition.shape[0]

    @property
    def num_actions(self) -> int:
        """A."""
        return self.transition.shape[1]


def mdp_env(mdp: Mdp, max_steps: int | Array | None = None) -> Env:
    """The environment of a process: states are shown as their numbers, actions are choices.

    The state that is reached is drawn from P, its reward is that of the transition, and a terminal
    one ends the episode. The process may be traced.

    Args:
      max_steps: after so many steps an episode is truncated, which is no end of the process; None
        for no limit.
    """
    check_mdp(mdp)
    start, ways = _outcomes(mdp.initial), _outcomes(mdp.transition)
    reward = jnp.asarray(mdp.reward, jnp.float32)
    terminal = jnp.asarray(mdp.terminal, bool)

    def reset(key: Array) -> tuple[Array, Array]:
        state = _drawn(key, start)
        return state, state

    def step(key: Array, state: Array, action: Array) -> tuple[Array, Timestep]:
        reached = _drawn(key, Outcomes(*(x[state, action] for x in ways)))
        paid = reward[state, action, reached]
        return reached, Timestep(reached, paid, terminal[reached], jnp.array(False))

    spaces = Spaces(Discrete(mdp.num_states), Discrete(mdp.num_actions))
    env = Env(reset, step, spaces)
    return env if max_steps is None else time_limit(env, max_steps)


def check_mdp(mdp: Mdp) -> None:
    """Shapes, and probabilities where they are concrete: one sentence if they do not fit."""
    shape = checks.sequence(transition=mdp.transition, reward=mdp.reward)
    if len(shape) != 3 or shape[0] != shape[2]:
        raise ValueError(f"transition must have the shape [S, A, S], not {shape}")
    checks.flag(shape[:1], terminal=mdp.terminal)
    if mdp.initial.shape != shape[:1]:
        raise ValueError(f"initial must have the shape {shape[:1]}, not {mdp.initial.shape}")
    for name in ("transition", "initial"):
        check_distribution(name, getattr(mdp, name), "states")
    if isinstance(mdp.initial, Tracer) or isinstance(mdp.terminal, Tracer):
        return
    if (over := np.asarray(mdp.terminal, bool) & (np.asarray(mdp.initial) > 0)).any():
        raise ValueError(f"initial must be 0 at terminal states, not above it at {over.argmax()}")


def check_distribution(name: str, prob: Array, over: str) -> None:
    """Probabilities along the last axis, where they are concrete: one sentence if they are none."""
    if isinstance(prob, Tracer):
        return
    exact = np.asarray(prob, np.float64)
    total = exact.sum(-1)
    if not (exact >= 0).all():
        raise ValueError(f"{name} must be of at least 0 over {over}, not {exact.min():g}")
    if (wrong := np.abs(total - 1) > 1e-4).any():
        raise ValueError(f"{name} must sum to 1 over {over}, not {total[wrong].flat[0]:g}")


class Outcomes(NamedTuple):
    """The states that may come of something, the likeliest first, [..., K], K as few as there are.

    `cumulative` is exactly 1 from the last possible one on, so that no impossible one is drawn.
    """

    state: Array
    cumulative: Array


def _outcomes(prob: Array) -> Outcomes:
    """Of probabilities [..., S]; nobody can tell how few there are of traced ones."""
    num = prob.shape[-1]
    if not isinstance(prob, Tracer):
        num = int((np.asarray(prob) > 0).sum(-1).max())
    prob = jnp.asarray(prob, jnp.float32)
    state = jnp.argsort(prob, -1, descending=True)[..., :num]
    total = jnp.cumsum(jnp.take_along_axis(prob, state, -1), -1)
    return Outcomes(state.astype(jnp.int32), total / total[..., -1:])


def _drawn(key: Array, outcomes: Outcomes) -> Array:
    """One of [K] states: how many cumulative probabilities a uniform number in [0, 1) passes."""
    if len(outcomes.state) == 1:  # nothing is left to chance
        return outcomes.state[0]
    passed = outcomes.cumulative <= jax.random.uniform(key)
    return outcomes.state[passed.sum(dtype=jnp.int32)]
