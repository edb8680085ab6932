"""Pictures of a run."""

from pathlib import Path

from matplotlib.figure import Figure

CURVES = {"episode_return": "while training", "eval_return": "evaluation"}


def learning_curve(path: Path, rows: list[dict[str, float]], title: str) -> None:
    """Return over steps; windows in which no episode ended leave gaps."""
    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.add_subplot(xlabel="environment steps", ylabel="return", title=title)
    for name, label in CURVES.items():
        points = [(row["steps"], row[name]) for row in rows if name in row]
        if points:
            axes.plot(*zip(*points, strict=True), marker=".", label=label)
    if rows:
        axes.legend()
    figure.savefig(path, dpi=120)
