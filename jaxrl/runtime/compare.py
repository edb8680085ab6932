"""Runs side by side: scores with intervals, who beats whom, and how fast each one learns."""

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from jaxrl.names import unknown
from jaxrl.runtime import atomic
from jaxrl.runtime.load import Run
from jaxrl.runtime.statistics import (
    bootstrap_interval,
    decimals,
    improvement,
    improvement_interval,
    iqm,
    known,
)

SHARE = 0.9
"""How much of the way from the lowest start to the best return counts as learnt."""


class Row(NamedTuple):
    """What is told of a run; NaN where its curve never reaches the threshold."""

    run: str
    algorithm: str
    env: str
    seeds: int
    score: float  # IQM over the seeds of the mean return of the final evaluation
    score_low: float
    score_high: float
    improvement: float  # the probability that a seed of this run beats one of the first run
    improvement_low: float
    improvement_high: float
    steps: float  # of each seed, at the end of the first window that reaches the threshold
    seconds: float


class Comparison(NamedTuple):
    """Rows in the order of the runs, and the return that counts as learnt."""

    rows: tuple[Row, ...]
    threshold: float


def compare(runs: Sequence[Run], threshold: float | None = None) -> Comparison:
    """Compare runs in one environment; the first of them is what the others are held against.

    Args:
      threshold: the return, while training, that counts as learnt. By default 90 % of the way
        from the lowest first window of all runs to the best window of all, both of the IQM.
    """
    envs = list(dict.fromkeys(map(env_title, runs)))
    if len(envs) > 1:
        raise ValueError(f"compare needs runs in one environment, not in {' and '.join(envs)}")
    middles = [iqm(curve(run, "episode_return").T) for run in runs]
    if threshold is None:
        threshold = _threshold(middles)
    pairs = zip(runs, middles, strict=True)
    return Comparison(tuple(_row(run, runs[0], x, threshold) for run, x in pairs), threshold)


def _row(run: Run, first: Run, middle: np.ndarray, threshold: float) -> Row:
    ours, theirs, metrics = scores(run), scores(first), run.metrics
    learnt = np.flatnonzero(middle >= threshold)[:1]
    return Row(
        str(run.folder),
        run.algorithm,
        env_title(run),
        len(run.seeds),
        float(iqm(ours)),
        *bootstrap_interval(ours),
        improvement(ours, theirs),
        *improvement_interval(ours, theirs),
        *(float(next(iter(metrics[name][learnt]), np.nan)) for name in ("steps", "seconds")),
    )


def _threshold(middles: Sequence[np.ndarray]) -> float:
    """Of curves that may begin with NaN, or be nothing else."""
    finite = [middle[np.isfinite(middle)] for middle in middles]
    if not (seen := [x for x in finite if x.size]):
        return np.nan
    low, high = min(x[0] for x in seen), max(x.max() for x in seen)
    return float(low + SHARE * (high - low))


def scores(run: Run) -> np.ndarray:
    """The final score of each seed of a run."""
    if run.evaluation is None:
        raise ValueError(
            f"{str(run.folder)!r} has no final evaluation: finish it with jaxrl train --resume"
        )
    return np.array([row["mean_return"] for row in run.evaluation["per_seed"]], float)


def curve(run: Run, metric: str) -> np.ndarray:
    """What was measured of a run, [seeds, windows]; a gap keeps the number before it."""
    metrics = run.metrics
    names = metrics.keys() - {"steps", "seconds"}
    if not names:
        raise ValueError(f"{str(run.folder)!r} has no metrics yet")
    reached, total = metrics["steps"][-1], run.total_steps
    if run.evaluation is not None and reached < total * (1 - 1e-6):  # steps may be rounded
        where = f"they end at step {reached:,} of {total:,}"
        raise ValueError(f"the metrics of {str(run.folder)!r} were cut: {where}")
    if metric not in names:
        raise ValueError(unknown("metric", metric, names, f"in {str(run.folder)!r}"))
    return known(metrics[metric])


def env_title(run: Run) -> str:
    """The environment's name, and what was changed of it."""
    return " ".join([run.env_name, *(f"{n}={x}" for n, x in sorted(run.env_params.items()))])


def labels(runs: Sequence[Run]) -> list[str]:
    """A name for each run: its algorithm, and the settings in which it differs from its like.

    Where those do not tell it apart, or are more than three, the folder's name does, or its path.
    """
    folders = [run.name for run in runs]
    places = [
        n if folders.count(n) == 1 else str(r.folder) for n, r in zip(folders, runs, strict=True)
    ]
    made = [_label(run, [x for x in runs if x.algorithm == run.algorithm]) for run in runs]
    return [
        label if label and made.count(label) == 1 else f"{run.algorithm} {place}"
        for label, run, place in zip(made, runs, places, strict=True)
    ]


def _label(run: Run, alike: Sequence[Run]) -> str:
    """Empty where too much differs."""
    ours = vars(run.config)
    names = [n for n, x in ours.items() if any(vars(y.config)[n] != x for y in alike)]
    values = (f"{ours[n]:g}" if isinstance(ours[n], float) else str(ours[n]) for n in names)
    words = [run.algorithm, *map("=".join, zip(names, values, strict=True))]
    return " ".join(words) if len(names) <= 3 else ""


def lines(comparison: Comparison) -> list[list[str]]:
    """The comparison in words: the titles of the columns, and a line for each run."""
    made = [["run", "algorithm", "seeds", "IQM [95 %]", "P(beats first)", "steps", "seconds"]]
    for row in comparison.rows:
        beats = (row.improvement, row.improvement_low, row.improvement_high)
        score = decimals(row.score, row.score_low, row.score_high)
        made.append(
            [
                row.run,
                row.algorithm,
                str(row.seeds),
                "{} [{}, {}]".format(*score),
                "{:.2f} [{:.2f}, {:.2f}]".format(*beats) if len(made) > 1 else "–",
                "never" if np.isnan(row.steps) else f"{row.steps:,.0f}",
                "–" if np.isnan(row.seconds) else f"{row.seconds:,.1f}",
            ]
        )
    return made


def write_csv(comparison: Comparison, path: Path) -> None:
    """All numbers, a line for each run; empty where there is none."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*Row._fields, "threshold"])
    for row in comparison.rows:
        values = [*row, comparison.threshold]
        writer.writerow(["" if isinstance(x, float) and np.isnan(x) else x for x in values])
    atomic.write(path, text.getvalue())
