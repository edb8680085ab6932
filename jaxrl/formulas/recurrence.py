"""The one reverse scan behind every return and advantage, and the choice of how to run it."""

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp

from jaxrl import checks
from jaxrl.numerics import accumulator
from jaxrl.types import Array, Scalar

Coefficients = Callable[..., tuple[Array, Array]]


def recurrence(coefficients: Coefficients, inputs: tuple[Scalar, ...], last: Scalar = 0.0) -> Array:
    """First-order linear recurrence, solved backwards in time.

        xₜ = bₜ + aₜ xₜ₊₁,  x_T = last,  (bₜ, aₜ) = coefficients(*inputsₜ)

    A CPU scans, forming a and b inside the loop, where they cost no pass over memory; an
    accelerator, where each step of a loop is a kernel launch, composes the affine maps in
    log T parallel steps. Sums are taken in float32 or wider.

    Args:
      coefficients: makes (bₜ, aₜ) from one time slice of each input, elementwise. A function of a
        module, not a closure, lets calls outside of `jit` find their compiled code again.
      inputs: [T, ...], the first of floats; others may be flags, numbers, or arrays that fit.
      last: x_T, [...] or a number.
    Returns: xₜ, [T, ...], in the type of the first input.
    Reference: Blelloch 1990, CMU-CS-90-190 (recurrences as scans).
    >>> recurrence(lambda b, a: (b, a), (jnp.ones(3), 0.5))
    Array([1.75, 1.5 , 1.  ], dtype=float32)
    """
    if not isinstance(inputs, tuple) or not inputs:
        came = "an empty one" if inputs == () else f"a {type(inputs).__name__}"
        raise ValueError(f"inputs must be a tuple of at least one array [T, ...], not {came}")
    shape = checks.sequence(**{"inputs[0]": inputs[0]})
    for i, x in enumerate(inputs):
        check = checks.flag if checks.is_bool(x) else checks.fits
        check(shape, **{f"inputs[{i}]": x})
    checks.fits(shape[1:], last=last)
    return _solve(coefficients, last, *inputs)


@partial(jax.jit, static_argnums=0)
def _solve(coefficients: Coefficients, last: Scalar, *inputs: Scalar) -> Array:
    arrays = tuple(jnp.asarray(x) for x in inputs)
    scan, compose = partial(_scan, coefficients), partial(_compose, coefficients)
    return jax.lax.platform_dependent(jnp.asarray(last), *arrays, cpu=scan, default=compose)


def _scan(coefficients: Coefficients, last: Array, *inputs: Array) -> Array:
    dtype = accumulator(inputs[0].dtype)
    length = max(x.shape[0] for x in inputs if x.ndim)
    varies = [x.ndim > 0 and x.shape[0] == length for x in inputs]
    fixed = [x[0] if x.ndim else x for x, moves in zip(inputs, varies, strict=True) if not moves]

    def at(step: tuple[Array, ...]) -> tuple[Array, Array]:
        moving, still = iter(step), iter(fixed)
        slices = [next(moving) if moves else next(still) for moves in varies]
        return coefficients(*(x.astype(dtype) for x in slices))

    def body(x: Array, step: tuple[Array, ...]) -> tuple[Array, Array]:
        b, a = at(step)
        x = b + a * x
        return x, x.astype(inputs[0].dtype)

    steps = tuple(x for x, moves in zip(inputs, varies, strict=True) if moves)
    b, a = at(tuple(x[-1] for x in steps))
    last = last.astype(dtype)
    start = jnp.where(b == a, last, last)  # shaped, and under shard_map placed, as the data
    return jax.lax.scan(body, start, steps, reverse=True)[1]


def _compose(coefficients: Coefficients, last: Array, *inputs: Array) -> Array:
    dtype = accumulator(inputs[0].dtype)
    b, a = jnp.broadcast_arrays(*coefficients(*(x.astype(dtype) for x in inputs)))
    b = b.at[-1].add(a[-1] * last.astype(dtype))

    def after(later: tuple[Array, Array], now: tuple[Array, Array]) -> tuple[Array, Array]:
        return now[0] + now[1] * later[0], now[1] * later[1]

    return jax.lax.associative_scan(after, (b, a), reverse=True)[0].astype(inputs[0].dtype)
