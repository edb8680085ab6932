"""Runs that begin with weights from elsewhere: their model, their tokens, and what is refused."""

import json
import shutil

import jax
import numpy as np
import pytest
from tokenizers import Tokenizer, decoders, models

import jaxrl
from jaxrl.networks.language import language_model
from jaxrl.networks.transformer import Shape
from jaxrl.runtime import checkpoint, drive, finish, pretrained, weights
from jaxrl.runtime.cli import main
from jaxrl.runtime.programs import programs
from jaxrl.tasks import prompt_texts
from tests.runtime.runs import QUIET
from tests.sentences import hold_sentence

SHAPE = Shape(
    vocabulary_size=24, width=8, num_layers=1, num_heads=2, num_kept_heads=1, head_size=6,
    mlp_size=16, context=12, qk_norm=True,
)  # fmt: skip
NAMES = ("<|endoftext|>", "<|pad|>", *"0123456789+=", "12", "34", "of no task")
TASK = "--env addition --env-param num_test=20 --no-cache"
SMALL = f"{TASK} --num-prompts 4 --num-minibatches 1 --total-steps 160 --checkpoint-every 80"


def tokenizer(folder, names=NAMES):
    """A file of these tokens, in which 12 and 34 are one token each."""
    made = Tokenizer(models.BPE({x: i for i, x in enumerate(names)}, [("1", "2"), ("3", "4")]))
    made.decoder = decoders.Fuse()
    made.save(str(folder / pretrained.TOKENIZER))


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    """A folder to stand in that holds weights."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "them").mkdir()
    params = language_model(SHAPE).init(jax.random.key(5))
    weights.save(tmp_path / "them", SHAPE, params, {"eos_token_id": 0})
    tokenizer(tmp_path / "them")


def same(x, y):
    jax.tree.map(np.testing.assert_array_equal, x, y)


def test_it_begins_with_them_and_others_begin_with_it():
    """The second run takes model and tokens over from the first, and needs no weights."""
    assert main(f"train lm_sft {SMALL} --start them --lr 0 --out first --quiet".split()) == 0
    run = jaxrl.load("first")
    same(run.learner_state().params, weights.load("them").params)
    assert (run.config.width, run.config.num_layers, run.config.num_heads) == (8, 1, 2)
    assert run.env.tokenizer.encode("12+34=") == [14, 12, 15, 13]
    shutil.rmtree("them")
    assert main(f"train lm_sft {SMALL} --start first --lr 0 --out second --quiet".split()) == 0
    second = jaxrl.load("second")
    same(second.learner_state().params, run.learner_state().params)
    assert second.env.vocabulary.size == 24 and isinstance(second.answer("1+2="), str)


def test_it_goes_on_without_them_and_changes_no_bit(tmp_path):
    words = f"train lm_sft {SMALL} --start them --lr 0.01 --seeds 2 --devices 1 --out run --quiet"
    assert main(words.split()) == 0
    shutil.rmtree("them")
    files = ("metrics.jsonl", "policy.safetensors", "evaluation.json")
    before = [(tmp_path / "run" / name).read_bytes() for name in files]
    newest, _ = checkpoint.newest_first(tmp_path / "run" / "checkpoints")
    newest.unlink()
    made = jaxrl.load("run").record
    functions, journal = programs(made), drive.journal(tmp_path / "run")
    position, passed = drive.resumed(made, functions, journal)
    assert 0 < position.update < 40 and not passed
    position = drive.drive(made, functions, position, journal, QUIET)
    finish.finish(made, functions, position, tmp_path / "run")
    assert [(tmp_path / "run" / name).read_bytes() for name in files] == before
    loss = jaxrl.load("run").metrics["loss"]
    assert (loss[:, -1] < loss[:, 0]).all()


def test_without_a_tokeniser_its_tokens_are_the_tasks(tmp_path):
    (tmp_path / "them" / pretrained.TOKENIZER).unlink()
    shape = SHAPE._replace(vocabulary_size=14)
    weights.save("them", shape, language_model(shape).init(jax.random.key(0)))
    task = pretrained.task("addition", {"num_test": 20}, "them")
    assert task.vocabulary.size == 14 and prompt_texts(task.tokenizer, task.test)[0].endswith("=")


CONFIGS = {
    "them/config.json must have a model_type among llama, qwen2, qwen3": {"model_type": "mamba"},
    "them must hold the tensor model.layers.1.self_attn.q_proj": {"num_hidden_layers": 2},
    "them/config.json describes no model: head_size must be even": {"head_dim": 5},
    "start must have a context of the 10 tokens": {"max_position_embeddings": 9},
}
GONE = {
    "them must hold model.safetensors or": "model.safetensors",
    "start must have a tokenizer.json, or the 14 tokens of addition, not 24": "tokenizer.json",
    "start must be the folder of a run or of weights, not 'them'": "config.json",
}
TOKENS = {
    "eos must be named": ("<|stop|>", *NAMES[1:]),
    "tokenizer must have tokens that spell": (*NAMES[:12], "other", *NAMES[13:]),
    "must have a tokenizer of the 24 tokens of its model, not 25": (*NAMES, *"abcdefgh"),
}  # fmt: skip


def hold_mistake(words, sentence, tmp_path, capsys):
    before = {path.name for path in tmp_path.iterdir()}
    assert main(f"train {words} --start them".split()) == 2
    out, err = capsys.readouterr()
    assert not out and {path.name for path in tmp_path.iterdir()} == before
    hold_sentence(err.strip(), "jaxrl: ", sentence)


@pytest.mark.parametrize("sentence", [*CONFIGS, *GONE, *TOKENS])
def test_a_folder_that_is_of_no_use_is_one_sentence(sentence, tmp_path, capsys):
    config = tmp_path / "them" / "config.json"
    changes = CONFIGS.get(sentence, {})
    config.write_text(json.dumps(json.loads(config.read_text()) | changes))
    if sentence in GONE:
        (tmp_path / "them" / GONE[sentence]).unlink()
    if sentence in TOKENS:
        tokenizer(tmp_path / "them", TOKENS[sentence])
    hold_mistake(f"lm_sft {SMALL}", sentence, tmp_path, capsys)


def test_other_mistakes_are_one_sentence(tmp_path, capsys):
    width = "width must be 8 as in 'them', not 16"
    hold_mistake(f"lm_sft {SMALL} --width 16", width, tmp_path, capsys)
    kind = "start needs an algorithm that trains a language model"
    hold_mistake("ppo --env CartPole-v1", kind, tmp_path, capsys)
