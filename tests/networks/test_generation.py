"""Generation against the full forward, repeated argmax, other batches, and NumPy."""

from functools import cache, partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrl.networks.beam import beam
from jaxrl.networks.generation import best_of, generate, row_keys
from jaxrl.networks.language import language_model, read
from jaxrl.networks.sampling import likeliest, sampling
from jaxrl.text import Response, Vocabulary
from tests.formulas.near import assert_near
from tests.formulas.tools import frequencies_match, sample
from tests.networks.speech import SHAPES, SMALL, VOCABULARY, prompts, said, weights
from tests.oracles import transformer as oracle

PROMPTS = [[4, 9, 2], [7], [3, 3, 8, 5, 6]]
KEY = jax.random.key(3)
SHAPE = SHAPES["qwen2"]._replace(context=24)
MODEL = language_model(SHAPE)
PARAMS = weights(MODEL, 5)
NUM_TOKENS = 6


SOFT = sampling(0.8)


@cache
def speaking(choose=SOFT, early_stop=True):
    """The compiled generation of keys, parameters and prompts."""

    @jax.jit
    def run(key, params, questions):
        return generate(key, MODEL, params, questions, VOCABULARY, NUM_TOKENS, choose, early_stop)

    return run


@cache
def spoken():
    """Some have ended, some have not."""
    response = speaking()(row_keys(KEY, 3, 8), PARAMS, prompts(*PROMPTS))
    assert 0 < int(response.ended.sum()) < 24
    return response


def test_a_response_is_well_formed():
    """Its end inside of the mask, pads and zeros behind it; it ended if EOS was said."""
    response = jax.tree.map(np.asarray, spoken())
    assert response.token.shape == response.mask.shape == (NUM_TOKENS, 3, 8)
    length = response.mask.sum(0)
    assert (response.mask == (np.arange(NUM_TOKENS)[:, None, None] < length)).all()
    ends = response.mask & (response.token == VOCABULARY.eos)
    assert (ends.sum(0) == response.ended).all()
    assert (length[~response.ended] == NUM_TOKENS).all()
    assert (np.argmax(ends, 0) + 1 == length)[response.ended].all()
    assert (response.token[~response.mask] == VOCABULARY.pad).all()
    assert (response.log_prob[~response.mask] == 0).all()


def test_a_model_of_half_precision_speaks():
    params = jax.tree.map(lambda x: x.astype(jnp.bfloat16), PARAMS)
    with jax.numpy_dtype_promotion("standard"):  # flax takes its statistics in float32
        response = speaking()(row_keys(KEY, 3, 8), params, prompts(*PROMPTS))
        best, score = beam(MODEL, params, prompts(*PROMPTS), VOCABULARY, NUM_TOKENS, 3)
    assert response.log_prob.dtype == jnp.float32 and (response.log_prob <= 0).all()
    assert jnp.isfinite(score).all() and best.mask[0].all()


def test_log_probs_are_those_of_the_full_forward():
    """Of the cached decoding of a shared prompt against the oracle, at the same temperature."""
    response = spoken()
    for p, prompt in enumerate(PROMPTS):
        for g in range(8):
            row = said(response, p, g)
            logits = oracle.logits(PARAMS, SHAPE, [*prompt, *row])[len(prompt) - 1 : -1] / 0.8
            log_prob = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
            expected = [x[token] for x, token in zip(log_prob, row, strict=True)]
            assert_near(response.log_prob[: len(row), p, g], np.array(expected), 1e-5)


def test_greedy_is_repeated_argmax():
    response = speaking(likeliest)(row_keys(KEY, 3, 2), PARAMS, prompts(*PROMPTS))
    for p, prompt in enumerate(PROMPTS):
        row = []
        while len(row) < NUM_TOKENS and VOCABULARY.eos not in row:
            row.append(int(oracle.logits(PARAMS, SHAPE, [*prompt, *row])[-1].argmax()))
        assert said(response, p, 0) == said(response, p, 1) == row
        expected = oracle.log_probs(PARAMS, SHAPE, prompt, row)
        assert_near(response.log_prob[: len(row), p, 0], expected, 1e-5)
    assert sampling(temperature=0) is likeliest


def test_a_while_loop_equals_a_scan():
    scanned = speaking(early_stop=False)(row_keys(KEY, 3, 8), PARAMS, prompts(*PROMPTS))
    same(scanned, spoken())


def same(one, other):
    for x, y in zip(one[:2], other[:2], strict=True):
        np.testing.assert_array_equal(x, y)
    assert_near(one.log_prob, other.log_prob, 1e-5)
    np.testing.assert_array_equal(one.ended, other.ended)


