"""Families of action distributions: pure functions of parameters [..., size] and of given noise.

A raw action is what was sampled, and what log-probabilities are of; `act` makes of it what the
environment takes. Raw actions of a box are flat, [..., D], whatever the shape of the box.
"""

import math
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jax.scipy.special import betaln, digamma

from jaxrl import checks
from jaxrl.formulas.divergences import (
    categorical_entropy,
    categorical_kl,
    gaussian_entropy,
    gaussian_kl,
)
from jaxrl.formulas.log_probs import log_prob_and_entropy, selected_log_prob
from jaxrl.formulas.selection import greedy
from jaxrl.types import Array, Box, Discrete, MultiDiscrete, PyTree, Space

LOG_STD_RANGE = (-20.0, 10.0)
"""No policy that learns gets here; beyond ±44 the variance of one that diverges leaves float32."""

SQUASHED_LOG_STD_RANGE = (-5.0, 2.0)
"""Beyond, the tanh of a sample is nearly always the tanh of the mean, or one of the bounds."""

UNIT_MARGIN = 1e-6
"""How far the samples of a Beta stay away from 0 and 1, where a log-probability is infinite."""


class Distribution(NamedTuple):
    """A family of action distributions; the parameters are one float array, [..., size].

    What does not depend on the noise ignores it: the entropy that is known in closed form.
    """

    size: int
    noise: Callable[[Array, tuple[int, ...]], PyTree]  # key, shape -> all that sampling consumes
    sample: Callable[[Array, PyTree], Array]  # params, noise -> raw action; nothing else is random
    mode: Callable[[Array], Array]  # params -> raw action: what acting greedily does
    log_prob: Callable[[Array, Array], Array]  # params, raw action -> [...]
    entropy: Callable[[Array, PyTree], Array]  # params, noise -> [...]: exact, or of one sample
    kl: Callable[[Array, Array], Array]  # params, other params -> KL(params ‖ other), [...]
    act: Callable[[Array], Array]  # raw action -> what the environment takes
    joint: Callable[[Array, Array], tuple[Array, Array]] | None = None  # params, raw action ->
    # log-probability and entropy, where both at once cost less


def categorical(num_actions: int) -> Distribution:
    """One of `num_actions` actions; the parameters are logits."""
    checks.at_least(1, num_actions=num_actions)
    return Distribution(
        size=num_actions,
        noise=lambda key, shape: jax.random.gumbel(key, (*shape, num_actions), jnp.float32),
        sample=_gumbel_max,
        mode=greedy,
        log_prob=selected_log_prob,
        entropy=lambda params, noise: categorical_entropy(params),
        kl=categorical_kl,
        act=_unchanged,
        joint=log_prob_and_entropy,
    )


def multi_categorical(num_values: tuple[int, ...]) -> Distribution:
    """Independent choices, [..., K]; the parameters are the logits of one after the other."""
    named = {f"num_values[{i}]": n for i, n in enumerate(num_values)}
    checks.at_least(1, num_choices=len(num_values), **named)
    ends = np.cumsum(num_values)

    def parts(x: Array) -> list[Array]:
        return jnp.split(_sized(x, int(ends[-1])), ends[:-1], -1)

    def each(rule: Callable[..., Array], params: Array, *others: list[Array]) -> Array:
        return jnp.stack([rule(*x) for x in zip(parts(params), *others, strict=True)], -1)

    def log_prob(params: Array, action: Array) -> Array:
        return each(selected_log_prob, params, list(jnp.moveaxis(action, -1, 0))).sum(-1)

    return categorical(int(ends[-1]))._replace(
        sample=lambda params, noise: each(_gumbel_max, params, parts(noise)),
        mode=partial(each, greedy),
        log_prob=log_prob,
        entropy=lambda params, noise: each(categorical_entropy, params).sum(-1),
        kl=lambda params, other: each(categorical_kl, params, parts(other)).sum(-1),
        joint=None,
    )


def gaussian(box: Box) -> Distribution:
    """A diagonal Gaussian; the parameters are the means and then log σ, and acting clips."""
    return _normal(box, LOG_STD_RANGE)


