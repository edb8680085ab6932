"""Pictures of runs and sweeps: curves and bars with intervals, and what a score depends on."""

from collections.abc import Callable, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from jaxrl.runtime.atomic import whole
from jaxrl.runtime.colours import BLUE, GREEN, INK, ORANGE, PAPER, PINK, RED, SKY
from jaxrl.runtime.compare import curve as measured
from jaxrl.runtime.compare import env_title, labels, scores
from jaxrl.runtime.load import Run
from jaxrl.runtime.statistics import band, bootstrap_interval, iqm, known, smooth
from jaxrl.runtime.sweep import Sweep

COLOURS = (BLUE, ORANGE, GREEN, PINK, SKY, RED, INK)
DASHES = ("-", "--", ":")

STYLE: dict[Any, Any] = {
    "font.size": 11,
    "axes.titlesize": 12,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.grid": True,
    "grid.color": "#e4e4e4",
    "legend.framealpha": 0.8,
    "legend.edgecolor": "none",
    "svg.fonttype": "none",  # text stays text
}

LABELS = {
    "seconds": "seconds of training",
    "episode_return": "return",
    "eval_return": "return of evaluation",
}

INTERVAL = "IQM of the seeds, 95 % interval"


def curve(
    path: Path, metrics: dict[str, np.ndarray], title: str, steps: str = "environment steps"
) -> None:
    """The learning curve of one run: every seed, their IQM, and the evaluations if there are any.

    Args:
      metrics: as `Run.metrics` has them.
      steps: what a step is.
    """

    def draw(figure: Figure) -> None:
        axes = _axes(figure, 1)[0]
        _label(axes, _across("steps", steps), "episode_return", title)
        shown = {"episode_return": "while training", "eval_return": "evaluation, greedy"}
        for name, colour in zip(shown, COLOURS, strict=False):
            if name not in metrics:
                continue
            seeds = known(metrics[name])
            many = f", IQM of {plural(len(seeds))}" * (len(seeds) > 1)
            if len(seeds) > 1:
                axes.plot(metrics["steps"], seeds.T, color=colour, lw=0.7, alpha=0.35)
            axes.plot(metrics["steps"], iqm(seeds.T), color=colour, lw=2, label=shown[name] + many)
        axes.legend()

    _save(path, draw, (6.4, 4.2))


