"""Whether arrays are rows of a kind: those of a data set, which others may have made."""

from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
from jax.core import Tracer

from jaxrl.types import Box, PyTree, Space, Transition


def named(tree: PyTree) -> dict[str, Any]:
    """The leaves of a tree by their paths, as `obs` or `obs.action_mask`."""
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    return {jax.tree_util.keystr(path, simple=True, separator="."): x for path, x in leaves}


def conform(found: Mapping[str, Any], example: Transition, what: Any) -> Transition:
    """Arrays [T, N, ...] by their names as the rows that `example` shows one of.

    Args:
      what: how the message calls them, should one not fit.
    """
    expected = named(example)
    if found.keys() != expected.keys():
        raise ValueError(
            f"{what} must hold the arrays {', '.join(expected)}, not {', '.join(sorted(found))}"
        )
    steps = found["reward"].shape
    if len(steps) != 2:
        raise ValueError(f"{what} must hold reward of steps and environments, not {steps}")
    for name, x in expected.items():
        wanted, came = (x.dtype, (*steps, *x.shape)), (found[name].dtype, found[name].shape)
        if came != wanted:
            raise ValueError(
                f"{what} must hold {name} as {wanted[0]} of shape {wanted[1]}, not as "
                f"{came[0]} of shape {came[1]}"
            )
    return jax.tree.unflatten(jax.tree.structure(example), [found[name] for name in expected])


def conform_actions(action: Any, space: Space, what: Any) -> None:
    """Demand that all actions lie in a space; those of a tracer are not known."""
    if isinstance(action, Tracer):
        return
    action = np.asarray(action)
    if isinstance(space, Box):
        low, high = (np.asarray(x, action.dtype) for x in (space.low, space.high))
    else:
        low, high = 0, np.array(space.num_values) - 1
    if not ((action >= low) & (action <= high)).all():
        raise ValueError(
            f"{what} must hold actions of {space}, not from {action.min()} to {action.max()}"
        )
