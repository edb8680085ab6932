"""Kill training again and again, resume it, and compare it with a run that nothing disturbed.

python -m benchmarks.reliability [--kills N] [--only NAME ...] [--write]: real processes die by
SIGKILL in the middle of an update, of a checkpoint, or of a write to metrics.jsonl, each at a
random place after the first checkpoint; one in four dies a second time after it was resumed. What
is compared is every array of the last checkpoint and every byte of metrics.jsonl. --write puts
the table into README.md.
"""

import argparse
import itertools
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.readme import put, table

PLACES = ("update", "checkpoint", "metrics")
WORDS = {
    "ppo": "ppo --env CartPole-v1 --total-steps 40000",
    "ppo-gru": "ppo --env CartPole-v1 --memory gru --memory-size 8 --num-envs 4 --num-steps 16 "
    "--num-minibatches 2 --total-steps 10000",
    "ppo-2-seeds": "ppo --env Pendulum-v1 --seeds 2 --total-steps 20000 --num-epochs 2 "
    "--normalise-obs --evaluate-every 5000",
    "dqn": "dqn --env CartPole-v1 --total-steps 20000 --capacity 10000",
}
"""What is trained: without and with memory, one seed and more, on-policy and off-policy."""


class Kill(NamedTuple):
    """Where a process dies: the how-manyth time it comes to a place, and how far into it."""

    place: str
    count: int
    share: float


class Trial(NamedTuple):
    """Deaths of one run, and whether anything differed in the end."""

    name: str
    kills: tuple[Kill, ...]
    differs: str


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(60)  # the signal is on its way


def arm(kill: Kill) -> None:
    """Make this process, which is about to train, die there."""
    {"update": _in_update, "checkpoint": _in_checkpoint, "metrics": _in_metrics}[kill.place](kill)


def _in_update(kill: Kill) -> None:
    from jaxrl.runtime import checkpoint, drive

    advanced, calls, seconds = drive._advanced, itertools.count(1), [0.01]

    def dying(record: Any, made: Any, position: Any, num: int) -> Any:
        there = checkpoint.newest_first(FOLDER / "checkpoints")
        if there and next(calls) >= kill.count:
            threading.Timer(kill.share * seconds[0], die).start()
        result = advanced(record, made, position, num)
        seconds[0] = result[1]
        return result

    drive._advanced = dying


def _in_checkpoint(kill: Kill) -> None:
    """Within the bytes, between the last byte and the new name, or just after that."""
    from jaxrl.runtime import atomic, tensors

    whole, replace, calls = atomic.whole, os.replace, itertools.count(1)

    @contextmanager
    def dying(path: Path) -> Iterator[Any]:
        with whole(path) as file:
            last = path.parent.name == "checkpoints" and next(calls) == kill.count
            yield Dying(file, kill.share) if last and kill.share < 1 else file
            if last and kill.share >= 1:
                os.replace = then_die

    def then_die(old: Any, new: Any) -> None:
        if kill.share >= 1.1:
            replace(old, new)
        die()

    tensors.whole = dying


class Dying:
    """A file whose writer dies in the middle of its largest array."""

    def __init__(self, file: Any, share: float) -> None:
        self.file, self.share = file, share

    def write(self, data: Any) -> None:
        if len(data) > 512 and random.random() < 0.5:
            self.file.write(data[: int(self.share * len(data))])
            self.file.flush()
            die()
        self.file.write(data)


def _in_metrics(kill: Kill) -> None:
    write, calls = os.write, itertools.count(1)

    def dying(handle: int, data: bytes) -> int:
        if bytes(data[:7]) == b'{"seed"' and next(calls) == kill.count:
            write(handle, data[: int(kill.share * len(data))])
            die()
        return write(handle, data)

    os.write = dying


FOLDER = Path()


def child(words: list[str]) -> int:
    """The process that dies: place, count, share, then the words of the command line."""
    global FOLDER
    place, count, share, folder, *rest = words
    FOLDER = Path(folder)
    arm(Kill(place, int(count), float(share)))
    from jaxrl.runtime.cli import main

    return main(rest)


def train(words: list[str], kill: Kill | None, folder: Path) -> int:
    """Train in a process of its own, which dies if asked to; its exit status."""
    command = [sys.executable, "-m", "jaxrl", *words, "--quiet"]
    if kill is not None:
        chosen = [kill.place, str(kill.count), str(kill.share), str(folder)]
        command = [sys.executable, "-m", "benchmarks.reliability", "--child", *chosen, *command[3:]]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode not in (0, -signal.SIGKILL):
        raise SystemExit(f"{' '.join(command)} failed:\n{done.stderr}")
    return done.returncode


