"""Trees of arrays and keys: the same bits, near, apart."""

import jax
import jax.numpy as jnp
import numpy as np


def is_key(x):
    return jnp.issubdtype(x.dtype, jax.dtypes.prng_key)


def bits(x):
    """A leaf as NumPy sees it; a key as its numbers."""
    return np.asarray(jax.random.key_data(x) if is_key(x) else x)


def at(tree, *index):
    """One row of each leaf."""
    return jax.tree.map(lambda x: x[index], tree)


def floats(tree):
    return [x for x in map(bits, jax.tree.leaves(tree)) if x.dtype.kind == "f"]


def finite(tree):
    return all(np.isfinite(x).all() for x in floats(tree))


def types(tree):
    """Treedef, shapes, dtypes and weakness."""
    leaves, treedef = jax.tree.flatten(tree)
    return treedef, [jax.typeof(x) for x in leaves]


def assert_same(x, y):
    """Bit for bit."""
    jax.tree.map(lambda a, b: np.testing.assert_array_equal(bits(a), bits(b)), x, y)


def assert_near(x, y, atol=1e-5):
    """Integers, flags and keys bit for bit, floats nearly."""

    def one(a, b):
        a, b = bits(a), bits(b)
        atol_here = atol if a.dtype.kind == "f" else 0
        np.testing.assert_allclose(a, b, rtol=atol_here, atol=atol_here)

    jax.tree.map(one, x, y)


def differ(x, y):
    """Whether any leaf does."""
    pairs = zip(jax.tree.leaves(x), jax.tree.leaves(y), strict=True)
    return any((bits(a) != bits(b)).any() for a, b in pairs)
