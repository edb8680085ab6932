"""Adversarial imitation: a combinator on learners that pays for what an expert might have done.

    GAIL  x = f(s, a)
    AIRL  x = g(s, a) + γ (1 − terminated) h(s′) − h(s) − log π(a | s)

A discriminator σ(x) learns to tell the expert's steps from the policy's, and what it then says of
the policy's is the reward that the learner learns from; that of the environment is not looked at.
For AIRL g is the reward that explains the expert, up to shaping by the potential h. GAIL's reward
is never negative, so that long episodes pay; where short ones are good, `saturating` is for that.
Reference: Ho & Ermon 2016, arXiv:1606.03476, algorithm 1; Fu et al. 2018, arXiv:1710.11248,
algorithm 1 (whose g may also see the state alone).
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxrl.config import replace
from jaxrl.families import settings
from jaxrl.families.bootstrap import discounts
from jaxrl.families.deed import deed
from jaxrl.families.minibatch import Passes, Reported, descend
from jaxrl.families.normalise import Moments, joined, no_moments, standardised
from jaxrl.families.policy import batch_mean
from jaxrl.families.settings import Setting
from jaxrl.formulas.imitation import airl_reward, discriminator_loss, gail_reward, saturating_reward
from jaxrl.formulas.reduce import masked_mean
from jaxrl.formulas.shaping import potential_shaping
from jaxrl.networks import Network, content, distribution
from jaxrl.optim.optimizer import adam, linear
from jaxrl.shares import mean_of_shares
from jaxrl.types import (
    Array,
    Box,
    Learner,
    LearnerState,
    Metrics,
    PyTree,
    Rollout,
    Transition,
    once,
)

NAMES = ("discriminator_loss", "discriminator_accuracy")


class Imitating(NamedTuple):
    """The slots of a learner that imitates, around those of the learner itself."""

    slots: PyTree
    params: PyTree
    opt_state: PyTree


class Steps(NamedTuple):
    """What a discriminator sees of steps, [B, ...]."""

    obs: PyTree  # on the scale of the expert's, as what was reached is
    action: Array  # as numbers, [B, D]
    next_obs: PyTree
    discount: Array
    log_prob: Array  # of the action under the policy; 0 where nobody asks for it


class Told(NamedTuple):
    """Steps of which it is known who took them; what is masked counts nothing."""

    steps: Steps
    expert: Array
    mask: Array


class Judge(NamedTuple):
    """A discriminator, and what its word is worth."""

    init: Callable[[Array, PyTree], PyTree]  # key, obs [N, ...] -> params
    logit: Callable[[PyTree, Steps], Array]  # params, steps -> x, [B]
    reward: Callable[[Array], Array]  # x -> r


def imitating(config: Any, setting: Setting, learner: Learner) -> Learner:
    """The learner behind the reward by which its configuration has it imitate, if it does."""
    if getattr(config, "imitates", None) is None:
        return learner
    judge, see = _judge(config, setting), _sight(config, setting, learner)
    rate = linear(config.discriminator_lr, 1, anneal=False)
    optimizer, passes = adam(rate, config.max_grad_norm, 1e-5), Passes(config.discriminator_epochs)

    def inner(state: LearnerState) -> LearnerState:
        return state._replace(slots=state.slots.slots)

    def init(key: Array, obs: PyTree) -> LearnerState:
        k_learner, k_judge = jax.random.split(key)
        state, params = learner.init(k_learner, obs), judge.init(k_judge, obs)
        return state._replace(slots=Imitating(state.slots, params, optimizer.init(params)))

    def act(state: LearnerState, obs: PyTree, noise: PyTree, carry: PyTree) -> Any:
        return learner.act(inner(state), obs, noise, carry)

    def update(key: Array, state: LearnerState, rollout: Rollout) -> tuple[LearnerState, Metrics]:
        k_draw, k_order, k_learn = jax.random.split(key, 3)
        steps, kept = rollout.transition, state.slots
        shape = steps.reward.shape
        mask = jnp.ones(shape, bool) if rollout.mask is None else rollout.mask
        ours = see(inner(state), _flat(steps))
        theirs = see(inner(state), _drawn(k_draw, setting, mask.size))
        start = kept.params, kept.opt_state, state.num_updates
        (params, opt_state), said = descend(
            k_order, _reported(judge), optimizer, start, _told(ours, theirs, mask), passes
        )
        reward = jnp.where(mask, judge.reward(judge.logit(params, ours)).reshape(shape), 0.0)
        judged = rollout._replace(transition=steps._replace(reward=reward))
        state, metrics = learner.update(k_learn, inner(state), judged)
        metrics |= {name: said[name] for name in NAMES}
        metrics |= once(imitation_reward=mean_of_shares(masked_mean(reward, mask)))
        return state._replace(slots=Imitating(state.slots, params, opt_state)), metrics

    return learner._replace(init=init, act=act, update=update)


def _judge(config: Any, setting: Setting) -> Judge:
    """Networks of the configuration's sizes, without memory."""
    spaces = setting.spaces
    plain, shown = replace(config, memory=None, torso="mlp"), content(spaces.observation)
    airl, num_dims = config.imitates == "airl", deed(spaces.action).width

    def network(space: PyTree) -> Network:
        return settings.network(plain, spaces._replace(observation=space), None, 1, 1.0)

    of_pairs, of_states = network((shown, Box(-1.0, 1.0, (num_dims,)))), network(shown)

    def init(key: Array, obs: PyTree) -> PyTree:
        k_pairs, k_states = jax.random.split(key)
        shown = content(obs)
        blank = jnp.zeros((len(jax.tree.leaves(shown)[0]), num_dims))
        pairs = of_pairs.init(k_pairs, (shown, blank))
        return (pairs, of_states.init(k_states, shown)) if airl else (pairs,)

    def by_pairs(params: PyTree, steps: Steps) -> Array:
        return of_pairs.step(params[0], (steps.obs, steps.action), ())[0][:, 0]

    def by_reward(params: PyTree, steps: Steps) -> Array:
        before, after = (
            of_states.step(params[1], obs, ())[0][:, 0] for obs in (steps.obs, steps.next_obs)
        )
        shaping = potential_shaping(before, after, steps.discount)
        return by_pairs(params, steps) + shaping - steps.log_prob

    if airl:
        return Judge(init, by_reward, airl_reward)
    ending_pays = config.imitates == "saturating"
    return Judge(init, by_pairs, saturating_reward if ending_pays else gail_reward)


