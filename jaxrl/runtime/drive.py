"""Drive a run from the host: chunk by chunk, with its metrics, checkpoints, progress and signals.

Any chunking gives the same bits (the law of `loops.run`), so that a run can stop between any two
updates and go on from there.
"""

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxrl.runtime import checkpoint, folder
from jaxrl.runtime.folder import CHECKPOINTS, CLOCK, METRICS, Lines
from jaxrl.runtime.host_rewards import RewardError, told
from jaxrl.runtime.mistake import Mistake
from jaxrl.runtime.others import start
from jaxrl.runtime.programs import Programs
from jaxrl.runtime.record import Record
from jaxrl.train import Carried
from jaxrl.types import Metrics

CHUNK_SECONDS = 0.5
"""About how long a chunk takes: how soon a signal is obeyed and how often progress shows."""

NUM_CHECKPOINTS = 10
"""Into how many parts checkpoints divide a run that does not say."""


class Position(NamedTuple):
    """Where a run stands."""

    carried: Carried
    update: int
    seconds: float  # of training so far, without those between a stop and its resumption


class Journal(NamedTuple):
    """The files that grow with a run."""

    path: Path
    metrics: Lines
    clock: Lines


class Events(NamedTuple):
    """Who is told how a run goes on."""

    chunk: Callable[[int, np.ndarray], None]  # steps of each seed, the latest returns [seeds]
    rows: Callable[[list[dict[str, Any]]], None]  # of a window


def journal(path: Path) -> Journal:
    """The growing files of a run's folder."""
    return Journal(path, Lines(path / METRICS), Lines(path / CLOCK))


def begin(record: Record, made: Programs) -> Position:
    """The start of a run."""
    seeds = jnp.arange(record.seed, record.seed + record.seeds, dtype=jnp.int32)
    return Position(_warm(record, made, made.begin(record.config, start(record), seeds)), 0, 0.0)


def drive(
    record: Record,
    made: Programs,
    position: Position,
    files: Journal,
    events: Events,
    pending: Callable[[], int] = lambda: 0,
) -> Position:
    """Train to the end, or until `pending` says that a signal came; where it stands then.

    A reward of the host that raises is a `RewardError`, and a checkpoint from which to go on.
    A run all of whose seeds met a number that is not finite ends there, too.
    """
    returns = np.full(record.seeds, np.nan)
    ends, due, num = made.training.ends, checkpoint_period(record, made), 1
    for before, end in pairwise([0, *ends]):
        if end <= position.update:
            continue
        while position.update < end and not pending():
            num = min(num, end - position.update)
            try:
                position, seconds = _advanced(record, made, position, num)
            except RewardError:
                saved(position, files)
                raise
            num = max(1, min(2 * num, int(num * CHUNK_SECONDS / seconds)))
            returns = latest(position.carried.metrics, returns)
            events.chunk(made.training.steps(position.update), returns)
        if position.update == end:
            position, rows = _closed(record, made, position, files)
            events.rows(rows)
        stop = pending() or bool((bad_updates(position) >= 0).all())
        if stop or end == ends[-1] or end // due > before // due:
            saved(position, files)
        if stop:
            break
    return position


def _advanced(
    record: Record, made: Programs, position: Position, num: int
) -> tuple[Position, float]:
    start = time.perf_counter()
    with told():
        carried = made.advance(record.config, jnp.int32(num), position.carried)
        jax.block_until_ready(carried)
    seconds = time.perf_counter() - start
    return Position(carried, position.update + num, position.seconds + seconds), seconds


def _closed(
    record: Record, made: Programs, position: Position, files: Journal
) -> tuple[Position, list[dict[str, Any]]]:
    """Write the rows of a window that is over, and open the next one."""
    carried, metrics = made.close(record.config, position.carried)
    metrics = jax.device_get(metrics)
    with np.errstate(invalid="ignore"):  # no episode ended: NaN
        columns = {name: metrics[name].mean for name in metrics if name != "steps"}
    steps = made.training.steps(position.update)
    rows = []
    for index in range(record.seeds):
        row = {"seed": record.seed + index, "update": position.update, "steps": steps}
        rows.append(row | {name: folder.number(x[index]) for name, x in columns.items()})
    files.clock.append([{"steps": steps, "seconds": round(position.seconds, 3)}])
    files.metrics.append(rows)
    return position._replace(carried=carried), rows


