"""The families under test, and the same distributions in float64 from scipy."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np
from scipy import special, stats

from jaxrl.networks import Distribution, distribution
from jaxrl.networks.distributions import LOG_STD_RANGE, SQUASHED_LOG_STD_RANGE
from jaxrl.types import Box, Discrete, MultiDiscrete, Space

CHOICES = (2, 4, 3)
LINE = Box(-1.0, 3.0, (1,))
PLANE = Box(np.array([-2.0, 0.5]), np.array([1.0, 0.75]), (2,))
SPACES: dict[str, tuple[Space, str]] = {
    "categorical": (Discrete(5), "categorical"),
    "multi_categorical": (MultiDiscrete(CHOICES), "multi_categorical"),
    "gaussian": (PLANE, "gaussian"),
    "squashed_gaussian": (PLANE, "squashed_gaussian"),
    "beta": (PLANE, "beta"),
}
CONTINUOUS = ("gaussian", "squashed_gaussian", "beta")


class Exact(NamedTuple):
    """One row of a box family: its scipy distribution, and how raw actions map to the box."""

    base: Any  # of the raw action, [D]
    act: Callable[[np.ndarray], np.ndarray]
    log_slope: Callable[[np.ndarray], np.ndarray]  # of act, [..., D]

    def log_prob(self, raw: np.ndarray) -> np.ndarray:
        raw = np.asarray(raw, np.float64)
        return (self.base.logpdf(raw) - self.log_slope(raw)).sum(-1)


def family(name: str, box: Space | None = None) -> Distribution:
    space, full_name = SPACES[name]
    return distribution(box or space, full_name)


def params_of(made: Distribution, seed: int, *leading: int, scale: float = 1.0) -> np.ndarray:
    draw = np.random.default_rng(seed).normal(size=(*leading, made.size))
    return (scale * draw).astype(np.float32)


def draw(made: Distribution, params: Any, seed: int = 0) -> tuple[Any, Any]:
    """A raw action at each row of the parameters, and its noise."""
    noise = made.noise(jax.random.key(seed), params.shape[:-1])
    return made.sample(params, noise), noise


def bounds(box: Box) -> tuple[np.ndarray, np.ndarray]:
    low, high = (np.broadcast_to(x, box.shape).ravel().astype(float) for x in (box.low, box.high))
    return low, high


def exact(name: str, params: np.ndarray, box: Box = PLANE) -> Exact:
    """The distribution that parameters [..., 2D] should mean."""
    low, high = bounds(box)
    first, second = np.split(np.asarray(params, np.float64), 2, -1)
    if name == "beta":
        base = stats.beta(1 + np.logaddexp(0, first), 1 + np.logaddexp(0, second))
        width = high - low
        return Exact(base, lambda x: low + width * x, lambda x: np.log(width) + 0 * x)
    clipped = np.clip(second, *(LOG_STD_RANGE if name == "gaussian" else SQUASHED_LOG_STD_RANGE))
    base = stats.norm(first, np.exp(clipped))
    if name == "gaussian":
        return Exact(base, lambda x: np.clip(x, low, high), np.zeros_like)
    half = (high - low) / 2
    return Exact(
        base,
        lambda u: (low + high) / 2 + half * np.tanh(u),
        lambda u: np.log(half) + np.log(4) - 2 * np.logaddexp(u, -u),
    )


def log_softmax(logits: np.ndarray) -> np.ndarray:
    logits = np.asarray(logits, np.float64)
    return logits - special.logsumexp(logits, -1, keepdims=True)


def parts(x: np.ndarray) -> list[np.ndarray]:
    """The logits of each choice of the multi-discrete space."""
    return np.split(np.asarray(x), np.cumsum(CHOICES)[:-1], -1)
