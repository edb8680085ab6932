"""The weight α of a policy's entropy: where it is kept, and what moves it."""

from collections.abc import Callable
from typing import NamedTuple

import jax.numpy as jnp

from jaxrl.formulas.value_targets import temperature_loss
from jaxrl.optim.optimizer import Optimizer
from jaxrl.types import Array, PyTree, Scalar


class Temperature(NamedTuple):
    """What a learner's slots hold of α."""

    init: Callable[[], PyTree]  # -> slots
    value: Callable[[PyTree], Array]  # slots -> α
    update: Callable[[PyTree, Array, PyTree, Array], PyTree]  # slots, mean log-probability of
    # actions, what was seen, number of the step -> slots


class Learnt(NamedTuple):
    """A temperature that learns."""

    log_temperature: Array
    opt_state: PyTree


def fixed_temperature(alpha: Scalar) -> Temperature:
    """α stays as it is; 0 where entropy is worth nothing."""
    return Temperature(
        lambda: (), lambda slots: jnp.asarray(alpha, jnp.float32), lambda slots, *_: slots
    )


def learnt_temperature(
    optimizer: Optimizer, start: Scalar, target_entropy: Callable[[PyTree], Scalar]
) -> Temperature:
    """α rises while the policy's entropy is below the target, and falls while it is above.

    Args:
      target_entropy: the target where that was seen, [B, ...].
    """

    def init() -> Learnt:
        log_temperature = jnp.log(jnp.asarray(start, jnp.float32))
        return Learnt(log_temperature, optimizer.init(log_temperature))

    def update(slots: Learnt, log_prob: Array, obs: PyTree, count: Array) -> Learnt:
        flat, unpack = optimizer.layout(slots.log_temperature)

        def loss(flat: PyTree) -> tuple[Array, Array]:
            price = temperature_loss(unpack(flat), log_prob[None], target_entropy(obs))
            return price[0], jnp.zeros(0)

        flat, opt_state, _ = optimizer.step(loss, flat, slots.opt_state, count)
        return Learnt(unpack(flat), opt_state)

    return Temperature(init, lambda slots: jnp.exp(slots.log_temperature), update)
