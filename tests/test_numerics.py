"""Numerical helpers: what no formula's own test sees of them."""

import jax
import jax.numpy as jnp
import numpy as np

from jaxrl.numerics import cosine_of_half_turns


def test_cosine_of_half_turns() -> None:
    """NumPy's in float64 to a few roundings, however far from 0, and exact at half turns."""
    x = np.linspace(-70, 70, 100_001).astype(np.float32)
    cosine = np.asarray(cosine_of_half_turns(jnp.asarray(x)))
    np.testing.assert_allclose(cosine, np.cos(np.pi * x.astype(np.float64)), rtol=0, atol=3e-7)
    assert np.abs(cosine).max() <= 1
    whole = jnp.arange(-8.0, 9.0)
    np.testing.assert_array_equal(cosine_of_half_turns(whole), [1.0, -1.0] * 8 + [1.0])
    np.testing.assert_allclose(cosine_of_half_turns(whole + 0.5), 0, atol=3e-7)


def test_cosine_of_half_turns_gradient() -> None:
    """−π sin πx."""
    x = np.linspace(-3, 3, 1001).astype(np.float32)
    slope = jax.vmap(jax.grad(cosine_of_half_turns))(jnp.asarray(x))
    np.testing.assert_allclose(slope, -np.pi * np.sin(np.pi * x.astype(np.float64)), atol=3e-6)
