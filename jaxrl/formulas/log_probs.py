"""Log-probabilities of selected tokens, and entropies, without a log-softmax in memory.

Reading one number per token from a stored [..., V] log-softmax is what makes naive code run out of
memory. Here the gradient is formed from the logits and one normaliser per token; and where the
logits themselves are too large, they are made from the hidden states in chunks, twice.
"""

from functools import partial

import jax
import jax.numpy as jnp

from jaxrl import checks, softmax
from jaxrl.numerics import widen
from jaxrl.types import Array

CHUNK_ENTRIES = 2**22
"""Logits that `hidden_log_prob_and_entropy` holds at a time: 16 MiB in float32."""


def selected_log_prob(logits: Array, action: Array) -> Array:
    """Log-probability of the action taken, or of the token that came.

        log p(a) = xₐ − log Σₖ eˣᵏ,  ∂/∂xₖ = 1[k = a] − pₖ

    Args:
      logits: x, [..., A]; −∞ marks an impossible action.
      action: a, integers [...].
    Returns: [...], in float32 or wider.
    Reference: Blanchard et al. 2021, doi:10.1093/imanum/draa038 (log-sum-exp and softmax).
    >>> selected_log_prob(jnp.zeros((1, 4)), jnp.array([2]))
    Array([-1.3862944], dtype=float32)
    """
    checks.integer(checks.sequence(logits=logits)[:-1], action=action)
    return softmax.taken_and_entropy(logits, action)[0]


def log_prob_and_entropy(logits: Array, action: Array) -> tuple[Array, Array]:
    """Log-probability of the action taken and the entropy of the distribution it came from.

        log p(a) = xₐ − log Σₖ eˣᵏ,  H = −Σₖ pₖ log pₖ

    Args:
      logits: x, [..., A]; −∞ marks an impossible action.
      action: a, integers [...].
    Reference: as `selected_log_prob` and `categorical_entropy`, whose normaliser it shares.
    """
    checks.integer(checks.sequence(logits=logits)[:-1], action=action)
    return softmax.taken_and_entropy(logits, action)


def hidden_log_prob_and_entropy(
    hidden: Array, unembedding: Array, action: Array, chunk_size: int | None = None
) -> tuple[Array, Array]:
    """`log_prob_and_entropy` of logits = hidden · unembedding, a chunk of tokens at a time.

        x = h W,  log p(a) = xₐ − log Σₖ eˣᵏ,  H = −Σₖ pₖ log pₖ

    No more than `chunk_size` rows of logits exist at once, in either direction: the gradient makes
    them again. Divide `hidden` by the temperature at which the tokens were sampled.

    Args:
      hidden: h, [..., D], only at the positions that predict a response token.
      unembedding: W, [D, V].
      action: tokens, integers [...].
      chunk_size: a static integer; None holds `CHUNK_ENTRIES` logits at a time.
    Returns: (log p(a), H), each [...], in float32 or wider.
    Reference: Wijmans et al. 2024, arXiv:2411.09009; Chen et al. 2016, arXiv:1604.06174.
    """
    shape = checks.sequence(hidden=hidden)
    checks.same_shape(unembedding=unembedding)
    if unembedding.ndim != 2 or unembedding.shape[0] != shape[-1]:
        raise ValueError(
            f"unembedding must have the shape ({shape[-1]}, V) for hidden of shape {shape}, "
            f"not {unembedding.shape}"
        )
    checks.integer(shape[:-1], action=action)
    num_tokens = action.size
    if chunk_size is None:
        chunk_size = max(1, CHUNK_ENTRIES // unembedding.shape[1])
    checks.at_least(1, chunk_size=chunk_size)
    rows = min(chunk_size, num_tokens)

    def chunks(x: Array, width: tuple[int, ...]) -> Array:
        flat = jnp.reshape(x, (num_tokens, *width))
        padding = jnp.zeros((-num_tokens % rows, *width), x.dtype)
        return jnp.concatenate([flat, padding]).reshape(-1, rows, *width)

    wide = widen(unembedding)  # so that the chunks' gradients are summed in float32

    @partial(jax.checkpoint, prevent_cse=False)
    def one(chunk: tuple[Array, Array]) -> tuple[Array, Array]:
        table = wide.astype(unembedding.dtype)
        logits = jnp.matmul(chunk[0], table, preferred_element_type=wide.dtype)
        return log_prob_and_entropy(logits, chunk[1])

    outputs = jax.lax.map(one, (chunks(hidden, shape[-1:]), chunks(action, ())))
    return jax.tree.map(lambda x: x.ravel()[:num_tokens].reshape(shape[:-1]), outputs)
