"""What the devices that share one run tell each other; on one device, nothing.

Each device has a share of the environments and acts in them by itself; parameters are the same on
all. What is learnt must then depend on sums over all shares: gradients, moments of advantages and
of observations, the KL that stops or adapts. Where a run is not shared these functions give back
what they are given.
"""

from collections.abc import Callable

import jax
from jax.flatten_util import ravel_pytree

from jaxrl.types import Array, PyTree

SHARES = "shares"
"""The name of the axis of devices."""


def shared() -> bool:
    """Whether what is being traced is one device's share of a run."""
    return SHARES in jax.sharding.get_abstract_mesh().manual_axes


def mean_of_shares(tree: PyTree) -> PyTree:
    """The mean over all devices of each number, in one exchange."""
    return _exchanged(jax.lax.pmean, tree)


def sum_of_shares(tree: PyTree) -> PyTree:
    """The sum over all devices of each number, in one exchange."""
    return _exchanged(jax.lax.psum, tree)


def whole(tree: PyTree) -> PyTree:
    """The rows of all devices, one after the other."""
    if not shared():
        return tree
    return jax.lax.all_gather(tree, SHARES, tiled=True)


def own(x: Array) -> Array:
    """Of what `whole` gave, the rows of this device."""
    if not shared():
        return x
    length = len(x) // jax.lax.axis_size(SHARES)
    return jax.lax.dynamic_slice_in_dim(x, jax.lax.axis_index(SHARES) * length, length)


def _exchanged(reduce: Callable[[Array, str], Array], tree: PyTree) -> PyTree:
    if not shared():
        return tree
    flat, unravel = ravel_pytree(tree)
    return unravel(reduce(flat, SHARES))
