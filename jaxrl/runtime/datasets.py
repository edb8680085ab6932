"""Data sets: what a buffer remembers as one file, and back as data that are never added to."""

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxrl.data import Buffer
from jaxrl.runtime import tensors
from jaxrl.types import PyTree, Transition


def save(path: Path | str, buffer: Buffer, state: PyTree) -> None:
    """Write all rows that may be drawn, [T, N, ...], in the order of time; whole or not at all."""
    first, count = buffer.span(state)
    places = buffer.after(first, jnp.arange(int(count)))
    if int(count) == 0:
        raise ValueError("state must hold rows that may be drawn, not none")
    if lost := int((~buffer.whole(state, places)).sum()):
        raise ValueError(f"state must hold each row's next observation, not lack those of {lost}")
    data = buffer.read(state, places)
    tensors.save(path, {name: np.asarray(x) for name, x in _named(data)}, {})


def load(path: Path | str, example: Transition) -> Transition:
    """The rows of a file, [T, N, ...], for `jaxrl.data.dataset`.

    Args:
      example: one row as arrays or their shapes, as `Buffer.init` takes it; the file must fit it.
    """
    found, _ = tensors.load(path)
    expected = dict(_named(example))
    if found.keys() != expected.keys():
        raise ValueError(
            f"{path} must hold the arrays {', '.join(expected)}, not {', '.join(sorted(found))}"
        )
    steps = found["reward"].shape
    if len(steps) != 2:
        raise ValueError(f"{path} must hold reward of steps and environments, not {steps}")
    for name, x in expected.items():
        wanted, came = (x.dtype, (*steps, *x.shape)), (found[name].dtype, found[name].shape)
        if came != wanted:
            raise ValueError(
                f"{path} must hold {name} as {wanted[0]} of shape {wanted[1]}, not as "
                f"{came[0]} of shape {came[1]}"
            )
    return jax.tree.unflatten(jax.tree.structure(example), [found[name] for name in expected])


def _named(tree: PyTree) -> list[tuple[str, Any]]:
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    return [(jax.tree_util.keystr(path, simple=True, separator="."), x) for path, x in leaves]
