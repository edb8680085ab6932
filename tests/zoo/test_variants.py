"""The choices that a configuration and an environment offer: actions, masks, memory, options.

One small training each; what all algorithms promise alike is in test_contract.py.
"""

import os
import pathlib
import subprocess
import sys

import jax
import jax.numpy as jnp
import pytest

from jaxrl import make_train
from jaxrl.types import Discrete
from jaxrl.zoo import entry
from tests.compiler import FULL
from tests.zoo.cases import (
    KINDS,
    MEMORY,
    NUM_UPDATES,
    SPREAD,
    budget,
    rows_of,
    small,
    training,
    world,
)
from tests.zoo.keys import PLAIN
from tests.zoo.shares import APART, RUNS
from tests.zoo.trees import assert_same, finite, types
from tests.zoo.worlds import FORCE, SEVERAL, drift, guarded, maze, pictured

KEY = jax.random.key(0, impl=PLAIN)
NORMAL = {"normalise_obs": True, "normalise_reward": True}
OPTIONS = {
    "std": "dependent",
    "value_clip": 0.2,
    "target_kl": 0.01,
    "clip_eps_high": 0.3,
    "anneal_clip": True,
    "entropy_coef_end": 0.0,
    "whiten": "minibatch",
} | NORMAL
ICM = {"curiosity": "icm", "feature_size": 3, "curiosity_minibatches": 2}
RND = {"curiosity": "rnd", "feature_size": 3}

VARIANTS = {
    "gaussian and every option": ("ppo", drift(FORCE), OPTIONS),
    "squashed gaussian": ("a2c", drift(FORCE), {"distribution": "squashed_gaussian"}),
    "beta": ("impala", drift(FORCE), {"distribution": "beta"}),
    "gaussian in a trust region": ("trpo", drift(FORCE), {}),
    "several choices": ("ppo_penalty", drift(SEVERAL), {}),
    "legal choices": ("a2c", guarded(Discrete(3)), {"normalise_obs": True}),
    "legal values": ("pqn", guarded(Discrete(3)), {}),
    "legal values from replay": ("rainbow", guarded(Discrete(3)), {"exploration": "top_k"}),
    "softly legal values": ("munchausen_dqn", guarded(Discrete(3)), {"exploration": "boltzmann"}),
    "ranks and noise that lasts": ("iqn", drift(), {"replay": "rank", "noisy": "episode"}),
    "levels, masks and noise that lasts, remembered": (
        "r2d2",
        guarded(Discrete(3)),
        {"head": "implicit", "noisy": "episode", "memory": "gru", "replay": "rank"},
    ),
    "a ladder of rates": ("qr_dqn", drift(), {"exploration": "ladder", "layer_norm": True}),
    "the least of ranked distributions": (
        "td3",
        drift(FORCE),
        {"replay": "rank", "head": "categorical", "layer_norm": True, "value_max": 10.0},
    ),
    "two-step soft distributions": (
        "sac",
        drift(FORCE),
        {"n_step": 2, "head": "categorical", "learn_temperature": False, "temperature": 0.1},
    ),
    "softly led among the legal": (
        "discrete_sac",
        guarded(Discrete(3)),
        {"replay": "proportional", "layer_norm": True},
    ),
    "several legal choices": ("rloo", guarded(SEVERAL), {}),
    "gru": ("ppo", drift(), MEMORY | {"memory": "gru"}),
    "lstm": ("impala", drift(), MEMORY | {"memory": "lstm"}),
    "gru of whole episodes": ("grpo", drift(), {"memory": "gru", "memory_size": 3, "kl_coef": 0.1}),
    "lstm and action values": (
        "actor_critic",
        guarded(Discrete(3)),
        MEMORY | {"memory": "lstm", "weighting": "action_value"},
    ),
    "icm in a box, and all is normalised": ("trpo", drift(FORCE), NORMAL | ICM),
    "icm of several legal choices": ("rloo", guarded(SEVERAL), ICM),
    "icm beside a gru": ("ppo", drift(), MEMORY | {"memory": "gru"} | ICM),
    "rnd beside an lstm": ("impala", drift(FORCE), MEMORY | {"memory": "lstm"} | RND),
    "rnd of whole episodes": ("grpo", drift(), RND | {"curiosity_epochs": 2}),
    "rnd of values": ("pqn", guarded(Discrete(3)), RND),
    "icm of boards": ("a2c", pictured(), ICM | {"torso": "cnn"}),
    "rnd of boards": ("a2c", pictured(), RND | {"torso": "cnn"}),
    "traces that end where nothing was greedy": (
        "q_learning",
        maze(),
        {"num_envs": 1, "traces": "replacing", "averaging": True},
    ),
    "traces of what follows": ("sarsa", maze(), {"num_envs": 1, "traces": "accumulating"}),
    "means of first visits": (
        "monte_carlo",
        maze(),
        {"visits": "first", "averaging": True, "lr": 0.0},
    ),
    "a network that is shown choices": ("dqn", maze(), {}),
}
"""Name -> algorithm, environment, changes. An illegal action pays NaN: nobody may take one."""


