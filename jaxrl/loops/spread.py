"""One run on several devices: each has a share of the environments, all learn the same.

Devices tell each other the gradient of each step and few other numbers (`jaxrl.shares`). Each one
shuffles its own share, so that a minibatch is made of equal parts of all shares.
"""

from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from jaxrl.loops.acting import LoopState
from jaxrl.shares import SHARES
from jaxrl.types import Algorithm, Array, Metrics

ALL, APART = PartitionSpec(), PartitionSpec(SHARES)


def spread(run: Algorithm, share: Algorithm, num_devices: int) -> Algorithm:
    """The run on the first `num_devices` of `jax.devices()`.

    Args:
      run: with all environments.
      share: the same with as many of them as one device has.
    """
    if num_devices > (there := len(jax.devices())):
        raise ValueError(f"devices must be at most {there}, not {num_devices}")
    mesh = Mesh(np.array(jax.devices()[:num_devices]), (SHARES,))
    key = jax.eval_shape(lambda: jax.random.key(0))
    places = jax.tree.map(_place, *(jax.eval_shape(x.init, key) for x in (run, share)))

    def init(key: Array) -> LoopState:
        where = jax.tree.map(lambda place: NamedSharding(mesh, place), places)
        return jax.lax.with_sharding_constraint(run.init(key), where)

    def one(state: LoopState) -> tuple[LoopState, Metrics]:
        mine = jax.random.fold_in(state.key, jax.lax.axis_index(SHARES))
        after, metrics = share.update(state._replace(key=mine))
        return after._replace(key=jax.random.fold_in(state.key, num_devices)), metrics

    update = jax.shard_map(
        one, mesh=mesh, in_specs=(places,), out_specs=(places, ALL), check_vma=False
    )
    return Algorithm(init, update)


def _place(of_run: Any, of_share: Any) -> PartitionSpec:
    """Apart is what there is less of where there are fewer environments."""
    return ALL if of_run.shape == of_share.shape else APART
