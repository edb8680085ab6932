"""The settings that were tuned for an environment: plain numbers, which `zoo` looks up."""

from typing import Any

Settings = dict[str, Any]

BALANCE: Settings = dict(
    total_steps=50_000,
    num_gradients=8,
    batch_size=64,
    hidden_sizes=(64, 64),
    n_step=5,
    gamma=0.98,
    lr=2e-3,
    polyak=0.01,
    anneal_lr=True,
    epsilon_end=0.04,
)
"""Of learners of action values on CartPole."""

SWING: Settings = dict(
    total_steps=100_000,
    num_gradients=8,
    batch_size=64,
    hidden_sizes=(128, 128),
    gamma=0.97,
    polyak=0.01,
    anneal_lr=True,
    epsilon_end=0.1,
)
"""Of the same on Acrobot."""

HILL: Settings = dict(
    total_steps=120_000,
    num_gradients=4,
    hidden_sizes=(128, 128),
    n_step=3,
    gamma=0.98,
    target_period=300,
    polyak=1.0,
    capacity=10_000,
    epsilon_end=0.07,
    noise_memory=0.85,
)
"""Of the same on MountainCar: tries that last reach the hill."""

BRICKS: Settings = dict(
    total_steps=500_000,
    num_envs=16,
    num_gradients=2,
    batch_size=64,
    hidden_sizes=(128, 128),
    n_step=3,
    anneal_lr=True,
    capacity=100_000,
    learning_starts=5000,
    epsilon_end=0.01,
)
"""Of the same on Breakout-MinAtar."""

BRICK_SUPPORT: Settings = BRICKS | dict(value_min=0.0, value_max=10.0)
"""Of learners of whole distributions on a support there."""

ROAD: Settings = BRICKS | dict(n_step=1, lr=2e-3, layer_norm=True)
"""Of the same on Freeway-MinAtar, where returns of several steps hold what tries cost."""

ROAD_SUPPORT: Settings = BRICKS | dict(n_step=1, lr=5e-4, value_min=0.0, value_max=4.0)
"""Of learners of whole distributions on a support there."""

VALUES: dict[str, Settings] = {
    "CartPole-v1": BALANCE,
    "Acrobot-v1": SWING,
    "MountainCar-v0": HILL,
    "Breakout-MinAtar": BRICKS,
    "Freeway-MinAtar": ROAD,
}
"""Environment -> what learners of action values share there."""

SWING_UP: Settings = dict(
    total_steps=20_000, hidden_sizes=(64, 64), batch_size=128, num_gradients=4
)
"""Of actors that follow critics on Pendulum."""

REACH: Settings = SWING_UP | dict(total_steps=50_000, gamma=0.95)
"""Of the same on Reacher-misc."""

CLIMB: Settings = dict(hidden_sizes=(64, 64), batch_size=128, num_gradients=2)
"""Of the same on MountainCarContinuous, where only noise that lasts finds the goal."""

SCALED: Settings = dict(normalise_obs=True, normalise_reward=True)
"""Of policies where observations and rewards differ in size."""

ERRORS: Settings = dict(num_steps=16, lr=3e-3, lam=0.95, weighting="td_error")
"""Of actor-critics that follow the error of their critic, on both cars."""

LIFT: Settings = SCALED | dict(
    total_steps=1_000_000,
    num_envs=16,
    num_steps=256,
    num_epochs=8,
    num_minibatches=32,
    lr=1e-3,
    lam=0.94,
    entropy_coef=0.0,
)
"""Of PPO, clipped or penalised, on Acrobot."""

CAR: Settings = SCALED | dict(total_steps=500_000, num_envs=16, num_steps=64, lr=2e-3, lam=0.98)
"""Of the same on MountainCar."""

RISE: Settings = SCALED | dict(
    total_steps=20_000, num_envs=2, num_steps=256, lr=1e-3, num_epochs=10
)
"""Of the same on MountainCarContinuous."""

ROUND: Settings = dict(lr=3e-3, normalise_obs=True)
"""Of groups of whole trajectories on both cars."""