def curves(
    path: Path,
    runs: Sequence[Run],
    metric: str = "episode_return",
    against: str = "steps",
    width: int = 1,
) -> None:
    """A learning curve with its interval for each run; a panel for each environment.

    Args:
      against: "steps" or "seconds".
      width: of the moving mean, in windows.
    """
    panels = _panels(runs)

    def draw(figure: Figure) -> None:
        for axes, (env, here) in zip(_axes(figure, len(panels)), panels.items(), strict=True):
            _label(axes, _across(against, here[0].run.side.words.steps), metric, env)
            for run, name, colour, dash in here:
                x = run.metrics[against]
                middle, low, high = band(smooth(measured(run, metric), width))
                label = f"{name} ({plural(len(run.seeds))})"
                axes.fill_between(x, low, high, color=colour, alpha=0.2, lw=0)
                axes.plot(x, middle, dash, color=colour, lw=2, label=label)
            axes.legend()
        figure.suptitle(f"{LABELS.get(metric, metric)}: {INTERVAL}", fontsize=12)

    _save(path, draw, (max(6.4, 5 * min(len(panels), 3)), 0.6 + 4 * -(-len(panels) // 3)))


def bars(path: Path, runs: Sequence[Run]) -> None:
    """The final score of each run as a bar with its interval and a dot for each seed."""
    panels = _panels(runs)

    def draw(figure: Figure) -> None:
        for axes, (env, here) in zip(_axes(figure, len(panels)), panels.items(), strict=True):
            axes.set(xlabel="mean return of the final evaluation", title=env)
            for index, (run, _, colour, _) in enumerate(here):
                means = scores(run)
                middle, (low, high) = iqm(means), bootstrap_interval(means)
                axes.barh(index, middle, color=colour, height=0.6)
                axes.plot([low, high], [index, index], color=INK, lw=2)
                spread = index + np.linspace(-0.16, 0.16, len(means) + 2)[1:-1]
                axes.scatter(means, spread, s=22, color=PAPER, edgecolor=INK, zorder=3)
            axes.set_yticks(range(len(here)), [shown.name for shown in here])
            axes.invert_yaxis()
            axes.grid(axis="y", visible=False)
        figure.suptitle(f"score: {INTERVAL}, dots are seeds", fontsize=12)

    rows, tallest = -(-len(panels) // 3), max(map(len, panels.values()))
    _save(path, draw, (max(6.4, 5 * min(len(panels), 3)), 0.6 + rows * (1.2 + 0.6 * tallest)))


def sensitivity(path: Path, table: Sweep) -> None:
    """The score against each varied field, a point with its interval for each configuration.

    The best configuration stands out; a line joins the means of values that occur repeatedly.
    """
    summary = table.summary()
    middle = summary["iqm"]
    best = int(np.nanargmax(middle)) if np.isfinite(middle).any() else -1
    fields = {name: summary[name] for name in table.varied} or {"setting": np.arange(len(middle))}
    around = np.abs(np.stack([summary["low"], summary["high"]]) - middle)

    def draw(figure: Figure) -> None:
        for axes, (name, x) in zip(_axes(figure, len(fields)), fields.items(), strict=True):
            axes.set(xlabel=name, ylabel="score")
            if x.min() > 0 and x.max() >= 10 * x.min():
                axes.set_xscale("log")
            values = np.unique(x)
            if 1 < len(values) <= len(x) / 2:
                joined = [_mean(middle[x == value]) for value in values]
                axes.plot(values, joined, color="#888888", label="mean of the settings")
            style = {"fmt": "o", "ms": 6, "elinewidth": 1.2}
            rest = np.arange(len(x)) != best
            axes.errorbar(x[rest], middle[rest], around[:, rest], color=BLUE, alpha=0.6,
                          label="a setting", **style)  # fmt: skip
            axes.errorbar(x[~rest], middle[~rest], around[:, ~rest], color=RED,
                          label="the best one", **style)  # fmt: skip
        named = [axes.get_legend_handles_labels() for axes in figure.axes]
        shown = {name: x for xs, names in named for x, name in zip(xs, names, strict=True)}
        figure.legend(shown.values(), shown.keys(), loc="outside lower center", ncols=3)
        figure.suptitle(f"{table.title}: {INTERVAL} ({plural(table.num_seeds)})", fontsize=12)

    _save(path, draw, (max(6.4, 4 * min(len(fields), 3)), 1 + 3.6 * -(-len(fields) // 3)))


class Shown(NamedTuple):
    """A run, and how it looks."""

    run: Run
    name: str
    colour: str
    dash: str


def _panels(runs: Sequence[Run]) -> dict[str, list[Shown]]:
    """The runs of each environment; what has one name has one look in all of them."""
    groups = groupby(sorted(runs, key=env_title), key=env_title)
    panels = {env: list(group) for env, group in groups}
    names = {env: labels(here) for env, here in panels.items()}
    order = list(dict.fromkeys(name for here in names.values() for name in here))

    def shown(run: Run, name: str) -> Shown:
        place, num = order.index(name), len(COLOURS)
        return Shown(run, name, COLOURS[place % num], DASHES[place // num % len(DASHES)])

    return {env: list(map(shown, panels[env], names[env])) for env in panels}


def _mean(x: np.ndarray) -> float:
    finite = x[np.isfinite(x)]
    return float(finite.mean()) if finite.size else float("nan")


def _axes(figure: Figure, num: int) -> list[Axes]:
    """Panels, three in a row at most."""
    columns = min(num, 3)
    return [figure.add_subplot(-(-num // columns), columns, i + 1) for i in range(num)]


def _across(against: str, steps: str) -> str:
    """What is on the axis across."""
    return f"{steps} of each seed" if against == "steps" else LABELS[against]


def _label(axes: Axes, x: str, y: str, title: str) -> None:
    axes.set(xlabel=x, ylabel=LABELS.get(y, y.replace("_", " ")), title=title)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: short(value)))


def short(value: float) -> str:
    """A number as people write it on an axis.

    >>> [short(x) for x in (0, 250, 20_000, 1.5e6)]
    ['0', '250', '20k', '1.5M']
    """
    for size, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:g}{unit}"
    return f"{value:g}"


def plural(num: int) -> str:
    """So many seeds, in words."""
    return f"{num} seed{'s' * (num > 1)}"


def _save(path: Path, draw: Callable[[Figure], Any], size: tuple[float, float]) -> None:
    """Draw and write a figure whole; its suffix says in which format."""
    with rc_context(STYLE):
        figure = Figure(figsize=size, layout="constrained")
        draw(figure)
        with whole(path) as file:
            figure.savefig(file, format=path.suffix[1:].lower(), dpi=120)
