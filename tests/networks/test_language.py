"""The transformer against its oracle; what is read of responses; heads; what is refused."""

from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrl.formulas.log_probs import hidden_log_prob_and_entropy
from jaxrl.networks.language import language_model, read, read_last, scalar_head
from tests.formulas.near import assert_near
from tests.networks.speech import SHAPES, SMALL, prompts, responses, weights
from tests.oracles import transformer as oracle

PROMPTS = [[4, 9, 2], [7], [3, 3, 8, 5, 6]]
RESPONSES = [[[5, 1], [6, 6, 2, 10]], [[1], [2, 3, 4, 1]], [[8, 7, 1], [9]]]


@cache
def made(name):
    model = language_model(SHAPES[name])
    return model, weights(model)


@cache
def reading(name):
    """What is made of prompts and responses: hidden states, and log-probabilities."""
    model, _ = made(name)

    @jax.jit
    def run(params, questions, answers):
        table = model.unembedding(params)
        right = model.hidden(params, questions.token[::-1], questions.mask[::-1])
        hidden = read(model, params, questions, answers)
        last = read_last(model, params, questions, answers)
        log_prob = hidden_log_prob_and_entropy(hidden, table, answers.token)[0]
        return right @ table, hidden, last @ table, log_prob

    return run


@pytest.mark.parametrize("name", SHAPES)
def test_it_reads_as_the_oracle_does(name):
    """A whole sequence, padded on the right; responses, each prompt being read once per group."""
    _, params = made(name)
    questions, answers = prompts(*PROMPTS), responses(RESPONSES, 4)
    whole, hidden, last, log_prob = reading(name)(params, questions, answers)
    assert hidden.shape == (4, 3, 2, SHAPES[name].width)
    for p, group in enumerate(RESPONSES):
        reversed_row = PROMPTS[p][::-1]
        expected = oracle.logits(params, SHAPES[name], reversed_row)
        assert_near(whole[: len(reversed_row), p], expected, 2e-5)
        for g, row in enumerate(group):
            expected = oracle.log_probs(params, SHAPES[name], PROMPTS[p], row)
            assert_near(log_prob[: len(row), p, g], expected, 2e-5)
            expected = oracle.logits(params, SHAPES[name], [*PROMPTS[p], *row])[-1]
            assert_near(last[p, g], expected, 2e-5)


@cache
def slope():
    """The compiled gradient of the log-probability of responses."""

    def loss(params, questions, answers):
        log_prob = reading("qwen2")(params, questions, answers)[3]
        return jnp.sum(jnp.where(answers.mask, log_prob, 0.0))

    return jax.jit(jax.grad(loss))


def test_pads_change_nothing():
    """Neither how many there are, nor what stands there, be it no token at all."""
    _, params = made("qwen2")
    questions, answers = prompts(*PROMPTS), responses(RESPONSES, 4)
    few = reading("qwen2")(params, questions, answers)
    more_pads = prompts(*PROMPTS, length=9, pad=-7)
    junk = answers._replace(token=jnp.where(answers.mask, answers.token, 10**6))
    many = reading("qwen2")(params, more_pads, junk)
    mask = np.asarray(answers.mask)
    assert_near(many[1][mask], few[1][mask], 1e-5)
    assert_near(many[2], few[2], 1e-5)
    assert all(np.isfinite(x).all() for x in many[:3])
    assert_near(slope()(params, more_pads, answers), slope()(params, questions, answers), 1e-4)


def test_the_gradient_is_that_of_repeated_prompts():
    """To read a prompt once per group adds the group's gradients up."""
    model, params = made("qwen2")
    questions, answers = prompts(*PROMPTS), responses(RESPONSES, 4)

    def repeated(params):
        token = jnp.concatenate([jnp.repeat(questions.token, 2, 1), answers.token.reshape(4, -1)])
        mask = jnp.concatenate([jnp.repeat(questions.mask, 2, 1), answers.mask.reshape(4, -1)])
        logits = model.hidden(params, token, mask)[4:-1] @ model.unembedding(params)
        log_prob = jax.nn.log_softmax(logits)
        taken = jnp.take_along_axis(log_prob, token[5:, :, None], -1)[..., 0]
        return jnp.where(mask[5:], taken, 0.0).sum()

    assert_near(slope()(params, questions, answers), jax.jit(jax.grad(repeated))(params), 1e-4)


def test_initial_parameters():
    """Next to no preference among tokens, and norms that are 1."""
    model = language_model(SHAPES["gpt2"])
    rows = prompts(*PROMPTS)

    @jax.jit
    def start(key):
        params = model.init(key)
        hidden = model.hidden(params, rows.token, rows.mask)
        return params, jax.nn.softmax(hidden[-1] @ model.unembedding(params))

    params, prob = start(jax.random.key(0))
    assert np.abs(np.asarray(prob) - 1 / 11).max() < 0.05
    assert float(params["norm"]["scale"].min()) == 1.0
    assert params["position"].shape == (16, 12)
    assert {x.dtype for x in jax.tree.leaves(params)} == {jnp.dtype("float32")}


def test_heads():
    head = scalar_head(3)
    params = head.init(jax.random.key(0))
    params["bias"] += 2.0
    hidden = jnp.arange(24.0).reshape(2, 2, 2, 3)
    assert_near(head.value(params, hidden), np.asarray(hidden) @ params["weight"] + 2.0, 1e-6)
    many = jax.vmap(scalar_head(399).init)(jax.random.split(jax.random.key(1), 50))
    assert abs(float(many["weight"].std()) - 0.05) < 0.002


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"norm": "batch"}, "norm must be one of rms, layer, not 'batch'"),
        ({"position": "none"}, "position must be one of rotary, learned, not 'none'"),
        ({"activation": "step"}, "activation must be one of"),
        ({"num_kept_heads": 3}, "num_kept_heads must divide num_heads = 4, not 3"),
        ({"head_size": 5}, "head_size must be even for rotary positions, not 5"),
        ({"num_layers": 0}, "num_layers must be an integer of at least 1, not 0"),
    ],
)
def test_shapes_that_are_refused(changes, words):
    with pytest.raises(ValueError, match=words):
        language_model(SMALL._replace(**changes))


def test_what_does_not_fit_the_context_is_refused():
    model, params = made("llama")
    with pytest.raises(ValueError, match="fit the context of 16 tokens, not have 17 and 0"):
        model.hidden(params, jnp.zeros((17, 1), int), jnp.ones((17, 1), bool))
    with pytest.raises(ValueError, match="fit the context of 16 tokens, not have 5 and 12"):
        read_last(model, params, prompts(*PROMPTS), responses(RESPONSES, 12))
    with pytest.raises(ValueError, match=r"mask must have the shape \(3, 1\), not \(2, 1\)"):
        model.hidden(params, jnp.zeros((3, 1), int), jnp.ones((2, 1), bool))
