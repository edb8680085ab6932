"""How far a run is: one live bar on a terminal, ten lines anywhere else, or nothing."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Literal, NamedTuple

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn
from rich.table import Column

Mode = Literal["auto", "plain", "quiet"]
Report = Callable[[int, np.ndarray], None]
"""Takes the steps of each seed so far, and the latest return of each, NaN before the first."""

NUM_LINES = 10
"""How often a run without a terminal says how far it is."""


class Mark(NamedTuple):
    """A moment of a run."""

    steps: int  # of each seed
    seconds: float


@contextmanager
def progress(
    total_steps: int,
    num_seeds: int,
    mode: Mode = "auto",
    start_steps: int = 0,
    console: Console | None = None,
) -> Iterator[Report]:
    """Within it, call the result from time to time; it shows what there is to show.

    Args:
      total_steps: of each seed, as are all steps here; speeds count all seeds together.
      mode: "auto" shows a bar on a terminal and lines elsewhere, "plain" always lines.
      start_steps: done before, where the run is resumed.
    """
    console = console or Console()
    told = _teller(total_steps, num_seeds)
    if mode == "quiet":
        yield lambda steps, returns: None
    elif mode == "plain" or not console.is_terminal:
        yield _lines(total_steps, start_steps, told, console)
    else:
        columns = (
            BarColumn(bar_width=24),
            TaskProgressColumn(table_column=Column(min_width=4)),
            TimeElapsedColumn(table_column=Column(min_width=7)),
            TextColumn("{task.description}"),
        )
        with Progress(*columns, console=console) as bar:
            task = bar.add_task("compiling", total=total_steps, completed=start_steps)

            def report(steps: int, returns: np.ndarray) -> None:
                bar.update(task, completed=steps, description=told(steps, returns))

            yield report


def _teller(total_steps: int, num_seeds: int) -> Callable[..., str]:
    """What makes words of speed, of the time that is left and of the returns.

    Speed is measured from the first report on: what comes before is mostly compilation.
    """
    first: Mark | None = None

    def told(steps: int, returns: np.ndarray) -> str:
        nonlocal first
        first = first or Mark(steps, time.perf_counter())
        if steps == first.steps:
            return spread(returns)
        pace = (time.perf_counter() - first.seconds) / (steps - first.steps)
        left = clock((total_steps - steps) * pace)
        return f"{thousands(num_seeds / pace)} steps/s  {left} left  {spread(returns)}"

    return told


def _lines(
    total_steps: int, start_steps: int, told: Callable[..., str], console: Console
) -> Report:
    reached, start = NUM_LINES * start_steps // total_steps, time.perf_counter()

    def report(steps: int, returns: np.ndarray) -> None:
        nonlocal reached
        words, tenth = told(steps, returns), NUM_LINES * steps // total_steps
        if tenth > reached:
            reached, elapsed = tenth, clock(time.perf_counter() - start)
            text = f"{steps:,} of {total_steps:,} steps  {elapsed}  {words}"
            console.print(text, highlight=False, soft_wrap=True)

    return report


def spread(returns: np.ndarray) -> str:
    """The mean return over the seeds in which an episode ended, and the lowest and highest one."""
    known = returns[~np.isnan(returns)]
    if not known.size:
        return "no episode yet"
    words = f"return {short(known.mean())}"
    if len(returns) == 1:
        return words
    return f"{words}, seeds {short(known.min())} to {short(known.max())}"


def short(x: float) -> str:
    """A score with as many decimals as are of interest.

    >>> short(0.845), short(9.47), short(-1234.5)
    ('0.845', '9.5', '-1234')
    """
    places = 0 if abs(x) >= 100 else 1 if abs(x) >= 1 else 3
    return f"{x:.{places}f}"


def thousands(number: float) -> str:
    """Three digits and a unit, so that the text keeps its width.

    >>> thousands(812), thousands(45_300), thousands(2_340_000)
    ('812', '45.3k', '2.34M')
    """
    for unit, size in (("M", 1e6), ("k", 1e3)):
        if number >= size:
            scaled = number / size
            return f"{scaled:.{max(0, 3 - len(str(int(scaled))))}f}{unit}"
    return f"{number:.0f}"


def clock(seconds: float) -> str:
    """Hours, minutes and seconds.

    >>> clock(75.2), clock(3700)
    ('1:15', '1:01:40')
    """
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
