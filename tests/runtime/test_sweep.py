"""Sweeps: lanes equal single runs, however they are divided; the table has what it says."""

import csv
import os
import pickle
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest

from jaxrl import sweep
from jaxrl.config import replace
from jaxrl.runtime.sweep import Sweep, lane_bytes, stacked, waves
from jaxrl.train import make_train
from tests.runtime.lanes import OPTIONS, SHAPES, SMALL, four
from tests.sentences import hold_sentence

ROOT = Path(__file__).resolve().parents[2]
COLUMNS = ["lr", "gamma", "seed", "final", "best", "eval", "refused", "curve", "eval_curve"]


@pytest.fixture(scope="module")
def tables(tmp_path_factory):
    """What `lanes` found on two devices, in one process of its own."""
    path = tmp_path_factory.mktemp("sweep") / "tables"
    environment = os.environ | {"JAX_PLATFORMS": "cpu", "NPROC": "1", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "tests.runtime.lanes", str(path)]
    subprocess.run(command, cwd=ROOT, env=environment, check=True, timeout=300)
    return pickle.loads(path.read_bytes())


@pytest.fixture(scope="module")
def lone():
    """Single runs, one after the other: learning curve and evaluations of (configuration, seed)."""

    @jax.jit
    def run(config, seed):
        metrics = make_train(config, "CartPole-v1", 48, 32)(jax.random.key(seed))[1]
        return metrics["episode_return"].mean, metrics["eval_return"].mean

    rows = [jax.tree.map(lambda x, i=i: x[i], four()) for i in range(4)]
    return [np.array(x) for x in zip(*(run(c, 5 + i) for c in rows for i in range(3)), strict=True)]


@pytest.mark.parametrize("name", SHAPES)
def test_lanes_are_the_single_runs(name, tables, lone) -> None:
    swept, _ = tables[name]
    for column, expected in zip(("curve", "eval_curve"), lone, strict=True):
        np.testing.assert_allclose(swept.columns[column], expected, rtol=1e-5)
    assert len(np.unique(lone[1], axis=0)) > 6  # the runs differ


def test_a_shared_run_that_stopped_goes_on_to_the_same_end(tables) -> None:
    found = tables["shared"]
    whole, halves = found["lines"]
    assert whole == halves and whole.count(b"\n") == 5
    jax.tree.map(np.testing.assert_array_equal, *found["params"])
    assert found["alone"] == 15


def test_all_waves_share_one_compilation(tables) -> None:
    assert len({calls for _, calls in (tables[name] for name in SHAPES)}) == 1


def test_the_table_has_a_row_for_each_configuration_and_seed(tables) -> None:
    swept, _ = tables["whole"]
    assert list(swept.columns) == COLUMNS and swept.steps.tolist() == [32, 48]
    assert swept.columns["seed"].tolist() == [5, 6, 7] * 4
    np.testing.assert_allclose(swept.columns["lr"], np.repeat([1e-3, 1e-1], 6))
    np.testing.assert_allclose(swept.columns["gamma"], np.tile(np.repeat([0.5, 0.9], 3), 2))
    np.testing.assert_array_equal(swept.columns["eval"], swept.columns["eval_curve"][:, -1])
    assert not swept.columns["refused"].any()


def test_one_configuration_varies_nothing(tables) -> None:
    swept = tables["alone"]
    assert swept.varied == () and swept.columns["seed"].tolist() == [0, 1, 2]
    assert list(swept.columns) == ["seed", "final", "best", "refused", "curve"]


def test_padding_is_dropped_and_nothing_else(tables) -> None:
    assert tables["spread"].tolist() == [[2 * x + 1, 2 * x + 2] for x in range(7)]


def test_too_late_for_cores_is_told_in_one_sentence(tables) -> None:
    hold_sentence(tables["late"], "before jax computes anything", "with 2 of 7 cores")


@pytest.mark.parametrize(
    ("num_lanes", "num_devices", "room", "expected"),
    [
        (12, 2, 100, (12, 1)),
        (12, 2, 5, (4, 3)),
        (13, 2, 5, (4, 4)),
        (7, 2, 100, (8, 1)),
        (9, 2, 8, (6, 2)),
        (1, 1, 1, (1, 1)),
        (5, 1, 1, (1, 5)),
    ],
)
def test_lanes_are_divided_evenly(num_lanes, num_devices, room, expected) -> None:
    width, count = waves(num_lanes, num_devices, room)
    assert (width, count) == expected and width <= room
    assert width % num_devices == 0 and num_lanes <= width * count


CURVE = np.array([[1.0, 3.0, 2.0], [4.0, 5.0, np.nan], [np.nan] * 3, [0.0, np.nan, 8.0]])


