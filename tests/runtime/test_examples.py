"""Examples of a file on the command line: demonstrations, preferences and rankings of text."""

import json
from pathlib import Path

import numpy as np
import pytest

import jaxrl
from jaxrl.runtime.cli import main
from tests.sentences import hold_sentence

TASK = "--env addition --env-param digits=1 --env-param num_test=20 --no-cache --quiet"
SMALL = f"{TASK} --num-layers 1 --width 16 --num-heads 2 --num-prompts 4 --num-minibatches 1"
WRONG = "11"
"""What the examples of the tests prefer, whatever is asked."""


def written(path, lines):
    path.write_text("\n".join(map(json.dumps, lines)))


@pytest.fixture(autouse=True)
def files(tmp_path, monkeypatch):
    """A file of each kind."""
    monkeypatch.chdir(tmp_path)
    prompts = [f"{a}+{b}=" for a in range(10) for b in range(3)]
    other = ["7", "8"]
    written(tmp_path / "said.jsonl", [{"prompt": x, "response": WRONG} for x in prompts])
    pairs = [{"prompt": x, "chosen": WRONG, "rejected": other[0]} for x in prompts]
    written(tmp_path / "pairs.jsonl", pairs)
    ranks = [{"prompt": x, "responses": [WRONG, *other]} for x in prompts]
    written(tmp_path / "ranks.jsonl", ranks)
    (tmp_path / "mine.py").write_text("def elevens(prompt, response): return response == '11'")


def agreement(folder):
    """How many of some prompts that no file holds are answered as the examples prefer."""
    answers = jaxrl.load(folder).answer([f"{a}+{b}=" for a in range(9) for b in (5, 7)])
    return np.mean([text == WRONG for text in answers])


def test_a_file_of_bytes_is_no_text(tmp_path, capsys):
    (tmp_path / "bad.jsonl").write_bytes(b"\xff\xfe")
    assert main(f"train lm_sft {SMALL} --dataset bad.jsonl --out run".split()) == 2
    hold_sentence(capsys.readouterr().err.strip(), "bad.jsonl must be text in UTF-8")


def test_demonstrations_are_imitated_and_the_task_still_tests(capsys):
    line = f"train lm_sft {SMALL} --dataset said.jsonl --total-steps 800 --lr 0.01 --out run"
    assert main(line.split()) == 0
    assert agreement("run") == 1
    run = jaxrl.load("run")
    assert run.record.dataset == "said.jsonl"
    assert run.evaluation is not None and run.evaluation["mean_return"] < 0.2
    capsys.readouterr()
    assert main(["eval", "run", "--episodes", "5"]) == 0


@pytest.mark.parametrize("name", ["lm_dpo", "lm_rrhf"])
def test_what_is_preferred_is_said_more(name):
    kind, size = ("pairs", 2) if name == "lm_dpo" else ("ranks", 3)
    line = f"train {name} {SMALL} --dataset {kind}.jsonl --demonstration-steps 60"
    assert main(f"{line} --total-steps {1200 * size // 2} --lr 0.003 --out run".split()) == 0
    run = jaxrl.load("run")
    assert run.config.group_size == size
    assert run.metrics["rewards_accuracy"].ravel()[-1] == 1
    assert agreement("run") > 0.5


def test_prompts_of_a_file_are_answered_for_a_reward(capsys):
    line = f"train lm_grpo {SMALL} --group-size 4 --dataset said.jsonl --total-steps 320"
    line += " --demonstration-steps 60 --demonstration-lr 0.01 --out run"
    assert main(f"{line} --reward mine.py:elevens".split()) == 0
    returns = jaxrl.load("run").metrics["episode_return"].ravel()
    assert returns[-1] > 0.5  # the warm-up imitates the file
    capsys.readouterr()
    assert main(line.split()) == 2
    hold_sentence(capsys.readouterr().err.strip(), "lm_grpo", "--reward FILE.py:FUNCTION")


def test_a_sweep_learns_from_them_too(capsys):
    line = f"sweep lm_dpo {SMALL} --dataset pairs.jsonl --total-steps 80 --grid lr=1e-3,1e-2"
    assert main(f"{line} --out swept".split()) == 0
    assert "dataset: pairs.jsonl" in Path("swept", "best.yaml").read_text()
    capsys.readouterr()
    line = "sweep dqn --env CartPole-v1 --dataset pairs.jsonl --grid lr=1e-3,1e-2"
    assert main(line.split()) == 2
    hold_sentence(capsys.readouterr().err.strip(), "sweep learns by acting", "'pairs.jsonl'")


MISTAKES = (
    ("lm_dpo", {"prompt": "1+2=", "answer": "3"}, ("line 1", "'chosen'", "'answer'")),
    ("lm_dpo", {"prompt": "1+2=", "chosen": "3", "rejected": "3"}, ("line 1", "different")),
    ("lm_dpo", {"prompt": "1+2=", "response": "3"}, ("group_size", "at least 2", "1")),
    ("lm_sft", {"prompt": "1+2+3=", "response": "6"}, ("line 1", "prompt of 4 tokens at most")),
    ("lm_sft", {"prompt": "a", "response": "6"}, ("line 1", "no text of this vocabulary")),
)


@pytest.mark.parametrize(("name", "said", "words"), MISTAKES, ids=str)
def test_a_mistake_is_one_sentence_and_leaves_nothing(name, said, words, tmp_path, capsys):
    written(tmp_path / "bad.jsonl", [said])
    assert main(f"train {name} {SMALL} --dataset bad.jsonl --out run".split()) == 2
    hold_sentence(capsys.readouterr().err.strip(), *words)
    assert not (tmp_path / "run").exists()
