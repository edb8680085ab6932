"""Normalisation of observations and rewards: a combinator on learners, which see the batch.

The statistics are part of the learner's state. Those that an update learns with are those that its
actions were taken with; the update ends by renewing them. Evaluation leaves them alone.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxrl.formulas.recurrence import recurrence
from jaxrl.networks import content
from jaxrl.numerics import floats, previous_step
from jaxrl.shares import sum_of_shares
from jaxrl.types import Array, Learner, LearnerState, MaskedObs, Metrics, PyTree, Rollout, Scalar

EPS = 1e-8
BOUND = 10.0
"""No normalised number is further from 0 than this many deviations."""


class Moments(NamedTuple):
    """Count, mean and mean square deviation of what was seen, per entry."""

    count: Array
    mean: PyTree
    var: PyTree


class Tracked(NamedTuple):
    """Discounted sums of rewards, and the moments of all such sums."""

    moments: Moments
    running: Array  # the sum so far of each environment, [N]
    over: Array  # whether its episode ended with the last step, [N]


class Normalised(NamedTuple):
    """The slots of a normalised learner around those of the learner itself."""

    slots: PyTree
    obs: Moments | None
    returns: Tracked | None


def normalised(config: Any, learner: Learner) -> Learner:
    """The learner behind the normalisations that its configuration asks for."""
    if not (config.normalise_obs or config.normalise_reward):
        return learner

    def inner(state: LearnerState) -> LearnerState:
        return state._replace(slots=state.slots.slots)

    def seen(kept: Normalised, obs: PyTree) -> PyTree:
        return obs if kept.obs is None else with_content(obs, standardised(kept.obs, content(obs)))

    def init(key: Array, obs: PyTree) -> LearnerState:
        state = learner.init(key, obs)
        first = jax.tree.map(lambda x: x[0], content(obs))
        moments = no_moments(first) if config.normalise_obs else None
        returns = no_returns(obs) if config.normalise_reward else None
        return state._replace(slots=Normalised(state.slots, moments, returns))

    def act(state: LearnerState, obs: PyTree, noise: PyTree, carry: PyTree) -> Any:
        return learner.act(inner(state), seen(state.slots, obs), noise, carry)

    def update(key: Array, state: LearnerState, rollout: Rollout) -> tuple[LearnerState, Metrics]:
        kept, steps = state.slots, rollout.transition
        reward, renewed = steps.reward, kept
        if kept.returns is not None:
            returns = tracked(config.gamma, kept.returns, steps.reward, rollout)
            reward = jnp.clip(reward / jnp.sqrt(kept.returns.moments.var + EPS), -BOUND, BOUND)
            renewed = renewed._replace(returns=returns)
        if kept.obs is not None:
            renewed = renewed._replace(obs=joined(kept.obs, content(steps.obs), rollout.mask))
        steps = steps._replace(
            obs=seen(kept, steps.obs), next_obs=seen(kept, steps.next_obs), reward=reward
        )
        rollout = rollout._replace(transition=steps, last_obs=seen(kept, rollout.last_obs))
        state, metrics = learner.update(key, inner(state), rollout)
        return state._replace(slots=renewed._replace(slots=state.slots)), metrics

    return learner._replace(init=init, act=act, update=update)


def with_content(obs: PyTree, new: PyTree) -> PyTree:
    """The observation with other content, and the same action mask."""
    return obs._replace(obs=new) if isinstance(obs, MaskedObs) else new


def no_moments(like: PyTree) -> Moments:
    """Mean 0 and variance 1, which weigh next to nothing."""
    return Moments(
        jnp.float32(1e-4),
        jax.tree.map(lambda x: jnp.zeros(x.shape, jnp.float32), like),
        jax.tree.map(lambda x: jnp.ones(x.shape, jnp.float32), like),
    )


def standardised(moments: Moments, x: PyTree, bound: float = BOUND) -> PyTree:
    """(x − mean) / deviation, leaf by leaf, within bounds."""

    def one(x: Array, mean: Array, var: Array) -> Array:
        mean, var = (jnp.broadcast_to(m, x.shape) for m in (mean, var))
        return jnp.clip((floats(x) - mean) / jnp.sqrt(var + EPS), -bound, bound)

    return jax.tree.map(one, x, moments.mean, moments.var)


def joined(moments: Moments, x: PyTree, mask: Array | None = None) -> Moments:
    """Moments of what was seen before and of x, [T, N, ...], together.

    Reference: Chan, Golub & LeVeque 1979 (the parallel update of a variance).
    """
    shape = jax.tree.leaves(x)[0].shape[:2]
    weight = jnp.ones(shape, jnp.float32) if mask is None else mask.astype(jnp.float32)
    new = sum_of_shares(weight.sum())
    total = moments.count + new

    def one(x: Array, mean: Array, var: Array) -> tuple[Array, Array]:
        x = jnp.asarray(x, jnp.float32)
        w = weight.reshape(shape + (1,) * (x.ndim - 2))
        batch_mean = sum_of_shares((w * x).sum((0, 1))) / new
        centred = x - jnp.broadcast_to(batch_mean, x.shape)
        batch_var = sum_of_shares((w * jnp.square(centred)).sum((0, 1))) / new
        delta = batch_mean - mean
        spread = moments.count * var + new * batch_var
        spread += jnp.square(delta) * moments.count * new / total
        return mean + delta * new / total, spread / total

    pairs = jax.tree.map(one, x, moments.mean, moments.var)
    mean, var = (jax.tree.map(lambda _, p, i=i: p[i], x, pairs) for i in range(2))
    return Moments(total, mean, var)


def no_returns(obs: PyTree) -> Tracked:
    """No sum so far, in as many environments as there are observations."""
    zeros = jnp.zeros(len(jax.tree.leaves(obs)[0]), jnp.float32)
    return Tracked(no_moments(jnp.float32(0)), zeros, zeros.astype(bool))


def tracked(gamma: Scalar, kept: Tracked, reward: Array, rollout: Rollout) -> Tracked:
    """Moments of the discounted return so far: Gₜ = rₜ + γ (1 − dₜ₋₁) Gₜ₋₁.

    The done of the step before is what starts the sum anew: the last reward of an episode belongs
    to that episode.

    Args:
      reward: rₜ of the rollout's steps, [T, N].
    """
    done = rollout.transition.done
    fresh = previous_step(done, kept.over)

    def one(reward: Array, fresh: Array) -> tuple[Array, Array]:
        return reward, gamma * (1 - fresh)

    backwards = jax.tree.map(lambda x: x[::-1], (reward, fresh.astype(jnp.float32)))
    running = recurrence(one, backwards, kept.running)[::-1]
    moments = joined(kept.moments, running, rollout.mask)
    over = done[-1] | (rollout.mask is not None)  # whole trajectories: all start anew
    return Tracked(moments, running[-1], over)
