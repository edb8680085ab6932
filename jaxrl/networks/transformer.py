"""A decoder-only transformer in flax linen: Llama, Qwen or GPT-2, by the fields of its shape."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import linen as nn

from jaxrl.networks.attention import (
    Prompt,
    RotaryScaling,
    attention,
    rotate,
    rotation,
    wavenumbers,
)
from jaxrl.networks.core import activation_of
from jaxrl.networks.product import dense_product
from jaxrl.types import Array, PyTree


class Shape(NamedTuple):
    """What a transformer is made of. The defaults are Llama's parts at the size of a toy."""

    vocabulary_size: int
    width: int = 64
    num_layers: int = 2
    num_heads: int = 4
    num_kept_heads: int = 4  # heads of keys and values; fewer are shared by groups of queries
    head_size: int = 16
    mlp_size: int = 128
    context: int = 128  # prompt and response together
    norm: str = "rms"  # or "layer"
    norm_eps: float = 1e-6
    position: str = "rotary"  # or "learned"
    rotary_base: float = 10_000.0
    rotary_scaling: RotaryScaling | None = None
    activation: str = "silu"
    gated: bool = True  # SwiGLU's second product
    qkv_bias: bool = False
    out_bias: bool = False
    mlp_bias: bool = False
    qk_norm: bool = False  # Qwen3's norm of each head's query and key
    tied: bool = True  # the unembedding is the embedding


class Prefix(NamedTuple):
    """Prompts as their responses see them."""

    kept: tuple[Array, ...]  # keys and values of each layer, [L, P, 2, J, K]
    mask: Array  # [L, P], bool
    length: Array  # tokens that count, [P]


Attend = Callable[[PyTree, Array, Array], tuple[Array, PyTree]]
"""A layer's state, query, own keys and values -> what was seen, what is kept."""


class Affine(nn.Module):
    """x W + b, and x A B besides where a collection "lora" has A and B for it."""

    size: int
    bias: bool = False
    scale: float = 1.0

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """[..., M] -> [..., size]."""
        init = nn.initializers.variance_scaling(self.scale**2, "fan_in", "normal")
        y = dense_product(x, self.param("kernel", init, (x.shape[-1], self.size)))
        if self.has_variable("lora", "a"):
            down, up = self.get_variable("lora", "a"), self.get_variable("lora", "b")
            y += dense_product(dense_product(x, down), up)
        if self.bias:
            b = self.param("bias", nn.initializers.zeros_init(), (self.size,))
            y += b.reshape((1,) * (x.ndim - 1) + (-1,))
        return y


class Layer(nn.Module):
    """Attention and a feed-forward net, each behind a norm and beside the residual stream."""

    shape: Shape

    @nn.compact
    def __call__(
        self, x: Array, turned: tuple[Array, Array] | None, attend: Attend, state: PyTree
    ) -> tuple[Array, PyTree]:
        """[S, P, G, D] -> the same, and what `attend` keeps."""
        shape, residual_scale = self.shape, (2 * self.shape.num_layers) ** -0.5
        query, own = self._heads(_norm(shape, "attention_norm")(x), turned)
        seen, kept = attend(state, query, own)
        seen = seen.reshape(*x.shape[:-1], -1)
        x += Affine(shape.width, shape.out_bias, residual_scale, name="out")(seen)
        inner = _norm(shape, "mlp_norm")(x)
        inner = Affine(shape.mlp_size * (1 + shape.gated), shape.mlp_bias, name="up")(inner)
        gate, *rest = jnp.split(inner, 1 + shape.gated, -1)
        inner = activation_of(shape.activation)(gate)
        for factor in rest:
            inner *= factor
        return x + Affine(shape.width, shape.mlp_bias, residual_scale, name="down")(inner), kept

    def _heads(self, x: Array, turned: tuple[Array, Array] | None) -> tuple[Array, Array]:
        """Queries [..., H, K], and keys and values [..., 2, J, K], of one product."""
        shape = self.shape
        num_heads, num_kept = shape.num_heads, shape.num_kept_heads
        sizes = (num_heads + 2 * num_kept) * shape.head_size
        qkv = Affine(sizes, shape.qkv_bias, name="qkv")(x)
        qkv = qkv.reshape(*x.shape[:-1], -1, shape.head_size)
        query, key, value = jnp.split(qkv, [num_heads, num_heads + num_kept], -2)
        if shape.qk_norm:
            query, key = _norm(shape, "query_norm")(query), _norm(shape, "key_norm")(key)
        if turned is not None:
            query, key = rotate(query, turned), rotate(key, turned)
        return query, jnp.stack([key, value], -3)


