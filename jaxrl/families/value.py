"""The value family: learn action values from replay.

DQN, double DQN, C51, QR-DQN, IQN, Munchausen, Rainbow = (network, head, rule, exploration)
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxrl.families.explore import Exploration
from jaxrl.families.value_head import Head, beyond, taken
from jaxrl.families.value_target import Look, Rule
from jaxrl.formulas.selection import greedy
from jaxrl.networks import action_mask
from jaxrl.networks.value import Chance, ValueNetwork
from jaxrl.numerics import select
from jaxrl.optim.optimizer import Optimizer
from jaxrl.types import Array, Learner, LearnerState, Metrics, PyTree, once


class Parts(NamedTuple):
    """What a learner of action values is made of."""

    network: ValueNetwork
    head: Head
    rule: Rule
    exploration: Exploration
    optimizer: Optimizer
    rate: Callable[[LearnerState], Array]  # of exploration
    importance: Callable[[LearnerState, Array], Array]  # of rows, from their weights
    follow: Callable[[PyTree, PyTree, Array], PyTree]  # target, params, number of the step
    hold: bool = False  # noise of the weights lasts an episode, not a step


class Noise(NamedTuple):
    """All that acting consumes."""

    chance: Chance
    choice: PyTree


class Held(NamedTuple):
    """The weights' noise of an episode, and whether it has begun."""

    weights: PyTree
    begun: Array


def value_learner(parts: Parts) -> Learner:
    """A learner from its slots."""
    network, head = parts.network, parts.head

    def init(key: Array, obs: PyTree) -> LearnerState:
        params = network.init(key, obs)
        opt_state = parts.optimizer.init(params)
        return LearnerState(params, opt_state, jnp.int32(0), jax.tree.map(jnp.copy, params))

    def carry(key: Array, num_envs: int) -> PyTree:
        if not parts.hold:
            return ()
        return Held(network.weights(key, (num_envs,)), jnp.zeros(num_envs, bool))

    def noise(key: Array, shape: tuple[int, ...]) -> Noise:
        k_weights, k_tau, k_choice = jax.random.split(key, 3)
        chance = Chance(network.weights(k_weights, shape), network.tau(k_tau, shape))
        return Noise(chance, parts.exploration.noise(k_choice, shape))

    def act(
        state: LearnerState, obs: PyTree, noise: Noise | None, carry: PyTree
    ) -> tuple[Array, PyTree, PyTree]:
        if noise is None:
            q = head.mean(network.apply(state.params, obs, Chance())[0])
            return greedy(q, action_mask(obs)), (), carry
        chance = noise.chance
        if parts.hold:
            weights = select(carry.begun, carry.weights, chance.weights)
            chance = chance._replace(weights=weights)
            carry = Held(weights, jnp.ones_like(carry.begun))
        q = head.mean(network.apply(state.params, obs, chance)[0])
        action = parts.exploration.choose(q, noise.choice, parts.rate(state), action_mask(obs))
        return action, (), carry

    return Learner(init, carry, noise, act, lambda key, *fed: improved(key, parts, *fed))


def improved(
    key: Array, parts: Parts, state: LearnerState, sample: Any
) -> tuple[LearnerState, Metrics, Array]:
    """One gradient step on a sample: the state, metrics, and each row's priority."""
    network, head, optimizer, data = parts.network, parts.head, parts.optimizer, sample.data
    chances = drawn(key, network, len(data.reward))

    def look(params: PyTree, chance: Chance) -> Callable[[PyTree], Array]:
        return lambda obs: network.apply(params, obs, chance)[0]

    looks = Look(look(state.params, chances.online), look(state.target, chances.target))
    target = parts.rule(head, looks, data)
    weight = parts.importance(state, sample.weight)
    flat, unpack = optimizer.layout(state.params)

    def loss(flat: PyTree) -> tuple[Array, Array]:
        numbers, tau = network.apply(unpack(flat), data.obs, chances.fitted)
        numbers = taken(numbers, data.action)
        mean = (weight * head.loss(numbers, tau, target)).mean()
        reported = jnp.stack([mean, head.mean(numbers).mean()])
        return mean, jnp.concatenate([reported, head.error(numbers, target)])

    flat, opt_state, reported = optimizer.step(loss, flat, state.opt_state, state.num_updates)
    value_loss, q, grad_norm = reported[0], reported[1], reported[-1]
    metrics = once(value_loss=value_loss, q=q, grad_norm=grad_norm)
    metrics |= once(lr=optimizer.schedule(state.num_updates), epsilon=parts.rate(state))
    metrics |= beyond(head, lambda head: parts.rule(head, looks, data))
    params, count = unpack(flat), state.num_updates + 1
    new = LearnerState(params, opt_state, count, parts.follow(state.target, params, count))
    return new, metrics, reported[2:-1]


class Chances(NamedTuple):
    """What the three passes of a gradient step leave to chance."""

    online: Chance  # the online network's choice of the next action
    target: Chance
    fitted: Chance


def drawn(key: Array, network: ValueNetwork, num_rows: int) -> Chances:
    """Chances of one gradient step; noise of the weights is drawn once for all rows."""

    def chance(key: Array) -> Chance:
        k_weights, k_tau = jax.random.split(key)
        return Chance(network.weights(k_weights, ()), network.tau(k_tau, (num_rows,)))

    return Chances(*map(chance, jax.random.split(key, 3)))
