"""Tiny environments whose answers are known, each of which tells one kind of bug from the others.

All are rows of one table, and so one `vmap` over the rows trains an agent on all of them.
"""

from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxrl.types import Array, Box, Discrete, Env, Scalar, Spaces, Timestep


class ProbeRow(NamedTuple):
    """One probe: an episode of some steps, and what is shown and paid in it.

    An action counts as +1 or −1: the actions 1 and 0, or a continuous one itself. The cue is +1 or
    −1, drawn at each reset. All fields may be traced.
    """

    length: int | Array = 1  # steps of an episode
    terminates: bool | Array = True  # it ends by death; False: by a time limit
    num_cues: int | Array = 0  # steps at which the cue is shown, the first ones
    clock: bool | Array = False  # time is shown, and how many actions were positive
    constant: Scalar = 0.0  # paid at every step
    final: Scalar = 0.0  # paid at the last step
    cue: Scalar = 0.0  # times the cue, at the last step
    action: Scalar = 0.0  # times the action, at the last step
    match: Scalar = 0.0  # times action times cue, at the last step
    chain: Scalar = 0.0  # at the last step if all actions were positive
    cost: Scalar = 0.0  # of each positive action


PROBES = {
    "constant": ProbeRow(constant=1.0),  # value 1: is the value learnt at all?
    "observation": ProbeRow(num_cues=1, cue=1.0),  # value ±1: is the observation read?
    "delay": ProbeRow(length=2, clock=True, final=1.0),  # values γ and 1: is γ applied?
    "action": ProbeRow(action=1.0),  # value 1: is the advantage's sign right?
    "match": ProbeRow(num_cues=1, match=1.0),  # value 1: do observation and action belong together?
    "time_limit": ProbeRow(length=4, terminates=False, constant=1.0),  # value 1 / (1 − γ), not less
    "memory": ProbeRow(length=4, num_cues=1, clock=True, match=1.0),  # γ³, γ², γ, 1 with memory
    "exploration": ProbeRow(length=6, clock=True, chain=1.0, cost=0.01),
}
"""The probes by name, and what each asks; `value` has the answers."""


class ProbeState(NamedTuple):
    """How far an episode is, how many of its actions were positive, and its cue."""

    time: Array
    num_positive: Array
    cue: Array


def probe(row: ProbeRow, continuous: bool = False) -> Env:
    """The environment of a row, which may be traced.

    Observations are (cue or 0, 0), or with a clock (cue or the share of positive actions, share of
    time gone), in [−1, 1]; actions are Discrete(2), or continuous ones, clipped to [−1, 1].
    """

    def shown(state: ProbeState) -> Array:
        cued, clock = state.time < row.num_cues, jnp.asarray(row.clock, bool)
        share, gone = (jnp.asarray(x, jnp.float32) / _length(row) for x in (state[1], state[0]))
        first = jnp.where(cued, state.cue, jnp.where(clock & (row.num_cues == 0), share, 0.0))
        return jnp.stack([first, jnp.where(clock, gone, 0.0)])

    def reset(key: Array) -> tuple[ProbeState, Array]:
        zero = jnp.zeros((), jnp.int32)
        state = ProbeState(zero, zero, jax.random.rademacher(key, (), jnp.float32))
        return state, shown(state)

    def step(key: Array, state: ProbeState, action: Array) -> tuple[ProbeState, Timestep]:
        del key  # all chance is in the cue
        sign = _sign(action, continuous)
        positive = jnp.asarray(sign > 0, jnp.int32)
        reached = ProbeState(state.time + 1, state.num_positive + positive, state.cue)
        ended = reached.time >= row.length
        end = row.final + row.cue * state.cue + (row.action + row.match * state.cue) * sign
        end += row.chain * (reached.num_positive == row.length).astype(jnp.float32)
        paid = row.constant - row.cost * positive.astype(jnp.float32)
        reward = jnp.asarray(paid + jnp.where(ended, end, 0.0), jnp.float32)
        dies = jnp.asarray(row.terminates, bool)
        return reached, Timestep(shown(reached), reward, ended & dies, ended & ~dies)

    actions = Box(-1.0, 1.0, (1,)) if continuous else Discrete(2)
    return Env(reset, step, Spaces(Box(-1.0, 1.0, (2,)), actions))


def stacked(rows: Sequence[ProbeRow]) -> ProbeRow:
    """One row of arrays from many, for `vmap`."""
    return jax.tree.map(lambda *column: jnp.array(column), *rows)


def value(row: ProbeRow, obs: Array, gamma: Scalar) -> Array:
    """The value of observations of a probe, [..., 2], under the best policy; γ below 1.

    It holds for the rows of `PROBES` and others with one thing to do. The best policy in "memory"
    remembers, and in "exploration" it goes on while all its actions were positive.
    """
    shown, gone = obs[..., 0], obs[..., 1]
    left = _length(row) * (1 - gone)  # steps to go: all of them where no clock is shown
    last = jnp.power(gamma, left - 1)
    paid = (1 - gamma * last) / (1 - gamma)  # 1 at each step to go
    constant = row.constant * jnp.where(row.terminates, paid, 1 / (1 - gamma))
    end = row.final + row.cue * shown + jnp.abs(row.action) + jnp.abs(row.match)
    chain = jnp.maximum(row.chain * last - row.cost * paid, 0.0)
    on_track = jnp.abs(shown - gone) < 1e-6
    return constant + last * end + jnp.where(on_track, chain, 0.0)


def _length(row: ProbeRow) -> Array:
    return jnp.asarray(row.length, jnp.float32)


def _sign(action: Array, continuous: bool) -> Array:
    """What an action counts for."""
    if continuous:
        return jnp.clip(action[0], -1.0, 1.0)
    return jnp.where(action == 1, 1.0, -1.0)