def test_the_loop_stops_early():
    """A model that ends at once takes one turn, and none once nothing is left to say."""
    turns = []
    model = MODEL._replace(
        unembedding=lambda params: jnp.zeros((12, 11)),
        decode=lambda *x: (jax.debug.callback(turns.append, x[3]), MODEL.decode(*x))[1],
    )
    always = Vocabulary(11, eos=0, pad=5)  # the first of equals is the end
    run = jax.jit(lambda key: generate(key, model, PARAMS, prompts([2]), always, 6, likeliest))
    response = jax.block_until_ready(run(row_keys(KEY, 1, 3)))
    jax.effects_barrier()
    assert turns == []
    assert response.token[:, 0, 0].tolist() == [0, 5, 5, 5, 5, 5]


def test_a_sample_does_not_depend_on_its_batch():
    """Rows by themselves, in another order, and with other pads around them."""
    keys = row_keys(KEY, 3, 8)
    order = np.array([2, 0])
    longer = prompts(*(PROMPTS[p] for p in order), length=9, pad=3)
    some = speaking()(keys[order][:, 5:7], PARAMS, longer)
    same(some, jax.tree.map(lambda x: x[..., order, 5:7], spoken()))


def test_a_shared_prompt_equals_repeated_prompts():
    keys = row_keys(KEY, 3, 8)
    repeated = prompts(*(prompt for prompt in PROMPTS for _ in range(8)))
    apart = speaking()(keys.reshape(24, 1), PARAMS, repeated)
    same(jax.tree.map(lambda x: x.reshape(*x.shape[:-2], 3, 8), apart), spoken())


def test_one_token():
    """Chosen from the prompt alone, and read back from it: there is nothing to decode."""
    keys, questions = row_keys(KEY, 3, 2), prompts(*PROMPTS)

    @jax.jit
    def run(params):
        response = generate(keys, MODEL, params, questions, VOCABULARY, 1, SOFT)
        return response, read(MODEL, params, questions, response) @ MODEL.unembedding(params)

    response, logits = run(PARAMS)
    assert response.token.shape == (1, 3, 2) and logits.shape == (1, 3, 2, 11)
    np.testing.assert_array_equal(response.token, spoken().token[:1, :, :2])
    for p, prompt in enumerate(PROMPTS):
        assert_near(logits[0, p, 1], oracle.logits(PARAMS, SHAPE, prompt)[-1], 2e-5)


def test_keys_are_all_different():
    data = np.asarray(jax.random.key_data(row_keys(KEY, 5, 7)))
    assert len(np.unique(data.reshape(35, -1), axis=0)) == 35
    np.testing.assert_array_equal(jax.random.key_data(row_keys(KEY, 2, 3)), data[:2, :3])


def test_vmap_over_seeds_is_a_loop():
    run = speaking(early_stop=False)
    several = [weights(MODEL, seed, 0.1) for seed in (1, 2)]
    stacked = jax.tree.map(lambda *x: jnp.stack(x), *several)
    keys = jnp.stack([row_keys(jax.random.key(s), 3, 8) for s in (8, 9)])
    together = jax.vmap(run, (0, 0, None))(keys, stacked, prompts(*PROMPTS))
    for i, params in enumerate(several):
        alone = run(keys[i], params, prompts(*PROMPTS))
        same(jax.tree.map(lambda x: x[i], together), alone)  # noqa: B023


@pytest.mark.parametrize(
    ("top_k", "top_p"), [(None, 1.0), (1, 1.0), (3, 1.0), (None, 0.5), (None, 1e-3), (4, 0.7)]
)
def test_filters_are_the_oracles(top_k, top_p):
    """What may be drawn, how often it is, and the log-probability that is noted down."""
    logits = sample(1, 7, scale=1.5)
    prob = oracle.filtered(logits / 1.3, top_k, top_p)
    choose = jax.jit(sampling(1.3, top_k, top_p))
    token, log_prob = choose(jax.random.uniform(KEY, (4000,)), np.tile(logits, (4000, 1)))
    frequencies_match(token, prob)
    assert_near(np.exp(log_prob), prob[np.asarray(token)], 1e-5)


def test_temperature_and_mass_are_traced():
    logits = jnp.asarray(sample(2, 50, 7))
    noise = jax.random.uniform(KEY, (50,))
    run = jax.jit(lambda t, p: sampling(t, top_p=p)(noise, logits))
    for t, p in ((0.5, 0.9), (1.0, 1.0)):
        np.testing.assert_array_equal(run(t, p)[0], sampling(t, top_p=p)(noise, logits)[0])
    assert (run(0.01, 1.0)[0] == logits.argmax(-1)).mean() > 0.95


TINY = Vocabulary(4, eos=1, pad=0)
TINY_SHAPE = SMALL._replace(vocabulary_size=4, num_layers=1)