@pytest.mark.parametrize("name", VARIANTS)
def test_a_variant_learns_without_nan(name):
    algorithm, env, changes = VARIANTS[name]
    config = small(algorithm, **changes)
    train = training(config, env)
    first = jax.jit(train.algorithm.init)(KEY)
    window = jax.jit(train.window)
    state, metrics = window(first, jnp.int32(3))
    assert finite(state) and finite(metrics)
    assert types(state) == types(first)
    assert state.bad_update == -1 and metrics["refused"].total == 0
    moved = jax.tree.map(lambda a, b: (a != b).any(), first.learner.params, state.learner.params)
    assert all(jax.tree.leaves(moved))
    half, _ = window(first, jnp.int32(1))
    assert_same(window(half, jnp.int32(2))[0], state)


@pytest.mark.parametrize(
    "name", rows_of(["ppo", "gru", "grpo", "dqn", "sac", "sarsa"], ["gru", "sac"])
)
def test_training_in_two_sittings_is_training_in_one(name):
    """The host stops where it likes, here between two evaluations.

    That two programs agree to the bit is said of optimised ones only.
    """
    algorithm, changes = KINDS[name]
    config = small(algorithm, **changes)
    per_update = entry(config).loop.budget(config).steps_per_update
    train = make_train(config, world(config), budget(config, NUM_UPDATES), 2 * per_update)
    first = jax.jit(train.algorithm.init)(KEY)
    go_on, piece = (jax.jit(x, compiler_options=FULL) for x in (train, train.window))
    half, _ = piece(first, jnp.int32(3))
    other = jax.random.fold_in(KEY, 1)  # with a state the key is not used
    whole, metrics = go_on(KEY, first)
    resumed, rest = go_on(other, half)
    assert_same(resumed, whole)
    assert_same(at_last(rest), at_last(metrics))
    assert metrics["steps"].mean.tolist() == [budget(config, n) for n in (2, 4, 6, 7)]


def at_last(metrics):
    """Of the last window, which both had to do in full."""
    return jax.tree.map(lambda x: x[-1], metrics)


def on_two_devices(module, threads):
    """The lines that a program prints; the number of devices is set once for a process."""
    settings = {"NPROC": threads, "JAX_NUM_CPU_DEVICES": "2", "JAX_PLATFORMS": "cpu"}
    done = subprocess.run(
        [sys.executable, "-m", module],
        env=os.environ | settings,
        cwd=pathlib.Path(__file__).parents[2],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout.splitlines()


@pytest.mark.slow
def test_sharded_is_unsharded():
    """What the compiler spreads waits for itself, with fewer threads than these."""
    envs, seeds = ([f"{what}:{n}" for n in names] for what, names in SPREAD.items())
    assert sorted(on_two_devices("tests.zoo.sharded", "16")) == sorted(envs + seeds)


@pytest.mark.slow
def test_shares_of_a_run_are_the_run():
    *checked, last = on_two_devices("tests.zoo.shares", "2")
    assert checked == [*(f"alike:{name}" for name in RUNS), *(f"apart:{name}" for name in APART)]
    assert float(last.removeprefix("solved:")) >= 475
