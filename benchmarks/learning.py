"""What every algorithm learns: scores of its tuned settings beside those that peers have published.

python -m benchmarks.learning [--only NAME:ENV ...] [--seeds N] [--write]: trains the rows asked
for, all of them by default, and keeps their scores in benchmarks/results/learning.json; --write
puts the table of all kept rows into README.md (alone, with --only and no row, it trains nothing).

A seed's score is the mean return of 64 greedy episodes after training, on fresh starts. Seconds are
of all seeds of a row together, side by side on all cores, with compiling.
"""

import argparse
import json
import platform
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from benchmarks.readme import put, table
from jaxrl import zoo
from jaxrl.envs import make, mask_velocity
from jaxrl.runtime.devices import use_all_cores
from jaxrl.runtime.statistics import bootstrap_interval, iqm
from jaxrl.runtime.sweep import sweep

RESULTS = Path(__file__).parent / "results" / "learning.json"
NUM_EPISODES = 64
CARTPOLE, ACROBOT, MOUNTAIN_CAR = "CartPole-v1", "Acrobot-v1", "MountainCar-v0"
PENDULUM, CONTINUOUS_CAR = "Pendulum-v1", "MountainCarContinuous-v0"
BREAKOUT, FREEWAY = "Breakout-MinAtar", "Freeway-MinAtar"
REACHER = "Reacher-misc"
POSITIONS = "CartPole-positions"  # what moves how fast is not shown


class Reference(NamedTuple):
    """A score that somebody reached, and in how many steps."""

    score: float
    steps: int
    whose: str
    goal: float | None = None  # where that one failed: what counts as solved


class Row(NamedTuple):
    """An algorithm on an environment, and what differs from the zoo's settings for the two."""

    algorithm: str
    env: str
    reference: Reference
    variant: str = ""
    changes: dict[str, Any] | None = None
    total_steps: int | None = None  # in place of the zoo's

    @property
    def name(self) -> str:
        """What the table calls the algorithm."""
        return f"{self.algorithm}-{self.variant}" if self.variant else self.algorithm

    @property
    def title(self) -> str:
        """What `--only` and the results call the row."""
        return f"{self.name}:{self.env}"


RL_ZOO = "rl-baselines3-zoo"
BLINES = "gymnax-blines"

PPO = {
    CARTPOLE: Reference(500.0, 100_000, RL_ZOO),
    ACROBOT: Reference(-73.5, 1_000_000, RL_ZOO),
    MOUNTAIN_CAR: Reference(-110.4, 1_000_000, RL_ZOO),
    PENDULUM: Reference(-172.2, 100_000, RL_ZOO),
    CONTINUOUS_CAR: Reference(88.3, 20_000, RL_ZOO),
}
A2C = {
    CARTPOLE: Reference(500.0, 500_000, RL_ZOO),
    ACROBOT: Reference(-83.4, 500_000, RL_ZOO),
    MOUNTAIN_CAR: Reference(-111.3, 1_000_000, RL_ZOO),
    PENDULUM: Reference(-163.0, 1_000_000, RL_ZOO),
    CONTINUOUS_CAR: Reference(91.2, 100_000, RL_ZOO),
}
LIKE_DQN = {
    CARTPOLE: Reference(500.0, 50_000, f"{RL_ZOO}'s DQN"),
    ACROBOT: Reference(-76.6, 100_000, f"{RL_ZOO}'s DQN"),
    MOUNTAIN_CAR: Reference(-100.8, 120_000, f"{RL_ZOO}'s DQN"),
}
EARLY_PPO = {
    BREAKOUT: Reference(16.3, 2_200_000, f"{BLINES}' PPO"),
    FREEWAY: Reference(38.3, 2_200_000, f"{BLINES}' PPO"),
}
MOVING = dict(baseline="moving", lr=3e-3, whiten="batch")
RECURRENT = dict(
    num_steps=32, lr=1e-3, gamma=0.98, lam=0.8, num_epochs=20, num_minibatches=1, normalise_obs=True
)
REMEMBERING = dict(
    lr=1e-3,
    anneal_lr=True,
    gamma=0.98,
    polyak=0.01,
    exploration_fraction=0.15,
    sequence_length=16,
    learning_starts=2000,
)
PLANNED = Reference(73.6, 0, "`benchmarks.reacher`, which knows the arm")
NO_VELOCITY = Reference(500.0, 100_000, f"{RL_ZOO}'s PPO-LSTM")


