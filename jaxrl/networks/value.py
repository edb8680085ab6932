"""Networks of action values: numbers for each action, with what chance they may take.

Noisy layers and sampled quantile levels are inputs like others: a pass is a pure function of
parameters, observations and a draw.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import linen as nn

from jaxrl.formulas.distributional import quantile_midpoints
from jaxrl.formulas.value_targets import dueling
from jaxrl.networks.core import CNN, MLP, ObsRank, activation_of, dense, flatten
from jaxrl.networks.network import Network, content, recurrent
from jaxrl.networks.noisy import NoisyDense, noise_like
from jaxrl.numerics import cosine_of_half_turns
from jaxrl.types import Array, Box, Discrete, MultiDiscrete, PyTree, Space

NUM_COSINES = 64


class Chance(NamedTuple):
    """What one pass leaves to chance; None where it leaves nothing."""

    weights: PyTree = None  # factors of noisy layers: one draw for all rows, or one for each
    tau: Array | None = None  # levels of an implicit quantile network, [B, K]


class Said(NamedTuple):
    """What a network says of observations."""

    numbers: Array  # of each action, [..., A, size]
    tau: Array | None  # the levels that these are for, [K] or [..., K]; None if it knows none


class ValueNetwork(NamedTuple):
    """What maps observations to numbers for each action, and what it remembers meanwhile."""

    init: Callable[[Array, PyTree], PyTree]  # key, obs [N, ...] -> params
    weights: Callable[[Array, tuple[int, ...]], PyTree]  # key, shape -> noise of the weights
    tau: Callable[[Array, tuple[int, ...]], Array | None]  # key, shape -> levels
    carry: Callable[[int], PyTree]  # num_envs -> initial memory [N, ...], () if there is none
    step: Callable[[PyTree, PyTree, PyTree, Chance], tuple[Said, PyTree]]  # params, obs [N, ...],
    # carry, chance -> what it says, carry
    unroll: Callable[[PyTree, PyTree, PyTree, Array, Chance], tuple[Said, PyTree]]  # params,
    # obs [T, N, ...], carry, reset [T, N], chance of [N] -> what it says, carries after each step


class ValueModule(nn.Module):
    """Convolutions if asked for, dense layers, and numbers for each action, [..., A, size].

    Fields:
      num_actions: A, with one more for a dueling value.
      size: numbers for each action; None for a number at each level τ, [..., A, K].
      features: channels of convolutions; None for none.
      noisy_std: σ₀ of noisy layers; None for plain ones.
      The others are those of `MLP`.
    """

    sizes: tuple[int, ...]
    num_actions: int
    size: int | None = 1
    activation: str = "relu"
    features: tuple[int, ...] | None = None
    obs_rank: ObsRank = 1
    layer_norm: bool = False
    noisy_std: float | None = None

    @nn.compact
    def __call__(self, obs: PyTree, tau: Array | None = None) -> Array:
        """Observations [..., *shape] -> [..., A, size]."""
        activation = activation_of(self.activation)
        if self.features is None:
            x = flatten(obs, self.obs_rank)
        else:
            x = CNN(self.features, (), self.activation, name="cnn")(obs)
        for i, size in enumerate(self.sizes):
            if tau is not None and i == len(self.sizes) - 1:
                level = tau.reshape((1,) * (x.ndim - tau.ndim) + tau.shape)
                x = x[..., None, :] * self._embedded(level, x.shape[-1])
            x = self._dense(size, math.sqrt(2), f"dense_{i}")(x)
            x = nn.LayerNorm(name=f"norm_{i}")(x) if self.layer_norm else x
            x = activation(x)
        x = self._dense(self.num_actions * (self.size or 1), 1.0, "output")(x)
        if self.size is None:
            return jnp.swapaxes(x, -1, -2)
        return x.reshape(*x.shape[:-1], self.num_actions, self.size)

    def _dense(self, size: int, scale: float, name: str) -> nn.Module:
        if self.noisy_std is None:
            return dense(size, scale, name)
        return NoisyDense(size, self.noisy_std, name=name)

    def _embedded(self, tau: Array, width: int) -> Array:
        """Levels [..., K] -> [..., K, width]: cosines, as in arXiv:1806.06923, eq. 4."""
        waves = jnp.arange(NUM_COSINES, dtype=jnp.float32).reshape((1,) * tau.ndim + (-1,))
        cosines = cosine_of_half_turns(waves * tau[..., None])
        return nn.relu(dense(width, math.sqrt(2), "tau")(cosines))


def value_network(module: ValueModule, space: PyTree, num_tau: int) -> ValueNetwork:
    """The functions of a module for a space; an implicit one is asked at `num_tau` levels."""
    levels = quantile_midpoints(num_tau)
    implicit = module.size is None
    if implicit and not module.sizes:
        raise ValueError("hidden_sizes must name a layer for the levels to enter, not be ()")

    def asked(obs: PyTree, chance: Chance) -> tuple[PyTree, ...]:
        if not implicit:
            return (content(obs),)
        return content(obs), levels if chance.tau is None else chance.tau

    def init(key: Array, obs: PyTree) -> PyTree:
        return module.init(key, *asked(obs, Chance()))["params"]

    def weights(key: Array, shape: tuple[int, ...]) -> PyTree:
        if module.noisy_std is None:
            return None
        variables = jax.eval_shape(module.init, key, *asked(_example(space), Chance()))
        return noise_like(key, shape, variables["noise"])

    def tau(key: Array, shape: tuple[int, ...]) -> Array | None:
        return jax.random.uniform(key, (*shape, num_tau)) if implicit else None

    def step(params: PyTree, obs: PyTree, carry: PyTree, chance: Chance) -> tuple[Said, PyTree]:
        known = {"params": params}
        if chance.weights is not None:
            known["noise"] = chance.weights
        inputs = asked(obs, chance)
        numbers = jnp.asarray(module.apply(known, *inputs))
        return Said(numbers, inputs[1] if implicit else None), carry

    return ValueNetwork(init, weights, tau, lambda num_envs: (), step, _at_once(step))


def plain_value_network(network: Network, num_actions: int, size: int) -> ValueNetwork:
    """A network of one's own, whose outputs [..., A · size] take no chance."""

    def step(params: PyTree, obs: PyTree, carry: PyTree, chance: Chance) -> tuple[Said, PyTree]:
        output, carry = network.step(params, obs, carry)
        return said(output), carry

    def unroll(
        params: PyTree, obs: PyTree, carry: PyTree, reset: Array, chance: Chance
    ) -> tuple[Said, PyTree]:
        output, carries = network.unroll(params, obs, carry, reset)
        return said(output), carries

    def said(output: Array) -> Said:
        return Said(output.reshape(*output.shape[:-1], num_actions, size), None)

    def nothing(key: Array, shape: tuple[int, ...]) -> None:
        return None

    return ValueNetwork(network.init, nothing, nothing, network.carry, step, unroll)


