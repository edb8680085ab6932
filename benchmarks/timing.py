"""Paired timings: all contenders take turns in one process, so that drift hits them alike."""

import time
from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np

Contenders = Mapping[str, Callable[[], Any]]


def paired(contenders: Contenders, rounds: int = 9, seconds: float = 0.02) -> dict[str, np.ndarray]:
    """Seconds per call of each contender, one figure a round; turn about in every round.

    Each turn repeats the call until it has lasted for about `seconds`.
    """
    repeats = {name: _repeats(call, seconds) for name, call in contenders.items()}
    times: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(rounds):
        for name, call in contenders.items():
            times[name].append(_time(call, repeats[name]))
    return {name: np.array(row) for name, row in times.items()}


def ratio(times: dict[str, np.ndarray], one: str, other: str) -> str:
    """Median, least and largest of one / other over the rounds: how much slower `one` is."""
    ratios = times[one] / times[other]
    return f"{np.median(ratios):.2f} ({ratios.min():.2f}-{ratios.max():.2f})"


def microseconds(times: dict[str, np.ndarray], name: str) -> str:
    """Median time of a call in microseconds."""
    return f"{1e6 * np.median(times[name]):,.0f}"


def _repeats(call: Callable[[], Any], seconds: float) -> int:
    jax.block_until_ready(call())  # compiles
    return max(1, int(seconds / max(_time(call, 1), 1e-6)))


def _time(call: Callable[[], Any], repeats: int) -> float:
    start = time.perf_counter()
    for _ in range(repeats):
        result = call()
    jax.block_until_ready(result)
    return (time.perf_counter() - start) / repeats
