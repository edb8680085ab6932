"""Worked numbers and identities of shaped rewards."""

import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxrl.formulas import shaping
from jaxrl.formulas.returns import discounted_return
from tests.formulas.tools import array, near, sample

LOG_PROB, REFERENCE = array(-1.0, -2.0, -0.5, -1.2), array(-1.1, -1.8, -0.9, -1.0)
FULL = np.ones(4, bool)


def _score(number):
    return jnp.float32(number)


def test_worked_kl_reward():
    reward = shaping.kl_reward(_score(7), LOG_PROB, REFERENCE, FULL, 0.1, clip=5.0)
    near(reward, array(-0.01, 0.02, -0.04, 5.02))
    negative = shaping.kl_reward(_score(-7), LOG_PROB, REFERENCE, FULL, 0.1, clip=5.0)
    near(negative, array(-0.01, 0.02, -0.04, -4.98))
    unclipped = shaping.kl_reward(_score(7), LOG_PROB, REFERENCE, FULL, 0.1)
    near(unclipped, array(-0.01, 0.02, -0.04, 7.02))


def test_a_fractional_score_survives():
    reward = shaping.kl_reward(_score(0.7), LOG_PROB, LOG_PROB, FULL, 0.1)
    near(reward, array(0.0, 0.0, 0.0, 0.7))


@pytest.mark.parametrize("length", [0, 1, 2, 3, 4])
def test_the_score_lands_on_the_last_token(length):
    mask = np.arange(4) < length
    reward = np.asarray(shaping.kl_reward(_score(0.7), LOG_PROB, REFERENCE, mask, 0.0))
    expected = np.zeros(4)
    expected[max(length - 1, 0)] = 0.7 if length else 0.0
    near(reward, expected)


def test_lengths_gaps_and_empty_responses_side_by_side():
    log_prob, reference = sample(0, 5, 4), sample(1, 5, 4)
    mask = np.array([[1, 1, 1, 1, 1], [0, 1, 0, 1, 0], [0, 0, 0, 0, 0], [1, 0, 0, 0, 0]], bool).T
    score = array(0.7, -0.3, 9.0, 0.1)
    reward = np.asarray(shaping.kl_reward(score, log_prob, reference, mask, 0.2))
    near(reward[~mask], np.zeros((~mask).sum()))
    kl = np.where(mask, log_prob - reference, 0).sum(0)
    near(reward.sum(0), np.where(mask.any(0), np.asarray(score), 0) - 0.2 * kl, atol=1e-5)
    near(reward[3, 1] + 0.2 * (log_prob - reference)[3, 1], np.float32(-0.3))


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 10**6), st.sampled_from([1, 4]), st.sampled_from([np.nan, np.inf, -1e9]))
def test_padding_changes_nothing(seed, extra, filler):
    log_prob, reference, score = sample(seed, 4, 2), sample(seed + 1, 4, 2), sample(seed, 2)
    mask = np.random.default_rng(seed).random((4, 2)) < 0.7
    plain = shaping.kl_reward(score, log_prob, reference, mask, 0.1)
    padding = np.full((extra, 2), filler, np.float32)
    log_prob, reference = (jnp.concatenate([x, padding]) for x in (log_prob, reference))
    mask = np.concatenate([mask, np.zeros((extra, 2), bool)])
    padded = shaping.kl_reward(score, log_prob, reference, mask, 0.1)
    near(padded[:4], plain)
    near(padded[4:], np.zeros((extra, 2)))


@pytest.mark.parametrize("dtype", [np.int32, np.float32])
def test_soft_overlong_worked_rows(dtype):
    length = np.array([50, 80, 90, 95, 100, 101, 110], dtype)
    expected = array(0, 0, -0.5, -0.75, -1, -1, -1)
    penalty = shaping.soft_overlong_penalty(length, 100, 20)
    assert penalty.dtype == jnp.float32
    near(penalty, expected)
    scaled = 10 * shaping.soft_overlong_penalty(np.array([70, 80, 90, 100], dtype), 100, 20)
    near(scaled, array(0, 0, -5, -10))


def test_soft_overlong_without_cache_is_a_hard_limit():
    penalty = shaping.soft_overlong_penalty(np.array([99, 100, 101], np.int32), 100, 0)
    near(penalty, array(0, 0, -1))


@pytest.mark.parametrize("dtype", [np.int32, np.float32])
def test_linear_length_penalty(dtype):
    length = np.array([0, 10, 11, 30], dtype)
    penalty = shaping.linear_length_penalty(length, 10, 0.5)
    assert penalty.dtype == jnp.float32
    near(penalty, array(0, 0, -0.5, -10))


def test_relative_length_reward():
    length = np.array([[10, 20, 30, 15], [7, 7, 7, 7], [1, 0, 2, 1]], np.int32)
    correct = np.array([[1, 1, 0, 0], [1, 0, 1, 0], [0, 0, 1, 1]], bool)
    expected = array([0.5, 0.0, -0.5, 0.0], [0.0] * 4, [0.0, 0.0, -0.5, 0.0])
    near(shaping.relative_length_reward(length, correct), expected)
    near(shaping.relative_length_reward(length.astype(np.float32), correct), expected)


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 10**6), st.floats(0.5, 1.0))
def test_relative_length_ignores_scale_and_order(seed, share):
    rng = np.random.default_rng(seed)
    length, correct = rng.integers(1, 50, (3, 6)).astype(np.float32), rng.random((3, 6)) < share
    reward = np.asarray(shaping.relative_length_reward(length, correct))
    near(shaping.relative_length_reward(3 * length + 4, correct), reward, atol=1e-5)
    order = rng.permutation(6)
    near(shaping.relative_length_reward(length[:, order], correct[:, order]), reward[:, order])
    assert np.all(np.abs(reward) <= 0.5)
    assert np.all(reward[~correct] <= 0)


def test_potential_shaping_telescopes():
    """Σ γᵗ Fₜ = γᵀ Φ(s_T) - Φ(s_0): no policy gains or loses by it against another."""
    potential = sample(2, 9, 3)
    reward = sample(3, 8, 3)
    gamma = np.full((8, 3), 0.9, np.float32)
    bonus = shaping.potential_shaping(potential[:-1], potential[1:], gamma)
    zero = np.zeros(3, np.float32)
    shaped = discounted_return(reward + bonus, gamma, zero)[0]
    plain = discounted_return(reward, gamma, zero)[0]
    near(shaped - plain, 0.9**8 * potential[-1] - potential[0], atol=1e-5)


def test_potential_shaping_moves_every_ended_episode_by_the_same_amount():
    start, zero = 1.7, jnp.zeros(())
    for seed in range(5):
        potential, reward = sample(seed, 7), sample(seed + 10, 6)
        potential[0] = start
        discount = array(0.9, 0.9, 0.9, 0.9, 0.9, 0.0)
        bonus = shaping.potential_shaping(potential[:-1], potential[1:], discount)
        shaped = discounted_return(reward + bonus, discount, zero)[0]
        near(shaped - discounted_return(reward, discount, zero)[0], np.float32(-start), atol=1e-5)
