"""`jaxrl compare`: the numbers of runs whose numbers were chosen."""

import csv

import numpy as np
import pytest

from jaxrl.runtime import folder
from jaxrl.runtime.cli import main
from jaxrl.runtime.compare import compare, labels, lines
from jaxrl.runtime.statistics import bootstrap_interval, iqm
from tests.runtime.folders import chosen, fast, shell, slow
from tests.sentences import hold_sentence


@pytest.fixture
def paths(tmp_path):
    return [str(made(tmp_path / name).folder) for made, name in ((slow, "slow"), (fast, "fast"))]


@pytest.fixture
def runs(tmp_path):
    return slow(tmp_path / "one"), fast(tmp_path / "two")


def test_scores_and_who_beats_whom(runs) -> None:
    first, second = compare(runs).rows
    assert (first.algorithm, second.algorithm, first.seeds, second.seeds) == ("ppo", "a2c", 2, 3)
    assert (first.score, second.score) == (25, iqm(np.array([30.0, 90.0, 100.0])))
    interval = (second.score_low, second.score_high)
    assert interval == bootstrap_interval(np.array([30.0, 90.0, 100.0]))
    assert first.improvement == 0.5
    assert second.improvement == pytest.approx(5.5 / 6)  # six pairs, of which one ties
    assert second.improvement_low < second.improvement <= second.improvement_high == 1


def test_steps_and_seconds_to_what_counts_as_learnt(runs) -> None:
    made = compare(runs)  # from 0, where the first seed of `slow` has nothing yet, to 100
    assert made.threshold == 90
    assert np.isnan([made.rows[0].steps, made.rows[0].seconds]).all()
    assert (made.rows[1].steps, made.rows[1].seconds) == (300, 4.0)
    lower = compare(runs, threshold=10.0).rows
    assert [(row.steps, row.seconds) for row in lower] == [(300, 4.0), (100, 1.5)]
    assert lines(made)[1][-2:] == ["never", "–"] and lines(made)[2][-2:] == ["300", "4.0"]


def test_without_an_episode_nothing_is_learnt(tmp_path) -> None:
    run = chosen(tmp_path / "run", [[None] * 4], [1.0])
    made = compare([run])
    assert np.isnan([made.threshold, made.rows[0].steps]).all()


def test_runs_are_named_by_what_differs(tmp_path) -> None:
    def label(*changes):
        where = tmp_path / str(len(list(tmp_path.iterdir())))
        where.mkdir()
        return labels([slow(where / f"r{i}", **change) for i, change in enumerate(changes)])

    assert label({}, {"algorithm": "a2c"}) == ["ppo", "a2c"]
    assert label({"lr": 1e-3}, {"lr": 0.01}, {"algorithm": "a2c"}) == [
        "ppo lr=0.001",
        "ppo lr=0.01",
        "a2c",
    ]
    assert label({}, {}, {"algorithm": "a2c"}) == ["ppo r0", "ppo r1", "a2c"]
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    alike = [slow(tmp_path / "a" / "run"), slow(tmp_path / "b" / "run")]
    assert labels(alike) == [f"ppo {run.folder}" for run in alike]
    many = {"lr": 1.0, "gamma": 0.5, "clip_eps": 0.5, "entropy_coef": 0.5}
    assert label({}, many) == ["ppo r0", "ppo r1"]


def test_the_table_and_the_file_on_the_command_line(paths, tmp_path) -> None:
    table = tmp_path / "table.csv"
    shown = shell(f"compare {' '.join(paths)} --csv {table}", tmp_path).splitlines()
    assert shown[0].split()[:3] == ["run", "algorithm", "seeds"]
    assert shown[1].startswith(paths[0]) and "25.0 [20.0, 30.0]" in shown[1]
    assert shown[2].startswith(paths[1]) and "0.92 [" in shown[2] and "300" in shown[2]
    assert "is 90, in CartPole-v1" in shown[3]
    rows = list(csv.DictReader(table.read_text().splitlines()))
    assert [row["run"] for row in rows] == paths and [row["steps"] for row in rows] == ["", "300.0"]
    assert float(rows[0]["score"]) == 25 and rows[1]["threshold"] == "90.0"


def test_mistakes_are_told_in_one_sentence(paths, tmp_path, capsys) -> None:
    other = str(fast(tmp_path / "other", env="Acrobot-v1").folder)
    longer = str(slow(tmp_path / "longer", env_params={"max_steps_in_episode": 9}).folder)
    (fast(tmp_path / "unfinished").folder / folder.EVALUATION).unlink()
    (fast(tmp_path / "fresh").folder / folder.METRICS).unlink()
    cut = fast(tmp_path / "cut").folder
    kept = (cut / folder.METRICS).read_text().splitlines(keepends=True)
    (cut / folder.METRICS).write_text("".join(kept[:-3]))
    for words, said in {
        (*paths, str(cut)): "were cut: they end at step 300 of 400",
        (*paths, other): "in one environment, not in CartPole-v1 and Acrobot-v1",
        (*paths, longer): "CartPole-v1 and CartPole-v1 max_steps_in_episode=9",
        (*paths, str(tmp_path / "unfinished")): "has no final evaluation",
        (*paths, str(tmp_path / "fresh")): "has no metrics yet",
        (*paths, "nowhere"): "'nowhere' is no run's folder",
        (*paths, "--threshold", "nan"): "threshold must be a finite number, not 'nan'",
        (*paths, "--threshold", "high"): "threshold must be a finite number, not 'high'",
        (*paths, "--csv", "table.txt"): "csv must be a file ending in .csv, not 'table.txt'",
        (*paths, "--csv", "no/where.csv"): "csv must be in a folder that can be written",
        (): "RUN",
    }.items():
        assert main(["compare", *words]) == 2
        captured = capsys.readouterr()
        hold_sentence(captured.err.rstrip("\n"), said)
        assert not captured.out
