"""One training run, driven window by window from the host, and the folder that it leaves."""

import csv
import dataclasses
import json
import math
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxrl.loops.on_policy import LoopState
from jaxrl.train import NUM_WINDOWS, Evaluation, Training, play


class Window(NamedTuple):
    """What a run reports from time to time."""

    state: LoopState
    row: dict[str, float]  # the means of all metrics, "steps" among them, and "seconds"


class Compiled(NamedTuple):
    """A training run, ready to go: two executables and the arguments of the first call."""

    training: Training
    config: Any
    state: LoopState
    window: Callable[..., tuple[LoopState, Any]]
    play: Callable[..., Evaluation]
    seconds: float  # that this took


def compiled(
    train: Callable[[Any], Training], config: Any, seed: int, num_episodes: int
) -> Compiled:
    """Compile a run for windows of any length, and its evaluation.

    The float fields of the configuration are arguments: with another value of them, jax finds the
    same executable in its compilation cache, if that is in use.
    """
    start, training = time.perf_counter(), train(config)

    def window(config: Any, state: LoopState, end: jax.Array) -> Any:
        return train(config).window(state, end)

    def score(config: Any, state: LoopState, key: jax.Array) -> Evaluation:
        training = train(config)
        return play(key, training.env, training.learner, state.learner, num_episodes)

    key = jax.random.key(seed)
    state = jax.jit(lambda config, key: train(config).algorithm.init(key))(config, key)
    step = jax.jit(window).lower(config, state, jnp.int32(0)).compile()
    evaluate = jax.jit(score).lower(config, state, key).compile()
    return Compiled(training, config, state, step, evaluate, time.perf_counter() - start)


def ends(training: Training) -> list[int]:
    """How many updates are done at the end of each window."""
    every = training.evaluate_every or max(1, -(-training.num_updates // NUM_WINDOWS))
    return [*range(every, training.num_updates, every), training.num_updates]


def windows(run: Compiled) -> Iterator[Window]:
    """Train; a window in which an update was refused is the last one."""
    state, start = run.state, time.perf_counter()
    for end in ends(run.training):
        state, metrics = run.window(run.config, state, jnp.int32(end))
        with np.errstate(invalid="ignore"):  # no episode ended: NaN
            means = {name: float(value.mean) for name, value in jax.device_get(metrics).items()}
        yield Window(state, means | {"seconds": time.perf_counter() - start})
        if state.bad_update >= 0:
            return


def complaint(state: LoopState) -> str:
    """What went wrong with a run whose `bad_update` is set."""
    return (
        f"update {int(state.bad_update)} was refused since it met a reward or made a parameter "
        f"that is NaN or infinite: training stopped, and the policy before it is kept"
    )


def result(run: Compiled, state: LoopState, rows: list[dict[str, float]]) -> dict[str, float]:
    """Score of the greedy policy, on a key that training does not use, and speed."""
    key = jax.random.fold_in(state.eval_key, run.training.num_updates + 1)
    played = jax.device_get(run.play(run.config, state, key))
    last = rows[-1] if rows else {"steps": 0.0, "seconds": math.inf}
    return {
        "score": float(played.episode_return.mean()),
        "std": float(played.episode_return.std()),
        "unfinished": int((~played.finished).sum()),
        "steps": last["steps"],
        "steps_per_second": last["steps"] / last["seconds"],
        "compile_seconds": run.seconds,
    }


def new_folder(wanted: str | None, default: str) -> Path:
    """Make the folder that was asked for, or else the default one, numbered if it is there."""
    path = Path(wanted or default)
    if wanted is not None and path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise ValueError(f"out must be a new or an empty folder, not {wanted!r}")
    number = 2
    while wanted is None and path.exists():
        path, number = Path(f"{default}-{number}"), number + 1
    try:
        path.mkdir(parents=True, exist_ok=wanted is not None)
    except OSError as error:
        raise ValueError(f"out must be a folder that can be made, not {str(path)!r}") from error
    return path


def write_json(path: Path, values: dict[str, Any]) -> None:
    """Write names and values, configurations and tuples among them, for people and programs."""
    text = json.dumps(values, indent=2, default=dataclasses.asdict)
    path.write_text(text + "\n", "utf-8")


class Table:
    """A CSV file that grows with the run: whatever stops it, the rows so far are there."""

    def __init__(self, path: Path) -> None:
        """Start a file; its first row will name the columns."""
        self._path, self.rows = path, []

    def append(self, row: dict[str, float]) -> None:
        """Add a row, and the header before the first one."""
        with self._path.open("a", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, list(row))
            if not self.rows:
                writer.writeheader()
            writer.writerow(row)
        self.rows.append(row)
