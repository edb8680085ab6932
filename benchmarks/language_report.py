"""The table and the figures of `benchmarks.language`."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter

from benchmarks.readme import put, table
from jaxrl.runtime.plots import COLOURS, DASHES, STYLE, short
from jaxrl.runtime.statistics import (
    band,
    bootstrap_interval,
    iqm,
)

FIGURES = Path(__file__).parents[1] / "docs"
NUM_POINTS = 25  # of a curve
BESIDE = "GRPO"  # whom the others are held against
LABELS = {
    "score": "held-out score",
    "entropy": "entropy of a response, nats",
    "kl": "KL to the start, nats",
    "length": "tokens of a response",
}

Row = dict[str, Any]  # what `benchmarks.language` keeps of a method on a task


def scores(row: Row, budget: float, name: str = "score") -> np.ndarray:
    """A number of each seed where it had spent the budget, between two evaluations."""
    pairs = zip(row["tokens"], row[name], strict=True)
    return np.array([np.interp(budget, *pair) for pair in pairs])


def mean_at(row: Row, budget: float, name: str) -> float:
    """A mean over seeds, there."""
    if name not in row:
        return float("nan")
    values = np.array(row[name], float)
    tokens = np.mean(row["tokens"], 0)
    known = ~np.isnan(values)
    return float(np.interp(budget, tokens[known], values[known]))


def spent(row: Row, budget: float) -> float:
    """Seconds until the seeds had spent the budget, in the mean."""
    return float(np.interp(budget, np.mean(row["tokens"], 0), row["seconds"]))


def interval(values: np.ndarray) -> str:
    """The interquartile mean of percentages and its interval."""
    low, high = bootstrap_interval(values)
    return f"{100 * iqm(values):.1f} [{100 * low:.1f}, {100 * high:.1f}]"


def line(row: Row, budget: float, beside: Row | None = None) -> list[str]:
    """A row of the table."""
    end = scores(row, budget)
    apart = ""
    if beside is not None and beside is not row:
        apart = interval(end - scores(beside, budget))  # a seed has one start for all methods
    means = [
        mean_at(row, budget, name) for name in ("entropy", "kl", "length", "clipped", "useful")
    ]
    formats = ("{:.2f}", "{:.2f}", "{:.1f}", "{:.2%}", "{:.0%}")
    return [
        f"{row['rate']:g}, × {row['factor']:g}",
        interval(np.array(row["score"])[:, 0]),
        interval(end),
        interval(scores(row, budget, "right")),
        apart,
        f"{spent(row, budget):,.0f}",
        *("" if np.isnan(x) else f.format(x) for x, f in zip(means, formats, strict=True)),
    ]


HEAD = [
    "method",
    "rate, factor",
    "start, %",
    "score, %",
    "all right, %",
    f"less {BESIDE}'s",
    "seconds",
    "entropy",
    "KL",
    "length",
    "clipped",
    "useful",
]


def lines(results: Mapping[str, Row], titles: Sequence[str], budget: float) -> Iterator[list[str]]:
    """The table of a task: its head, and a row for each method that has results."""
    yield HEAD
    task = titles[0].partition(":")[2]
    beside = results.get(f"{BESIDE}:{task}")
    for title in titles:
        if title in results:
            yield [title.partition(":")[0], *line(results[title], budget, beside)]


def write(
    head: str, results: Mapping[str, Row], titles: Sequence[str], budgets: Mapping[str, float]
) -> None:
    """Put the tables into README.md."""
    parts = [head]
    for task, budget in budgets.items():
        rows = [title for title in titles if title.endswith(f":{task}")]
        parts.append(f"**{task}**, {budget:,} tokens a seed:")
        parts.append(table(lines(results, rows, budget)))
    missing = [title for title in titles if title not in results]
    if missing:
        parts.append(f"Not run yet: {', '.join(missing)}.")
    put("language", "\n\n".join(parts))


def draw(
    file: str, results: Mapping[str, Row], titles: Sequence[str], budgets: Mapping[str, float]
) -> None:
    """Curves of methods against tokens and seconds, a row of panels for each task."""

    def look(title: str) -> tuple[str, str]:
        place = titles.index(title)
        return COLOURS[place % len(COLOURS)], DASHES[place // len(COLOURS)]

    style: dict[Any, Any] = STYLE | {"font.size": 9, "axes.titlesize": 10}
    with rc_context(style):
        figure = Figure(figsize=(13, 3 * len(budgets) + 0.6), layout="constrained")
        axes = figure.subplots(len(budgets), 5, squeeze=False)
        for panels, (task, budget) in zip(axes, budgets.items(), strict=True):
            panels[0].set_title(task)
            for title in titles:
                if (row := results.get(f"{title}:{task}")) is not None:
                    _curves(panels, row, budget, look(title))
            _labels(panels)
            panels[-1].set_ylim(bottom=0)
        lines = [Line2D([], [], color=colour, ls=dash) for colour, dash in map(look, titles)]
        figure.legend(lines, titles, loc="outside lower center", ncols=-(-len(titles) // 2))
        figure.savefig(FIGURES / file, dpi=80)


def _curves(panels: Sequence[Axes], row: Row, budget: float, look: tuple[str, str]) -> None:
    colour, dash = look
    tokens = np.linspace(0, budget, NUM_POINTS)
    middle, low, high = band(np.stack([scores(row, x) for x in tokens], 1))
    seconds = [spent(row, x) for x in tokens]
    for axes, x in ((panels[0], tokens), (panels[1], seconds)):
        axes.fill_between(x, low, high, color=colour, alpha=0.12, lw=0)
        axes.plot(x, middle, dash, color=colour)
    for axes, name in zip(panels[2:], ("entropy", "kl", "length"), strict=True):
        axes.plot(tokens, [mean_at(row, x, name) for x in tokens], dash, color=colour)


def _labels(panels: Sequence[Axes]) -> None:
    panels[0].set_ylabel(LABELS["score"])
    panels[1].set_xlabel("seconds, all seeds")
    for axes, name in zip(panels[2:], ("entropy", "kl", "length"), strict=True):
        axes.set_ylabel(LABELS[name])
    for axes in (panels[0], *panels[2:]):
        axes.set_xlabel("generated tokens of a seed")
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: short(value)))
