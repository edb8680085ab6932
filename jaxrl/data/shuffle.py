"""Random permutations without a sort: a keyed bijection of the indices."""

import jax
import jax.numpy as jnp

from jaxrl import checks
from jaxrl.types import Array

NUM_ROUNDS, LEAST_BITS = 8, 7  # what chi-square tests of positions and pairs ask for


def permutation(key: Array, size: int) -> Array:
    """A random order of 0 … size − 1, as int32, in time linear in size.

    A Feistel network permutes the numbers of b bits, where 2ᵇ is the least power of two that is
    not below `size`, nor below 128; a number that lands beyond `size` is permuted again until it
    does not (Black & Rogaway 2002, doi:10.1007/3-540-45760-7_9). `jax.random.permutation` sorts,
    which costs a training step on a CPU more than its environments do.
    """
    checks.at_least(1, size=size)
    num_bits = max((size - 1).bit_length(), LEAST_BITS)
    round_keys = jax.random.bits(key, (NUM_ROUNDS,), jnp.uint32)
    index = _feistel(jnp.arange(size, dtype=jnp.uint32), round_keys, num_bits)
    if size < 2**num_bits:
        index = jax.lax.while_loop(
            lambda x: jnp.any(x >= size),
            lambda x: jnp.where(x >= size, _feistel(x, round_keys, num_bits), x),
            index,
        )
    return index.astype(jnp.int32)


def _feistel(x: Array, round_keys: Array, num_bits: int) -> Array:
    """One bijection of the numbers of `num_bits` bits, whose halves are mixed in turn."""
    low_bits = num_bits // 2
    low_mask, high_mask = 2**low_bits - 1, 2 ** (num_bits - low_bits) - 1
    high, low = x >> low_bits, x & low_mask
    for i in range(NUM_ROUNDS):
        if i % 2:
            low = (low + _mixed(high, round_keys[i])) & low_mask
        else:
            high = (high + _mixed(low, round_keys[i])) & high_mask
    return (high << low_bits) | low


def _mixed(x: Array, key: Array) -> Array:
    """A hash of 32 bits whose high bits, which matter least to a product, are folded down."""
    x = (x + key) * jnp.uint32(0x9E3779B1)
    x = (x ^ (x >> 15)) * jnp.uint32(0x85EBCA77)
    return x ^ (x >> 13)
