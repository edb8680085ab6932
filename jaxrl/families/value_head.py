"""Heads: how numbers on the last axis stand for a return.

A learner that knows only (size, mean, mixture, target, loss, error) learns expected values,
distributions over atoms, or quantiles, of each action or of one.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxrl import checks
from jaxrl.formulas.distributional import (
    categorical_loss,
    categorical_projection,
    quantile_huber_loss,
    quantile_midpoints,
)
from jaxrl.formulas.returns import squashed_return, stretched_return
from jaxrl.formulas.value_losses import huber_loss
from jaxrl.formulas.value_targets import td_target
from jaxrl.numerics import expectation, plogp
from jaxrl.types import Array, Average, Metrics, Scalar


class Head(NamedTuple):
    """What the numbers x [..., size] of a value network mean."""

    size: int | None  # None: as many as there are levels
    mean: Callable[[Array], Array]  # x -> the expected return, [...]
    mixture: Callable[[Array, Array], Array]  # x [..., A, size], π [..., A] -> of the policy
    target: Callable[[Array, Array, Array], Array]  # reward, discount, x′ -> what to learn
    loss: Callable[[Array, Array | None, Array], Array]  # x, levels, target -> [...]
    error: Callable[[Array, Array], Array]  # x, target -> priority, [...]
    span: tuple[Scalar, Scalar] | None = None  # the returns between which it can tell, if bounded


def scalar_head(delta: Scalar) -> Head:
    """One number, the expected return, and a Huber loss."""

    def target(reward: Array, discount: Array, numbers: Array) -> Array:
        return td_target(reward, numbers[..., 0], discount)[..., None]

    return Head(
        size=1,
        mean=lambda x: x[..., 0],
        mixture=_mixed,
        target=target,
        loss=lambda x, tau, target: huber_loss(x[..., 0], target[..., 0], delta),
        error=lambda x, target: jnp.abs(target - x)[..., 0],
    )


def categorical_head(low: Scalar, high: Scalar, num_atoms: int) -> Head:
    """Logits of a distribution over evenly spaced returns (C51, D4PG)."""
    checks.ascending(value_min=low, value_max=high)
    share = jnp.arange(num_atoms, dtype=jnp.float32) / (num_atoms - 1)
    support = low + (high - low) * share

    def target(reward: Array, discount: Array, numbers: Array) -> Array:
        returns = support.reshape((1,) * reward.ndim + (-1,))
        atoms = reward[..., None] + discount[..., None] * returns
        return categorical_projection(atoms, jax.nn.softmax(numbers), support)

    def mixture(numbers: Array, prob: Array) -> Array:
        mixed = _mixed(jax.nn.softmax(numbers), prob)
        return jnp.log(jnp.maximum(mixed, jnp.finfo(mixed.dtype).tiny))

    def error(numbers: Array, target: Array) -> Array:
        """KL(target ‖ x), as in Rainbow."""
        surplus = categorical_loss(numbers, target) + plogp(target, _log(target)).sum(-1)
        return jnp.maximum(surplus, 0.0)

    return Head(
        size=num_atoms,
        mean=lambda x: jax.nn.softmax(x) @ support,
        mixture=mixture,
        target=target,
        loss=lambda x, tau, target: categorical_loss(x, target),
        error=error,
        span=(low, high),
    )


def quantile_head(num_quantiles: int, kappa: Scalar) -> Head:
    """Quantiles of the return at fixed levels (QR-DQN)."""
    midpoints = quantile_midpoints(num_quantiles)
    head = implicit_head(kappa)

    def loss(numbers: Array, tau: Array | None, target: Array) -> Array:
        return head.loss(numbers, midpoints, target)

    return head._replace(size=num_quantiles, loss=loss)


def implicit_head(kappa: Scalar) -> Head:
    """Quantiles of the return at the levels that the network was asked for (IQN)."""

    def target(reward: Array, discount: Array, numbers: Array) -> Array:
        reward, discount = (
            jnp.broadcast_to(x[..., None], numbers.shape) for x in (reward, discount)
        )
        return td_target(reward, numbers, discount)

    def loss(numbers: Array, tau: Array | None, target: Array) -> Array:
        assert tau is not None
        return quantile_huber_loss(numbers, tau, target, kappa)

    return Head(
        size=None,
        mean=lambda x: x.mean(-1),
        mixture=_mixed,
        target=target,
        loss=loss,
        error=lambda x, target: jnp.abs(target.mean(-1) - x.mean(-1)),
    )


def beyond(head: Head, target: Callable[[Head], Array]) -> Metrics:
    """The share of targets whose mean lies below or above a head's span, and by how much.

    Args:
      target: a head -> targets. It is asked once more, for means before they are projected; of two
        equal passes through a network a compiler keeps one.
    """
    if head.span is None:
        return {}

    def unprojected(reward: Array, discount: Array, numbers: Array) -> Array:
        return td_target(reward, head.mean(numbers), discount)[..., None]

    mean, (low, high) = target(head._replace(target=unprojected)), head.span
    below, above = jnp.maximum(low - mean, 0.0), jnp.maximum(mean - high, 0.0)
    sums = {
        "below_support": (below > 0).sum(dtype=jnp.float32),
        "above_support": (above > 0).sum(dtype=jnp.float32),
        "below_by": below.sum(),
        "above_by": above.sum(),
    }
    return {name: Average(x, jnp.float32(mean.size)) for name, x in sums.items()}


def squashed(head: Head) -> Head:
    """A head of expected returns or of quantiles whose numbers are on the scale of R2D2's h.

    y = h(r + γ h⁻¹(x′)),  h = `squashed_return`
    """

    def target(reward: Array, discount: Array, numbers: Array) -> Array:
        return squashed_return(head.target(reward, discount, stretched_return(numbers)))

    return head._replace(
        mean=lambda x: head.mean(stretched_return(x)),
        mixture=lambda x, prob: squashed_return(head.mixture(stretched_return(x), prob)),
        target=target,
    )


def taken(numbers: Array, action: Array) -> Array:
    """Those of one action: x [..., A, size], a [...] -> [..., size]."""
    return jnp.take_along_axis(numbers, action[..., None, None], -2)[..., 0, :]


def _mixed(numbers: Array, prob: Array) -> Array:
    """Σₐ π(a) x(a, ·)."""
    return expectation(prob[..., None, :], jnp.swapaxes(numbers, -1, -2))


def _log(prob: Array) -> Array:
    return jnp.log(jnp.where(prob > 0, prob, 1.0))
