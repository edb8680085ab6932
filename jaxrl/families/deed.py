"""What was done, as numbers, and what is lost on a guess of it."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxrl.families.box import span
from jaxrl.types import Array, Box, Discrete, MultiDiscrete, Space

Loss = Callable[[Array, Array], Array]  # logits [..., A], integers [...] -> [...]


class Deed(NamedTuple):
    """How actions are shown to a network."""

    width: int
    shown: Callable[[Array], Array]  # action -> [..., width]


def deed(space: Space) -> Deed:
    """Choices one-hot, one component after the other; actions in a box between −1 and 1."""
    if isinstance(space, Box):
        bounds = span(space)
        return Deed(bounds.num_dims, bounds.unit)
    sizes = _sizes(space)

    def shown(action: Array) -> Array:
        pairs = zip(_choices(space, action), sizes, strict=True)
        return jnp.concatenate([jax.nn.one_hot(x, n, dtype=jnp.float32) for x, n in pairs], -1)

    return Deed(sum(sizes), shown)


def summed(space: Discrete | MultiDiscrete, loss: Loss) -> Loss:
    """The sum of a loss over the components of an action, each with its part of the logits."""
    ends = np.cumsum(_sizes(space))[:-1]

    def total(logits: Array, action: Array) -> Array:
        parts = jnp.split(logits, ends, -1)
        return jnp.stack(list(map(loss, parts, _choices(space, action)))).sum(0)

    return total


def _sizes(space: Discrete | MultiDiscrete) -> tuple[int, ...]:
    return (space.num_values,) if isinstance(space, Discrete) else space.num_values


def _choices(space: Discrete | MultiDiscrete, action: Array) -> list[Array]:
    return [action] if isinstance(space, Discrete) else list(jnp.moveaxis(action, -1, 0))
