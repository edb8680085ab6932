"""What the oracles' loops share: walking over columns, episodes and tokens."""

from collections.abc import Iterator
from typing import Any

import numpy as np


def full(x: Any, shape: tuple[int, ...]) -> np.ndarray:
    """A float64 array of the given shape, from a scalar or from axes of size 1."""
    return np.broadcast_to(np.asarray(x, np.float64), shape)


def every(*arrays: Any) -> Iterator[tuple[Any, ...]]:
    """Walks over all elements: the index, then one float of each array (or scalar)."""
    shape = np.broadcast_shapes(*(np.shape(x) for x in arrays))
    spread = [full(x, shape) for x in arrays]
    for index in np.ndindex(shape):
        yield index, *(float(x[index]) for x in spread)


def steps(shape: tuple[int, ...]) -> Iterator[tuple[int, tuple[int, ...]]]:
    """Walks over the columns [T, ...] and, in each, over time: (t, column)."""
    for column in np.ndindex(shape[1:]):
        for t in range(shape[0]):
            yield t, column


def end_of_episode(done: np.ndarray, t: int, column: tuple[int, ...]) -> int:
    """The last step of the episode of step t: its first done, or the window's last step."""
    for k in range(t, len(done)):
        if done[(k, *column)]:
            return k
    return len(done) - 1


def valid_steps(mask: np.ndarray, column: tuple[int, ...]) -> list[int]:
    """The positions of a column where the mask is set, in order."""
    return [t for t in range(len(mask)) if mask[(t, *column)]]


def valid(x: Any, mask: Any = None) -> list[float]:
    """The elements where the mask is set, in order; all of them without a mask."""
    if mask is None:
        return [value for _, value in every(x)]
    return [value for (_, value), (_, kept) in zip(every(x), every(mask), strict=True) if kept]


def mean(numbers: list[float]) -> float:
    """The mean, 0 of nothing."""
    return sum(numbers) / len(numbers) if numbers else 0.0


def variance(numbers: list[float], ddof: int = 0) -> float:
    """The variance, 0 where there are no more than ddof numbers or all of them are equal."""
    if len(numbers) <= ddof or len(set(numbers)) == 1:
        return 0.0
    centre = mean(numbers)
    return sum((x - centre) ** 2 for x in numbers) / (len(numbers) - ddof)
