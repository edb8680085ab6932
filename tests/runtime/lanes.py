"""Run with two virtual devices: sweeps and one shared run, what they left written for the test."""

import os
import pickle
import sys
from pathlib import Path

import jax
import numpy as np

from jaxrl import grid
from jaxrl.algorithms import ppo
from jaxrl.runtime import devices, drive, folder, sides, sweep
from jaxrl.runtime.programs import programs
from jaxrl.train import make_train
from tests.runtime import runs

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


def shared_run(home: Path) -> dict[str, object]:
    """A run whose environments are spread: whole, and stopped in its midst and gone on with."""
    made = runs.small(devices=2, evaluate_every=250)
    functions = programs(made)
    whole = runs.trained(made, home / "whole", functions)
    folder.create(home / "halves", {})
    files = drive.journal(home / "halves")
    seen: list[int] = []
    events = drive.Events(lambda steps, returns: seen.append(steps), lambda rows: None)
    start = drive.begin(made, functions)
    drive.drive(made, functions, start, files, events, lambda: 15 * (len(seen) >= 3))
    position, _ = drive.resumed(made, functions, drive.journal(home / "halves"))
    assert 0 < position.update < functions.training.num_updates
    end = drive.drive(made, functions, position, drive.journal(home / "halves"), runs.QUIET)
    kept = jax.tree.map(np.asarray, end.carried.state.learner.params)
    loaded = whole.state().learner.params
    return {
        "lines": [(home / name / folder.METRICS).read_bytes() for name in ("whole", "halves")],
        "params": [jax.tree.leaves(loaded), [x[0] for x in jax.tree.leaves(kept)]],
        "alone": whole.training(jax.random.key(0), whole.state())[0].num_updates.item(),
    }


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
    tables["shared"] = shared_run(Path(path).parent)
    with open(path, "wb") as file:
        pickle.dump(tables | {"spread": spread}, file)


if __name__ == "__main__":
    main(sys.argv[1])
