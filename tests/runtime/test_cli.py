"""The command line: what it trains and leaves behind, how it goes on, and how it says no."""

import json
import os
import signal
import subprocess
import sys
import time

import jax
import numpy as np
import pytest
import yaml

import jaxrl
from jaxrl.config import hints, replace
from jaxrl.runtime.cli import VERBS, main
from jaxrl.runtime.flags import read, shown
from jaxrl.runtime.folder import locked
from jaxrl.runtime.record import record
from jaxrl.runtime.verbs import train
from jaxrl.train import make_train
from jaxrl.zoo import ZOO, tuned
from tests.sentences import hold_sentence

SMALL = "--env CartPole-v1 --num-envs 4 --num-steps 16 --num-minibatches 2 --hidden-sizes 8,8"
SMALL_RUN = f"{SMALL} --total-steps 1e3 --no-cache"


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    """An empty folder to stand in, and an environment to change."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NPROC", "1")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A trained run."""
    path = tmp_path_factory.mktemp("cli") / "run"
    words = "--evaluate-every 500 --seed 3 --lr 0.01 --env-param max_steps_in_episode=50"
    assert main(f"train ppo {SMALL_RUN} {words} --quiet --out {path}".split()) == 0
    return path


HELP = [[], ["--help"], ["--version"], *([verb, "--help"] for verb in VERBS)]
HELP += [["train", "ppo", "--help"], ["sweep", "a2c", "--help"], ["train", "x"], ["fly"]]


