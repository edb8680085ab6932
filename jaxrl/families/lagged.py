"""Asynchronous rollout: whoever acts has a policy that is some updates old."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxrl.types import Array, Learner, LearnerState, Metrics, PyTree


class Lagged(NamedTuple):
    """The learner's slots, and the policies of the last updates, [lag, ...]."""

    slots: PyTree
    params: PyTree


def lagged(learner: Learner, lag: int) -> Learner:
    """A learner that acts by the parameters of `lag` updates ago, or by the first ones.

    What it learns from says with which probability it was done, so that the learner can tell.
    """
    if lag == 0:
        return learner

    def outer(state: LearnerState, params: PyTree) -> LearnerState:
        return state._replace(slots=Lagged(state.slots, params))

    def inner(state: LearnerState) -> LearnerState:
        return state._replace(slots=state.slots.slots)

    def init(key: Array, start: PyTree) -> LearnerState:
        state = learner.init(key, start)
        ring = jax.tree.map(lambda x: jnp.repeat(x[None], lag, 0), state.params)
        return outer(state, ring)

    def act(
        state: LearnerState, obs: PyTree, noise: PyTree, carry: PyTree
    ) -> tuple[PyTree, PyTree, PyTree]:
        place = state.num_updates % lag
        old = jax.tree.map(lambda x: x[place], state.slots.params)
        return learner.act(inner(state)._replace(params=old), obs, noise, carry)

    def update(key: Array, state: LearnerState, data: PyTree) -> tuple[LearnerState, Metrics]:
        new, metrics = learner.update(key, inner(state), data)
        place = state.num_updates % lag
        ring = jax.tree.map(lambda ring, x: ring.at[place].set(x), state.slots.params, state.params)
        return outer(new, ring), metrics

    return learner._replace(init=init, act=act, update=update)