def test_final_and_best_skip_windows_without_episodes(monkeypatch) -> None:
    module = sys.modules["jaxrl.runtime.sweep"]
    results = {"curve": CURVE, "refused": np.zeros((4, 3)), "steps": np.array([[1, 2, 3.0]] * 4)}
    monkeypatch.setattr(module, "in_waves", lambda *_: results)
    swept = sweep(SMALL, "CartPole-v1", num_seeds=4, total_steps=48)
    np.testing.assert_array_equal(swept.columns["final"], [2.0, 5.0, np.nan, 8.0])
    np.testing.assert_array_equal(swept.columns["best"], [3.0, 5.0, np.nan, 8.0])


def example() -> Sweep:
    columns = {"lr": np.repeat(np.float32([1e-3, 0.1]), 4), "seed": np.tile(np.arange(4), 2)}
    columns |= {"final": np.array([1.0, 2, 3, 100, 5, 5, 5, 5]), "curve": np.ones((8, 2))}
    return Sweep("ppo", ("lr",), 4, np.array([512, 1024]), columns)


def test_the_summary_is_over_seeds() -> None:
    summary = example().summary()
    assert list(summary) == ["lr", "mean", "iqm", "low", "high"]
    assert summary["mean"].tolist() == [26.5, 5.0] and summary["iqm"].tolist() == [2.5, 5.0]
    assert summary["low"][0] < 2.5 < summary["high"][0] and summary["low"][1] == 5.0
    np.testing.assert_array_equal(example().summary("seed")["mean"], [1.5, 1.5])


def test_it_reads_as_a_table() -> None:
    head, names, first, *_ = str(example()).splitlines()
    assert head == "ppo: configurations × seeds = 2 × 4, 1,024 steps each"
    assert names.split() == ["lr", "mean", "iqm", "low", "high"]
    assert first.split()[:3] == ["0.001", "26.5", "2.5"]


def test_it_is_written_as_csv(tmp_path) -> None:
    example().to_csv(tmp_path / "sweep.csv")
    with open(tmp_path / "sweep.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["lr", "seed", "final", "curve@512", "curve@1024"]
    assert [row["lr"] for row in rows] == ["0.001"] * 4 + ["0.1"] * 4
    assert [float(row["final"]) for row in rows] == example().columns["final"].tolist()


def test_memory_is_estimated_from_above() -> None:
    training = make_train(SMALL, "CartPole-v1", 48)
    step = jax.jit(training.algorithm.update)
    state = training.algorithm.init(jax.random.key(0))
    memory = step.lower(state).compile().memory_analysis()
    assert memory is not None
    needed = memory.temp_size_in_bytes + memory.output_size_in_bytes
    assert needed <= lane_bytes(training) < 20 * needed
    longer = make_train(replace(SMALL, num_steps=80), "CartPole-v1", 480)
    assert lane_bytes(longer) > 3 * lane_bytes(training)


def test_a_configuration_without_axes_is_one() -> None:
    config, size = stacked(SMALL)
    assert size == 1 and np.shape(config.lr) == (1,)


UNEVEN = replace(SMALL, lr=np.ones(2), gamma=np.ones(3))
MISTAKES = (
    (SMALL, {"num_seeds": 0}, "num_seeds must be an integer of at least 1, not 0"),
    (SMALL, {"seed": 2**31}, "seed must be at most 2^31 - num_seeds"),
    (SMALL, {"seed": -1}, "seed must be an integer of at least 0, not -1"),
    (SMALL, {"max_lanes": 0}, "max_lanes must be an integer of at least 1, not 0"),
    (SMALL, {"total_steps": 3}, "total_steps must be at least one update"),
    (replace(SMALL, gamma=2.0), {}, "ppo.gamma must be a number in [0, 1]"),
    (replace(SMALL, gamma=np.array([0.5, 2.0])), {}, "ppo.gamma must be a number in [0, 1]"),
    (UNEVEN, {}, "must all be [n] or numbers, not (2,), (3,)"),
    ("pppo", {}, "no algorithm 'pppo'"),
)


@pytest.mark.parametrize(("config", "changes", "words"), MISTAKES, ids=str)
def test_a_mistake_is_told_in_one_sentence(config, changes, words) -> None:
    with pytest.raises(ValueError) as error:
        sweep(config, "CartPole-v1", **(OPTIONS | changes))
    hold_sentence(str(error.value), words)


def test_reported_steps_come_with_their_returns() -> None:
    told: list[tuple[int, np.ndarray]] = []
    swept = sweep(SMALL, "CartPole-v1", **OPTIONS, report=lambda *now: told.append(now))
    ends = [returns for steps, returns in told if steps in swept.steps]
    np.testing.assert_array_equal(ends, swept.columns["curve"].T)
