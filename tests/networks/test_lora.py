"""Adapters: merged as unmerged, back to the bits of the base, on any tree."""

from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrl.networks import MLP
from jaxrl.networks.language import language_model
from jaxrl.networks.lora import Adapted, adapt, merge, unmerge, variables
from tests.formulas.near import assert_near
from tests.formulas.tools import sample
from tests.networks.speech import SHAPES, prompts, weights

KEY = jax.random.key(0)
MODEL = language_model(SHAPES["qwen2"]._replace(tied=False))
PARAMS = weights(MODEL)
ROWS = prompts([4, 9, 2], [7])


@cache
def logits():
    return jax.jit(
        lambda params: MODEL.hidden(params, ROWS.token, ROWS.mask) @ MODEL.unembedding(params)
    )


def trained(adapted):
    """Adapters that do something."""
    noise = iter(range(100))
    lora = jax.tree.map(lambda x: x + sample(next(noise), *x.shape, scale=0.3), adapted.lora)
    return adapted._replace(lora=lora)


def test_at_first_nothing_changes():
    adapted = adapt(KEY, PARAMS, rank=2, alpha=4.0)
    np.testing.assert_array_equal(logits()(adapted), logits()(PARAMS))
    a = adapted.lora["layer_0"]["up"]["a"]
    assert a.shape == (12, 2) and adapted.scale == 2.0
    assert 0.5 < float(a.std()) * 12**0.5 < 1.5
    drawn = [np.asarray(x).ravel()[0] for x in jax.tree.leaves(adapted.lora)]
    assert len({x for x in drawn if x}) == 4  # by a key for each


def test_merged_is_unmerged():
    """And merging is W + (α / r) A B, where it was asked for and nowhere else."""
    adapted = trained(adapt(KEY, PARAMS, 2, 4.0, ("qkv", "down/kernel$")))
    merged = merge(adapted)
    assert_near(logits()(merged), logits()(adapted), 1e-5)
    assert np.abs(logits()(merged) - logits()(PARAMS)).max() > 0.1
    layer, lora = PARAMS["layer_0"], adapted.lora["layer_0"]
    assert set(lora) == {"qkv", "down"}
    for name in lora:
        a, b = np.asarray(lora[name]["a"]), np.asarray(lora[name]["b"])
        expected = np.asarray(layer[name]["kernel"]) + 2.0 * a @ b
        assert_near(merged["layer_0"][name]["kernel"], expected, 1e-6)
        lora_free = {**layer[name], "kernel": merged["layer_0"][name]["kernel"]}
        assert merged["layer_0"][name].keys() == lora_free.keys()
    assert merged["layer_0"]["up"] is layer["up"]


def test_unmerging_gives_the_bits_back():
    """Of what was adapted; what else has been trained since stays."""
    adapted = trained(adapt(KEY, PARAMS, 2, 4.0, ("qkv",)))
    merged = merge(adapted)
    merged["norm"] = {"scale": merged["norm"]["scale"] + 1.0}
    back = unmerge(merged, adapted)
    expected = {**PARAMS, "norm": merged["norm"]}
    jax.tree.map(np.testing.assert_array_equal, back, expected)


def test_only_adapters_learn():
    adapted = trained(adapt(KEY, PARAMS, 2, 4.0, ("out",)))
    loss = lambda lora: jnp.square(logits()(adapted._replace(lora=lora))).sum()  # noqa: E731
    grad = jax.grad(loss)(adapted.lora)
    merged = lambda lora: jnp.square(logits()(merge(adapted._replace(lora=lora)))).sum()  # noqa: E731
    assert_near(grad, jax.grad(merged)(adapted.lora), 1e-4)
    whole = jax.grad(lambda x: jnp.square(logits()(x)).sum())(adapted)
    assert_near(whole.lora, grad, 1e-6)
    assert not any(x.any() for x in jax.tree.leaves((whole.base, jnp.asarray(whole.scale))))


def test_any_tree():
    """An agent's network, whose layers know nothing of adapters, is merged to be used."""
    module, obs = MLP((8, 8), final_size=2), sample(1, 5, 3)
    params = module.init(KEY, obs)["params"]
    adapted = trained(adapt(KEY, params, 1, 1.0, ("dense_1",)))
    assert set(adapted.lora) == {"dense_1"}
    plain, merged = ({"params": x} for x in (params, merge(adapted)))
    assert not np.allclose(np.asarray(module.apply(plain, obs)), module.apply(merged, obs))
    nested = {"a": {"a": {"kernel": jnp.ones((2, 3))}}, "b": {"kernel": jnp.ones((4,))}}
    adapted = trained(adapt(KEY, nested, 1, 1.0))
    assert merge(adapted)["a"]["a"]["kernel"].shape == (2, 3)
    jax.tree.map(np.testing.assert_array_equal, unmerge(merge(adapted), adapted), nested)
    assert set(variables(adapted)["lora"]["a"]["a"]) == {"a", "b"}


def test_what_is_refused():
    with pytest.raises(ValueError, match="'gate' is in none of layer_0/down/kernel, layer_0/out"):
        adapt(KEY, PARAMS, 2, 1.0, ("qkv", "gate"))
    with pytest.raises(ValueError, match="rank must be an integer of at least 1, not 0"):
        adapt(KEY, PARAMS, 0, 1.0)
    assert isinstance(adapt(KEY, PARAMS, 1, 1.0), Adapted)
