"""What tasks ask: held-out prompts, shares of easy and hard ones, demonstrations, mistakes."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrl.tasks import EASY, HARD, ORDINARY, TASKS, make_task, prompt_texts, response_texts
from jaxrl.tasks.random_walks import NUM_NODES, distances, drawn_graph
from tests.sentences import hold_sentence

NUM_TRAIN, SHARES = 200, {"easy": 0.3, "hard": 0.25}
LEVELS = {EASY: 60, ORDINARY: 90, HARD: 50}


@functools.cache
def mixed(name):
    """With optimal walks, so that all demonstrations are right, but where there is no way."""
    params = {"optimal": True} if name == "random_walks" else {}
    return make_task(name, num_train=NUM_TRAIN, num_test=16, seed=3, **SHARES, **params)


def asked(name, level):
    task = mixed(name)
    texts = prompt_texts(task.tokenizer, task.train)
    return [t for t, x in zip(texts, task.train.answer.level.tolist(), strict=True) if x == level]


@pytest.mark.parametrize("name", TASKS)
def test_prompts_are_held_out(name):
    task = mixed(name)
    train, test = (prompt_texts(task.tokenizer, p) for p in (task.train, task.test))
    assert len(train) == NUM_TRAIN and len(test) == len(set(test)) == 16
    assert not set(train) & set(test)
    indices = [*task.train.index.tolist(), *task.test.index.tolist()]
    assert indices == list(range(NUM_TRAIN + 16))


def test_operands_are_held_out_in_both_orders():
    task = make_task("addition", digits=1, num_test=30, num_train=300)
    pairs = [
        {frozenset(text[:-1].split("+")) for text in prompt_texts(task.tokenizer, prompts)}
        for prompts in (task.train, task.test)
    ]
    assert len(pairs[1]) == 30 and not pairs[0] & pairs[1]


@pytest.mark.parametrize("name", TASKS)
def test_a_seed_decides_all(name):
    one, same, other = (make_task(name, num_train=50, num_test=8, seed=s) for s in (1, 1, 2))
    for x, y in zip(jax.tree.leaves(one.train), jax.tree.leaves(same.train), strict=True):
        assert np.array_equal(x, y)
    texts = [prompt_texts(task.tokenizer, task.train) for task in (one, other)]
    assert texts[0] != texts[1]


@pytest.mark.parametrize("name", TASKS)
def test_shares_are_those_asked_for(name):
    task = mixed(name)
    levels = np.asarray(task.train.answer.level)
    assert {level: int((levels == level).sum()) for level in LEVELS} == LEVELS
    assert (np.asarray(task.test.answer.level) == ORDINARY).all()
    assert len(set(levels[:20].tolist())) == 3  # mixed, and not one after the other


@pytest.mark.parametrize("name", TASKS)
def test_groups_that_are_all_right_and_all_wrong_have_their_shares(name):
    """Of a policy that can do what is easy, cannot do what is hard, and half of the rest."""
    task = mixed(name)

    def group(prompts):
        shown, level = task.demonstration(prompts), prompts.answer.level
        can = jnp.stack([level <= EASY, level <= ORDINARY, level <= EASY, level <= ORDINARY], -1)
        token = jnp.where(can[None], shown.token, task.vocabulary.pad)
        wide = jax.tree.map(lambda x: jnp.broadcast_to(x, (*x.shape[:-1], 4)), shown)
        return task.reward(prompts, wide._replace(token=token))

    reward = np.asarray(jax.jit(group)(task.train))
    assert (reward == 1).all(1).sum() == LEVELS[EASY]
    assert (reward == 0).all(1).sum() == LEVELS[HARD]
    assert (reward.std(1) > 0).sum() == LEVELS[ORDINARY]


def test_easy_prompts_are_short_and_hard_ones_long():
    assert all(len(text) == 4 for text in asked("addition", EASY))
    assert all(len(text) == 10 for text in asked("addition", HARD))
    assert {len(text) for text in asked("sorting", EASY)} == {2}
    assert {len(text) for text in asked("sorting", HARD)} == {13}
    assert {text.index(":") for text in asked("countdown", EASY)} == {1}
    assert {text.index(":") for text in asked("countdown", HARD)} == {6}
    assert {text[0] for text in asked("random_walks", HARD)} == {"v"}


def test_easy_walks_take_one_step_and_hard_ones_have_no_way():
    answer = jax.tree.map(np.asarray, mixed("random_walks").train.answer)
    shortest = answer.about.shortest
    assert (shortest[answer.level == EASY] == 2).all()
    assert (shortest[answer.level == HARD] == 0).all()
    assert shortest[answer.level == ORDINARY].max() > 3


@pytest.mark.parametrize("name", TASKS)
def test_demonstrations_are_right(name):
    task = mixed(name)
    shown = jax.jit(task.demonstration)(task.train)
    assert shown.token.shape == (task.num_tokens, NUM_TRAIN, 1)
    right = jax.jit(task.reward)(task.train, shown)[:, 0] == 1
    possible = (task.train.answer.level < HARD) | (name != "random_walks")
    assert np.array_equal(right, possible) and np.array_equal(shown.ended[:, 0], possible)


def test_random_walks_are_imperfect_demonstrations():
    """As in trlx: a walk stops where it arrives, and is cut where it does not."""
    task = make_task("random_walks", num_train=NUM_TRAIN, seed=3)
    shown = jax.tree.map(np.asarray, jax.jit(task.demonstration)(task.train))
    reward = jax.jit(task.reward)(task.train, shown)
    assert 0.05 < reward.mean() < 0.6 and (reward > 0).sum() > 30
    assert shown.mask[:, ~shown.ended[:, 0]].all() and 0.2 < shown.ended.mean() < 0.9
    walks = response_texts(task.tokenizer, shown)
    for prompt, (walk,) in zip(prompt_texts(task.tokenizer, task.train), walks, strict=True):
        assert prompt[0] not in walk[:-1]


def test_the_graph_is_trlx_s_kind():
    graph = drawn_graph(np.random.default_rng(5), 3, 8)
    assert graph.edge.shape == (NUM_NODES, NUM_NODES) and not graph.edge.diagonal().any()
    assert graph.edge.any(1).all() and 0.05 < graph.edge.mean() < 0.2
    assert graph.distance.shape == (3, NUM_NODES)
    assert graph.distance.min() == 0 and graph.distance.max() <= 6


def test_distances_are_those_of_floyd_and_warshall():
    edge = np.random.default_rng(0).random((12, 12)) < 0.15
    far = np.where(edge, 1.0, np.inf)
    np.fill_diagonal(far, 0)
    for k in range(12):
        far = np.minimum(far, far[:, k, None] + far[None, k])
    for goal in range(12):
        assert np.array_equal(distances(edge, goal), np.where(far < np.inf, far, -1)[:, goal])
    assert np.isinf(far).any()


@pytest.mark.parametrize(
    ("name", "params", "words"),
    [
        ("additon", {}, ("there is no task 'additon'", "addition")),
        ("addition", {"digit": 3}, ("no parameter 'digit' of addition", "digits")),
        ("addition", {"digits": 0}, ("digits must be an integer of at least 1, not 0",)),
        ("addition", {"easy": 0.6, "hard": 0.5}, ("easy and hard", "0.6 and 0.5")),
        ("addition", {"easy": -0.1}, ("easy and hard", "-0.1")),
        ("addition", {"digits": 19}, ("digits must be 18 at most, not 19",)),
        ("addition", {"digits": 10, "hard": 0.5}, ("digits must be 9 at most, not 10",)),
        ("addition", {"num_train": 0}, ("num_train must be", "at least 1")),
        ("addition", {"seed": -1}, ("seed must be",)),
        ("addition", {"digits": 1, "num_test": 56}, ("num_test", "56", "55")),
        ("addition", {"digits": 1, "num_test": 55}, ("num_test", "55")),
        ("sorting", {"length": 1}, ("length must be", "at least 2")),
        ("sorting", {"spare": -1}, ("spare must be", "at least 0")),
        ("countdown", {"numbers": 10}, ("numbers must be 9 at most, not 10",)),
        ("countdown", {"form": 2.0}, ("form must be between 0 and 1, not 2.0",)),
        ("random_walks", {"num_goals": 22}, ("num_goals must be 21 at most, not 22",)),
        ("random_walks", {"max_length": 3}, ("max_length must be", "at least 4")),
    ],
)
def test_mistakes_are_told(name, params, words):
    with pytest.raises(ValueError) as error:
        make_task(name, **params)
    hold_sentence(str(error.value), *words)
