"""Dense layers with learnt noise on their weights, which explore in place of random actions."""

import math

import jax
import jax.numpy as jnp
from flax import linen as nn

from jaxrl.networks.product import dense_product
from jaxrl.types import Array, PyTree


class NoisyDense(nn.Module):
    """A dense layer whose weights carry factorised Gaussian noise.

        y = (μ + σ ⊙ f(εᵢ) f(εₒ)ᵀ)ᵀ x + μ_b + σ_b ⊙ f(εₒ),  f(ε) = sign(ε) √|ε|

    The factors f(ε) come in the collection "noise": one draw for all rows, [M] and [N], or one for
    each row, [B, M] and [B, N]. Without the collection the layer is the dense layer μ.
    Reference: Fortunato et al. 2018, arXiv:1706.10295, eq. 8 to 11.
    """

    size: int
    std: float = 0.5

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """[..., M] -> [..., size]."""
        width = x.shape[-1]
        bound = 1 / math.sqrt(width)
        mean, spread = _uniform(bound), nn.initializers.constant(self.std * bound)
        kernel = self.param("kernel", mean, (width, self.size))
        bias = self.param("bias", mean, (self.size,))
        kernel_std = self.param("kernel_std", spread, (width, self.size))
        bias_std = self.param("bias_std", spread, (self.size,))
        if self.is_initializing() or self.has_variable("noise", "input"):
            into = self.variable("noise", "input", jnp.zeros, (width,)).value
            out = self.variable("noise", "output", jnp.zeros, (self.size,)).value
            if into.ndim == 1:  # other weights, the same for all rows
                kernel, bias = kernel + kernel_std * jnp.outer(into, out), bias + bias_std * out
            else:
                into, out = _beside(into, x), _beside(out, x)
                noisy = dense_product(x * into, kernel_std) + _beside(bias_std, x)
                return dense_product(x, kernel) + _beside(bias, x) + out * noisy
        return dense_product(x, kernel) + _beside(bias, x)


def noise_like(key: Array, shape: tuple[int, ...], like: PyTree) -> PyTree:
    """Factors f(ε) for the collection of a module, `shape` in front of each."""
    leaves, treedef = jax.tree.flatten(like)
    sizes = [x.shape[-1] for x in leaves]
    normal = jax.random.normal(key, (*shape, sum(sizes)))
    # a barrier, or a compiler makes each factor anew for each weight that it enters
    factor = jax.lax.optimization_barrier(jnp.sign(normal) * jnp.sqrt(jnp.abs(normal)))
    ends = [sum(sizes[: i + 1]) for i in range(len(sizes) - 1)]
    return jax.tree.unflatten(treedef, jnp.split(factor, ends, -1))


def _beside(factor: Array, x: Array) -> Array:
    """Numbers for each row, [B, M], or for all, [M], beside the rows [B, ..., M]."""
    between = (1,) * (x.ndim - factor.ndim)
    return factor.reshape(*factor.shape[:-1], *between, factor.shape[-1])


def _uniform(bound: float) -> nn.initializers.Initializer:
    def init(key: Array, shape: tuple[int, ...], dtype: object = jnp.float32) -> Array:
        return jax.random.uniform(key, shape, dtype, -bound, bound)  # type: ignore[arg-type]

    return init
