"""Worked numbers, identities and limits of the losses from preferences."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxrl.formulas import preference
from tests.formulas.tools import array, near, sample

QUICK = settings(deadline=None, max_examples=25)
SEED = st.integers(0, 10**6)
MARGIN = preference.preference_margin(array(-10.0), array(-12.0), array(-11.0), array(-11.5))
MEAN_MARGIN = preference.preference_margin(
    array(-10 / 5), array(-12 / 8), array(-11 / 5), array(-11.5 / 8)
)
SCORE, LABEL = sample(1, 6, 4), sample(2, 6, 4)


def _labels(*rows):
    return jnp.array(rows, jnp.float32)


@pytest.mark.parametrize(
    ("loss", "expected"),
    [
        (preference.dpo_loss(MARGIN, 0.1), 0.620957),
        (preference.dpo_loss(MARGIN, 0.1, 0.1), 0.635957),
        (preference.robust_dpo_loss(MARGIN, 0.1, 0.1), 0.602207),
        (preference.hinge_loss(MARGIN, 0.1), 0.85),
        (preference.ipo_loss(MARGIN, 0.1), 12.25),
        (preference.ipo_loss(MEAN_MARGIN, 0.1), 22.443906),
        (preference.dpo_loss(MEAN_MARGIN, 0.1), 0.680108),
        (preference.simpo_loss(array(-10 / 5), array(-12 / 8), 2.0, 0.5), 1.701413),
        (preference.pairwise_reward_loss(array(1.5), array(0.5)), 0.313262),
        (preference.pairwise_reward_loss(array(1.5), array(0.5), margin=0.3), 0.403186),
        (preference.pairwise_reward_loss(array(1.5), array(0.5), centre=0.01), 0.353262),
        (preference.rrhf_loss(array([-0.4, -0.55, -0.3]), array([2.0, 5.0, 1.0])), 0.5),
    ],
)
def test_worked_numbers(loss, expected):
    near(loss, np.array([expected]), atol=1e-6)


@pytest.mark.parametrize(("smoothing", "expected"), [(0.0, 0.753059), (0.3, 0.9254465)])
def test_a_batch_of_token_log_probs(smoothing, expected):
    """Sums over four tokens; the first half of the rows are chosen, the second rejected."""
    rng = np.random.RandomState(0)
    policy, reference = (
        rng.normal(0, 5, (8, 4)).sum(-1, dtype=np.float64).astype(np.float32) for _ in range(2)
    )
    margin = preference.preference_margin(policy[:4], policy[4:], reference[:4], reference[4:])
    near(jnp.mean(preference.dpo_loss(margin, 0.1, smoothing)), expected, atol=2e-6)


def test_margin_ignores_what_both_responses_share():
    near(MARGIN, array(1.5))
    pair, reference = sample(3, 2, 5), sample(4, 2, 5)
    margin = preference.preference_margin(*pair, *reference)
    near(preference.preference_margin(*(pair + 3), *reference), margin, atol=1e-5)
    near(preference.preference_margin(*pair[::-1], *reference[::-1]), -margin)


def test_smoothing_of_zero_is_plain_dpo():
    margin = sample(5, 20, scale=10.0)
    plain = preference.dpo_loss(margin, 0.1)
    near(preference.dpo_loss(margin, 0.1, 0.0), plain)
    near(preference.robust_dpo_loss(margin, 0.1, 0.0), plain)
    near(preference.pairwise_reward_loss(np.float32(0.1) * margin, np.zeros_like(margin)), plain)


@QUICK
@given(SEED, st.floats(0.0, 0.45))
def test_robust_loss_is_unbiased_when_labels_flip(seed, smoothing):
    margin = sample(seed, 8, scale=10.0)
    kept = preference.robust_dpo_loss(margin, 0.1, smoothing)
    flipped = preference.robust_dpo_loss(-margin, 0.1, smoothing)
    mean = (1 - smoothing) * kept + smoothing * flipped
    near(mean, preference.dpo_loss(margin, 0.1), rtol=1e-4, atol=1e-5)


def test_cdpo_is_least_at_the_margin_of_its_own_confidence():
    best = np.log(0.9 / 0.1) / 0.1
    gradient = jax.grad(lambda m: jnp.sum(preference.dpo_loss(m, 0.1, 0.1)))
    near(gradient(array(best)), array(0.0))
    assert gradient(array(best - 1))[0] < 0 < gradient(array(best + 1))[0]


def test_ipo_stops_at_its_margin_and_hinge_beyond_it():
    near(preference.ipo_loss(array(5.0), 0.1), array(0.0))
    near(preference.hinge_loss(array(9.0, 11.0), 0.1), array(0.1, 0.0))
    gradient = jax.grad(lambda m: jnp.sum(preference.hinge_loss(m, 0.1)))(array(9.0, 11.0))
    near(gradient, array(-0.1, 0.0))


def test_dpo_gradient_is_weighted_by_how_wrong_the_order_is():
    margin = sample(6, 10, scale=10.0)
    gradient = jax.grad(lambda m: jnp.sum(preference.dpo_loss(m, 0.1)))(margin)
    near(gradient, -0.1 * jax.nn.sigmoid(-0.1 * margin))


@pytest.mark.parametrize("margin", [-1e5, 1e5])
@pytest.mark.parametrize(
    "loss",
    [
        lambda m: preference.dpo_loss(m, 0.1),
        lambda m: preference.dpo_loss(m, 0.1, 0.2),
        lambda m: preference.robust_dpo_loss(m, 0.1, 0.2),
        lambda m: preference.simpo_loss(m, jnp.zeros_like(m), 2.0, 0.5),
        lambda m: preference.kto_loss(m, jnp.ones_like(m), 0.0, 0.1),
        lambda m: preference.pairwise_reward_loss(m, jnp.zeros_like(m)),
        lambda m: preference.all_pairs_loss(_labels([0, 1]) * m[:, None], _labels([0, 1])),
        lambda m: preference.plackett_luce_loss(_labels([0, 1]) * m[:, None], _labels([0, 1])),
    ],
)
def test_extreme_margins_are_finite(loss, margin):
    value, gradient = jax.value_and_grad(lambda m: jnp.sum(loss(m)))(array(margin))
    assert np.isfinite(value)
    assert np.all(np.isfinite(gradient))


def test_a_ranking_of_two_is_a_pair():
    chosen, rejected = sample(7, 9), sample(8, 9)
    pair = preference.pairwise_reward_loss(chosen, rejected)
    score = np.stack([rejected, chosen], -1)
    label = np.broadcast_to(np.array([0.0, 1.0], np.float32), score.shape)
    near(preference.all_pairs_loss(score, label), pair)
    near(preference.plackett_luce_loss(score, label), pair)


def test_all_pairs_without_an_order_is_zero():
    tied = np.ones((6, 4), np.float32)
    near(preference.all_pairs_loss(SCORE, tied), np.zeros(6))
    gradient = jax.grad(lambda s: jnp.sum(preference.all_pairs_loss(s, tied)))(SCORE)
    near(gradient, np.zeros((6, 4)))
    near(preference.all_pairs_loss(SCORE[:, :1], LABEL[:, :1]), np.zeros(6))


@pytest.mark.parametrize("seed", range(3))
def test_plackett_luce_probabilities_sum_to_one(seed):
    score = sample(seed, 4, scale=2.0)
    labels = np.array(list(itertools.permutations(range(4))), np.float32)
    loss = preference.plackett_luce_loss(np.broadcast_to(score, labels.shape), labels)
    near(jnp.sum(jnp.exp(-loss)), 1.0)


@QUICK
@given(SEED, st.floats(-30, 30))
def test_rankings_ignore_shifts_and_the_order_of_the_responses(seed, shift):
    score, label = sample(seed, 3, 5), sample(seed + 1, 3, 5)
    label = np.round(label)
    order = np.random.default_rng(seed).permutation(5)
    for loss in (preference.all_pairs_loss, preference.rrhf_loss):
        value = loss(score, label)
        near(loss(score[:, order], label[:, order]), value, atol=1e-5)
        near(loss(score + np.float32(shift), label), value, atol=1e-4)
    untied = np.argsort(np.argsort(sample(seed + 1, 3, 5), -1), -1).astype(np.float32)
    value = preference.plackett_luce_loss(score, untied)
    near(preference.plackett_luce_loss(score[:, order], untied[:, order]), value, atol=1e-5)
    near(preference.plackett_luce_loss(score + np.float32(shift), untied), value, atol=1e-4)


@QUICK
@given(SEED)
def test_pairs_are_independent(seed):
    chosen, rejected = sample(seed, 2, 6)
    order = np.random.default_rng(seed).permutation(6)
    loss = preference.simpo_loss(chosen, rejected, 2.0, 0.5)
    near(preference.simpo_loss(chosen[order], rejected[order], 2.0, 0.5), loss[order])
    loss = preference.pairwise_reward_loss(chosen, rejected)
    shifted = preference.pairwise_reward_loss(chosen + 5, rejected + 5)
    near(shifted, loss, atol=1e-5)


def test_simpo_without_margin_is_dpo_without_reference():
    chosen, rejected = -np.abs(sample(9, 2, 6))
    plain = preference.dpo_loss(chosen - rejected, 2.0)
    near(preference.simpo_loss(chosen, rejected, 2.0, 0.0), plain)


def test_orpo_against_its_definition():
    chosen, rejected = -np.abs(sample(10, 2, 6)).astype(np.float64) - 0.05
    odds = [np.exp(a) / (1 - np.exp(a)) for a in (chosen, rejected)]
    ratio = np.log(odds[0] / odds[1])
    expected = -chosen + 0.1 * np.log1p(np.exp(-ratio))
    loss = preference.orpo_loss(chosen.astype(np.float32), rejected.astype(np.float32), 0.1)
    near(loss, expected)


@pytest.mark.parametrize("certain", [-1e-3, -1e-6, -1e-7, 0.0, -200.0])
def test_orpo_is_finite_for_certain_and_for_impossible_responses(certain):
    def loss(chosen, rejected):
        return jnp.sum(preference.orpo_loss(chosen, rejected, 0.1))

    for pair in ((array(certain), array(-1.0)), (array(-1.0), array(certain))):
        value, gradients = jax.value_and_grad(loss, (0, 1))(*pair)
        assert np.isfinite(value)
        assert np.all(np.isfinite(gradients))


def test_orpo_is_accurate_near_certainty():
    loss = preference.orpo_loss(array(-1.0), array(-1e-6), 1.0)
    log_odds = np.log(np.exp(-1) / (1 - np.exp(-1))) - np.log(1 / 1e-6)
    near(loss, np.array([1 + np.log1p(np.exp(-log_odds))]), rtol=1e-5)


def test_kto_pushes_good_responses_up_and_bad_ones_down():
    log_ratio, desirable = sample(11, 8, scale=5.0), jnp.array([True, False] * 4)

    def loss(x):
        return jnp.sum(preference.kto_loss(x, desirable, 0.3, 0.1, 2.0, 3.0))

    gradient = np.asarray(jax.grad(loss)(log_ratio))
    assert np.all(gradient[::2] < 0)
    assert np.all(gradient[1::2] > 0)
    at_reference = preference.kto_loss(array(0.3, 0.3), desirable[:2], 0.3, 0.1, 2.0, 3.0)
    near(at_reference, array(1.0, 1.5))


def test_kto_reference_is_not_negative_and_teaches_nothing():
    near(preference.kto_reference(array(1.0, 2.0)), 1.5)
    near(preference.kto_reference(array(1.0, -2.0)), 0.0)
    near(jax.grad(preference.kto_reference)(array(1.0, 2.0)), array(0.0, 0.0))
    good, log_ratio = jnp.ones(2), array(1.0, 2.0)

    def loss(x):
        return jnp.sum(preference.kto_loss(log_ratio, good, preference.kto_reference(x), 0.1))

    near(jax.grad(loss)(log_ratio), array(0.0, 0.0))


def test_rrhf_is_silent_once_the_order_is_right():
    reward = np.sort(sample(12, 6, 4), -1)
    score = np.sort(sample(13, 6, 4), -1)
    value, gradient = jax.value_and_grad(lambda s: jnp.sum(preference.rrhf_loss(s, reward)))(score)
    near(value, 0.0)
    near(gradient, np.zeros((6, 4)))
    wrong = jax.grad(lambda s: jnp.sum(preference.rrhf_loss(s, reward)))(score[:, ::-1])
    near(wrong[0], array(3.0, 1.0, -1.0, -3.0))


def test_best_response_is_the_first_of_the_highest_reward():
    log_prob = array([-1.0, -2.0, -3.0], [-4.0, -5.0, -6.0])
    reward = array([0.0, 1.0, 1.0], [9.0, 1.0, 1.0])
    near(preference.best_response_loss(log_prob, reward), array(2.0, 4.0))
    gradient = jax.grad(lambda x: jnp.sum(preference.best_response_loss(x, reward)))(log_prob)
    near(gradient, array([0.0, -1.0, 0.0], [-1.0, 0.0, 0.0]))


def test_sft_gradient_is_probability_less_target():
    logits, target = sample(14, 5, 3, 7), np.full((5, 3), 2, np.int32)
    near(preference.sft_loss(jnp.zeros((5, 3, 7)), target), np.full((5, 3), np.log(7)))
    gradient = jax.grad(lambda x: jnp.sum(preference.sft_loss(x, target)))(logits)
    near(gradient, np.asarray(jax.nn.softmax(logits)) - np.eye(7)[2])
