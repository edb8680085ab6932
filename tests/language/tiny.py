"""A language model that is a few sums, and a task that it can learn: quick to compile."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np

from jaxrl.text import LanguageModel, Prompts, Response, Task, Vocabulary

VOCABULARY = Vocabulary(size=6, eos=5, pad=0)
ASK = 4  # the token that ends a prompt; 1, 2 and 3 are what it is about
NUM_TOKENS = 4
WIDTH = 8


def tiny_model(vocabulary=VOCABULARY, width=WIDTH):
    """The hidden state is tanh(a token's own embedding + the mean of those up to it)."""
    shapes = {
        "own": (vocabulary.size, width),
        "past": (vocabulary.size, width),
        "out": (width, vocabulary.size),
    }

    def init(key):
        keys = jax.random.split(key, len(shapes))
        return {
            name: 0.5 * jax.random.normal(k, shape)
            for k, (name, shape) in zip(keys, shapes.items(), strict=True)
        }

    def mixed(own, total, count):
        return jnp.tanh(own + total / jnp.maximum(count, 1.0)[..., None])

    def hidden(params, token, mask):
        past = jnp.where(mask[..., None], params["past"][token], 0.0)
        count = jnp.cumsum(mask, 0, dtype=jnp.float32)
        return mixed(params["own"][token], jnp.cumsum(past, 0), count)

    def prefill(params, token, mask):
        past = jnp.sum(jnp.where(mask[..., None], params["past"][token], 0.0), 0)
        return (past, mask.sum(0, dtype=jnp.float32)), hidden(params, token, mask)[-1]

    def follow(params, prefix, token):
        total, count = (x[None, :, None] for x in prefix)
        further = jnp.arange(1.0, 1 + len(token))[:, None, None]
        past = jnp.cumsum(params["past"][token], 0)
        return mixed(params["own"][token], total + past, count + further)

    def blank(prefix, group_size, num_tokens):
        return jax.tree.map(lambda x: jnp.repeat(x[:, None], group_size, 1), prefix)

    def decode(params, prefix, cache, t, token):
        total, count = cache[0] + params["past"][token], cache[1] + 1
        return mixed(params["own"][token], total, count), (total, count)

    return LanguageModel(init, hidden, lambda params: params["out"], prefill, follow, blank, decode)


def questions(words, first=0):
    """Words and ASK, padded on the left; the answer is the token that is most of the word."""
    length = max(map(len, words)) + 1
    token = np.zeros((length, len(words)), np.int32)
    for column, word in enumerate(words):
        token[length - len(word) - 1 :, column] = [*word, ASK]
    answer = [max(word, key=word.count) for word in words]
    index = jnp.arange(first, first + len(words), dtype=jnp.int32)
    return Prompts(jnp.array(token), jnp.array(token > 0), index, jnp.array(answer, jnp.int32))


def majority(num_train=18):
    """Say which token the prompt is mostly of, and stop; the reward is 1 for that."""
    words = [w for w in itertools.product((1, 2, 3), repeat=3) if len(set(w)) < 3]
    words = [words[i] for i in np.random.default_rng(0).permutation(len(words))]
    words = [(1,), (2,), (3,), *words]
    # A step is worth something if it is right in its place.
    return Task(
        VOCABULARY,
        questions(words[:num_train]),
        questions(words[num_train:], num_train),
        NUM_TOKENS,
        reward=lambda prompts, response: _right(prompts, response)[:2].all(0).astype(jnp.float32),
        demonstration=demonstration,
        step_reward=lambda prompts, response: _right(prompts, response).astype(jnp.float32),
    )


def demonstration(prompts):
    """The right response."""
    num = len(prompts.index)
    token = jnp.zeros((NUM_TOKENS, num, 1), jnp.int32)
    token = token.at[0, :, 0].set(prompts.answer).at[1].set(VOCABULARY.eos)
    mask = jnp.broadcast_to(jnp.arange(NUM_TOKENS)[:, None, None] < 2, token.shape)
    return Response(token, mask, jnp.zeros(token.shape), jnp.ones((num, 1), bool))


def _right(prompts, response):
    wanted = demonstration(prompts)
    return response.mask & wanted.mask & (response.token == wanted.token)
