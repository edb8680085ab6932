"""Trackers: each is told every row once, resumed or not, and none can stop a run."""

import csv
import importlib
import json
import sqlite3
import struct
import sys
import time

import pytest

from jaxrl.runtime import trackers
from jaxrl.runtime.trackers import KINDS, Kind, Tracker
from tests.sentences import hold_sentence

SETTINGS = {"algorithm": "ppo", "lr": 1e-3, "hidden_sizes": [64, 64]}


def window(steps: int) -> list[dict]:
    return [
        {
            "seed": seed,
            "update": steps // 10,
            "steps": steps,
            "episode_return": None if steps == 10 else steps + seed / 2,
            "value_loss": 0.25,
        }
        for seed in (3, 4)
    ]


def played(names, folder, *, ends=range(10, 60, 10), start=0) -> None:
    """A run from `start` to the last of the windows."""
    tracker = trackers.trackers(trackers.chosen(names), folder)
    tracker.start(SETTINGS, start)
    for steps in ends:
        tracker.log(window(steps))
    tracker.close()


def stopped_and_resumed(names, folder) -> None:
    """Killed after window 40, when the last checkpoint was that of window 20; then once more."""
    played(names, folder, ends=(10, 20, 30, 40))
    played(names, folder, ends=(30,), start=20)
    played(names, folder, ends=(30, 40, 50), start=20)


EXPECTED = [row for steps in range(10, 60, 10) for row in window(steps)]


def expected_scalars() -> dict[tuple[int, str], dict[int, float]]:
    found: dict[tuple[int, str], dict[int, float]] = {}
    for row in EXPECTED:
        for name in ("episode_return", "value_loss"):
            if row[name] is not None:
                found.setdefault((row["seed"], name), {})[row["steps"]] = row[name]
    return found


