"""Group statistics: advantages of responses (or episodes) relative to others of the same start.

A reward is [..., G] with the group on the last axis; or flat, [N], with `group` naming each entry's
group and `num_groups` their static number, for groups of different sizes (an id outside of
0 ... num_groups − 1 belongs to no group and gets 0). A group of one, and a group of equals, gets
zeros with finite gradients.
"""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxrl import checks
from jaxrl.formulas.advantages import whiten
from jaxrl.formulas.returns import discounted_return
from jaxrl.formulas.weightings import baselined_return
from jaxrl.numerics import divide, inverse_deviation, widen
from jaxrl.types import Array, Scalar

_Map = Callable[[Array], Array]


class _Groups(NamedTuple):
    """Rewards, and the ways from members to groups (total, largest) and back (spread)."""

    reward: Array
    member: Array | bool  # whether an entry belongs to any group
    count: Array
    mean: Array  # that of equal rewards is exactly one of them
    centred: Array  # reward − mean, at the members
    total: _Map
    largest: _Map
    spread: _Map


def group_relative(
    reward: Array,
    group: Array | None = None,
    num_groups: int | None = None,
    *,
    ddof: int,
    eps: Scalar = 1e-6,
) -> Array:
    """Group-relative advantage (GRPO).

        Âᵢ = (Rᵢ − mean R) / (std R + ε)

    Args:
      ddof: 0 divides by G (the first note, the DCPO paper), 1 by G − 1 (most implementations); for
        R = (1, 0, 0, 0) the first entry becomes 1.732 or 1.5.
    Returns: the shape of `reward`.
    Reference: Shao et al. 2024, arXiv:2402.03300, section 4.1.2.
    >>> group_relative(jnp.array([1.0, 0.0, 2.0]), ddof=1, eps=0.0)
    Array([ 0., -1.,  1.], dtype=float32)
    """
    groups = _groups(reward, group, num_groups)
    checks.at_least(0, ddof=ddof)
    checks.fits((), eps=eps)
    squares = groups.total(jnp.square(groups.centred))
    variance = divide(squares, jnp.maximum(groups.count - ddof, 0.0))
    scaled = groups.centred * groups.spread(inverse_deviation(variance, eps))
    return jnp.where(groups.member, scaled, 0.0)


def group_centred(
    reward: Array, group: Array | None = None, num_groups: int | None = None
) -> Array:
    """Group-relative advantage without the division (Dr. GRPO): no bias by difficulty.

        Âᵢ = Rᵢ − mean R

    Reference: Liu et al. 2025, arXiv:2503.20783, section 3.2.
    >>> group_centred(jnp.array([1.0, 0.0, 2.0]))
    Array([ 0., -1.,  1.], dtype=float32)
    """
    groups = _groups(reward, group, num_groups)
    return jnp.where(groups.member, groups.centred, 0.0)


def leave_one_out(
    reward: Array, group: Array | None = None, num_groups: int | None = None
) -> Array:
    """Leave-one-out advantage (RLOO): the baseline is the mean of the others.

        Âᵢ = Rᵢ − 1/(G − 1) Σ_{j≠i} Rⱼ = G/(G − 1) (Rᵢ − mean R)

    Reference: Kool et al. 2019; Ahmadian et al. 2024, arXiv:2402.14740, section 2.3; note 001.
    >>> leave_one_out(jnp.array([1.0, 2.0, 3.0]))
    Array([-1.5,  0. ,  1.5], dtype=float32)
    """
    groups = _groups(reward, group, num_groups)
    return jnp.where(groups.member, _beyond_others(groups), 0.0)


def leave_one_out_relative(
    reward: Array,
    group: Array | None = None,
    num_groups: int | None = None,
    *,
    eps: Scalar = 1e-6,
) -> Array:
    """Leave-one-out advantage in units of the others' deviation.

        Âᵢ = (Rᵢ − mean_{j≠i} R) / (std_{j≠i} R + ε), undivided where the others are all equal

    The deviation is the sample's (ddof 1).
    Reference: Kool et al. 2019; the estimator of NVIDIA NeMo-RL's GRPO.
    """
    groups = _groups(reward, group, num_groups)
    checks.fits((), eps=eps)
    beyond = _beyond_others(groups)
    others = groups.spread(jnp.maximum(groups.count - 2, 0.0))
    variance = divide(_squares_of_others(groups), others)
    scaled = jnp.where(variance > 0, beyond * inverse_deviation(variance, eps), beyond)
    return jnp.where(groups.member, scaled, 0.0)


