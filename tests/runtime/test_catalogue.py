"""The catalogue: what help, lists and completion tell is what the zoo itself says."""

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from jaxrl import index
from jaxrl.config import hints
from jaxrl.language_zoo import LANGUAGE
from jaxrl.runtime import catalogue
from jaxrl.runtime.cli import main
from jaxrl.runtime.flags import shown
from jaxrl.tasks import TASKS
from jaxrl.types import Box, Discrete, MultiDiscrete
from jaxrl.zoo import TUNED, ZOO
from tests.sentences import hold_sentence

ROOT = Path(__file__).resolve().parents[2]


def test_every_field_of_every_algorithm_is_there() -> None:
    assert catalogue.algorithms() == [*ZOO, *LANGUAGE]
    for name, entry in [*ZOO.items(), *LANGUAGE.items()]:
        known = catalogue.algorithm(name)
        assert list(known.fields) == list(hints(type(entry.config))) and known.summary
        for field, told in known.fields.items():
            assert shown(told.default) == shown(getattr(entry.config, field)) and told.help
        assert {env: set(x) for env, x in known.tuned.items()} == {
            env: set(x) for env, x in TUNED.get(name, {}).items()
        }


def test_fields_tell_what_they_take() -> None:
    fields = catalogue.fields("ppo")
    assert fields["lr"].type == "a number of at least 0" and not fields["lr"].choices
    assert fields["memory"].choices == ["gru", "lstm", "none"]
    assert fields["torso"].choices == ["mlp", "cnn"]


def test_tuned_settings_stand_in_for_defaults() -> None:
    plain, tuned = catalogue.fields("ppo"), catalogue.fields("ppo", "CartPole-v1")
    changed = TUNED["ppo"]["CartPole-v1"]
    for field in plain:
        expected = changed.get(field, getattr(ZOO["ppo"].config, field))
        assert shown(tuned[field].default) == shown(expected)
    assert tuned["lr"].default != plain["lr"].default


@pytest.mark.parametrize(
    ("name", "actions"),
    [
        ("ppo", ["discrete", "multi-discrete", "continuous"]),
        ("pqn", ["discrete"]),
        ("actor_critic", ["discrete"]),
        ("lm_dapo", ["text"]),
    ],
)
def test_an_algorithm_tells_the_actions_it_takes(name, actions) -> None:
    assert catalogue.algorithm(name).actions == actions


@pytest.mark.parametrize(
    ("space", "words"),
    [
        (Discrete(3), "3 choices"),
        (MultiDiscrete((2, 5)), "2 choices of 2, 5"),
        (Box(-2.0, 2.0, (1,)), "1 number in [-2, 2]"),
        (Box(0.0, 1.0, (10, 4)), "10 × 4 numbers in [0, 1]"),
        (Box(float("-inf"), float("inf"), (3,)), "3 numbers"),
        (Box(-3.4e38, 3.4e38, (3,)), "3 numbers"),
    ],
)
def test_spaces_are_told_in_words(space, words) -> None:
    assert index.in_words(space) == words


def test_environments_are_those_that_go_by_a_name() -> None:
    from jaxrl.envs import environments

    found = catalogue.environments()
    assert list(found) == environments() and "FrozenLake" in found
    assert found["FrozenLake"] == ("16 choices", "4 choices")
    assert found["Pendulum-v1"] == ("3 numbers", "1 number in [-2, 2]")
    assert list(catalogue.tasks()) == list(TASKS)
    assert catalogue.tasks()["addition"].action == "text of 4 tokens at most, of 14"


def test_a_stale_catalogue_is_noticed(monkeypatch, tmp_path) -> None:
    path = ROOT / "jaxrl" / "runtime" / "catalogue.json"
    text = index.catalogue(ROOT)
    assert path.read_text("utf-8") == text
    monkeypatch.setitem(TUNED["ppo"]["CartPole-v1"], "lr", 0.125)
    assert index.catalogue(ROOT) != text
    monkeypatch.setattr(index, "catalogue", lambda root: "{}")
    stale = "jaxrl/runtime/catalogue.json is stale: run python -m jaxrl.index --write"
    assert stale in index.stale(ROOT)


def test_an_unknown_algorithm_is_told_the_closest() -> None:
    with pytest.raises(ValueError) as error:
        catalogue.algorithm("pppo")
    hold_sentence(str(error.value), "no algorithm 'pppo'", "ppo")


def test_lists_show_all_of_it(capsys) -> None:
    assert main(["algos"]) == 0 and main(["envs"]) == 0
    out = capsys.readouterr().out
    words = set(out.replace(",", "").split())
    assert {*ZOO, *LANGUAGE, *catalogue.environments(), *TASKS, "continuous"} <= words
    ppo = next(line for line in out.splitlines() if line.startswith("ppo "))
    assert catalogue.algorithm("ppo").summary in ppo and "Pendulum-v1" in ppo


def test_a_reader_who_has_gone_is_no_failure() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    command = [sys.executable, "-m", "jaxrl", "algos"]
    done = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, cwd=ROOT)
    os.close(writer)
    assert (done.returncode, done.stderr) == (141, b"")


def test_help_and_lists_come_without_jax() -> None:
    code = (
        "import sys; from jaxrl.runtime.cli import main\n"
        "words = (['algos'], ['envs'], ['train', 'ppo', '--help'], ['completion', 'bash'])\n"
        "assert [main(w) for w in words] == [0] * 4\n"
        "assert not {'jax', 'numpy', 'matplotlib'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, cwd=ROOT)


@pytest.mark.slow
def test_the_wheel_holds_the_catalogue(tmp_path) -> None:
    command = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "-q",
        "--no-deps",
        "-w",
        str(tmp_path),
        str(ROOT),
    ]
    subprocess.run(command, check=True, timeout=300)
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        content = json.loads(archive.read("jaxrl/runtime/catalogue.json"))
    assert list(content["algorithms"]) == [*ZOO, *LANGUAGE]
