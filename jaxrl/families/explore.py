"""Exploration of learners of action values: which action to try, as a function of noise."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxrl.families.settings import Setting, progress
from jaxrl.formulas.selection import boltzmann, epsilon_greedy, greedy, top_k
from jaxrl.numerics import select
from jaxrl.types import Array, LearnerState, PyTree, Scalar


class Exploration(NamedTuple):
    """How values become an action to try; `rate` says how much is left to chance, where it does."""

    noise: Callable[[Array, tuple[int, ...]], PyTree]  # key, shape -> what trying consumes
    choose: Callable[[Array, PyTree, Array, Array | None], Array]  # q, noise, rate, mask -> action


def falling(config: Any, state: LearnerState, setting: Setting) -> Array:
    """ε, which falls linearly over the first part of training."""
    return moved(config, state, setting, config.epsilon_start, config.epsilon_end)


def moved(config: Any, state: LearnerState, setting: Setting, start: Scalar, end: Scalar) -> Array:
    """A number that moves linearly over the first part of training, `exploration_fraction`."""
    share = progress(state, setting) / jnp.maximum(config.exploration_fraction, 1e-8)
    return start + jnp.minimum(share, 1.0) * (end - start)


def lasting(memory: Scalar, chance: Array, before: PyTree, fresh: PyTree) -> PyTree:
    """The noise of a choice, which stays what it was with probability ρ.

        xₜ = xₜ₋₁ with probability ρ, else drawn anew

    Each xₜ by itself is distributed as if ρ = 0, and so is each choice among the same values; a try
    lasts 1 / (1 − ρ) steps in the mean.
    Reference: Dabney et al. 2020, arXiv:2006.01782 (εz-greedy, where only tries last).
    """
    return select(chance < memory, before, fresh)


def by_epsilon() -> Exploration:
    """The best action, or at the rate ε any legal one."""
    return Exploration(lambda key, shape: jax.random.uniform(key, (*shape, 2)), epsilon_greedy)


def by_ladder(first: Scalar, last: Scalar) -> Exploration:
    """A rate of its own for each environment, from the first to the last by equal factors.

    Reference: Horgan et al. 2018, arXiv:1803.00933, where εᵢ = 0.4 ^ (1 + 7 i / (N − 1)).
    """

    def choose(q: Array, noise: Array, rate: Array, mask: Array | None) -> Array:
        del rate  # it does not change with time
        share = jnp.arange(len(q), dtype=jnp.float32) / max(len(q) - 1, 1)
        return epsilon_greedy(q, noise, first ** (1 - share) * last**share, mask)

    return by_epsilon()._replace(choose=choose)


def by_values(num_actions: int, temperature: Scalar) -> Exploration:
    """Any action, the better the likelier: a softmax of the values."""

    def choose(q: Array, noise: Array, rate: Array, mask: Array | None) -> Array:
        return boltzmann(q, noise, temperature, mask)

    return Exploration(lambda key, shape: jax.random.gumbel(key, (*shape, num_actions)), choose)


def by_rank(num_actions: int, k: int) -> Exploration:
    """The best action, or at the rate ε one of the k best."""

    def noise(key: Array, shape: tuple[int, ...]) -> tuple[Array, Array]:
        k_whether, k_which = jax.random.split(key)
        gumbel = jax.random.gumbel(k_which, (*shape, num_actions))
        return jax.random.uniform(k_whether, shape), gumbel

    def choose(q: Array, noise: tuple[Array, Array], rate: Array, mask: Array | None) -> Array:
        whether, which = noise
        return jnp.where(whether < rate, top_k(q, which, k, mask), greedy(q, mask))

    return Exploration(noise, choose)


def by_nothing() -> Exploration:
    """The best action: whatever explores is in the network."""
    return Exploration(lambda key, shape: (), lambda q, noise, rate, mask: greedy(q, mask))