def reinforce_plus_plus(reward: Array, mask: Array, *, ddof: int = 0, eps: Scalar = 1e-8) -> Array:
    """REINFORCE++: returns to go, whitened over all tokens of the whole batch.

        Gₜ = Σ_{k≥t} rₖ,  Â = (G − μ) / (σ + ε) over all valid tokens

    Its variant with a group baseline is `whiten(group_centred(reward))`.

    Args:
      reward: token rewards, [T, ...], as `kl_reward` makes them.
      mask: 1 at response tokens, [T, ...].
    Returns: Â, [T, ...], 0 at masked positions.
    Reference: Hu et al. 2025, arXiv:2501.03262.
    """
    mask = checks.flag(checks.sequence(reward=reward), mask=mask)
    returns = discounted_return(jnp.where(mask, reward, 0.0), 1.0)
    return whiten(returns, mask, ddof=ddof, eps=eps)


def greedy_advantage(reward: Array, greedy_reward: Array) -> Array:
    """ReMax: the baseline is the reward of the greedy response to the same prompt.

        Âᵢ = Rᵢ − R(greedy)

    Args:
      reward: [..., G].
      greedy_reward: [..., 1], one for each prompt.
    Reference: Li et al. 2023, arXiv:2310.10505.
    """
    checks.fits(checks.sequence(reward=reward), greedy_reward=greedy_reward)
    return baselined_return(reward, greedy_reward)


def length_weighted_advantage(reward: Array, length: Array) -> Array:
    """OPO: the baseline of least variance if a response's score grows with its length.

        Âᵢ = Rᵢ − Σⱼ lⱼ Rⱼ / Σⱼ lⱼ

    Args:
      reward: [..., G].
      length: lᵢ, number of tokens, [..., G].
    Reference: Hao et al. 2025, arXiv:2505.23585.
    """
    checks.sequence(reward=reward)
    checks.numeric(length=length)
    weight = jnp.asarray(length, widen(reward).dtype)
    checks.same_shape(reward=reward, length=weight)
    distance = widen(reward - reward[..., :1])  # the baseline moves with a shift of all rewards
    total = (weight * distance).sum(-1, keepdims=True)
    return distance - divide(total, weight.sum(-1, keepdims=True))


class SmoothedState(NamedTuple):
    """What DCPO remembers of each prompt: visits, and all rewards' mean and variance; each [N]."""

    count: Array
    mean: Array
    variance: Array


def smoothed_state(num_prompts: int) -> SmoothedState:
    """The state of `smoothed_advantage` before any visit.

        i = 0, μ = 0, σ² = 0

    Reference: Yang et al. 2025, arXiv:2509.02333, appendix A.7.
    """
    checks.at_least(1, num_prompts=num_prompts)
    zero = jnp.zeros(num_prompts, jnp.float32)
    return SmoothedState(zero, zero, zero)


