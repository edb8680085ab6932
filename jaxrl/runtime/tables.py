"""Tables on the terminal: wrapped to its width there, a line for each row in a pipe."""

from collections.abc import Iterable, Sequence

from rich.console import Console
from rich.table import Table

ENDLESS = 10_000
"""Columns of what is no terminal, where nothing is to be wrapped."""


def show(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print rows of texts under their titles; the first column stays in one piece."""
    console = Console(highlight=False, markup=False)
    if not console.is_terminal:
        console.width = ENDLESS
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for index, column in enumerate(columns):
        table.add_column(column, no_wrap=index == 0)
    for row in rows:
        table.add_row(*row)
    with console.capture() as text:  # by itself it ends the program where the pipe is closed
        console.print(table)
    print(text.get(), end="", flush=True)
