"""Low-rank adapters beside frozen weights, for any tree of parameters.

    y = x (W + (α / r) A B),  A [M, r], B [r, N], and B = 0 at first

Reference: Hu et al. 2021, arXiv:2106.09685, eq. 3.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxrl import checks
from jaxrl.types import Array, PyTree, Scalar


class Adapted(NamedTuple):
    """Parameters and their adapters; language models take it wherever they take parameters."""

    base: PyTree  # never changed: to unmerge is to go back to it
    lora: PyTree  # {"a", "b"} in place of each adapted {"kernel", ...}
    scale: Scalar  # α / r


def adapt(
    key: Array, params: PyTree, rank: int, alpha: float, patterns: Sequence[str] = ("kernel",)
) -> Adapted:
    """Adapters for every matrix called "kernel" whose path matches one of the patterns.

    Args:
      patterns: regular expressions, looked for in paths such as "layer_0/qkv/kernel".
    """
    checks.at_least(1, rank=rank)
    paths = [path for path, x in _kernels(params) if any(re.search(p, path) for p in patterns)]
    for pattern in patterns:
        if not any(re.search(pattern, path) for path in paths):
            known = ", ".join(path for path, _ in _kernels(params))
            raise ValueError(f"patterns must match kernels, but {pattern!r} is in none of {known}")
    kernels = dict(_kernels(params))
    lora: dict[str, Any] = {}
    for one, path in zip(jax.random.split(key, len(paths)), paths, strict=True):
        rows, columns = kernels[path].shape
        node = lora
        for name in path.split("/")[:-1]:
            node = node.setdefault(name, {})
        node["a"] = jax.random.normal(one, (rows, rank), kernels[path].dtype) / rows**0.5
        node["b"] = jnp.zeros((rank, columns), kernels[path].dtype)
    return Adapted(params, lora, alpha / rank)


def merge(adapted: Adapted) -> PyTree:
    """Plain parameters that do the same: W + (α / r) A B in place of each adapted W."""
    return _merged(adapted.base, adapted.lora, adapted.scale)


def unmerge(params: PyTree, adapted: Adapted) -> PyTree:
    """`params` with the kept base weights, bit for bit, in place of each that was adapted."""
    return _restored(params, adapted.base, adapted.lora)


def variables(params: PyTree) -> dict[str, PyTree]:
    """The collections that linen's `apply` takes, of parameters or of `Adapted` ones."""
    if not isinstance(params, Adapted):
        return {"params": params}
    scale = jax.lax.stop_gradient(params.scale)
    return {"params": base(params), "lora": _scaled(params.lora, scale)}


def base(params: PyTree) -> PyTree:
    """The parameters without their adapters, which let no gradient through if they have some."""
    return jax.lax.stop_gradient(params.base) if isinstance(params, Adapted) else params


def _kernels(tree: Mapping[str, Any], path: str = "") -> list[tuple[str, Array]]:
    found = []
    for name, x in tree.items():
        if isinstance(x, Mapping):
            found += _kernels(x, f"{path}{name}/")
        elif name == "kernel" and x.ndim == 2:
            found.append((path + name, x))
    return found


def _scaled(lora: Mapping[str, Any], scale: Scalar) -> dict[str, Any]:
    if "a" in lora and not isinstance(lora["a"], Mapping):
        return {"a": lora["a"], "b": lora["b"] * scale}
    return {name: _scaled(x, scale) for name, x in lora.items()}


def _merged(params: Mapping[str, Any], lora: Mapping[str, Any], scale: Scalar) -> dict[str, Any]:
    if "a" in lora and not isinstance(lora["a"], Mapping):
        return {**params, "kernel": params["kernel"] + lora["a"] @ (lora["b"] * scale)}
    return {**params, **{name: _merged(params[name], x, scale) for name, x in lora.items()}}


def _restored(params: PyTree, kept: PyTree, lora: PyTree) -> dict[str, Any]:
    if "a" in lora and not isinstance(lora["a"], Mapping):
        return {**params, "kernel": kept["kernel"]}
    return {**params, **{name: _restored(params[name], kept[name], x) for name, x in lora.items()}}
