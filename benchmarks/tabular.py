"""Tabular methods beside the exact optimum: what the greedy policy of each is worth, by planning.

Nothing is sampled in the scores: a table's greedy policy is evaluated by as many sweeps as the
world's time limit allows steps, which is its mean return exactly.

    python -m benchmarks.tabular          # the table
    python -m benchmarks.tabular --write  # and into README.md
"""

import argparse
import platform
import time
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.readme import put, table
from jaxrl import exact_evaluation, make_train, policy_evaluation, value_iteration
from jaxrl.envs import Mdp, world
from jaxrl.families.planning import start_value
from jaxrl.families.tabular import action_values
from jaxrl.formulas.selection import greedy
from jaxrl.zoo import tuned

SEEDS = 10
LIMIT = 1000  # steps of an episode where the world itself has no limit
CONTROL = ("q_learning", "double_q_learning", "sarsa", "expected_sarsa", "monte_carlo")
ONE = "td"
SHOWN = ("CliffWalking", "WindyGridworld", "FrozenLake", "FrozenLake8x8")


class Score(NamedTuple):
    """What came of one method in one world."""

    steps: int
    returns: np.ndarray  # of each seed's greedy policy
    rate: float  # steps per second of one seed


def trained(method: str, name: str, **changes: Any) -> tuple[Any, Score]:
    """All seeds' learners, and how fast one of them learns."""
    config, total_steps = tuned(method, name, **changes)
    train = make_train(config, name, total_steps)
    keys = jax.random.split(jax.random.key(0), SEEDS)
    learnt = jax.jit(jax.vmap(lambda key: train(key)[0].learner))(keys)
    one = jax.jit(lambda key: train(key)[0].learner).lower(keys[0]).compile()
    seconds = []
    for _ in range(3):
        begin = time.perf_counter()
        jax.block_until_ready(one(keys[0]))
        seconds.append(time.perf_counter() - begin)
    return learnt, Score(train.total_steps, np.zeros(SEEDS), train.total_steps / min(seconds))


def worth(mdp: Mdp, policy: jax.Array, max_steps: int | None) -> jax.Array:
    """The mean return of a policy within the time limit, without discount."""
    prob = jax.nn.one_hot(policy, mdp.num_actions)
    return start_value(mdp, policy_evaluation(mdp, prob, 1.0, 0.0, max_steps or LIMIT).value)


def control(method: str, name: str) -> tuple[Score, float]:
    """A method's score in a world, and that of the best policy for its discount."""
    mdp, max_steps = world(name)
    learnt, score = trained(method, name)
    states = jnp.arange(mdp.num_states)

    def of_table(params: jax.Array) -> jax.Array:
        return worth(mdp, greedy(action_values(params, states)), max_steps)

    returns = np.asarray(jax.jit(jax.vmap(of_table))(learnt.params))
    best = value_iteration(mdp, tuned(method, name)[0].gamma).policy
    return score._replace(returns=returns), float(worth(mdp, best, max_steps))


def prediction(name: str, **changes: Any) -> tuple[Score, float]:
    """The root mean square error of TD's values, over states that are not terminal; 0 is exact."""
    mdp, _ = world(name)
    learnt, score = trained(ONE, name, **changes)
    alike = jnp.full((mdp.num_states, mdp.num_actions), 1 / mdp.num_actions)
    true = exact_evaluation(mdp, alike, tuned(ONE, name)[0].gamma).value
    wrong = np.asarray(learnt.params - true)[:, ~np.asarray(mdp.terminal)]
    return score._replace(returns=np.sqrt(np.square(wrong).mean(1))), 0.0


def row(name: str, method: str, score: Score, best: float) -> list[str]:
    returns = score.returns
    spread = f"{returns.mean():.3f} ({returns.min():.3f} to {returns.max():.3f})"
    rate = f"{float(f'{score.rate:.2g}'):,.0f}"
    return [name, method, f"{score.steps:,}", spread, f"{best:.3f}", rate]


def rows() -> list[list[str]]:
    """The table, its head first."""
    lines = [["world", "method", "steps", "greedy return", "best for its γ", "steps/s"]]
    for name in SHOWN:
        for method in CONTROL:
            lines.append(row(name, method, *control(method, name)))
            print(*lines[-1], flush=True)
    for traces in (None, "accumulating"):
        method = "td, RMS error" if traces is None else "td with traces, RMS error"
        lines.append(row("RandomWalk", method, *prediction("RandomWalk", traces=traces)))
        print(*lines[-1], flush=True)
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.tabular", description=__doc__)
    parser.add_argument("--write", action="store_true", help="write the table into README.md")
    options = parser.parse_args()
    text = table(rows())
    versions = f"jax {jax.__version__}, Python {platform.python_version()}"
    note = f"`NPROC=1 python -m benchmarks.tabular --write`, {SEEDS} seeds, {versions}, cpu."
    if options.write:
        put("tabular", f"{note}\n\n{text}")


if __name__ == "__main__":
    main()