UPRIGHT: Settings = dict(
    total_steps=100_000,
    num_envs=4,
    num_steps=256,
    lr=1e-3,
    gamma=0.95,
    lam=0.9,
    entropy_coef=0.0,
    num_epochs=10,
    num_minibatches=16,
)
"""Of the same on Pendulum."""

WALL: Settings = dict(num_envs=64, lr=5e-3, num_minibatches=8, activation="relu")
"""Of the same on Breakout-MinAtar."""

BRIEF_WALL: Settings = dict(
    total_steps=1_000_000, num_envs=16, activation="relu", entropy_coef=0.01
)
"""Of policies that learn once from what they did, on MinAtar."""

CROWD: Settings = dict(
    total_steps=1_000_000, num_steps=32, lr=2e-3, lam=0.65, num_epochs=2, num_minibatches=8
)
"""Of PQN on MinAtar."""

SOFT: Settings = dict(
    num_envs=8,
    batch_size=64,
    hidden_sizes=(64, 64),
    polyak=0.01,
    anneal_lr=True,
    temperature=0.1,
    entropy_share=0.5,
)
"""Of discrete SAC."""

TUNED: dict[str, dict[str, Settings]] = {
    "ppo": {
        "CartPole-v1": dict(total_steps=100_000, num_envs=4, lr=2e-3, gamma=0.98),
        "Acrobot-v1": LIFT,
        "MountainCar-v0": CAR,
        "Pendulum-v1": UPRIGHT,
        "MountainCarContinuous-v0": RISE,
        "Breakout-MinAtar": WALL | dict(total_steps=2_000_000),
        "Freeway-MinAtar": WALL | dict(total_steps=2_000_000, lr=1e-3),
    },
    "a2c": {
        "CartPole-v1": dict(total_steps=250_000, lr=2e-3),
        "Acrobot-v1": SCALED | dict(total_steps=500_000, num_envs=16, lr=1.5e-3, entropy_coef=0.01),
        "MountainCar-v0": SCALED | dict(total_steps=1_000_000, num_envs=16, lr=8e-3, lam=0.95),
        "MountainCarContinuous-v0": SCALED | dict(total_steps=100_000, num_envs=4, num_steps=64),
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
        "Breakout-MinAtar": BRIEF_WALL,
        "Freeway-MinAtar": BRIEF_WALL | dict(lr=2e-3, lam=0.95),
    },
    "trpo": {
        "CartPole-v1": dict(total_steps=100_000, num_envs=4, lam=0.98),
        "Acrobot-v1": SCALED | dict(total_steps=100_000, num_envs=4, max_kl=0.02),
        "MountainCar-v0": SCALED | dict(total_steps=100_000, num_envs=4, lam=0.98, max_kl=0.03),
        "MountainCarContinuous-v0": SCALED
        | dict(
            total_steps=50_000,
            num_envs=2,
            num_steps=512,
            gamma=0.999,
            lam=0.98,
            max_kl=0.05,
        ),
        "Pendulum-v1": dict(total_steps=100_000, num_envs=4, gamma=0.95, lam=0.9),
        "Breakout-MinAtar": dict(
            total_steps=1_000_000, num_envs=16, max_kl=0.03, activation="relu"
        ),
        "Freeway-MinAtar": dict(total_steps=300_000, num_envs=16, max_kl=0.03, activation="relu"),
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
        "MountainCar-v0": SCALED
        | dict(
            total_steps=500_000,
            num_envs=16,
            num_steps=32,
            lr=2e-3,
            num_minibatches=4,
            hidden_sizes=(64, 64),
        ),
        "Breakout-MinAtar": CROWD,
        "Freeway-MinAtar": CROWD,
    },
    "ppo_penalty": {
        "CartPole-v1": dict(total_steps=100_000, num_envs=4, lr=4e-3, gamma=0.98),
        "Acrobot-v1": LIFT,
        "MountainCar-v0": CAR,
        "Pendulum-v1": UPRIGHT,
        "MountainCarContinuous-v0": RISE,
        "Breakout-MinAtar": WALL | dict(total_steps=1_000_000),
        "Freeway-MinAtar": WALL | dict(total_steps=2_000_000, lr=1e-3),
    },
    "actor_critic": {
        "CartPole-v1": dict(
            total_steps=500_000,
            num_steps=5,
            lr=5e-4,
            entropy_coef=0.01,
            normalise_reward=True,
        ),
        "Acrobot-v1": SCALED
        | dict(total_steps=1_000_000, num_envs=16, num_steps=16, lr=3e-3, lam=0.94),
        "MountainCar-v0": SCALED | ERRORS | dict(total_steps=1_000_000, num_envs=16),
        "Pendulum-v1": dict(
            total_steps=1_000_000,
            num_envs=16,
            num_steps=8,
            gamma=0.95,
            weighting="td_error",
            whiten="batch",
            normalise_reward=True,
        ),
        "MountainCarContinuous-v0": SCALED | ERRORS | dict(total_steps=200_000, num_envs=4),
        "Breakout-MinAtar": BRIEF_WALL | dict(lr=3e-3, lam=0.95),
        "Freeway-MinAtar": BRIEF_WALL | dict(lr=4e-3, lam=0.95),
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
        "Acrobot-v1": dict(total_steps=1_000_000, num_envs=16, lr=2e-3),
        "Pendulum-v1": dict(total_steps=2_000_000, num_steps=200, lr=3e-3, gamma=0.95),
        "MountainCar-v0": ROUND
        | dict(total_steps=1_000_000, num_envs=16, num_steps=200, num_minibatches=1),
        "MountainCarContinuous-v0": ROUND
        | dict(total_steps=300_000, num_envs=8, num_steps=999, num_minibatches=1),
        "Breakout-MinAtar": BRIEF_WALL | dict(num_steps=200, lr=3e-3),
        "Freeway-MinAtar": BRIEF_WALL | dict(num_steps=200, lr=3e-3),
    },
    "impala": {
        "CartPole-v1": dict(total_steps=500_000, lr=2e-3),
        "Acrobot-v1": SCALED | dict(total_steps=500_000, num_envs=16, lam=0.95),
        "MountainCar-v0": SCALED
        | dict(total_steps=1_000_000, num_envs=16, num_steps=16, policy_lag=2, lr=4e-3, lam=0.98),
        "Pendulum-v1": dict(
            total_steps=1_000_000,
            num_envs=16,
            policy_lag=2,
            lr=1.5e-3,
            gamma=0.95,
            lam=0.9,
            entropy_coef=0.0,
            normalise_reward=True,
        ),
        "MountainCarContinuous-v0": SCALED
        | dict(total_steps=100_000, num_envs=4, num_steps=32, lam=0.95, entropy_coef=0.0),
        "Breakout-MinAtar": BRIEF_WALL | dict(policy_lag=2, lam=0.95),
        "Freeway-MinAtar": BRIEF_WALL
        | dict(total_steps=2_000_000, policy_lag=2, lr=4e-3, lam=0.95),
    },
    "reinforce": {
        "CartPole-v1": dict(total_steps=300_000, num_envs=4, lr=1e-2),
        "Acrobot-v1": SCALED | dict(total_steps=500_000, num_envs=4, lr=3e-3, whiten="batch"),
        "MountainCar-v0": SCALED
        | dict(total_steps=500_000, num_envs=8, num_steps=200, lr=3e-3, whiten="batch"),
        "Pendulum-v1": dict(
            total_steps=1_000_000,
            num_steps=200,
            lr=1e-2,
            gamma=0.95,
            whiten="batch",
            normalise_reward=True,
        ),
        "MountainCarContinuous-v0": SCALED
        | dict(total_steps=300_000, num_envs=4, num_steps=999, lr=3e-3, whiten="batch"),
        "Breakout-MinAtar": BRIEF_WALL | dict(num_steps=100, lr=2e-3, whiten="batch"),
        "Freeway-MinAtar": BRIEF_WALL | dict(num_steps=100, lr=2e-3, whiten="batch"),
    },
    "rloo": {
        "CartPole-v1": dict(total_steps=300_000, num_envs=4, lr=1e-2, whiten="batch"),
        "Acrobot-v1": dict(total_steps=1_000_000, num_envs=8, lr=1e-2, whiten="batch"),
        "MountainCar-v0": ROUND | dict(total_steps=1_000_000, num_steps=200, whiten="batch"),
        "Pendulum-v1": dict(
            total_steps=1_000_000, num_steps=200, lr=2e-2, gamma=0.95, whiten="batch"
        ),
        "MountainCarContinuous-v0": ROUND
        | dict(total_steps=300_000, num_envs=8, num_steps=999, whiten="batch"),
        "Breakout-MinAtar": BRIEF_WALL | dict(num_steps=200, lr=5e-3, whiten="batch"),
        "Freeway-MinAtar": BRIEF_WALL | dict(num_steps=200, lr=1e-2, whiten="batch"),
    },
    "dqn": VALUES
    | {
        "MountainCar-v0": HILL | dict(lr=3e-3, anneal_lr=True),
        "Breakout-MinAtar": BRICKS | dict(total_steps=1_000_000),
    },
    "double_dqn": VALUES,
    "c51": {
        "CartPole-v1": BALANCE | dict(value_min=0.0, value_max=60.0),
        "Acrobot-v1": SWING | dict(value_min=-34.0, value_max=0.0),  # 1 / (1 − 0.97) costs
        "MountainCar-v0": HILL | dict(value_min=-60.0, value_max=0.0),
        "Breakout-MinAtar": BRICK_SUPPORT,
        "Freeway-MinAtar": ROAD_SUPPORT | dict(lr=1e-3, layer_norm=True),
    },
    "qr_dqn": {
        "CartPole-v1": BALANCE | dict(num_quantiles=10, hidden_sizes=(128, 128)),
        "Acrobot-v1": SWING
        | dict(num_quantiles=25, layer_norm=True, num_gradients=16, epsilon_end=0.03),
        "MountainCar-v0": HILL,
        "Breakout-MinAtar": BRICKS | dict(num_quantiles=25),
        "Freeway-MinAtar": ROAD | dict(num_quantiles=25),
    },
    "iqn": VALUES,
    "munchausen_dqn": VALUES,
    "rainbow": {
        "CartPole-v1": BALANCE | dict(value_min=0.0, value_max=60.0),
        "Acrobot-v1": SWING
        | dict(gamma=0.98, lr=5e-4, value_min=-50.0, value_max=0.0, exploration="epsilon"),
        "MountainCar-v0": HILL | dict(value_min=-60.0, value_max=0.0, exploration="epsilon"),
        "Breakout-MinAtar": BRICK_SUPPORT,
        "Freeway-MinAtar": ROAD_SUPPORT | dict(hidden_sizes=(128,)),
    },
    "ddpg": {
        "Pendulum-v1": SWING_UP,
        "MountainCarContinuous-v0": CLIMB
        | dict(total_steps=100_000, noise_memory=0.98, noise_std=0.6),
    },
    "td3": {
        "Pendulum-v1": SWING_UP,
        "Reacher-misc": REACH,
        "MountainCarContinuous-v0": CLIMB
        | dict(total_steps=200_000, noise_memory=0.98, noise_std=0.6),
    },
    "d4pg": {
        "Pendulum-v1": SWING_UP | dict(gamma=0.98, value_min=-800.0, value_max=0.0),
        "MountainCarContinuous-v0": CLIMB
        | dict(total_steps=100_000, noise_memory=0.98, noise_std=0.6, n_step=1)
        | dict(value_min=-50.0, value_max=100.0),
    },
    "sac": {
        "Pendulum-v1": SWING_UP,
        "Reacher-misc": REACH,
        "MountainCarContinuous-v0": CLIMB
        | dict(total_steps=50_000, num_gradients=6, gamma=0.995, polyak=0.01, anneal_lr=True)
        | dict(noise_memory=0.95),
    },
    "discrete_sac": {
        "CartPole-v1": SOFT | dict(total_steps=50_000, num_gradients=8, gamma=0.98, lr=2e-3),
        "Acrobot-v1": SOFT | dict(total_steps=100_000, n_step=3),
    },
    "redq": {
        "Pendulum-v1": SWING_UP | dict(total_steps=10_000, num_gradients=20, policy_delay=5),
    },
}
"""Algorithm -> environment -> what differs from the algorithm's defaults, and `total_steps`."""
