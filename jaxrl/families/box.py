"""Actions in a box, and the same actions between −1 and 1."""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from jaxrl.types import Array, Box


class Span(NamedTuple):
    """A box with finite bounds, each of the box's own shape."""

    low: Array
    high: Array

    @property
    def half(self) -> Array:
        """Half of the width."""
        return 0.5 * (self.high - self.low)

    @property
    def num_dims(self) -> int:
        """Numbers in one action."""
        return self.low.size

    def clip(self, action: Array) -> Array:
        """Actions [..., *shape] inside the bounds."""
        return jnp.clip(action, *(like(x, action) for x in self))

    def action(self, unit: Array) -> Array:
        """Numbers in [−1, 1], [..., D], as actions [..., *shape]."""
        unit = unit.reshape(*unit.shape[:-1], *self.low.shape)
        centre = like(0.5 * (self.low + self.high), unit)
        return self.clip(centre + like(self.half, unit) * unit)

    def unit(self, action: Array) -> Array:
        """Actions [..., *shape] as numbers in [−1, 1], [..., D]."""
        share = (action - like(self.low, action)) / like(self.half, action) - 1.0
        return share.reshape(*action.shape[: action.ndim - self.low.ndim], self.num_dims)


def span(box: Box) -> Span:
    """The bounds of a box, which must be finite."""
    bounds = (box.low, box.high)
    if not any(isinstance(x, Tracer) for x in bounds):
        low, high = (np.asarray(x, np.float64) for x in bounds)
        if not np.all(np.isfinite(low) & np.isfinite(high) & (low < high)):
            raise ValueError(f"box must have finite bounds with low < high, not {box}")
    if not jnp.issubdtype(box.dtype, jnp.floating):
        raise ValueError(f"box must be of floats for an actor that moves in it, not {box.dtype}")
    return Span(*(jnp.broadcast_to(jnp.asarray(x, jnp.float32), box.shape) for x in bounds))


def like(x: Array, other: Array) -> Array:
    """`x` at all leading axes of another array."""
    return jnp.broadcast_to(x, other.shape)
