"""Responses that are there already: kept from the start, shown by a task, or read from a file."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrl.algorithms.lm_sft import demonstration_loss
from jaxrl.families.headed import headed, reward_model
from jaxrl.families.language import voice
from jaxrl.families.shown import kept
from jaxrl.language_zoo import language_config
from jaxrl.loops.prompted import Plan, prompted
from jaxrl.tasks import taught
from jaxrl.text import Response, take
from jaxrl.train_language import examine, make_language_train
from jaxrl.types import Learner, LearnerState, once
from tests.language.oracle import log_probs
from tests.language.oracle_stages import METHODS
from tests.language.oracle_stages import headed as numbers_of
from tests.language.tiny import NUM_TOKENS, majority, questions, tiny_model
from tests.zoo.trees import assert_same, types

MODEL = tiny_model()


def speaker():
    """Says how often it has learnt, which prompt it was asked, and which of its responses it is."""

    def act(state, prompts, noise, carry):
        shape = (len(prompts.index), 1) if noise is None else noise.shape
        numbers = state.params, prompts.index[:, None], jnp.arange(shape[1])[None], 0
        token = jnp.stack([jnp.broadcast_to(jnp.int32(x), shape) for x in numbers])
        said = Response(token, token >= 0, token.astype(jnp.float32), jnp.ones(shape, bool))
        return said, (), carry

    def update(key, state, data):
        state = state._replace(params=state.params + 1, num_updates=state.num_updates + 1)
        return state, once(told=data.response.token, index=data.prompts.index)

    init = lambda key, params: LearnerState(jnp.int32(params or 0), (), jnp.int32(0))  # noqa: E731
    keys = lambda key, shape: jax.random.split(key, shape)  # noqa: E731
    return Learner(init, lambda key, num: (), keys, act, update)


def test_what_was_said_at_the_start_is_kept():
    task = majority(num_train=18)
    task = task._replace(train=take(task.train, jnp.arange(17, 6, -1)))  # any part, in any order
    algorithm = prompted(task, kept(speaker(), task.train, 3, chunk=4), Plan(4, 3))
    state = algorithm.init(jax.random.key(0), 7)
    update = jax.jit(algorithm.update)
    for _ in range(3):
        state, metrics = update(state)
        learnt, index, member, _ = np.asarray(metrics["told"].total)
        np.testing.assert_array_equal(learnt, np.full((4, 3), 7))
        asked = np.asarray(metrics["index"].total)
        np.testing.assert_array_equal(index, np.broadcast_to(asked[:, None], (4, 3)))
        np.testing.assert_array_equal(member, np.broadcast_to(np.arange(3), (4, 3)))
    assert int(state.learner.params) == 10


def pairs():
    """Prompts with two responses each, the better one second."""
    prompts = questions([(1, 1, 2), (3, 2, 3)])
    token = np.array([[[2, 1], [1, 3]], [[5, 5], [2, 5]], [[0, 0], [5, 0]], [[0, 0], [0, 0]]])
    mask = np.arange(NUM_TOKENS)[:, None, None] < np.array([[2, 2], [3, 2]])
    zeros = np.zeros(token.shape, np.float32)
    return prompts, Response(token.astype(np.int32), mask, zeros, np.ones((2, 2), bool))


def test_a_task_is_taught_by_examples():
    prompts, response = pairs()
    task = taught(majority(), prompts, response, jnp.array([[0.0, 1.0], [-1.0, 0.5]]))
    asked = take(task.train, jnp.array([1, 0, 1]))
    assert task.shown is not None and task.judge is not None
    shown = task.shown(asked)
    np.testing.assert_array_equal(shown.token[:, 0], [[3, 1], [5, 2], [0, 5], [0, 0]])
    np.testing.assert_array_equal(shown.mask.sum(0), [[2, 3], [2, 2], [2, 3]])
    np.testing.assert_array_equal(task.judge(asked, shown), [[0.5, -1], [1, 0], [0.5, -1]])
    one = task.demonstration(asked)
    np.testing.assert_array_equal(one.token[..., 0], shown.token[..., 0])
    np.testing.assert_array_equal(task.judge(asked, one), [[0.5], [1.0], [0.5]])
    in_order = taught(majority(), prompts, response)
    assert in_order.shown is not None
    np.testing.assert_array_equal(in_order.shown(task.train).token, response.token)


def test_tests_go_by_the_reward_and_learning_by_the_judge():
    task = majority()._replace(judge=lambda prompts, response: jnp.full(response.ended.shape, 5.0))
    algorithm = prompted(task, speaker(), Plan(4, 3))
    state, metrics = jax.jit(algorithm.update)(algorithm.init(jax.random.key(0)))
    assert float(metrics["episode_return"].mean) == 5.0
    result = examine(jax.random.key(0), task, speaker(), state.learner, 6)
    assert result.episode_return.max() == 0.0


def test_a_reward_model_is_a_reward():
    params = headed(MODEL, majority()).init(jax.random.key(1), MODEL.init(jax.random.key(0)))
    prompts, response = pairs()
    wanted = np.take_along_axis(
        numbers_of(params, prompts, response), np.asarray(response.mask).sum(0)[None], 0
    )[0]
    reward = jax.jit(reward_model(MODEL, params))
    np.testing.assert_allclose(reward(prompts, response), wanted, rtol=1e-5)


def test_the_loss_of_held_out_demonstrations():
    task, params = majority(), MODEL.init(jax.random.key(0))
    shown = task.demonstration(task.test)
    wanted = -log_probs(params, task.test, shown, 1.0)[np.asarray(shown.mask)].mean()
    spoken = voice(MODEL, task, 1.0)
    np.testing.assert_allclose(demonstration_loss(spoken, params, task), wanted, rtol=1e-5)


@pytest.mark.parametrize("name", METHODS)
def test_every_stage_keeps_its_types_and_reads_no_setting_that_is_traced(name):
    size = 1 if name == "lm_sft" else 2
    config = language_config(name, num_prompts=4, group_size=size, num_minibatches=2)

    def first_and_next(config):
        algorithm = make_language_train(config, majority(), 8, model=MODEL).algorithm
        state = algorithm.init(jax.random.key(0))
        return state, algorithm.update(state)[0]

    assert len({str(types(x)) for x in jax.eval_shape(first_and_next, config)}) == 1


def test_examples_are_learnt_from():
    task = taught(majority(), *pairs())
    sizes = {"num_prompts": 2, "num_minibatches": 1, "lr": 3e-2}
    config = language_config("lm_dpo", group_size=2, **sizes)
    training = make_language_train(config, task, 4 * 20, model=MODEL)
    _, metrics = jax.jit(training)(jax.random.key(0))
    margin = metrics["rewards_margin"].mean
    assert margin[0] == 0.0 and margin[-1] > 0.2
    assert float(metrics["compared"].mean[-1]) == 1.0
    imitated = language_config("lm_sft", **sizes)
    jax.eval_shape(make_language_train(imitated, task, 4, model=MODEL), jax.random.key(0))


def test_given_parameters_are_where_learning_starts():
    params = MODEL.init(jax.random.key(5))
    for name in ("lm_sft", "lm_ppo", "lm_reward", "lm_dpo"):
        config = language_config(name, num_prompts=4, demonstration_steps=1)
        algorithm = make_language_train(config, majority(), model=MODEL).algorithm
        init = jax.jit(algorithm.init)
        learnt = init(jax.random.key(0), params).learner
        own = {"lm_ppo": lambda x: x["actor"], "lm_reward": lambda x: x["model"]}
        assert_same(own.get(name, lambda x: x)(learnt.params), params)
        if name == "lm_ppo":
            assert_same(learnt.params["critic"]["model"], params)
        if name != "lm_sft":
            assert_same(learnt.target, params)


SAID = pairs()[1]
EXAMPLES = (
    (jax.tree.map(lambda x: x[..., [0, 0]], SAID), None, "not the same one twice"),
    (SAID, jnp.array([[0.0, jnp.nan], [1.0, 0.0]]), "reward must be finite, not nan"),
    (SAID, jnp.zeros(3), r"reward must have the shape \(2, 2\), not \(3,\)"),
    (SAID, jnp.ones((2, 2)), "reward must prefer some response to prompt 0"),
    (jax.tree.map(lambda x: x[:3], SAID)._replace(ended=SAID.ended), None, "must have 4 tokens"),
    (SAID._replace(token=SAID.token + 5), None, "response must be of tokens below 6, not 7"),
    (SAID._replace(mask=SAID.mask & False), None, "response must have a token"),
)


@pytest.mark.parametrize(("response", "reward", "words"), EXAMPLES)
def test_wrong_examples_are_told_in_one_sentence(response, reward, words):
    with pytest.raises(ValueError, match=words):
        taught(majority(), pairs()[0], response, reward)


MISTAKES = (
    ("lm_sft", {"group_size": 2}, "lm_sft.group_size must be the 1 demonstration, not 2"),
    ("lm_dpo", {"group_size": 1}, "lm_dpo.group_size must be at least 2 to compare responses"),
    ("lm_reward", {"group_size": 1}, "lm_reward.group_size must be at least 2"),
    ("lm_robust", {"smoothing": 0.5}, "lm_dpo.smoothing must be below 0.5"),
    ("lm_kto", {"num_minibatches": 8}, "num_prompts must be at least 2 in each minibatch"),
    ("lm_kto", {"per_token": True}, "per_token must be false for KTO"),
    ("lm_ppo", {"num_prompts": 6}, "lm_ppo.num_prompts must be a multiple of"),
    ("lm_dpo", {"beta": -1.0}, "lm_dpo.beta must be a number of at least 0"),
)


@pytest.mark.parametrize(("name", "changes", "words"), MISTAKES)
def test_a_mistake_is_told_in_one_sentence(name, changes, words):
    config = language_config(name, **({"num_prompts": 8} | changes))
    with pytest.raises(ValueError, match=words):
        make_language_train(config, majority())


def test_other_mistakes_are_told_too():
    config = language_config("lm_dpo", num_prompts=2)
    with pytest.raises(ValueError, match="group_size must be the 2 responses that each prompt"):
        make_language_train(config, taught(majority(), *pairs()))
    params = headed(MODEL, majority()).init(jax.random.key(1), MODEL.init(jax.random.key(0)))
    with pytest.raises(ValueError, match=r"params\['head'\]\['weight'\] must have the model's"):
        reward_model(tiny_model(width=4), params)
    with pytest.raises(ValueError, match="params must be those of the model"):
        reward_model(MODEL, params["model"])
    algorithm = make_language_train(config, majority(), model=MODEL).algorithm
    with pytest.raises(ValueError, match=r"params\['out'\] must have the model's shape \(8, 6\)"):
        algorithm.init(jax.random.key(0), tiny_model(width=4).init(jax.random.key(0)))
    wrong = majority()._replace(judge=lambda prompts, response: jnp.zeros(3))
    training = make_language_train(language_config("lm_ppo", num_prompts=4), wrong, model=MODEL)
    with pytest.raises(ValueError, match="reward must have the shape"):
        jax.eval_shape(training, jax.random.key(0))
