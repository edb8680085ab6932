"""Training from a data set on the command line: made by one run, learnt from by another."""

import jax
import numpy as np
import pytest

import jaxrl
from jaxrl.runtime import datasets
from jaxrl.runtime.cli import main
from tests.sentences import hold_sentence

SIZES = "--env CartPole-v1 --num-envs 4 --hidden-sizes 8 --batch-size 16 --num-iterations 25"
SIZES += " --num-gradients 1 --n-step 1"
MADE = f"train dqn {SIZES} --learning-starts 400 --total-steps 600 --quiet --no-cache"
LEARNT = f"train double_dqn {SIZES} --total-steps 200 --evaluate-every 100 --quiet --no-cache"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Where a run left its replay, and another learnt from it."""
    path = tmp_path_factory.mktemp("offline")
    file = path / "rows.safetensors"
    assert main(f"{MADE} --save-dataset {file} --out {path}/made".split()) == 0
    assert main(f"{LEARNT} --dataset {file} --out {path}/run".split()) == 0
    return path


@pytest.fixture(autouse=True)
def one_thread(monkeypatch):
    monkeypatch.setenv("NPROC", "1")


def test_a_run_leaves_its_replay(folder):
    rows = datasets.rows(folder / "rows.safetensors", "dqn", "CartPole-v1", {})
    assert rows.reward.shape == (150, 4)  # all 600 steps
    ended = rows.terminated | rows.truncated
    same = rows.next_obs[:-1] == rows.obs[1:]
    assert np.array_equal(same.all(-1), ~ended[:-1])


def test_another_learns_from_it_alone(folder):
    run = jaxrl.load(folder / "run")
    assert run.record.dataset == str(folder / "rows.safetensors")
    assert run.metrics["steps"].tolist() == [100, 200] and (run.metrics["eval_return"] > 0).all()
    assert np.isnan(run.metrics["episode_return"]).all() and (run.evaluation or {})["mean_return"]
    assert (folder / "run" / "curve.png").exists()
    again = jax.jit(run.training)(jax.random.key(0))[1]
    np.testing.assert_allclose(run.metrics["q"][0], again["q"].mean, rtol=1e-4)


def test_it_can_be_resumed(folder):
    checkpoints = sorted((folder / "run" / "checkpoints").iterdir())
    before = (folder / "run" / "metrics.jsonl").read_bytes()
    assert len(checkpoints) == 2
    checkpoints[-1].unlink()
    assert main(f"train --resume {folder}/run --quiet --no-cache".split()) == 0
    assert (folder / "run" / "metrics.jsonl").read_bytes() == before
    assert len(list((folder / "run" / "checkpoints").iterdir())) == 2


MISTAKES = (
    ("train dqn --env Acrobot-v1 --dataset {file}", "must hold obs as float32", "(150, 4, 6)"),
    ("train dqn --env CartPole-v1 --dataset nowhere", "dataset must be a readable file"),
    ("train ppo --env CartPole-v1 --dataset {file}", "dataset needs an algorithm that learns from"),
    (
        "train dqn --env CartPole-v1 --dataset {file} --save-dataset a.safetensors",
        "save_dataset needs a run that fills a replay buffer, not the data set",
    ),
    (
        "train ppo --env CartPole-v1 --save-dataset a.safetensors",
        "save_dataset needs a run that fills a replay buffer, not ppo",
    ),
    ("train dqn --env CartPole-v1 --save-dataset a.txt", "save_dataset must be a file ending in"),
    (
        "train dqn --env CartPole-v1 --batch-size 2000",
        "dqn.batch_size must be at most the 968 rows of warm-up, not 2000",
    ),
    (
        "train dqn --env CartPole-v1 --n-step 200",
        "dqn.learning_starts must fill a window of num_envs × n_step = 1600 steps, not 1000",
    ),
    (
        "train rainbow --env CartPole-v1 --capacity 100",
        "dqn.capacity must hold batch_size = 64 and num_envs × n_step = 40, not 100",
    ),
)


@pytest.mark.parametrize(("line", "words"), [(line, w) for line, *w in MISTAKES], ids=str)
def test_a_mistake_is_one_sentence_and_leaves_nothing(
    line, words, folder, tmp_path, capsys, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    assert main(line.format(file=folder / "rows.safetensors").split()) == 2
    out, err = capsys.readouterr()
    assert not out and not list(tmp_path.iterdir())
    hold_sentence(err.strip(), *words)
