"""Language models on the command line: trained, stopped, asked, compared, and begun with."""

import shutil

import jax
import numpy as np
import pytest

import jaxrl
from jaxrl.families.headed import reward_model
from jaxrl.families.language import LanguageSetting, model
from jaxrl.language_zoo import LANGUAGE
from jaxrl.runtime import checkpoint, drive, finish, folder, others, tensors
from jaxrl.runtime.cli import main
from jaxrl.runtime.programs import programs
from jaxrl.runtime.record import read_yaml, record, write_yaml
from tests.runtime.runs import QUIET, trained
from tests.sentences import hold_sentence

TASK = "--env addition --env-param digits=1 --env-param num_test=20"
SIZES = {
    "num_layers": 1,
    "width": 8,
    "num_heads": 2,
    "num_prompts": 4,
    "group_size": 4,
    "num_minibatches": 1,
    "total_steps": 160,
}
FLAGS = " ".join(f"--{name.replace('_', '-')} {size}" for name, size in SIZES.items())
SMALL = f"{TASK} {FLAGS} --no-cache"
MADE = {"algorithm": "lm_grpo", "env": "addition", "env_params": {"digits": 1, "num_test": 20}}
MADE |= SIZES | {"seeds": 2, "evaluate_every": 80, "checkpoint_every": 80, "lr": 0.01}


@pytest.fixture(scope="module")
def functions():
    return programs(record(MADE))


@pytest.fixture(scope="module")
def trained_run(tmp_path_factory, functions):
    """A trained run of two seeds."""
    return trained(record(MADE), tmp_path_factory.mktemp("language") / "run", functions).folder


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("name", LANGUAGE)
def test_a_file_gives_back_what_was_written(name, tmp_path) -> None:
    made = record({"algorithm": name, "env": "any", "env_params": {"digits": 3}, "start": "a/b"})
    (tmp_path / "a.yaml").write_text(write_yaml(made))
    assert record(read_yaml(tmp_path / "a.yaml")) == made


def test_it_goes_on_where_it_stopped_and_changes_no_bit(trained_run, functions, tmp_path) -> None:
    shutil.copytree(trained_run, tmp_path / "run")
    made, old = record(MADE), jaxrl.load(trained_run)
    checkpoints = sorted((tmp_path / "run" / "checkpoints").iterdir())
    assert [int(path.stem) for path in checkpoints] == [5, 10]
    checkpoints[-1].unlink()
    files = drive.journal(tmp_path / "run")
    position, passed = drive.resumed(made, functions, files)
    assert position.update == 5 and not passed
    position = drive.drive(made, functions, position, files, QUIET)
    new = finish.finish(made, functions, position, tmp_path / "run")
    for name in ("metrics.jsonl", "policy.safetensors", "evaluation.json"):
        assert (new.folder / name).read_bytes() == (trained_run / name).read_bytes()
    assert new.metrics["steps"].tolist() == [80, 160]
    assert (new.metrics["entropy"][0] != new.metrics["entropy"][1]).all()
    assert new.state(1).num_tokens == old.state(1).num_tokens > 160


def test_it_answers_greedily_and_by_chance(trained_run) -> None:
    run = jaxrl.load(trained_run)
    prompts = ["1+2=", "3+4=", "9+9="]
    answers = run.answer(prompts, seed=1)
    assert answers == [run.answer(prompt, seed=1) for prompt in prompts]
    assert all(isinstance(text, str) and len(text) <= 4 for text in answers)
    drawn = [run.answer("1+2=", jax.random.key(i)) for i in range(8)]
    assert len(set(drawn)) > 1 and drawn[0] == run.answer("1+2=", jax.random.key(0))
    for wrong, sentence in (("1+2+3=", "text must be of 1 to 4 tokens, not 6"), ("a", "text must")):
        with pytest.raises(ValueError) as error:
            run.answer(wrong)
        hold_sentence(str(error.value), sentence)
    with pytest.raises(ValueError) as error:
        run.act(np.zeros(4))
    hold_sentence(str(error.value), "lm_grpo answers prompts")