def test_help_and_mistakes_of_the_first_words_come_without_jax() -> None:
    code = (
        "import sys; from jaxrl.runtime.cli import main\n"
        f"codes = [main(words) for words in {HELP}]\n"
        "assert set(codes[:-2]) == {0} and codes[-2:] == [2, 2], codes\n"
        "assert not {'jax', 'numpy', 'matplotlib'} & set(sys.modules)"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert "--clip-eps" in run.stdout and all(verb in run.stdout for verb in VERBS)
    wrong_algorithm, wrong_verb = run.stderr.splitlines()
    hold_sentence(wrong_algorithm, "jaxrl: there is no algorithm 'x'")
    hold_sentence(wrong_verb, "jaxrl: there is no verb 'fly'; there are algos, bench")


def test_help_comes_at_once() -> None:
    command = [sys.executable, "-m", "jaxrl", "train", "ppo", "--help"]
    start = time.perf_counter()
    subprocess.run(command, capture_output=True, check=True)
    assert time.perf_counter() - start < 2.0  # 0.2 where nothing else runs


def test_help_of_an_algorithm_shows_what_was_tuned(capsys) -> None:
    assert main(["train", "ppo", "--help"]) == 0
    plain = capsys.readouterr().out
    assert main(["train", "ppo", "--env", "CartPole-v1", "--help"]) == 0
    told = capsys.readouterr().out
    assert "--clip-eps" in plain and "--no-anneal-lr" in plain and "[0.00025]" in plain
    assert "[0.002]" in told and "[0.00025]" not in told


def test_a_run_leaves_all_of_its_files(folder) -> None:
    names = {"config.yaml", "command.txt", "versions.json", "metrics.jsonl", "clock.jsonl"}
    names |= {"checkpoints", "policy.safetensors", "evaluation.json", "curve.png", "README.md"}
    assert {path.name for path in folder.iterdir()} == names
    values = yaml.safe_load((folder / "config.yaml").read_text())
    assert values["algorithm"] == "ppo" and values["total_steps"] == 1000 and values["seed"] == 3
    assert values["lr"] == 0.01 and values["hidden_sizes"] == [8, 8]
    run = jaxrl.load(folder)
    assert run.metrics["steps"].tolist() == [448, 896, 960]
    assert (run.metrics["eval_return"] <= 50).all() and (run.evaluation or {})["unfinished"] == 0
    versions = json.loads((folder / "versions.json").read_text())
    assert versions["jax"] == jax.__version__ and versions["jaxrl"] == jaxrl.__version__
    assert (folder / "curve.png").read_bytes().startswith(b"\x89PNG")


def test_a_run_says_what_it_did_and_what_comes_next(capsys, tmp_path) -> None:
    assert main(f"train ppo {SMALL_RUN}".split()) == 0
    (path,) = (tmp_path / "runs").iterdir()
    assert path.name.startswith("ppo-CartPole-v1-20")
    out = capsys.readouterr().out
    result = json.loads((path / "evaluation.json").read_text())
    assert f"score {result['mean_return']:.1f} ± {result['std_return']:.1f}" in out
    assert f"next: jaxrl render runs/{path.name}" in out and "\x1b" not in out


def test_a_run_is_the_one_of_make_train(folder) -> None:
    sizes = {"num_envs": 4, "num_steps": 16, "num_minibatches": 2, "hidden_sizes": (8, 8)}
    config = tuned("ppo", "CartPole-v1", lr=0.01, **sizes)[0]
    limit = {"max_steps_in_episode": 50}
    training = make_train(config, "CartPole-v1", 1000, 500, env_params=limit)
    metrics = jax.jit(training)(jax.random.key(3))[1]
    ours = jaxrl.load(folder).metrics
    for name in ("episode_return", "policy_loss", "eval_return"):
        np.testing.assert_allclose(ours[name][0], metrics[name].mean, rtol=1e-3, atol=1e-5)


def test_its_own_file_trains_it_again(folder, tmp_path) -> None:
    assert main(f"train --config {folder}/config.yaml --out again --quiet --no-cache".split()) == 0
    old, new = ((path / "metrics.jsonl").read_bytes() for path in (folder, tmp_path / "again"))
    assert old == new


def test_flags_win_over_the_file(folder, tmp_path) -> None:
    words = f"train ppo --config {folder}/config.yaml --lr 0.5 --out again --quiet --no-cache"
    assert main(words.split()) == 0
    assert jaxrl.load("again").config.lr == 0.5


def test_nan_is_told_and_what_was_good_is_kept(tmp_path, capsys) -> None:
    words = f"train ppo {SMALL_RUN} --lr 1e38 --max-grad-norm 1e38 --out bad --quiet"
    assert main(words.split()) == 1
    hold_sentence(capsys.readouterr().err.strip(), "seed 0: update 0 was refused", "NaN")
    assert json.loads((tmp_path / "bad" / "evaluation.json").read_text())["mean_return"] > 0


def test_a_finished_run_can_be_resumed_and_stays_what_it_is(folder, capsys) -> None:
    before = (folder / "metrics.jsonl").read_bytes()
    assert main(f"train --resume {folder} --quiet --no-cache".split()) == 0
    assert (folder / "metrics.jsonl").read_bytes() == before
    assert main(f"train ppo --resume {folder} --lr 0.5".split()) == 2
    message = capsys.readouterr().err.strip()
    hold_sentence(message, "lr is 0.5 and was 0.01")


def test_another_version_goes_on_and_is_told(folder, capsys) -> None:
    path = folder / "versions.json"
    text = path.read_text()
    path.write_text(text.replace(f'"jax": "{jax.__version__}"', '"jax": "0.1"'))
    assert main(f"train --resume {folder} --quiet --no-cache".split()) == 0
    path.write_text(text)
    hold_sentence(capsys.readouterr().err.strip(), "not bit for bit", "jax 0.1 is now")


def test_force_replaces_a_run_and_nothing_else(tmp_path, capsys) -> None:
    words = f"train ppo {SMALL_RUN} --quiet --out here"
    assert main(words.split()) == 0
    assert main(words.split()) == 2
    hold_sentence(capsys.readouterr().err.strip(), "out must be a new or an empty folder")
    (tmp_path / "here" / "mine").touch()
    assert main([*words.split(), "--force"]) == 0 and not (tmp_path / "here" / "mine").exists()
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "cat").touch()
    assert main(f"train ppo {SMALL_RUN} --out photos --force".split()) == 2
    assert (tmp_path / "photos" / "cat").exists()


def test_a_run_that_is_being_trained_is_neither_replaced_nor_resumed(tmp_path, capsys) -> None:
    assert main(f"train ppo {SMALL_RUN} --quiet --out busy".split()) == 0
    capsys.readouterr()
    with locked(tmp_path / "busy"):
        for words in (f"train ppo {SMALL_RUN} --out busy --force", "train --resume busy --quiet"):
            assert main(words.split()) == 2
            message = capsys.readouterr().err.strip()
            hold_sentence(message, "'busy' is being trained by another process")