def _norm(shape: Shape, name: str | None = None) -> nn.Module:
    if shape.norm == "layer":
        return nn.LayerNorm(shape.norm_eps, use_fast_variance=False, name=name)
    return nn.RMSNorm(shape.norm_eps, name=name)


class Transformer(nn.Module):
    """Tokens to hidden states, ahead of the unembedding."""

    shape: Shape

    def setup(self) -> None:
        """Tables, layers and the last norm."""
        shape, init = self.shape, nn.initializers.normal(0.02)
        self.embedding = self.param("embedding", init, (shape.vocabulary_size, shape.width))
        if shape.position == "learned":
            self.position = self.param("position", init, (shape.context, shape.width))
        if not shape.tied:
            self.param("unembedding", init, (shape.width, shape.vocabulary_size))
        self.layer = [Layer(shape) for _ in range(shape.num_layers)]
        self.norm = _norm(shape)

    def __call__(self, token: Array, mask: Array) -> tuple[Array, Prefix]:
        """Sequences [L, P], padded on any side -> hidden [L, P, D], and what goes on from them."""
        length = len(token)
        position = jnp.maximum(jnp.cumsum(mask, 0, dtype=jnp.int32) - 1, 0)
        causal = jnp.tril(jnp.ones((length, length), bool))[None, None]
        visible = causal & mask.T[:, None, None]

        def attend(state: None, query: Array, own: Array) -> tuple[Array, Array]:
            return attention(query, own, visible), own[:, :, 0]

        states = (None,) * self.shape.num_layers
        hidden, kept = self._layers(token[..., None], position[..., None], attend, states)
        return hidden[:, :, 0], Prefix(kept, mask, jnp.sum(mask, 0, dtype=jnp.int32))

    def follow(self, prefix: Prefix, token: Array) -> Array:
        """Responses [T, P, G] to prompts, all tokens at once -> hidden [T, P, G, D]."""
        num_tokens = len(token)
        position = prefix.length[None] + jnp.arange(num_tokens, dtype=jnp.int32)[:, None]
        visible = jnp.tril(jnp.ones((num_tokens, num_tokens), bool))[None, None]

        def attend(kept: Array, query: Array, own: Array) -> tuple[Array, None]:
            return attention(query, own, visible, Prompt(kept, prefix.mask)), None

        return self._layers(token, position[..., None], attend, prefix.kept)[0]

    def decode(
        self, prefix: Prefix, cache: tuple[Array, ...], t: Array, token: Array
    ) -> tuple[Array, tuple[Array, ...]]:
        """Token t of each response, [P, G] -> hidden [P, G, D], and the cache with it inside."""
        visible = (jnp.arange(len(cache[0])) <= t)[None, None, None]

        def attend(state: tuple[Array, Array], query: Array, own: Array) -> tuple[Array, Array]:
            kept, cached = state
            cached = jax.lax.dynamic_update_slice_in_dim(cached, own, t, 0)
            return attention(query, cached, visible, Prompt(kept, prefix.mask)), cached

        states = tuple(zip(prefix.kept, cache, strict=True))
        position = (prefix.length + t)[None, :, None]
        hidden, cache = self._layers(token[None], position, attend, states)
        return hidden[0], cache

    def _layers(
        self, token: Array, position: Array, attend: Attend, states: tuple[Any, ...]
    ) -> tuple[Array, tuple[Any, ...]]:
        """Tokens [S, P, G] at positions [S, P, 1] through all layers -> [S, P, G, D]."""
        shape, turned, kept = self.shape, None, []
        x = jnp.take(self.embedding, token, 0, mode="clip")  # whatever stands at a pad
        if shape.position == "learned":
            x += jnp.take(self.position, position, 0, mode="clip")
        else:
            numbers = wavenumbers(shape.head_size, shape.rotary_base, shape.rotary_scaling)
            turned = rotation(position, numbers)
        for layer, state in zip(self.layer, states, strict=True):
            x, new = layer(x, turned, attend, state)
            kept.append(new)
        return self.norm(x), tuple(kept)
