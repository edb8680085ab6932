"""Curiosity: a combinator on learners, which are also paid for what was not foreseen.

    r = rᵉ + η e / σ,  σ² the running variance of the discounted sums of e
    ICM: e = L_F = ½ ‖φ̂(φ(s), a) − φ(s′)‖²,  L = (1 − β) L_I + β L_F
         L_I = −log p(a | φ(s), φ(s′)), or ½ ‖â(φ(s), φ(s′)) − a‖² in a box
    RND: e = L = meanᵢ (f̂(s′) − f(s′))²ᵢ,  f fixed, s′ standardised and within ±5

s′ is what a step reached, before any reset. The networks that reward a rollout are those from
before it; then they learn from it, and its rewards are what the learner is given. Both of ICM's
losses train the features φ, as in equation 7 of its paper. η stands for the whole of its scale: a
raw error has no unit, so that it is divided by σ, as Burda et al. do. There is one critic for both
rewards: curiosity ends with the episode, where the paper of RND adds a second, endless return.

References: Pathak et al. 2017, arXiv:1705.05363 (ICM); Burda et al. 2018, arXiv:1810.12894 (RND)
and arXiv:1808.04355 (normalised rewards).
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxrl.families.deed import deed, summed
from jaxrl.families.minibatch import Passes, Reported, descend
from jaxrl.families.normalise import (
    EPS,
    Moments,
    Tracked,
    joined,
    no_moments,
    no_returns,
    standardised,
    tracked,
)
from jaxrl.families.policy import batch_mean
from jaxrl.families.settings import Setting, torso
from jaxrl.formulas.exploration import icm_forward_loss, icm_inverse_loss, icm_reward, rnd_error
from jaxrl.formulas.reduce import token_count
from jaxrl.formulas.value_losses import squared_distance
from jaxrl.networks import MLP, Network, content, feed_forward
from jaxrl.numerics import select
from jaxrl.optim.optimizer import adam, linear
from jaxrl.types import (
    Array,
    Average,
    Box,
    Learner,
    LearnerState,
    Metrics,
    PyTree,
    Rollout,
    Space,
    Spaces,
)

BOUND = 5.0
"""RND's networks see no observation that is further from the mean than this many deviations."""


class Seen(NamedTuple):
    """What curiosity sees of steps, [T, N, ...] or a minibatch [B, ...]."""

    obs: PyTree
    action: Array
    next_obs: PyTree
    mask: Array | None


class Curiosity(NamedTuple):
    """What does not foresee, and learns to."""

    init: Callable[[Array, PyTree], tuple[PyTree, PyTree]]  # key, obs [N, ...] -> params, and
    # parameters that stay as they are
    error: Callable[[PyTree, PyTree, Seen], Array]  # params, fixed ones, steps -> e
    reported: Callable[[PyTree], Reported]  # fixed parameters -> the loss
    standardises: bool  # whether it sees what was reached in deviations from the mean


class Curious(NamedTuple):
    """The slots of a curious learner around those of the learner itself."""

    slots: PyTree
    params: PyTree
    opt_state: PyTree
    fixed: PyTree
    obs: Moments | None
    returns: Tracked  # of errors


class ICM(NamedTuple):
    """Parameters of the three networks of ICM."""

    encoder: PyTree
    forward: PyTree
    inverse: PyTree


def curious(config: Any, setting: Setting, learner: Learner) -> Learner:
    """The learner with the curiosity that its configuration asks for."""
    if config.curiosity is None:
        return learner
    make = {"icm": icm, "rnd": rnd}[config.curiosity]
    curiosity: Curiosity = make(config, setting.spaces)
    passes = Passes(config.curiosity_epochs, config.curiosity_minibatches)
    optimizer = adam(linear(config.curiosity_lr, 1, False), config.max_grad_norm, 1e-8)

    def inner(state: LearnerState) -> LearnerState:
        return state._replace(slots=state.slots.slots)

    def init(key: Array, obs: PyTree) -> LearnerState:
        k_learner, k_own = jax.random.split(key)
        state = learner.init(k_learner, obs)
        params, fixed = curiosity.init(k_own, content(obs))
        first = jax.tree.map(lambda x: x[0], content(obs))
        moments = no_moments(first) if curiosity.standardises else None
        own = (params, optimizer.init(params), fixed, moments, no_returns(obs))
        return state._replace(slots=Curious(state.slots, *own))

    def act(state: LearnerState, obs: PyTree, noise: PyTree, carry: PyTree) -> Any:
        return learner.act(inner(state), obs, noise, carry)

    def update(key: Array, state: LearnerState, rollout: Rollout) -> tuple[LearnerState, Metrics]:
        k_learner, k_own = jax.random.split(key)
        kept, steps = looked_at(state.slots, rollout)
        reward, kept = rewarded(config, curiosity, kept, steps, rollout)
        start = kept.params, kept.opt_state, state.num_updates
        flat = jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), steps)
        loss = curiosity.reported(kept.fixed)
        (params, opt_state), learnt = descend(k_own, loss, optimizer, start, flat, passes)
        paid = rollout.transition._replace(reward=rollout.transition.reward + reward)
        state, metrics = learner.update(k_learner, inner(state), rollout._replace(transition=paid))
        metrics |= {name: learnt[name] for name in loss.names}
        metrics |= {"intrinsic_reward": _average(reward, rollout.mask)}
        kept = kept._replace(slots=state.slots, params=params, opt_state=opt_state)
        return state._replace(slots=kept), metrics

    return learner._replace(init=init, act=act, update=update)


