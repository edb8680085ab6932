"""Acting uniformly at random, before anything is learnt."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from jaxrl.networks import action_mask, distribution, masked
from jaxrl.types import Array, Box, Learner, LearnerState, PyTree, Space


class Wander(NamedTuple):
    """Uniformly random actions, as a function of noise."""

    noise: Callable[[Array, tuple[int, ...]], Array]  # key, shape -> what choosing consumes
    choose: Callable[[PyTree, Array], Array]  # obs [N, ...], noise -> actions


def wandering(learner: Learner, space: Space) -> Learner:
    """The learner, with random legal actions in place of its own."""
    wander = in_box(space) if isinstance(space, Box) else among_legal(space)

    def act(
        state: LearnerState, obs: PyTree, noise: Array, carry: PyTree
    ) -> tuple[Array, PyTree, PyTree]:
        _, extras, carry = learner.act(state, obs, None, carry)
        return wander.choose(obs, noise), extras, carry

    return learner._replace(noise=wander.noise, act=act)


def in_box(space: Box) -> Wander:
    """Uniform between bounds, which must be finite."""
    bounds = [x for x in (space.low, space.high) if not isinstance(x, Tracer)]
    if not all(np.isfinite(x).all() for x in bounds):
        raise ValueError(f"random actions need a Box of finite bounds, not {space}")

    def choose(obs: PyTree, noise: Array) -> Array:
        low, high = (jnp.broadcast_to(x, noise.shape) for x in (space.low, space.high))
        return jnp.asarray(low + (high - low) * noise, jnp.float32)  # as learners' actions are

    return Wander(lambda key, shape: jax.random.uniform(key, (*shape, *space.shape)), choose)


def among_legal(space: Space) -> Wander:
    """All legal actions alike."""
    choice = distribution(space)

    def choose(obs: PyTree, noise: Array) -> Array:
        alike = masked(jnp.zeros((*noise.shape[:-1], choice.size)), action_mask(obs))
        return choice.act(choice.sample(alike, noise))

    return Wander(choice.noise, choose)