@pytest.mark.parametrize("power", [0.0, 1.0])
def test_a_wide_beam_is_brute_force(power):
    """With room for every response, the search finds them all, in the right order."""
    model = language_model(TINY_SHAPE)
    params = weights(model, 2, 0.5)
    rows = oracle.responses(TINY, 3)
    response, score = jax.jit(
        partial(beam, model, vocabulary=TINY, num_tokens=3, num_beams=len(rows))
    )(params, prompts([2, 3], [0]), length_power=power)
    assert len(rows) == 40
    for p, prompt in enumerate(([2, 3], [0])):
        total = {r: oracle.log_probs(params, TINY_SHAPE, prompt, r).sum() for r in rows}
        expected = {r: total[r] / len(r) ** power for r in rows}
        ranked = sorted(rows, key=lambda r: -expected[r])
        assert [tuple(said(response, p, w)) for w in range(40)] == ranked
        assert_near(score[p], np.array([expected[r] for r in ranked]), 1e-5)
        assert_near(response.log_prob.sum(0)[p], np.array([total[r] for r in ranked]), 1e-5)


def test_a_narrow_beam():
    """One beam is greedy; a few are no worse, and tell the truth of their scores."""
    questions = prompts(*PROMPTS)
    greedy = speaking(likeliest)(row_keys(KEY, 3, 1), PARAMS, questions)
    search = partial(beam, MODEL, vocabulary=VOCABULARY, num_tokens=NUM_TOKENS)
    one, score = jax.jit(partial(search, num_beams=1))(PARAMS, questions)
    same(one, greedy)
    few, better = jax.jit(partial(search, num_beams=4))(PARAMS, questions)
    assert bool((better[:, 0] >= score[:, 0] - 1e-5).all())
    for p, prompt in enumerate(PROMPTS):
        found = [tuple(said(few, p, w)) for w in range(4)]
        assert len(set(found)) == 4
        expected = [oracle.log_probs(PARAMS, SHAPE, prompt, row).sum() for row in found]
        assert_near(better[p], np.array(expected), 1e-5)
        assert (np.diff(better[p]) <= 0).all()


def test_more_beams_than_responses():
    """Those that found nothing have the score −∞ and come last."""
    model = language_model(TINY_SHAPE)
    run = jax.jit(partial(beam, model, vocabulary=TINY, num_tokens=1, num_beams=6))
    _, score = run(weights(model, 2), prompts([2]))
    assert np.isfinite(score[0, :4]).all() and (score[0, 4:] == -np.inf).all()


def test_best_of():
    token = jnp.arange(12).reshape(2, 2, 3)
    response = Response(token, token > 0, token.astype(jnp.float32), token[0] > 2)
    best = best_of(response, jnp.array([[0.0, 5.0, 1.0], [2.0, 2.0, 1.0]]), 2)
    np.testing.assert_array_equal(best.token, [[[1, 2], [3, 4]], [[7, 8], [9, 10]]])
    np.testing.assert_array_equal(best.ended, [[False, False], [True, True]])
    with pytest.raises(ValueError, match="num_kept must be at most 3, not 4"):
        best_of(response, jnp.zeros((2, 3)), 4)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"key": row_keys(KEY, 2, 2)}, r"key must have the shape \[P, G\] with P = 3"),
        ({"vocabulary": Vocabulary(9, 1, 0)}, "must have the 11 tokens of the model, not 9"),
        ({"vocabulary": Vocabulary(11, 11, 0)}, "eos must be a token below 11, not 11"),
        ({"vocabulary": Vocabulary(11, 1, -1)}, "pad must be a token below 11, not -1"),
        ({"num_tokens": 0}, "num_tokens must be an integer of at least 1, not 0"),
        ({"num_tokens": 21}, "fit the context of 24 tokens, not have 5 and 20"),
    ],
)
def test_what_generation_refuses(changes, words):
    given = {"key": row_keys(KEY, 3, 2), "vocabulary": VOCABULARY, "num_tokens": 3} | changes
    with pytest.raises(ValueError, match=words):
        generate(model=MODEL, params=PARAMS, prompts=prompts(*PROMPTS), choose=likeliest, **given)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"temperature": -1.0}, "temperature must be a number of at least 0, not -1.0"),
        ({"top_k": 0}, "top_k must be an integer of at least 1, not 0"),
        ({"top_p": 0}, "top_p must be above 0 and at most 1, not 0"),
    ],
)
def test_what_sampling_refuses(arguments, words):
    with pytest.raises(ValueError, match=words):
        sampling(**arguments)


def test_improbable_tokens_are_never_drawn():
    """At both ends of the noise, with impossible tokens first and last, for few and for many."""
    for size in (7, 300):
        logits = np.full((3, size), -np.inf, np.float32)
        logits[:, 2:5] = [[0.0, -np.inf, 10.0], [0.0, 0.0, 0.0], [-np.inf, 1.0, -200.0]]
        for noise, expected in ((0.0, [2, 2, 3]), (1 - 2**-24, [4, 4, 3])):
            token, log_prob = jax.jit(sampling())(np.full(3, noise, np.float32), logits)
            np.testing.assert_array_equal(token, expected)
            assert np.isfinite(log_prob).all()