STRANGE = (
    ("hidden_sizes:\n- 8", "hidden_sizes:\n- 16", "must be float32[1, 16], not float32[1, 8]"),
    ("total_steps: 1000", "total_steps: 500", "is of a longer run than 500 steps"),
)


@pytest.mark.parametrize(("old", "new", "told"), STRANGE)
def test_what_cannot_go_on_is_one_sentence(old, new, told, tmp_path, capsys) -> None:
    assert main(f"train ppo {SMALL_RUN} --quiet --out run".split()) == 0
    config = tmp_path / "run" / "config.yaml"
    assert old in config.read_text()
    config.write_text(config.read_text().replace(old, new))
    before = (tmp_path / "run" / "metrics.jsonl").read_bytes()
    capsys.readouterr()
    assert main(["train", "--resume", "run", "--quiet", "--no-cache"]) == 2
    hold_sentence(capsys.readouterr().err.strip(), "resume must be a run that can go on", told)
    assert (tmp_path / "run" / "metrics.jsonl").read_bytes() == before


def test_who_interrupts_or_lacks_a_letter_sees_no_traceback(monkeypatch, tmp_path) -> None:
    def stop(verb, words):
        raise KeyboardInterrupt

    monkeypatch.setattr("jaxrl.runtime.cli._prepared", stop)
    assert main(["algos"]) == 130
    code = "import sys; from jaxrl.runtime.cli import main, VERBS; VERBS['α'] = 'β'; main([])"
    ascii_only = os.environ | {"PYTHONIOENCODING": "ascii"}
    done = subprocess.run([sys.executable, "-c", code], env=ascii_only, capture_output=True)
    assert done.returncode == 0 and b"?" in done.stdout and not done.stderr


def test_several_seeds_are_one_run(tmp_path) -> None:
    assert main(f"train ppo {SMALL_RUN} --seeds 3 --devices 1 --quiet --out here".split()) == 0
    run = jaxrl.load("here")
    assert run.seeds == (0, 1, 2) and run.metrics["episode_return"].shape == (3, 15)


def test_eval_plays_and_prints(folder, capsys) -> None:
    assert main(f"eval {folder} --episodes 7 --json".split()) == 0
    numbers = json.loads(capsys.readouterr().out)
    assert numbers["num_episodes"] == 7 and numbers["mean_return"] <= 50
    assert main(f"eval {folder} --episodes 7 --stochastic --luck 3".split()) == 0
    assert "seed 3: " in capsys.readouterr().out


def test_sweep_leaves_a_table_a_picture_and_settings_to_train_with(tmp_path, capsys) -> None:
    words = f"{SMALL_RUN} --seeds 2 --grid lr=1e-4,1e-2 gamma=0.9,0.99 --out s --quiet"
    assert main(f"sweep ppo {words}".split()) == 0
    assert {path.name for path in (tmp_path / "s").iterdir()} == {
        *("best.yaml", "sensitivity.png", "sweep.csv")
    }
    assert len((tmp_path / "s" / "sweep.csv").read_text().splitlines()) == 9
    best = yaml.safe_load((tmp_path / "s" / "best.yaml").read_text())
    assert f"best: lr = {best['lr']:g}, gamma = {best['gamma']:g}" in capsys.readouterr().out
    assert record(best).config.lr in (1e-4, 1e-2)
    words = f"{SMALL_RUN} --random 3 --range lr=1e-4,1e-2 --out r --quiet"
    assert main(f"sweep ppo {words}".split()) == 0
    assert len((tmp_path / "r" / "sweep.csv").read_text().splitlines()) == 4


def test_a_sweep_in_which_no_episode_ends_leaves_its_table(tmp_path, capsys) -> None:
    words = SMALL.replace("CartPole-v1", "Pendulum-v1") + " --total-steps 128 --no-cache --quiet"
    assert main(f"sweep ppo {words} --grid lr=1e-4 --grid gamma=0.9,0.99 --out s".split()) == 0
    assert [path.name for path in (tmp_path / "s").iterdir()] == ["sweep.csv"]
    assert len((tmp_path / "s" / "sweep.csv").read_text().splitlines()) == 3
    assert "no setting has a score: no episode ended" in capsys.readouterr().out


LONG = f"train ppo {SMALL} --total-steps 1e9 --checkpoint-every 1e8 --no-cache --quiet --out run"


