"""Eligibility traces: how much each entry of a table has a share in the error of now.

A trace starts at 0 with each episode, and where its policy is another one also behind an action
that was not greedy; both are a `decay` of 0.
"""

import jax.numpy as jnp

from jaxrl import checks
from jaxrl.types import Array, Scalar


def accumulating_trace(trace: Array, visit: Array, decay: Scalar) -> Array:
    """A trace that grows with each visit.

        e ← γλ e + 1[visited]

    Args:
      trace: e before the step, of any shape.
      visit: flags of the entries that are visited now, the shape of `trace`.
      decay: γλ, or 0 where the trace is cut.
    Reference: Sutton & Barto 2018, eq. 12.5; Sutton 1988, doi:10.1007/BF00115009.
    >>> accumulating_trace(jnp.array([1.0, 0.5]), jnp.array([1, 0]), 0.5)
    Array([1.5 , 0.25], dtype=float32)
    """
    shape = checks.sequence(trace=trace)
    visited = checks.flag(shape, visit=visit)
    checks.fits(shape, decay=decay)
    return decay * trace + visited.astype(trace.dtype)


def replacing_trace(trace: Array, visit: Array, decay: Scalar) -> Array:
    """A trace that each visit sets to 1, however many there were.

        e ← 1 where visited, else γλ e

    Args: those of `accumulating_trace`.
    Reference: Singh & Sutton 1996, doi:10.1007/BF00114726.
    >>> replacing_trace(jnp.array([1.0, 0.5]), jnp.array([1, 0]), 0.5)
    Array([1.  , 0.25], dtype=float32)
    """
    shape = checks.sequence(trace=trace)
    visited = checks.flag(shape, visit=visit)
    checks.fits(shape, decay=decay)
    return jnp.where(visited, 1.0, decay * trace)
