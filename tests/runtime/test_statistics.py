"""Interquartile mean and bootstrap interval, against SciPy's and against what is known."""

import numpy as np
import pytest
from scipy import stats

from jaxrl.runtime.statistics import (
    band,
    bootstrap_interval,
    improvement,
    improvement_interval,
    iqm,
    known,
    mean,
    smooth,
)

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


def test_improvement_is_the_mann_whitney_statistic() -> None:
    x, y = np.array([1.0, 2.0, 5.0, 2.0]), np.array([2.0, 0.0, 3.0])
    expected = np.mean([(a > b) + 0.5 * (a == b) for a in x for b in y])
    assert improvement(x, y) == pytest.approx(expected)
    statistic = np.asarray(stats.mannwhitneyu(x, y))[0]
    assert improvement(x, y) == pytest.approx(statistic / 12)
    assert improvement(x, y) + improvement(y, x) == pytest.approx(1)
    assert improvement(x, x) == 0.5 and improvement(x + 9, y) == 1


def test_improvement_of_what_is_unknown_is_unknown() -> None:
    assert np.isnan(improvement(np.array([1.0, np.nan]), np.array([0.0])))


def test_improvement_interval_resamples_both_sides() -> None:
    x, y = SCORES[0], SCORES[0] + 0.3
    low, high = improvement_interval(x, y)
    assert 0 < low < improvement(x, y) < high < 1
    assert improvement_interval(x, y, level=0.5) > (low, 0)
    assert improvement_interval(x + 99, y) == (1, 1)
    generator = np.random.default_rng(3)
    drawn = [
        improvement(generator.choice(x, x.size), generator.choice(y, y.size)) for _ in range(4000)
    ]
    np.testing.assert_allclose((low, high), np.quantile(drawn, [0.025, 0.975]), atol=0.03)


def test_a_gap_keeps_the_number_before_it() -> None:
    nan = np.nan
    values = np.array([[nan, 1.0, nan, nan, 2.0], [3.0, nan, 4.0, 5.0, nan]])
    expected = [[nan, 1, 1, 1, 2], [3, 3, 4, 5, 5]]
    np.testing.assert_array_equal(known(values), expected)


@pytest.mark.parametrize("width", [1, 3, 99])
def test_smoothing_is_the_mean_of_what_came_before(width: int) -> None:
    smoothed = smooth(SCORES, width)
    for row, column in np.ndindex(SCORES.shape):
        expected = SCORES[row, max(0, column + 1 - width) : column + 1].mean()
        assert smoothed[row, column] == pytest.approx(expected)


def test_a_band_is_an_interval_of_every_column() -> None:
    middle, low, high = band(SCORES)
    assert middle.shape == low.shape == high.shape == (17,)
    assert (middle[5], low[5], high[5]) == (iqm(SCORES[:, 5]), *bootstrap_interval(SCORES[:, 5]))
