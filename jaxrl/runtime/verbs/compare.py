"""Put runs in one environment side by side: scores with intervals, who wins, how fast."""

import argparse
from collections.abc import Callable

from jaxrl.runtime.verbs import Parser


def parser() -> argparse.ArgumentParser:
    """The options."""
    made = Parser(prog="jaxrl compare", description=__doc__)
    made.add_argument("runs", metavar="RUN", nargs="+",
                      help="folders of runs, all held against the first one")  # fmt: skip
    made.add_argument("--threshold", metavar="RETURN",
                      help="what is learnt [90 %% of the way to the best]")  # fmt: skip
    made.add_argument("--csv", metavar="FILE", help="write the numbers too")
    return made


def prepare(options: argparse.Namespace) -> Callable[[], int]:
    """Load the runs and compare them."""
    from jaxrl.runtime import compare
    from jaxrl.runtime.load import load
    from jaxrl.runtime.outputs import output

    path = None if options.csv is None else output(options.csv, (".csv",), "csv")
    threshold = None if options.threshold is None else _number(options.threshold)
    comparison = compare.compare([load(run) for run in options.runs], threshold)

    def show() -> int:
        from jaxrl.runtime import tables

        titles, *rows = compare.lines(comparison)
        tables.show(titles, rows)
        print(
            f"steps of each seed, and seconds of training, until the IQM of returns while training "
            f"is {comparison.threshold:.4g}, in {comparison.rows[0].env}"
        )
        if path is not None:
            compare.write_csv(comparison, path)
            print(f"written into {path}")
        return 0

    return show


def _number(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = float("nan")
    if number - number != 0:  # not finite
        raise ValueError(f"threshold must be a finite number, not {text!r}")
    return number
