"""Trackers: where else the metrics of a run go, each a tuple of three functions.

A tracker that fails is told about once and left out from then on; training goes on. A run that
is resumed goes back to its last checkpoint: what was logged since then is not logged twice.
"""

import csv
import importlib.util
import io
import json
import secrets
import shutil
import sys
from collections.abc import Callable
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any, NamedTuple

from jaxrl.runtime.atomic import write

Row = dict[str, Any]
Settings = dict[str, Any]

PROJECT = "jaxrl"
WHERE = ("seed", "update", "steps")  # of a row; the rest are its metrics


class Tracker(NamedTuple):
    """Something that is told about a run; rows are those of metrics.jsonl."""

    start: Callable[[Settings, int], None]  # settings of the run, steps of each seed so far: 0,
    # or those of the checkpoint from which it goes on
    log: Callable[[list[Row]], None]  # the rows of a window, one for each seed
    close: Callable[[], None]


class Kind(NamedTuple):
    """A way to track runs: the package that it needs, if any, and how one is made."""

    package: str | None
    make: Callable[[Path], Tracker]  # folder of the run


def chosen(names: str) -> tuple[str, ...]:
    """The trackers that a text like "csv,wandb" names, each of which can be had."""
    wanted = tuple(dict.fromkeys(name for name in names.split(",") if name))
    for name in wanted:
        if name not in KINDS:
            raise ValueError(f"log must be of {', '.join(KINDS)}, divided by commas, not {name!r}")
        package = KINDS[name].package
        if package and importlib.util.find_spec(package) is None:
            raise ValueError(f"log {name!r} needs another package: pip install 'jaxrl[{name}]'")
    return wanted


def trackers(names: tuple[str, ...], folder: Path) -> Tracker:
    """The trackers of these names as one, which never raises."""
    each = [guarded(name, KINDS[name].make(folder)) for name in names]

    def start(settings: Settings, steps: int) -> None:
        for tracker in each:
            tracker.start(settings, steps)

    def log(rows: list[Row]) -> None:
        for tracker in each:
            tracker.log(rows)

    def close() -> None:
        for tracker in each:
            tracker.close()

    return Tracker(start, log, close)


def guarded(name: str, tracker: Tracker) -> Tracker:
    """The tracker, whose first failure is told on stderr and is its last deed."""
    broken = False

    def safe(function: Callable[..., None]) -> Callable[..., None]:
        def call(*arguments: Any) -> None:
            nonlocal broken
            if broken:
                return
            try:
                function(*arguments)
            except (Exception, SystemExit) as error:
                broken = True
                reason = " ".join(str(error).split()) or type(error).__name__
                print(f"jaxrl: log {name!r} failed and is left out: {reason}", file=sys.stderr)

        return call

    return Tracker(*map(safe, tracker))


def once(path: Path, make: Callable[[str], Tracker]) -> Tracker:
    """A tracker that sees each row once, however often its run is resumed.

    A file keeps the name that the run has there, and how far it got. It is written ahead of the
    rows: these may get lost when the machine stops, and are never doubled.

    Args:
      make: the tracker of a name, which no other run has.
    """
    tracker, name, reached = None, "", 0

    def start(settings: Settings, steps: int) -> None:
        nonlocal tracker, name, reached
        if steps and path.exists():
            kept = json.loads(path.read_text("utf-8"))
            name, reached = str(kept["name"]), int(kept["steps"])
        else:
            name, reached = f"{path.parent.absolute().name}-{secrets.token_hex(3)}", 0
        tracker = make(name)
        tracker.start(settings, steps)

    def log(rows: list[Row]) -> None:
        nonlocal reached
        if tracker is not None and rows and rows[0]["steps"] > reached:
            reached = rows[0]["steps"]
            write(path, json.dumps({"name": name, "steps": reached}) + "\n")
            tracker.log(rows)

    def close() -> None:
        if tracker is not None:
            tracker.close()

    return Tracker(start, log, close)


def metrics(row: Row) -> dict[str, float]:
    """What was measured, where anything was."""
    return {name: x for name, x in row.items() if name not in WHERE and x is not None}


def by_seed(rows: list[Row]) -> dict[str, float]:
    """The metrics of all seeds side by side, as "episode_return/seed_0"."""
    return {f"{name}/seed_{row['seed']}": x for row in rows for name, x in metrics(row).items()}


