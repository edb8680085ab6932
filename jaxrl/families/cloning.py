"""Cloning: a policy fitted to what an expert does, which data show or which can be asked.

    L = E[w ℓ(π(· | s), a*)]

with ℓ of `cloning_loss` among choices, summed over several of them, and of `squared_cloning_loss`
in a box, between −1 and 1. Whose states they are is what behaviour cloning and DAgger differ in.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxrl.families.box import span
from jaxrl.families.deed import summed
from jaxrl.families.settings import Expert
from jaxrl.formulas.imitation import cloning_loss, squared_cloning_loss
from jaxrl.networks import Network, action_mask, distribution, masked
from jaxrl.optim.optimizer import Optimizer
from jaxrl.types import (
    Array,
    Box,
    Learner,
    LearnerState,
    Metrics,
    PyTree,
    Space,
    once,
)


class Fit(NamedTuple):
    """How a network's numbers are an action, and how far that is from an expert's."""

    size: int
    action: Callable[[Array], Array]  # [..., size] -> actions
    loss: Callable[[Array, Array], Array]  # [..., size], expert's actions -> [...]


class Parts(NamedTuple):
    """What a cloning learner is made of."""

    network: Network
    fit: Fit
    expert: Expert | None  # only acting in training asks it
    share: Callable[[LearnerState], Array] | None  # of the steps that the expert takes; None: all,
    # and what was done is what is learnt
    optimizer: Optimizer
    importance: Callable[[LearnerState, Array], Array]  # of rows, from their weights


def fit(space: Space) -> Fit:
    """The fit of a space: logits of choices, or the tanh of numbers across a box."""
    if isinstance(space, Box):
        box = span(space)

        def distance(output: Array, action: Array) -> Array:
            return squared_cloning_loss(jnp.tanh(output), box.unit(action))

        return Fit(box.num_dims, lambda output: box.action(jnp.tanh(output)), distance)
    choose = distribution(space)
    return Fit(
        choose.size, lambda output: choose.act(choose.mode(output)), summed(space, cloning_loss)
    )


def asked(expert: Expert) -> Learner:
    """The expert as a learner, which acts and learns nothing."""

    def act(state: LearnerState, obs: PyTree, noise: PyTree, carry: PyTree) -> Any:
        return expert(obs), (), carry

    return Learner(
        init=lambda key, obs: LearnerState((), (), jnp.int32(0)),
        carry=lambda key, num_envs: (),
        noise=lambda key, shape: (),
        act=act,
        update=lambda chance, state, data: (state, {}),
    )


def cloning_learner(parts: Parts) -> Learner:
    """A learner from its slots; it is fed from replay, or from data."""
    network, fit, share = parts.network, parts.fit, parts.share

    def said(params: PyTree, obs: PyTree) -> Array:
        return masked(network.step(params, obs, ())[0], action_mask(obs))

    def init(key: Array, obs: PyTree) -> LearnerState:
        params = network.init(key, obs)
        return LearnerState(params, parts.optimizer.init(params), jnp.int32(0))

    def act(
        state: LearnerState, obs: PyTree, noise: Array | None, carry: PyTree
    ) -> tuple[Array, PyTree, PyTree]:
        if noise is None:
            return fit.action(said(state.params, obs)), (), carry
        assert parts.expert is not None
        asked = parts.expert(obs)
        if share is None:
            return asked, (), carry
        own = fit.action(said(state.params, obs))
        led = (noise < share(state)).reshape(noise.shape + (1,) * (own.ndim - noise.ndim))
        return jnp.where(led, asked, own), asked, carry

    def update(chance: Array, state: LearnerState, sample: Any) -> tuple[Any, Metrics, Array]:
        del chance
        data, optimizer = sample.data, parts.optimizer
        label = data.action if share is None else data.extras
        weight = parts.importance(state, sample.weight)
        flat, unpack = optimizer.layout(state.params)

        def loss(flat: PyTree) -> tuple[Array, Array]:
            output = said(unpack(flat), data.obs)
            each = fit.loss(output, label)
            same = jnp.isclose(fit.action(output), label).reshape(len(weight), -1).all(-1)
            mean = (weight * each).mean()
            return mean, jnp.concatenate([jnp.stack([mean, same.mean()]), each])

        count = state.num_updates
        flat, opt_state, numbers = optimizer.step(loss, flat, state.opt_state, count)
        metrics = once(cloning_loss=numbers[0], agreement=numbers[1], grad_norm=numbers[-1])
        metrics |= once(lr=optimizer.schedule(count))
        if share is not None:
            metrics |= once(expert_share=share(state))
        return LearnerState(unpack(flat), opt_state, count + 1), metrics, numbers[2:-1]

    noise = jax.random.uniform
    return Learner(init, lambda key, num_envs: (), noise, act, update, wanders=False)
