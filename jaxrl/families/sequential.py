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


class Pass(NamedTuple):
    """What a network says along sequences, from the stored memory on, [L, B, ...]."""

    numbers: Array
    carries: PyTree  # the memory after each step


def sequences(n: int, gamma: Scalar, burn_in: int, share: Scalar) -> Study:
    """The study of sequences of steps, [L, B, ...].

    Args:
      n: rewards that a target adds up; fewer where the episode or the sequence ends.
      burn_in: steps at the beginning from which nothing is learnt.
      share: of the greatest error in a sequence's priority; the mean error has the rest.
    """

    def view(network: ValueNetwork, state: LearnerState, data: Transition, luck: Chances) -> View:
        reset, learnt = starts(data.done), slice(burn_in, None)
        steps, anew = part((data._replace(extras=()), reset), learnt)
        experience, last = windows(steps, n, gamma)

        def passed(params: PyTree, chance: Chance) -> Pass:
            said, carries = network.unroll(params, data.obs, data.extras, reset, chance)
            return Pass(said.numbers, carries)

        def ahead(params: PyTree, along: Pass, chance: Chance) -> Array:
            return picked(reached(network, params, chance, steps, part(along, learnt)), last)

        online, target = passed(state.params, luck.online), passed(state.target, luck.target)
        memory = part(online.carries, burn_in - 1) if burn_in else data.extras
        look = Look(
            lambda: target.numbers[learnt],
            lambda: ahead(state.target, target, luck.target),
            lambda: ahead(state.params, online, luck.online),
        )

        def said(params: PyTree) -> Said:
            return network.unroll(params, steps.obs, memory, anew, luck.fitted)[0]

        return View(experience, look, said)

    return Study(view, lambda loss: loss.mean(0), lambda error: sequence_priority(error, share))


def reached(
    network: ValueNetwork, params: PyTree, chance: Chance, steps: Transition, along: Pass
) -> Array:
    """What a network says of what each step reached, with the memory after it, [L, B, A, size]."""

    def evaluate(obs: PyTree, carry: PyTree) -> Array:
        return network.step(params, obs, carry, chance)[0].numbers

    obs, memory = part((steps.next_obs, along.carries), -1)
    rollout = Rollout(steps, obs, (), memory)
    return next_values(evaluate, along.numbers, rollout, along.carries, memory)


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


def part(tree: PyTree, steps: int | slice) -> PyTree:
    """What belongs to some steps, or to one."""
    return jax.tree.map(lambda x: x[steps], tree)
