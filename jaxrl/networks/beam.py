"""Beam search: the most probable responses that a search of limited width finds."""

import jax
import jax.numpy as jnp

from jaxrl import checks
from jaxrl.networks.generation import State, best_of, checked, first, pick
from jaxrl.numerics import widen
from jaxrl.text import LanguageModel, Prompts, Response, Vocabulary
from jaxrl.types import Array, PyTree, Scalar


def beam(
    model: LanguageModel,
    params: PyTree,
    prompts: Prompts,
    vocabulary: Vocabulary,
    num_tokens: int,
    num_beams: int,
    length_power: Scalar = 0.0,
) -> tuple[Response, Array]:
    """The `num_beams` best responses to each prompt, best first, and their scores [P, num_beams].

        score = Σₜ log p(oₜ) / |o|^α

    At each step the beams with the highest sums go on; those that have ended keep theirs. A score
    of −∞ marks a beam that found no response of its own, where there are too few of them.

    Args:
      length_power: α; 0 ranks by the sum, 1 by the mean.
    Reference: Graves 2012, arXiv:1211.3711, section 2.4; Wu et al. 2016, arXiv:1609.08144, eq. 14.
    """
    checks.at_least(1, num_beams=num_beams)
    unembedding = checked(model, params, prompts, vocabulary, num_tokens)
    prefix, last = model.prefill(params, prompts.token, prompts.mask)

    def extend(carry: tuple[State, Array]) -> tuple[State, Array]:
        """Choose the best among all next tokens of all beams."""
        state, score = carry
        log_prob = jax.nn.log_softmax(widen(state.hidden @ unembedding), -1)
        return _extended(state, score, log_prob, vocabulary)

    def step(carry: tuple[State, Array]) -> tuple[State, Array]:
        state, score = carry
        token = jax.lax.dynamic_index_in_dim(state.token, state.t, 0, keepdims=False)
        hidden, cache = model.decode(params, prefix, state.cache, state.t, token)
        return extend((state._replace(t=state.t + 1, hidden=hidden, cache=cache), score))

    def going(carry: tuple[State, Array]) -> Array:
        return (carry[0].t < num_tokens - 1) & ~jnp.all(carry[0].ended)

    num_prompts = prompts.token.shape[1]
    state = first(model, prefix, last, vocabulary, (num_tokens, num_prompts, num_beams))
    score = jnp.full((num_prompts, num_beams), -jnp.inf, state.log_prob.dtype).at[:, 0].set(0.0)
    state, score = jax.lax.while_loop(going, step, extend((state, score)))
    response = Response(state.token, state.mask, state.log_prob, state.ended)
    length = jnp.sum(state.mask, 0, dtype=score.dtype)
    score = score / length**length_power
    return best_of(response, score, num_beams), jnp.sort(score, -1, descending=True)


def _extended(
    state: State, score: Array, log_prob: Array, vocabulary: Vocabulary
) -> tuple[State, Array]:
    """Beams one token longer: `log_prob` [P, W, V] of all that may come."""
    only_pad = jnp.where(jnp.arange(vocabulary.size) == vocabulary.pad, 0.0, -jnp.inf)
    only_pad = only_pad.astype(log_prob.dtype).reshape(1, 1, -1)
    log_prob = jnp.where(state.ended[..., None], only_pad, log_prob)
    total = score[..., None] + log_prob
    score, place = jax.lax.top_k(total.reshape(len(score), -1), score.shape[1])
    parent, token = place // vocabulary.size, place % vocabulary.size
    cache = jax.tree.map(lambda x: jax.vmap(lambda x, i: x[i])(x, parent), state.cache)
    ended, tokens, mask, log_probs = (
        pick(x, parent) for x in (state.ended, state.token, state.mask, state.log_prob)
    )
    said = jnp.take_along_axis(log_prob.reshape(len(score), -1), place, -1)
    put = jax.lax.dynamic_update_index_in_dim
    state = state._replace(
        ended=ended | (token == vocabulary.eos) & ~ended,
        cache=cache,
        token=put(tokens, token, state.t, 0),
        mask=put(mask, ~ended, state.t, 0),
        log_prob=put(log_probs, said, state.t, 0),
    )
    return state, score
