"""What a handful of seeds says: interquartile mean and bootstrap interval."""

from collections.abc import Callable
from typing import Any

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


def decimals(*numbers: Any) -> list[str]:
    """Scores as texts: with three decimals where all lie within ±1, as shares do, else with one.

    >>> decimals(0.845, 0.25), decimals(0.5, 498.25)
    (['0.845', '0.250'], ['0.5', '498.2'])
    """
    places = 3 if np.nanmax(np.abs([0.0, *numbers])) <= 1 else 1
    return [f"{x:.{places}f}" for x in numbers]


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


def improvement(scores: np.ndarray, others: np.ndarray) -> float:
    """The probability that a run of the one beats a run of the other; a tie counts half.

        P(X > Y) + P(X = Y) / 2

    Args:
      scores: of X, [n].
      others: of Y, [m].

    Reference: Agarwal et al. 2021, arXiv:2108.13264, section 4.2.
    """
    return float((np.sign(scores[:, None] - others) + 1).mean() / 2)


def improvement_interval(
    scores: np.ndarray,
    others: np.ndarray,
    level: float = 0.95,
    num_resamples: int = 2000,
    seed: int = 0,
) -> tuple[float, float]:
    """A bootstrap interval of `improvement`, both sides resampled.

    Args:
      scores: of X, [n].
      others: of Y, [m].
    """
    generator = np.random.default_rng(seed)
    drawn = [generator.choice(side, (num_resamples, side.size)) for side in (scores, others)]
    resampled = [improvement(*pair) for pair in zip(*drawn, strict=True)]
    tail = (1 - level) / 2
    low, high = np.quantile(resampled, [tail, 1 - tail])
    return float(low), float(high)


def known(values: np.ndarray) -> np.ndarray:
    """Each row with the last number before a gap in its place; NaN where there is none before."""
    places = np.where(np.isnan(values), 0, np.arange(values.shape[-1]))
    return np.take_along_axis(values, np.maximum.accumulate(places, -1), -1)


def smooth(values: np.ndarray, width: int) -> np.ndarray:
    """The mean of each entry of a row and of those before it, `width` of them at most."""
    ends = range(1, values.shape[-1] + 1)
    return np.stack([values[..., max(0, end - width) : end].mean(-1) for end in ends], -1)


def band(values: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The interquartile mean over seeds and its 95 % interval, of each column of [seeds, windows].

    Returns: IQM, low and high, [windows].
    """
    bounds = np.array([bootstrap_interval(column) for column in values.T]).reshape(-1, 2)
    return iqm(values.T), bounds[:, 0], bounds[:, 1]
