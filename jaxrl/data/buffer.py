"""What replay is: a memory of steps, and the batches that learners are fed from it."""

from collections.abc import Callable
from typing import Any, NamedTuple

from jaxrl.types import Array, PyTree, Transition


class Sample(NamedTuple):
    """A batch that was drawn, where it lies, and what each of its rows counts."""

    data: Any  # `Transition`s, or what a combinator makes of them, [B, ...]
    index: PyTree  # places, [B]
    weight: Array  # 1 / (N p) over the greatest of the batch, [B]


class Experience(NamedTuple):
    """What a learner of values sees of one or more steps, [B, ...]."""

    obs: PyTree
    action: PyTree
    extras: PyTree
    reward: Array
    discount: Array  # γᵏ (1 − terminated) after k steps
    next_obs: PyTree


def placeless(*_: Any) -> Any:
    """Stands for what a buffer lacks whose rows cannot be read by place."""
    raise TypeError("a combinator needs a buffer whose rows can be read by place")


class Buffer(NamedTuple):
    """Replay: the first five verbs are a loop's, the others a combinator's `Buffer -> Buffer`.

    A place says where a row lies: an integer, or what a combinator adds to it. Environments go in
    lockstep, and each has a ring of its own.
    """

    init: Callable[[PyTree], PyTree]  # example of one environment's `Transition` -> state
    add: Callable[[PyTree, Transition], PyTree]  # state, [N, ...] -> state
    draw: Callable[[Array, tuple[int, ...]], PyTree]  # key, shape -> all that `sample` consumes
    sample: Callable[[PyTree, PyTree], Sample]  # state, noise [B, ...] -> batch
    reprioritise: Callable[[PyTree, PyTree, Array], PyTree]  # state, places, priority [B] -> state
    read: Callable[[PyTree, PyTree], Any] = placeless  # state, places of any shape -> their rows
    after: Callable[[PyTree, Array], PyTree] = placeless  # places [...], steps [K] -> [K, ...]
    span: Callable[[PyTree], tuple[PyTree, Array]] = placeless  # state -> the oldest places that
    # may be drawn, [N], and how many each environment has
    whole: Callable[[PyTree, PyTree], Array] = placeless  # state, places -> whether all of their
    # rows is still there; one that is not comes with weight 0
    reached: Callable[[PyTree, PyTree], Array] = placeless  # state, places -> whether what they
    # reached is still there; a terminated row may be whole without it
    margin: Callable[[int, int], "Buffer"] = placeless  # k, j -> the same buffer, which draws none
    # of each environment's k newest and j oldest rows
    window: int = 1  # steps of an environment by which one row of it may be drawn
    looks: bool = False  # whether it reads observations, which must then come as they are
