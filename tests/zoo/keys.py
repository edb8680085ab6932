"""Random keys for tests: quick to compile, and able to say which of them were used.

Threefry is half of what a small training program compiles. Code that is written against typed keys
works with any generator, so here is a hash of a few operations.
"""

import math

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.random import define_prng_impl


def _mixed(x):
    """A bijective hash of 32 bits: what one bit of the input says is spread over all of them."""
    x = (x ^ (x >> 16)) * jnp.uint32(0x7FEB352D)
    x = (x ^ (x >> 15)) * jnp.uint32(0x846CA68B)
    return x ^ (x >> 16)


def _words(key, num_words, salt):
    index = jax.lax.iota(jnp.uint32, num_words)
    return _mixed(_mixed(_mixed(index + jnp.uint32(salt)) + key[0]) + key[1])


def _seed(seed):
    return _words(jnp.stack([seed.astype(jnp.uint32)] * 2), 2, 1 << 28)


def _split(key, shape):
    return _words(key, math.prod(shape) * 2, 2 << 28).reshape(*shape, 2)


def _random_bits(key, bit_width, shape):
    assert bit_width == 32
    return _words(key, math.prod(shape), 3 << 28).reshape(shape)


def _fold_in(key, data):
    return _words(_mixed(data.astype(jnp.uint32)) + key, 2, 4 << 28)


class UsedKeys:
    """The keys that were split or drawn from since the last `clear`, in running programs."""

    def __init__(self):
        self.seen = []

    def clear(self):
        jax.effects_barrier()
        self.seen.clear()

    def rows(self):
        """All of them, [n, 2]."""
        jax.effects_barrier()
        return np.concatenate(self.seen)

    def note(self, keys):
        self.seen.append(np.asarray(keys).reshape(-1, 2))


USED = UsedKeys()


@jax.custom_batching.custom_vmap
def _noted(key):
    """The key, or [..., 2] of them, whose use is told to the host in one call."""
    jax.debug.callback(USED.note, key)
    return key


@_noted.def_vmap
def _noted_batch(axis_size, in_batched, keys):
    del axis_size, in_batched
    return _noted(keys), True


PLAIN = define_prng_impl(
    key_shape=(2,),
    seed=_seed,
    split=_split,
    random_bits=_random_bits,
    fold_in=_fold_in,
    name="plain",
)
NOTED = define_prng_impl(
    key_shape=(2,),
    seed=_seed,
    split=lambda key, shape: _split(_noted(key), shape),
    random_bits=lambda key, *how: _random_bits(_noted(key), *how),
    fold_in=_fold_in,
    name="noted",
)
"""As PLAIN, bit for bit; every use is noted in USED."""


def noted(keys):
    """The same keys, whose use is noted."""
    return jax.random.wrap_key_data(jax.random.key_data(keys), impl=NOTED)
