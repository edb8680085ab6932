"""Rewards of the command line: functions of files, their weights, and what goes wrong in them."""

import re
import shlex

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxrl
from jaxrl.runtime import drive, finish, functions, others
from jaxrl.runtime.cli import main
from jaxrl.runtime.host_rewards import PIECE, RewardError, each, host_reward, in_jit, told
from jaxrl.runtime.programs import programs
from jaxrl.runtime.record import read_yaml, record, write_yaml
from jaxrl.tasks import addition, response_texts
from tests.runtime.runs import QUIET, trained
from tests.sentences import hold_sentence
from tests.tasks.responses import some, spoken

TASK = "--env addition --env-param digits=1 --env-param num_test=20 --no-cache --quiet"
SMALL = f"{TASK} --num-layers 1 --width 8 --num-heads 2 --num-prompts 4 --num-minibatches 1"
SIZES = {"num_layers": 1, "width": 8, "num_heads": 2, "num_prompts": 4, "num_minibatches": 1}
MADE = {"algorithm": "lm_sft", "env": "addition", "env_params": {"num_test": 20}, **SIZES}
MADE |= {"total_steps": 640}
TEXTS = ("mine.py:of_sevens", "-0.5*mine.py:lengths")
REWARDS = """
from pathlib import Path

def of_sevens(prompt, response):
    trouble = Path("trouble")
    if trouble.exists():
        left = int(trouble.read_text())
        trouble.write_text(str(left - 1))
        if left <= 0:
            raise KeyError("seven\\nis bad.")
    return float("7" in response)

def lengths(prompts, responses):
    return [len(x) for x in responses]

def nan(prompt, response):
    return float("nan")

def one(prompts, responses):
    return [1.0]

def odd(text, verbose=False):
    return 1.0

def away(prompt, response):
    raise SystemExit(3)

five, least = 5, min
"""


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").write_text(REWARDS)
    (tmp_path / "bad.py").write_text("1 +")


def test_they_are_added_up_by_their_weights():
    made = record(MADE | {"reward": list(TEXTS)})
    task = made._replace(called=True).world()
    prompts = some(task, 4)
    response = spoken(task, prompts, 0)
    said = response_texts(task.tokenizer, response)
    expected = [[("7" in x) - 0.5 * len(x) for x in group] for group in said]
    np.testing.assert_array_equal(jax.jit(task.judge)(prompts, response), expected)
    assert task.reward is not task.judge and len(set(map(str, expected))) > 1


@pytest.mark.parametrize("reward", [None, "runs/judge", ("2*runs/judge", "mine.py:lengths")])
def test_a_file_gives_back_what_was_written(reward, tmp_path):
    made = record({"algorithm": "lm_grpo", "env": "addition", "reward": reward})
    (tmp_path / "a.yaml").write_text(write_yaml(made))
    assert record(read_yaml(tmp_path / "a.yaml")) == made and made.reward == reward


def test_a_weight_is_what_stands_before_the_star():
    assert functions.part("-1e-3*a/b.py:f")[1:] == (-1e-3, "a/b.py:f")
    assert functions.part("2*runs/x")[1:] == (2.0, "runs/x")
    assert functions.part("runs/x")[1:] == (1.0, "runs/x")


def test_no_file_decides_that_code_is_run():
    """Neither the settings of a run, nor who loads it."""
    made = record({"algorithm": "lm_grpo", "env": "addition", "reward": "mine.py:lengths"})
    task = made.world()
    with pytest.raises(ValueError) as error:
        task.judge(some(task, 2), task.demonstration(some(task, 2)))
    sentence = "reward must be named on the command line to be run: --reward mine.py:lengths"
    hold_sentence(str(error.value), sentence)
    with pytest.raises(ValueError):
        others.check(made)


def test_a_reward_that_raises_loses_no_state(tmp_path):
    """What comes of the run in the end is the same as if it had not."""
    made = record(MADE | {"reward": TEXTS, "seeds": 2})._replace(called=True)
    functions = programs(made)
    whole = trained(made, tmp_path / "whole", functions).folder
    (tmp_path / "trouble").write_text("200")  # calls that go well
    with pytest.raises(RewardError) as error:
        trained(made, tmp_path / "run", functions)
    words = "reward 'mine.py:of_sevens' raised KeyError: 'seven\\nis bad.' for the prompt '"
    hold_sentence(str(error.value), words, "and the response '")
    (tmp_path / "trouble").unlink()
    files = drive.journal(tmp_path / "run")
    position, passed = drive.resumed(made, functions, files)
    assert position.update > 0 and not passed
    position = drive.drive(made, functions, position, files, QUIET)
    finish.finish(made, functions, position, tmp_path / "run")
    for name in ("metrics.jsonl", "policy.safetensors", "evaluation.json"):
        assert (tmp_path / "run" / name).read_bytes() == (whole / name).read_bytes()
    said = shlex.join(["--reward", TEXTS[0], "--reward", TEXTS[1]])
    assert f"whole/config.yaml {said}" in (whole / "README.md").read_text()
    assert isinstance(jaxrl.load("run").answer("1+2="), str)


