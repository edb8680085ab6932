"""Run with two virtual devices: sweeps of several shapes, their tables written for the test."""

import os
import pickle
import sys

import jax
import numpy as np

from jaxrl import grid
from jaxrl.algorithms import ppo
from jaxrl.runtime import devices, sides, sweep
from jaxrl.train import make_train

SMALL = ppo.Config(num_envs=2, num_steps=8, hidden_sizes=(8,), num_epochs=1, num_minibatches=2)
OPTIONS = {"num_seeds": 3, "seed": 5, "total_steps": 48, "evaluate_every": 32}
SHAPES = {"whole": None, "waves": 5}  # max_lanes: 12 lanes at once, and 3 times 4
CALLS = []


def four() -> ppo.Config:
    """Made when asked for: jax must not start on import."""
    return grid(SMALL, lr=[1e-3, 1e-1], gamma=[0.5, 0.9])


def counted(*arguments, **options):
    """`make_train`, which keeps count of its calls: one for the checks, the others for tracing."""
    CALLS.append(1)
    return make_train(*arguments, **options)


def main(path: str) -> None:
    os.sched_getaffinity = lambda pid: {0, 1}
    os.cpu_count = lambda: 2
    assert devices.use_all_cores() == 2 == len(jax.devices())
    assert devices.use_all_cores() == 2  # again is no mistake
    sides.ENVIRONMENTS = sides.ENVIRONMENTS._replace(train=counted)
    tables = {}
    for name, max_lanes in SHAPES.items():
        CALLS.clear()
        swept = sweep.sweep(four(), "CartPole-v1", max_lanes=max_lanes, **OPTIONS)
        tables[name] = swept, len(CALLS)
    alone = {"num_seeds": 3, "total_steps": 48, "max_lanes": 1}
    tables["alone"] = sweep.sweep(SMALL, "CartPole-v1", **alone)
    arguments = (np.arange(7),)
    spread = sweep.in_waves(
        sweep.Lane(lambda x: x, lambda n, s, x: s + n, lambda s, x: (s, s + x)),
        [1, 2],
        arguments,
        4,
    )
    os.sched_getaffinity = lambda pid: set(range(7))
    os.cpu_count = lambda: 7
    try:
        devices.use_all_cores()
    except RuntimeError as error:
        tables["late"] = str(error)
    with open(path, "wb") as file:
        pickle.dump(tables | {"spread": spread}, file)


if __name__ == "__main__":
    main(sys.argv[1])
