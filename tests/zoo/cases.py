"""The programs of one algorithm that all of its contracts share, on the smallest sizes."""

import functools
import time

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrl import grid, make_train
from jaxrl.algorithms import cloning, ddpg, sac
from jaxrl.config import hints, replace
from jaxrl.families.off_policy import ReplayConfig
from jaxrl.families.settings import Setting, check, imitates
from jaxrl.families.tabular import TabularConfig
from jaxrl.train import trained_by
from jaxrl.types import Transition
from jaxrl.zoo import ZOO, entry
from tests.zoo.keys import PLAIN, USED, noted
from tests.zoo.worlds import CHOICE, FORCE, drift, maze

SIZES = {
    "num_envs": 4,
    "num_steps": 6,
    "hidden_sizes": (4,),
    "group_size": 2,
    "num_epochs": 2,
    "num_minibatches": 2,
    "cg_iterations": 2,
    "num_backtracks": 2,
    "num_iterations": 2,
    "batch_size": 4,
    "learning_starts": 16,
    "capacity": 64,  # which training fills, and more
    "num_atoms": 5,
    "num_quantiles": 3,
}
"""What every algorithm is made small by, where it has such a field."""

SMALL = {
    "reinforce": {"group_size": 1},
    "redq": {"num_critics": 3, "policy_delay": 2},  # some do not judge
    "monte_carlo": {"averaging": False},  # so that its first few steps depend on the rate
    "r2d2": {"memory_size": 3, "sequence_length": 4, "burn_in": 1, "n_step": 2},
}
"""And what is an algorithm's own."""

FEW = {"num_steps": 2, "num_gradients": 2}
"""And what a loop with replay is made small by: a turn is shorter than a rollout."""

CURIOUS = {
    "ppo and icm": ("ppo", {"curiosity": "icm", "curiosity_minibatches": 2}),
    "rloo and rnd": ("rloo", {"curiosity": "rnd"}),
}
"""Algorithms with a combinator around them that have the same contracts: algorithm and changes."""

MEMORY = {"memory_size": 3, "sequence_length": 3}
KINDS = {
    "ppo": ("ppo", {}),
    "gru": ("ppo", MEMORY | {"memory": "gru"}),
    "trpo": ("trpo", {}),
    "pqn": ("pqn", {}),
    "grpo": ("grpo", {}),
    "dqn": ("dqn", {}),
    "sac": ("sac", {}),
    "sarsa": ("sarsa", {}),
}
"""One for each kind of loop, memory and improvement: algorithm and changes."""

SPREAD = {
    "envs": [name for name in KINDS if name not in ("grpo", "sarsa")],  # of which one starts its
    # environments anew in each update, and the other keeps what each is about to do
    "seeds": ["gru", "grpo", "sarsa"],
}
"""Which of them are spread over devices, and what of theirs."""

ALIKE = {"double_dqn", "c51", "qr_dqn", "munchausen_dqn", "ddpg", "d4pg", "redq", "ppo_penalty"}
ALIKE |= {"airl", "rloo and rnd", "double_q_learning", "expected_sarsa"}
"""Who differs least from others of the zoo: their rows run with the slow tests."""


def rows_of(names, slow=()):
    """Parameters of a fixture, one for each name; some run with the slow tests."""
    late = ALIKE.union(slow)
    return [pytest.param(x, marks=pytest.mark.slow if x in late else ()) for x in names]


NUM_UPDATES = 7


def small(name, **changes):
    """The configuration of an algorithm on the smallest sizes."""
    config = ZOO[name].config
    sizes = {k: v for k, v in SIZES.items() if k in hints(type(config))}
    few = FEW if isinstance(config, ReplayConfig) else {}
    return replace(config, **(sizes | few | SMALL.get(name, {}) | changes))


def in_a_box(config):
    """Whether the algorithm of a configuration acts in a box only."""
    return isinstance(config, ddpg.Config | sac.Config)


def world(config, spoil=0.0):
    """`drift` with actions that the algorithm of a configuration takes, or `maze` for a table."""
    if isinstance(config, TabularConfig):
        return maze(spoil)
    return drift(FORCE if in_a_box(config) else CHOICE, spoil)


