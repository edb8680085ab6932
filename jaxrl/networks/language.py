"""A transformer as a `LanguageModel`, what is read of responses, and heads upon it."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxrl import checks
from jaxrl.networks.core import activation_of
from jaxrl.networks.lora import base, variables
from jaxrl.networks.transformer import Cache, Prefix, Shape, Transformer
from jaxrl.text import LanguageModel, Prompts, Response
from jaxrl.types import Array, PyTree


def language_model(shape: Shape) -> LanguageModel:
    """The model of a shape; parameters may be plain or `Adapted`."""
    _check(shape)
    module = Transformer(shape)

    def init(key: Array) -> PyTree:
        one = jnp.zeros((1, 1), jnp.int32)
        return module.init(key, one, one == 0)["params"]

    def whole(params: PyTree, token: Array, mask: Array) -> tuple[Array, Prefix]:
        mask = checks.flag(token.shape, mask=mask)
        _fits(shape, len(token), 0)
        return module.apply(variables(params), token, mask)  # type: ignore[return-value]

    def prefill(params: PyTree, token: Array, mask: Array) -> tuple[Prefix, Array]:
        hidden, prefix = whole(params, token, mask)
        return prefix, hidden[-1]

    def follow(params: PyTree, prefix: Prefix, token: Array) -> Array:
        _fits(shape, len(prefix.mask), len(token))
        return module.apply(  # type: ignore[return-value]
            variables(params), prefix, token, method=Transformer.follow
        )

    def blank(prefix: Prefix, group_size: int, num_tokens: int) -> Cache:
        _fits(shape, len(prefix.mask), num_tokens)
        num_prompts, num_kept, _, size = prefix.kept[0].key.shape
        zeros = jnp.zeros(
            (num_prompts, group_size, num_kept, num_tokens, size), prefix.kept[0].key.dtype
        )
        return ((zeros, zeros),) * shape.num_layers

    def decode(
        params: PyTree, prefix: Prefix, cache: Cache, t: Array, token: Array
    ) -> tuple[Array, Cache]:
        return module.apply(  # type: ignore[return-value]
            variables(params), prefix, cache, t, token, method=Transformer.decode
        )

    return LanguageModel(
        init=init,
        hidden=lambda params, token, mask: whole(params, token, mask)[0],
        unembedding=lambda params: _unembedding(shape, base(params)),
        prefill=prefill,
        follow=follow,
        blank=blank,
        decode=decode,
    )


def _unembedding(shape: Shape, params: PyTree) -> Array:
    return params["embedding"].T if shape.tied else params["unembedding"]


def read(model: LanguageModel, params: PyTree, prompts: Prompts, response: Response) -> Array:
    """Hidden states that predict each token of responses, [T, P, G, D].

    Prompts are read once per group. With `unembedding` they go to `hidden_log_prob_and_entropy`.
    """
    return _read(model, params, prompts, response.token[:-1])


def read_last(model: LanguageModel, params: PyTree, prompts: Prompts, response: Response) -> Array:
    """Hidden state of the last token that counts, [P, G, D]: that of the prompt if none does."""
    hidden = _read(model, params, prompts, response.token)
    last = jnp.sum(response.mask, 0, keepdims=True, dtype=jnp.int32)
    return jnp.take_along_axis(hidden, last[..., None], 0)[0]


def _read(model: LanguageModel, params: PyTree, prompts: Prompts, token: Array) -> Array:
    """Hidden of the prompt's last token and of those of the response, [1 + T, P, G, D]."""
    prefix, last = model.prefill(params, prompts.token, prompts.mask)
    first = jnp.broadcast_to(last[None, :, None], (1, *token.shape[1:], last.shape[-1]))
    if len(token) == 0:
        return first
    return jnp.concatenate([first, model.follow(params, prefix, token)])


class Head(NamedTuple):
    """A number from a hidden state: a value at each token, or a reward at the last one."""

    init: Callable[[Array], PyTree]  # key -> params
    value: Callable[[PyTree, Array], Array]  # params, hidden [..., D] -> [...]


def scalar_head(width: int, scale: float = 1.0) -> Head:
    """h · w + b; w normal with deviation scale / √(D + 1), b = 0.

    Reference: Stiennon et al. 2020, arXiv:2009.01325, appendix B.1.
    """
    checks.at_least(1, width=width)

    def init(key: Array) -> PyTree:
        weight = jax.random.normal(key, (width,)) * (scale / (width + 1) ** 0.5)
        return {"weight": weight, "bias": jnp.zeros(())}

    return Head(init, lambda params, hidden: hidden @ params["weight"] + params["bias"])


def _check(shape: Shape) -> None:
    sizes = ("vocabulary_size", "width", "num_layers", "num_heads", "num_kept_heads", "head_size")
    for name in (*sizes, "mlp_size", "context"):
        checks.at_least(1, **{name: getattr(shape, name)})
    activation_of(shape.activation)
    for name, known in (("norm", ("rms", "layer")), ("position", ("rotary", "learned"))):
        if (value := getattr(shape, name)) not in known:
            raise ValueError(f"{name} must be one of {', '.join(known)}, not {value!r}")
    if shape.num_heads % shape.num_kept_heads:
        raise ValueError(
            f"num_kept_heads must divide num_heads = {shape.num_heads}, not {shape.num_kept_heads}"
        )
    if shape.position == "rotary" and shape.head_size % 2:
        raise ValueError(f"head_size must be even for rotary positions, not {shape.head_size}")


def _fits(shape: Shape, prompt: int, response: int) -> None:
    if prompt + response > shape.context:
        raise ValueError(
            f"prompt and response must fit the context of {shape.context} tokens, "
            f"not have {prompt} and {response}"
        )