def remembering(torso: nn.Module, cell: nn.RNNCellBase, head: ValueNetwork) -> ValueNetwork:
    """Observation -> torso -> cell -> a network of action values, which sees the memory alone."""
    memory = recurrent(torso, cell, MLP(()))

    def init(key: Array, obs: PyTree) -> PyTree:
        k_memory, k_head = jax.random.split(key)
        params = memory.init(k_memory, obs)
        num_rows = jax.tree.leaves(obs)[0].shape[0]
        features, _ = memory.step(params, obs, memory.carry(num_rows))
        return params | {"head": head.init(k_head, features)}

    def step(params: PyTree, obs: PyTree, carry: PyTree, chance: Chance) -> tuple[Said, PyTree]:
        features, carry = memory.step(params, obs, carry)
        return head.step(params["head"], features, (), chance)[0], carry

    def unroll(
        params: PyTree, obs: PyTree, carry: PyTree, reset: Array, chance: Chance
    ) -> tuple[Said, PyTree]:
        features, carries = memory.unroll(params, obs, carry, reset)
        return head.unroll(params["head"], features, (), reset, chance)[0], carries

    return head._replace(init=init, carry=memory.carry, step=step, unroll=unroll)


def duelled(network: ValueNetwork) -> ValueNetwork:
    """A network whose first action is no action but the state's value: `dueling`."""

    def split(asked: tuple[Said, PyTree]) -> tuple[Said, PyTree]:
        (numbers, tau), carry = asked
        return Said(dueling(numbers[..., 0, :], numbers[..., 1:, :], axis=-2), tau), carry

    return network._replace(
        step=lambda *asked: split(network.step(*asked)),
        unroll=lambda *asked: split(network.unroll(*asked)),
    )


def _at_once(step: Callable[..., tuple[Said, PyTree]]) -> Callable[..., tuple[Said, PyTree]]:
    """The `unroll` of a network without memory: all steps in one pass, at the levels of a row."""

    def unroll(
        params: PyTree, obs: PyTree, carry: PyTree, reset: Array, chance: Chance
    ) -> tuple[Said, PyTree]:
        if chance.tau is not None:
            levels = jnp.broadcast_to(chance.tau, (len(reset), *chance.tau.shape))
            chance = chance._replace(tau=levels)
        return step(params, obs, carry, chance)

    return unroll


def _example(space: PyTree) -> PyTree:
    """One observation of a space."""

    def one(space: Space) -> Array:
        if isinstance(space, Box):
            return jnp.zeros((1, *space.shape), space.dtype)
        sizes = (1, len(space.num_values)) if isinstance(space, MultiDiscrete) else (1,)
        return jnp.zeros(sizes, jnp.int32)

    is_space = lambda x: isinstance(x, Box | Discrete | MultiDiscrete)  # noqa: E731
    return jax.tree.map(one, content(space), is_leaf=is_space)