def _sight(
    config: Any, setting: Setting, learner: Learner
) -> Callable[[LearnerState, Transition], Steps]:
    """How the steps of anybody look to a discriminator, under the policy of a state."""
    space = setting.spaces.action
    choose = distribution(space, config.distribution)
    scale = None if setting.expert is None else _scale(_rows(setting))

    def log_prob(state: LearnerState, steps: Transition) -> Array:
        carry = learner.carry(jax.random.key(0), len(steps.reward))  # of no memory
        output = learner.act(state, steps.obs, None, carry)[1].output
        raw = steps.action
        return choose.log_prob(output, raw.reshape(len(raw), -1) if isinstance(space, Box) else raw)

    def see(state: LearnerState, steps: Transition) -> Steps:
        assert scale is not None
        obs, next_obs = (standardised(scale, content(x)) for x in (steps.obs, steps.next_obs))
        nothing = jnp.zeros_like(steps.reward)
        return Steps(
            obs,
            deed(space).shown(steps.action),
            next_obs,
            discounts(config.gamma, steps.terminated),
            log_prob(state, steps) if config.imitates == "airl" else nothing,
        )

    return see


def _scale(rows: Transition) -> Moments:
    """Of the expert's observations, computed once for all updates."""
    shown = jax.tree.map(lambda x: jnp.asarray(x)[None], content(rows.obs))
    return joined(no_moments(jax.tree.map(lambda x: x[0, 0], shown)), shown)


def _reported(judge: Judge) -> Reported:
    def loss(params: PyTree, told: Told) -> tuple[Array, Array]:
        x = judge.logit(params, told.steps)
        right = ((x > 0) == told.expert).astype(x.dtype)
        means = batch_mean(jnp.stack([discriminator_loss(x, told.expert), right]), told.mask)
        return means[0], means

    return Reported(NAMES, loss)


def _told(ours: Steps, theirs: Steps, mask: Array) -> Told:
    """As many of the expert's steps as count of the policy's."""
    steps = jax.tree.map(lambda *both: jnp.concatenate(both), ours, theirs)
    expert = jnp.repeat(jnp.array([False, True]), mask.size)
    return Told(steps, expert, jnp.tile(mask.reshape(-1), 2))


def _rows(setting: Setting) -> Transition:
    assert isinstance(setting.expert, Transition)
    return setting.expert


def _drawn(key: Array, setting: Setting, size: int) -> Transition:
    rows = _rows(setting)
    index = jax.random.randint(key, (size,), 0, len(rows.reward))
    return jax.tree.map(lambda x: jnp.asarray(x)[index], rows)


def _flat(steps: Transition) -> Transition:
    """Steps [T, N, ...] as rows, without what acting left for learning."""
    return jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), steps._replace(extras=()))
