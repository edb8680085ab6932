"""Settings of the off-policy algorithms."""

from jaxrl.types import Settings

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

OFF_POLICY: dict[str, dict[str, Settings]] = {
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
"""Their part of `TUNED`."""
