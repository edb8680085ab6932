"""Network modules: flax linen, observation -> output, with any number of leading axes."""

import dataclasses
import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
from flax import linen as nn

from jaxrl.networks.product import dense_product
from jaxrl.numerics import floats
from jaxrl.types import Array, Box, Discrete, MultiDiscrete, PyTree, Space

ACTIVATIONS: dict[str, Callable[[Array], Array]] = {
    "tanh": jnp.tanh,
    "relu": nn.relu,
    "silu": nn.silu,
    "gelu": nn.gelu,
    "elu": nn.elu,
}

ObsRank = int | tuple[int, ...]
"""How many axes one observation has; for a tree of arrays one number for all, or for each leaf.

−n stands for a choice of n, a number without axes that enters one-hot.
"""


def obs_rank(space: PyTree) -> ObsRank:
    """The `obs_rank` of the modules, from an observation space or a tree of them."""
    spaces = jax.tree.leaves(space, is_leaf=lambda x: isinstance(x, Box | Discrete | MultiDiscrete))
    ranks = tuple(map(_rank, spaces))
    return ranks[0] if len(ranks) == 1 else ranks


def has_choices(space: PyTree) -> bool:
    """Whether a part of the observations is a choice, whose number means nothing by itself."""
    rank = obs_rank(space)
    return min((rank,) if isinstance(rank, int) else rank) < 0


def _rank(space: Space) -> int:
    if isinstance(space, Discrete):
        return -space.num_values
    return len(space.shape) if isinstance(space, Box) else 1


def activation_of(name: str) -> Callable[[Array], Array]:
    """The activation function of a name."""
    if name not in ACTIVATIONS:
        raise ValueError(f"activation must be one of {', '.join(ACTIVATIONS)}, not {name!r}")
    return ACTIVATIONS[name]


def flatten(obs: PyTree, obs_rank: ObsRank) -> Array:
    """All arrays of an observation as one vector of floats, [..., D]; leading axes stay."""
    leaves = jax.tree.leaves(obs)
    ranks = (obs_rank,) * len(leaves) if isinstance(obs_rank, int) else obs_rank
    if len(ranks) != len(leaves):
        raise ValueError(f"obs_rank must be an integer or {len(leaves)} of them, not {obs_rank}")
    flat = [_flat(x, rank) for x, rank in zip(leaves, ranks, strict=True)]
    return flat[0] if len(flat) == 1 else jnp.concatenate(flat, -1)


def _flat(x: Array, rank: int) -> Array:
    if rank < 0:
        return jax.nn.one_hot(x, -rank, dtype=jnp.float32)
    if x.ndim < rank:
        raise ValueError(f"obs must have at least {rank} axes (obs_rank), not the shape {x.shape}")
    split = x.ndim - rank
    return floats(x).reshape(*x.shape[:split], math.prod(x.shape[split:]))


class MLP(nn.Module):
    """Dense layers over the flattened observation; orthogonal weights, no bias at first.

    Fields:
      sizes: of the hidden layers.
      final_size: of the output; None ends with the last hidden layer, as a torso does.
      final_scale: of the output's initial weights: 0.01 makes a policy begin without preference.
      obs_rank: axes of one observation; all axes before them are batch axes.
      layer_norm: normalise each hidden layer ahead of its activation.
      std: "independent": the second half of the output is one learnt log σ, 0 at first, whatever
        the observation; "dependent" or None: all of the output depends on the observation.
    """

    sizes: tuple[int, ...]
    activation: str = "tanh"
    final_size: int | None = None
    final_scale: float = 1.0
    obs_rank: ObsRank = 1
    layer_norm: bool = False
    std: str | None = None

    @nn.compact
    def __call__(self, obs: PyTree) -> Array:
        """Observations [..., *shape] -> [..., final_size]."""
        activation = activation_of(self.activation)
        x = flatten(obs, self.obs_rank)
        for i, size in enumerate(self.sizes):
            x = dense(size, math.sqrt(2), f"dense_{i}")(x)
            x = nn.LayerNorm(name=f"norm_{i}")(x) if self.layer_norm else x
            x = activation(x)
        return x if self.final_size is None else self._output(x, self.final_size)

    def _output(self, x: Array, size: int) -> Array:
        if self.std not in (None, "dependent", "independent"):
            raise ValueError(f"std must be 'independent', 'dependent' or None, not {self.std!r}")
        if self.std != "independent":
            return dense(size, self.final_scale, "output")(x)
        if size % 2:
            raise ValueError(f"final_size must be even for means and log σ, not {size}")
        mean = dense(size // 2, self.final_scale, "output")(x)
        log_std = self.param("log_std", nn.initializers.zeros_init(), (size // 2,))
        return jnp.concatenate([mean, jnp.broadcast_to(log_std, mean.shape)], -1)


class CNN(nn.Module):
    """3 × 3 convolutions without padding over images [..., H, W, C], then an `MLP`.

    Fields:
      features: channels of each convolution.
      The others are those of `MLP`.
    """

    features: tuple[int, ...] = (16,)
    sizes: tuple[int, ...] = (128,)
    activation: str = "relu"
    final_size: int | None = None
    final_scale: float = 1.0
    obs_rank: int = 3
    layer_norm: bool = False
    std: str | None = None

    @nn.compact
    def __call__(self, obs: Array) -> Array:
        """Observations [..., H, W, C] -> [..., final_size]."""
        if self.obs_rank != 3:
            raise ValueError(f"obs_rank must be 3 for images [H, W, C], not {self.obs_rank}")
        if obs.ndim < 3:
            raise ValueError(f"obs must be images [..., H, W, C], not of shape {obs.shape}")
        activation = activation_of(self.activation)
        x = floats(obs)
        init = nn.initializers.orthogonal(math.sqrt(2))
        for i, size in enumerate(self.features):
            conv = nn.Conv(size, (3, 3), padding="VALID", kernel_init=init, name=f"conv_{i}")
            x = activation(conv(x))
        rest = {name: getattr(self, name) for name in _own_fields(MLP)}
        return MLP(**rest, name="mlp")(x)


def _own_fields(module: type[nn.Module]) -> list[str]:
    """The fields that linen did not add."""
    names = [field.name for field in dataclasses.fields(module)]
    return [name for name in names if name not in ("parent", "name")]


def dense(size: int, scale: float, name: str) -> nn.Dense:
    """A dense layer with orthogonal weights of a scale, and no bias at first."""
    init = nn.initializers.orthogonal(scale)
    return nn.Dense(size, kernel_init=init, name=name, dot_general=dense_product)