def test_the_verbs_speak_of_prompts_and_responses(trained_run, tmp_path, capsys) -> None:
    card = (trained_run / "README.md").read_text()
    assert "160 responses of lm_grpo" in card and "2 seeds of 20 prompts each" in card
    assert "run.answer('" in card and "jaxrl render" not in card
    score = (jaxrl.load(trained_run).evaluation or {})["per_seed"][1]["mean_return"]
    assert main(f"eval {trained_run}".split()) == 0
    assert f"seed 1: {score:.3f} ± " in capsys.readouterr().out
    assert main(f"eval {trained_run} --stochastic --episodes 5 --json".split()) == 0
    assert '"num_episodes": 5' in capsys.readouterr().out
    assert main(f"compare {trained_run} {trained_run}".split()) == 0
    assert "addition digits=1 num_test=20" in capsys.readouterr().out
    assert main(f"plot {trained_run} --metric eval_return --out a.svg".split()) == 0
    assert "responses of each seed" in (tmp_path / "a.svg").read_text()


def test_another_run_starts_from_its_policy(trained_run, capsys) -> None:
    words = f"train lm_rloo {SMALL} --lr 0 --start {trained_run}"
    assert main(f"{words} --out next".split()) == 0
    assert "next: jaxrl plot next, jaxrl eval next" in capsys.readouterr().out
    old, new = jaxrl.load(trained_run), jaxrl.load("next")
    assert new.record.start == str(trained_run)
    learnt = new.learner_state().params, old.learner_state().params
    jax.tree.map(np.testing.assert_array_equal, *learnt)
    assert new.answer(["1+2=", "9+9="]) == old.answer(["1+2=", "9+9="])


@pytest.fixture(scope="module")
def judge(tmp_path_factory):
    """A run of a reward model that has learnt nothing."""
    path = tmp_path_factory.mktemp("judge") / "run"
    changes = {"algorithm": "lm_reward", "seeds": 1, "online": True}
    folder.create(path, {folder.CONFIG: write_yaml(record(MADE | changes))})
    init = jax.jit(lambda key: jaxrl.load(path).learner.init(key, None)._replace(opt_state=()))
    learnt = jax.tree.map(lambda x: x[None], init(jax.random.key(0)))
    tensors.save(path / folder.POLICY, checkpoint.arrays(learnt), {})
    return path


def test_the_reward_of_another_run_is_learnt_from_and_not_tested_by(judge) -> None:
    made = record(MADE | {"algorithm": "lm_ppo", "reward": str(judge)})
    task, plain = made.world(), made._replace(reward=None).world()
    response = plain.demonstration(plain.test)
    speaker = model(made.config, LanguageSetting(plain, 1))
    expected = reward_model(speaker, jaxrl.load(judge).learner_state().params)
    score = jax.jit(task.judge)(plain.test, response)
    np.testing.assert_allclose(score, expected(plain.test, response), rtol=1e-5, atol=1e-6)
    assert score.shape == (20, 1) and task.reward is plain.reward


def test_who_only_answers_needs_no_other_run(trained_run, tmp_path) -> None:
    shutil.copytree(trained_run, tmp_path / "run")
    made = record(MADE | {"start": "gone", "reward": "gone"})
    (tmp_path / "run" / folder.CONFIG).write_text(write_yaml(made))
    assert jaxrl.load("run").answer("1+2=") == jaxrl.load(trained_run).answer("1+2=")
    assert main(["train", "--resume", "run"]) == 2


@pytest.mark.slow
def test_the_stages_follow_each_other(judge, trained_run) -> None:
    words = f"train lm_ppo {SMALL} --start {trained_run} --reward {judge} --quiet --out ppo"
    assert main(words.split()) == 0
    assert main(f"train lm_reward {SMALL} --start ppo --quiet --out again".split()) == 0
    new, old = jaxrl.load("again"), jaxrl.load("ppo")
    learnt = new.learner_state().target, old.learner_state().params["actor"]
    jax.tree.map(np.testing.assert_array_equal, *learnt)
    assert new.answer("1+2=") == old.answer("1+2=")


