"""What imitators learn from an expert without seeing a reward, beside the expert itself.

python -m benchmarks.imitation [--seeds N] [--only ENV ...] [--write]: trains an expert, PPO as
tuned for the environment, has it act for 2,000 steps, and every method learn from that; --write
puts the table into README.md. A seed's score is the mean return of 64 greedy episodes.
"""

import argparse
import platform
from collections.abc import Iterator
from typing import Any

import jax
import numpy as np

from benchmarks.learning import ACROBOT, CARTPOLE, NUM_EPISODES, PENDULUM
from benchmarks.readme import put, table
from jaxrl import demonstrate, evaluate, make_imitation, make_offline, make_train, policy, zoo
from jaxrl.config import replace
from jaxrl.runtime.statistics import bootstrap_interval, iqm
from jaxrl.train import Training

NUM_ROWS, FEW, NUM_GRADIENTS = 2000, 100, 2000
DAGGER = dict(num_envs=4, learning_starts=200, num_gradients=4, capacity=2 * NUM_ROWS)
REWARDS: dict[str, dict[str, Any]] = {
    "gail": {},
    "saturating": {},
    "airl": dict(discriminator_lr=1e-4, discriminator_epochs=1),
}
STEPS = {CARTPOLE: 100_000, ACROBOT: 300_000, PENDULUM: 300_000}
"""What those that act by a learnt reward may spend."""

HEAD = ["environment", "expert", f"`bc`, {FEW} steps", f"`bc`, {NUM_ROWS:,} steps"]
HEAD += [f"`dagger`, {NUM_ROWS:,} answers", "`gail`", "`gail`, `saturating`", "`airl`"]


def methods(env: str, config: Any, state: Any) -> Iterator[tuple[str, Training]]:
    """Every imitator of a trained policy."""
    expert = policy(config, state, env)
    rows = jax.jit(lambda key: demonstrate(key, env, expert, NUM_ROWS))(jax.random.key(1))
    for num in (FEW, NUM_ROWS):
        few = jax.tree.map(lambda x, num=num: x[:num], rows)
        yield f"bc {num}", make_offline("bc", env, few, NUM_GRADIENTS)
    asks = replace(zoo.ZOO["dagger"].config, **DAGGER)
    yield "dagger", make_imitation(asks, env, expert, NUM_ROWS)
    for name, changes in REWARDS.items():
        judged = replace(config, imitates=name, normalise_reward=False, **changes)
        yield name, make_imitation(judged, env, rows, STEPS[env])


def scores(training: Training, num_seeds: int) -> np.ndarray:
    """The score of each seed, [seeds]."""

    def one(key: Any) -> Any:
        state, _ = training(key)
        return training.score(state, 0, NUM_EPISODES).episode_return.mean()

    keys = jax.random.split(jax.random.key(0), num_seeds)
    return np.asarray(jax.jit(jax.vmap(one))(keys), float)


def row(env: str, num_seeds: int) -> list[str]:
    """The table's row of an environment."""
    config, total_steps = zoo.tuned("ppo", env)
    state, _ = jax.jit(make_train(config, env, total_steps))(jax.random.key(0))
    found = evaluate(config, state, env, jax.random.key(1), NUM_EPISODES).episode_return
    cells = [env, f"{float(found.mean()):.1f}"]
    for name, training in methods(env, config, state):
        each = scores(training, num_seeds)
        low, high = bootstrap_interval(each)
        cells.append(f"{iqm(each):.1f} [{low:.1f}, {high:.1f}]")
        print(env, name, cells[-1], flush=True)
    return cells


def main() -> None:
    """Train, print the table, and write it if asked to."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--only", nargs="+", choices=STEPS, default=list(STEPS))
    parser.add_argument("--write", action="store_true", help="put the table into README.md")
    options = parser.parse_args()
    rows = [row(env, options.seeds) for env in options.only]
    versions = f"jax {jax.__version__}, Python {platform.python_version()}"
    text = (
        f"`python -m benchmarks.imitation --write`, {options.seeds} seeds, {versions}.\n\n"
        + table([HEAD, *rows])
    )
    print(text)
    if options.write:
        put("imitation", text)


if __name__ == "__main__":
    main()
