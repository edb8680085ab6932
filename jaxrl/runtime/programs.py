"""A run as compiled functions over all of its seeds, side by side or spread over devices."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.sharding import Mesh, PartitionSpec

from jaxrl.runtime.record import Record
from jaxrl.train import Carried, Evaluation, Training
from jaxrl.types import Array, Metrics, PyTree

NUM_SCORED = 100
"""Episodes of each seed in the evaluation at the end, where there is no end of them."""


class Programs(NamedTuple):
    """The functions that a host drives; the first argument of each is the configuration."""

    training: Training
    begin: Callable[..., Carried]  # config, what `start` gives, seeds
    advance: Callable[..., Carried]  # config, num_updates, carried, whose memory is used again
    close: Callable[..., tuple[Carried, Metrics]]  # config, carried: at the end of a window
    score: Callable[..., Evaluation]  # config, state: the evaluation at the end


def programs(record: Record) -> Programs:
    """The functions of a run, not yet compiled.

    The float fields of the configuration are arguments: with another value of them jax finds the
    same executable in its compilation cache.
    """

    def begin(config: Any, start: tuple[PyTree, ...], seed: Array) -> Carried:
        return record.training(config).begin(jax.random.key(seed), *start)

    def advance(config: Any, num_updates: Array, carried: Carried) -> Carried:
        return record.training(config).advance(carried, num_updates)

    def close(config: Any, carried: Carried) -> tuple[Carried, Metrics]:
        return record.training(config).close(carried)

    def score(config: Any, state: PyTree) -> Evaluation:
        training = record.training(config)
        return training.score(state, 1, training.num_tests or NUM_SCORED)

    def seeds(function: Callable[..., PyTree], *donated: int) -> Any:
        return jax.jit(_over_seeds(function, record), donate_argnums=donated)

    training = record.training()
    memory = () if record.called else (2,)  # is kept where a reward may raise
    return Programs(training, seeds(begin), seeds(advance, *memory), seeds(close, 1), seeds(score))


def _over_seeds(function: Callable[..., PyTree], record: Record) -> Callable[..., PyTree]:
    """The function over a leading axis of its last argument, that of the seeds.

    One seed runs without `vmap`, under which conditions run both of their branches.
    """

    def one(*arguments: Any) -> PyTree:
        *shared, last = arguments
        result = function(*shared, jax.tree.map(lambda x: x[0], last))
        return jax.tree.map(lambda x: x[None], result)

    def many(*arguments: Any) -> PyTree:
        axes = (*[None] * (len(arguments) - 1), 0)
        return jax.vmap(function, in_axes=axes)(*arguments)

    if record.seeds == 1:
        return one
    if record.devices == 1:
        return many
    mesh = Mesh(np.array(jax.devices()[: record.devices]), ("seeds",))

    def spread(*arguments: Any) -> PyTree:
        specs = (*[PartitionSpec()] * (len(arguments) - 1), PartitionSpec("seeds"))
        return jax.shard_map(
            many, mesh=mesh, in_specs=specs, out_specs=PartitionSpec("seeds"), check_vma=False
        )(*arguments)

    return spread
