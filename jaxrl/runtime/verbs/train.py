"""Train an agent into a new run folder, or go on with a run."""

import argparse
import functools
import os
import shlex
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from jaxrl.runtime.verbs import RECORD, Parser, algorithm_options, allowed, record_values


def parser(words: Sequence[str]) -> argparse.ArgumentParser:
    """The options, with the fields of the algorithm that the words name."""
    made = Parser(prog="jaxrl train", description=__doc__)
    algorithm_options(made, words, RECORD)
    made.add_argument("--out", metavar="DIR", help="a new folder for the run [under runs/]")
    made.add_argument("--force", action="store_true", help="replace the run in --out")
    made.add_argument("--resume", metavar="DIR", help="go on with the run in this folder")
    made.add_argument("--save-dataset", metavar="FILE",
                      help="at the end write what the first seed's replay holds")  # fmt: skip
    names = "csv,tensorboard,wandb,trackio"
    made.add_argument("--log", metavar="NAMES", default="",
                      help=f"trackers besides the run's own files: {names}")  # fmt: skip
    made.add_argument("--quiet", action="store_true", help="show no progress")
    made.add_argument("--no-cache", action="store_true", help="compile without a cache on disk")
    return made


def prepare(options: argparse.Namespace) -> Callable[[], int]:
    """Understand and check all of a run."""
    from jaxrl.runtime import devices, folder, pretrained, trackers
    from jaxrl.runtime.others import check
    from jaxrl.runtime.record import record

    values = record_values(options, ("save_dataset",))
    if options.resume is not None:
        return _resumed(options, values)
    if "algorithm" not in values:
        raise ValueError("train needs the name of an algorithm first, as in jaxrl train ppo")
    origin = pretrained.origin(values.get("start"))
    made = allowed(record({"devices": _most_devices(values)} | values, origin), options)
    choose_threads(made)
    devices.demand(made.devices)
    made.training()  # raises what does not go together
    check(made)
    _check_saving(options, made)
    trackers.chosen(options.log)
    texts = _texts(made)
    name = folder.fresh_name(made.algorithm, made.env, texts[folder.CONFIG])
    path = Path(f"runs/{name}" if options.out is None else options.out)
    folder.check_free(path, options.force)
    return functools.partial(_run, made, path, options, texts)


def _resumed(options: argparse.Namespace, values: dict[str, Any]) -> Callable[[], int]:
    """Check that a run may go on, and that the options ask for nothing else than it is."""
    from jaxrl.runtime import checkpoint, devices, folder, trackers
    from jaxrl.runtime.load import load
    from jaxrl.runtime.others import check
    from jaxrl.runtime.record import record

    if options.out is not None or options.force:
        raise ValueError("resume goes on in its own folder: leave out --out and --force")
    run = load(options.resume)
    asked = record(run.record.flat() | values)
    if differences := list(run.record.differences(asked)):
        raise ValueError(
            f"resume must be asked for with the settings of {options.resume!r}: "
            f"{'; '.join(differences)}"
        )
    made = allowed(run.record, options)
    choose_threads(made)
    devices.demand(made.devices)
    made.training()  # raises what does not go together
    check(made, begins=not checkpoint.newest_first(run.folder / folder.CHECKPOINTS))
    _check_saving(options, made)
    trackers.chosen(options.log)
    return functools.partial(_run, made, run.folder, options, None)


def _check_saving(options: argparse.Namespace, made: Any) -> None:
    """Whether a data set can be written at the end, if one was asked for."""
    from jaxrl.families.off_policy import ReplayConfig
    from jaxrl.runtime.outputs import output

    if options.save_dataset is None:
        return
    output(options.save_dataset, [".safetensors"], "save_dataset")
    if made.dataset is not None or not isinstance(made.config, ReplayConfig):
        what = made.algorithm if made.dataset is None else f"the data set {made.dataset!r}"
        raise ValueError(f"save_dataset needs a run that fills a replay buffer, not {what}")


def _texts(made: Any) -> dict[str, str]:
    """The first files of a run."""
    from jaxrl.runtime import folder, pretrained, versions
    from jaxrl.runtime.record import write_yaml

    kept = {} if made.origin is None else pretrained.texts(made.origin)
    return kept | {
        folder.CONFIG: write_yaml(made),
        folder.COMMAND: shlex.join(["jaxrl", *sys.argv[1:]]) + "\n",
        folder.VERSIONS: versions.text(),
    }


