"""Optimisers: any optax transformation, over one vector of all parameters where it may be.

One vector takes a few large operations in place of many small ones. The learning rate is applied
here, by the number of the step: optax counts its own steps, of which an early stop skips some.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax.flatten_util import ravel_pytree

from jaxrl.shares import mean_of_shares
from jaxrl.types import Array, PyTree, Scalar

Schedule = Callable[[Array], Array]
Loss = Callable[[PyTree], tuple[Array, Array]]


class Optimizer(NamedTuple):
    """An optax transformation and how parameters are laid out while it works on them."""

    transformation: optax.GradientTransformation
    schedule: Schedule  # number of the step -> learning rate
    own: bool = False  # the user's own, which applies its rate by itself and sees a tree

    def init(self, params: PyTree) -> PyTree:
        """The state of the transformation."""
        return self.transformation.init(self.layout(params)[0])

    def layout(self, params: PyTree) -> tuple[PyTree, Callable[[PyTree], PyTree]]:
        """The parameters as the transformation sees them, and the way back."""
        return (params, lambda x: x) if self.own else ravel_pytree(params)

    def step(
        self, loss: Loss, params: PyTree, opt_state: PyTree, count: Array
    ) -> tuple[PyTree, PyTree, Array]:
        """One step down the loss: parameters in its layout, state, and what the loss reported.

        The loss gives a scalar and a vector of numbers, to which the gradient's norm is appended.
        """
        (_, numbers), gradient = jax.value_and_grad(loss, has_aux=True)(params)
        numbers, gradient = mean_of_shares((numbers, gradient))
        with jax.numpy_dtype_promotion("standard"):  # optax divides by integers
            updates, opt_state = self.transformation.update(gradient, opt_state, params)
        if not self.own:
            rate = self.schedule(count)
            updates = jax.tree.map(lambda x: -rate * x, updates)
        numbers = jnp.append(numbers, optax.tree.norm(gradient))
        return optax.apply_updates(params, updates), opt_state, numbers


def linear(value: Scalar, num_steps: int, anneal: bool) -> Schedule:
    """The schedule of a learning rate: constant, or falling to 0 in `num_steps` steps."""

    def schedule(count: Array) -> Array:
        progress = jnp.minimum(jnp.asarray(count, jnp.float32) / num_steps, 1.0)
        return value * (1.0 - progress) if anneal else jnp.asarray(value, jnp.float32)

    return schedule


def adam(schedule: Schedule, max_grad_norm: Scalar, eps: Scalar) -> Optimizer:
    """Adam behind a bound on the norm of the gradient."""
    return _bounded(optax.scale_by_adam(eps=eps), schedule, max_grad_norm)


def rmsprop(schedule: Schedule, max_grad_norm: Scalar, decay: Scalar, eps: Scalar) -> Optimizer:
    """RMSProp behind a bound on the norm of the gradient."""
    return _bounded(optax.scale_by_rms(decay=decay, eps=eps), schedule, max_grad_norm)


def radam(schedule: Schedule, max_grad_norm: Scalar, eps: Scalar) -> Optimizer:
    """Rectified Adam behind a bound on the norm of the gradient."""
    return _bounded(optax.scale_by_radam(eps=eps), schedule, max_grad_norm)


def _bounded(
    scaling: optax.GradientTransformation, schedule: Schedule, max_grad_norm: Scalar
) -> Optimizer:
    chain = optax.chain(optax.clip_by_global_norm(max_grad_norm), scaling)
    return Optimizer(chain, schedule)