@pytest.mark.parametrize("play", [played, stopped_and_resumed])
def test_csv_has_each_row_once(tmp_path, play) -> None:
    (tmp_path / "metrics.csv").write_text("what,was\n1,2\n")
    play("csv", tmp_path)
    with open(tmp_path / "metrics.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert rows == [{k: "" if x is None else str(x) for k, x in row.items()} for row in EXPECTED]


@pytest.mark.parametrize("play", [played, stopped_and_resumed])
def test_tensorboard_has_each_number_once(tmp_path, play) -> None:
    pytest.importorskip("tensorboardX")
    played("tensorboard", tmp_path)  # what a run before left is gone
    play("tensorboard", tmp_path)
    event_type = importlib.import_module("tensorboardX.proto.event_pb2").Event
    found: dict[tuple[int, str], dict[int, float]] = {}
    for path in (tmp_path / "tensorboard").rglob("*tfevents*"):
        data, seed = path.read_bytes(), int(path.parent.name.removeprefix("seed_"))
        while data:
            length = struct.unpack("<Q", data[:8])[0]
            event = event_type.FromString(data[12 : 12 + length])
            data = data[16 + length :]
            for value in event.summary.value:
                points = found.setdefault((seed, value.tag), {})
                assert event.step not in points
                points[event.step] = value.simple_value
    assert found == expected_scalars()


def side_by_side() -> dict[int, dict[str, float]]:
    found: dict[int, dict[str, float]] = {}
    for (seed, name), points in expected_scalars().items():
        for steps, x in points.items():
            found.setdefault(steps, {})[f"{name}/seed_{seed}"] = x
    return found


@pytest.mark.parametrize("play", [played, stopped_and_resumed])
def test_wandb_has_each_number_once(tmp_path, play, monkeypatch, capsys) -> None:
    pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_MODE", "offline")
    play("wandb", tmp_path)
    assert "failed" not in capsys.readouterr().err
    files = sorted(tmp_path.glob("wandb/offline-run-*/*.wandb"))
    assert len({path.name for path in files}) == 1  # however often resumed, one run
    found: dict[int, dict[str, float]] = {}
    for path in files:
        for step, values in history(path):
            assert step not in found
            found[step] = values
    assert found == side_by_side()


def history(path):
    """The steps and metrics in one of wandb's offline files."""
    record_type = importlib.import_module("wandb.proto.wandb_internal_pb2").Record
    deadline, records, kinds = time.monotonic() + 30, [], []
    while "exit" not in kinds and time.monotonic() < deadline:  # another process writes it
        records = [record_type.FromString(data) for data in logged(path.read_bytes())]
        kinds = [record.WhichOneof("record_type") for record in records]
    for record, kind in zip(records, kinds, strict=True):
        if kind == "history":
            items = {item.key or "/".join(item.nested_key): item for item in record.history.item}
            values = {name: json.loads(item.value_json) for name, item in items.items()}
            step = values.pop("_step", record.history.step.num)
            yield step, {name: x for name, x in values.items() if name[0] != "_"}


def logged(data: bytes, head: int = 7, block: int = 2**15):
    """The records of a log in LevelDB's format: checksum, length and kind ahead of each part."""
    where, record = head, b""
    while where + head <= len(data):
        if block - where % block < head:
            where += block - where % block
            continue
        _, length, kind = struct.unpack("<IHB", data[where : where + head])
        if where + head + length > len(data):
            return  # it is being written
        record += data[where + head : where + head + length]
        where += head + length
        if kind in (1, 4):  # whole, or the last part
            yield record
            record = b""


@pytest.mark.parametrize("play", [played, stopped_and_resumed])
def test_trackio_has_each_number_once(tmp_path, play, monkeypatch, capfd) -> None:
    monkeypatch.setenv("TRACKIO_DIR", str(tmp_path / "kept"))
    pytest.importorskip("trackio")
    for name in [name for name in sys.modules if name.split(".")[0] == "trackio"]:
        monkeypatch.delitem(sys.modules, name)  # it reads its variables when it is imported
    play("trackio", tmp_path)
    out, err = capfd.readouterr()
    assert not out and "failed" not in err
    with sqlite3.connect(tmp_path / "kept" / "jaxrl.db") as base:
        rows = base.execute("select run_name, step, metrics from metrics").fetchall()
    base.close()
    assert len({name for name, *_ in rows}) == 1
    assert len(rows) == 5
    assert {step: json.loads(text) for _, step, text in rows} == side_by_side()


def failing(at: str) -> tuple[Tracker, list[str]]:
    seen: list[str] = []

    def function(name: str):
        def call(*_: object) -> None:
            seen.append(name)
            if name == at:
                raise RuntimeError("no\nnetwork")

        return call

    return Tracker(*map(function, Tracker._fields)), seen


@pytest.mark.parametrize("at", Tracker._fields)
def test_a_failure_is_told_once_and_ends_the_tracker(tmp_path, monkeypatch, capsys, at) -> None:
    broken, seen = failing(at)
    monkeypatch.setitem(KINDS, "broken", Kind(None, lambda folder: broken))
    played("broken,csv", tmp_path)
    line = "jaxrl: log 'broken' failed and is left out: no network\n"
    assert capsys.readouterr() == ("", line)
    assert seen == ["start", *["log"] * 5, "close"][: {"start": 1, "log": 2, "close": 7}[at]]
    assert len((tmp_path / "metrics.csv").read_text().splitlines()) == 11


def test_an_unwritable_folder_stops_no_run(tmp_path, capsys) -> None:
    (tmp_path / "metrics.csv").mkdir()
    played("csv", tmp_path)
    assert capsys.readouterr().err.startswith("jaxrl: log 'csv' failed and is left out: ")


def test_trackers_are_chosen_by_name(monkeypatch) -> None:
    assert trackers.chosen("") == () and trackers.chosen("csv,csv") == ("csv",)
    monkeypatch.setattr(trackers.importlib.util, "find_spec", lambda name: None)
    for names, words in (
        ("csv,tensorbord", "csv, tensorboard, wandb, trackio, divided by commas, not 'tensorbord'"),
        ("csv,tensorboard", "pip install 'jaxrl[tensorboard]'"),
    ):
        with pytest.raises(ValueError) as error:
            trackers.chosen(names)
        hold_sentence(str(error.value), words)
