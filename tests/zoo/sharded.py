"""Run as a program with two devices: training that is spread over them is training on one.

Environments are spread where they live on from update to update, and seeds in both kinds of loop.
"""

import jax
import jax.numpy as jnp
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from tests.zoo.cases import KINDS, SPREAD, small, training, world
from tests.zoo.keys import PLAIN
from tests.zoo.trees import assert_near

MESH = jax.make_mesh((2,), ("rows",), axis_types=(AxisType.Auto,))
ROWS = NamedSharding(MESH, PartitionSpec("rows"))
WHOLE = NamedSharding(MESH, PartitionSpec())


def hold(function, state, placement):
    """Assert that one update of a spread state is that of the state on one device."""
    window = jax.jit(function)
    alone, _ = window(state, jnp.int32(1))
    spread, _ = window(jax.device_put(state, placement), jnp.int32(1))
    assert len(spread.episode.reward.sharding.device_set) == 2
    assert_near(spread, alone)


def main():
    """Print what was checked."""
    assert jax.device_count() == 2
    keys = jax.random.split(jax.random.key(0, impl=PLAIN), 2)
    for name, (algorithm, changes) in KINDS.items():
        config = small(algorithm, **changes)
        train = training(config, world(config))
        init = jax.jit(jax.vmap(train.algorithm.init))
        states = init(keys)
        state = jax.tree.map(lambda x: x[0], states)
        if name in SPREAD["envs"]:
            where = jax.tree.map(lambda _: WHOLE, state)
            scene = jax.tree.map(lambda _: ROWS, state.scene)
            hold(train.window, state, where._replace(scene=scene))
            print(f"envs:{name}")
        if name in SPREAD["seeds"]:
            hold(jax.vmap(train.window, (0, None)), states, jax.tree.map(lambda _: ROWS, states))
            print(f"seeds:{name}")


if __name__ == "__main__":
    main()
