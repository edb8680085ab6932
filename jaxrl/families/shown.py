"""Where responses to learn from come from, if not from the policy of now: shown, or kept.

As `lagged` these are learners around a learner: a loop of prompts asks them, and has no more to
know. A kept response counts as generated each time it is learnt from.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxrl.families.language import by_parts, prompts_first, prompts_last
from jaxrl.text import Prompts, Response, num_places, take
from jaxrl.types import Array, Learner, LearnerState, Metrics, PyTree


def shown(learner: Learner, response: Callable[[Prompts], Response]) -> Learner:
    """A learner that is shown what to learn from: demonstrations, or examples of a file."""

    def act(
        state: LearnerState, prompts: Prompts, noise: PyTree, carry: PyTree
    ) -> tuple[Response, tuple[()], PyTree]:
        return response(prompts), (), carry

    return learner._replace(act=act)


class Kept(NamedTuple):
    """The learner's slots, and what was said at the start."""

    slots: PyTree
    response: Response  # to the prompt of each index, prompts first, [N, T, G]; `ended` [N, 1, G]


def kept(learner: Learner, prompts: Prompts, group_size: int, chunk: int) -> Learner:
    """A learner that learns from what it said to all prompts before it learnt anything.

    Args:
      chunk: prompts that are answered at once.
    """
    num = len(prompts.index)

    def outer(state: LearnerState, response: Response) -> LearnerState:
        return state._replace(slots=Kept(state.slots, response))

    def inner(state: LearnerState) -> LearnerState:
        return state._replace(slots=state.slots.slots)

    def init(key: Array, start: PyTree) -> LearnerState:
        k_learner, k_noise = jax.random.split(key)
        state = learner.init(k_learner, start)
        rows = jnp.arange(-(-num // chunk) * chunk) % num  # the last chunk is filled up
        noise = learner.noise(k_noise, (len(rows), group_size))

        def answer(part: tuple[Array, Array]) -> Response:
            asked, noise = part
            return first(learner.act(state, take(prompts, asked), noise, ())[0])

        response = by_parts(answer, (rows, noise), len(rows) // chunk)

        def placed(said: Array) -> Array:
            table = jnp.zeros((num_places(prompts), *said.shape[1:]), said.dtype)
            return table.at[prompts.index].set(said[:num])

        return outer(state, jax.tree.map(placed, response))

    def act(
        state: LearnerState, asked: Prompts, noise: PyTree, carry: PyTree
    ) -> tuple[Response, tuple[()], PyTree]:
        said = jax.tree.map(lambda x: x[asked.index], state.slots.response)
        return last(said), (), carry

    def update(key: Array, state: LearnerState, data: PyTree) -> tuple[LearnerState, Metrics]:
        new, metrics = learner.update(key, inner(state), data)
        return outer(new, state.slots.response), metrics

    return learner._replace(init=init, act=act, update=update)


def first(response: Response) -> Response:
    """A response with the prompts' axis first, [P, T, G]."""
    return prompts_first(response._replace(ended=response.ended[None]))


def last(response: Response) -> Response:
    """A response with time first again."""
    turned = prompts_last(response)
    return turned._replace(ended=turned.ended[0])
