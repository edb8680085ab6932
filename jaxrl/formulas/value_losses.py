"""Value losses, per element, unreduced, and how well a value explains its target."""

import jax.numpy as jnp

from jaxrl import checks
from jaxrl.formulas.reduce import masked_var
from jaxrl.numerics import divide, widen
from jaxrl.types import Array, Scalar


def squared_loss(value: Array, target: Array) -> Array:
    """Squared error.

        ½ (v − G)²

    Reference: Sutton & Barto 2018, eq. 9.1 (there without ½).
    """
    checks.same_shape(value=value, target=target)
    return 0.5 * jnp.square(value - target)


def squared_distance(x: Array, y: Array) -> Array:
    """Squared error of vectors.

        ½ ‖x − y‖² = ½ Σᵢ (xᵢ − yᵢ)²

    Args:
      x, y: [..., D].
    Reference: Bishop 2006, eq. 1.2.
    """
    checks.sequence(x=x, y=y)
    return squared_loss(x, y).sum(-1)


def huber_loss(value: Array, target: Array, delta: Scalar = 1.0) -> Array:
    """Huber loss: squared near the target, linear far from it.

        ½ u² if |u| ≤ δ, else δ (|u| − ½ δ),  u = v − G

    Reference: Huber 1964, doi:10.1214/aoms/1177703732; Mnih et al. 2015, doi:10.1038/nature14236.
    """
    checks.fits(checks.same_shape(value=value, target=target), delta=delta)
    distance = jnp.abs(value - target)
    near = jnp.minimum(distance, delta)
    return 0.5 * jnp.square(near) + delta * (distance - near)


def expectile_loss(value: Array, target: Array, tau: Scalar) -> Array:
    """Expectile regression: too low costs τ, too high 1 − τ (τ → 1 tends to the maximum).

        |τ − 1[u < 0]| u²,  u = G − v

    Reference: Kostrikov et al. 2021, arXiv:2110.06169, eq. 5 (IQL).
    """
    checks.fits(checks.same_shape(value=value, target=target), tau=tau)
    error = target - value
    return jnp.where(error < 0, 1 - tau, tau) * jnp.square(error)


def clipped_value_loss(value: Array, old_value: Array, target: Array, eps: Scalar) -> Array:
    """Squared error that gains nothing from moving further than ε from the old value.

        ½ max((v − G)², (v_old + clip(v − v_old, −ε, ε) − G)²)

    Reference: OpenAI Baselines' PPO2 (in no paper); note 004, section 3.4.2.
    """
    shape = checks.same_shape(value=value, old_value=old_value, target=target)
    checks.fits(shape, eps=eps)
    clipped = old_value + jnp.clip(value - old_value, -eps, eps)
    return jnp.maximum(squared_loss(value, target), squared_loss(clipped, target))


def sequence_priority(error: Array, share: Scalar) -> Array:
    """How much a sequence deserves to be seen again: by its worst step, and by all of them.

        p = η maxₜ |δₜ| + (1 − η) meanₜ |δₜ|

    Args:
      error: δₜ, [T, ...].
      share: η, 0.9 in R2D2.
    Returns: p, [...].
    Reference: Kapturowski et al. 2019 (R2D2), openreview.net/forum?id=r1lyTjAqYX, section 2.3.
    """
    shape = checks.sequence(error=error)
    checks.fits(shape[1:], share=share)
    distance = jnp.abs(widen(error))
    priority = share * distance.max(0) + (1 - share) * distance.mean(0)
    return priority.astype(error.dtype)


def explained_variance(value: Array, target: Array, mask: Array | None = None) -> Array:
    """Share of the target's variance that the value explains: 1 at best, 0 as a constant.

        1 − Var(G − v) / Var(G), and 0 where the target does not vary

    Reference: Achen 1982, doi:10.4135/9781412984560 (R²); the diagnostic of PPO's code.
    """
    shape = checks.same_shape(value=value, target=target)
    mask = checks.optional_flag(shape, mask=mask)
    total = masked_var(target, mask)
    return jnp.where(total > 0, 1 - divide(masked_var(target - value, mask), total), 0.0)
