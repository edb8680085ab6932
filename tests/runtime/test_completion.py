"""Completion: bash itself is asked what it would offer."""

import shutil
import subprocess

import pytest

from jaxrl.runtime import catalogue, cli
from jaxrl.runtime.completion import script

ASK = """
COMP_WORDS=({words}) COMP_CWORD={last}
_jaxrl
printf '%s\\n' "${{COMPREPLY[@]}}"
"""


@pytest.fixture(scope="module")
def bash() -> str:
    return script("bash")


def offered(source: str, line: str) -> list[str]:
    """What bash offers at the end of a line; an empty word there is written ''."""
    words = line.split(" ")
    ask = ASK.format(words=" ".join(w or "''" for w in words), last=len(words) - 1)
    command = ["bash", "--norc", "--noprofile", "-c", source + ask]
    run = subprocess.run(command, capture_output=True, text=True, check=True)
    assert not run.stderr
    return run.stdout.split()


def flags(name: str) -> set[str]:
    return {f"--{field.replace('_', '-')}" for field in catalogue.fields(name)}


def test_verbs(bash) -> None:
    assert offered(bash, "jaxrl ") == list(cli.VERBS)
    assert offered(bash, "jaxrl co") == ["compare", "completion"]


def test_algorithms_and_their_fields(bash) -> None:
    assert set(catalogue.algorithms()) <= set(offered(bash, "jaxrl train "))
    assert offered(bash, "jaxrl train pp") == ["ppo", "ppo_penalty"]
    assert offered(bash, "jaxrl bench pq") == ["pqn"]
    for name in ("ppo", "pqn"):
        known = set(offered(bash, f"jaxrl train {name} --env CartPole-v1 --"))
        assert flags(name) | {"--env", "--seeds", "--no-anneal-lr", "--help"} <= known
    assert "--clip-eps" not in offered(bash, "jaxrl train pqn --")
    assert offered(bash, "jaxrl train ppo --clip-eps-") == ["--clip-eps-high"]
    assert flags("a2c") <= set(offered(bash, "jaxrl sweep a2c --"))


def test_environments_and_choices_follow_their_flags(bash) -> None:
    assert offered(bash, "jaxrl train ppo --env Pend") == ["Pendulum-v1"]
    assert offered(bash, "jaxrl train ppo --log t") == ["tensorboard", "trackio"]
    assert offered(bash, "jaxrl train ppo --memory ") == ["gru", "lstm", "none"]
    assert offered(bash, "jaxrl train ppo --lr 1e-3 --torso c") == ["cnn"]


def test_other_verbs(bash) -> None:
    assert offered(bash, "jaxrl completion ") == ["bash", "zsh", "--help"]
    assert offered(bash, "jaxrl eval runs/x --epi") == ["--episodes"]
    assert offered(bash, "jaxrl eval ru") == []  # files: bash's own


def test_zsh_reads_its_script() -> None:
    text = script("zsh")
    assert text.startswith("#compdef jaxrl\n") and "compdef _jaxrl jaxrl" in text
    if shutil.which("zsh"):
        subprocess.run(["zsh", "-n"], input=text, text=True, check=True)
