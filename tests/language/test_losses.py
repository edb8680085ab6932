"""Losses of all methods against their oracles, and what must not matter to them."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

from jaxrl.algorithms import lm_grpo
from jaxrl.language_zoo import LANGUAGE
from tests.language import batches
from tests.language.oracle import METHODS, Facts, clipped, gradient_of, log_probs, relative
from tests.oracles.groups import greedy_advantage, leave_one_out
from tests.oracles.ratios import off_policy_mask, truncated_weight
from tests.oracles.reduce import sequence_mean
from tests.oracles.shaping import kl_reward, soft_overlong_penalty

STEP = 1e-5


@functools.cache
def facts(name, step=0.0):
    """The oracle's view, with the parameters moved along a direction."""
    data, (_, now, reference) = batches.answers(), batches.policies()

    def said(params):
        return log_probs(params, data.prompts, data.response, batches.TEMPERATURE)

    return Facts(said(moved(now, step)), said(now), said(reference), data)


def moved(params, step):
    return {n: np.asarray(x, np.float64) + step * direction()[n] for n, x in params.items()}


def direction():
    return {n: np.asarray(x, np.float64) for n, x in batches.params(7).items()}


def test_every_method_has_an_oracle():
    group = {n for n, entry in LANGUAGE.items() if isinstance(entry.config, lm_grpo.Config)}
    assert set(METHODS) == group


@pytest.mark.parametrize("name", METHODS)
def test_value_and_gradient_are_the_oracles(name):
    value, numbers, gradient = batches.evaluated(name, batches.policies()[1])
    wanted = METHODS[name](facts(name))
    np.testing.assert_allclose(value, wanted, rtol=2e-5, atol=2e-6)
    forward, back = (METHODS[name](facts(name, step)) for step in (STEP, -STEP))
    slope = sum(np.vdot(gradient[n], direction()[n]) for n in gradient)
    np.testing.assert_allclose(slope, (forward - back) / (2 * STEP), rtol=2e-4, atol=2e-5)
    assert np.isfinite(list(numbers.values())).all()


def test_what_is_dropped_is_far_from_who_spoke():
    """And not from the policy of now, to which a correction refers the ratios."""
    now, x, limit = batches.policies()[1], facts("lm_grpo"), 0.02
    changes = {"correction": "token", "kl_coef": None}
    value = batches.evaluated("lm_grpo", now, now=now, drop_kl=limit, **changes)[0]
    advantage, weight = relative(x), truncated_weight(x.ratio, 2.0)
    keep = off_policy_mask(advantage, x.ratio, x.mask, limit)
    assert keep.any() and not keep[x.mask].all()
    np.testing.assert_allclose(value, sequence_mean(-weight * advantage * keep, x.mask), rtol=2e-5)


def test_greedy_responses_pay_for_their_length_too():
    x, now = facts("lm_remax"), batches.policies()[1]
    value = batches.evaluated("lm_remax", now, overlong_cache=2)[0]
    reward, greedy = (
        score + soft_overlong_penalty(length, batches.NUM_TOKENS, 2)
        for score, length in ((x.reward, x.length), (x.greedy, x.greedy_length))
    )
    wanted = gradient_of(x, x.spread(greedy_advantage(reward, greedy)))
    assert not np.allclose(wanted, METHODS["lm_remax"](x))
    np.testing.assert_allclose(value, wanted, rtol=2e-5)


def test_the_clip_binds_here():
    """Else the oracles of the clip rules would all be the same."""
    for name in ("lm_grpo", "lm_gspo", "lm_dcpo"):
        _, numbers, _ = batches.evaluated(name, batches.policies()[1])
        assert 0.02 < numbers["clip_fraction"] < 0.9, name


def test_diagnostics_are_means_over_tokens():
    _, numbers, _ = batches.evaluated("lm_grpo", batches.policies()[1])
    x = facts("lm_grpo")
    mean = lambda of: of[x.mask].mean()  # noqa: E731
    advantage = relative(x)
    ratio = np.exp(x.ratio)
    low, high = (advantage < 0) & (ratio < 0.8), (advantage > 0) & (ratio > 1.2)
    np.testing.assert_allclose(numbers["clip_low"], mean(low), rtol=1e-5)
    np.testing.assert_allclose(numbers["clip_high"], mean(high), rtol=1e-5)
    np.testing.assert_allclose(numbers["clip_fraction"], mean(low | high), rtol=1e-5)
    kl = np.exp(-x.apart) + x.apart - 1
    np.testing.assert_allclose(numbers["kl"], mean(kl), rtol=1e-4)
    moved = np.exp(x.ratio) - x.ratio - 1
    np.testing.assert_allclose(numbers["approx_kl"], mean(moved), rtol=1e-4)


def test_what_a_ceiling_stops_counts_as_clipped():
    now, x = batches.policies()[1], facts("lm_grpo")
    above = (relative(x) < 0) & (np.exp(x.ratio) > 1.25)
    plain, dual = (
        batches.evaluated("lm_grpo", now, dual_clip=ceiling)[1]["clip_low"]
        for ceiling in (None, 1.25)
    )
    assert above[x.mask].any()
    np.testing.assert_allclose(dual - plain, above[x.mask].mean(), rtol=1e-5)


def test_cispo_clips_the_weight_of_bad_answers_too():
    now, x = batches.policies()[1], facts("lm_cispo")
    above = (np.exp(x.ratio) > 1.1) & (relative(x) != 0)
    numbers = batches.evaluated("lm_cispo", now, clip_eps_high=0.1)[1]
    assert (above & (relative(x) < 0))[x.mask].any()
    np.testing.assert_allclose(numbers["clip_fraction"], above[x.mask].mean(), rtol=1e-5)


