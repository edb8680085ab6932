"""The policy family: estimate advantages of a rollout, then improve on it.

    REINFORCE, RLOO, actor-critic, A2C, PPO, TRPO, GRPO, V-trace = (estimate, improve)

Memory is a slot: a recurrent network trains on sequences that start from the memory stored before
their first step and forget at the end of each episode, a memoryless one on single steps.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxrl.families.bootstrap import discounts, next_values
from jaxrl.formulas.reduce import token_count, token_mean
from jaxrl.formulas.value_losses import explained_variance
from jaxrl.networks import Distribution, Network, action_mask, masked
from jaxrl.numerics import previous_step, widen
from jaxrl.shares import mean_of_shares, whole
from jaxrl.types import Array, Learner, LearnerState, Metrics, PyTree, Rollout, Scalar, once


class ActorCritic(NamedTuple):
    """A pair of networks, or of their parameters, memories or outputs."""

    actor: PyTree
    critic: PyTree = ()


class Judge(NamedTuple):
    """How a critic's output is read: as V(s), or as Q(s, ·)."""

    value: Callable[[Array, Array], Array]  # critic's and actor's outputs -> V(s)
    taken: Callable[[Array, Array], Array]  # critic's output, action -> what the target is of


class Parts(NamedTuple):
    """What a policy learner is made of; without a critic all values are 0."""

    distribution: Distribution
    actor: Network
    critic: Network | None
    judge: Judge
    gamma: Scalar
    sequence_length: int | None = None  # set: train on sequences of that length


class Acted(NamedTuple):
    """What acting leaves for learning."""

    action: Array  # raw: what the distribution gave, and its log-probability is of
    output: Array  # parameters of the distribution
    noise: PyTree
    carry: PyTree  # memory before the step


class Experience(NamedTuple):
    """A rollout [T, N] with the critic's opinion of it: what advantages are estimated from."""

    rollout: Rollout
    reward: Array
    discount: Array
    done: Array
    action: Array
    output: Array  # of the policy that acted
    log_prob: Array
    value: Array
    next_value: Array
    judged: Array  # critic's raw output, [T, N, P]
    mask: Array | None


class Batch(NamedTuple):
    """What is learnt from: leaves [B, ...], or [B, T, ...] where sequences are kept."""

    obs: PyTree
    action: Array
    noise: PyTree
    output: Array
    log_prob: Array
    value: Array
    advantage: Array
    target: Array
    mask: Array | None
    reset: Array
    carry: PyTree = ()  # at the start of each sequence
    reference: Array | None = None  # the reference policy's output


class Prediction(NamedTuple):
    """What parameters say of a batch."""

    output: Array
    log_prob: Array
    entropy: Array
    value: Array


Estimate = Callable[[LearnerState, Experience], tuple[Array, Array, PyTree]]
"""The advantage, the value's target, and the slots that the state will keep."""

Improve = Callable[[Array, LearnerState, Batch], tuple[LearnerState, Metrics]]


class Improver(NamedTuple):
    """How parameters change by a batch."""

    init: Callable[[PyTree], PyTree]  # params -> optimiser state
    improve: Improve


def own_params(state: LearnerState) -> ActorCritic:
    """The parameters that are learnt."""
    return state.params


def unchanged(state: LearnerState) -> LearnerState:
    """The state as it is."""
    return state


def policy_learner(
    parts: Parts,
    estimate: Estimate,
    improver: Improver,
    *,
    slots: PyTree = (),
    target: bool = False,
    acting: Callable[[LearnerState], ActorCritic] = own_params,
    settle: Callable[[LearnerState], LearnerState] = unchanged,
) -> Learner:
    """A learner from its slots.

    Args:
      slots: what the state keeps at first for the estimate and the improver.
      target: whether the state keeps a second copy of the first parameters.
      acting: of a state, the parameters that act.
      settle: of a state after its update, the state that is kept.
    """

    def init(key: Array, obs: PyTree) -> LearnerState:
        params = init_params(key, parts, obs)
        copy = jax.tree.map(jnp.copy, params) if target else ()
        return LearnerState(params, improver.init(params), jnp.int32(0), copy, slots)

    def act(
        state: LearnerState, obs: PyTree, noise: PyTree, carry: PyTree
    ) -> tuple[Array, Acted, PyTree]:
        params = acting(state)
        output, actor_carry = parts.actor.step(params.actor, obs, carry.actor)
        output = masked(output, action_mask(obs))
        choose = parts.distribution
        raw = choose.mode(output) if noise is None else choose.sample(output, noise)
        critic_carry = carry.critic
        if parts.critic is not None and jax.tree.leaves(critic_carry):
            critic_carry = parts.critic.step(params.critic, obs, critic_carry)[1]
        after = ActorCritic(actor_carry, critic_carry)
        return choose.act(raw), Acted(raw, output, noise, carry), after

    def update(key: Array, state: LearnerState, rollout: Rollout) -> tuple[LearnerState, Metrics]:
        experience = judged(parts, state, rollout)
        advantage, target, slots = estimate(state, experience)
        batch = arranged(parts, experience, advantage, target)
        state, metrics = improver.improve(key, state._replace(slots=slots), batch)
        if parts.critic is not None:
            explained = explained_variance(*whole((batch.value, batch.target, batch.mask)))
            metrics |= once(explained_variance=explained)
        return settle(state._replace(num_updates=state.num_updates + 1)), metrics

    def carry(key: Array, num_envs: int) -> ActorCritic:
        critic = parts.critic.carry(num_envs) if parts.critic else ()
        return ActorCritic(parts.actor.carry(num_envs), critic)

    return Learner(init, carry, parts.distribution.noise, act, update)