def squashed_gaussian(box: Box) -> Distribution:
    """A Gaussian's sample u acts as centre + half width · tanh u; the parameters are u's.

    The density is that of the action in the box; the entropy is of one sample, from the noise.
    """
    low, high = _finite_bounds(box)
    centre, half = 0.5 * (low + high), 0.5 * (high - low)
    base = _normal(box, SQUASHED_LOG_STD_RANGE)

    def log_prob(params: Array, action: Array) -> Array:
        stretch = _log_tanh_slope(action) + _wide(jnp.log(half), action)
        return base.log_prob(params, action) - stretch.sum(-1)

    return base._replace(
        log_prob=log_prob,
        entropy=lambda params, noise: -log_prob(params, base.sample(params, noise)),
        act=lambda u: base.act(_wide(centre, u) + _wide(half, u) * jnp.tanh(u)),
    )


def beta(box: Box) -> Distribution:
    """Independent Betas between the bounds; α and β are 1 + softplus of the two parameter halves.

    The raw action is in (0, 1), the density that of the action in the box.
    """
    low, high = _finite_bounds(box)
    width, into = high - low, _into(box)

    def split(params: Array) -> tuple[Array, Array]:
        alpha, beta = jnp.split(1 + jax.nn.softplus(_sized(params, 2 * len(low))), 2, -1)
        return alpha, beta

    def stretch(params: Array) -> Array:
        return _wide(jnp.log(width), split(params)[0]).sum(-1)

    return Distribution(
        size=2 * len(low),
        noise=lambda key, shape: jax.random.split(key, shape),
        sample=lambda params, noise: _beta_sample(*split(params), noise),
        mode=lambda params: _beta_mode(*split(params)),
        log_prob=lambda params, x: _beta_log_prob(*split(params), x) - stretch(params),
        entropy=lambda params, noise: _beta_entropy(*split(params)) + stretch(params),
        kl=lambda params, other: _beta_kl(*split(params), *split(other)),
        act=lambda x: into(_wide(low, x) + _wide(width, x) * x),
    )


def masked(params: Array, action_mask: Array | None) -> Array:
    """Logits, so low at illegal actions that those have no probability; None masks nothing.

    They stay finite, so that entropies, divergences and all gradients do.
    """
    if action_mask is None:
        return params
    mask = checks.flag(checks.sequence(params=params), action_mask=action_mask)
    return jnp.where(mask, params, 0.5 * float(jnp.finfo(params.dtype).min))


FAMILIES: dict[str, tuple[type, Callable[..., Distribution]]] = {
    "categorical": (Discrete, lambda space: categorical(space.num_values)),
    "multi_categorical": (MultiDiscrete, lambda space: multi_categorical(space.num_values)),
    "gaussian": (Box, gaussian),
    "squashed_gaussian": (Box, squashed_gaussian),
    "beta": (Box, beta),
}
"""Name -> the action space it fits, and the constructor; a space's first family is its default."""


def distribution(space: Space, name: str | None = None) -> Distribution:
    """The family of a name for an action space, by default the space's own."""
    fitting = {n: make for n, (kind, make) in FAMILIES.items() if isinstance(space, kind)}
    if not fitting:
        raise TypeError(f"space must be a Box, Discrete or MultiDiscrete, not {space!r}")
    if name is not None and name not in fitting:
        allowed = ", ".join(fitting)
        raise ValueError(f"name must be one of {allowed} for {space!r}, not {name!r}")
    return fitting[name or next(iter(fitting))](space)


def _unchanged(action: Array) -> Array:
    return action


def _gumbel_max(logits: Array, noise: Array) -> Array:
    return jnp.argmax(logits + noise.astype(logits.dtype), -1).astype(jnp.int32)


def _sized(params: Array, size: int) -> Array:
    if params.shape[-1:] != (size,):
        raise ValueError(f"params must have the shape (..., {size}), not {params.shape}")
    return params


def _wide(bound: Array, x: Array) -> Array:
    """A number for each dimension, at all leading axes of `x`."""
    return jnp.broadcast_to(bound.astype(x.dtype), x.shape)


def _bounds(box: Box) -> tuple[Array, Array]:
    """Low and high, each [D]; either may be traced."""
    if not jnp.issubdtype(box.dtype, jnp.floating):
        raise TypeError(f"box must be of floats for a density over it, not of {box.dtype}")
    low, high = (
        jnp.broadcast_to(jnp.asarray(x, jnp.float32), box.shape).ravel()
        for x in (box.low, box.high)
    )
    return low, high


def _finite_bounds(box: Box) -> tuple[Array, Array]:
    if not any(isinstance(x, Tracer) for x in (box.low, box.high)):
        with np.errstate(invalid="ignore"):
            width = np.asarray(box.high, np.float64) - np.asarray(box.low, np.float64)
        if not np.all((width > 0) & (width < float(jnp.finfo(jnp.float32).max))):
            raise ValueError(f"box must have finite bounds with low < high to be filled, not {box}")
    return _bounds(box)


