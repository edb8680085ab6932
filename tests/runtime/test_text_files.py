"""Text from files: demonstrations, preferences, rankings, tokenisers, and what is wrong in them."""

import json

import numpy as np
import pytest
import tokenizers
from tokenizers import models, pre_tokenizers, trainers

from jaxrl.runtime import text_files, tokenizer_files
from jaxrl.tasks import characters, prompt_texts, response_texts
from tests.sentences import hold_sentence

TOKENIZER = characters("abcd")
PAD, EOS = TOKENIZER.vocabulary.pad, TOKENIZER.vocabulary.eos
KINDS = {
    "demonstrations": {"prompt": "ab", "response": "cd"},
    "preferences": {"prompt": "ab", "chosen": "cd", "rejected": "d"},
    "rankings": {"prompt": "ab", "responses": ["cd", "d", "c"]},
}


def read(tmp_path, *lines, tokenizer=TOKENIZER):
    path = tmp_path / "lines.jsonl"
    texts = [line if isinstance(line, str) else json.dumps(line) for line in lines]
    path.write_text("\n".join(texts) + "\n" * bool(texts), "utf-8")
    return text_files.examples(path, tokenizer, 3, 4)


@pytest.mark.parametrize("kind", KINDS)
def test_lines_become_prompts_and_responses(tmp_path, kind):
    other = KINDS[kind] | {"prompt": "d"}
    prompts, response = read(tmp_path, KINDS[kind], other)
    said = KINDS[kind].get("responses") or list(KINDS[kind].values())[1:]
    assert prompts.token.T.tolist() == [[PAD, 2, 3], [PAD, PAD, 5]]
    assert prompts.mask.T.tolist() == [[False, True, True], [False, False, True]]
    assert prompts.index.tolist() == [0, 1] and response.ended.all()
    assert response.token[:, 0, 0].tolist() == [4, 5, EOS, PAD]
    assert response.mask[:, 1, 0].tolist() == [True, True, True, False]
    assert prompt_texts(TOKENIZER, prompts) == ["ab", "d"]
    assert response_texts(TOKENIZER, response) == [said, said]
    assert text_files.num_responses(tmp_path / "lines.jsonl") == len(said)


@pytest.mark.parametrize(
    ("kind", "line", "words"),
    [
        ("demonstrations", "", ("is empty",)),
        ("demonstrations", "{", ("is no JSON",)),
        ("demonstrations", "[1]", ("must be a JSON object, not a list",)),
        ("demonstrations", {"prompt": "a"}, ("must have 'response'", "not None")),
        ("demonstrations", {"prompt": "", "response": "a"}, ("must have 'prompt'", "not ''")),
        ("demonstrations", {"prompt": 1, "response": "a"}, ("must have 'prompt'", "not 1")),
        (
            "demonstrations",
            {"prompt": "abcd", "response": "a"},
            ("must have a prompt of 3 tokens at most", "not of 4"),
        ),
        (
            "demonstrations",
            {"prompt": "a", "response": "abcd"},
            ("must have a response of 3 tokens at most", "not of 4"),
        ),
        ("demonstrations", {"prompt": "a", "response": "x"}, ("has a response that", "'x'")),
        (
            "preferences",
            {"prompt": "a", "chosen": "b", "rejected": "b"},
            ("must have different responses, not 'b' twice",),
        ),
        ("preferences", {"prompt": "a", "chosen": "b"}, ("must have 'rejected'",)),
        ("rankings", {"prompt": "a", "responses": ["b"]}, ("a list of two texts at least",)),
        ("rankings", {"prompt": "a", "responses": "bc"}, ("a list of two texts at least",)),
        ("rankings", {"prompt": "a", "responses": ["b", "c"]}, ("must have 3 responses", "not 2")),
        ("rankings", {"prompt": "a", "responses": ["b", 1, "c"]}, ("'response 1'", "not 1")),
    ],
)
def test_a_line_that_is_wrong_is_told_with_its_number(tmp_path, kind, line, words):
    with pytest.raises(ValueError) as error:
        read(tmp_path, KINDS[kind], line, KINDS[kind])
    hold_sentence(str(error.value).replace("lines.jsonl", "lines"), "line 2 of ", *words)