def init_params(key: Array, parts: Parts, obs: PyTree) -> ActorCritic:
    """Initial parameters of both networks."""
    k_actor, k_critic = jax.random.split(key)
    critic = parts.critic.init(k_critic, obs) if parts.critic else ()
    return ActorCritic(parts.actor.init(k_actor, obs), critic)


def judged(parts: Parts, state: LearnerState, rollout: Rollout) -> Experience:
    """The critic's pass over a rollout: once over its steps, and once where an episode was cut."""
    steps, acted = rollout.transition, rollout.transition.extras
    if parts.critic is None:
        value = next_value = jnp.zeros_like(steps.reward)
        raw = value[..., None]
    else:
        raw, value, next_value = _values(parts, state.params, rollout)
    return Experience(
        rollout=rollout,
        reward=steps.reward,
        discount=discounts(parts.gamma, steps.terminated),
        done=steps.done,
        action=acted.action,
        output=acted.output,
        log_prob=parts.distribution.log_prob(acted.output, acted.action),
        value=value,
        next_value=next_value,
        judged=raw,
        mask=rollout.mask,
    )


def _values(parts: Parts, params: ActorCritic, rollout: Rollout) -> tuple[Array, Array, Array]:
    steps, critic = rollout.transition, parts.critic
    assert critic is not None
    first, last = rollout.first_carry, rollout.last_carry
    resets = starts(steps.done)
    raw, carries = critic.unroll(params.critic, steps.obs, first.critic, resets)
    value = parts.judge.value(raw, steps.extras.output)

    def evaluate(obs: PyTree, carry: ActorCritic) -> Array:
        row, _ = critic.step(params.critic, obs, carry.critic)
        output, _ = parts.actor.step(params.actor, obs, carry.actor)
        return parts.judge.value(row, masked(output, action_mask(obs)))

    if jax.tree.leaves(last):
        actor_carries = parts.actor.unroll(params.actor, steps.obs, first.actor, resets)[1]
        after = ActorCritic(actor_carries, carries)
    else:
        after = last
    return raw, value, next_values(evaluate, value, rollout, after, last)


def starts(done: Array) -> Array:
    """Whether a step begins another episode than the one before it, [T, N]; not at the first."""
    return previous_step(done, jnp.zeros_like(done[0]))


def arranged(parts: Parts, experience: Experience, advantage: Array, target: Array) -> Batch:
    """The rollout as a batch: single steps, or sequences with the memory before each."""
    steps = experience.rollout.transition
    acted = steps.extras
    taken = experience.value
    if parts.critic is not None:
        taken = parts.judge.taken(experience.judged, acted.action)
    batch = Batch(
        obs=steps.obs,
        action=acted.action,
        noise=acted.noise,
        output=acted.output,
        log_prob=experience.log_prob,
        value=taken,
        advantage=advantage,
        target=target,
        mask=experience.mask,
        reset=starts(steps.done),
    )
    num_steps, num_envs = steps.reward.shape
    if parts.sequence_length is None:
        return jax.tree.map(lambda x: x.reshape(num_steps * num_envs, *x.shape[2:]), batch)
    length = parts.sequence_length

    def cut(x: Array) -> Array:
        x = x.reshape(num_steps // length, length, num_envs, *x.shape[2:]).swapaxes(1, 2)
        return x.reshape(-1, *x.shape[2:])

    carry = jax.tree.map(lambda x: x[::length].reshape(-1, *x.shape[2:]), acted.carry)
    return jax.tree.map(cut, batch)._replace(carry=carry)


def forward(parts: Parts, params: ActorCritic, batch: Batch) -> tuple[Array, Array]:
    """Outputs of actor (masked) and critic for a batch."""
    networks = ActorCritic(parts.actor, parts.critic)
    outputs = []
    for network, own, carry in zip(networks, params, batch.carry or ((), ()), strict=True):
        if network is None:
            outputs.append(jnp.zeros((*batch.advantage.shape, 1)))
        elif parts.sequence_length is None:
            outputs.append(network.unroll(own, batch.obs, carry, batch.reset)[0])
        else:
            obs, reset = jax.tree.map(lambda x: x.swapaxes(0, 1), (batch.obs, batch.reset))
            outputs.append(network.unroll(own, obs, carry, reset)[0].swapaxes(0, 1))
    return masked(outputs[0], action_mask(batch.obs)), outputs[1]


def current_log_prob(parts: Parts, params: ActorCritic, x: Experience) -> Array:
    """Log-probability of what was done, under other parameters than those that acted, [T, N]."""
    steps = x.rollout.transition
    first = x.rollout.first_carry.actor
    output, _ = parts.actor.unroll(params.actor, steps.obs, first, starts(steps.done))
    return parts.distribution.log_prob(masked(output, action_mask(steps.obs)), x.action)


def predict(parts: Parts, params: ActorCritic, batch: Batch) -> Prediction:
    """What parameters say of the actions and states of a batch."""
    output, raw = forward(parts, params, batch)
    choose, action = parts.distribution, batch.action
    if choose.joint is not None:
        log_prob, entropy = choose.joint(output, action)
    else:
        log_prob, entropy = choose.log_prob(output, action), choose.entropy(output, batch.noise)
    return Prediction(output, log_prob, entropy, value=parts.judge.taken(raw, action))


def batch_mean(x: Array, mask: Array | None) -> Array:
    """The mean over all valid entries of a batch, of each row of x, [K, B, ...].

    Where a run is shared it is one share's part, and the mean of these over the shares.
    """
    if mask is None:
        return widen(x).reshape(x.shape[0], -1).mean(1)
    count = mean_of_shares(token_count(mask))
    return jax.vmap(lambda row: token_mean(row, mask, count))(x)
