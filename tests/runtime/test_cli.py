"""The command line: what it trains and leaves behind, and how it says no."""

import csv
import io
import json
import subprocess
import sys

import jax
import numpy as np
import pytest
from rich.console import Console

from jaxrl.config import hints, replace
from jaxrl.runtime import runs
from jaxrl.runtime.cli import _choose_threads, main
from jaxrl.runtime.flags import read, shown
from jaxrl.runtime.progress import progress
from jaxrl.train import make_train
from jaxrl.zoo import TUNED, ZOO, tuned
from tests.sentences import hold_sentence

SMALL = "--env CartPole-v1 --num-envs 4 --num-steps 16 --num-minibatches 2 --hidden-sizes 8,8"
SMALL_RUN = f"{SMALL} --total-steps 1e3"


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    """An empty folder to stand in, and an environment to change."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NPROC", "1")


def test_help_and_mistakes_of_the_first_words_come_without_jax() -> None:
    code = (
        "import sys; from jaxrl.runtime.cli import main\n"
        "assert [main(a) for a in ([], ['--help'], ['train', '--help'], ['x'])] == [0, 0, 0, 2]\n"
        "assert 'jax' not in sys.modules and 'numpy' not in sys.modules"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.count("jaxrl train ALGORITHM") >= 3 and "--env" in run.stdout
    hold_sentence(run.stderr.strip(), "jaxrl: the command must be one of train, list, not 'x'")


def test_help_of_an_algorithm_has_its_fields_and_what_was_tuned(capsys, monkeypatch) -> None:
    monkeypatch.setitem(TUNED, "ppo", {"CartPole-v1": {"lr": 0.125}})
    assert main(["train", "ppo", "--help"]) == 0
    plain = capsys.readouterr().out
    assert main(["train", "ppo", "--env", "CartPole-v1", "--help"]) == 0
    told = capsys.readouterr().out
    assert "--clip-eps" in plain and "--no-anneal-lr" in plain and "[0.00025]" in plain
    assert "[0.125]" in told and "[0.00025]" not in told


def test_list_has_algorithms_and_environments(capsys) -> None:
    assert main(["list"]) == 0
    assert {*ZOO, "CartPole-v1", "Pendulum-v1"} <= set(capsys.readouterr().out.split())


def test_a_run_leaves_its_curve_numbers_and_settings(tmp_path, capsys) -> None:
    words = "--evaluate-every 500 --seed 3 --lr 0.01 --env-param max_steps_in_episode=50"
    assert main(f"train ppo {SMALL_RUN} {words}".split()) == 0
    folder = tmp_path / "runs" / "ppo-CartPole-v1-3"
    assert {p.name for p in folder.iterdir()} == {
        *("config.json", "result.json", "metrics.csv", "curve.png")
    }
    note = json.loads((folder / "config.json").read_text())
    assert note["algorithm"] == "ppo" and note["total_steps"] == 1000 and note["seed"] == 3
    assert note["config"]["lr"] == 0.01 and note["config"]["hidden_sizes"] == [8, 8]
    with open(folder / "metrics.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [float(row["steps"]) for row in rows] == [448, 896, 960]
    assert 0 < float(rows[-1]["eval_return"]) <= 50
    result = json.loads((folder / "result.json").read_text())
    assert 0 < result["score"] <= 50 and result["unfinished"] == 0 and result["steps"] == 960
    assert (folder / "curve.png").read_bytes().startswith(b"\x89PNG")
    out = capsys.readouterr().out
    assert f"score {result['score']:.1f} ± {result['std']:.1f} over 100 episodes" in out
    assert out.count("steps/s") <= 11 and "\x1b" not in out


def test_a_run_is_the_one_of_make_train(tmp_path) -> None:
    assert main(f"train ppo {SMALL_RUN} --out here".split()) == 0
    sizes = {"num_envs": 4, "num_steps": 16, "num_minibatches": 2, "hidden_sizes": (8, 8)}
    training = make_train(tuned("ppo", "CartPole-v1", **sizes)[0], "CartPole-v1", 1000)
    metrics = jax.jit(training)(jax.random.key(0))[1]
    with open(tmp_path / "here" / "metrics.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    for name in ("episode_return", "policy_loss", "steps"):
        ours = np.array([float(row[name]) for row in rows])
        np.testing.assert_allclose(ours, metrics[name].mean, rtol=1e-3, atol=1e-5)


def test_nan_stops_the_run_and_keeps_what_was_good(tmp_path, capsys) -> None:
    assert main(f"train ppo {SMALL_RUN} --lr 1e38 --max-grad-norm 1e38".split()) == 1
    hold_sentence(capsys.readouterr().err.strip(), "update 0 was refused", "NaN or infinite")
    folder = tmp_path / "runs" / "ppo-CartPole-v1-0"
    assert len((folder / "metrics.csv").read_text().splitlines()) == 2
    assert json.loads((folder / "result.json").read_text())["score"] > 0


def test_an_interrupted_run_keeps_what_it_has(tmp_path, monkeypatch, capsys) -> None:
    def interrupted(run):
        yield next(whole(run))
        raise KeyboardInterrupt

    whole = runs.windows
    monkeypatch.setattr(runs, "windows", interrupted)
    assert main(f"train ppo {SMALL_RUN} --out out".split()) == 130
    hold_sentence(capsys.readouterr().err.strip(), "interrupted after 1 updates")
    assert len(list((tmp_path / "out").iterdir())) == 4


MISTAKES = (
    ("fly", "the command must be one of train, list, not 'fly'"),
    ("list all", "list takes no arguments, not 'all'"),
    ("train", "train needs the name of an algorithm first"),
    ("train --env CartPole-v1", "train needs the name of an algorithm first"),
    ("train pppo --env CartPole-v1", "no algorithm 'pppo'", "ppo"),
    ("train ppo", "env must be the name of an environment"),
    ("train ppo --env", "--env", "expected one argument"),
    ("train ppo --env Cartpole", "env must be", "CartPole-v1", "not 'Cartpole'"),
    ("train pqn --env Pendulum-v1", "pqn needs a Discrete action space"),
    (f"train ppo {SMALL} --distribution squashed_gaussian", "ppo.distribution must be None"),
    (f"train ppo {SMALL} --clip-epsilon 3", "no option '--clip-epsilon'", "--clip-eps"),
    (f"train ppo {SMALL} extra", "no option 'extra' of jaxrl train ppo"),
    (f"train ppo {SMALL} --gamma 1.5", "ppo.gamma must be a number in [0, 1], not 1.5"),
    (f"train ppo {SMALL} --gamma high", "ppo.gamma must be a number in [0, 1], not 'high'"),
    (f"train ppo {SMALL} --clip-eps -1", "ppo.clip_eps must be a number of at least 0, not -1.0"),
    (f"train ppo {SMALL} --lr none", "ppo.lr must be a number of at least 0, not 'none'"),
    (f"train ppo {SMALL} --num-envs 2.5", "ppo.num_envs must be an integer", "not '2.5'"),
    (f"train ppo {SMALL} --hidden-sizes 8,x", "ppo.hidden_sizes must be a tuple", "not '8,x'"),
    (f"train ppo {SMALL} --torso rnn", "ppo.torso must be one of 'mlp', 'cnn', not 'rnn'"),
    (f"train ppo {SMALL} --num-minibatches 7", "ppo.num_minibatches must divide the batch of 64"),
    (f"train ppo {SMALL} --total-steps 3", "total_steps must be at least one update", "not 3"),
    (f"train ppo {SMALL} --total-steps 99.5", "total_steps must be an integer", "not '99.5'"),
    (f"train ppo {SMALL} --total-steps 0", "total_steps must be an integer of at least 1, not '0'"),
    (f"train ppo {SMALL} --evaluate-every x", "evaluate_every must be an integer", "not 'x'"),
    (f"train ppo {SMALL} --seed -1", "seed must be an integer of at least 0, not '-1'"),
    (f"train ppo {SMALL} --env-param 3", "env_param must be of the form name=number, not '3'"),
    (f"train ppo {SMALL} --env-param mass=3", "mass is not a parameter of CartPole-v1", "masscart"),
    (f"train ppo {SMALL} --out file/in", "out must be a folder that can be made, not 'file/in'"),
    (f"train ppo {SMALL} --out .", "out must be a new or an empty folder, not '.'"),
)


@pytest.mark.parametrize(("line", "words"), [(line, w) for line, *w in MISTAKES], ids=str)
def test_a_mistake_is_one_sentence_and_leaves_nothing(line, words, tmp_path, capsys) -> None:
    (tmp_path / "file").touch()
    assert main(line.split()) == 2
    out, err = capsys.readouterr()
    assert not out and err.startswith("jaxrl: ")
    hold_sentence(err.strip(), *words)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_folders_are_numbered_and_never_written_over(tmp_path) -> None:
    names = [str(runs.new_folder(None, "runs/a")) for _ in range(3)]
    assert names == ["runs/a", "runs/a-2", "runs/a-3"]
    empty = tmp_path / "empty"
    empty.mkdir()
    assert runs.new_folder(str(empty), "runs/a") == empty


@pytest.mark.parametrize("name", ZOO)
def test_flags_and_configurations_are_the_same(name) -> None:
    config = ZOO[name].config
    for field, hint in hints(type(config)).items():
        value = getattr(config, field)
        text = shown(value) if not isinstance(value, bool) else shown(value).lower()
        assert read(text, hint) == value and type(read(text, hint)) is type(value)


@pytest.mark.parametrize(
    ("text", "hint", "value"),
    [
        *(("1e6", int, 1_000_000), ("1_000", int, 1000), ("1.5", int, "1.5"), ("inf", int, "inf")),
        *(("1e-3", float, 1e-3), ("x", float, "x"), ("none", float, "none")),
        *(("None", float | None, None), ("0.5", float | None, 0.5), ("true", bool, True)),
        *(
            ("", tuple[int, ...], ()),
            ("64", tuple[int, ...], (64,)),
            ("1,a", tuple[int, ...], "1,a"),
        ),
    ],
)
def test_texts_stand_for_values(text, hint, value) -> None:
    assert read(text, hint) == value and type(read(text, hint)) is type(value)


ROWS = [{"steps": 10.0 * i, "seconds": i, "episode_return": i} for i in range(1, 101)]


def shown_progress(terminal: bool) -> str:
    file = io.StringIO()
    with progress(1000, Console(file=file, force_terminal=terminal, width=120)) as report:
        for row in ROWS:
            report(row)
    return file.getvalue()


def test_progress_is_a_bar_on_a_terminal_and_ten_lines_elsewhere() -> None:
    lines = shown_progress(False).splitlines()
    assert len(lines) == 10 and lines[-1] == "1,000 steps, 10 steps/s, return 100.0"
    assert "\x1b" in shown_progress(True) and "return 100.0" in shown_progress(True)


def test_small_networks_take_one_thread_unless_the_user_said_otherwise(monkeypatch) -> None:
    import os

    small, large = replace(ZOO["ppo"].config, num_envs=4), ZOO["ppo"].config
    for config, before, after in (
        (small, None, "1"),
        (small, "8", "8"),
        (replace(large, hidden_sizes=(512, 512)), None, None),
    ):
        monkeypatch.delenv("NPROC", raising=False)
        if before:
            monkeypatch.setenv("NPROC", before)
        _choose_threads(config)
        assert os.environ.get("NPROC") == after
