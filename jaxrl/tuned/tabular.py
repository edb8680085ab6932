"""Settings of the tabular algorithms."""

from jaxrl.types import Settings

STEADY: Settings = dict(
    total_steps=200_000, gamma=1.0, lr=0.5, anneal_lr=True, epsilon_start=0.1, epsilon_end=0.1
)
"""Those of the textbook's cliff and wind: what is tried never stops."""

THAW: Settings = dict(total_steps=1_000_000, gamma=0.99, lr=0.02, averaging=True, epsilon_end=0.1)
"""Of frozen lakes, where the rate of trying falls slowly."""

THAW_WHOLE: Settings = THAW | dict(lr=0.1, anneal_lr=True, num_envs=1)
"""Of whole trajectories there: their returns grow old as the policy moves on."""

WHOLE: Settings = STEADY | dict(total_steps=1_000_000, lr=0.02, epsilon_start=1.0, num_envs=1)
"""Of whole trajectories along the cliff and in the wind."""

TABULAR: dict[str, dict[str, Settings]] = {
    name: {
        "CliffWalking": STEADY,
        "WindyGridworld": STEADY,
        "FrozenLake": THAW,
        "FrozenLake8x8": THAW | dict(total_steps=4_000_000),
    }
    for name in ("q_learning", "double_q_learning", "sarsa", "expected_sarsa")
} | {
    "monte_carlo": {
        "CliffWalking": WHOLE,
        "WindyGridworld": WHOLE,
        "FrozenLake": THAW_WHOLE | dict(num_steps=100),
        "FrozenLake8x8": THAW_WHOLE | dict(total_steps=4_000_000),
    },
    "td": {"RandomWalk": dict(total_steps=200_000, gamma=1.0, lr=0.1, anneal_lr=True)},
}
"""Their part of `TUNED`."""
