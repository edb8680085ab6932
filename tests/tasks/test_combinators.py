"""Combinators of tasks: overlong responses, weighted sums, form, noise, a trained model."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrl.tasks import (
    characters,
    ended,
    exact_match,
    learned,
    noisy,
    overlong,
    prompts_from_text,
    response_from_text,
    response_texts,
    sorting,
    weighted,
    written_with,
)
from jaxrl.text import lengths, take
from tests.oracles import tasks as oracle
from tests.sentences import hold_sentence
from tests.tasks.responses import KINDS, some, spoken, words


@functools.cache
def case():
    task = sorting(length=4, spare=4, num_train=200, num_test=5)
    prompts = some(task, 12)
    return task, prompts, spoken(task, prompts, 0)


def paid(task):
    _, prompts, response = case()
    return np.asarray(jax.jit(task.reward)(prompts, response))


def punishments(longest, cache):
    _, _, response = case()
    count = response.mask.sum(0)
    return np.vectorize(oracle.overlong)(count, longest, cache)


@pytest.mark.parametrize(("cache", "limit"), [(4, None), (3.0, 5)])
def test_overlong_responses_are_punished_by_their_tokens(cache, limit):
    task, *_ = case()
    expected = punishments(limit or task.num_tokens, cache)
    found = paid(overlong(task, cache, limit)) - paid(task)
    np.testing.assert_allclose(found, expected, atol=1e-6)
    assert expected.min() == -1 and (expected == 0).any()


def test_a_judge_punishes_too_and_a_sum_has_none():
    task, prompts, response = case()
    strict = task._replace(judge=lambda prompts, response: -task.reward(prompts, response))
    found = jax.jit(overlong(strict, 4).judge)(prompts, response)
    np.testing.assert_allclose(found, punishments(task.num_tokens, 4) - paid(task), atol=1e-6)
    assert overlong(task, 4).judge is None
    assert weighted(strict, {"own": (task.reward, 1.0)}).judge is None


def test_the_last_step_bears_the_punishment():
    task, prompts, response = case()
    before, after = (
        np.asarray(jax.jit(t.step_reward)(prompts, response)) for t in (task, overlong(task, 4))
    )
    changed = np.zeros_like(before)
    places = np.maximum(response.mask.sum(0) - 1, 0)
    np.put_along_axis(changed, places[None], punishments(task.num_tokens, 4)[None], 0)
    np.testing.assert_allclose(after - before, changed, atol=1e-6)
    assert overlong(task._replace(step_reward=None), 2).step_reward is None


def test_rewards_add_up_by_their_weights():
    task, prompts, response = case()
    form = written_with(range(2, 12))  # the digits

    def total(weight):
        parts = {"right": (task.reward, 1.0), "ended": (ended, -0.5), "form": (form, weight)}
        return weighted(task, parts).reward(prompts, response)

    expected = paid(task) - 0.5 * response.ended
    digits = [
        [end and all(len(w) == 1 and w.isdigit() for w in said) for said, end in group]
        for group in words(task, response)
    ]
    for weight in (0.25, 2.0):  # a weight may be traced
        found = jax.jit(total)(weight)
        np.testing.assert_allclose(found, expected + weight * np.array(digits), atol=1e-6)
    assert np.any(digits) and not np.all(np.array(digits) == response.ended)
    assert weighted(task, {"ended": (ended, 1.0)}).step_reward is None


@pytest.mark.parametrize(
    ("reward", "words"),
    [
        (lambda p, r: r.ended, ("mine must be an array of floats", "bool")),
        (lambda p, r: jnp.zeros(len(r.ended)), ("mine must give one reward for each", "(12, 9)")),
        (lambda p, r: 1.0, ("mine must be an array of floats", "float")),
    ],
)
def test_a_reward_of_another_kind_is_told(reward, words):
    task, prompts, response = case()
    with pytest.raises((TypeError, ValueError)) as error:
        weighted(task, {"mine": (reward, 1.0)}).reward(prompts, response)
    hold_sentence(str(error.value), *words)


def test_no_reward_at_all_is_told():
    with pytest.raises(ValueError, match="rewards must be one at least"):
        weighted(case()[0], {})


def test_a_trained_model_is_a_reward():
    task, prompts, response = case()

    def score(params, prompts, response):
        return params * lengths(response).astype(jnp.float32)

    def total(params):
        return weighted(task, {"model": (learned(score, params), 2.0)}).reward(prompts, response)

    expected = 3.0 * 2.0 * response.mask.sum(0)
    np.testing.assert_allclose(jax.jit(total)(3.0), expected, rtol=1e-6)


def test_noise_spoils_a_share_of_the_demonstrations():
    task = case()[0]
    right = response_texts(task.tokenizer, jax.jit(task.demonstration)(task.train))
    shown = jax.jit(lambda share: noisy(task, share).demonstration(task.train))
    other, again, none = (response_texts(task.tokenizer, shown(x)) for x in (0.4, 0.4, 0.0))
    assert other == again and none == right
    wrong = np.mean([x != y for x, y in zip(other, right, strict=True)])
    assert 0.3 < wrong < 0.5 and {x for (x,) in other} <= {x for (x,) in right}


def test_noise_is_decided_by_seed_and_index_and_not_by_the_batch():
    task, prompts, _ = case()
    shown = jax.jit(
        lambda x: (noisy(task, 0.5).demonstration(x), noisy(task, 0.5, 1).demonstration(x))
    )
    backwards = np.arange(12)[::-1]
    (one, other), (again, _) = shown(prompts), shown(take(prompts, backwards))
    assert np.array_equal(one.token, again.token[:, backwards])
    assert not np.array_equal(one.token, other.token)


def test_characters_come_back_and_others_are_told():
    tokenizer = characters("abc ")
    assert tokenizer.decode(tokenizer.encode("a cab")) == "a cab"
    assert tokenizer.vocabulary == (6, 1, 0)
    with pytest.raises(ValueError) as error:
        tokenizer.encode("add")
    hold_sentence(str(error.value), "'abc '", "'d'", "'add'")
    with pytest.raises(ValueError, match="alphabet must be of different characters, not 'aba'"):
        characters("aba")


def test_a_right_response_that_ends_in_time_is_not_punished():
    task, _, response = case()
    found = paid(overlong(task, 2))[:, KINDS.index("right")]
    assert (found == 1).all() and response.ended[:, KINDS.index("right")].all()


def test_texts_become_prompts_and_responses():
    tokenizer = characters("ab")
    prompts = prompts_from_text(tokenizer, ["ab", "b"], 3)
    said = [["a", ""], ["ba", "b"]]
    response = response_from_text(tokenizer, said, 3)
    assert prompts.token.T.tolist() == [[0, 2, 3], [0, 0, 3]]
    assert prompts.mask.sum(0).tolist() == [2, 1]
    assert response.token[:, 0, 0].tolist() == [2, 1, 0] and response.ended.all()
    assert lengths(response).tolist() == [[2, 1], [3, 2]]
    assert response_texts(tokenizer, response) == said
    with pytest.raises(ValueError) as error:
        prompts_from_text(tokenizer, ["ab", "b" * 5], 3)
    hold_sentence(str(error.value), "row 1 must have 3 tokens at most, not 5")
    with pytest.raises(ValueError) as error:
        response_from_text(tokenizer, [["a", "b"], ["a"]], 3)
    hold_sentence(str(error.value), "groups must have 2 responses each")


def test_an_exact_match_makes_a_graded_reward_binary():
    task, *_ = case()
    strict = paid(weighted(task, {"exact": (exact_match, 1.0)}))
    assert np.array_equal(strict, paid(task) == 1) and strict.any() and not strict.all()
