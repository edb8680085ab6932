"""Attention of a group's responses to their prompt and to themselves, and rotary positions.

Prompts are read once, however many responses follow: of each prompt there is one set of keys and
values, [P, J, ...] with J heads, and of each response its own, [P, G, J, ...]. They are kept as the
products want them, so that no step of decoding turns a cache around.
"""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxrl.types import Array

UNSEEN = -1e30  # not −∞: where nothing is to be seen, at pads, all must stay finite


class RotaryScaling(NamedTuple):
    """How Llama 3 slows its long waves down to reach beyond the context it was trained on."""

    factor: float
    low_factor: float
    high_factor: float
    context: int  # that of the training before


def wavenumbers(head_size: int, base: float, scaling: RotaryScaling | None) -> np.ndarray:
    """Angle by which each pair of features turns at one position, [head_size / 2].

        θᵢ = base^(−2i / K);  with scaling θᵢ ((1 − s) / factor + s),
        s = (context θᵢ / 2π − low) / (high − low) within [0, 1]

    Reference: Su et al. 2021, arXiv:2104.09864, eq. 15; Llama 3.1's model card for the scaling.
    """
    angle = base ** (-np.arange(0, head_size, 2) / head_size)
    if scaling is None:
        return angle
    turns = scaling.context * angle / (2 * math.pi)
    share = (turns - scaling.low_factor) / (scaling.high_factor - scaling.low_factor)
    share = np.clip(share, 0.0, 1.0)
    return angle * ((1 - share) / scaling.factor + share)


def rotation(position: Array, wavenumber: np.ndarray) -> tuple[Array, Array]:
    """(cos, sin) of the angles at positions [...], each [..., 1, K / 2] to fit any heads."""
    angle = position[..., None, None].astype(jnp.float32) * jnp.asarray(
        wavenumber, jnp.float32
    ).reshape((1,) * (position.ndim + 1) + (-1,))
    return jnp.cos(angle), jnp.sin(angle)


def rotate(x: Array, turned: tuple[Array, Array]) -> Array:
    """Turn pairs of features, the first half with the second, of heads [..., H, K]."""
    cos, sin = (factor.astype(x.dtype) for factor in turned)
    one, other = jnp.split(x, 2, -1)
    return jnp.concatenate([one * cos - other * sin, other * cos + one * sin], -1)


class Prompt(NamedTuple):
    """What responses see of one layer's prompts, as the products with it want it to lie."""

    key: Array  # [P, J, L, K]
    value: Array  # [P, J, K, L]


def attention(
    query: Array,
    keys: Array,
    values: Array,
    visible: Array,
    prompt: Prompt | None = None,
    mask: Array | None = None,
) -> Array:
    """Values of what each query sees, among its own sequence and its prompt.

        o = Σₗ softmaxₗ(q · kₗ / √K) vₗ,  head h reading the keys of its group j = ⌊h J / H⌋

    Args:
      query: [S, P, G, H, K].
      keys: of its own sequence, as the values, [P, G, J, T, K].
      visible: which of its own each query sees, bool, fits [P, G, J, H / J, S, T].
      mask: which tokens of the prompt count, bool, [L, P].
    Returns: [S, P, G, H, K].
    Reference: Vaswani et al. 2017, arXiv:1706.03762, eq. 1; Ainslie et al. 2023, arXiv:2305.13245.
    """
    num_queries, num_prompts, group_size, num_heads, size = query.shape
    query = query.reshape(num_queries, num_prompts, group_size, keys.shape[2], -1, size)
    query = jnp.moveaxis(query, 0, 4) / math.sqrt(size)  # [P, G, J, R, S, K]
    scores = jnp.einsum("pgjrsk,pgjtk->pgjrst", query, keys)
    scores = jnp.where(visible, scores, UNSEEN)
    if prompt is None or mask is None:
        seen = jnp.einsum("pgjrst,pgjtk->pgjrsk", jax.nn.softmax(scores, -1), values)
    else:
        before = jnp.einsum("pgjrsk,pjlk->pgjrsl", query, prompt.key)
        before = jnp.where(mask.T.reshape(-1, 1, 1, 1, 1, len(mask)), before, UNSEEN)
        weight = jax.nn.softmax(jnp.concatenate([before, scores], -1), -1)
        before, scores = jnp.split(weight, [len(mask)], -1)
        seen = jnp.einsum("pgjrsl,pjkl->pgjrsk", before, prompt.value)
        seen += jnp.einsum("pgjrst,pgjtk->pgjrsk", scores, values)
    shape = (num_queries, num_prompts, group_size, num_heads, size)
    return jnp.moveaxis(seen, 4, 0).reshape(shape)