REDUCTIONS = ("token_mean", "sequence_mean", "sequence_sum", "fixed_length", "only_token_mean")


@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_parts_of_a_batch_add_up_to_its_gradient(reduction):
    data = batches.answers()._replace(valid=jnp.array([True, True, False, True]))

    def flat(num_microbatches):
        changes = {"reduction": reduction, "num_microbatches": num_microbatches}
        *values, gradient = batches.evaluated(
            "lm_grpo", batches.policies()[1], data=data, **changes
        )
        return ravel_pytree(values)[0], ravel_pytree(gradient)[0]

    (values, gradient), (whole_values, whole) = flat(4), flat(1)
    np.testing.assert_allclose(values, whole_values, rtol=2e-6, atol=1e-7)
    assert np.linalg.norm(gradient - whole) <= 1e-6 * np.linalg.norm(whole)


SAME = (
    {"surrogate": "clipped"},
    {"surrogate": "cispo"},
    {"ratio": "sequence"},
    {"ratio": "sequence_token"},
    {"bounds": "dynamic", "clip_eps": 0.16},
    {"dual_clip": 10.0},
    {"correction": "token"},
    {"correction": "sequence"},
    {"correction": "masked"},
    {"drop_kl": 0.1},
)


@pytest.mark.parametrize("changes", SAME, ids=str)
def test_at_a_ratio_of_1_all_gradients_are_the_policy_gradient(changes):
    def gradient(**changes):
        return batches.evaluated("lm_grpo", batches.policies()[0], kl_coef=None, **changes)[2]

    plain = gradient(surrogate="policy_gradient")
    ours = gradient(**changes)
    assert ravel_pytree(plain)[0].any()
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-4, atol=1e-6), ours, plain)


def spoiled():
    """What is masked, or belongs to no group, is replaced by numbers that mean nothing."""
    data = batches.answers()
    said, valid = data.response, jnp.array([True, True, True, False])
    counts = said.mask & valid[None, :, None]
    nan = jnp.nan
    response = said._replace(
        token=jnp.where(counts, said.token, 10**9),
        log_prob=jnp.where(counts, said.log_prob, nan),
    )
    return data._replace(valid=valid), data._replace(
        valid=valid,
        response=response,
        reward=jnp.where(valid[:, None], data.reward, nan),
        step_reward=jnp.where(counts, data.step_reward, nan),
        greedy_reward=jnp.where(valid[:, None], data.greedy_reward, nan),
    )


SPOILT = {
    "lm_grpo": {},
    "lm_grpo_steps": {},
    "lm_remax": {},
    "lm_rloo": {"correction": "token"},
    "lm_cispo": {"correction": "sequence", "learn_cut": False},
    "lm_gspo_token": {"correction": "masked"},
    "lm_reinforce_pp": {"drop_kl": 0.1},
    "lm_reinforce_pp_baseline": {"num_microbatches": 2},
}


@pytest.mark.parametrize("name", SPOILT)
def test_what_is_masked_cannot_matter(name):
    results = [
        batches.evaluated(name, batches.policies()[1], data=data, **SPOILT[name])
        for data in spoiled()
    ]
    jax.tree.map(np.testing.assert_array_equal, *results)


@pytest.mark.parametrize("correction", ["token", "sequence", "masked"])
def test_a_correction_weighs_by_how_far_the_speaker_was(correction):
    """r is to the policy now, and the loss is weighted by π_now / π_spoke, cut at 2."""
    now = batches.policies()[1]
    x = facts("lm_grpo")
    apart = np.where(x.mask, x.fixed - x.old, 0.0)
    if correction == "sequence":
        apart = np.where(x.mask, apart.sum(0), 0.0)
    weight = np.exp(apart)
    if correction == "masked":
        weight = np.where((weight >= 0.5) & (weight <= 2.0), weight, 0.0)
    weight = np.minimum(weight, 2.0)
    each = -weight * relative(x)  # at r = 1
    wanted = np.mean([each[:, p, g][x.mask[:, p, g]].mean() for p, g in np.ndindex(4, 3)])
    changes = {"kl_coef": None, "correction": correction}
    value = batches.evaluated("lm_grpo", now, now=now, **changes)[0]
    np.testing.assert_allclose(value, wanted, rtol=1e-4)


def test_with_a_correction_the_policy_of_now_pays_for_leaving_the_reference():
    now, x = batches.policies()[1], facts("lm_rloo")
    priced = kl_reward(x.reward, x.fixed, x.reference, x.mask, 0.05)
    weight = truncated_weight(x.fixed_ratio, 2.0)
    advantage = x.spread(leave_one_out(priced.sum(0)))
    value = batches.evaluated("lm_rloo", now, now=now, correction="token")[0]
    np.testing.assert_allclose(value, gradient_of(x, weight * advantage), rtol=2e-5)


def test_responses_that_were_cut_may_be_left_out():
    x = facts("lm_grpo")
    each, ended = clipped(x, relative(x)), np.asarray(batches.answers().response.ended)
    rows = [each[:, p, g][x.mask[:, p, g]].mean() for p, g in np.argwhere(ended)]
    now = batches.policies()[1]
    value = batches.evaluated("lm_grpo", now, kl_coef=None, learn_cut=False)[0]
    np.testing.assert_allclose(value, np.mean(rows), rtol=1e-4)
