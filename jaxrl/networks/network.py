"""Networks with or without memory, as pure functions of parameters, observations and memory."""

from collections.abc import Callable
from typing import NamedTuple

import jax
from flax import linen as nn

from jaxrl import checks
from jaxrl.numerics import select
from jaxrl.types import Array, MaskedObs, PyTree


class Network(NamedTuple):
    """What maps observations to outputs [..., P], and what it remembers meanwhile."""

    init: Callable[[Array, PyTree], PyTree]  # key, obs [N, ...] -> params
    carry: Callable[[int], PyTree]  # num_envs -> initial memory [N, ...], () if there is none
    step: Callable[[PyTree, PyTree, PyTree], tuple[Array, PyTree]]  # params, obs [N, ...], carry
    # -> output [N, P], carry
    unroll: Callable[[PyTree, PyTree, PyTree, Array], tuple[Array, PyTree]]  # params,
    # obs [T, N, ...], carry [N, ...], reset [T, N] -> output [T, N, P], carries after each step


def content(obs: PyTree) -> PyTree:
    """The observation without its action mask."""
    return obs.obs if isinstance(obs, MaskedObs) else obs


def action_mask(obs: PyTree) -> Array | None:
    """Which actions are legal; None if the observation does not say."""
    return obs.action_mask if isinstance(obs, MaskedObs) else None


def feed_forward(module: nn.Module) -> Network:
    """A module observation -> output, which remembers nothing."""

    def step(params: PyTree, obs: PyTree, carry: PyTree) -> tuple[Array, PyTree]:
        return _apply(module, params, content(obs)), carry

    return Network(
        init=lambda key, obs: _init(module, key, content(obs)),
        carry=lambda num_envs: (),
        step=step,
        unroll=lambda params, obs, carry, reset: step(params, obs, carry),
    )


def sized(network: Network, size: int) -> Network:
    """The network, which must give `size` numbers: one sentence when it is traced if not."""

    def checked(output: Array, carry: PyTree) -> tuple[Array, PyTree]:
        if output.shape[-1] != size:
            raise ValueError(
                f"networks must give {size} numbers of each observation, not {output.shape[-1]}"
            )
        return output, carry

    return network._replace(
        step=lambda *asked: checked(*network.step(*asked)),
        unroll=lambda *asked: checked(*network.unroll(*asked)),
    )


def recurrent(torso: nn.Module, cell: nn.RNNCellBase, head: nn.Module) -> Network:
    """Observation -> torso -> cell -> head; `reset[t]` empties the memory ahead of step t.

    Torso and head see all steps of an unroll at once; only the cell runs step by step.
    """

    def empty(leading: tuple[int, ...]) -> PyTree:
        return cell.initialize_carry(jax.random.key(0), (*leading, 1))  # its size is the cell's own

    def init(key: Array, obs: PyTree) -> PyTree:
        for_torso, for_cell, for_head = jax.random.split(key, 3)
        params = _init(torso, for_torso, content(obs))
        features = _apply(torso, params, content(obs))
        memory = empty(features.shape[:-1])
        core = _init(cell, for_cell, memory, features)
        output = _apply(cell, core, memory, features)[1]
        return {"torso": params, "cell": core, "head": _init(head, for_head, output)}

    def step(params: PyTree, obs: PyTree, carry: PyTree) -> tuple[Array, PyTree]:
        features = _apply(torso, params["torso"], content(obs))
        carry, output = _apply(cell, params["cell"], carry, features)
        return _apply(head, params["head"], output), carry

    def unroll(params: PyTree, obs: PyTree, carry: PyTree, reset: Array) -> tuple[Array, PyTree]:
        first = empty(reset.shape[1:])

        def one(carry: PyTree, now: tuple[Array, Array]) -> tuple[PyTree, tuple[PyTree, Array]]:
            features, reset = now
            carry, output = _apply(cell, params["cell"], select(reset, first, carry), features)
            return carry, (carry, output)

        features = _apply(torso, params["torso"], content(obs))
        carries, outputs = jax.lax.scan(one, carry, (features, reset))[1]
        return _apply(head, params["head"], outputs), carries

    return Network(init, lambda num_envs: empty((num_envs,)), step, unroll)


def memory(kind: str, size: int) -> nn.RNNCellBase:
    """A recurrent cell with `size` numbers of memory: "gru" or "lstm"."""
    cells = {"gru": nn.GRUCell, "lstm": nn.OptimizedLSTMCell}
    if kind not in cells:
        raise ValueError(f"kind must be one of {', '.join(cells)}, not {kind!r}")
    checks.at_least(1, size=size)
    return cells[kind](features=size)


def _init(module: nn.Module, key: Array, *inputs: PyTree) -> PyTree:
    return module.init(key, *inputs).get("params", {})


def _apply(module: nn.Module, params: PyTree, *inputs: PyTree) -> PyTree:
    return module.apply({"params": params}, *inputs)