def _into(box: Box) -> Callable[[Array], Array]:
    """Clips actions [..., D] to the bounds, and gives them the box's own shape."""
    bounds = _bounds(box)

    def act(action: Array) -> Array:
        low, high = (_wide(bound, action) for bound in bounds)
        return jnp.clip(action, low, high).reshape(*action.shape[:-1], *box.shape)

    return act


def _normal(box: Box, log_std_range: tuple[float, float]) -> Distribution:
    num_dims = math.prod(box.shape)

    def split(params: Array) -> tuple[Array, Array]:
        mean, log_std = jnp.split(_sized(params, 2 * num_dims), 2, -1)
        return mean, jnp.clip(log_std, *log_std_range)

    return Distribution(
        size=2 * num_dims,
        noise=lambda key, shape: jax.random.normal(key, (*shape, num_dims), jnp.float32),
        sample=lambda params, noise: _normal_sample(*split(params), noise),
        mode=lambda params: split(params)[0],
        log_prob=lambda params, action: _normal_log_prob(*split(params), action),
        entropy=lambda params, noise: gaussian_entropy(split(params)[1]),
        kl=lambda params, other: gaussian_kl(*split(params), *split(other)),
        act=_into(box),
    )


def _normal_sample(mean: Array, log_std: Array, noise: Array) -> Array:
    return mean + jnp.exp(log_std) * noise.astype(mean.dtype)


def _normal_log_prob(mean: Array, log_std: Array, action: Array) -> Array:
    """Σᵢ [−½ ((xᵢ − μᵢ) / σᵢ)² − log σᵢ − ½ log 2π]."""
    distance = (action - mean) * jnp.exp(-log_std)
    return jnp.sum(-0.5 * jnp.square(distance) - log_std - 0.5 * math.log(2 * math.pi), -1)


def _log_tanh_slope(u: Array) -> Array:
    """log (1 − tanh² u) = 2 (log 2 − u − log (1 + e⁻²ᵘ)), exact where tanh rounds to ±1."""
    return 2 * (math.log(2) - u - jax.nn.softplus(-2 * u))


def _beta_sample(alpha: Array, beta: Array, key: Array) -> Array:
    """One key for each row of dimensions."""
    rows = [x.reshape(-1, x.shape[-1]) for x in (alpha, beta)]
    x = jax.vmap(lambda *row: jax.random.beta(*row, dtype=alpha.dtype))(key.ravel(), *rows)
    return jnp.clip(x.reshape(alpha.shape), UNIT_MARGIN, 1 - UNIT_MARGIN)


def _beta_mode(alpha: Array, beta: Array) -> Array:
    """(α − 1) / (α + β − 2), and ½ where both are 1."""
    left, right = (x - 1 + UNIT_MARGIN for x in (alpha, beta))
    return jnp.clip(left / (left + right), UNIT_MARGIN, 1 - UNIT_MARGIN)


def _beta_log_prob(alpha: Array, beta: Array, x: Array) -> Array:
    """Σᵢ [(αᵢ − 1) log xᵢ + (βᵢ − 1) log (1 − xᵢ) − log B(αᵢ, βᵢ)]."""
    density = (alpha - 1) * jnp.log(x) + (beta - 1) * jnp.log1p(-x)
    return jnp.sum(density - betaln(alpha, beta), -1)


def _beta_entropy(alpha: Array, beta: Array) -> Array:
    """Σᵢ [log B(α, β) − (α − 1) ψ(α) − (β − 1) ψ(β) + (α + β − 2) ψ(α + β)]."""
    both = digamma(alpha + beta)
    spread = (alpha - 1) * (both - digamma(alpha)) + (beta - 1) * (both - digamma(beta))
    return jnp.sum(betaln(alpha, beta) + spread, -1)


def _beta_kl(alpha: Array, beta: Array, other_alpha: Array, other_beta: Array) -> Array:
    """Σᵢ [log B(α′, β′) / B(α, β) + (α − α′) (ψ(α) − ψ(α + β)) + (β − β′) (ψ(β) − ψ(α + β))]."""
    both = digamma(alpha + beta)
    left = (alpha - other_alpha) * (digamma(alpha) - both)
    right = (beta - other_beta) * (digamma(beta) - both)
    return jnp.sum(betaln(other_alpha, other_beta) - betaln(alpha, beta) + left + right, -1)
