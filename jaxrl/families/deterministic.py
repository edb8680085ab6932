"""Deterministic conduct: the actor's output is the action, and noise explores around it."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxrl.families.actor_critic import Ask, Conduct
from jaxrl.families.box import Span, like
from jaxrl.families.value_head import Head
from jaxrl.formulas.value_targets import deterministic_policy_loss, smoothed_action
from jaxrl.types import Array, PyTree, Scalar


class Wobble(NamedTuple):
    """Exploration noise σ ε, ε ~ N(0, 1), as a share of half the box's width."""

    std: Scalar  # σ of the first environment
    spread: Scalar  # σ of the last environment over that of the first; between them equal factors


class Smoothing(NamedTuple):
    """TD3's noise on the target's action, as a share of half the box's width; 0 in DDPG."""

    std: Scalar
    clip: Scalar


def deterministic(span: Span, wobble: Wobble, smoothing: Smoothing) -> Conduct:
    """The action is centre + half width · tanh of the output."""

    def noise(key: Array, shape: tuple[int, ...]) -> Array:
        return jax.random.normal(key, (*shape, span.num_dims), jnp.float32)

    def act(output: Array, noise: Array | None, carry: PyTree) -> tuple[Array, PyTree]:
        if noise is None:
            return span.action(jnp.tanh(output)), carry
        rung = jnp.arange(len(noise), dtype=jnp.float32)[:, None] / max(len(noise) - 1, 1)
        std = like(wobble.std * wobble.spread**rung, noise)
        return span.action(jnp.clip(jnp.tanh(output) + std * noise, -1.0, 1.0)), carry

    def target(head: Head, ask: Ask, output: Array, noise: Array, data: Any, alpha: Array) -> Array:
        unit = smoothed_action(jnp.tanh(output), noise, *smoothing, -1.0, 1.0)
        return head.target(data.reward, data.discount, ask(span.action(unit)))

    def loss(ask: Ask, output: Array, noise: Array, alpha: Array) -> tuple[Array, Array]:
        unit = jnp.tanh(output)
        slope = jax.grad(lambda unit: ask(span.action(unit)).sum())(jax.lax.stop_gradient(unit))
        return deterministic_policy_loss(unit, slope), jnp.zeros(len(output))

    return Conduct(
        size=span.num_dims,
        soft=False,
        lagging=True,
        noise=noise,
        carry=lambda key, num_envs: (),
        act=act,
        target=target,
        loss=loss,
    )