def beside(references: dict[str, Reference], kin: str) -> dict[str, Reference]:
    """What an algorithm's next of kin reached, for one of which nobody has published a score."""
    return {env: x._replace(whose=f"{x.whose}'s {kin}") for env, x in references.items()}


def rows(algorithm: str, references: dict[str, Reference]) -> tuple[Row, ...]:
    """A row for each environment of the references."""
    return tuple(Row(algorithm, env, reference) for env, reference in references.items())


LIKE_PPO = beside(PPO, "PPO") | EARLY_PPO
LIKE_A2C = beside(A2C, "A2C") | EARLY_PPO

ROWS = (
    *rows("ppo", PPO),
    Row("ppo", BREAKOUT, Reference(43.4, 9_900_000, BLINES)),
    Row("ppo", FREEWAY, EARLY_PPO[FREEWAY]._replace(whose=BLINES)),
    *rows("a2c", A2C | EARLY_PPO),
    Row("trpo", CARTPOLE, Reference(500.0, 100_000, RL_ZOO)),
    Row("trpo", ACROBOT, Reference(-83.1, 100_000, RL_ZOO)),
    Row("trpo", MOUNTAIN_CAR, Reference(-107.3, 100_000, RL_ZOO)),
    Row("trpo", PENDULUM, Reference(-174.6, 100_000, RL_ZOO)),
    Row("trpo", CONTINUOUS_CAR, Reference(92.5, 50_000, RL_ZOO)),
    *rows("trpo", EARLY_PPO),
    Row("pqn", CARTPOLE, Reference(495.13, 500_000, "CleanRL")),
    Row("pqn", ACROBOT, Reference(-95.63, 500_000, "CleanRL")),
    Row("pqn", MOUNTAIN_CAR, Reference(-200.0, 500_000, "CleanRL", goal=-110.0)),
    *rows("pqn", EARLY_PPO),
    *rows("ppo_penalty", LIKE_PPO),
    *rows("impala", LIKE_A2C),
    *rows("actor_critic", LIKE_A2C),
    *rows("reinforce", LIKE_A2C),
    Row("reinforce", CARTPOLE, LIKE_A2C[CARTPOLE], "moving", MOVING),
    *rows("rloo", LIKE_A2C),
    *rows("grpo", LIKE_PPO),
    *rows("dqn", LIKE_DQN | EARLY_PPO),
    *rows("double_dqn", LIKE_DQN | EARLY_PPO),
    Row("c51", CARTPOLE, Reference(491.07, 500_000, "CleanRL")),
    Row("c51", ACROBOT, Reference(-86.74, 500_000, "CleanRL")),
    Row("c51", MOUNTAIN_CAR, Reference(-166.38, 500_000, "CleanRL")),
    *rows("c51", EARLY_PPO),
    Row("qr_dqn", CARTPOLE, Reference(500.0, 50_000, RL_ZOO)),
    Row("qr_dqn", ACROBOT, Reference(-69.1, 100_000, RL_ZOO)),
    Row("qr_dqn", MOUNTAIN_CAR, Reference(-106.0, 120_000, RL_ZOO)),
    *rows("qr_dqn", EARLY_PPO),
    *rows("iqn", LIKE_DQN | EARLY_PPO),
    *rows("munchausen_dqn", LIKE_DQN | EARLY_PPO),
    *rows("rainbow", LIKE_DQN | EARLY_PPO),
    Row("ddpg", PENDULUM, Reference(-152.1, 20_000, RL_ZOO)),
    Row("ddpg", CONTINUOUS_CAR, Reference(93.5, 300_000, RL_ZOO)),
    Row("td3", PENDULUM, Reference(-151.9, 20_000, RL_ZOO)),
    Row("td3", CONTINUOUS_CAR, Reference(93.5, 300_000, RL_ZOO)),
    Row("td3", REACHER, PLANNED),
    Row("d4pg", PENDULUM, Reference(-151.9, 20_000, f"{RL_ZOO}'s TD3")),
    Row("d4pg", CONTINUOUS_CAR, Reference(93.5, 300_000, f"{RL_ZOO}'s TD3")),
    Row("sac", PENDULUM, Reference(-157.0, 20_000, RL_ZOO)),
    Row("sac", CONTINUOUS_CAR, Reference(94.7, 50_000, RL_ZOO)),
    Row("sac", REACHER, PLANNED),
    Row("redq", PENDULUM, Reference(-157.0, 20_000, f"{RL_ZOO}'s SAC")),
    Row("discrete_sac", CARTPOLE, LIKE_DQN[CARTPOLE]),
    Row("discrete_sac", ACROBOT, LIKE_DQN[ACROBOT]),
    Row("ppo", POSITIONS, NO_VELOCITY, "gru", RECURRENT | {"memory": "gru"}, 100_000),
    Row("ppo", POSITIONS, NO_VELOCITY, "lstm", RECURRENT | {"memory": "lstm"}, 100_000),
    Row("r2d2", POSITIONS, NO_VELOCITY, "", REMEMBERING, 100_000),
)


