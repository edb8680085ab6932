"""Measure how fast an algorithm trains on this machine."""

import argparse
import time
from collections.abc import Callable
from typing import Any

from jaxrl.runtime.verbs import Parser


def parser() -> argparse.ArgumentParser:
    """The options."""
    made = Parser(prog="jaxrl bench", description=__doc__)
    made.add_argument("algorithm", nargs="?", default="ppo", help="see jaxrl algos [ppo]")
    made.add_argument("--env", metavar="NAME", default="CartPole-v1", help="[CartPole-v1]")
    made.add_argument("--seconds", metavar="N", default="5", help="how long to measure [5]")
    return made


def prepare(options: argparse.Namespace) -> Callable[[], int]:
    """Check the options, and choose threads as training would."""
    from jaxrl.runtime import record
    from jaxrl.runtime.verbs import train

    seconds = record.count("seconds", options.seconds, 1)
    made = record.record({"algorithm": options.algorithm, "env": options.env})
    train.choose_threads(made)
    made.training()  # raises what does not go together
    return lambda: _measure(made, seconds)


def _measure(made: Any, seconds: float) -> int:
    import jax
    import jax.numpy as jnp

    from jaxrl.runtime import drive
    from jaxrl.runtime.programs import programs
    from jaxrl.runtime.sides import side

    functions, start = programs(made), time.perf_counter()
    carried = drive.begin(made, functions).carried
    compiled = time.perf_counter() - start

    def timed(num_updates: int) -> float:
        nonlocal carried
        start = time.perf_counter()
        carried = functions.advance(made.config, jnp.int32(num_updates), carried)
        jax.block_until_ready(carried)
        return time.perf_counter() - start

    timed(1)  # memory is touched, and caches are warm
    num_updates = max(1, int(seconds / timed(1)))
    rate = num_updates * functions.training.steps_per_update / timed(num_updates)
    device = jax.devices()[0].device_kind
    print(
        f"{made.algorithm} on {made.env}: {rate:,.0f} steps/s, compiled in {compiled:.1f} s "
        f"({side(made.config).words.batch(made.config)}, {device})"
    )
    return 0