def test_a_file_without_lines_or_none_at_all_is_told(tmp_path):
    with pytest.raises(ValueError, match="must have one line at least, not none"):
        read(tmp_path)
    with pytest.raises(ValueError, match="there is no file"):
        text_files.examples(tmp_path / "nothing", TOKENIZER, 3, 4)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A tokeniser of whole words that was trained here, which asks for padding and a cut."""
    model = tokenizers.Tokenizer(models.BPE(unk_token=None))
    model.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    model.decoder = tokenizers.decoders.ByteLevel()
    special = ["<eos>", "<pad>", "<stop>"]
    trainer = trainers.BpeTrainer(
        vocab_size=300,
        special_tokens=special,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    model.train_from_iterator(["one and one are two", "two and two are four"], trainer)
    model.enable_padding(length=16, pad_token="<pad>", pad_id=1)
    model.enable_truncation(2)
    folder = tmp_path_factory.mktemp("tokenizer")
    model.save(str(folder / "tokenizer.json"))
    return folder


def test_a_tokenizer_file_gives_text_back(folder):
    tokenizer = tokenizer_files.load(folder / "tokenizer.json")
    text = "one and one are four, é"
    tokens = tokenizer.encode(text)
    assert tokenizer.decode(tokens) == text and 2 < len(tokens) < len(text)
    assert tokenizer.vocabulary.eos == 0 and tokenizer.vocabulary.pad == 1
    assert max(tokens) < tokenizer.vocabulary.size <= 300
    assert tokenizer.decode([*tokenizer.encode("two"), 0]) == "two<eos>"


def test_a_tokenizer_file_reads_lines(folder, tmp_path):
    tokenizer = tokenizer_files.load(folder)
    line = {"prompt": "one and one", "response": "are two"}
    prompts, response = read(tmp_path, line, tokenizer=tokenizer)
    assert prompt_texts(tokenizer, prompts) == ["one and one"]
    assert response_texts(tokenizer, response) == [["are two"]]
    assert np.asarray(response.token)[np.asarray(response.mask)][-1] == 0


def test_eos_and_pad_may_be_named(folder, tmp_path):
    same = tokenizer_files.load(folder, eos="<stop>", pad="<stop>")
    assert same.vocabulary[1:] == (2, 2)
    bare = tokenizers.Tokenizer(models.WordLevel({"a": 0, "<eos>": 1}, unk_token="a"))
    bare.save(str(tmp_path / "bare"))
    assert tokenizer_files.load(tmp_path / "bare").vocabulary[1:] == (1, 1)
    (tmp_path / "tokenizer.json").write_bytes((folder / "tokenizer.json").read_bytes())
    config = {"eos_token": {"content": "<stop>"}, "pad_token": "<eos>"}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(config))
    assert tokenizer_files.load(tmp_path).vocabulary[1:] == (2, 0)


def test_mistakes_of_tokenizer_files_are_told(folder, tmp_path, monkeypatch):
    def told(path, **names):
        with pytest.raises(ValueError) as error:
            tokenizer_files.load(path, **names)
        return str(error.value)

    bare = tokenizers.Tokenizer(models.WordLevel({"a": 0, "<end>": 1}, unk_token="a"))
    bare.save(str(tmp_path / "bare"))
    (tmp_path / "broken").write_text("{")
    hold_sentence(told(folder, eos="<end>"), "eos must be a token of", "not '<end>'")
    hold_sentence(told(tmp_path / "bare"), "eos must be named", "has none of the usual", "<eos>")
    hold_sentence(told(tmp_path / "broken"), "must be a tokenizer file, and is not")
    hold_sentence(told(tmp_path / "none"), "there is no tokenizer file")
    monkeypatch.setattr(tokenizer_files.importlib.util, "find_spec", lambda name: None)
    hold_sentence(told(folder), "needs another package: pip install 'jaxrl[text]'")
