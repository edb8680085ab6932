"""Type names shared by the whole package."""

import jax

Array = jax.Array

Scalar = float | Array
"""A number, or an array of the same rank as its neighbours that broadcasts against them."""
