"""Responses to prompts inside jit, sampled or greedy; each prompt is read once per group.

All rows write their t-th token at once, as prompts are padded on the left. Masks follow from who
has ended, never from tokens.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxrl import checks
from jaxrl.networks.sampling import Choose
from jaxrl.numerics import accumulator
from jaxrl.text import LanguageModel, Prompts, Response, Vocabulary
from jaxrl.types import Array, PyTree


def row_keys(key: Array, num_prompts: int, group_size: int) -> Array:
    """A key for each response, [P, G], that depends on its place (p, g) alone.

    A row's sample is the same in whatever batch its key comes.
    """
    checks.at_least(1, num_prompts=num_prompts, group_size=group_size)
    fold = jax.random.fold_in
    row = jax.vmap(fold, (None, 0))(key, jnp.arange(num_prompts))
    return jax.vmap(jax.vmap(fold, (None, 0)), (0, None))(row, jnp.arange(group_size))


def token_noise(key: Array, num_tokens: int) -> Array:
    """Uniform numbers [T, P, G] of the keys of responses: that of token t is of fold_in(key, t)."""
    fold = lambda key, t: jax.random.uniform(jax.random.fold_in(key, t))  # noqa: E731
    rows = jax.vmap(jax.vmap(fold, (0, None)), (0, None))
    return jax.vmap(rows, (None, 0))(key, jnp.arange(num_tokens))


class State(NamedTuple):
    """Responses on their way."""

    t: Array  # the token that comes next
    hidden: Array  # [P, G, D], from which it will be chosen
    ended: Array  # [P, G]
    cache: PyTree  # of the model
    token: Array  # [T, P, G]
    mask: Array
    log_prob: Array


def generate(
    key: Array,
    model: LanguageModel,
    params: PyTree,
    prompts: Prompts,
    vocabulary: Vocabulary,
    num_tokens: int,
    choose: Choose,
    early_stop: bool = True,
) -> Response:
    """G responses to each prompt, token after token.

    Args:
      key: one for each response, [P, G], as of `row_keys`; token t is drawn with `token_noise`.
      num_tokens: T, after which a response is cut.
      choose: `sampling(temperature, top_k, top_p)` or `likeliest`.
      early_stop: stop when all have ended; otherwise always run T steps, which is faster where
        generation itself is vmapped (a stopped lane costs a copy of the cache at each step).
    """
    if key.ndim != 2 or key.shape[0] != prompts.token.shape[1]:
        raise ValueError(
            f"key must have the shape [P, G] with P = {prompts.token.shape[1]}, not {key.shape}"
        )
    unembedding = checked(model, params, prompts, vocabulary, num_tokens)
    prefix, last = model.prefill(params, prompts.token, prompts.mask)
    noise = token_noise(key, num_tokens)

    def say(state: State) -> State:
        """Choose token t and note it down."""
        t, ended = state.t, state.ended
        token, log_prob = choose(noise[t], state.hidden @ unembedding)
        token = jnp.where(ended, vocabulary.pad, token)
        log_prob = jnp.where(ended, 0.0, log_prob)
        put = jax.lax.dynamic_update_index_in_dim
        return state._replace(
            ended=ended | (token == vocabulary.eos) & ~ended,
            token=put(state.token, token, t, 0),
            mask=put(state.mask, ~ended, t, 0),
            log_prob=put(state.log_prob, log_prob, t, 0),
        )

    def step(state: State) -> State:
        """Read token t, and say the next one."""
        token = jax.lax.dynamic_index_in_dim(state.token, state.t, 0, keepdims=False)
        hidden, cache = model.decode(params, prefix, state.cache, state.t, token)
        return say(state._replace(t=state.t + 1, hidden=hidden, cache=cache))

    state = say(first(model, prefix, last, vocabulary, (num_tokens, key.shape[0], key.shape[1])))
    if early_stop:
        going = lambda state: (state.t < num_tokens - 1) & ~jnp.all(state.ended)  # noqa: E731
        state = jax.lax.while_loop(going, step, state)
    else:
        state = jax.lax.fori_loop(0, num_tokens - 1, lambda _, state: step(state), state)
    return Response(state.token, state.mask, state.log_prob, state.ended)


def first(
    model: LanguageModel,
    prefix: PyTree,
    last: Array,
    vocabulary: Vocabulary,
    shape: tuple[int, int, int],
) -> State:
    """Nothing said yet to prompts whose last hidden states are given, `shape` being (T, P, G)."""
    num_tokens, num_prompts, group_size = shape
    return State(
        t=jnp.zeros((), jnp.int32),
        hidden=jnp.broadcast_to(last[:, None], (num_prompts, group_size, last.shape[-1])),
        ended=jnp.zeros((num_prompts, group_size), bool),
        cache=model.blank(prefix, group_size, max(num_tokens - 1, 1)),  # the last is not read
        token=jnp.full(shape, vocabulary.pad, jnp.int32),
        mask=jnp.zeros(shape, bool),
        log_prob=jnp.zeros(shape, accumulator(last.dtype)),
    )


def checked(
    model: LanguageModel,
    params: PyTree,
    prompts: Prompts,
    vocabulary: Vocabulary,
    num_tokens: int,
) -> Array:
    """The unembedding, once prompts, vocabulary and model are known to go together."""
    checks.at_least(1, num_tokens=num_tokens)
    checks.flag(prompts.token.shape, mask=prompts.mask)
    unembedding = model.unembedding(params)
    if vocabulary.size != unembedding.shape[1]:
        raise ValueError(
            f"vocabulary must have the {unembedding.shape[1]} tokens of the model, "
            f"not {vocabulary.size}"
        )
    for name in ("eos", "pad"):
        if not 0 <= (token := getattr(vocabulary, name)) < vocabulary.size:
            raise ValueError(f"{name} must be a token below {vocabulary.size}, not {token}")
    return unembedding


def best_of(response: Response, score: Array, num_kept: int = 1) -> Response:
    """The responses with the highest scores [P, G] of each group, best first, [T, P, num_kept]."""
    checks.fits(response.ended.shape, score=score)
    checks.at_least(1, num_kept=num_kept)
    if num_kept > response.ended.shape[1]:
        raise ValueError(f"num_kept must be at most {response.ended.shape[1]}, not {num_kept}")
    order = jnp.argsort(score, -1, descending=True, stable=True)[:, :num_kept]
    return jax.tree.map(lambda x: pick(x, order), response)


def pick(x: Array, order: Array) -> Array:
    """Members of groups [..., P, G] by [P, K] -> [..., P, K]."""
    return jnp.take_along_axis(x, order.reshape((1,) * (x.ndim - 2) + order.shape), -1)
