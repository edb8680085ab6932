"""Checks of arguments at trace time: one sentence that names the argument, what came, what fits.

Shapes and dtypes are static, so a check costs nothing once a function is compiled.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from jaxrl.types import Array

Shape = tuple[int, ...]


def _is_array(x: Any) -> bool:
    return isinstance(x, jax.Array | np.ndarray | np.generic)


def _is_kind(x: Any, kind: Any) -> bool:
    return _is_array(x) and jnp.issubdtype(x.dtype, kind)


def is_bool(x: Any) -> bool:
    """Whether `x` is an array of bool."""
    return _is_kind(x, jnp.bool)


def _is_weak_scalar(x: Any) -> bool:
    """Whether `x` is a Python integer that passed through `jit`."""
    return isinstance(x, jax.Array) and _is_kind(x, jnp.integer) and x.ndim == 0 and x.weak_type


def _describe(x: Any) -> str:
    if not _is_array(x):
        return f"a {type(x).__name__}"
    if jnp.issubdtype(x.dtype, jax.dtypes.prng_key):
        return f"a PRNG key of shape {x.shape}"
    return f"{x.dtype} of shape {x.shape}"


def _broadcasts(shape: Shape, to: Shape) -> bool:
    same_rank = len(shape) == len(to)
    return shape == () or (same_rank and all(n in (1, m) for n, m in zip(shape, to, strict=True)))


def same_shape(**arrays: Any) -> Shape:
    """Require floating arrays of one shape, not empty, which the first of them sets."""
    first, reference = next(iter(arrays.items()))
    for name, x in arrays.items():
        if not _is_kind(x, jnp.floating):
            raise TypeError(f"{name} must be an array of floats, not {_describe(x)}")
        if x.shape != reference.shape:
            raise ValueError(
                f"{name} must have the shape {reference.shape} of {first}, not {x.shape}"
            )
    if 0 in reference.shape:
        raise ValueError(
            f"{first} must hold at least one entry, not have the shape {reference.shape}"
        )
    return reference.shape


def sequence(**arrays: Any) -> Shape:
    """As `same_shape`, with one axis at least: the first is time, or the last is what is summed."""
    shape = same_shape(**arrays)
    if not shape:
        raise ValueError(f"{next(iter(arrays))} must have at least one axis, not the shape ()")
    return shape


def table(shape: Shape, axis: int = -1, **arrays: Any) -> None:
    """Require floating arrays of one shape: `shape` and an axis more, of actions."""
    first, *_ = arrays
    came = same_shape(**arrays)
    if len(came) != len(shape) + 1 or (*came[:axis], *came[axis:][1:]) != shape:
        raise ValueError(f"{first} must have the shape {shape} and an axis of actions, not {came}")


def fits(shape: Shape, **values: Any) -> None:
    """Require numbers, or floating arrays of the same rank that broadcast to `shape`."""
    for name, x in values.items():
        if isinstance(x, int | float) or _is_weak_scalar(x):
            continue
        if not _is_kind(x, jnp.floating):
            raise TypeError(f"{name} must be a number or an array of floats, not {_describe(x)}")
        if not _broadcasts(x.shape, shape):
            raise ValueError(f"{name} must be a number or fit the shape {shape}, not {x.shape}")


def flag(shape: Shape, **flags: Any) -> Array:
    """Require one array of flags (bool, or 0 and 1 of any dtype) of `shape`; return it as bool."""
    ((name, x),) = flags.items()
    if not (is_bool(x) or _is_kind(x, jnp.number)):
        raise TypeError(f"{name} must be an array of flags, not {_describe(x)}")
    if x.shape != shape:
        raise ValueError(f"{name} must have the shape {shape}, not {x.shape}")
    return jnp.asarray(x if is_bool(x) else x != 0)


def optional_flag(shape: Shape, **flags: Any) -> Array:
    """As `flag`; None stands for all true."""
    ((_, x),) = flags.items()
    return jnp.ones(shape, bool) if x is None else flag(shape, **flags)


def numeric(**arrays: Any) -> None:
    """Require arrays of integers or floats."""
    for name, x in arrays.items():
        if not _is_kind(x, jnp.number):
            raise TypeError(f"{name} must be an array of numbers, not {_describe(x)}")


def integer(shape: Shape, **integers: Any) -> None:
    """Require arrays of integers of `shape`."""
    for name, x in integers.items():
        if not _is_kind(x, jnp.integer):
            raise TypeError(f"{name} must be an array of integers, not {_describe(x)}")
        if x.shape != shape:
            raise ValueError(f"{name} must have the shape {shape}, not {x.shape}")


def at_least(minimum: int, **sizes: Any) -> None:
    """Require static integers that are no smaller than `minimum`."""
    for name, x in sizes.items():
        if not isinstance(x, int | np.integer) or isinstance(x, bool) or x < minimum:
            came = x if isinstance(x, int | float | np.number) else _describe(x)
            raise ValueError(f"{name} must be an integer of at least {minimum}, not {came}")


def probability(**values: Any) -> None:
    """Require numbers in [0, 1]; tracers pass."""
    for name, x in values.items():
        if not isinstance(x, Tracer) and not np.all((np.asarray(x) >= 0) & (np.asarray(x) <= 1)):
            raise ValueError(f"{name} must be a number in [0, 1], not {x!r}")


def ascending(**bounds: Any) -> None:
    """Require the first of two numbers to be below the second; tracers pass."""
    (first, low), (second, high) = bounds.items()
    if not isinstance(low, Tracer) and not isinstance(high, Tracer) and not np.all(low < high):
        raise ValueError(f"{second} must be above {first} = {low!r}, not {high!r}")
