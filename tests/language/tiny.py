"""A language model that is a few sums, and a task that it can learn: quick to compile."""

import jax
import jax.numpy as jnp

from jaxrl.text import LanguageModel, Prompts, Response, Task, Vocabulary

VOCABULARY = Vocabulary(size=6, eos=5, pad=0)
NUM_TOKENS = 4
WIDTH = 8


def tiny_model(vocabulary=VOCABULARY, width=WIDTH):
    """The hidden state is a token's own embedding, and the mean of those up to it."""

    def init(key):
        names = {
            "own": (vocabulary.size, width),
            "past": (vocabulary.size, width),
            "out": (width, vocabulary.size),
        }
        keys = jax.random.split(key, len(names))
        return {n: jax.random.normal(k, s) for k, (n, s) in zip(keys, names.items(), strict=True)}

    def seen(params, token):
        return params["own"][token], params["past"][token]

    def mixed(own, total, count):
        return jnp.tanh(own + total / jnp.maximum(count, 1.0)[..., None])

    def hidden(params, token, mask):
        own, past = seen(params, token)
        weight = mask.astype(jnp.float32)
        total = jnp.cumsum(jnp.where(mask[..., None], past, 0.0), 0)
        return mixed(own, total, jnp.cumsum(weight, 0))

    def prefill(params, token, mask):
        past = jnp.where(mask[..., None], seen(params, token)[1], 0.0).sum(0)
        return (past, mask.sum(0, dtype=jnp.float32)), hidden(params, token, mask)[-1]

    def blank(prefilled, group_size, num_tokens):
        return jax.tree.map(lambda x: jnp.repeat(x[:, None], group_size, 1), prefilled)

    def follow(params, prefilled, token):
        own, past = seen(params, token)
        count = prefilled[1][None, :, None] + jnp.arange(1.0, 1 + len(token))[:, None, None]
        return mixed(own, prefilled[0][None, :, None] + jnp.cumsum(past, 0), count)

    def decode(params, prefilled, cache, t, token):
        own, past = seen(params, token)
        total, count = cache[0] + past, cache[1] + 1
        return mixed(own, total, count), (total, count)

    return LanguageModel(init, hidden, lambda params: params["out"], prefill, follow, blank, decode)


def prompts(num, first=0):
    """Prompts of one or two tokens from 1 to 4, padded on the left."""
    index = jnp.arange(first, first + num)
    last = 1 + index % 4
    before = 1 + (index // 4) % 4
    short = index % 3 == 0
    token = jnp.stack([jnp.where(short, 0, before), last]).astype(jnp.int32)
    mask = jnp.stack([~short, jnp.ones(num, bool)])
    return Prompts(token, mask, jnp.arange(num, dtype=jnp.int32), last.astype(jnp.int32))


def echo(num_train=12, num_test=6, reward=None):
    """Say the last token of the prompt, and stop."""

    def exact(prompts, response):
        first = response.token[0] == prompts.answer[:, None]
        stopped = response.ended & (response.mask.sum(0) == 2)
        return (first & stopped).astype(jnp.float32)

    def demonstration(prompts):
        num = prompts.answer.shape[0]
        empty = jnp.zeros((NUM_TOKENS, num, 1), jnp.int32)
        token = empty.at[0, :, 0].set(prompts.answer).at[1].set(VOCABULARY.eos)
        mask = jnp.broadcast_to(jnp.arange(NUM_TOKENS)[:, None, None] < 2, token.shape)
        return Response(token, mask, jnp.zeros(token.shape), jnp.ones((num, 1), bool))

    return Task(
        VOCABULARY,
        prompts(num_train),
        prompts(num_test, first=num_train),
        NUM_TOKENS,
        reward or exact,
        demonstration,
    )
