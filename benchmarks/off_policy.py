"""Off-policy settings that jaxrl, rejax and SBX can all express, and how each of them says it.

Defaults are rejax's: one gradient step for each step of one environment. What the peers cannot
express: rejax draws without replacement, and warms up SAC and TD3 by their untrained policies;
SBX's DQN has one width for all layers and no double target. Nobody clips gradients.
"""

import math
from importlib import import_module
from typing import Any, NamedTuple


class Setting(NamedTuple):
    """An off-policy algorithm's hyper-parameters."""

    algorithm: str
    env: str
    total_steps: int = 12_048
    num_envs: int = 1
    num_gradients: int = 1  # after a step of all environments
    batch_size: int = 256
    capacity: int = 131_072
    learning_starts: int = 2_048
    hidden_sizes: tuple[int, ...] = (64, 64)
    learning_rate: float = 3e-4
    gamma: float = 0.99
    target_period: int = 1  # in gradient steps
    polyak: float = 0.01


SETTINGS = {
    "dqn": Setting("dqn", "CartPole-v1"),
    "sac": Setting("sac", "Pendulum-v1"),
    "td3": Setting("td3", "Pendulum-v1"),
    "purejaxrl-dqn": Setting(
        "dqn",
        "CartPole-v1",
        total_steps=110_000,
        num_envs=10,
        batch_size=128,
        capacity=10_000,
        learning_starts=10_000,
        hidden_sizes=(120, 84),
        learning_rate=2.5e-4,
        target_period=50,
        polyak=1.0,
    ),
}


def own(setting: Setting) -> dict[str, Any]:
    """What differs from our defaults."""
    shared = ("num_envs", "num_gradients", "batch_size", "capacity", "learning_starts")
    shared += ("hidden_sizes", "gamma", "target_period", "polyak")
    fields = {name: getattr(setting, name) for name in shared}
    if setting.algorithm == "dqn":
        fields |= {"target": "double", "huber_delta": 1e6, "exploration_fraction": 0.1}
    return fields | {"lr": setting.learning_rate, "max_grad_norm": 1e6}


def rejax(setting: Setting) -> Any:
    """rejax's algorithm."""
    algos, networks = import_module("rejax.algos"), import_module("rejax.networks")
    relu = {"activation": "relu"}
    kwargs = {"dqn": {"agent_kwargs": relu}, "sac": {"agent_kwargs": relu}}
    kwargs["td3"] = {"actor_kwargs": relu, "critic_kwargs": dict(relu)}
    algorithm = getattr(algos, setting.algorithm.upper()).create(
        env=setting.env,
        total_timesteps=setting.total_steps,
        eval_freq=setting.total_steps,
        skip_initial_evaluation=True,
        num_envs=setting.num_envs,
        num_epochs=setting.num_gradients,
        batch_size=setting.batch_size,
        buffer_size=setting.capacity,
        fill_buffer=setting.learning_starts,
        learning_rate=setting.learning_rate,
        gamma=setting.gamma,
        target_update_freq=setting.target_period * setting.num_envs,
        polyak=1 - setting.polyak,
        **kwargs[setting.algorithm],
    )
    if setting.hidden_sizes == (64, 64):
        return algorithm
    agent = networks.EpsilonGreedyPolicy(networks.DiscreteQNetwork)(
        hidden_layer_sizes=setting.hidden_sizes,
        action_dim=algorithm.agent.action_dim,
        activation=algorithm.agent.activation,
    )
    return algorithm.replace(agent=agent)


def sbx(setting: Setting) -> Any:
    """SBX's model."""
    library, env_util = import_module("sbx"), import_module("stable_baselines3.common.env_util")
    own: dict[str, dict[str, Any]] = {"dqn": {}, "sac": {"policy_delay": 1}, "td3": {}}
    own["dqn"]["target_update_interval"] = setting.target_period * setting.num_envs
    return getattr(library, setting.algorithm.upper())(
        "MlpPolicy",
        env_util.make_vec_env(setting.env, n_envs=setting.num_envs, seed=0),
        learning_rate=setting.learning_rate,
        buffer_size=setting.capacity,
        learning_starts=setting.learning_starts,
        batch_size=setting.batch_size,
        tau=setting.polyak,
        gamma=setting.gamma,
        train_freq=1,
        gradient_steps=setting.num_gradients,
        policy_kwargs={"net_arch": list(setting.hidden_sizes)},
        seed=0,
        **own[setting.algorithm],
    )


def first_steps(setting: Setting) -> int:
    """Steps after which SBX has compiled all there is."""
    return setting.learning_starts + math.ceil(64 / setting.num_envs) * setting.num_envs
