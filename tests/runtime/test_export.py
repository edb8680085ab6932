"""Exported policies act as the learner does: as StableHLO at any batch, and from NumPy alone."""

import json
import shutil
import subprocess
import sys
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from jaxrl.algorithms import ddpg, sac
from jaxrl.config import replace
from jaxrl.families.policy import ActorCritic
from jaxrl.families.settings import Setting
from jaxrl.networks import action_mask, content
from jaxrl.runtime import export, numpy_policy
from jaxrl.runtime.export import Agent
from jaxrl.train import make_train
from jaxrl.types import Box, Discrete, Env, MaskedObs, MultiDiscrete
from jaxrl.zoo import ZOO
from tests.zoo.worlds import FORCE, drift, guarded

UNEVEN = Box(np.array([-1.0, 0.5, -3.0]), np.array([2.0, 0.75, 3.0]), (3,))
ENDLESS = Box(-jnp.inf, jnp.inf, (2, 2))


def pictures(env: Env) -> Env:
    """The environment with images [5, 4, 2] of its observations."""

    def drawn(place):
        return jnp.outer(jnp.arange(20.0) / 10 - 1, place).reshape(5, 4, 2)

    def reset(key):
        state, obs = env.reset(key)
        return state, drawn(obs)

    def step(key, state, action):
        state, timestep = env.step(key, state, action)
        return state, timestep._replace(obs=drawn(timestep.obs))

    spaces = env.spaces._replace(observation=Box(-jnp.inf, jnp.inf, (5, 4, 2)))
    return Env(reset, step, spaces)


def board(env: Env) -> Env:
    """The environment with a board of bools, which is empty whenever an episode begins."""
    space = Box(0, 1, (5, 4), "bool")
    empty = jnp.zeros(space.shape, bool)

    def step(key, state, action):
        state, timestep = env.step(key, state, action)
        return state, timestep._replace(obs=empty.at[0].set(timestep.obs.sum() > 0))

    return Env(lambda key: (env.reset(key)[0], empty), step, env.spaces._replace(observation=space))


AGENTS = {
    "mlp": ("ppo", drift(), {"normalise_obs": True, "layer_norm": True}),
    "several masked": ("ppo", guarded(MultiDiscrete((3, 4))), {"activation": "silu"}),
    "gaussian": ("ppo", drift(UNEVEN), {"std": "dependent", "activation": "elu"}),
    "no bounds": ("a2c", drift(ENDLESS), {"normalise_reward": True, "activation": "gelu"}),
    "squashed": ("ppo", drift(UNEVEN), {"distribution": "squashed_gaussian", "hidden_sizes": ()}),
    "beta": ("ppo", drift(UNEVEN), {"distribution": "beta", "activation": "relu"}),
    "lstm": ("ppo", drift(FORCE), {"memory": "lstm", "memory_size": 5}),
    "cnn, gru": (
        "ppo",
        pictures(drift()),
        {"torso": "cnn", "memory": "gru", "normalise_obs": True, "layer_norm": True},
    ),
    "image, flat": ("trpo", pictures(drift()), {}),
    "lagging": ("impala", drift(), {}),
    "lagging, bools": ("impala", board(drift()), {}),
    "dqn": ("dqn", drift(Discrete(3)), {}),
    "q": ("pqn", guarded(Discrete(3)), {"normalise_obs": True, "hidden_sizes": (16,)}),
}
SIZES = {"num_envs": 4, "num_steps": 4, "hidden_sizes": (8, 8)}


def made(name: str) -> Agent:
    """An agent whose numbers are all different, statistics and second parameters too."""
    algorithm, env, changes = AGENTS[name]
    config = ZOO[algorithm].config
    parts = {"num_minibatches": 1} if "num_minibatches" in vars(config) else {}
    config = replace(config, **(SIZES | parts | changes))
    training = make_train(config, env, 10_000)
    state = jax.eval_shape(training.algorithm.init, jax.random.key(0)).learner
    numbers = np.random.default_rng(0)

    def drawn(path, x):
        centre = jax.tree_util.keystr(path).endswith(("['scale']", ".var"))
        number = centre + (0.7 if x.ndim > 1 else 0.1) * numbers.normal(size=x.shape)
        return jnp.array(number, x.dtype)

    params, target, slots = map(
        partial(jax.tree_util.tree_map_with_path, drawn), (state.params, state.target, state.slots)
    )
    state = state._replace(
        params=params, opt_state=(), target=target, slots=jax.tree.map(abs, slots)
    )
    return Agent(config, training.env, training.learner, state)


def seen(agent: Agent, num: int, step: int):
    """Observations like those of the environment, and further out; masks leave something legal."""
    obs, _ = export.examples(agent, num)
    key, k_mask = jax.random.split(jax.random.key(step))
    if content(obs).dtype == bool:
        return jax.random.bernoulli(key, 0.5, content(obs).shape)
    noisy = content(obs) + 2 * jax.random.normal(key, content(obs).shape)
    if (mask := action_mask(obs)) is None:
        return noisy
    legal = jax.random.bernoulli(k_mask, 0.5, mask.shape) | mask
    return MaskedObs(noisy, legal)