def jaxrl_command(words: str, blocks: str = "unlimited") -> list[str]:
    """The command in a process of its own, whose files may have so many blocks of 1024 bytes."""
    line = f"ulimit -f {blocks}; exec {sys.executable} -m jaxrl {words}"
    return ["bash", "-c", line]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_saves_and_says_how_to_go_on(number, tmp_path) -> None:
    process = subprocess.Popen(jaxrl_command(LONG), stdout=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 120
    while not (tmp_path / "run" / "config.yaml").exists():
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.1)
    time.sleep(0.5)
    process.send_signal(number)
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 128 + number
    assert "stopped; go on with: jaxrl train --resume run" in out.splitlines()
    assert jaxrl.load("run").state().num_updates >= 0
    assert not [path for path in (tmp_path / "run").rglob(".*")]


@pytest.mark.parametrize(("blocks", "left"), [("0", []), ("2", ["run"])])
def test_a_full_disk_is_one_sentence_and_leaves_nothing_half_written(
    blocks, left, tmp_path
) -> None:
    words = f"train ppo {SMALL_RUN} --quiet --out run"
    done = subprocess.run(jaxrl_command(words, blocks), capture_output=True, text=True)
    assert done.returncode == 1
    hold_sentence(done.stderr.strip(), "jaxrl: File too large")
    assert [path.name for path in tmp_path.iterdir()] == left
    assert not list((tmp_path / "run").rglob(".*"))


MISTAKES = (
    ("algos all", "no option 'all' of jaxrl algos"),
    ("eval", "required: run"),
    ("eval nowhere", "'nowhere' is no run's folder"),
    ("train --resume nowhere", "'nowhere' is no run's folder"),
    ("train --resume a --out b", "leave out --out and --force"),
    ("train --config nowhere", "config must be a readable file, not 'nowhere'"),
    (f"train ppo {SMALL} --seeds 3 --devices 2", "devices must divide seeds"),
    (f"train ppo {SMALL} --devices 3", "devices must divide num_envs = "),
    ("train dqn --env CartPole-v1 --devices 2", "devices must be 1 with dqn, not 2"),
    (f"train ppo {SMALL} --log paper", "log", "not 'paper'"),
    (f"sweep ppo {SMALL}", "sweep needs either --grid NAME=A,B or --random N"),
    (f"sweep ppo {SMALL} --grid lr=1,2 --out .", "out must be a new or an empty folder, not '.'"),
    (f"sweep ppo {SMALL} --grid lr", "grid must be of the form name=1,2, not 'lr'"),
    (f"sweep ppo {SMALL} --grid num_envs=4,8", "ppo.num_envs is static"),
    (f"sweep ppo {SMALL} --random 2 --range lr=1", "range lr must be LOW,HIGH"),
    (f"sweep ppo {SMALL} --random 2 --range lr=0,inf", "range lr must be LOW,HIGH"),
    (f"sweep ppo {SMALL} --grid lr=1,2 --range gamma=0,1", "sweep needs either --grid"),
    (f"sweep ppo {SMALL} --grid lr=1,2 --grid lr=3", "grid must name lr once, not again as 'lr=3'"),
    (f"sweep ppo {SMALL} --grid lr=1,1", "grid must have values that differ, not 'lr=1,1'"),
    ("train", "train needs the name of an algorithm first"),
    ("train --env CartPole-v1", "train needs the name of an algorithm first"),
    ("train ppo --env CartPole-v1 --config file", "must hold lines of the form name: value"),
    ("train pppo --env CartPole-v1", "no algorithm 'pppo'", "ppo"),
    ("train ppo", "env must be a name, as in"),
    ("train ppo --env", "--env", "expected one argument"),
    ("train ppo --env Cartpole", "env must be", "CartPole-v1", "not 'Cartpole'"),
    ("train pqn --env Pendulum-v1", "pqn needs a Discrete action space"),
    (f"train ppo {SMALL} --distribution squashed_gaussian", "ppo.distribution must be None"),
    (f"train ppo {SMALL} --clip-epsilon 3", "no option '--clip-epsilon'", "--clip-eps"),
    (f"train ppo {SMALL} extra", "no option 'extra' of jaxrl train"),
    (f"train ppo {SMALL} --gamma 1.5", "ppo.gamma must be a number in [0, 1], not 1.5"),
    (f"train ppo {SMALL} --gamma high", "ppo.gamma must be a number in [0, 1], not 'high'"),
    (f"train ppo {SMALL} --clip-eps -1", "ppo.clip_eps must be a number of at least 0, not -1.0"),
    (f"train ppo {SMALL} --lr none", "ppo.lr must be a number of at least 0, not 'none'"),
    (f"train ppo {SMALL} --num-envs 2.5", "ppo.num_envs must be an integer", "not '2.5'"),
    (f"train ppo {SMALL} --hidden-sizes 8,x", "ppo.hidden_sizes must be a tuple", "not '8,x'"),
    (f"train ppo {SMALL} --torso rnn", "ppo.torso must be one of 'mlp', 'cnn', not 'rnn'"),
    (f"train ppo {SMALL} --num-minibatches 7", "ppo.num_minibatches must divide the batch of 64"),
    (f"train ppo {SMALL} --num-envs 2147483648", "ppo.num_envs must be less than 2^31, not"),
    (f"train ppo {SMALL} --hidden-sizes 8,2147483648", "ppo.hidden_sizes must be less than 2^31"),
    ("train ppo --env addition", "env must be an environment, not 'addition'", "a task of lm_"),
    (f"train ppo {SMALL} --env-param gravity=nan", "gravity must be a number, not nan"),
    (f"train ppo {SMALL} --total-steps 3", "total_steps must be at least one update", "not 3"),
    (f"train ppo {SMALL} --total-steps 99.5", "total_steps must be an integer", "not '99.5'"),
    (f"train ppo {SMALL} --total-steps 0", "total_steps must be an integer of at least 1, not '0'"),
    (f"train ppo {SMALL} --evaluate-every x", "evaluate_every must be an integer", "not 'x'"),
    (f"train ppo {SMALL} --seed -1", "seed must be an integer of at least 0, not '-1'"),
    (f"train ppo {SMALL} --seed 4294967296", "seed must be an integer of at most 2147483647"),
    (f"train ppo {SMALL} --seed 2147483640 --seeds 16", "seed must be at most 2^31 - seeds"),
    (f"train ppo {SMALL} --total-steps 1e13", "total_steps must be less than 2^31 updates"),
    (f"train ppo {SMALL} --out {'x' * 300}", "File name too long"),
    (f"train ppo {SMALL} --env-param 3", "env_param must be of the form name=number, not '3'"),
    (f"train ppo {SMALL} --env-param mass=3", "mass is not a parameter of CartPole-v1", "masscart"),
    (f"train ppo {SMALL} --out file/in", "out must be a folder that can be written, not 'file/in'"),
    (f"train ppo {SMALL} --out .", "out must be a new or an empty folder, not '.'"),
)


