"""Every reward against its oracle, which reads text: right responses, cut ones, and garbage."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrl.tasks import TASKS, make_task, prompt_texts
from jaxrl.tasks.random_walks import LETTERS, drawn_graph
from tests.oracles import tasks as oracle
from tests.tasks.responses import KINDS, some, spoken, words

NUM_PROMPTS, NUM_SEEDS = 24, 6
SETTINGS = {
    "addition": {"spare": 2},
    "sorting": {"spare": 2},
    "countdown": {"form": 0.25, "spare": 2},
    "random_walks": {},
}
GRADED = {"sorting", "countdown", "random_walks"}


@functools.cache
def case(name):
    """A task, prompts of all levels, and seeds of responses, with their rewards by jit and vmap."""
    task = make_task(name, easy=0.3, hard=0.2, num_train=60, num_test=10, **SETTINGS[name])
    prompts = some(task, NUM_PROMPTS)
    drawn = [spoken(task, prompts, seed) for seed in range(NUM_SEEDS)]
    responses = jax.tree.map(lambda *x: np.stack(x), *drawn)
    return task, prompts, responses, lanes(task.reward, prompts, responses)


@functools.cache
def compiled(reward):
    return jax.jit(jax.vmap(reward, (None, 0)))


def lanes(reward, prompts, responses):
    return compiled(reward)(prompts, responses)


def judge(name):
    if name == "countdown":
        return functools.partial(oracle.countdown, form=SETTINGS[name]["form"])
    if name == "random_walks":
        edge = drawn_graph(np.random.default_rng(0), 4, 10).edge
        edges = {
            a: {b for j, b in enumerate(LETTERS[:-1]) if edge[i, j]}
            for i, a in enumerate(LETTERS[:-1])
        }
        return functools.partial(oracle.random_walk, edges=edges, max_length=10)
    return getattr(oracle, name)


def lane(responses, seed):
    return jax.tree.map(lambda x: x[seed], responses)


def judged(name):
    """The oracle's steps and rewards, [seed][prompt][response]."""
    task, prompts, responses, _ = case(name)
    asked, reads = prompt_texts(task.tokenizer, prompts), judge(name)
    return [
        [
            [reads(text, *said) for said in group]
            for text, group in zip(asked, words(task, lane(responses, seed)), strict=True)
        ]
        for seed in range(NUM_SEEDS)
    ]


@pytest.mark.parametrize("name", TASKS)
def test_the_reward_is_the_oracles(name):
    expected = np.array([[[r for _, r in group] for group in seed] for seed in judged(name)])
    ours = case(name)[3]
    assert ours.dtype == jnp.float32 and ours.shape == expected.shape
    np.testing.assert_allclose(ours, expected, atol=1e-6)
    between = (expected > 0) & (expected < 1)
    assert between.any() == (name in GRADED) and (expected == 0).any() and (expected == 1).any()


@pytest.mark.parametrize("name", TASKS)
def test_the_steps_are_the_oracles(name):
    task, prompts, responses, _ = case(name)
    ours = np.asarray(lanes(task.step_reward, prompts, responses))
    expected = np.zeros(ours.shape)
    for seed, groups in enumerate(judged(name)):
        for p, group in enumerate(groups):
            for g, (steps, _) in enumerate(group):
                expected[seed, : len(steps), p, g] = steps
    np.testing.assert_allclose(ours, expected, atol=1e-6)


@pytest.mark.parametrize("name", TASKS)
def test_the_steps_of_a_right_response_add_up_to_its_reward(name):
    task, prompts, responses, rewards = case(name)
    right = KINDS.index("right")
    steps = np.asarray(lanes(task.step_reward, prompts, responses).sum(1))[..., right]
    reward = np.asarray(rewards)[..., right]
    paid = reward > 0  # a random walk may not arrive
    np.testing.assert_allclose(steps[paid], reward[paid], atol=1e-6)
    assert paid.all() or name == "random_walks"
    assert (reward == 1).any() and (steps[~paid] < 1).all()


@pytest.mark.parametrize("name", TASKS)
def test_what_is_outside_of_the_mask_has_no_influence(name):
    task, prompts, responses, rewards = case(name)
    for reward in (task.reward, task.step_reward):
        expected = lanes(reward, prompts, responses)
        for token in (task.vocabulary.pad, task.vocabulary.eos, 5):
            filled = np.where(responses.mask, responses.token, np.int32(token))
            other = lanes(reward, prompts, responses._replace(token=filled))
            assert np.array_equal(other, expected)
    assert rewards.any()


@pytest.mark.parametrize("name", TASKS)
def test_a_mask_is_not_made_of_tokens(name):
    """A pad that was said is a wrong token, and the end is where the response ended."""
    task, prompts, responses, rewards = case(name)
    paid = np.asarray(rewards) > 0
    spoilt = responses.token.copy()
    spoilt[:, 0] = task.vocabulary.pad
    after = lanes(task.reward, prompts, responses._replace(token=spoilt))
    assert (after < rewards)[paid & responses.mask[:, 0]].mean() > 0.8 and paid.sum() > 20
    cut = responses._replace(ended=np.zeros_like(responses.ended))
    assert name == "sorting" or not lanes(task.reward, prompts, cut).any()


@pytest.mark.parametrize("name", TASKS)
def test_vmap_over_seeds_is_the_loop(name):
    task, prompts, responses, rewards = case(name)
    alone = jax.jit(task.reward)(prompts, lane(responses, 1))
    np.testing.assert_allclose(alone, rewards[1], atol=1e-6)


@pytest.mark.parametrize("name", ["addition", "sorting"])
def test_a_response_of_another_length_is_told(name):
    task, prompts, responses, _ = case(name)
    short = jax.tree.map(lambda x: x[0, :2] if x.ndim == 4 else x[0], responses)
    with pytest.raises(ValueError, match=f"response must have room for {task.num_tokens} tokens"):
        task.reward(prompts, short)


@pytest.mark.parametrize(("node", "other"), [("a", 0), ("a", 1), ("u", 23)])
def test_a_token_that_is_no_node_is_no_step(node, other):
    """Nor does it count as the nearest one; 23 is the letter of the node that no edge leads to."""
    task, prompts, shown, reward = walks()
    assert task.tokenizer is not None
    old = task.tokenizer.encode(node)[0]
    there = (shown.token == old) & shown.mask
    spoilt = shown._replace(token=np.where(there, np.int32(other), shown.token))
    after = lanes(task.reward, prompts, one_lane(spoilt))[0]
    passed = there.any(0) & (reward > 0)
    assert passed.any() and not after[passed].any()


@functools.cache
def walks():
    """Random walks from everywhere, most of them long, and their rewards."""
    task = make_task("random_walks", num_train=300, num_test=10)
    shown = jax.tree.map(np.asarray, jax.jit(task.demonstration)(task.train))
    return task, task.train, shown, lanes(task.reward, task.train, one_lane(shown))[0]


def one_lane(response):
    return jax.tree.map(lambda x: x[None], response)


def test_worked_numbers():
    """2 + 3 · 7 from the left is 35; of three digits and the end of "31", half are right."""
    assert oracle.countdown("237:35=", list("2+3*7"), True, 0.1)[1] == 1.0
    assert oracle.countdown("237:23=", list("2+3*7"), True, 0.1)[1] == 0.1
    assert oracle.sorting("312=", list("13"), False)[1] == 0.25
