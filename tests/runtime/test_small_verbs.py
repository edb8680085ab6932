"""The verbs export, bench and info, as they are typed."""

import json
import re
import sys

import jax
import numpy as np
import pytest

from jaxrl.runtime import checkpoint, folder, numpy_policy, tensors
from jaxrl.runtime.cli import main
from jaxrl.runtime.load import load
from jaxrl.runtime.record import write_yaml
from tests.runtime.runs import small
from tests.sentences import hold_sentence


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Two seeds that might have been trained."""
    made, path = small(seeds=2, seed=3), tmp_path_factory.mktemp("runs") / "a"
    state = jax.eval_shape(made.training().algorithm.init, jax.random.key(0)).learner
    numbers = np.random.default_rng(0)
    state = jax.tree.map(
        lambda x: numbers.normal(size=(2, *x.shape)).astype(x.dtype), state._replace(opt_state=())
    )
    scores = [{"seed": 3, "mean_return": 1.0}, {"seed": 4, "mean_return": 2.0}]
    text = {folder.CONFIG: write_yaml(made), folder.EVALUATION: json.dumps({"per_seed": scores})}
    folder.create(path, text)
    tensors.save(path / folder.POLICY, checkpoint.arrays(state), {})
    return load(path)


@pytest.fixture(autouse=True)
def one_thread(monkeypatch):
    monkeypatch.setenv("NPROC", "1")


def test_export_writes_the_policy_that_was_asked_for(run, capsys) -> None:
    obs = np.random.default_rng(0).normal(size=(50, 4)).astype(np.float32)
    for options, seed in (([], 4), (["--seed", "3"], 3), (["--seed", "4"], 4)):
        assert main(["export", str(run.folder), "--force", *options]) == 0
        out = run.folder / "export"
        assert json.loads((out / "policy.json").read_text())["seed"] == seed
        action, _ = numpy_policy.act(numpy_policy.load(out), obs)
        assert action.tolist() == [int(run.act(x, seed=seed)) for x in obs]
    assert "policy.stablehlo" in capsys.readouterr().out


def test_export_says_no_in_one_sentence(run, tmp_path, capsys, monkeypatch) -> None:
    (tmp_path / "full").write_text("")
    path = str(run.folder)
    for words, sentence in (
        (["nowhere"], "'nowhere' is no run's folder"),
        ([path, "--out", str(tmp_path)], "out must be a new or an empty folder"),
        ([path, "--out", str(tmp_path / "full")], "out must be a new or an empty folder"),
        (
            [path, "--out", str(tmp_path / "full" / "in")],
            "out must be a folder that can be written",
        ),
        ([path, "--seed", "5"], "seed must be one of (3, 4), not 5"),
        ([path, "--sed", "5"], "--seed"),
    ):
        assert main(["export", *words]) == 2
        hold_sentence(capsys.readouterr().err.strip(), sentence)
    monkeypatch.setitem(sys.modules, "flatbuffers", None)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert main(["export", path]) == 2
    hold_sentence(capsys.readouterr().err.strip(), "pip install 'jaxrl[export]'")


def test_bench_measures(capsys) -> None:
    assert main(["bench", "a2c", "--env", "CartPole-v1", "--seconds", "1"]) == 0
    out = capsys.readouterr().out
    found = re.match(r"a2c on CartPole-v1: ([\d,]+) steps/s, compiled in ([\d.]+) s \(8 env", out)
    assert found and int(found[1].replace(",", "")) > 100 and float(found[2]) > 0
    for words, sentence in (
        (["pqp"], "there is no algorithm 'pqp'"),
        (["ppo", "--env", "CartPole"], "CartPole-v1"),
        (["ppo", "--seconds", "0"], "seconds must be an integer of at least 1, not '0'"),
    ):
        assert main(["bench", *words]) == 2
        hold_sentence(capsys.readouterr().err.strip(), sentence)


def test_info_tells_versions_and_places(capsys) -> None:
    assert main(["info"]) == 0
    rows = dict(line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines())
    assert rows["jax"] == jax.__version__ and int(rows["cores"]) >= 1
    assert {"jaxrl", "python", "devices", "cache"} <= set(rows)
