"""What is asked of functions without running them: their results' shapes, and one trace only."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from jaxrl.types import PyTree


def traced_once(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function, whose trace is kept: asked for its shapes and then used, it is traced once."""
    return jax.jit(function, inline=True)


def zeros_of(function: Callable[..., Any], *args: Any) -> PyTree:
    """Zeros in the shapes and types of what the function gives for the arguments."""
    like = jax.eval_shape(function, *args)
    return jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), like)