def test_the_command_line_says_how_to_go_on(tmp_path, capsys):
    (tmp_path / "trouble").write_text("10")
    words = f"train lm_sft {SMALL} --reward mine.py:of_sevens --total-steps 3200 --out run"
    assert main(words.split()) == 1
    out, err = capsys.readouterr()
    hold_sentence(err.strip(), "jaxrl: reward 'mine.py:of_sevens' raised KeyError")
    assert "go on with: jaxrl train --resume run --reward mine.py:of_sevens" in out
    assert main(["train", "--resume", "run", "--quiet"]) == 2
    hold_sentence(capsys.readouterr().err.strip(), "to be run: --reward mine.py:of_sevens")


@pytest.mark.slow
def test_a_sweep_that_meets_it_ends_in_one_sentence(tmp_path, capsys):
    (tmp_path / "trouble").write_text("10")
    words = f"sweep lm_rloo {SMALL} --reward mine.py:of_sevens --total-steps 320 --grid lr=0,0.01"
    assert main(f"{words} --out s".split()) == 1
    hold_sentence(capsys.readouterr().err.strip(), "reward 'mine.py:of_sevens' raised KeyError")
    assert not (tmp_path / "s").exists()
    (tmp_path / "trouble").unlink()
    assert main(f"{words} --out s".split()) == 0
    assert "best.yaml --reward mine.py:of_sevens" in capsys.readouterr().out


MISTAKES = (
    ("mine.py:nan", "'mine.py:nan' must give a finite number, not nan for the prompt"),
    ("mine.py:one", "'mine.py:one' must give 4 numbers, one for each response, not 1"),
    ("mine.py:odd", "of (prompt, response) or (prompts, responses), not of (text): 'mine.py:odd'"),
    ("mine.py:none", "must be a function of its file, and there is none: 'mine.py:none'"),
    ("mine.py:five", "must be a function of its file, and there is none: 'mine.py:five'"),
    ("mine.py:away", "'mine.py:away' raised SystemExit: 3 for the prompt"),
    ("mine.py:least", "must be a function of (prompt, response) or", "not of (...)"),
    ("none.py:f", "reward must be in a file that is there, not 'none.py:f'"),
    ("bad.py:f", "must be in a file that can be run: SyntaxError: invalid syntax"),
    ("mine.py", "must be FILE.py:function or a run's folder", "not 'mine.py'"),
    ("x*mine.py:nan", "or WEIGHT* and one of these, not 'x*mine.py:nan'"),
    ("nan*mine.py:one", "not 'nan*mine.py:one'"),
    ("mine.py:lengths --reward mine.py:lengths", "reward must name each reward once"),
)


@pytest.mark.parametrize(("reward", "words"), [(x, words) for x, *words in MISTAKES], ids=str)
def test_a_mistake_is_one_sentence_and_leaves_nothing(reward, words, tmp_path, capsys):
    before = set(tmp_path.iterdir())
    assert main(f"train lm_grpo {SMALL} --reward {reward}".split()) == 2
    out, err = capsys.readouterr()
    assert not out and set(tmp_path.iterdir()) == before | set(tmp_path.glob("__pycache__"))
    hold_sentence(err.strip(), "jaxrl: ", *words)


def test_large_arrays_arrive_whole():
    """More numbers than are handed over at once, while what they are made of is still computed."""
    task = addition(digits=1, num_train=30, num_test=3)
    prompts = some(task, 2)
    response = task.demonstration(prompts)
    size = PIECE // task.num_tokens + 7
    wide = jax.tree.map(lambda x: jnp.repeat(jnp.asarray(x), size, x.ndim - 1), response)
    reward = in_jit(host_reward({"n": (each(lambda p, r: len(r)), 1.0)}, task.tokenizer))
    lengths = jax.jit(reward)(prompts, wide)
    assert lengths.shape == (2, size)
    expected = np.asarray(response.mask.sum(0)) - 1
    np.testing.assert_array_equal(lengths, np.broadcast_to(expected, lengths.shape))


def test_what_is_no_error_of_a_reward_stays_what_it_is():
    for error in (ValueError("Other: no."), RewardError("a")):
        with pytest.raises(type(error), match=re.escape(str(error))), told():
            raise error
