"""The zoo: every algorithm by name, and the settings that were tuned for an environment."""

from collections.abc import Callable
from typing import Any, NamedTuple

from jaxrl.algorithms import (
    a2c,
    actor_critic,
    dqn,
    grpo,
    impala,
    ppo,
    ppo_penalty,
    pqn,
    reinforce,
    trpo,
)
from jaxrl.config import replace, unknown
from jaxrl.families.off_policy import check_replay, replay
from jaxrl.loops import Pace, episodic, off_policy, on_policy
from jaxrl.types import Algorithm, Env, Learner


class Budget(NamedTuple):
    """What a loop does with environment steps."""

    steps_per_update: int
    parts: str  # what these are the product of
    first_steps: int = 0  # before the first update
    learner_updates: int = 1  # in one update of the loop


class Loop(NamedTuple):
    """A loop as a configuration asks for it."""

    make: Callable[[Any, Env, Learner], Algorithm]
    budget: Callable[[Any], Budget]


class Entry(NamedTuple):
    """An algorithm: the configuration it starts from, its learner, and the loop that feeds it."""

    config: Any
    learner: Callable[..., Learner]
    loop: Loop


def _rollout_budget(config: Any) -> Budget:
    return Budget(config.num_envs * config.num_steps, "num_envs × num_steps")


def _replay_budget(config: Any) -> Budget:
    pace = _pace(config)
    per_update = config.num_envs * config.num_steps * config.num_iterations
    first = pace.first_rows * config.num_envs
    learnt = config.num_iterations * config.num_gradients
    return Budget(per_update, "num_envs × num_steps × num_iterations", first, learnt)


def _pace(config: Any) -> Pace:
    return Pace(*(getattr(config, name) for name in Pace._fields))


def _on_policy(config: Any, env: Env, learner: Learner) -> Algorithm:
    return on_policy(env, learner, config.num_envs, config.num_steps)


def _episodic(config: Any, env: Env, learner: Learner) -> Algorithm:
    return episodic(env, learner, config.num_envs, config.num_steps, config.group_size)


def _off_policy(config: Any, env: Env, learner: Learner) -> Algorithm:
    check_replay(config)
    return off_policy(env, learner, replay(config), _pace(config))


CONTINUING = Loop(_on_policy, _rollout_budget)
"""Environments that never stop; an episode may span updates."""

WHOLE = Loop(_episodic, _rollout_budget)
"""Whole trajectories from fresh starts, in groups."""

REPLAYED = Loop(_off_policy, _replay_budget)
"""Environments that never stop, and batches from a buffer."""


ZOO: dict[str, Entry] = {
    "reinforce": Entry(reinforce.Config(), reinforce.learner, WHOLE),
    "rloo": Entry(
        reinforce.Config(baseline="leave_one_out", group_size=4), reinforce.learner, WHOLE
    ),
    "actor_critic": Entry(actor_critic.Config(), actor_critic.learner, CONTINUING),
    "a2c": Entry(a2c.Config(), a2c.learner, CONTINUING),
    "ppo": Entry(ppo.Config(), ppo.learner, CONTINUING),
    "ppo_penalty": Entry(ppo_penalty.Config(), ppo_penalty.learner, CONTINUING),
    "trpo": Entry(trpo.Config(), trpo.learner, CONTINUING),
    "grpo": Entry(grpo.Config(), grpo.learner, WHOLE),
    "impala": Entry(impala.Config(), impala.learner, CONTINUING),
    "pqn": Entry(pqn.Config(), pqn.learner, CONTINUING),
    "dqn": Entry(dqn.Config(), dqn.learner, REPLAYED),
    "double_dqn": Entry(dqn.Config(target="double"), dqn.learner, REPLAYED),
    "c51": Entry(dqn.Config(head="categorical"), dqn.learner, REPLAYED),
    "qr_dqn": Entry(dqn.Config(head="quantile"), dqn.learner, REPLAYED),
    "iqn": Entry(dqn.Config(head="implicit", num_quantiles=8), dqn.learner, REPLAYED),
    "munchausen_dqn": Entry(dqn.Config(target="munchausen"), dqn.learner, REPLAYED),
    "rainbow": Entry(
        dqn.Config(
            head="categorical",
            target="double",
            dueling=True,
            noisy="step",
            replay="proportional",
            n_step=3,
            exploration="greedy",
        ),
        dqn.learner,
        REPLAYED,
    ),
    "r2d2": Entry(
        dqn.Config(
            target="double",
            dueling=True,
            squash=True,
            replay="proportional",
            n_step=3,
            memory="lstm",
            sequence_length=20,
            burn_in=4,
            batch_size=32,
        ),
        dqn.learner,
        REPLAYED,
    ),
}