def smoothed_advantage(
    state: SmoothedState, prompt: Array, reward: Array
) -> tuple[Array, SmoothedState]:
    """DCPO's smoothed advantage: this visit's statistics and those of all visits, mixed by age.

        μ_tot = (μ_new + (i−1) μ_old) / i
        σ²_tot = (σ²_new + (i−1) σ²_old + (i−1)/i (μ_old − μ_new)²) / i
        Â_x = (R − μ_x) / σ_x, and 0 where σ_x = 0
        Â = the nearer to 0 of (i−1)/i Â_new + 1/i Â_tot and 1/i Â_new + (i−1)/i Â_tot

    Args:
      prompt: row of `state`, integers [P], no row twice.
      reward: [P, G].
    Returns: Â, [P, G], and the state with these rewards in it; i counts this visit.
    Reference: Yang et al. 2025, arXiv:2509.02333, eq. 5-7 and appendix A.7.
    """
    groups = _groups(reward, None, None)
    checks.integer(reward.shape[:-1], prompt=prompt)
    num_seen, old_mean, old_variance = (x[prompt][..., None] for x in state)
    visits = num_seen + 1
    new_variance = groups.total(jnp.square(groups.centred)) / groups.count
    mean = old_mean + (groups.mean - old_mean) / visits
    apart = jnp.square(old_mean - groups.mean) * num_seen / visits
    variance = (new_variance + num_seen * old_variance + apart) / visits
    new = groups.centred * inverse_deviation(new_variance, 0.0)
    total = (groups.reward - mean) * inverse_deviation(variance, 0.0)
    young = (num_seen * new + total) / visits
    old = (new + num_seen * total) / visits
    updates = zip(state, (visits, mean, variance), strict=True)
    state = SmoothedState(*(x.at[prompt].set(row[..., 0]) for x, row in updates))
    return jnp.where(jnp.abs(young) < jnp.abs(old), young, old), state


def _groups(reward: Array, group: Array | None, num_groups: int | None) -> _Groups:
    shape = checks.sequence(reward=reward)
    reward = widen(reward)
    if group is None and num_groups is None:
        count = jnp.full((1,) * len(shape), shape[-1], reward.dtype)
        total, largest = (
            partial(jnp.sum, axis=-1, keepdims=True),
            partial(jnp.max, axis=-1, keepdims=True),
        )
        return _over(reward, True, count, total, largest, lambda x: x)
    if group is None or num_groups is None or len(shape) != 1:
        raise ValueError(
            f"group and num_groups belong together, with a flat reward [N], not {shape}: "
            f"num_groups is {num_groups}, group {'missing' if group is None else 'given'}"
        )
    checks.integer(shape, group=group)
    checks.at_least(1, num_groups=num_groups)
    group = jnp.asarray(group, jnp.int32)
    member = (group >= 0) & (group < num_groups)
    ids = jnp.where(member, group, num_groups)  # the last group holds who belongs to none
    total = partial(jax.ops.segment_sum, segment_ids=ids, num_segments=num_groups + 1)
    largest = partial(jax.ops.segment_max, segment_ids=ids, num_segments=num_groups + 1)
    reward, count = jnp.where(member, reward, 0.0), total(jnp.ones_like(reward))
    return _over(reward, member, count, total, largest, lambda x: x[ids])


def _over(
    reward: Array, member: Array | bool, count: Array, total: _Map, largest: _Map, spread: _Map
) -> _Groups:
    """The second pass corrects the mean's rounding: to nothing, where all rewards are equal."""
    mean = divide(total(reward), count)
    mean = mean + divide(total(reward - spread(mean)), count)
    return _Groups(reward, member, count, mean, reward - spread(mean), total, largest, spread)


def _beyond_others(groups: _Groups) -> Array:
    return groups.centred * groups.spread(divide(groups.count, groups.count - 1))


def _squares_of_others(groups: _Groups) -> Array:
    """Σ_{j≠i} (Rⱼ − mean_{j≠i} R)²: all less one's own, which loses a lone extreme's digits."""
    spread, total, x = groups.spread, groups.total, groups.reward
    squares = total(jnp.square(groups.centred))
    high, low = spread(groups.largest(x)), -spread(groups.largest(-x))

    def lone(extreme: Array) -> Array:
        return (x == extreme) & spread(total((x == extreme).astype(x.dtype)) == 1)

    def without(extreme: Array, opposite: Array) -> Array:
        rest = (x != extreme).astype(x.dtype)
        distance = rest * (x - opposite)
        first, second = total(distance), total(jnp.square(distance))
        return spread(second - divide(jnp.square(first), total(rest)))

    others = spread(squares) - groups.centred * _beyond_others(groups)
    others = jnp.where(lone(high), without(high, low), others)
    return jnp.maximum(jnp.where(lone(low) & ~lone(high), without(low, high), others), 0.0)