def walked(agent: Agent, num: int = 20, steps: int = 3):
    """Observations and the learner's own actions, one step after the other."""
    memory = agent.learner.carry(jax.random.key(0), num)
    act = jax.jit(agent.learner.act)
    for step in range(steps):
        obs = seen(agent, num, step)
        action, _, memory = act(agent.state, obs, None, memory)
        yield obs, np.asarray(action)


def same(actual, expected) -> None:
    assert actual.shape == expected.shape and actual.dtype == expected.dtype
    np.testing.assert_allclose(actual, expected, rtol=1e-5, atol=1e-5)


@pytest.fixture(scope="module", params=AGENTS)
def exported(request, tmp_path_factory):
    """Where a policy was exported to, and a walk of the learner that has it."""
    agent, folder = made(request.param), tmp_path_factory.mktemp("export")
    assert export.export(agent, folder, {"algorithm": request.param})
    return folder, list(walked(agent))


def test_numpy_acts_as_the_learner_does(exported) -> None:
    folder, walk = exported
    policy = numpy_policy.load(folder)
    memory, actions = numpy_policy.start(policy, 20), []
    for obs, expected in walk:
        mask = action_mask(obs)
        legal = None if mask is None else np.asarray(mask)
        action, memory = numpy_policy.act(policy, np.asarray(content(obs)), memory, legal)
        same(action, expected)
        actions.append(action)
    assert len(np.unique(np.concatenate(actions), axis=0)) > 1  # it heeds what it sees


def test_stablehlo_acts_as_the_learner_does_at_any_batch(exported) -> None:
    folder, walk = exported
    function = jax.export.deserialize(bytearray((folder / "policy.stablehlo").read_bytes()))
    inputs = json.loads((folder / "policy.json").read_text())["inputs"]
    assert set(function.platforms) == {"cpu", "cuda", "tpu"}
    for num in (1, 20):
        memory = [
            np.zeros((num, *x["shape"][1:]), x["dtype"])
            for x in inputs
            if x["name"].startswith("memory")
        ]
        for obs, expected in walk:
            leaves = [np.asarray(x)[:num] for x in jax.tree.leaves(obs)]
            action, *memory = function.call(*leaves, *memory)
            same(np.asarray(action), expected[:num])


@pytest.mark.parametrize("module", [ddpg, sac])
def test_actors_that_follow_critics_are_described(tmp_path, module) -> None:
    env = drift(FORCE)
    config = replace(module.Config(), hidden_sizes=(8, 8))
    learner = module.learner(config, Setting(env.spaces, 10))
    state = jax.jit(learner.init)(jax.random.key(0), jnp.zeros((4, 2)))
    assert export.export(Agent(config, env, learner, state), tmp_path, {})
    inputs = json.loads((tmp_path / "policy.json").read_text())["inputs"]
    assert [x["name"] for x in inputs] == ["obs"]  # exploration's own memory is left out


def test_the_reader_needs_nothing_but_numpy(tmp_path) -> None:
    agent = made("squashed")
    export.export(agent, tmp_path / "export", {})
    ((obs, expected),) = walked(agent, 5, 1)
    np.save(tmp_path / "obs.npy", np.asarray(obs))
    shutil.copy(tmp_path / "export" / "numpy_policy.py", tmp_path)
    code = """
import sys, numpy as np, numpy_policy
policy = numpy_policy.load("export")
action, _ = numpy_policy.act(policy, np.load("obs.npy"))
assert not {"jax", "jaxrl", "flax", "ml_dtypes"} & set(sys.modules)
np.save("action.npy", action)
"""
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True, timeout=60)
    same(np.load(tmp_path / "action.npy"), expected)


class Own(nn.Module):
    """A user's own network."""

    @nn.compact
    def __call__(self, obs):
        return nn.Dense(2, name="mine")(jnp.sin(obs))


class Disguised(nn.Module):
    """One whose parameters look like those that are described."""

    @nn.compact
    def __call__(self, obs):
        return nn.Dense(2, name="output")(-jnp.cos(9 * obs))


@pytest.mark.parametrize("module", [Own, Disguised])
def test_what_has_no_description_is_stablehlo_alone(tmp_path, module) -> None:
    config = replace(ZOO["ppo"].config, **SIZES)
    training = make_train(config, drift(), 10_000, networks=ActorCritic(module(), None))
    state = training.algorithm.init(jax.random.key(0)).learner
    agent = Agent(config, training.env, training.learner, state)
    assert not export.export(agent, tmp_path, {})
    assert {path.name for path in tmp_path.iterdir()} == {"policy.json", "policy.stablehlo"}
    with pytest.raises(ValueError, match="for StableHLO alone"):
        numpy_policy.load(Path(tmp_path))
    ((obs, expected),) = walked(agent, 5, 1)
    function = jax.export.deserialize(bytearray((tmp_path / "policy.stablehlo").read_bytes()))
    same(np.asarray(function.call(obs)[0]), expected)