DEFAULT_STEPS = 500_000

TUNED: dict[str, dict[str, dict[str, Any]]] = {
    "ppo": {
        "CartPole-v1": dict(total_steps=100_000, num_envs=4, lr=2e-3, gamma=0.98),
        "Acrobot-v1": dict(total_steps=1_000_000, num_envs=16, lr=2e-3, normalise_obs=True),
        "MountainCar-v0": dict(
            total_steps=500_000,
            num_envs=16,
            num_steps=64,
            lr=2e-3,
            lam=0.98,
            normalise_obs=True,
            normalise_reward=True,
        ),
        "Breakout-MinAtar": dict(
            total_steps=2_000_000, num_envs=64, lr=5e-3, num_minibatches=8, activation="relu"
        ),
        "MountainCarContinuous-v0": dict(
            total_steps=100_000,
            num_steps=256,
            lr=1e-3,
            normalise_obs=True,
            normalise_reward=True,
        ),
        "Pendulum-v1": dict(
            total_steps=100_000,
            num_envs=4,
            num_steps=256,
            lr=1e-3,
            gamma=0.95,
            lam=0.9,
            entropy_coef=0.0,
            num_epochs=10,
            num_minibatches=16,
        ),
    },
    "a2c": {
        "CartPole-v1": dict(total_steps=250_000, lr=2e-3),
        "Acrobot-v1": dict(
            total_steps=500_000,
            num_envs=16,
            lr=1.5e-3,
            entropy_coef=0.01,
            normalise_obs=True,
            normalise_reward=True,
        ),
        "MountainCar-v0": dict(
            total_steps=1_000_000,
            num_envs=16,
            lr=8e-3,
            lam=0.95,
            normalise_obs=True,
            normalise_reward=True,
        ),
        "MountainCarContinuous-v0": dict(
            total_steps=100_000,
            num_envs=4,
            num_steps=64,
            normalise_obs=True,
            normalise_reward=True,
        ),
        "Pendulum-v1": dict(
            total_steps=1_000_000,
            num_envs=32,
            num_steps=8,
            lr=3e-3,
            gamma=0.95,
            lam=0.9,
            whiten="batch",
            normalise_reward=True,
        ),
    },
    "trpo": {
        "CartPole-v1": dict(total_steps=100_000, num_envs=4, lam=0.98),
        "Acrobot-v1": dict(
            total_steps=100_000,
            num_envs=4,
            max_kl=0.02,
            normalise_obs=True,
            normalise_reward=True,
        ),
        "MountainCar-v0": dict(
            total_steps=100_000,
            num_envs=4,
            lam=0.98,
            max_kl=0.03,
            normalise_obs=True,
            normalise_reward=True,
        ),
        "MountainCarContinuous-v0": dict(
            total_steps=50_000,
            num_envs=2,
            num_steps=512,
            gamma=0.999,
            lam=0.98,
            max_kl=0.05,
            normalise_obs=True,
            normalise_reward=True,
        ),
        "Pendulum-v1": dict(total_steps=100_000, num_envs=4, gamma=0.95, lam=0.9),
    },
    "pqn": {
        "CartPole-v1": dict(
            total_steps=500_000,
            num_envs=16,
            num_steps=32,
            lr=5e-4,
            num_minibatches=4,
            hidden_sizes=(64, 64),
        ),
        "Acrobot-v1": dict(
            total_steps=500_000,
            num_envs=16,
            num_steps=32,
            lr=2e-3,
            num_minibatches=4,
            hidden_sizes=(64, 64),
            normalise_obs=True,
        ),
        "MountainCar-v0": dict(
            total_steps=500_000,
            num_envs=16,
            num_steps=32,
            lr=2e-3,
            num_minibatches=4,
            hidden_sizes=(64, 64),
            normalise_obs=True,
            normalise_reward=True,
        ),
    },
    "ppo_penalty": {
        "CartPole-v1": dict(total_steps=300_000, num_envs=4, lr=1e-3, gamma=0.98),
        "Acrobot-v1": dict(total_steps=500_000, num_envs=16, lr=2e-3, normalise_obs=True),
        "Pendulum-v1": dict(
            total_steps=100_000,
            num_envs=4,
            num_steps=256,
            lr=1e-3,
            gamma=0.95,
            lam=0.9,
            entropy_coef=0.0,
            num_epochs=10,
            num_minibatches=16,
        ),
    },
    "actor_critic": {
        "CartPole-v1": dict(
            total_steps=500_000,
            num_steps=5,
            lr=5e-4,
            entropy_coef=0.01,
            normalise_reward=True,
        ),
        "Acrobot-v1": dict(
            total_steps=500_000,
            num_envs=16,
            num_steps=5,
            normalise_obs=True,
            normalise_reward=True,
        ),
    },
    "grpo": {
        "CartPole-v1": dict(
            total_steps=300_000,
            num_envs=8,
            group_size=4,
            lr=3e-3,
            entropy_coef=0.01,
            num_epochs=2,
            num_minibatches=1,
        ),
        "Acrobot-v1": dict(
            total_steps=500_000,
            num_envs=8,
            group_size=4,
            lr=1e-2,
            entropy_coef=0.01,
            num_epochs=2,
            num_minibatches=1,
            normalise_obs=True,
        ),
    },
    "impala": {
        "CartPole-v1": dict(total_steps=500_000, lr=2e-3),
        "Acrobot-v1": dict(
            total_steps=500_000,
            num_envs=16,
            lam=0.95,
            normalise_obs=True,
            normalise_reward=True,
        ),
    },
    "reinforce": {
        "CartPole-v1": dict(total_steps=300_000, num_envs=4, lr=1e-2),
        "Acrobot-v1": dict(
            total_steps=500_000,
            num_envs=4,
            lr=3e-3,
            whiten="batch",
            normalise_obs=True,
            normalise_reward=True,
        ),
    },
    "dqn": {
        "CartPole-v1": dict(
            total_steps=50_000,
            num_gradients=4,
            hidden_sizes=(128, 128),
            lr=2e-3,
            anneal_lr=True,
            gamma=0.98,
            target="double",
            target_period=200,
            polyak=1.0,
            huber_delta=100.0,
            epsilon_end=0.04,
        ),
        "Acrobot-v1": dict(
            total_steps=100_000,
            num_gradients=4,
            batch_size=64,
            n_step=3,
            target="double",
            anneal_lr=True,
            polyak=0.01,
        ),
    },
    "rloo": {
        "CartPole-v1": dict(total_steps=300_000, num_envs=4, lr=1e-2, whiten="batch"),
    },
}
"""Algorithm -> environment -> what differs from the algorithm's defaults, and `total_steps`."""


def entry(config: Any) -> Entry:
    """The entry that a name or a configuration belongs to."""
    if isinstance(config, str):
        if config not in ZOO:
            raise ValueError(unknown("algorithm", config, ZOO))
        return ZOO[config]
    for found in ZOO.values():
        if type(found.config) is type(config):
            return found
    raise TypeError(f"config must be an algorithm's name or configuration, not {config!r}")


def tuned(name: str, env: Any = None, **changes: Any) -> tuple[Any, int]:
    """The configuration of an algorithm for an environment, with changes, and its budget."""
    settings = dict(TUNED.get(name, {}).get(env, {}) if isinstance(env, str) else {})
    total_steps = settings.pop("total_steps", DEFAULT_STEPS)
    return replace(entry(name).config, **(settings | changes)), total_steps