def csv_tracker(folder: Path) -> Tracker:
    """All rows in metrics.csv; a metric that is missing leaves an empty cell."""
    path = folder / "metrics.csv"
    columns: list[str] = []

    def text(rows: list[Row], header: bool) -> str:
        file = io.StringIO(newline="")
        writer = csv.DictWriter(file, columns, lineterminator="\n")
        if header:
            writer.writeheader()
        writer.writerows(rows)
        return file.getvalue()

    def start(settings: Settings, steps: int) -> None:
        columns.clear()
        if not (steps and path.exists()):
            path.unlink(missing_ok=True)
            return
        with path.open(newline="", encoding="utf-8") as file:
            reader = csv.DictReader(file)
            columns.extend(reader.fieldnames or ())
            kept = [row for row in reader if int(row["steps"]) <= steps]
        write(path, text(kept, header=True))

    def log(rows: list[Row]) -> None:
        header = not columns
        columns.extend(rows[0] if header else ())
        with path.open("a", newline="", encoding="utf-8") as file:
            file.write(text(rows, header))

    return Tracker(start, log, close=lambda: None)


def tensorboard_tracker(folder: Path) -> Tracker:
    """Event files under tensorboard/, a run for each seed, whose curves TensorBoard overlays."""
    writers: dict[int, Any] = {}

    def start(settings: Settings, steps: int) -> None:
        if not steps:
            shutil.rmtree(folder / "tensorboard", ignore_errors=True)

    def log(rows: list[Row]) -> None:
        import tensorboardX

        for row in rows:
            if row["seed"] not in writers:
                where = folder / "tensorboard" / f"seed_{row['seed']}"
                suffix = f".{secrets.token_hex(3)}"  # two files of one second have one name
                writers[row["seed"]] = tensorboardX.SummaryWriter(
                    str(where), filename_suffix=suffix
                )
            writer = writers[row["seed"]]
            for name, x in metrics(row).items():
                writer.add_scalar(name, x, row["steps"])
            writer.flush()

    def close() -> None:
        for writer in writers.values():
            writer.close()

    return once(folder / ".tensorboard.json", lambda name: Tracker(start, log, close))


def wandb_tracker(folder: Path) -> Tracker:
    """A run of Weights & Biases; its own variables, as WANDB_MODE=offline, are obeyed."""
    run: Any = None

    def made(name: str) -> Tracker:
        def start(settings: Settings, steps: int) -> None:
            nonlocal run
            import wandb

            own = wandb.Settings(console="off")  # the terminal is ours
            options = {"config": settings, "dir": str(folder), "settings": own}
            resume = "allow" if steps else None
            run = wandb.init(project=PROJECT, id=name, name=name, resume=resume, **options)

        def log(rows: list[Row]) -> None:
            run.log(by_seed(rows), step=rows[0]["steps"])

        return Tracker(start, log, close=lambda: run.finish())

    return once(folder / ".wandb.json", made)


def trackio_tracker(folder: Path) -> Tracker:
    """A run of trackio; its own variables, as TRACKIO_DIR, are obeyed."""
    run: Any = None

    def made(name: str) -> Tracker:
        def start(settings: Settings, steps: int) -> None:
            nonlocal run
            trackio = importlib.import_module("trackio")
            resume = "allow" if steps else "never"
            with redirect_stdout(sys.stderr):
                run = trackio.init(PROJECT, name, config=settings, resume=resume, embed=False)

        def log(rows: list[Row]) -> None:
            run.log(by_seed(rows), step=rows[0]["steps"])

        def close() -> None:
            with redirect_stdout(sys.stderr):  # not the run's own: it would end again at exit
                importlib.import_module("trackio").finish()

        return Tracker(start, log, close)

    return once(folder / ".trackio.json", made)


KINDS: dict[str, Kind] = {
    "csv": Kind(None, csv_tracker),
    "tensorboard": Kind("tensorboardX", tensorboard_tracker),
    "wandb": Kind("wandb", wandb_tracker),
    "trackio": Kind("trackio", trackio_tracker),
}
"""Each tracker by its name, which is that of the extra that brings its package, too."""
