"""An actor that follows critics, which learn from replay.

DDPG, TD3, D4PG, SAC, discrete SAC, REDQ = (conduct, critics, jury, head, temperature)
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxrl.families.critics import Critics, Jury, drawn, least
from jaxrl.families.policy import ActorCritic
from jaxrl.families.temperature import Temperature
from jaxrl.families.value_head import Head, beyond
from jaxrl.networks import Network, action_mask, masked
from jaxrl.numerics import select
from jaxrl.tracing import traced_once, zeros_of
from jaxrl.types import Array, Learner, LearnerState, Metrics, PyTree, Scalar, once

Ask = Callable[[Array | None], Array]
"""What critics say of an action, or of all where it is None."""


class Conduct(NamedTuple):
    """What an actor's outputs [B, P] mean: how they act, and what teaches them."""

    size: int  # P
    soft: bool  # whether entropy is paid for, at the temperature α
    lagging: bool  # whether a target's action is a target network's, not the actor's own
    noise: Callable[[Array, tuple[int, ...]], PyTree]  # key, shape -> what one action consumes
    carry: Callable[[Array, int], PyTree]  # key, num_envs -> initial memory of the noise
    act: Callable[[Array, PyTree, PyTree], tuple[Array, PyTree]]  # output, noise, carry -> action,
    # carry; noise = None acts greedily
    target: Callable[[Head, Ask, Array, PyTree, Any, Array], Array]  # head, critics' numbers at
    # s′, output at s′, noise, transitions, α -> what the head learns
    loss: Callable[[Ask, Array, PyTree, Array], tuple[Array, Array]]  # values at s, output at s,
    # noise, α -> loss [B], mean log-probability of actions at s [B]


class Lingered(NamedTuple):
    """The noise of an episode's last step, and whether there was one."""

    noise: Array
    begun: Array


def lingering(conduct: Conduct, memory: Scalar) -> Conduct:
    """The same conduct, whose noise of acting is correlated from step to step.

        xₜ₊₁ = ρ xₜ + √(1 − ρ²) εₜ,  ε ~ N(0, 1)

    An Ornstein-Uhlenbeck process at whole steps, ρ = e^(−θ Δt), in its stationary state from the
    first step of an episode on, so that each action by itself is distributed as before; white
    noise where ρ = 0.
    Reference: Uhlenbeck & Ornstein 1930, doi:10.1103/PhysRev.36.823; Lillicrap et al. 2016,
    arXiv:1509.02971, section 7; Eberhard et al. 2023, openreview.net/forum?id=hQ9V5QN27eS (of
    stochastic policies).
    """

    def act(output: Array, noise: PyTree, carry: PyTree) -> tuple[Array, PyTree]:
        if noise is None:
            return conduct.act(output, None, ())[0], carry
        kept = memory * carry.noise + jnp.sqrt(1 - jnp.square(memory)) * noise
        noise = select(carry.begun, kept, noise)
        return conduct.act(output, noise, ())[0], Lingered(noise, jnp.ones_like(carry.begun))

    def carry(key: Array, num_envs: int) -> Lingered:
        like = conduct.noise(key, (num_envs,))
        return Lingered(jnp.zeros_like(like), jnp.zeros(num_envs, bool))

    return conduct._replace(act=act, carry=carry)


class Parts(NamedTuple):
    """What an actor-critic is made of."""

    actor: Network
    critics: Critics
    conduct: Conduct
    head: Head
    jury: Jury
    temperature: Temperature
    optimizer: ActorCritic  # one for each
    importance: Callable[[LearnerState, Array], Array]  # of rows, from their weights
    follow: Callable[[PyTree, PyTree, Array], PyTree]  # target, params, number of the step
    policy_delay: int = 1  # steps of the critics for one of the actor


class Chance(NamedTuple):
    """All that a gradient step consumes."""

    target: PyTree  # noise of the actions in the target
    actor: PyTree  # and of those that teach the actor
    judges: Array | None  # which critics judge, if not all


def actor_critic_learner(parts: Parts) -> Learner:
    """A learner from its slots."""

    def init(key: Array, obs: PyTree) -> LearnerState:
        k_actor, k_critics = jax.random.split(key)
        params = ActorCritic(parts.actor.init(k_actor, obs), parts.critics.init(k_critics, obs))
        started = (x.init(y) for x, y in zip(parts.optimizer, params, strict=True))
        target = jax.tree.map(jnp.copy, _followed(parts, params))
        slots = parts.temperature.init()
        return LearnerState(params, ActorCritic(*started), jnp.int32(0), target, slots)

    def act(
        state: LearnerState, obs: PyTree, noise: PyTree, carry: PyTree
    ) -> tuple[Array, PyTree, PyTree]:
        output = _output(parts, state.params.actor, obs)
        action, carry = parts.conduct.act(output, noise, carry)
        return action, (), carry

    def chance(key: Array, num_rows: int) -> Chance:
        k_target, k_actor = jax.random.split(key)
        k_noise, k_judges = jax.random.split(k_target)
        target, actor = (parts.conduct.noise(k, (num_rows,)) for k in (k_noise, k_actor))
        return Chance(target, actor, drawn(k_judges, parts.jury))

    update = functools.partial(improved, parts)
    return Learner(init, parts.conduct.carry, parts.conduct.noise, act, update, chance)