def train(row: Row, num_seeds: int) -> dict[str, Any]:
    """Train all seeds of a row; what is kept of them."""
    config, tuned_steps = zoo.tuned(row.algorithm, row.env, **(row.changes or {}))
    total_steps = tuned_steps if row.total_steps is None else row.total_steps
    env = mask_velocity(make(CARTPOLE), (0, 2)) if row.env == POSITIONS else make(row.env)
    return scored(config, env, total_steps, num_seeds)


def scored(config: Any, env: Any, total_steps: int, num_seeds: int) -> dict[str, Any]:
    """Train all seeds of a configuration; what is kept of them."""
    start = time.perf_counter()
    swept = sweep(
        config,
        env,
        num_seeds=num_seeds,
        total_steps=total_steps,
        evaluate_every=total_steps,
        num_eval_episodes=NUM_EPISODES,
    )
    seconds = time.perf_counter() - start
    scores = [round(float(score), 2) for score in swept.columns["eval"]]
    return {"steps": int(swept.steps[-1]), "seconds": round(seconds, 1), "scores": scores}


def kept(path: Path = RESULTS) -> dict[str, Any]:
    """The results of all rows that ever ran."""
    return json.loads(path.read_text("utf-8")) if path.exists() else {}


def keep(title: str, result: dict[str, Any], path: Path = RESULTS) -> None:
    """Put a row's result beside the others; another process may have written meanwhile."""
    path.parent.mkdir(exist_ok=True)
    results = kept(path) | {title: result}
    text = json.dumps(results, sort_keys=True).replace('}, "', '},\n"')  # a line for each row
    path.write_text(text + "\n", "utf-8")


def line(row: Row, result: dict[str, Any]) -> list[str]:
    """A row of the table."""
    scores, reference = np.array(result["scores"]), row.reference
    _, high = bootstrap_interval(scores)
    return [
        row.name,
        row.env,
        f"{result['steps']:,}",
        middle(scores),
        f"{reference.score:g} @ {reference.steps:,}, {reference.whose}",
        verdict(reference, float(iqm(scores)), high, result["steps"]),
        f"{result['seconds']:,.0f}",
    ]


def middle(scores: np.ndarray, places: int = 1) -> str:
    """The interquartile mean of seeds, and its interval."""
    low, high = bootstrap_interval(scores)
    return f"{iqm(scores):.{places}f} [{low:.{places}f}, {high:.{places}f}] over {len(scores)}"


def verdict(reference: Reference, mean: float, high: float, steps: int) -> str:
    """Whether the mean, or its interval alone, reaches the reference, or a solution."""
    goal = reference.score if reference.goal is None else reference.goal
    if high < goal:
        return "below" if reference.goal is None else "not solved"
    said = "reached" if mean >= goal else "in the interval"
    return said if steps <= reference.steps else f"{said}, later"


def lines(results: dict[str, Any]) -> Iterator[list[str]]:
    """The table's head, and a row for each that has results."""
    interval = "IQM [95 % interval] over seeds"
    yield ["algorithm", "environment", "steps", interval, "reference", "verdict", "seconds"]
    yield from (line(row, results[row.title]) for row in ROWS if row.title in results)


def main() -> None:
    """Train, keep, print, and write if asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    titles = [row.title for row in ROWS]
    parser.add_argument("--only", nargs="*", choices=titles, default=titles, metavar="NAME:ENV")
    parser.add_argument("--seeds", type=int, default=10, help="of each row")
    parser.add_argument("--write", action="store_true", help="put the table into README.md")
    options = parser.parse_args()
    cores = use_all_cores()
    for row in ROWS:
        if row.title in options.only:
            result = train(row, options.seeds)
            print(" | ".join(line(row, result)), flush=True)
            keep(row.title, result)
    if options.write:
        device = jax.devices()[0].device_kind
        head = (
            f"`python -m benchmarks.learning --write`, jax {jax.__version__}, Python "
            f"{platform.python_version()}, {device}, {cores} cores."
        )
        put("learning", f"{head}\n\n{table(lines(kept()))}")


if __name__ == "__main__":
    main()
