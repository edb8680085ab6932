"""A run's folder as an object, and folders that are none."""

import json
import os
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxrl
from jaxrl.runtime import checkpoint, folder
from jaxrl.train import evaluate
from tests.runtime.runs import small, trained
from tests.sentences import hold_sentence


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    made = small(seeds=2, seed=3, normalise_obs=True)
    return trained(made, tmp_path_factory.mktemp("load") / "run")


def test_it_knows_what_it_is_made_of(run) -> None:
    loaded = jaxrl.load(run.folder)
    assert (loaded.name, loaded.algorithm, loaded.env_name) == ("run", "ppo", "CartPole-v1")
    assert loaded.seeds == (3, 4) and loaded.total_steps == 960
    assert loaded.config.hidden_sizes == (8, 8) and loaded.config.normalise_obs
    names = {"config.yaml", "metrics.jsonl", "clock.jsonl", "checkpoints", "policy.safetensors"}
    names |= {"evaluation.json", "curve.png", "README.md"}
    assert {path.name for path in run.folder.iterdir()} == names


def test_metrics_are_arrays_over_seeds_and_windows(run) -> None:
    metrics = run.metrics
    assert metrics["steps"].tolist() == list(range(64, 961, 64))
    assert metrics["seconds"].shape == (15,) and metrics["policy_loss"].shape == (2, 15)
    assert (metrics["policy_loss"][0] != metrics["policy_loss"][1]).all()


def test_metrics_are_a_pandas_frame_where_that_is_there(run) -> None:
    pytest.importorskip("pandas")
    frame = run.frame()
    assert len(frame) == 30 and set(frame["seed"]) == {3, 4}


@pytest.mark.parametrize("seed", [3, 4])
def test_the_policy_is_the_one_that_was_trained(run, seed) -> None:
    state, learnt = run.state(seed), run.learner_state(seed)
    for name, x in checkpoint.arrays(learnt).items():
        np.testing.assert_array_equal(x, checkpoint.arrays(state.learner)[name], err_msg=name)
    row = next(row for row in run.evaluation["per_seed"] if row["seed"] == seed)
    key = jax.random.fold_in(state.eval_key, state.num_updates + 1)
    played = evaluate(run.config, state, run.env_name, key, num_episodes=100)
    np.testing.assert_allclose(played.episode_return.mean(), row["mean_return"], rtol=1e-5)
    obs = jnp.array([0.01, 0.2, -0.03, 0.4])
    expected = run.learner.act(learnt, obs[None], None, run.learner.carry(jax.random.key(0), 1))
    assert run.act(obs, seed=seed) == expected[0][0]


def test_with_a_key_actions_are_drawn(run) -> None:
    keys = jax.random.split(jax.random.key(0), 30)
    drawn = {int(run.act(np.zeros(4, np.float32), key)) for key in keys}
    assert drawn == {0, 1}


def test_the_best_seed_acts_unless_another_is_asked_for(run) -> None:
    means = {row["seed"]: row["mean_return"] for row in run.evaluation["per_seed"]}
    assert run.best_seed == max(means, key=lambda seed: means[seed])


def test_its_state_goes_on_training(run) -> None:
    state = run.state(4)
    later, _ = jax.jit(run.training)(jax.random.key(0), state)
    assert later.num_updates == state.num_updates == run.training.num_updates


def test_memory_is_carried_from_call_to_call(tmp_path) -> None:
    made = small(memory="gru", memory_size=4, total_steps=128)
    run = trained(made, tmp_path / "run")
    action, carry = run.act(jnp.ones(4), carry=run.carry())
    again, later = run.act(jnp.ones(4), carry=carry)
    leaves = [*map(jax.tree.leaves, (run.carry(), carry, later))]
    assert action.shape == again.shape == ()
    assert not np.array_equal(leaves[0][0], leaves[1][0])
    assert not np.array_equal(leaves[1][0], leaves[2][0])


def test_the_card_tells_the_score_and_how_to_get_it_again(run) -> None:
    text = (run.folder / "README.md").read_text()
    assert f"jaxrl train --config {run.folder}/config.yaml" in text
    assert "| hidden_sizes | (8, 8) |" in text and "over 2 seeds of 100 episodes" in text
    assert f"| 3 | {run.evaluation['per_seed'][0]['mean_return']:.1f} |" in text


DAMAGE = {
    "no config": (lambda path: os.unlink(path / "config.yaml"), "is no run's folder"),
    "bad yaml": (lambda path: (path / "config.yaml").write_text("a: ["), "no valid YAML"),
    "no table": (lambda path: (path / "config.yaml").write_text("- 1"), "name: value"),
    "code": (
        lambda path: (path / "config.yaml").write_text("!!python/object/apply:os.getcwd []"),
        "no valid YAML",
    ),
    "algorithm": (
        lambda path: (path / "config.yaml").write_text("algorithm: ../x\nenv: CartPole-v1"),
        "no algorithm '../x'",
    ),
    "field": (
        lambda path: (path / "config.yaml").write_text("algorithm: ppo\nenv: A\nlr: fast"),
        "ppo.lr must be a number of at least 0, not 'fast'",
    ),
    "policy": (lambda path: (path / "policy.safetensors").write_bytes(b"x" * 99), "no sound file"),
    "metrics": (lambda path: (path / "metrics.jsonl").write_text("{}\n"), "damaged in line 1"),
    "clock": (lambda path: (path / "clock.jsonl").write_text("[]\n"), "damaged in line 1"),
    "evaluation": (lambda path: (path / "evaluation.json").write_text("{"), "is damaged"),
    "scores": (lambda path: (path / "evaluation.json").write_text("{}"), "is damaged"),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_a_damaged_folder_is_told_in_one_sentence(name, run, tmp_path) -> None:
    shutil.copytree(run.folder, tmp_path / "run")
    spoil, words = DAMAGE[name]
    spoil(tmp_path / "run")
    with pytest.raises(ValueError) as caught:
        loaded = jaxrl.load(tmp_path / "run")
        _ = loaded.metrics, loaded.learner_state(), loaded.evaluation
    hold_sentence(str(caught.value), words)


def test_a_policy_without_a_file_comes_from_the_checkpoint(run, tmp_path) -> None:
    shutil.copytree(run.folder, tmp_path / "run")
    (tmp_path / "run" / folder.POLICY).unlink()
    loaded = jaxrl.load(tmp_path / "run")
    assert loaded.act(jnp.ones(4)) == run.act(jnp.ones(4))
    with pytest.raises(ValueError, match="seed must be one of"):
        loaded.act(jnp.ones(4), seed=9)


def test_evaluation_is_strict_json(run) -> None:
    numbers = json.loads((run.folder / "evaluation.json").read_text())
    assert numbers["num_episodes"] == 200 and numbers["unfinished"] == 0
    per_seed = [row["mean_return"] for row in numbers["per_seed"]]
    np.testing.assert_allclose(numbers["mean_return"], np.mean(per_seed), rtol=1e-6)
