"""Every verb's mistakes as a user meets them: a process that ends with 2 and one sentence."""

import subprocess
import sys

import pytest

from tests.sentences import hold_sentence

MISTAKES = {
    "train ppo --env CartPole-v1 --gama 1": "no option '--gama'",
    "train ppo --env Cart": "env must be",
    "eval nowhere": "is no run's folder",
    "render nowhere": "is no run's folder",
    "plot nowhere": "is no run's folder",
    "compare nowhere": "is no run's folder",
    "export nowhere": "is no run's folder",
    "sweep ppo --env CartPole-v1": "sweep needs either",
    "bench nothing": "no algorithm 'nothing'",
    "algos all": "no option 'all'",
    "envs all": "no option 'all'",
    "info all": "no option 'all'",
    "completion fish": "fish",
}


@pytest.mark.parametrize("words", MISTAKES)
def test_a_mistake_ends_with_two_and_one_sentence(words, tmp_path) -> None:
    command = [sys.executable, "-m", "jaxrl", *words.split()]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 2 and not done.stdout
    hold_sentence(done.stderr.strip(), "jaxrl: ", MISTAKES[words])
    assert not list(tmp_path.iterdir())
