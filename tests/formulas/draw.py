"""Random arguments by name, so that a case says only what is special about its own."""

from collections.abc import Callable
from typing import Any

import numpy as np

from tests.formulas.case import Case

Inputs = Callable[[np.random.Generator], dict[str, Any]]
Recipe = Callable[[np.random.Generator, tuple[int, ...]], np.ndarray]


def normal(scale: float = 1.0, shape: tuple[int, ...] | None = None) -> Recipe:
    """Normal numbers, of the case's shape or of one of their own."""
    return lambda rng, usual: np.array(scale * rng.normal(size=_own(shape, usual)), np.float32)


def uniform(low: float, high: float, shape: tuple[int, ...] | None = None) -> Recipe:
    """Uniform numbers, of the case's shape or of one of their own."""
    return lambda rng, usual: np.array(rng.uniform(low, high, _own(shape, usual)), np.float32)


def integers(high: int, shape: tuple[int, ...] | None = None, low: int = 0) -> Recipe:
    """Integers from low to below high."""
    return lambda rng, usual: np.array(rng.integers(low, high, _own(shape, usual)), np.int32)


def always(array: Any, dtype: Any = np.float32) -> Recipe:
    """The same array each time."""
    return lambda rng, usual: np.array(array, dtype)


def response_mask(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Gaps anywhere, a full first sequence, and an empty second one where there are several."""
    mask = rng.random(shape) < 0.6
    columns = mask.reshape(shape[0], -1)
    columns[:, 0] |= columns.shape[1] > 1
    columns[-1, 0] = True
    if columns.shape[1] > 1:
        columns[:, 1] = False
    return mask


def _own(shape: tuple[int, ...] | None, usual: tuple[int, ...]) -> tuple[int, ...]:
    return usual if shape is None else shape


def _episodes(rng: np.random.Generator, shape: tuple[int, ...]) -> dict[str, np.ndarray]:
    """Terminations and truncations anywhere; the first sequence is cut at its first and last."""
    terminated = rng.random(shape) < 0.2
    truncated = rng.random(shape) < 0.25
    first = (slice(None), *(0 for _ in shape[1:]))
    terminated[first][[0, -1]] = [False, True]
    truncated[first][[0, -1]] = [True, False]
    discount = np.where(terminated, 0.0, rng.uniform(0.8, 1.0, shape))
    return {"discount": discount.astype(np.float32), "done": terminated | truncated}


_RECIPES: dict[str, Recipe] = {
    "mask": response_mask,
    "log_prob": uniform(-4.0, -0.05),
    "old_log_prob": uniform(-4.0, -0.05),
    "log_ratio": normal(0.5),
    "behaviour_log_ratio": normal(0.5),
    "lower": uniform(0.6, 0.9),
    "upper": uniform(1.1, 1.5),
    "lam": uniform(0.5, 1.0),
    "rho": uniform(0.2, 1.0),
    "trace": uniform(0.2, 1.0),
}


def draw(names: str, shape: tuple[int, ...], **special: Recipe | float) -> Inputs:
    """Draws the named arguments; a special one has its own recipe, or is a number."""

    def inputs(rng: np.random.Generator) -> dict[str, Any]:
        wanted = names.split()
        drawn: dict[str, Any] = _episodes(rng, shape) if {"done", "discount"} & {*wanted} else {}
        for name in wanted:
            recipe = special.get(name, drawn.get(name, _RECIPES.get(name, normal())))
            drawn[name] = recipe(rng, shape) if callable(recipe) else recipe
        return {name: drawn[name] for name in wanted}

    return inputs


LINE, PLAIN, DEEP = (5,), (6, 3), (4, 2, 3)
EMPTY = np.zeros(PLAIN, bool)
ONE = np.arange(18).reshape(PLAIN) == 7


def shapes(names: str, **special: Recipe | float) -> dict[str, Inputs]:
    """A line, a plain [T, N] and a case with more trailing axes."""
    sizes = {"line": LINE, "plain": PLAIN, "deep": DEEP}
    return {name: draw(names, shape, **special) for name, shape in sizes.items()}


def two(names: str, **special: Recipe | float) -> dict[str, Inputs]:
    """A plain [T, N] and a case with more trailing axes."""
    return {k: v for k, v in shapes(names, **special).items() if k != "line"}


def rows(module: Any, oracle: Any) -> Callable[..., list[Case]]:
    """Makes one case of a formula and its namesake for each way of drawing the inputs."""

    def row(formula: str, draws: dict[str, Inputs], **fields: Any) -> list[Case]:
        ours, theirs = getattr(module, formula), getattr(oracle, formula)
        return [Case(ours, theirs, inputs, name=name, **fields) for name, inputs in draws.items()]

    return row
