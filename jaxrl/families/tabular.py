"""The tabular family: a number for each state, or for each action in each state, and no network.

    x ← x + α δ,  δ = target − x

States are what a Discrete observation space shows. Each environment's error is of the entry that
it was at; where several are at the same one, that moves by the mean of their errors.
"""

from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp

from jaxrl.config import config, demand, title
from jaxrl.families.explore import falling
from jaxrl.families.settings import Setting
from jaxrl.formulas.selection import epsilon_greedy, greedy
from jaxrl.formulas.traces import accumulating_trace, replacing_trace
from jaxrl.networks import action_mask, content
from jaxrl.numerics import divide
from jaxrl.optim.optimizer import linear
from jaxrl.types import Array, Discrete, LearnerState, Metrics, PyTree, once

Index = tuple[Array, ...]
"""Of entries of a table: an array for each of its axes."""


@config
class TabularConfig:
    """Fields of every tabular algorithm."""

    num_envs: int = 1
    num_steps: int = 1000
    lr: float = 0.1
    anneal_lr: bool = False
    averaging: bool = False
    gamma: float = 0.99


@config
class ControlConfig(TabularConfig):
    """Fields of those that look for the best action."""

    epsilon_start: float = 1.0
    epsilon_end: float = 0.05
    exploration_fraction: float = 0.5


class Kept(NamedTuple):
    """What is kept beside a table, of its shape; () where nobody asks."""

    count: PyTree  # how often each entry was corrected
    trace: PyTree  # the share of each entry in the error of now


class Error(NamedTuple):
    """What a step found wrong with a table, [N]."""

    index: Index
    size: Array  # δ
    decay: Array  # of the traces so far: γλ, or 0 where they are cut
    done: Array


def num_states(config: Any, setting: Setting) -> int:
    """How many states are told apart; one sentence where there are none to count."""
    space = content(setting.spaces.observation)
    if not isinstance(space, Discrete):
        came = type(space).__name__
        raise ValueError(f"{title(config)} needs a Discrete observation space, not a {came}")
    for name in ("networks", "optimizer"):
        if getattr(setting, name) is not None:
            raise ValueError(f"{name} must be None with {title(config)}, which learns a table")
    return space.num_values


def check_traces(config: Any) -> None:
    """Traces are of one environment: one sentence if there are several."""
    if config.traces is not None:
        demand(config, config.num_envs == 1, "num_envs", "be 1 where there are traces")


def fresh(config: Any, shape: tuple[int, ...], traces: str | None = None) -> LearnerState:
    """A table of zeros."""
    count = jnp.zeros(shape, jnp.int32) if config.averaging else ()
    trace = () if traces is None else jnp.zeros(shape)
    return LearnerState(jnp.zeros(shape), (), jnp.int32(0), slots=Kept(count, trace))


def action_values(params: Array, obs: PyTree) -> Array:
    """Q(s, ·) of observations, the mean of all tables [K, S, A]: [..., A]."""
    return params[:, content(obs)].mean(0)


def tried(
    config: Any, setting: Setting, state: LearnerState, obs: PyTree, noise: Array | None
) -> Array:
    """The best action, or at the rate ε any legal one; without noise the first of the best."""
    q, mask = action_values(state.params, obs), action_mask(obs)
    if noise is None:
        return greedy(q, mask)
    return epsilon_greedy(q, noise, falling(config, state, setting), mask)


def uniform(key: Array, shape: tuple[int, ...]) -> Array:
    """What `tried` consumes."""
    return jax.random.uniform(key, (*shape, 2))


def step_size(config: Any, setting: Setting, state: LearnerState) -> Array:
    """The step size α of now, or the least one where corrections are averaged."""
    return linear(config.lr, setting.num_updates, config.anneal_lr)(state.num_updates)


def averaged(
    table: Array,
    count: PyTree,
    index: Index,
    error: Array,
    rate: Array,
    weight: Array | None = None,
) -> tuple[Array, PyTree]:
    """The table, each entry moved by the mean of the n errors that it was named with, and N.

        x ← x + α Σ δ / n,  α = rate, or max(rate, n / N) where corrections N are counted

    At rate 0 an entry that is counted is then exactly the mean of all of its targets.

    Args:
      weight: 1 where an error counts, 0 where it does not; None where all do.
    """
    weight = jnp.ones_like(error) if weight is None else weight
    num = weight if error.size == 1 else jnp.zeros_like(table).at[index].add(weight)[index]
    step = jnp.broadcast_to(rate, error.shape)
    if not isinstance(count, tuple):
        count = count.at[index].add(weight.astype(jnp.int32))
        step = jnp.maximum(step, divide(num, count[index].astype(num.dtype)))
    share = jnp.where(weight > 0, step * divide(error, num), 0.0)
    return table.at[index].add(share), count


def corrected(
    config: Any, setting: Setting, state: LearnerState, error: Error
) -> tuple[LearnerState, Metrics]:
    """The learner after the errors of a step, and what there is to tell."""
    rate, kept = step_size(config, setting, state), state.slots
    if config.traces is None:
        table, count = averaged(state.params, kept.count, error.index, error.size, rate)
        kept = kept._replace(count=count)
    else:
        table, kept = _traced(config.traces, state.params, kept, error, rate)
    state = state._replace(params=table, num_updates=state.num_updates + 1, slots=kept)
    return state, once(value_loss=0.5 * jnp.square(error.size).mean(), lr=rate)


def _traced(
    traces: Literal["accumulating", "replacing"],
    table: Array,
    kept: Kept,
    error: Error,
    rate: Array,
) -> tuple[Array, Kept]:
    """The table, all of whose entries move by their share in the error of one environment."""
    visit = jnp.zeros(table.shape, bool).at[error.index].set(True)
    grow = {"accumulating": accumulating_trace, "replacing": replacing_trace}[traces]
    trace, count, step = grow(kept.trace, visit, error.decay[0]), kept.count, rate
    if not isinstance(count, tuple):
        count = count + visit.astype(jnp.int32)
        step = jnp.maximum(rate, divide(jnp.ones_like(table), count.astype(table.dtype)))
    table = table + step * error.size[0] * trace
    return table, Kept(count, jnp.where(error.done[0], 0.0, trace))