def _most_devices(values: dict[str, Any]) -> int:
    """Over how many cores the seeds can be spread evenly."""
    from jaxrl.runtime.devices import num_cores
    from jaxrl.runtime.record import count

    seeds = count("seeds", values.get("seeds", 1), 1)
    return next(n for n in range(min(seeds, num_cores()), 0, -1) if seeds % n == 0)


def choose_threads(made: Any) -> None:
    """One thread for small networks, unless the user set NPROC; jax has not started yet.

    Not for recurrent ones, nor for many seeds: on a single thread XLA frees some of what those
    use only when a call returns.
    """
    from jaxrl.runtime.sides import side

    if made.seeds == 1 and side(made.config).one_thread(made.config):
        os.environ.setdefault("NPROC", "1")


def _run(made: Any, path: Path, options: argparse.Namespace, texts: dict[str, str] | None) -> int:
    """Train in a folder, new where `texts` has its first files; return the exit status."""
    from jaxrl.runtime import drive, folder, functions, versions
    from jaxrl.runtime.host_rewards import RewardError

    further = shlex.join(["jaxrl", "train", "--resume", str(path), *functions.options(made.reward)])
    if not options.no_cache:
        versions.use_cache()
    with drive.signals() as pending:
        if texts is None:
            versions.report(path)
        else:
            folder.create(path, texts)
        with folder.locked(path):
            try:
                position = _trained(made, path, options, pending)
            except RewardError as error:
                print(f"jaxrl: {error}", file=sys.stderr)
                print(f"stopped; go on with: {further}")
                return 1
            for complaint in drive.complaints(made, position):
                print(f"jaxrl: {complaint}", file=sys.stderr)
            if number := pending():
                print(f"stopped; go on with: {further}")
                return 128 + number
            if options.save_dataset is not None:
                _save(made, position, options.save_dataset)
            return _finished(made, position, path)


def _trained(made: Any, path: Path, options: argparse.Namespace, pending: Callable[[], int]) -> Any:
    """Compile, train, and tell how it goes; where the run stands then."""
    from jaxrl.runtime import drive, trackers
    from jaxrl.runtime.programs import programs
    from jaxrl.runtime.progress import progress

    functions, files = programs(made), drive.journal(path)
    if options.resume is None:
        training = functions.training
        print(f"{made.algorithm} on {made.env}: {training.total_steps:,} steps into {path}")
        position = drive.begin(made, functions)
    else:
        position, passed = drive.resumed(made, functions, files)
        for sentence in passed:
            print(f"jaxrl: {sentence}; an older checkpoint is used", file=sys.stderr)
        steps = functions.training.steps(position.update)
        print(f"{made.algorithm} on {made.env}: {path}, from step {steps:,}")
    mode = "quiet" if options.quiet else "auto"
    start = functions.training.steps(position.update)
    total = functions.training.total_steps
    tracker = trackers.trackers(trackers.chosen(options.log), path)
    tracker.start(made.flat(), start)
    with ExitStack() as last:
        last.callback(tracker.close)
        report = last.enter_context(progress(total, made.seeds, mode, start))
        events = drive.Events(report, tracker.log)
        return drive.drive(made, functions, position, files, events, pending)


def _save(made: Any, position: Any, out: str) -> None:
    """Write what the replay of the first seed holds."""
    import jax

    from jaxrl.families.off_policy import replay
    from jaxrl.runtime import datasets

    memory = jax.tree.map(lambda x: x[0], position.carried.state.buffer)
    datasets.save(out, replay(made.config), memory)
    print(f"data set: {out}")


def _finished(made: Any, position: Any, path: Path) -> int:
    """Evaluate, write what is left to write, and say where it is."""
    from jaxrl.runtime import drive, finish
    from jaxrl.runtime.programs import programs
    from jaxrl.runtime.support import support_warning

    functions = programs(made)
    run = finish.finish(made, functions, position, path)
    if warning := support_warning(run.config, run.metrics):
        print(f"jaxrl: {warning}", file=sys.stderr)
    steps = functions.training.steps(position.update) * made.seeds
    speed = steps / max(position.seconds, 1e-9)
    seeds = "" if made.seeds == 1 else f" over {made.seeds} seeds"
    print(
        f"score {finish.score(run.evaluation or {})}{seeds}, {steps:,} steps, {speed:,.0f} steps/s"
    )
    where = shlex.quote(str(path))
    print(f"files: {', '.join(sorted(p.name for p in path.iterdir()))} in {where}")
    print(f"next: {', '.join(f'jaxrl {verb} {where}' for verb in run.side.words.next)}")
    return int(bool((drive.bad_updates(position) >= 0).any()))