def test_what_no_memory_holds_is_said_in_one_line(tmp_path, capsys) -> None:
    size = "--hidden-sizes 10000000,10000000"
    assert (
        main(f"train ppo {SMALL} {size} --quiet --no-cache --out {tmp_path / 'run'}".split()) == 1
    )
    hold_sentence(capsys.readouterr().err.strip(), "jaxrl: out of memory allocating", "bytes")


@pytest.mark.parametrize(("line", "words"), [(line, w) for line, *w in MISTAKES], ids=str)
def test_a_mistake_is_one_sentence_and_leaves_nothing(line, words, tmp_path, capsys) -> None:
    (tmp_path / "file").touch()
    assert main(line.split()) == 2
    out, err = capsys.readouterr()
    assert not out and err.startswith("jaxrl: ")
    hold_sentence(err.strip(), *words)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


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


def test_small_networks_take_one_thread_unless_the_user_said_otherwise(monkeypatch) -> None:
    made = record({"algorithm": "ppo", "env": "CartPole-v1"})
    small, large = replace(ZOO["ppo"].config, num_envs=4), ZOO["ppo"].config
    for config, before, after in (
        (small, None, "1"),
        (small, "8", "8"),
        (replace(large, hidden_sizes=(512, 512)), None, None),
    ):
        monkeypatch.delenv("NPROC", raising=False)
        if before:
            monkeypatch.setenv("NPROC", before)
        train.choose_threads(made._replace(config=config))
        assert os.environ.get("NPROC") == after
