"""Learning action values from sequences, with a memory that begins where acting left it (R2D2).

The first steps of a sequence only bring the stored memory up to date, which older parameters made;
the others are learnt from. Where an episode ended the memory is empty again, and what a time limit
cut off is valued by what its step reached, with the memory of that episode.
Reference: Kapturowski et al. 2019, openreview.net/forum?id=r1lyTjAqYX.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxrl.data import Experience
from jaxrl.families.bootstrap import discounts, next_values
from jaxrl.families.policy import starts
from jaxrl.families.value import Chances, Study, View
from jaxrl.families.value_target import Look
from jaxrl.formulas.returns import n_step_return
from jaxrl.formulas.value_losses import sequence_priority
from jaxrl.networks.value import Chance, Said, ValueNetwork
from jaxrl.types import Array, LearnerState, PyTree, Rollout, Scalar, Transition


class Stretch(NamedTuple):
    """A part of sequences, and ahead of which steps the memory is emptied, [L, B, ...]."""

    steps: Transition
    reset: Array


def sequences(n: int, gamma: Scalar, burn_in: int, share: Scalar) -> Study:
    """The study of sequences of steps, [L, B, ...].

    Args:
      n: rewards that a target adds up; fewer where the episode or the sequence ends.
      burn_in: steps at the beginning from which nothing is learnt.
      share: of the greatest error in a sequence's priority; the mean error has the rest.
    """

    def view(network: ValueNetwork, state: LearnerState, data: Transition, luck: Chances) -> View:
        early, late = parted(data, burn_in)
        experience, last = windows(late.steps, n, gamma)

        def along(params: PyTree, memory: PyTree, chance: Chance) -> tuple[Said, PyTree]:
            return network.unroll(params, late.steps.obs, memory, late.reset, chance)

        def warm(params: PyTree) -> PyTree:
            if not burn_in:
                return data.extras
            obs, reset = early.steps.obs, early.reset
            return newest(network.unroll(params, obs, data.extras, reset, Chance())[1])

        def ahead(params: PyTree, memory: PyTree, chance: Chance) -> Array:
            def evaluate(obs: PyTree, carry: PyTree) -> Array:
                return network.step(params, obs, carry, chance)[0].numbers

            said, carries = along(params, memory, chance)
            after = newest(carries)
            rollout = Rollout(late.steps, newest(late.steps.next_obs), memory, after)
            return picked(next_values(evaluate, said.numbers, rollout, carries, after), last)

        online, target = warm(state.params), warm(state.target)
        look = Look(
            lambda: along(state.target, target, luck.target)[0].numbers,
            lambda: ahead(state.target, target, luck.target),
            lambda: ahead(state.params, online, luck.online),
        )
        return View(experience, look, lambda params: along(params, online, luck.fitted)[0])

    return Study(view, lambda loss: loss.mean(0), lambda error: sequence_priority(error, share))


def parted(data: Transition, burn_in: int) -> tuple[Stretch, Stretch]:
    """The steps that warm the memory up, and those that are learnt from."""
    whole = Stretch(data._replace(extras=()), starts(data.done))
    early = jax.tree.map(lambda x: x[:burn_in], whole)
    return early, jax.tree.map(lambda x: x[burn_in:], whole)


def windows(steps: Transition, n: int, gamma: Scalar) -> tuple[Experience, Array]:
    """At most n steps as one, from each step on, and the step that each window ends with, [L, B].

    The n-step return is linear in rewards and values, so that it says what they count for: of
    nothing but a value of 1 it is the discount, and of undiscounted rewards of 1 their number.
    """
    discount, done = discounts(gamma, steps.terminated), steps.done
    one, nothing = jnp.ones_like(steps.reward), jnp.zeros_like(steps.reward)
    number = n_step_return(one, nothing, one, done, n).astype(jnp.int32)
    last = jnp.arange(len(one))[:, None] + number - 1
    return Experience(
        obs=steps.obs,
        action=steps.action,
        extras=(),
        reward=n_step_return(steps.reward, nothing, discount, done, n),
        discount=n_step_return(nothing, one, discount, done, n),
        next_obs=picked(steps.next_obs, last),
    ), last


def picked(tree: PyTree, step: Array) -> PyTree:
    """Of leaves [L, B, ...] those of a step for each place, [L, B]."""

    def pick(x: Array) -> Array:
        return jnp.take_along_axis(x, step.reshape(*step.shape, *(1,) * (x.ndim - 2)), 0)

    return jax.tree.map(pick, tree)


def newest(tree: PyTree) -> PyTree:
    """What belongs to the last step."""
    return jax.tree.map(lambda x: x[-1], tree)
