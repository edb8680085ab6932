"""Runs that stop and go on: the same bits, no line lost or doubled, damage told and passed over."""

import json
import os
import signal
from pathlib import Path

import jax
import numpy as np
import pytest

from jaxrl.runtime import checkpoint, drive, folder
from jaxrl.runtime.drive import Events
from jaxrl.runtime.programs import programs
from jaxrl.train import make_train
from tests.runtime.runs import QUIET, small, trained
from tests.sentences import hold_sentence

MADE = small(seeds=2, evaluate_every=250)


@pytest.fixture(scope="module")
def functions():
    return programs(MADE)


@pytest.fixture(scope="module")
def whole(functions, tmp_path_factory):
    """A run that nothing disturbed."""
    return trained(MADE, tmp_path_factory.mktemp("whole") / "run", functions)


def copy(run, path: Path) -> Path:
    os.system(f"cp -r {run.folder} {path}")
    return path


def content(path: Path) -> tuple[bytes, dict[str, np.ndarray]]:
    """What must not depend on where a run stopped."""
    last = next(checkpoint.readable(path / folder.CHECKPOINTS))
    assert not isinstance(last, ValueError)
    return (path / folder.METRICS).read_bytes(), last.arrays


def hold_same(path: Path, whole) -> None:
    (lines, arrays), (expected_lines, expected) = content(path), content(whole.folder)
    assert lines == expected_lines
    assert arrays.keys() == expected.keys()
    for name, x in arrays.items():
        assert x.tobytes() == expected[name].tobytes(), name


def interrupted(functions, path: Path, chunks: int) -> int:
    """Train in a new folder until so many chunks are done; how many updates that were."""
    folder.create(path, {})
    seen: list[int] = []
    events = Events(lambda steps, returns: seen.append(steps), QUIET.rows)
    position = drive.begin(MADE, functions)
    files = drive.journal(path)
    stop = lambda: 15 * (len(seen) >= chunks)  # noqa: E731
    return drive.drive(MADE, functions, position, files, events, stop).update


def resume(functions, path: Path) -> list[str]:
    files = drive.journal(path)
    position, passed = drive.resumed(MADE, functions, files)
    drive.drive(MADE, functions, position, files, QUIET)
    return passed


@pytest.mark.parametrize("chunks", [1, 2, 3, 5])
def test_a_run_that_stopped_anywhere_goes_on_to_the_same_end(
    functions, whole, tmp_path, chunks
) -> None:
    assert 0 < interrupted(functions, tmp_path / "run", chunks) < 15
    assert resume(functions, tmp_path / "run") == []
    hold_same(tmp_path / "run", whole)


def test_the_seeds_are_those_of_make_train(whole) -> None:
    training = make_train(MADE.config, MADE.env, MADE.total_steps, MADE.evaluate_every)
    for index in range(2):
        _, metrics = jax.jit(training)(jax.random.key(index))
        for name in ("episode_return", "policy_loss", "eval_return"):
            ours = whole.metrics[name][index]
            np.testing.assert_allclose(ours, metrics[name].mean, rtol=1e-3, atol=1e-4)


def test_rows_are_windows_times_seeds_and_strict_json(whole) -> None:
    text = (whole.folder / folder.METRICS).read_text()
    rows = [json.loads(line, parse_constant=pytest.fail) for line in text.splitlines()]
    assert [(row["seed"], row["steps"]) for row in rows] == [
        (seed, steps) for steps in (192, 384, 576, 768, 960) for seed in (0, 1)
    ]
    clock = folder.read_lines(whole.folder / folder.CLOCK)
    seconds = [row["seconds"] for row in clock]
    assert len(clock) == 5 and seconds == sorted(seconds) and seconds[0] > 0


def test_what_came_after_the_checkpoint_is_cut_off_and_done_again(
    functions, whole, tmp_path
) -> None:
    path = copy(whole, tmp_path / "run")
    checkpoint.newest_first(path / folder.CHECKPOINTS)[0].unlink()
    with (path / folder.METRICS).open("a") as file:
        file.write('{"seed": 0, "upd')  # as a death within a write leaves it
    assert resume(functions, path) == []
    hold_same(path, whole)


