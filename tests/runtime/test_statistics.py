"""Interquartile mean and bootstrap interval, against SciPy's and against what is known."""

import numpy as np
import pytest
from scipy import stats

from jaxrl.runtime.statistics import bootstrap_interval, iqm, mean

SCORES = np.random.default_rng(0).exponential(size=(3, 17)) + np.array([[0.0], [10.0], [20.0]])


@pytest.mark.parametrize("size", range(1, 18))
def test_iqm_is_a_trimmed_mean(size: int) -> None:
    scores = SCORES[:, :size]
    np.testing.assert_allclose(iqm(scores), stats.trim_mean(scores, 0.25, axis=-1))


def test_nan_is_not_trimmed_away() -> None:
    assert np.isnan(iqm(np.array([1.0, 2.0, 3.0, np.nan])))


def test_interval_is_scipys_within_resampling_noise() -> None:
    ours = bootstrap_interval(SCORES[0], mean, num_resamples=20_000)
    options = {"method": "percentile", "n_resamples": 20_000, "rng": np.random.default_rng(1)}
    theirs = stats.bootstrap((SCORES[0],), np.mean, **options).confidence_interval
    np.testing.assert_allclose(ours, theirs, rtol=0.03)


def test_runs_are_resampled_within_their_task() -> None:
    constant = np.repeat([[0.0], [1.0], [7.0]], 5, 1)
    assert bootstrap_interval(constant, mean) == pytest.approx((8 / 3, 8 / 3))
    low, high = bootstrap_interval(constant.reshape(-1), mean)
    assert low < 8 / 3 < high


def test_level_widens_and_seed_repeats() -> None:
    low, high = bootstrap_interval(SCORES, level=0.5)
    wider = bootstrap_interval(SCORES, level=0.99)
    assert wider[0] < low < iqm(SCORES.reshape(-1)) < high < wider[1]
    assert (
        bootstrap_interval(SCORES, level=0.5) == (low, high) != bootstrap_interval(SCORES, seed=1)
    )
