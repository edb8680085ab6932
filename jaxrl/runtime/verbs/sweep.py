"""Train many settings and seeds as lanes of one compiled function, and find the best settings."""

import argparse
import functools
import math
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from jaxrl.runtime.verbs import Parser, algorithm_options, allowed, record_values

FIELDS = (
    "env",
    "start",
    "reward",
    "dataset",
    "expert",
    "total_steps",
    "seed",
    "seeds",
    "evaluate_every",
)


def parser(words: Sequence[str]) -> argparse.ArgumentParser:
    """The options, with the fields of the algorithm that the words name."""
    made = Parser(prog="jaxrl sweep", description=__doc__)
    algorithm_options(made, words, FIELDS)
    made.add_argument("--grid", metavar="NAME=A,B", nargs="+", default=[], action="extend",
                      help="every combination of these values")  # fmt: skip
    made.add_argument("--random", metavar="N", help="N settings drawn from --range")
    made.add_argument("--range", metavar="NAME=LOW,HIGH", nargs="+", default=[], action="extend",
                      help="ranges for --random, logarithmic where positive")  # fmt: skip
    made.add_argument("--out", metavar="DIR", help="a new folder for the results [under sweeps/]")
    made.add_argument("--quiet", action="store_true", help="show no progress")
    made.add_argument("--no-cache", action="store_true", help="compile without a cache on disk")
    return made


def prepare(options: argparse.Namespace) -> Callable[[], int]:
    """Understand and check all of a sweep."""
    from jaxrl.runtime import devices, folder, pretrained
    from jaxrl.runtime.others import check, start
    from jaxrl.runtime.record import learns_by_acting, record, write_yaml
    from jaxrl.runtime.sides import ENVIRONMENTS, side

    values = record_values(options, ("grid", "random", "range"))
    base = allowed(record(values, pretrained.origin(values.get("start"))), options)
    acts = side(base.config) is not ENVIRONMENTS or learns_by_acting(base.config)
    if base.dataset is not None and not acts:
        raise ValueError(f"sweep learns by acting, not from the data set {base.dataset!r}")
    devices.offer(devices.num_cores())
    base.training()
    check(base)
    begun = start(base)
    configs = _configs(base, options)
    name = folder.fresh_name(f"sweep-{base.algorithm}", base.env, write_yaml(base))
    path = Path(f"sweeps/{name}" if options.out is None else options.out)
    folder.check_free(path)
    return functools.partial(_sweep, base, begun, configs, path, options)


def _configs(base: Any, options: argparse.Namespace) -> Any:
    """All settings, as one configuration whose varied leaves have an axis."""
    import jax

    from jaxrl.config import grid, random_search
    from jaxrl.runtime.record import count

    if bool(options.grid) == (options.random is not None) or (options.grid and options.range):
        raise ValueError("sweep needs either --grid NAME=A,B or --random N with --range")
    if options.grid:
        return grid(base.config, **_numbers("grid", options.grid))
    num = count("random", options.random, 1)
    ranges = _numbers("range", options.range)
    for name, bounds in ranges.items():
        if len(bounds) != 2 or not all(map(math.isfinite, bounds)):
            raise ValueError(f"range {name} must be LOW,HIGH, not {bounds}")
    key = jax.random.key(base.seed)
    return random_search(key, base.config, num, **{n: (a, b) for n, (a, b) in ranges.items()})


def _numbers(option: str, texts: Sequence[str]) -> dict[str, list[float]]:
    """The options of the form name=number,number."""
    found = {}
    for text in texts:
        name, _, values = text.partition("=")
        name = name.replace("-", "_")
        if name in found:
            raise ValueError(f"{option} must name {name} once, not again as {text!r}")
        try:
            found[name] = [float(value) for value in values.split(",")]
        except ValueError:
            raise ValueError(f"{option} must be of the form name=1,2, not {text!r}") from None
        if len(set(found[name])) < len(found[name]):
            raise ValueError(f"{option} must have values that differ, not {text!r}")
    return found


def _sweep(base: Any, begun: Any, configs: Any, path: Path, options: argparse.Namespace) -> int:
    """Train everything, and write what came of it."""
    import numpy as np

    from jaxrl.runtime import folder, versions
    from jaxrl.runtime.host_rewards import RewardError

    if not options.no_cache:
        versions.use_cache()
    try:
        table = _swept(base, begun, configs, options.quiet)
    except RewardError as error:
        print(f"jaxrl: {error}", file=sys.stderr)
        return 1
    if np.isfinite(table.summary()["iqm"]).any():
        return _told(base, table, path)
    folder.create(path, {})
    table.to_csv(path / "sweep.csv")
    print(f"{table}\nno setting has a score: no episode ended\nfiles: sweep.csv in {path}")
    return 0


def _told(base: Any, table: Any, path: Path) -> int:
    """Write the table, the best settings, and how the score depends on them."""
    import numpy as np

    from jaxrl.runtime import finish, folder, plots
    from jaxrl.runtime.record import write_yaml
    from jaxrl.runtime.statistics import decimals

    summary = table.summary()
    best = int(np.nanargmax(summary["iqm"]))
    changes = {name: folder.number(summary[name][best]) for name in table.varied}
    record = base._replace(config=base.config.__class__(**{**vars(base.config), **changes}))
    folder.create(path, {"best.yaml": write_yaml(record)})
    table.to_csv(path / "sweep.csv")
    plots.sensitivity(path / "sensitivity.png", table)
    print(table)
    found = ", ".join(f"{name} = {value:g}" for name, value in changes.items())
    print(f"best: {found}, score {decimals(summary['iqm'][best])[0]}")
    print(f"files: best.yaml, sensitivity.png, sweep.csv in {path}")
    print(f"next: {finish.reproduce(path / 'best.yaml', base)}")
    return 0


def _swept(base: Any, begun: Any, configs: Any, quiet: bool) -> Any:
    """Train everything, and tell how it goes."""
    from jaxrl.runtime.host_rewards import told
    from jaxrl.runtime.progress import progress
    from jaxrl.runtime.sweep import stacked, sweep

    lanes = stacked(configs)[1] * base.seeds
    total = base.training().total_steps
    print(f"{base.algorithm} on {base.env}: {lanes} runs of {total:,} steps")
    with told(), progress(total, lanes, "quiet" if quiet else "auto") as report:
        return sweep(
            configs,
            base.lessons(),
            num_seeds=base.seeds,
            seed=base.seed,
            total_steps=base.total_steps,
            evaluate_every=base.evaluate_every,
            start=begun,
            report=report,
            **base.options(),
        )