def looked_at(kept: Curious, rollout: Rollout) -> tuple[Curious, Seen]:
    """What curiosity sees of a rollout, by moments that this rollout is already part of.

    The first rollout would otherwise be seen on no scale at all. What stands outside of a
    trajectory is 0, so that it can spoil nothing.
    """
    steps, mask = rollout.transition, rollout.mask
    seen = Seen(content(steps.obs), steps.action, content(steps.next_obs), mask)
    if mask is not None:
        seen = select(mask, seen, jax.tree.map(jnp.zeros_like, seen))
    if kept.obs is None:
        return kept, seen
    moments = joined(kept.obs, seen.next_obs, mask)
    next_obs = standardised(moments, seen.next_obs, BOUND)
    return kept._replace(obs=moments), seen._replace(next_obs=next_obs)


def rewarded(
    config: Any, curiosity: Curiosity, kept: Curious, steps: Seen, rollout: Rollout
) -> tuple[Array, Curious]:
    """The reward η e / σ of each step, [T, N], 0 outside of a trajectory; σ knows these errors."""
    error = curiosity.error(kept.params, kept.fixed, steps)
    if steps.mask is not None:
        error = jnp.where(steps.mask, error, 0.0)
    returns = tracked(config.gamma, kept.returns, error, rollout)
    reward = config.curiosity_coef * error / jnp.sqrt(returns.moments.var + EPS)
    return reward, kept._replace(returns=returns)


def icm(config: Any, spaces: Spaces) -> Curiosity:
    """The intrinsic curiosity module: the error of a forward model of features."""
    size, act, lost = config.feature_size, deed(spaces.action), guessed(spaces.action)
    seeing = torso(config, spaces.observation, config.hidden_sizes, final_size=size)
    encoder, forward = feed_forward(seeing), _head(config, size)
    inverse = _head(config, act.width)

    def init(key: Array, obs: PyTree) -> tuple[ICM, PyTree]:
        k_encoder, k_forward, k_inverse = jax.random.split(key, 3)
        before, after = jnp.zeros((1, size + act.width)), jnp.zeros((1, 2 * size))
        params = ICM(
            encoder.init(k_encoder, obs),
            forward.init(k_forward, before),
            inverse.init(k_inverse, after),
        )
        return params, ()

    def foreseen(params: ICM, steps: Seen) -> tuple[Array, Array, Array]:
        """φ(s), φ(s′) and what the forward model took the latter for."""
        feature, reached = (_said(encoder, params.encoder, x) for x in (steps.obs, steps.next_obs))
        known = jnp.concatenate([feature, act.shown(steps.action)], -1)
        return feature, reached, _said(forward, params.forward, known)

    def error(params: ICM, fixed: PyTree, steps: Seen) -> Array:
        _, reached, prediction = foreseen(params, steps)
        return icm_reward(prediction, reached, 1.0)  # η comes with the deviation: see `rewarded`

    def loss(params: ICM, steps: Seen) -> tuple[Array, Array]:
        feature, reached, prediction = foreseen(params, steps)
        guess = _said(inverse, params.inverse, jnp.concatenate([feature, reached], -1))
        rows = lost(guess, steps.action), icm_forward_loss(prediction, reached)
        means = batch_mean(jnp.stack(rows), steps.mask)
        beta = config.forward_share
        return (1 - beta) * means[0] + beta * means[1], means

    reported = Reported(("inverse_loss", "forward_loss"), loss)
    return Curiosity(init, error, lambda fixed: reported, standardises=False)


def rnd(config: Any, spaces: Spaces) -> Curiosity:
    """Random network distillation: the error of a network that imitates a fixed one.

    The imitator has one hidden layer more, so that it could be right.
    """
    sizes, last = config.hidden_sizes, {"final_size": config.feature_size}
    target = feed_forward(torso(config, spaces.observation, sizes, **last))
    imitator = feed_forward(torso(config, spaces.observation, (*sizes, *sizes[-1:]), **last))

    def init(key: Array, obs: PyTree) -> tuple[PyTree, PyTree]:
        k_imitator, k_target = jax.random.split(key)
        return imitator.init(k_imitator, obs), target.init(k_target, obs)

    def error(params: PyTree, fixed: PyTree, steps: Seen) -> Array:
        feature = _said(target, fixed, steps.next_obs)
        return rnd_error(_said(imitator, params, steps.next_obs), feature)

    def reported(fixed: PyTree) -> Reported:
        def loss(params: PyTree, steps: Seen) -> tuple[Array, Array]:
            means = batch_mean(error(params, fixed, steps)[None], steps.mask)
            return means[0], means

        return Reported(("forward_loss",), loss)

    return Curiosity(init, error, reported, standardises=True)


def guessed(space: Space) -> Callable[[Array, Array], Array]:
    """What is lost on a guess of an action, [..., width]."""
    if isinstance(space, Box):
        shown = deed(space).shown
        return lambda guess, action: squared_distance(guess, shown(action))
    return summed(space, icm_inverse_loss)


def _head(config: Any, size: int) -> Network:
    """Dense layers over features."""
    made = {"activation": config.activation, "layer_norm": config.layer_norm}
    return feed_forward(MLP(config.hidden_sizes, final_size=size, **made))


def _said(network: Network, params: PyTree, x: PyTree) -> Array:
    return network.step(params, x, ())[0]


def _average(x: Array, mask: Array | None) -> Average:
    """The mean of what counts; all else is 0."""
    count = jnp.float32(x.size) if mask is None else token_count(mask)
    return Average(x.sum(), count)