def trial(name: str, kills: tuple[Kill, ...], home: Path, reference: Path) -> Trial:
    """Train, dying as told, to the end, and compare."""
    folder = Path(tempfile.mkdtemp(dir=home)) / "run"
    words = ["train", *WORDS[name].split(), "--out", str(folder)]
    died = []
    for kill in (*kills, None):
        if train(words, kill, folder):
            assert kill is not None
            died.append(kill)
        if not list((folder / "checkpoints").glob("*.safetensors")):
            raise SystemExit(f"{name} died before its first checkpoint: {kill}")
        words = ["train", "--resume", str(folder)]
    return Trial(name, tuple(died), "; ".join(differences(reference, folder)))


def differences(one: Path, other: Path) -> Iterator[str]:
    """What of the ends of two runs is not the same, bit for bit."""
    from jaxrl.runtime import checkpoint

    if (one / "metrics.jsonl").read_bytes() != (other / "metrics.jsonl").read_bytes():
        yield "metrics.jsonl"
    ours, theirs = (next(iter(checkpoint.readable(x / "checkpoints"))) for x in (one, other))
    if isinstance(ours, ValueError) or isinstance(theirs, ValueError):
        yield "unreadable"
        return
    if ours.arrays.keys() != theirs.arrays.keys():
        yield "names"
    for key in ours.arrays:
        if ours.arrays[key].tobytes() != theirs.arrays[key].tobytes():
            yield key


def drawn(luck: random.Random, place: str, num_windows: int) -> Kill:
    """A random place after the first checkpoint, of which there are ten, or one a window."""
    last = max(2, min(9, num_windows - 1))
    counts = {
        "update": (1, max(1, num_windows // 2)),
        "checkpoint": (2, last),
        "metrics": (num_windows // 10 + 2, num_windows - 1),
    }
    share = luck.uniform(0, 1.2) if place == "checkpoint" else luck.random()
    return Kill(place, luck.randint(*counts[place]), share)


def trials(names: list[str], num_kills: int, home: Path, seed: int = 0) -> list[Trial]:
    """About as many deaths as asked for, in turn at every place of every algorithm."""
    luck, done, dead = random.Random(seed), [], 0
    references: dict[str, Path] = {}
    for index in itertools.count():
        if dead >= num_kills:
            return done
        name, place = names[index % len(names)], PLACES[index // len(names) % len(PLACES)]
        if name not in references:
            references[name] = home / name
            train(["train", *WORDS[name].split(), "--out", str(home / name)], None, home / name)
        num_windows = (references[name] / "clock.jsonl").read_text().count("\n")
        kills = [drawn(luck, place, num_windows)]
        if index % 4 == 3:  # and again, soon after it was resumed
            kills.append(drawn(luck, luck.choice(PLACES), num_windows)._replace(count=1))
        done.append(trial(name, tuple(kills), home, references[name]))
        dead += len(done[-1].kills)
        print(done[-1], flush=True)
    raise AssertionError


def lines(done: list[Trial]) -> Iterator[list[str]]:
    """The rows of the table: how often each died where, and how many runs differed."""
    yield ["trained", *(f"killed in {place}" for place in PLACES), "again after a resume", "differ"]
    for name in dict.fromkeys(trial.name for trial in done):
        here = [trial for trial in done if trial.name == name]
        kills = [kill.place for trial in here for kill in trial.kills]
        again = sum(len(trial.kills) - 1 for trial in here)
        counts = [*(kills.count(place) for place in PLACES), again]
        differ = sum(bool(trial.differs) for trial in here)
        yield [f"`{WORDS[name].split(' --total')[0]}`", *map(str, counts), str(differ)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=30)
    parser.add_argument("--only", nargs="*", choices=WORDS, default=list(WORDS))
    parser.add_argument("--write", action="store_true", help="put the table into README.md")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as home:
        done = trials(options.only, options.kills, Path(home))
    text = table(lines(done))
    print(text)
    if options.write:
        put("reliability", f"`python -m benchmarks.reliability --write`\n\n{text}")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        raise SystemExit(child(sys.argv[2:]))
    main()
