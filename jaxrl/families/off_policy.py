"""What off-policy configurations share: fields, the replay they ask for, target networks."""

from collections.abc import Callable
from typing import Any, Literal

import jax

from jaxrl.config import config, demand, title
from jaxrl.data import Buffer, n_step, prioritised, ranked, sequences, uniform
from jaxrl.families.settings import BasicConfig, Setting, in_sequences, progress
from jaxrl.numerics import select
from jaxrl.types import Array, LearnerState, PyTree, Scalar


@config
class ReplayConfig(BasicConfig):
    """Fields of every algorithm that learns from replay."""

    num_envs: int = 8
    num_steps: int = 1
    num_gradients: int = 1
    num_iterations: int = 50
    batch_size: int = 128
    capacity: int = 50_000
    learning_starts: int = 1000
    replay: Literal["uniform", "proportional", "rank"] = "uniform"
    priority_exponent: float = 0.6
    importance_exponent: float = 0.4
    lr: float = 1e-3
    anneal_lr: bool = False
    max_grad_norm: float = 10.0
    activation: Literal["tanh", "relu", "silu", "gelu", "elu"] = "relu"


@config
class OffPolicyConfig(ReplayConfig):
    """Fields of every algorithm that learns values from replay."""

    gamma: float = 0.99
    n_step: int = 1
    target_period: int = 1
    polyak: float = 0.005


Around = Callable[[Buffer], Buffer]
"""A combinator that stands around a ring, and inside of `n_step`."""


def plain(buffer: Buffer) -> Buffer:
    """The buffer as it is."""
    return buffer


def replay(config: Any, around: Around = plain) -> Buffer:
    """The buffer that a configuration asks for, and what learners see of it."""
    size = (config.capacity, config.num_envs)
    if config.replay == "uniform":
        buffer = uniform(*size)
    elif config.replay == "proportional":
        buffer = prioritised(*size, config.priority_exponent)
    else:
        buffer = ranked(*size, config.priority_exponent)
    if in_sequences(config):
        return sequences(around(buffer), config.sequence_length)
    if not isinstance(config, OffPolicyConfig):
        return around(buffer)
    return n_step(around(buffer), config.n_step, config.gamma)


def importance(config: Any, setting: Setting, state: LearnerState, weight: Array) -> Array:
    """Weights 1 / (N p) to the power β, which rises to 1 in the course of training.

    The weights come divided by the greatest of the batch, which then remains 1; a row that does
    not count, at weight 0, never does.
    Reference: Schaul et al. 2016, arXiv:1511.05952, section 3.4.
    """
    if config.replay == "uniform":
        return weight
    start = config.importance_exponent
    power = start + (1 - start) * progress(state, setting)
    return (weight > 0).astype(weight.dtype) * weight**power


def followed(
    target: PyTree, params: PyTree, num_updates: Array, period: int, polyak: Scalar
) -> PyTree:
    """Target parameters, which move by the share `polyak` after every `period` gradient steps.

        θ⁻ ← (1 − τ) θ⁻ + τ θ

    τ = 1 is a copy now and then (Mnih et al. 2015), a period of 1 a moving average.
    """
    moved = jax.tree.map(lambda old, new: (1 - polyak) * old + polyak * new, target, params)
    return moved if period == 1 else select(num_updates % period == 0, moved, target)


def check_replay(config: Any) -> None:
    """Sizes of an off-policy configuration that must fit each other: one sentence if not."""
    if in_sequences(config):
        length, field = config.sequence_length, "sequence_length"
        demand(config, length is not None, field, "be an integer where there is memory")
        what = f"be less than sequence_length = {length}"
        demand(config, config.burn_in < length, "burn_in", what)
        learnt = length - config.burn_in
        what = f"be at most the {learnt} steps after burn_in"
        demand(config, config.n_step <= learnt, "n_step", what)


def check_window(config: Any, length: int) -> None:
    """Whether replay can be drawn from where a row needs `length` steps: one sentence if not."""
    field, asked = _window(config)
    what = field if length == asked else "steps that a row of replay needs"
    window = f"num_envs × {what} = {config.num_envs * length}"
    rows, size = -(-config.learning_starts // config.num_envs), config.batch_size
    demand(config, rows >= length, "learning_starts", f"fill a window of {window} steps")
    ready = (rows - length + 1) * config.num_envs
    demand(config, size <= ready, "batch_size", f"be at most the {ready} rows of warm-up")
    room = config.capacity - config.num_envs * length
    demand(config, size <= room, "capacity", f"hold batch_size = {size} and {window}")


def check_data(config: Any, num_steps: int, num_envs: int) -> None:
    """Whether a data set holds what a row of replay needs: one sentence if not."""
    field, length = _window(config)
    if num_steps < length:
        raise ValueError(
            f"dataset must hold a window of {title(config)}.{field} = {length} steps of "
            f"each of its {num_envs} environments, not {num_steps} steps"
        )


def _window(config: Any) -> tuple[str, int]:
    """The field that says how many steps a row of replay needs, and what it says."""
    field = "sequence_length" if in_sequences(config) else "n_step"
    return field, getattr(config, field, 1)
