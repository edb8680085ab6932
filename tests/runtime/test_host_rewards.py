"""Rewards of text on the host: what they see, what they are worth, and what goes wrong in them."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrl.runtime.host_rewards import each, host_reward
from jaxrl.tasks import addition, prompt_texts
from tests.sentences import hold_sentence
from tests.tasks.responses import KINDS, some, spoken

NUM_PROMPTS = 4


@functools.cache
def case():
    task = addition(digits=1, num_train=30, num_test=3, spare=2)
    prompts = some(task, NUM_PROMPTS)
    return task, prompts, spoken(task, prompts, 0)


def paid(**rewards):
    task, prompts, response = case()
    return host_reward(rewards, task.tokenizer)(prompts, response)


def right(prompt, response):
    a, b = prompt.removesuffix("=").split("+")
    return response == str(int(a) + int(b))


def test_a_function_of_text_is_the_reward_of_arrays():
    """But for the end, which text does not show."""
    task, prompts, response = case()
    found = paid(right=(each(right), 1.0))
    assert found.dtype == np.float32 and found.shape == (NUM_PROMPTS, len(KINDS))
    assert np.array_equal(found * response.ended, task.reward(prompts, response))
    assert found.any() and not found.all()


def test_rewards_add_up_by_their_weights():
    count = paid(count=(each(lambda prompt, response: len(response)), 1.0))
    both = paid(
        right=(each(right), 2.0),
        count=(lambda prompts, responses: [len(r) for r in responses], -0.5),
    )
    np.testing.assert_allclose(both, 2 * paid(right=(each(right), 1.0)) - 0.5 * count)


def test_numbers_of_all_kinds_are_taken():
    kinds = [1, 1.0, True, np.float32(1), np.int64(1), np.array(1.0), jnp.float32(1)]
    for number in kinds:
        assert (paid(mine=(each(lambda p, r, number=number: number), 1.0)) == 1).all()
    assert (paid(mine=(lambda p, r: np.ones(len(p)), 1.0)) == 1).all()


@pytest.mark.parametrize(
    ("number", "shown"),
    [
        (float("nan"), "nan"),
        (float("inf"), "inf"),
        (None, "None"),
        ("1", "'1'"),
        ([1.0], "[1.0]"),
        ([[1], [1, 2]], "[[1], [1, 2]]"),
        (1j, "1j"),
    ],
)
def test_what_is_no_number_is_told_with_its_sample(number, shown):
    task, prompts, _ = case()
    second = prompt_texts(task.tokenizer, prompts)[1]
    judge = each(lambda prompt, response: number if prompt == second else 1.0)
    with pytest.raises(ValueError) as error:
        paid(mine=(judge, 1.0))
    words = ("reward 'mine' must give a finite number", f"not {shown} for", f"prompt {second!r}")
    hold_sentence(str(error.value), *words, "the response ")


@pytest.mark.parametrize(
    ("judge", "words"),
    [
        (lambda p, r: [1.0], (f"'mine' must give {NUM_PROMPTS * len(KINDS)} numbers", "not 1")),
        (lambda p, r: 1.0, ("'mine' must give a number for each response, not 1.0",)),
        (lambda p, r: p[99], ("'mine' raised IndexError",)),
    ],
)
def test_a_function_of_many_that_goes_wrong_is_told(judge, words):
    with pytest.raises(ValueError) as error:
        paid(mine=(judge, 1.0))
    hold_sentence(str(error.value), *words)


def test_no_reward_at_all_is_told():
    with pytest.raises(ValueError, match="rewards must be one at least"):
        host_reward({}, case()[0].tokenizer)


def test_a_function_that_raises_names_the_sample_and_loses_no_state():
    """A loop of generate, reward, update goes on from where the reward raised."""
    task, prompts, response = case()
    trouble = [True]

    def fragile(prompt, answer):
        if trouble[0] and answer == "":
            raise KeyError("no\nanswer.")
        return float(len(answer))

    reward = host_reward({"fragile": (each(fragile), 1.0)}, task.tokenizer)
    update = jax.jit(lambda state, reward: state + reward.sum())
    state = update(jnp.zeros(()), np.ones((2, 2), np.float32))
    with pytest.raises(ValueError) as error:
        state = update(state, reward(prompts, response))
    first = prompt_texts(task.tokenizer, prompts)[0]
    hold_sentence(str(error.value), "reward 'fragile' raised KeyError", f"{first!r}", "response ''")
    assert isinstance(error.value.__cause__, KeyError)
    trouble[0] = False
    assert update(state, reward(prompts, response)) == 4 + reward(prompts, response).sum()
