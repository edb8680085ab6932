"""Tasks in the tokens of another tokeniser: what they ask, and what their rewards make of text."""

import functools

import jax
import numpy as np
import pytest

from jaxrl.tasks import make_task, prompt_texts, response_texts, spelled, taught
from jaxrl.tasks.spelling import spelling
from jaxrl.text import Tokenizer, Vocabulary
from tests.sentences import hold_sentence
from tests.tasks.responses import some, spoken

PIECES = ["<eos>", "ab", *"abcdefghijklmnopqrstuv", *"0123456789+-*:=", "12", "3+", "=", "x", ""]
"""Some are of several characters, one comes twice, one is of no task, and one of no text."""


def pieces(names=PIECES):
    """A tokeniser that takes the longest piece each time; its pad is its end."""
    longest = sorted(filter(None, names), key=len, reverse=True)

    def encode(text):
        row = []
        while text:
            found = next(name for name in longest if text.startswith(name))
            row.append(names.index(found))
            text = text[len(found) :]
        return row

    return Tokenizer(
        Vocabulary(len(names), eos=0, pad=0), encode, lambda row: "".join(names[t] for t in row)
    )


@functools.cache
def case(name):
    task = make_task(name, num_train=40, num_test=5)
    return task, spelled(task, pieces())


@pytest.mark.parametrize("name", ["addition", "countdown", "random_walks", "sorting"])
def test_it_asks_and_answers_the_same_text(name):
    task, other = case(name)
    for ours, theirs in ((task.train, other.train), (task.test, other.test)):
        assert prompt_texts(task.tokenizer, ours) == prompt_texts(other.tokenizer, theirs)
        right = [jax.jit(x.demonstration)(y) for x, y in ((task, ours), (other, theirs))]
        texts = [response_texts(x.tokenizer, y) for x, y in zip((task, other), right, strict=True)]
        assert texts[0] == texts[1]
        np.testing.assert_array_equal(right[0].ended, right[1].ended)
        np.testing.assert_array_equal(ours.index, theirs.index)
        rewards = jax.jit(task.reward)(ours, right[0]), jax.jit(other.reward)(theirs, right[1])
        np.testing.assert_array_equal(*rewards)


@pytest.mark.parametrize("name", ["addition", "countdown", "random_walks", "sorting"])
def test_a_response_is_worth_what_its_text_is(name):
    """Each is cut into tokens of the other tokeniser at random; what these are worth adds up."""
    task, other = case(name)
    prompts, chance, decode = some(task, 6), np.random.default_rng(0), decoder(task)
    said = jax.tree.map(np.array, spoken(task, prompts, 0))
    token = np.zeros((other.num_tokens + 3, *said.ended.shape), np.int32)
    mask = np.zeros(token.shape, bool)
    for p, g in np.ndindex(said.ended.shape):
        row = said.token[said.mask[:, p, g], p, g].tolist()
        row, end = (row[:-1], [0]) if said.ended[p, g] else (row, [])
        new = [*cut([decode([t]) for t in row], chance), *end]
        token[: len(new), p, g], mask[: len(new), p, g] = new, True
    foreign = said._replace(token=token, mask=mask)
    reward = jax.jit(other.reward)(some(other, 6), foreign)
    np.testing.assert_array_equal(reward, jax.jit(task.reward)(prompts, said))
    assert len(np.unique(reward)) > 1
    steps = np.asarray(jax.jit(other.step_reward)(some(other, 6), foreign))
    expected = np.asarray(jax.jit(task.step_reward)(prompts, said)).sum(0)
    np.testing.assert_allclose(steps.sum(0), expected, atol=1e-6)
    assert not steps[~mask].any()


def decoder(task):
    assert task.tokenizer is not None
    return task.tokenizer.decode


def cut(names, chance):
    """Tokens of `PIECES` that spell single characters; 'x' for what is no character."""
    out = []
    while names:
        pair = "".join(names[:2])
        if pair in PIECES and chance.random() < 0.5:
            out, names = [*out, PIECES.index(pair)], names[2:]
        else:
            name = names[0] if names[0] in PIECES[1:] else "x"
            out, names = [*out, PIECES.index(name)], names[1:]
        if chance.random() < 0.1:
            out.append(PIECES.index(""))
    return out


def test_a_space_that_only_a_beginning_leaves_out_is_read():
    """As Llama's tokenisers decode: a text loses its first space, and no other."""
    task, names = make_task("addition", num_train=4, num_test=2), [*PIECES, " 6"]
    plain = pieces(names)
    other = plain._replace(decode=lambda row: plain.decode(row).removeprefix(" "))
    first, later = spelling(task.tokenizer, other, task.num_tokens)
    spaced, six = names.index(" 6"), names.index("6")
    np.testing.assert_array_equal(first[spaced], first[six])
    np.testing.assert_array_equal(later[six], first[six])
    assert later[spaced, 0] == task.vocabulary.pad


def test_a_text_that_is_too_long_is_read_from_its_beginning():
    other = case("addition")[1]
    prompts = some(other, 3)
    right = jax.tree.map(np.array, other.demonstration(prompts))
    token = np.full((3 * other.num_tokens, 3, 1), PIECES.index("12"), np.int32)
    token[-1] = 0
    long = right._replace(token=token, mask=np.ones(token.shape, bool), ended=right.ended)
    assert not np.asarray(other.reward(prompts, long)).any()


def test_what_cannot_be_spelled_is_told():
    task, silent = case("addition")[0], pieces()._replace(encode=lambda text: [PIECES.index("x")])
    for wrong, words in (
        (task._replace(tokenizer=None), "task must have a tokenizer"),
        (taught(task, task.train, task.demonstration(task.train)), "neither a judge nor examples"),
        (task, "tokenizer must have tokens that spell"),
    ):
        with pytest.raises(ValueError) as error:
            spelled(wrong, silent)
        hold_sentence(str(error.value), words)
