"""The value family: learn action values from replay.

DQN, double DQN, C51, QR-DQN, IQN, Munchausen, Rainbow = (network, head, rule, exploration), and
R2D2 = these with a memory and another study: of sequences (`families/sequential.py`)
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxrl.data import Experience
from jaxrl.families.explore import Exploration, lasting
from jaxrl.families.value_head import Head, beyond, taken
from jaxrl.families.value_target import Look, Rule
from jaxrl.formulas.selection import greedy
from jaxrl.networks import action_mask
from jaxrl.networks.value import Chance, Said, ValueNetwork
from jaxrl.numerics import select
from jaxrl.optim.optimizer import Optimizer
from jaxrl.tracing import zeros_of
from jaxrl.types import Array, Learner, LearnerState, Metrics, PyTree, Scalar, once


class Chances(NamedTuple):
    """What the three passes of a gradient step leave to chance."""

    online: Chance  # the online network's choice of the next action
    target: Chance
    fitted: Chance


class View(NamedTuple):
    """A batch as a gradient step sees it."""

    data: Experience  # [B, ...], or [L, B, ...] of sequences
    look: Look  # at it, for its targets
    said: Callable[[PyTree], Said]  # params -> what a network with these says of `data.obs`


class Study(NamedTuple):
    """How what was drawn is learnt from: step by step, or in sequences."""

    view: Callable[[ValueNetwork, LearnerState, Any, Chances], View]
    loss: Callable[[Array], Array]  # of steps -> of rows, [B]
    priority: Callable[[Array], Array]  # errors of steps -> of rows, [B]


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
    study: Study
    hold: bool = False  # noise of the weights lasts an episode, not a step
    noise_memory: Scalar = 0.0  # probability that the noise of a choice lasts one step more


class Noise(NamedTuple):
    """All that acting consumes."""

    chance: Chance
    choice: PyTree
    last: Array  # uniform: whether an older choice's noise lasts


class Held(NamedTuple):
    """Noise that may last from step to step of an episode, and whether that has begun."""

    weights: PyTree
    choice: PyTree
    begun: Array


class Carry(NamedTuple):
    """What lasts from step to step; () where there is no memory."""

    memory: PyTree
    held: Held


def value_learner(parts: Parts) -> Learner:
    """A learner from its slots."""
    network, head = parts.network, parts.head

    def init(key: Array, obs: PyTree) -> LearnerState:
        params = network.init(key, obs)
        opt_state = parts.optimizer.init(params)
        return LearnerState(params, opt_state, jnp.int32(0), jax.tree.map(jnp.copy, params))

    def carry(key: Array, num_envs: int) -> Carry:
        blank = zeros_of(lambda: noise(key, (num_envs,)))
        weights = blank.chance.weights if parts.hold else ()
        held = Held(weights, blank.choice, jnp.zeros(num_envs, bool))
        return Carry(network.carry(num_envs), held)

    def noise(key: Array, shape: tuple[int, ...]) -> Noise:
        k_weights, k_tau, k_choice, k_last = jax.random.split(key, 4)
        chance = Chance(network.weights(k_weights, shape), network.tau(k_tau, shape))
        choice = parts.exploration.noise(k_choice, shape)
        return Noise(chance, choice, jax.random.uniform(k_last, shape))

    def act(
        state: LearnerState, obs: PyTree, noise: Noise | None, carry: Carry
    ) -> tuple[Array, PyTree, Carry]:
        before, held = carry
        if noise is not None:
            noise, held = lasted(parts, noise, held)
        chance = Chance() if noise is None else noise.chance
        said, after = network.step(state.params, obs, before, chance)
        q, mask = head.mean(said.numbers), action_mask(obs)
        if noise is None:
            action = greedy(q, mask)
        else:
            action = parts.exploration.choose(q, noise.choice, parts.rate(state), mask)
        return action, before, Carry(after, held)

    chance = functools.partial(drawn, network=network)
    return Learner(init, carry, noise, act, functools.partial(improved, parts), chance)


def lasted(parts: Parts, noise: Noise, held: Held) -> tuple[Noise, Held]:
    """The noise that a step acts on, of new noise and of what was held; and what is held then."""
    weights, choice, begun = held
    if parts.hold:
        weights = select(begun, weights, noise.chance.weights)
        noise = noise._replace(chance=noise.chance._replace(weights=weights))
    stayed = lasting(parts.noise_memory, noise.last, choice, noise.choice)
    choice = select(begun, stayed, noise.choice)
    return noise._replace(choice=choice), Held(weights, choice, jnp.ones_like(begun))


def improved(
    parts: Parts, chances: Chances, state: LearnerState, sample: Any
) -> tuple[LearnerState, Metrics, Array]:
    """One gradient step on a sample: the state, metrics, and each row's priority."""
    head, optimizer, study = parts.head, parts.optimizer, parts.study
    data, look, said = study.view(parts.network, state, sample.data, chances)
    target = parts.rule(head, look, data)
    weight = parts.importance(state, sample.weight)
    flat, unpack = optimizer.layout(state.params)

    def loss(flat: PyTree) -> tuple[Array, Array]:
        numbers, tau = said(unpack(flat))
        numbers = taken(numbers, data.action)
        mean = (weight * study.loss(head.loss(numbers, tau, target))).mean()
        reported = jnp.stack([mean, head.mean(numbers).mean()])
        return mean, jnp.concatenate([reported, study.priority(head.error(numbers, target))])

    flat, opt_state, reported = optimizer.step(loss, flat, state.opt_state, state.num_updates)
    value_loss, q, grad_norm = reported[0], reported[1], reported[-1]
    metrics = once(value_loss=value_loss, q=q, grad_norm=grad_norm)
    metrics |= once(lr=optimizer.schedule(state.num_updates), epsilon=parts.rate(state))
    metrics |= beyond(head, lambda head: parts.rule(head, look, data))
    params, count = unpack(flat), state.num_updates + 1
    new = LearnerState(params, opt_state, count, parts.follow(state.target, params, count))
    return new, metrics, reported[2:-1]


def steps() -> Study:
    """The study of `Experience`s, each by itself."""

    def view(network: ValueNetwork, state: LearnerState, data: Any, chances: Chances) -> View:
        def ask(params: PyTree, obs: PyTree, chance: Chance) -> Said:
            return network.step(params, obs, (), chance)[0]

        look = Look(
            lambda: ask(state.target, data.obs, chances.target).numbers,
            lambda: ask(state.target, data.next_obs, chances.target).numbers,
            lambda: ask(state.params, data.next_obs, chances.online).numbers,
        )
        return View(data, look, lambda params: ask(params, data.obs, chances.fitted))

    return Study(view, lambda loss: loss, lambda error: error)


def drawn(key: Array, num_rows: int, network: ValueNetwork) -> Chances:
    """Chances of one gradient step; noise of the weights is drawn once for all rows."""
    k_weights, k_tau = jax.random.split(key)
    num = len(Chances._fields)
    drawn = Chance(network.weights(k_weights, (num,)), network.tau(k_tau, (num, num_rows)))
    return Chances(*(jax.tree.map(lambda x, i=i: x[i], drawn) for i in range(num)))
