"""TRPO's update: a natural-gradient step of a given length in KL, with a line search."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree

from jaxrl import checks
from jaxrl.numerics import widen
from jaxrl.shares import mean_of_shares
from jaxrl.types import Array, Scalar

Params = Any


class TrustRegionInfo(NamedTuple):
    """What a step did: whether it moved, how far in KL, and what it gained."""

    accepted: Array
    divergence: Array
    improvement: Array
    step_fraction: Array


def conjugate_gradient(
    product: Callable[[Array], Array], b: Array, num_iterations: int, tolerance: Scalar = 1e-10
) -> Array:
    """Solve A x = b from products with A, symmetric and positive definite.

        pₖ = rₖ + βₖ pₖ₋₁,  xₖ₊₁ = xₖ + αₖ pₖ,  αₖ = ‖rₖ‖² / pₖᵀ A pₖ,  βₖ = ‖rₖ‖² / ‖rₖ₋₁‖²

    Args:
      product: v -> A v.
      b: [D].
      num_iterations: a static integer; the residual stops moving once ‖r‖² ≤ tolerance · ‖b‖².
    Reference: Hestenes & Stiefel 1952, doi:10.6028/jres.049.044, section 3.
    """
    if len(checks.sequence(b=b)) != 1:
        raise ValueError(f"b must have the shape (D,), not {b.shape}")
    checks.at_least(1, num_iterations=num_iterations)
    floor = tolerance * jnp.vdot(b, b)

    def iterate(_: int, state: tuple[Array, ...]) -> tuple[Array, ...]:
        x, residual, direction, norm = state
        image = product(direction)
        active = norm > floor
        curvature = jnp.vdot(direction, image)
        alpha = jnp.where(active & (curvature > 0), norm / curvature, 0.0)
        residual = residual - alpha * image
        new_norm = jnp.vdot(residual, residual)
        beta = jnp.where(active, new_norm / norm, 0.0)
        return x + alpha * direction, residual, residual + beta * direction, new_norm

    start = (jnp.zeros_like(b), b, b, jnp.vdot(b, b))
    return jax.lax.fori_loop(0, num_iterations, iterate, start)[0]


def trust_region_step(
    surrogate: Callable[[Params], Array],
    divergence: Callable[[Params], Array],
    params: Params,
    *,
    max_kl: Scalar,
    damping: Scalar = 0.1,
    num_iterations: int = 10,
    num_backtracks: int = 10,
) -> tuple[Params, TrustRegionInfo]:
    """One TRPO step: the natural gradient, as long as the trust region allows.

        x = F⁻¹ g,  step = √(2δ / xᵀ F x) x,  halved until the loss falls and KL ≤ δ

    with g = −∇ surrogate, and F the Hessian of the divergence at `params` plus damping.

    Args:
      surrogate: params -> the loss to lower, a scalar (`importance_weighted`, reduced).
      divergence: params -> mean KL from the policy at `params`, 0 there, a scalar.
      max_kl: δ.
      num_backtracks: how often the step is tried, each half as long as the one before.
    Returns: the new parameters, the old ones bit for bit where no step was good, and what it did.
    Reference: Schulman et al. 2015, arXiv:1502.05477, appendix C; note 001, TRPO.
    """
    checks.at_least(1, num_backtracks=num_backtracks)
    checks.fits((), max_kl=max_kl, damping=damping)
    flat, unravel_flat = ravel_pytree(params)
    start = widen(flat)
    max_kl, damping = (jnp.asarray(x, start.dtype) for x in (max_kl, damping))

    def unravel(x: Array) -> Params:
        return unravel_flat(x.astype(flat.dtype))

    loss, slope = mean_of_shares(jax.value_and_grad(lambda x: surrogate(unravel(x)))(start))
    kl_slope = jax.grad(lambda x: divergence(unravel(x)))

    def fisher(v: Array) -> Array:
        return mean_of_shares(jax.jvp(kl_slope, (start,), (v,))[1]) + damping * v

    direction = conjugate_gradient(fisher, -slope, num_iterations)
    length = jnp.vdot(direction, fisher(direction))
    step = direction * jnp.where(length > 0, jnp.sqrt(2 * max_kl / jnp.maximum(length, 1e-30)), 0.0)

    def attempt(k: Array) -> tuple[Array, Array, Array]:
        params = unravel(start + 0.5**k * step)
        reached, kl = mean_of_shares((surrogate(params), divergence(params)))
        return (reached < loss) & (kl <= max_kl), loss - reached, kl

    def search(state: tuple[Array, ...]) -> tuple[Array, ...]:
        return state[0] + 1, *attempt(state[0] + 1)

    first = (jnp.zeros((), start.dtype), *attempt(jnp.zeros((), start.dtype)))
    halvings, accepted, gain, kl = jax.lax.while_loop(
        lambda state: ~state[1] & (state[0] + 1 < num_backtracks), search, first
    )
    fraction = jnp.where(accepted, 0.5**halvings, 0.0)
    moved = jnp.where(accepted, start + fraction * step, start)
    info = TrustRegionInfo(
        accepted, jnp.where(accepted, kl, 0.0), jnp.where(accepted, gain, 0.0), fraction
    )
    return unravel(moved), info