def budget(config, num_updates):
    """The environment steps of so many updates."""
    spent = entry(config).loop.budget(config)
    return spent.first_steps + num_updates * spent.steps_per_update


def training(config, env, evaluate=True):
    """A short training run; an evaluation after each update's steps if asked for."""
    every = entry(config).loop.budget(config).steps_per_update if evaluate else None
    return made(config, env, budget(config, NUM_UPDATES), every)


def made(config, env, total_steps, evaluate_every=None, num_eval_episodes=2):
    """What trains a configuration; one that imitates has an expert of `drift`."""
    length = total_steps, evaluate_every, num_eval_episodes
    if not imitates(config):
        return make_train(config, env, *length[:2], num_eval_episodes=num_eval_episodes)
    check(config, env.spaces)
    expert = rightwards if isinstance(config, cloning.Config) else STEPS
    return trained_by(config, env, length, Setting(env.spaces, 1, expert=expert))


def rightwards(obs):
    """An expert: away from the left."""
    return (obs[:, 0] < 0.1).astype(jnp.int32)


def _steps():
    """Rows of an expert of `drift`, without asking `drift`."""
    k_obs, k_gust = jax.random.split(jax.random.key(5))
    obs = jax.random.uniform(k_obs, (12, 2), minval=-0.8, maxval=0.8)
    next_obs = obs + jax.random.uniform(k_gust, (12, 2), minval=-0.4, maxval=0.4)
    dead = jnp.abs(next_obs[:, 0]) > 0.8
    rows = Transition(obs, rightwards(obs), (), jnp.ones(12), next_obs, dead, ~dead)
    return jax.tree.map(np.asarray, rows)


STEPS = _steps()


def start(config, key):
    return training(config, world(config)).algorithm.init(key)


def window(config, state, end, spoil):
    """Train until `end` updates are done, then evaluate; `spoil` is added to rewards."""
    return training(config, world(config, spoil)).window(state, end - state.num_updates)


def over_all(function, num_shared):
    """Over configs, then over seeds; the last arguments are shared."""
    shared = (None,) * num_shared
    return jax.vmap(jax.vmap(function, (None, 0, *shared)), (0, 0, *shared))


def alone(config, keys):
    """Each key by itself, without `vmap`: states at update 1, and the keys used up to update 2."""
    like = noted(keys[0])
    with jax.debug_key_reuse(True):  # what it finds, it raises while tracing
        begin = jax.jit(start).trace(config, like)
        go_on = jax.jit(window).trace(config, begin.out_info, jnp.int32(1), jnp.float32(0))
    begin, go_on = (x.lower().compile() for x in (begin, go_on))
    USED.clear()
    first = [begin(config, noted(key)) for key in keys]
    states = [go_on(config, state, jnp.int32(1), jnp.float32(0))[0] for state in first]
    for state in states:
        go_on(config, state, jnp.int32(2), jnp.float32(0))
    return states, USED.rows()


class Case:
    """One algorithm: 2 configs × 2 seeds side by side, compiled once."""

    def __init__(self, name):
        self.begin = time.process_time()
        self.name, changes = CURIOUS.get(name, (name, {}))
        self.num_traces = 0
        self.configs = grid(small(self.name, **changes), lr=[1e-2, 1e-3])
        self.keys = jax.random.split(jax.random.key(0, impl=PLAIN), 2)
        self.first = jax.jit(jax.vmap(jax.vmap(start, (None, 0)), (0, None)))(
            self.configs, self.keys
        )
        one = jax.vmap(self._counted, (None, 0, None, None))
        self._window = jax.jit(jax.vmap(one, (0, 0, None, None)))

    def _counted(self, *args):
        self.num_traces += 1
        return window(*args)

    def to(self, state, end, spoil=0.0, configs=None):
        """The states at `end` updates, and the metrics."""
        configs = self.configs if configs is None else configs
        return self._window(configs, state, jnp.int32(end), jnp.float32(spoil))

    @functools.cached_property
    def last(self):
        """The states at update 5 and the metrics."""
        return self.to(self.first, 5)
