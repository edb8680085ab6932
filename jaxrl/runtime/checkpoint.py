"""Checkpoints: the whole state of a run as one checksummed file, which appears whole or not at all.

A file is in the safetensors format, one tensor for each leaf under the name of its path. Nothing
in it is executed, and it can be read from NumPy alone.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxrl.runtime import tensors
from jaxrl.types import PyTree

KEPT = 2
"""How many checkpoints stay: the newest, and one to fall back on."""


class Checkpoint(NamedTuple):
    """A checkpoint as read: arrays by the paths of their leaves, and notes about the run."""

    path: Path
    arrays: dict[str, np.ndarray]
    notes: dict[str, Any]


def named(tree: PyTree) -> dict[str, Any]:
    """The leaves of a tree by their paths, as `learner/params/actor/...`."""
    leaves = jax.tree_util.tree_flatten_with_path(tree)[0]
    return {jax.tree_util.keystr(path, simple=True, separator="/"): x for path, x in leaves}


def arrays(tree: PyTree) -> dict[str, np.ndarray]:
    """The leaves of a tree by their paths as NumPy arrays; keys as the integers they hold."""
    plain = {
        name: jax.random.key_data(x) if jnp.issubdtype(x.dtype, jax.dtypes.prng_key) else x
        for name, x in named(tree).items()
    }
    return {name: np.asarray(x) for name, x in jax.device_get(plain).items()}


def save(folder: Path, update: int, tree: PyTree, notes: dict[str, Any]) -> Path:
    """Write a checkpoint, then drop all but the newest ones."""
    folder.mkdir(exist_ok=True)
    path = folder / f"{update:010}.safetensors"
    tensors.save(path, arrays(tree), {"notes": json.dumps(notes)})
    for old in newest_first(folder)[KEPT:]:
        old.unlink()
    return path


def newest_first(folder: Path) -> list[Path]:
    """The checkpoints of a run."""
    found = [path for path in folder.glob("*.safetensors") if path.stem.isdigit()]
    return sorted(found, key=lambda path: int(path.stem), reverse=True)


def readable(folder: Path) -> Iterator[Checkpoint | ValueError]:
    """The checkpoints that can be read, the newest first, and what is wrong with the others."""
    for path in newest_first(folder):
        try:
            values, metadata = tensors.load(path)
            yield Checkpoint(path, values, json.loads(metadata["notes"]))
        except (OSError, KeyError, ValueError) as error:
            yield ValueError(f"{path} is damaged: {error}")


def restore(like: PyTree, values: dict[str, np.ndarray], path: Path) -> PyTree:
    """The tree that was saved; `like` tells its shapes, as `jax.eval_shape` gives them."""
    wanted = named(like)
    for name in wanted.keys() ^ values.keys():
        which = "lacks" if name in wanted else "holds an unknown"
        raise ValueError(f"{path} does not fit this version of jaxrl: it {which} {name}")
    leaves = [_leaf(x, values[name], f"{path}: {name}") for name, x in wanted.items()]
    return jax.tree.unflatten(jax.tree.structure(like), leaves)


def _leaf(like: Any, value: np.ndarray, what: str) -> Any:
    is_key = jnp.issubdtype(like.dtype, jax.dtypes.prng_key)
    shape = jax.eval_shape(jax.random.key_data, like) if is_key else like
    if value.shape != shape.shape or value.dtype != shape.dtype:
        came, needed = (f"{x.dtype}{list(x.shape)}" for x in (value, shape))
        raise ValueError(f"{what} must be {needed}, not {came}")
    # a copy: XLA may use an aligned NumPy array in place, and donated memory is written to
    array = jnp.array(value, copy=True)
    return jax.random.wrap_key_data(array) if is_key else array
