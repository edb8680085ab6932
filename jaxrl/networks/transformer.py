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

    kept: tuple[Prompt, ...]  # keys and values of each layer
    mask: Array  # [L, P], bool
    length: Array  # tokens that count, [P]


Cache = tuple[tuple[Array, Array], ...]
"""Keys and values of each layer, each [P, G, J, T, K]."""

Attend = Callable[[PyTree, Array, Array, Array], tuple[Array, PyTree]]
"""State, query [S, P, G, H, K], key and value [P, G, J, S, K] -> what was seen, what is kept."""


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
        seen, kept = attend(state, *self._heads(_norm(shape, "attention_norm")(x), turned))
        seen = seen.reshape(*x.shape[:-1], -1)
        x += Affine(shape.width, shape.out_bias, residual_scale, name="out")(seen)
        inner = _norm(shape, "mlp_norm")(x)
        inner = Affine(shape.mlp_size * (1 + shape.gated), shape.mlp_bias, name="up")(inner)
        gate, *rest = jnp.split(inner, 1 + shape.gated, -1)
        inner = activation_of(shape.activation)(gate)
        for factor in rest:
            inner *= factor
        return x + Affine(shape.width, shape.mlp_bias, residual_scale, name="down")(inner), kept

    def _heads(self, x: Array, turned: tuple[Array, Array] | None) -> tuple[Array, Array, Array]:
        """Query [S, P, G, H, K], key and value [P, G, J, S, K], of one product."""
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
        return query, jnp.moveaxis(key, 0, 3), jnp.moveaxis(value, 0, 3)


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
        causal = jnp.tril(jnp.ones((length, length), bool))[None]
        visible = (causal & mask.T[:, None])[:, None, None, None]

        def attend(state: None, query: Array, key: Array, value: Array) -> tuple[Array, Prompt]:
            kept = Prompt(key[:, 0], jnp.swapaxes(value[:, 0], -2, -1))
            return attention(query, key, value, visible), kept

        states = (None,) * self.shape.num_layers
        hidden, kept = self._layers(token[..., None], position[..., None], attend, states)
        return hidden[:, :, 0], Prefix(kept, mask, jnp.sum(mask, 0, dtype=jnp.int32))

    def follow(self, prefix: Prefix, token: Array) -> Array:
        """Responses [T, P, G] to prompts, all tokens at once -> hidden [T, P, G, D]."""
        num_tokens = len(token)
        position = prefix.length[None] + jnp.arange(num_tokens, dtype=jnp.int32)[:, None]
        visible = jnp.tril(jnp.ones((num_tokens, num_tokens), bool))[(None,) * 4]

        def attend(kept: Prompt, query: Array, key: Array, value: Array) -> tuple[Array, None]:
            return attention(query, key, value, visible, kept, prefix.mask), None

        return self._layers(token, position[..., None], attend, prefix.kept)[0]

    def decode(self, prefix: Prefix, cache: Cache, t: Array, token: Array) -> tuple[Array, Cache]:
        """Token t of each response, [P, G] -> hidden [P, G, D], and the cache with it inside."""
        num_tokens = cache[0][0].shape[-2]
        visible = (jnp.arange(num_tokens) <= t)[(None,) * 5]
        put = jax.lax.dynamic_update_slice_in_dim

        def attend(state: PyTree, query: Array, key: Array, value: Array) -> tuple[Array, PyTree]:
            kept, (keys, values) = state
            keys, values = put(keys, key, t, 3), put(values, value, t, 3)
            seen = attention(query, keys, values, visible, kept, prefix.mask)
            return seen, (keys, values)

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