def improved(
    parts: Parts, chance: Chance, state: LearnerState, sample: Any
) -> tuple[LearnerState, Metrics, Array]:
    """One gradient step on a sample: the state, metrics, and each row's priority."""
    alpha, count = parts.temperature.value(state.slots), state.num_updates + 1
    target = _target(parts, chance, state, sample.data, alpha)
    weight = parts.importance(state, sample.weight)
    critic, critic_opt, numbers = _judged(parts, state, sample.data, weight, target(parts.head))
    actor = state.params.actor, state.opt_state.actor, state.slots

    @traced_once
    def improve() -> tuple[PyTree, Metrics]:
        return _led(parts, chance.actor, state, critic, sample.data, alpha)

    def wait() -> tuple[PyTree, Metrics]:
        return actor, zeros_of(improve)[1]

    if parts.policy_delay == 1:
        actor, told = improve()
    else:
        actor, told = jax.lax.cond(count % parts.policy_delay == 0, improve, wait)
    params = ActorCritic(actor[0], critic)
    opt_state = ActorCritic(actor[1], critic_opt)
    followed = parts.follow(state.target, _followed(parts, params), count)
    told |= once(value_loss=numbers[0], q=numbers[1], grad_norm=numbers[-1])
    told |= beyond(parts.head, target)
    told |= once(lr=parts.optimizer.critic.schedule(state.num_updates))
    return LearnerState(params, opt_state, count, followed, actor[2]), told, numbers[2:-1]


def _target(
    parts: Parts, chance: Chance, state: LearnerState, data: Any, alpha: Array
) -> Callable[[Head], Array]:
    """What a head learns, from the target networks."""
    critics = state.target.critic
    if chance.judges is not None:
        critics = jax.tree.map(lambda x: x[chance.judges], critics)
    actor = state.target.actor if parts.conduct.lagging else state.params.actor
    output = _output(parts, actor, data.next_obs)

    def target(head: Head) -> Array:
        def ask(action: Array | None) -> Array:
            return least(head, parts.critics.ask(critics, data.next_obs, action))

        return parts.conduct.target(head, ask, output, chance.target, data, alpha)

    return target


def _judged(
    parts: Parts, state: LearnerState, data: Any, weight: Array, target: Array
) -> tuple[PyTree, PyTree, Array]:
    """Critics after a step: parameters, state; loss, mean value, priorities, norm of gradient.

    The loss is the sum over the critics: each learns as if it were alone, but for the bound on the
    norm of the gradient, which is that of all of them.
    """
    head, optimizer = parts.head, parts.optimizer.critic
    flat, unpack = optimizer.layout(state.params.critic)

    def loss(flat: PyTree) -> tuple[Array, Array]:
        numbers = parts.critics.ask(unpack(flat), data.obs, data.action)
        wanted = jnp.broadcast_to(target, numbers.shape)
        mean = (weight * head.loss(numbers, None, wanted).sum(0)).mean()
        priority = head.error(numbers, wanted).mean(0)
        return mean, jnp.concatenate([jnp.stack([mean, head.mean(numbers).mean()]), priority])

    flat, opt_state, numbers = optimizer.step(loss, flat, state.opt_state.critic, state.num_updates)
    return unpack(flat), opt_state, numbers


def _led(
    parts: Parts, noise: PyTree, state: LearnerState, critic: PyTree, data: Any, alpha: Array
) -> tuple[tuple[PyTree, PyTree, PyTree], Metrics]:
    """Actor after a step: parameters, state, and the temperature's slots; what it reports."""
    optimizer, jury = parts.optimizer.actor, parts.jury
    voters = jax.tree.map(lambda x: x[: jury.num_voters], critic)
    flat, unpack = optimizer.layout(state.params.actor)

    def ask(action: Array | None) -> Array:
        return jury.verdict(parts.head.mean(parts.critics.ask(voters, data.obs, action)))

    def loss(flat: PyTree) -> tuple[Array, Array]:
        output = _output(parts, unpack(flat), data.obs)
        rows, log_prob = parts.conduct.loss(ask, output, noise, alpha)
        mean = rows.mean()
        return mean, jnp.stack([mean, log_prob.mean()])

    flat, opt_state, numbers = optimizer.step(loss, flat, state.opt_state.actor, state.num_updates)
    policy_loss, log_prob = numbers[:2]
    slots = parts.temperature.update(state.slots, log_prob, data.obs, state.num_updates)
    told = once(policy_loss=policy_loss)
    if parts.conduct.soft:
        told |= once(entropy=-log_prob, temperature=alpha)
    return (unpack(flat), opt_state, slots), told


def _output(parts: Parts, params: PyTree, obs: PyTree) -> Array:
    return masked(parts.actor.step(params, obs, ())[0], action_mask(obs))


def _followed(parts: Parts, params: ActorCritic) -> ActorCritic:
    """Of the parameters those that target networks follow."""
    return ActorCritic(params.actor if parts.conduct.lagging else (), params.critic)
