"""Modules and networks: shapes, initial weights, memory, and what they refuse."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrl.networks import (
    CNN,
    MLP,
    action_mask,
    content,
    feed_forward,
    flatten,
    memory,
    obs_rank,
    recurrent,
)
from jaxrl.networks.product import dense_product
from jaxrl.types import Box, Discrete, MaskedObs, MultiDiscrete
from tests.formulas.tools import near, sample

KEY = jax.random.key(0)


def output(module, obs, key=KEY):
    params = jax.jit(module.init)(key, obs)
    return jax.jit(module.apply)(params, obs), params["params"]


def several(init, obs):
    """Parameters from two keys, stacked."""
    params = [init(key, obs) for key in (KEY, jax.random.key(1))]
    return jax.tree.map(lambda *x: jnp.stack(x), *params)


def test_mlp_is_its_equation():
    obs = sample(0, 6, 3)
    module = MLP((8, 5), "tanh", final_size=2, final_scale=0.01)
    y, params = output(module, obs)
    x = obs
    for name in ("dense_0", "dense_1"):
        x = np.tanh(x @ params[name]["kernel"] + np.asarray(params[name]["bias"])[None])
    near(y, x @ params["output"]["kernel"], 1e-5, 1e-7)
    assert set(params) == {"dense_0", "dense_1", "output"}
    assert MLP((8, 5)).init(KEY, obs)["params"].keys() == {"dense_0", "dense_1"}


@pytest.mark.parametrize(
    ("num_rows", "size_in", "size_out"),
    [
        *((7, 3, 5), (128, 64, 32), (128, 32, 64), (300, 64, 64), (512, 4, 64)),
        *((512, 64, 3), (512, 64, 64), (1024, 40, 64), (512, 128, 64), (512, 64, 128)),
    ],
)
def test_gradients_of_a_dense_layer_of_any_size(num_rows, size_in, size_out):
    x, weights, slope = (
        jax.random.normal(key, shape)
        for key, shape in zip(
            jax.random.split(KEY, 3),
            [(num_rows, size_in), (size_in, size_out), (num_rows, size_out)],
            strict=True,
        )
    )
    output, back = jax.vjp(dense_product, x, weights)
    x, weights, slope, *found = (
        np.asarray(a, np.float64) for a in (x, weights, slope, output, *back(slope))
    )
    for came, expected in zip(found, (x @ weights, slope @ weights.T, x.T @ slope), strict=True):
        np.testing.assert_allclose(came, expected, rtol=1e-4, atol=1e-4)


def test_initial_weights():
    """Orthogonal, of the scale asked for; biases and log σ are 0."""
    module = MLP((16, 16), final_size=4, final_scale=0.01, std="independent")
    _, params = output(module, sample(1, 2, 20))
    for name, scale in (("dense_0", 2), ("dense_1", 2), ("output", 1e-4)):
        kernel = np.asarray(params[name]["kernel"])
        near(kernel.T @ kernel / scale, np.eye(kernel.shape[1]), 1e-4, 1e-4)
        near(params[name]["bias"], np.zeros(kernel.shape[1]), 0, 0)
    near(params["log_std"], np.zeros(2), 0, 0)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("tanh", np.tanh),
        ("relu", lambda x: np.maximum(x, 0)),
        ("silu", lambda x: x / (1 + np.exp(-x))),
        ("gelu", lambda x: x * np.vectorize(math.erf)(x / 2**0.5) / 2 + x / 2),
        ("elu", lambda x: np.where(x > 0, x, np.expm1(x))),
    ],
)
def test_activations(name, expected):
    obs = sample(2, 50, 3)
    y, params = output(MLP((4,), name), obs)
    near(y, expected(obs @ params["dense_0"]["kernel"]), 2e-3, 1e-3)  # gelu by its tanh form


def test_layer_norm():
    """Each hidden layer has mean 0 and variance 1 ahead of its activation."""
    obs = 100 * sample(3, 5, 3) + 7
    y, params = output(MLP((32,), "relu", layer_norm=True), obs)
    assert set(params) == {"dense_0", "norm_0"}
    x = obs @ np.asarray(params["dense_0"]["kernel"])
    x = (x - x.mean(-1, keepdims=True)) / x.std(-1, keepdims=True)
    near(y, np.maximum(x, 0), 1e-3, 1e-3)


@pytest.mark.parametrize("std", [None, "dependent", "independent"])
def test_std(std):
    """An independent σ is the same at all observations, and is learnt."""
    obs = sample(4, 2, 9, 3)
    module = MLP((8,), final_size=6, std=std)
    y, params = output(module, obs)
    assert y.shape == (2, 9, 6)
    assert ("log_std" in params) == (std == "independent")
    varies = np.std(y, (0, 1)) > 1e-3
    assert varies[:3].all()
    assert np.all(varies[3:] == (std != "independent"))
    if std == "independent":
        log_std = np.array([0.1, 0.2, 0.3], np.float32)
        y, _ = feed_forward(module).step({**params, "log_std": log_std}, obs, ())
        near(y[..., 3:], np.broadcast_to(log_std, (2, 9, 3)))


def test_cnn_is_its_equation():
    obs = sample(5, 2, 3, 10, 10, 4) > 0.5
    y, params = output(CNN(final_size=6), obs)
    kernel, x = np.asarray(params["conv_0"]["kernel"], float), obs.astype(float)
    assert kernel.shape == (3, 3, 4, 16)
    patches = np.lib.stride_tricks.sliding_window_view(x, (3, 3), (-3, -2))
    x = np.maximum(np.einsum("...cij,ijcf->...f", patches, kernel), 0).reshape(2, 3, -1)
    x = np.maximum(x @ np.asarray(params["mlp"]["dense_0"]["kernel"], float), 0)
    assert x.shape == (2, 3, 128)
    near(y, x @ np.asarray(params["mlp"]["output"]["kernel"], float), 1e-4, 1e-4)


MODULES = {
    "vector": (MLP((8,), final_size=3), (4,)),
    "number": (MLP((8,), final_size=3, obs_rank=0), ()),
    "image": (MLP((8,), final_size=3, obs_rank=3), (5, 5, 2)),
    "cnn": (CNN((4,), (8,), final_size=3, layer_norm=True), (5, 5, 2)),
}


@pytest.mark.parametrize("name", MODULES)
def test_leading_axes_are_arbitrary(name):
    """One observation, a batch, a rollout: each the same as one by one, also under vmap."""
    module, shape = MODULES[name]
    network = feed_forward(module)
    init, step = jax.jit(network.init), jax.jit(network.step)
    obs = sample(6, 2, 3, 4, *shape)
    params = init(KEY, obs[0, 0])
    y, carry = network.unroll(params, obs, (), jnp.ones(obs.shape[:2], bool))
    assert y.shape == (2, 3, 4, 3)
    assert carry == network.carry(4) == ()
    near(step(params, obs[0], ())[0], y[0], 1e-5, 1e-6)
    near(step(params, obs[1, 2, 3], ())[0], y[1, 2, 3], 1e-5, 1e-6)
    many = several(init, obs[0, 0])
    together = jax.jit(jax.vmap(network.step, (0, None, None)))(many, obs, ())[0]
    assert together.shape == (2, 2, 3, 4, 3)
    near(together[0], y, 1e-4, 1e-5)
    assert np.abs(together[0] - together[1]).max() > 1e-3


def test_trees_of_observations():
    """Flattened and put side by side, whatever their types and ranks."""
    obs = {"a": sample(7, 5, 2, 3), "b": np.arange(5, dtype=np.int32), "c": np.ones((5, 4), bool)}
    spaces = {"a": Box(0.0, 1.0, (2, 3)), "b": Discrete(5), "c": MultiDiscrete((2,) * 4)}
    rank = obs_rank(spaces)
    assert rank == (2, -5, 1)  # a choice of 5 comes one-hot
    flat = flatten(obs, rank)
    near(flat, np.concatenate([obs["a"].reshape(5, 6), np.eye(5)[obs["b"]], obs["c"]], -1))
    assert flat.dtype == jnp.float32
    y, _ = output(MLP((8,), final_size=2, obs_rank=rank), obs)
    assert y.shape == (5, 2)
    assert obs_rank(Box(0.0, 1.0, (4, 4, 1))) == 3
    pair = MaskedObs(sample(8, 5, 2), sample(9, 5, 3))  # any tuple of arrays of one rank
    near(flatten(tuple(pair), 1), np.concatenate(pair, -1))


def recurrent_network(kind):
    return recurrent(MLP((8,)), memory(kind, 6), MLP((), final_size=3))


@pytest.mark.parametrize("masks", [False, True])
@pytest.mark.parametrize("kind", ["gru", "lstm"])
def test_unroll_is_a_loop_of_steps(kind, masks):
    """With resets in the middle, at the start, and where the memory was not empty at first."""
    network = recurrent_network(kind)
    obs = sample(10, 9, 4, 3)
    obs = MaskedObs(obs, np.ones((9, 4, 2), bool)) if masks else obs
    at = lambda t: jax.tree.map(lambda x: x[t], obs)  # noqa: E731
    reset = np.zeros((9, 4), bool)
    reset[0, 1] = reset[3, 1] = reset[5, 2] = reset[8, 0] = True
    params = jax.jit(network.init)(KEY, at(0))
    empty = network.carry(4)
    carry = jax.tree.map(lambda x: x + 0.5, empty)
    outputs, carries = jax.jit(network.unroll)(params, obs, carry, reset)
    step = jax.jit(network.step)
    for t in range(9):
        keep = ~reset[t][:, None]
        carry = jax.tree.map(lambda x, e, keep=keep: jnp.where(keep, x, e), carry, empty)
        y, carry = step(params, at(t), carry)
        near(outputs[t], y, 1e-6, 1e-6)
        for ours, theirs in zip(jax.tree.leaves(carries), jax.tree.leaves(carry), strict=True):
            near(ours[t], theirs, 1e-6, 1e-6)


@pytest.mark.parametrize("kind", ["gru", "lstm"])
def test_memory_lasts_until_a_reset(kind):
    """The last output depends on the first observation, unless the memory was emptied between."""
    network, obs = recurrent_network(kind), sample(11, 5, 2, 3)
    params = jax.jit(network.init)(KEY, obs[0])

    def last(first, reset):
        inputs = jnp.concatenate([first[None], obs[1:]])
        return network.unroll(params, inputs, network.carry(2), reset)[0][-1].sum()

    slope_of = jax.jit(jax.grad(last))
    never = np.zeros((5, 2), bool)
    once = never.copy()
    once[2, 0] = True
    assert np.all(np.abs(slope_of(obs[0], never)).max(-1) > 1e-4)
    slope = slope_of(obs[0], once)
    assert np.all(slope[0] == 0)
    assert np.abs(slope[1]).max() > 1e-4


@pytest.mark.parametrize("kind", ["gru", "lstm"])
def test_memory_of_any_batch(kind):
    """Its shape, its start at 0, seeds under vmap, and three different keys for three parts."""
    network, obs = recurrent_network(kind), sample(12, 4, 5, 3)
    assert all(x.shape == (7, 6) and not x.any() for x in jax.tree.leaves(network.carry(7)))
    many = several(jax.jit(network.init), obs[0])
    outputs, _ = jax.jit(jax.vmap(network.unroll, (0, None, None, None)))(
        many, obs, network.carry(5), np.zeros((4, 5), bool)
    )
    assert outputs.shape == (2, 4, 5, 3)
    assert np.abs(outputs[0] - outputs[1]).max() > 1e-3
    same = recurrent(MLP((6,)), memory(kind, 6), MLP((6,)))
    params = jax.jit(same.init)(KEY, sample(13, 2, 6))
    torso, head = (params[part]["dense_0"]["kernel"] for part in ("torso", "head"))
    assert np.abs(torso - head).max() > 1e-2


def test_masked_observations():
    obs, mask = sample(14, 4, 3), sample(15, 4, 2) > 0
    both = MaskedObs(obs, mask)
    assert content(both) is obs
    assert action_mask(both) is mask
    assert content(obs) is obs
    assert action_mask(obs) is None
    network = feed_forward(MLP((8,), final_size=2))
    params = network.init(KEY, both)
    near(network.step(params, both, ())[0], network.step(params, obs, ())[0], 0, 0)


@pytest.mark.parametrize(
    ("module", "obs", "message"),
    [
        (MLP((8,), "swish"), jnp.ones((2, 3)), "activation must be one of tanh, .* not 'swish'"),
        (MLP((8,), final_size=2, std="own"), jnp.ones((2, 3)), "std must be .* not 'own'"),
        (MLP((8,), final_size=3, std="independent"), jnp.ones((2, 3)), "final_size .* not 3"),
        (MLP((8,), obs_rank=3), jnp.ones((2, 3)), r"obs must have at least 3 axes .* \(2, 3\)"),
        (MLP((8,), obs_rank=(1, 1)), jnp.ones((2, 3)), r"obs_rank must be .* not \(1, 1\)"),
        (CNN(obs_rank=2), jnp.ones((2, 9, 9)), "obs_rank must be 3 .* not 2"),
        (CNN(), jnp.ones((9, 9)), r"obs must be images .* not .*\(9, 9\)"),
    ],
)
def test_bad_modules(module, obs, message):
    with pytest.raises(ValueError, match=message):
        module.init(KEY, obs)


def test_bad_memory():
    with pytest.raises(ValueError, match="kind must be one of gru, lstm, not 'rnn'"):
        memory("rnn", 8)
    with pytest.raises(ValueError, match="size must be an integer of at least 1, not 0"):
        memory("gru", 0)