@pytest.mark.slow
def test_a_sweep_starts_from_it_too(trained_run, tmp_path) -> None:
    words = (
        f"sweep lm_grpo {SMALL} --seeds 2 --grid lr=0,1e-2 --start {trained_run} --out s --quiet"
    )
    assert main(words.split()) == 0
    lines = (tmp_path / "s" / "sweep.csv").read_text().splitlines()
    assert len(lines) == 5 and lines[0].startswith("lr,seed,final")
    assert record(read_yaml(tmp_path / "s" / "best.yaml")).start == str(trained_run)


def test_the_other_function_says_which_one_trains_it() -> None:
    with pytest.raises(ValueError) as error:
        jaxrl.make_train("lm_grpo", env="addition")
    hold_sentence(str(error.value), "lm_grpo learns from prompts", "make_language_train")


def test_tokens_are_compared_as_texts(trained_run) -> None:
    made = jaxrl.load(trained_run).record
    other = made._replace(env="sorting", env_params={}, start=str(trained_run))
    with pytest.raises(ValueError) as error:
        others.start(other)
    hold_sentence(str(error.value), "start must have the task's tokens, not those of addition")


MISTAKES = (
    ("train ppo --env addition", "env must be an environment", "not 'addition'", "a task of lm_"),
    ("train lm_grpo --env CartPole-v1", "no task 'CartPole-v1'", "addition, countdown"),
    ("train lm_grpo --env adition", "no task 'adition'", "the closest are addition"),
    ("train lm_gppo --env addition", "no algorithm 'lm_gppo'", "lm_grpo"),
    (f"train lm_grpo {TASK} --env-param digit=2", "no parameter 'digit' of addition", "digits"),
    (f"train lm_grpo {SMALL} --group-size 1", "lm_grpo.group_size must be at least 2"),
    (f"train lm_dcpo {SMALL} --surrogate cispo", "dual_clip must be None where the surrogate is"),
    (f"train lm_grpo {SMALL} --total-steps 3", "num_prompts × group_size = 16, not 3"),
    (f"train lm_grpo {SMALL} --width 9", "lm_grpo.width must be a multiple of num_heads"),
    (f"train lm_grpo {SMALL} --start nowhere", "the folder of a run or of weights, not 'nowhere'"),
    (f"train lm_grpo {SMALL} --width 16 --start {{run}}", "width must be 8 as in", "not 16"),
    (f"train lm_grpo {SMALL} --dataset a", "dataset needs a reward with lm_grpo"),
    (f"train lm_ppo {SMALL} --reward nowhere", "'nowhere' is no run's folder"),
    (f"train lm_ppo {SMALL} --reward {{run}}", "reward must be a run of a reward model", "lm_grpo"),
    (f"train lm_ppo {SMALL} --start {{run}} --demonstration-steps 9", "must be 0 where start"),
    ("train ppo --env CartPole-v1 --start {run}", "start needs an algorithm that trains a lang"),
    ("eval {run} --episodes 21", "episodes must be at most the 20 prompts held out, not 21"),
    ("export {run}", "export must be of a policy that acts, not of lm_grpo"),
    ("render {run}", "render must be of Acrobot-v1", "not of 'addition'"),
    (f"sweep lm_grpo {SMALL} --grid width=8,16", "lm_grpo.width is static"),
)


@pytest.mark.parametrize(("line", "words"), [(line, w) for line, *w in MISTAKES], ids=str)
def test_a_mistake_is_one_sentence_and_leaves_nothing(line, words, trained_run, tmp_path, capsys):
    assert main(line.format(run=trained_run).split()) == 2
    out, err = capsys.readouterr()
    assert not out and not list(tmp_path.iterdir())
    hold_sentence(err.strip(), *words)
