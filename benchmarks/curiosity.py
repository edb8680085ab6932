"""What curiosity brings where rewards are rare: PPO alone, with ICM and with RND.

python -m benchmarks.curiosity [--only NAME:ENV ...] [--seeds N] [--write]: trains the rows asked
for, all of them by default, and keeps their scores in benchmarks/results/curiosity.json; --write
puts the table of all kept rows into README.md (alone, with --only and no row, it trains nothing).

All rows of an environment have the same settings and the same budget; curiosity's own were chosen
on other seeds than those of the score. A seed's score is as in `benchmarks.learning`.
"""

import argparse
import platform
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np

from benchmarks.learning import CONTINUOUS_CAR, MOUNTAIN_CAR, keep, kept, middle, scored
from benchmarks.readme import put, table
from jaxrl.algorithms import ppo
from jaxrl.config import replace
from jaxrl.envs import make
from jaxrl.runtime.devices import use_all_cores
from jaxrl.types import Env

RESULTS = Path(__file__).parent / "results" / "curiosity.json"
SEA, DEEP_SEA = "DeepSea-bsuite", "DeepSea-bsuite, 16 deep"
KINDS: dict[str, str | None] = {"ppo": None, "ppo and icm": "icm", "ppo and rnd": "rnd"}

CAR = ppo.Config(num_envs=16, num_steps=64, lr=1e-3, normalise_obs=True)
DIVER = ppo.Config(num_steps=64, lr=1e-3)
SETTINGS: dict[str, tuple[ppo.Config, int]] = {
    MOUNTAIN_CAR: (CAR, 100_000),
    CONTINUOUS_CAR: (replace(CAR, normalise_obs=False), 200_000),
    SEA: (DIVER, 30_000),
    DEEP_SEA: (DIVER, 200_000),
}
"""Environment -> the settings of all its rows, and its budget of steps."""

SLOW = dict(curiosity_coef=10.0, curiosity_lr=1e-4)
SMALL = dict(curiosity_coef=0.1)
OWN: dict[str, dict[str, Any]] = {
    MOUNTAIN_CAR: SLOW,
    CONTINUOUS_CAR: SLOW | dict(curiosity_coef=3.0),
    SEA: SMALL,
    DEEP_SEA: SMALL,
}
"""Environment -> curiosity's own settings."""

ROWS = {f"{kind}:{env}": (kind, env) for env in SETTINGS for kind in KINDS}


def world(name: str) -> Env:
    """The environment of a name; the deeper sea is no parameter of gymnax's."""
    if name != DEEP_SEA:
        return make(name)
    from gymnax.environments.bsuite.deep_sea import DeepSea  # starts jax, so not any earlier

    return make(DeepSea(size=16))


def train(kind: str, env: str, num_seeds: int) -> dict[str, Any]:
    """Train all seeds of a row; what is kept of them."""
    config, total_steps = SETTINGS[env]
    own = OWN[env] if KINDS[kind] else {}
    config = replace(config, curiosity=KINDS[kind], **own)
    return scored(config, world(env), total_steps, num_seeds)


def line(title: str, result: dict[str, Any]) -> list[str]:
    """A row of the table."""
    kind, env = ROWS[title]
    eta = f"{OWN[env]['curiosity_coef']:g}" if KINDS[kind] else ""
    score = middle(np.array(result["scores"]), places=2 if "Sea" in env else 1)
    return [env, kind, eta, f"{result['steps']:,}", score, f"{result['seconds']:,.0f}"]


def lines(results: dict[str, Any]) -> Iterator[list[str]]:
    """The table's head, and a row for each that has results."""
    score = "IQM [95 % interval] over seeds"
    yield ["environment", "algorithm", "η", "steps", score, "seconds"]
    yield from (line(title, results[title]) for title in ROWS if title in results)


def main() -> None:
    """Train, keep, print, and write if asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="*", choices=ROWS, default=list(ROWS), metavar="NAME:ENV")
    parser.add_argument("--seeds", type=int, default=10, help="of each row")
    parser.add_argument("--write", action="store_true", help="put the table into README.md")
    options = parser.parse_args()
    cores = use_all_cores()
    for title in options.only:
        result = train(*ROWS[title], options.seeds)
        print(" | ".join(line(title, result)), flush=True)
        keep(title, result, RESULTS)
    if options.write:
        head = (
            f"`python -m benchmarks.curiosity --write`, jax {jax.__version__}, Python "
            f"{platform.python_version()}, {cores} cores."
        )
        put("curiosity", f"{head}\n\n{table(lines(kept(RESULTS)))}")


if __name__ == "__main__":
    main()
