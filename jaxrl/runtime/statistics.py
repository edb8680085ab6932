"""What a handful of seeds says: interquartile mean and bootstrap interval."""

from collections.abc import Callable

import numpy as np

Statistic = Callable[[np.ndarray], np.ndarray]  # [..., n] -> [...]


def mean(scores: np.ndarray) -> np.ndarray:
    """The mean over the last axis."""
    return np.mean(scores, -1)


def iqm(scores: np.ndarray) -> np.ndarray:
    """The interquartile mean over the last axis: without a quarter of the scores at either end.

    Reference: Agarwal et al. 2021, arXiv:2108.13264, section 4.
    """
    cut = scores.shape[-1] // 4
    middle = mean(np.sort(scores, -1)[..., cut : scores.shape[-1] - cut])
    return np.where(np.isnan(scores).any(-1), np.nan, middle)  # sorting would put NaN at the top


def bootstrap_interval(
    scores: np.ndarray,
    statistic: Statistic = iqm,
    level: float = 0.95,
    num_resamples: int = 2000,
    seed: int = 0,
) -> tuple[float, float]:
    """A stratified bootstrap interval of a statistic of all scores.

    Args:
      scores: [num_tasks, num_runs], or [num_runs]; runs are resampled within each task.

    Reference: Agarwal et al. 2021, arXiv:2108.13264, section 4.
    """
    scores = np.atleast_2d(scores)
    size = (num_resamples, *scores.shape)
    drawn = np.random.default_rng(seed).integers(0, scores.shape[-1], size)
    resampled = np.take_along_axis(scores[None], drawn, -1).reshape(num_resamples, -1)
    tail = (1 - level) / 2
    low, high = np.quantile(statistic(resampled), [tail, 1 - tail])
    return float(low), float(high)
