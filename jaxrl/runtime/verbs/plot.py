"""Draw learning curves with intervals, or bars of final scores, of one or more runs."""

import argparse
from collections.abc import Callable

from jaxrl.runtime.verbs import Parser


def parser() -> argparse.ArgumentParser:
    """The options."""
    made = Parser(prog="jaxrl plot", description=__doc__)
    made.add_argument("runs", metavar="RUN", nargs="+", help="folders of runs")
    made.add_argument("--out", metavar="FILE", default="curves.png",
                      help=".png or .svg, replaced if it is there [curves.png]")  # fmt: skip
    made.add_argument("--metric", metavar="NAME", default="episode_return",
                      help="what to draw, such as eval_return [episode_return]")  # fmt: skip
    made.add_argument("--x", choices=("steps", "seconds"), default="steps",
                      help="what to draw it against [steps]")  # fmt: skip
    made.add_argument("--smooth", metavar="N", default="1",
                      help="windows of the moving mean [1]")  # fmt: skip
    made.add_argument("--bars", action="store_true", help="final scores in place of curves")
    return made


def prepare(options: argparse.Namespace) -> Callable[[], int]:
    """Load the runs, and see that they have what is to be drawn."""
    from jaxrl.runtime import compare
    from jaxrl.runtime.load import load
    from jaxrl.runtime.outputs import output
    from jaxrl.runtime.record import count

    out, width = output(options.out, (".png", ".svg")), count("smooth", options.smooth, 1)
    if options.bars and (options.metric, options.x, width) != ("episode_return", "steps", 1):
        raise ValueError("bars are of final scores: leave out --metric, --x and --smooth")
    runs = [load(run) for run in options.runs]
    for run in runs:
        if options.bars:
            compare.scores(run)
        else:
            compare.curve(run, options.metric)

    def draw() -> int:
        from jaxrl.runtime import plots

        if options.bars:
            plots.bars(out, runs)
        else:
            plots.curves(out, runs, options.metric, options.x, width)
        print(f"drawn into {out}")
        return 0

    return draw