def checkpoint_period(record: Record, made: Programs) -> int:
    """Updates between two checkpoints, which are written at the ends of windows."""
    if record.checkpoint_every is None:
        return max(1, -(-made.training.num_updates // NUM_CHECKPOINTS))
    return max(1, record.checkpoint_every // made.training.steps_per_update)


def latest(metrics: Metrics, before: np.ndarray) -> np.ndarray:
    """The mean return of the window so far, of each seed; the one before where none has ended."""
    total, count = jax.device_get(metrics["episode_return"])
    return np.where(count > 0, total / np.maximum(count, 1), before)


def saved(position: Position, files: Journal) -> Path:
    """Write a checkpoint that knows how much of the growing files belongs to it."""
    lines = {}
    for file in (files.metrics, files.clock):
        file.settle()
        lines[file.path.name] = {"size": file.size, "sha256": file.checksum}
    notes = {"update": position.update, "seconds": position.seconds, "lines": lines}
    return checkpoint.save(files.path / CHECKPOINTS, position.update, position.carried, notes)


def resumed(record: Record, made: Programs, files: Journal) -> tuple[Position, list[str]]:
    """Where to go on: from the newest checkpoint that is whole, and whose metrics are.

    Returns the position, and a sentence for each checkpoint that was passed over. The growing
    files are cut off where that checkpoint was written.
    """
    seeds = jnp.zeros(record.seeds, jnp.int32)
    like = jax.eval_shape(made.begin, record.config, (), seeds)
    passed: list[str] = []
    if not checkpoint.newest_first(files.path / CHECKPOINTS):  # stopped before the first one
        for file in (files.metrics, files.clock):
            file.keep(0, file.checksum)
        return begin(record, made), passed
    for found in checkpoint.readable(files.path / CHECKPOINTS):
        if isinstance(found, ValueError):
            passed.append(str(found))
            continue
        update, seconds = found.notes["update"], found.notes["seconds"]
        try:
            carried = checkpoint.restore(like, found.arrays, found.path)
        except ValueError as error:
            passed.append(str(error))
            continue
        if update > made.training.num_updates:
            passed.append(f"{found.path} is of a longer run than {record.total_steps:,} steps")
        elif damaged := _damaged(files, found.notes):
            passed.append(f"{damaged} is damaged before {found.path.name} was written")
        else:
            return Position(_warm(record, made, carried), update, seconds), passed
    raise Mistake(f"resume must be a run that can go on, not {str(files.path)!r}: {passed[0]}")


def _damaged(files: Journal, notes: dict[str, Any]) -> Path | None:
    """The growing files as they were when a checkpoint was written; or one that is not so."""
    for file in (files.metrics, files.clock):
        if not file.keep(*_kept(notes, file.path.name)):
            return file.path
    return None


def _warm(record: Record, made: Programs, carried: Carried) -> Carried:
    """The same, after no update at all: compiling is not counted as training."""
    return jax.block_until_ready(made.advance(record.config, jnp.int32(0), carried))


def _kept(notes: dict[str, Any], name: str) -> tuple[int, str]:
    entry = notes["lines"][name]
    return entry["size"], entry["sha256"]


def bad_updates(position: Position) -> np.ndarray:
    """Of each seed the first update that was refused, −1 for none."""
    return np.asarray(position.carried.state.bad_update)


def complaints(record: Record, position: Position) -> Iterator[str]:
    """What went wrong with the seeds that met a number that is not finite."""
    for index, update in enumerate(bad_updates(position)):
        if update >= 0:
            yield (
                f"seed {record.seed + index}: update {update} was refused since it met a reward or "
                f"made a parameter that is NaN or infinite; the policy before it is kept"
            )


@contextmanager
def signals() -> Iterator[Callable[[], int]]:
    """Within it, Ctrl-C and SIGTERM are remembered; a second one acts at once.

    Gives a function that tells which came, or 0.
    """
    came = 0

    def remember(number: int, frame: Any) -> None:
        nonlocal came
        came = number
        signal.signal(number, signal.SIG_DFL)

    old = {number: signal.signal(number, remember) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: came
    finally:
        for number, handler in old.items():
            signal.signal(number, handler)