@pytest.mark.parametrize("place", [0, 5, 100, 5000, -1])
def test_a_damaged_checkpoint_is_named_and_an_older_one_used(
    functions, whole, tmp_path, place
) -> None:
    path = copy(whole, tmp_path / "run")
    newest = checkpoint.newest_first(path / folder.CHECKPOINTS)[0]
    data = bytearray(newest.read_bytes())
    data[place] ^= 1
    newest.write_bytes(data)
    (passed,) = resume(functions, path)
    hold_sentence(passed, newest.name, "damaged")
    hold_same(path, whole)


def test_damaged_metrics_are_named_and_never_gone_on_with(functions, whole, tmp_path) -> None:
    path = copy(whole, tmp_path / "run")
    data = bytearray((path / folder.METRICS).read_bytes())
    data[40] ^= 1
    (path / folder.METRICS).write_bytes(data)
    with pytest.raises(ValueError, match=r"metrics\.jsonl is damaged before"):
        resume(functions, path)
    assert (path / folder.METRICS).read_bytes() == data


def test_a_run_that_died_before_its_first_checkpoint_starts_again(
    functions, whole, tmp_path
) -> None:
    path = copy(whole, tmp_path / "run")
    for old in checkpoint.newest_first(path / folder.CHECKPOINTS):
        old.unlink()
    assert resume(functions, path) == []
    hold_same(path, whole)


def test_a_checkpoint_of_another_shape_does_not_fit(whole, tmp_path) -> None:
    path = copy(whole, tmp_path / "run")
    other = small(seeds=2, evaluate_every=250, hidden_sizes=[16, 8])
    with pytest.raises(ValueError, match=r"must be float32\[2, .*not float32\[2, "):
        drive.resumed(other, programs(other), drive.journal(path))


def test_few_checkpoints_stay(whole) -> None:
    names = [path.stem for path in checkpoint.newest_first(whole.folder / folder.CHECKPOINTS)]
    assert names == ["0000000015", "0000000012"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_is_remembered_and_a_second_one_acts(number) -> None:
    before = signal.getsignal(number)
    with drive.signals() as pending:
        assert pending() == 0
        os.kill(os.getpid(), number)
        assert pending() == number and signal.getsignal(number) is signal.SIG_DFL
    assert signal.getsignal(number) is before


def test_lines_know_when_they_were_not_written_whole(tmp_path, monkeypatch) -> None:
    lines = folder.Lines(tmp_path / "a.jsonl")
    lines.append([{"x": 1}])
    write = os.write
    monkeypatch.setattr(os, "write", lambda handle, data: write(handle, data[:3]))
    with pytest.raises(OSError, match="No space left"):
        lines.append([{"x": 2}])
    assert folder.read_lines(tmp_path / "a.jsonl") == [{"x": 1}]


def test_a_line_that_is_still_being_written_is_not_read(tmp_path) -> None:
    (tmp_path / "a").write_text('{"x": 1}\n{"x": ')
    assert folder.read_lines(tmp_path / "a") == [{"x": 1}]
    (tmp_path / "a").write_text('{"x": 1}\n{"x": \n{"x": 3}\n')
    with pytest.raises(ValueError, match="damaged in line 2"):
        folder.read_lines(tmp_path / "a")
    (tmp_path / "a").write_text('{"x": 1}\n{"x": 2, "y": 3}\n')
    with pytest.raises(ValueError, match="damaged in line 1"):
        folder.read_lines(tmp_path / "a", "x", "y")
    (tmp_path / "a").write_bytes(b'{"x": "\xff"}\n')
    with pytest.raises(ValueError, match="damaged at byte 7"):
        folder.read_lines(tmp_path / "a")


@pytest.mark.parametrize("x", [0.1, 1e-8, 123456.79, -3.0, np.float32(1) / 3])
def test_numbers_are_short_and_exact(x) -> None:
    assert np.float32(folder.number(x)) == np.float32(x) and len(str(folder.number(x))) < 16
    assert folder.number(np.nan) is None and folder.number(np.inf) is None


def test_two_processes_do_not_train_one_run(whole) -> None:
    busy = pytest.raises(ValueError, match="is being trained by another process")
    with folder.locked(whole.folder), busy, folder.locked(whole.folder):
        pass
    with folder.locked(whole.folder):
        pass
