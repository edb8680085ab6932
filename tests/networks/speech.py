"""Small models, prompts and responses for the tests of the language side."""

import jax
import jax.numpy as jnp
import numpy as np

from jaxrl.networks.attention import RotaryScaling
from jaxrl.networks.transformer import Shape
from jaxrl.text import Prompts, Response, Vocabulary

VOCABULARY = Vocabulary(11, eos=1, pad=0)
SMALL = Shape(11, width=12, num_heads=4, num_kept_heads=2, head_size=6, mlp_size=10, context=16)
SHAPES = {
    "llama": SMALL,
    "llama_scaled": SMALL._replace(
        num_layers=1, tied=False, rotary_scaling=RotaryScaling(4.0, 1.0, 2.0, 8), rotary_base=20.0
    ),
    "qwen2": SMALL._replace(num_layers=1, qkv_bias=True, norm_eps=1e-5),
    "qwen3": SMALL._replace(qk_norm=True, num_kept_heads=1, tied=False),
    "gpt2": SMALL._replace(
        norm="layer", position="learned", activation="gelu", gated=False, qkv_bias=True,
        out_bias=True, mlp_bias=True, num_kept_heads=4,
    ),
}  # fmt: skip


def weights(model, seed=0, size=0.3):
    """Parameters that are nowhere at their initial 0 or 1, so that each of them matters."""
    rng = np.random.default_rng(seed)
    shapes = jax.eval_shape(model.init, jax.random.key(0))
    paths, treedef = jax.tree.flatten_with_path(shapes)
    draw = [
        rng.normal(float("scale" in jax.tree_util.keystr(path)), size, x.shape) for path, x in paths
    ]
    return treedef.unflatten([jnp.asarray(x, jnp.float32) for x in draw])


def prompts(*rows, length=5, pad=0):
    """Rows of tokens, padded on the left."""
    token = np.full((length, len(rows)), pad, np.int32)
    mask = np.zeros((length, len(rows)), bool)
    for i, row in enumerate(rows):
        token[length - len(row) :, i] = row
        mask[length - len(row) :, i] = True
    return Prompts(jnp.asarray(token), jnp.asarray(mask), jnp.arange(len(rows)))


def said(response, p, g):
    """The tokens of one response that count."""
    return np.asarray(response.token)[np.asarray(response.mask)[:, p, g], p, g].tolist()


def responses(groups, num_tokens, pad=0):
    """Groups of rows of tokens, padded on the right."""
    token = np.full((num_tokens, len(groups), len(groups[0])), pad, np.int32)
    mask = np.zeros(token.shape, bool)
    for p, group in enumerate(groups):
        for g, row in enumerate(group):
            token[: len(row), p, g], mask[: len(row), p, g] = row, True
    ended = [[VOCABULARY.eos in row for row in group] for group in groups]
    zero = jnp.zeros(token.shape)
    return Response(jnp.asarray(token), jnp.asarray(mask), zero, jnp.asarray(ended))
