"""How far a run is: a bar on a terminal, ten lines anywhere else."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

Report = Callable[[dict[str, float]], None]


@contextmanager
def progress(total_steps: int, console: Console | None = None) -> Iterator[Report]:
    """Within it, call the result with each row of metrics."""
    console = console or Console()
    if not console.is_terminal:
        yield _lines(total_steps, console)
        return
    columns = (
        BarColumn(),
        TaskProgressColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.description}"),
    )
    with Progress(*columns, console=console) as bar:
        task = bar.add_task("", total=total_steps)
        yield lambda row: bar.update(task, completed=row["steps"], description=status(row))


def status(row: dict[str, float]) -> str:
    """Speed and return, in words."""
    rate = row["steps"] / row["seconds"]
    now = row.get("eval_return", row["episode_return"])
    return f"{rate:,.0f} steps/s, return {now:.1f}"


def _lines(total_steps: int, console: Console) -> Report:
    reached = 0

    def report(row: dict[str, float]) -> None:
        nonlocal reached
        tenth = int(10 * row["steps"] / total_steps)
        if tenth > reached:
            reached = tenth
            console.print(f"{row['steps']:,.0f} steps, {status(row)}", highlight=False)

    return report
