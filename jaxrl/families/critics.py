"""Several critics with one stacked tree of parameters: what they are asked, whose word counts."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxrl.families.box import Span
from jaxrl.families.value_head import Head, taken
from jaxrl.formulas.value_losses import squared_loss
from jaxrl.networks import Network, content
from jaxrl.types import Array, PyTree


class Critics(NamedTuple):
    """Networks of one shape, whose parameters have an axis of critics in front, [K, ...]."""

    init: Callable[[Array, PyTree], PyTree]  # key, obs [N, ...] -> params
    ask: Callable[[PyTree, PyTree, Array | None], Array]  # params, obs, action ->
    # [K, B, size]; of every action, [K, B, A, size], where the action is None


class Jury(NamedTuple):
    """How many critics there are, and how many of them have a say in what."""

    num_critics: int
    num_judges: int  # drawn for each target, of whom the one that expects least counts
    num_voters: int  # whom the actor follows: the first so many
    verdict: Callable[[Array], Array]  # what they say together, [K, ...] -> [...]


def of_box(network: Network, span: Span, num_critics: int) -> Critics:
    """Critics of pairs of an observation and an action, which they see between −1 and 1."""

    def init(key: Array, obs: PyTree) -> PyTree:
        num_rows = len(jax.tree.leaves(obs)[0])
        pair = content(obs), jnp.zeros((num_rows, span.num_dims))
        return _stacked(network, key, pair, num_critics)

    def ask(params: PyTree, obs: PyTree, action: Array | None) -> Array:
        assert action is not None
        return _each(network, params, (content(obs), span.unit(action)))

    return Critics(init, ask)


def of_choices(network: Network, num_actions: int, size: int, num_critics: int) -> Critics:
    """Critics of observations, which speak of all actions at once."""

    def init(key: Array, obs: PyTree) -> PyTree:
        return _stacked(network, key, obs, num_critics)

    def ask(params: PyTree, obs: PyTree, action: Array | None) -> Array:
        flat = _each(network, params, obs)
        numbers = flat.reshape(*flat.shape[:-1], num_actions, size)
        return (
            numbers if action is None else taken(numbers, jnp.broadcast_to(action, flat.shape[:-1]))
        )

    return Critics(init, ask)


def drawn(key: Array, jury: Jury) -> Array | None:
    """The critics that judge this time; None if all do.

    Reference: Chen et al. 2021, arXiv:2101.05982, algorithm 1 (REDQ).
    """
    if jury.num_judges == jury.num_critics:
        return None
    return jax.random.permutation(key, jury.num_critics)[: jury.num_judges]


def least(head: Head, numbers: Array) -> Array:
    """Row by row the numbers of the critic that expects least, [K, ..., size] -> [..., size].

    Of expected values this is `min_value`.
    """
    if len(numbers) == 1:
        return numbers[0]
    lowest = head.mean(numbers).argmin(0)
    return jnp.take_along_axis(numbers, lowest[None, ..., None], 0)[0]


def squared(head: Head) -> Head:
    """The scalar head with a squared loss in place of its own."""
    return head._replace(loss=lambda x, tau, target: squared_loss(x[..., 0], target[..., 0]))


def _stacked(network: Network, key: Array, obs: PyTree, num_critics: int) -> PyTree:
    return jax.vmap(network.init, (0, None))(jax.random.split(key, num_critics), obs)


def _each(network: Network, params: PyTree, obs: PyTree) -> Array:
    return jax.vmap(lambda params: network.step(params, obs, ())[0])(params)
