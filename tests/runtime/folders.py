"""Folders of runs that nobody trained: their numbers are chosen."""

import json
import os
import subprocess
import sys
from pathlib import Path

import jax

from jaxrl.runtime import checkpoint, folder, tensors
from jaxrl.runtime.load import Run, load
from jaxrl.runtime.record import record, write_yaml

ROOT = Path(__file__).resolve().parents[2]

STEPS = (100, 200, 300, 400)
LENGTH = {"num_envs": 4, "num_steps": 25, "total_steps": STEPS[-1]}
SECONDS = (1.5, 2.5, 4.0, 5.5)


def chosen(path: Path, curves: list[list[float | None]], scores: list[float], **changes) -> Run:
    """A finished run with these returns, [seeds, windows], and final scores, [seeds]."""
    path.mkdir()
    values = {"algorithm": "ppo", "env": "CartPole-v1", "seeds": len(curves), **LENGTH, **changes}
    (path / folder.CONFIG).write_text(write_yaml(record(values)))
    rows = [
        {"seed": seed, "steps": steps, "episode_return": row[window]}
        for window, steps in enumerate(STEPS)
        for seed, row in enumerate(curves)
    ]
    clock = [{"steps": n, "seconds": t} for n, t in zip(STEPS, SECONDS, strict=True)]
    for name, lines in ((folder.METRICS, rows), (folder.CLOCK, clock)):
        (path / name).write_text("".join(json.dumps(line) + "\n" for line in lines))
    per_seed = [{"seed": seed, "mean_return": score} for seed, score in enumerate(scores)]
    (path / folder.EVALUATION).write_text(json.dumps({"per_seed": per_seed}))
    return load(path)


def slow(path: Path, **changes) -> Run:
    """It begins at 0 and ends at 20."""
    return chosen(path, [[None, 0.0, 10.0, 18.0], [0.0, 0.0, 10.0, 22.0]], [20.0, 30.0], **changes)


def fast(path: Path, **changes) -> Run:
    """It begins at 10 and ends at 100; one of its three seeds ties with one of `slow`."""
    curve = [[10.0, 50.0, 95.0, 100.0]] * 3
    return chosen(path, curve, [30.0, 90.0, 100.0], **{"algorithm": "a2c", **changes})


def untrained(path: Path, **changes) -> Run:
    """A finished run of two seeds whose policies are those that training starts with."""
    run = chosen(path, [[1.0] * 4] * 2, [1.0, 2.0], hidden_sizes=[8], **changes)

    @jax.jit
    @jax.vmap
    def start(key):
        _, obs = run.env.reset(key)
        return run.learner.init(key, obs[None])._replace(opt_state=())

    policies = start(jax.random.split(jax.random.key(0), 2))
    tensors.save(path / folder.POLICY, checkpoint.arrays(policies), {})
    return run


def shell(words: str, cwd: Path) -> str:
    """What the command line prints, in a process of its own."""
    environment = os.environ | {"PYTHONPATH": str(ROOT), "JAX_PLATFORMS": "cpu"}
    command = [sys.executable, "-m", "jaxrl", *words.split()]
    done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout
