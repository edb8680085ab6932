"""Play episodes with the policy of a run, on fresh starts, or answer the prompts held out."""

import argparse
import json
from collections.abc import Callable
from typing import Any

from jaxrl.runtime.verbs import Parser


def parser() -> argparse.ArgumentParser:
    """The options."""
    made = Parser(prog="jaxrl eval", description=__doc__)
    made.add_argument("run", help="folder of a run")
    made.add_argument("--episodes", metavar="N",
                      help="of each seed [100, or all prompts held out]")  # fmt: skip
    made.add_argument("--seed", metavar="N", help="one seed of the run only [all of them]")
    made.add_argument("--luck", metavar="N", default="0", help="seed of the episodes [0]")
    made.add_argument("--stochastic", action="store_true", help="draw actions or answers")
    made.add_argument("--json", action="store_true", help="print the numbers as JSON")
    return made


def prepare(options: argparse.Namespace) -> Callable[[], int]:
    """Load the run and its policies."""
    from jaxrl.runtime.load import load
    from jaxrl.runtime.programs import NUM_SCORED
    from jaxrl.runtime.record import count

    run = load(options.run)
    luck, num_tests = count("luck", options.luck, 0), run.training.num_tests
    episodes = count("episodes", options.episodes or num_tests or NUM_SCORED, 1)
    if num_tests is not None and episodes > num_tests:
        raise ValueError(
            f"episodes must be at most the {num_tests} prompts held out, not {episodes}"
        )
    seeds = run.seeds if options.seed is None else (count("seed", options.seed, 0),)
    states = [run.learner_state(seed) for seed in seeds]
    return lambda: _report(
        _played(run, states, luck, episodes, not options.stochastic), run, seeds, options.json
    )


def _played(run: Any, states: list[Any], luck: int, episodes: int, greedy: bool) -> Any:
    """The evaluations of all seeds, [seeds, episodes]."""
    import jax
    import numpy as np

    @jax.jit
    def score(state: Any) -> Any:
        return run.training.played(jax.random.key(luck), state, episodes, greedy)

    return jax.tree.map(lambda *xs: np.stack(xs), *(score(state) for state in states))


def _report(played: Any, run: Any, seeds: tuple[int, ...], as_json: bool) -> int:
    from jaxrl.runtime import finish

    result = finish.evaluation(seeds, played)
    if as_json:
        print(json.dumps(result, indent=2))
        return 0
    for row in result["per_seed"]:
        print(f"seed {row['seed']}: {finish.score({'per_seed': [row]})}")
    print(f"{run.algorithm} on {run.env_name}: score {finish.score(result)}")
    return 0
