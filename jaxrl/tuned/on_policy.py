"""Settings of the on-policy algorithms."""

from jaxrl.types import Settings

SCALED: Settings = dict(normalise_obs=True, normalise_reward=True)
"""Of policies where observations and rewards differ in size."""

SWIFT: Settings = SCALED | dict(
    total_steps=1_000_000, num_envs=16, num_steps=5, lr=8e-3, lam=0.95, rms_decay=0.99
)
"""Of policies that learn every few steps on MountainCar."""

ERRORS: Settings = dict(num_steps=16, lr=3e-3, lam=0.95, weighting="td_error")
"""Of actor-critics that follow the error of their critic."""

ROUND: Settings = dict(lr=3e-3, normalise_obs=True)
"""Of groups of whole trajectories on both cars."""

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

PASSES: dict[str, Settings] = {
    "CartPole-v1": dict(total_steps=100_000, num_envs=4, lr=2e-3, gamma=0.98),
    "Acrobot-v1": LIFT,
    "MountainCar-v0": CAR,
    "Pendulum-v1": UPRIGHT,
    "MountainCarContinuous-v0": RISE,
    "Breakout-MinAtar": WALL | dict(total_steps=2_000_000),
    "Freeway-MinAtar": WALL | dict(total_steps=2_000_000, lr=1e-3),
}
"""Environment -> the settings of PPO, most of which serve its penalised form too."""

BRIEF_WALL: Settings = dict(
    total_steps=1_000_000, num_envs=16, activation="relu", entropy_coef=0.01
)
"""Of TRPO, REINFORCE and groups of trajectories on MinAtar."""

WARY: Settings = dict(
    total_steps=2_000_000,
    num_envs=16,
    num_steps=8,
    activation="relu",
    lr=2e-3,
    lam=0.95,
    entropy_coef=0.1,
)
"""Of policies that learn every few steps there: ten times PPO's bonus for entropy, or so."""

PARALLEL: Settings = dict(
    total_steps=500_000,
    num_envs=16,
    num_steps=32,
    lr=2e-3,
    num_minibatches=4,
    hidden_sizes=(64, 64),
)
"""Of PQN."""

CROWD: Settings = dict(
    total_steps=1_000_000, num_steps=32, lr=2e-3, lam=0.65, num_epochs=2, num_minibatches=8
)
"""Of the same on MinAtar."""

ON_POLICY: dict[str, dict[str, Settings]] = {
    "ppo": PASSES,
    "a2c": {
        "CartPole-v1": dict(total_steps=250_000, lr=2e-3),
        "Acrobot-v1": SCALED | dict(total_steps=500_000, num_envs=16, lr=1.5e-3, entropy_coef=0.01),
        "MountainCar-v0": SWIFT,
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
        "Breakout-MinAtar": WARY | dict(lr=4e-3, entropy_coef=0.2, whiten="batch"),
        "Freeway-MinAtar": WARY | dict(lr=4e-3, whiten="batch"),
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
        "Breakout-MinAtar": BRIEF_WALL | dict(num_steps=32, entropy_coef=0.2),
        "Freeway-MinAtar": BRIEF_WALL
        | dict(total_steps=2_000_000, num_steps=64, max_kl=0.03, entropy_coef=0.05),
    },
    "pqn": {
        "CartPole-v1": PARALLEL | dict(lr=5e-4),
        "Acrobot-v1": PARALLEL | dict(normalise_obs=True),
        "MountainCar-v0": PARALLEL | SCALED,
        "Breakout-MinAtar": CROWD,
        "Freeway-MinAtar": CROWD,
    },
    "ppo_penalty": PASSES
    | {
        "CartPole-v1": PASSES["CartPole-v1"] | dict(lr=4e-3),
        "Breakout-MinAtar": WALL | dict(total_steps=1_000_000),
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
        | ERRORS
        | dict(total_steps=500_000, num_envs=16, lam=0.94, entropy_coef=0.01),
        "MountainCar-v0": SWIFT | dict(entropy_coef=0.01, weighting="td_error"),
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
        "Breakout-MinAtar": WARY | dict(entropy_coef=0.15, weighting="td_error"),
        "Freeway-MinAtar": WARY | dict(entropy_coef=0.03, weighting="td_error"),
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
        "MountainCar-v0": SWIFT | dict(policy_lag=2, entropy_coef=0.0),
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
        "Breakout-MinAtar": WARY | dict(policy_lag=2),
        "Freeway-MinAtar": WARY | dict(policy_lag=2, entropy_coef=0.01),
    },
    "reinforce": {
        "CartPole-v1": dict(total_steps=300_000, num_envs=4, lr=1e-2),
        "Acrobot-v1": SCALED
        | dict(total_steps=500_000, num_envs=4, lr=3e-3, entropy_coef=0.03, rms_decay=0.99)
        | dict(whiten="batch"),
        "MountainCar-v0": SCALED
        | dict(total_steps=500_000, num_envs=8, num_steps=200, lr=3e-3, whiten="batch"),
        "Pendulum-v1": dict(
            total_steps=1_000_000,
            num_envs=4,
            num_steps=200,
            lr=5e-3,
            gamma=0.95,
            whiten="batch",
            normalise_reward=True,
        ),
        "MountainCarContinuous-v0": SCALED
        | dict(total_steps=300_000, num_envs=4, num_steps=999, lr=3e-3, whiten="batch"),
        "Breakout-MinAtar": BRIEF_WALL
        | dict(total_steps=2_000_000, num_envs=4, num_steps=100, lr=2e-3, entropy_coef=0.1)
        | dict(whiten="batch"),
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
}
"""Their part of `TUNED`."""
