"""usage: jaxrl COMMAND

commands:
  jaxrl train ALGORITHM --env NAME   train, evaluate, and write a folder of results
  jaxrl train ALGORITHM --help       what can be set, and to what it is set
  jaxrl list                         algorithms and environments
"""

import argparse
import os
import pathlib
import sys
from collections.abc import Callable, Sequence
from typing import Any

# jax takes a second or two to load: help and mistakes come without it where they can.

ONE_THREAD = 2**20
"""Up to this many multiplications in a layer, a second thread costs more than it brings."""

NUM_SCORED = 100
"""Episodes of the evaluation at the end."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; return the exit status: 2 for a mistake of the user, told in one sentence."""
    command, *words = list(sys.argv[1:] if arguments is None else arguments) or ["--help"]
    if command in ("-h", "--help"):
        print((__doc__ or "").strip())
        return 0
    try:
        if command not in COMMANDS:
            raise ValueError(f"the command must be one of {', '.join(COMMANDS)}, not {command!r}")
        act = COMMANDS[command](words)
    except (TypeError, ValueError) as error:
        print(f"jaxrl: {error}", file=sys.stderr)
        return 2
    return act()


def list_command(words: Sequence[str]) -> Callable[[], int]:
    """Print the names of all algorithms and environments."""
    if words:
        raise ValueError(f"list takes no arguments, not {' '.join(words)!r}")
    from jaxrl import zoo
    from jaxrl.envs.gymnax import registered

    def act() -> int:
        print("algorithms:", *zoo.ZOO, sep="\n  ")
        print("environments, of gymnax:", *registered(), sep="\n  ")
        return 0

    return act


def train_command(words: Sequence[str]) -> Callable[[], int]:
    """Understand and check all of a training run; return what does it."""
    common = _common_options()
    if not words or words[0].startswith("-"):
        if set(words) & {"-h", "--help"}:
            common.print_help()
            return lambda: 0
        raise ValueError("train needs the name of an algorithm first, as in jaxrl train ppo")
    from jaxrl import zoo
    from jaxrl.config import hints, replace, unknown, validate
    from jaxrl.runtime import flags

    algorithm, *rest = words
    common.error = flags.refuse
    env = common.parse_known_args(rest)[0].env
    config, default_steps = zoo.tuned(algorithm, env)
    flags.add_fields(common, config)
    common.prog = f"jaxrl train {algorithm}"
    common.add_argument("-h", "--help", action="store_true", help="show this help and exit")
    options, extra = common.parse_known_args(rest)
    if options.help:
        common.print_help()
        return lambda: 0
    if extra:
        known = [f"--{name.replace('_', '-')}" for name in (*hints(type(config)), *OPTIONS)]
        raise ValueError(unknown("option", extra[0], known, f"of jaxrl train {algorithm}"))
    if env is None:
        raise ValueError("env must be the name of an environment, as in --env CartPole-v1")
    config = validate(replace(config, **flags.given_fields(config, options)))
    _choose_threads(config)
    return _prepared(algorithm, config, options, default_steps)


COMMANDS = {"train": train_command, "list": list_command}

OPTIONS = {
    "env": ("NAME", "environment: see jaxrl list"),
    "total_steps": ("N", "environment steps of training; by default what was tuned"),
    "seed": ("N", "seed of everything [0]"),
    "evaluate_every": ("N", "steps between two greedy evaluations; by default none"),
    "out": ("DIR", "a new folder for results [runs/ALGORITHM-ENV-SEED]"),
    "env_param": ("NAME=NUMBER", "a parameter of the environment; may be repeated"),
}


def _common_options() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="jaxrl train ALGORITHM",
        description="Train, evaluate, and write curve, metrics and settings to a folder.",
        epilog="jaxrl train ALGORITHM --help has the fields of that algorithm.",
        allow_abbrev=False,
        add_help=False,
    )
    for name, (metavar, text) in OPTIONS.items():
        repeated: dict[str, Any] = {"action": "append"} if name == "env_param" else {}
        parser.add_argument(f"--{name.replace('_', '-')}", metavar=metavar, help=text, **repeated)
    return parser


def _choose_threads(config: Any) -> None:
    """One thread for small networks, unless the user set NPROC; jax has not started yet.

    Not for recurrent ones: on a single thread XLA frees some of what those use only when a call
    returns (and it does so wherever `vmap` makes products batched, as a sweep does).
    """
    if getattr(config, "memory", None) is not None:
        return
    rows = config.num_envs * config.num_steps // getattr(config, "num_minibatches", 1)
    if rows * max(config.hidden_sizes, default=1) ** 2 <= ONE_THREAD:
        os.environ.setdefault("NPROC", "1")


def _prepared(
    algorithm: str, config: Any, options: argparse.Namespace, default_steps: int
) -> Callable[[], int]:
    """Check the rest, make the folder, and leave a note of what will be done."""
    from jaxrl.runtime import flags, runs
    from jaxrl.train import make_train

    total_steps = flags.integer("total_steps", options.total_steps, 1)
    settings = {
        "env": options.env,
        "total_steps": default_steps if total_steps is None else total_steps,
        "evaluate_every": flags.integer("evaluate_every", options.evaluate_every, 1),
        "env_params": flags.assignments("env_param", options.env_param or ()),
    }
    seed = flags.integer("seed", options.seed, 0) or 0
    make_train(config, **settings)  # raises what is wrong
    name = f"{algorithm}-{options.env}-{seed}"
    folder = runs.new_folder(options.out, f"runs/{name}")
    note = {"algorithm": algorithm, "seed": seed, **settings, "config": config}
    runs.write_json(folder / "config.json", note)
    return lambda: _train(lambda config: make_train(config, **settings), config, seed, folder, name)


def _train(
    train: Callable[[Any], Any], config: Any, seed: int, folder: pathlib.Path, name: str
) -> int:
    from jaxrl.runtime import plots, runs
    from jaxrl.runtime.progress import progress

    run = runs.compiled(train, config, seed, NUM_SCORED)
    print(f"{name}: compiled in {run.seconds:.1f} s")
    table, state, status = runs.Table(folder / "metrics.csv"), run.state, 0
    try:
        with progress(run.training.total_steps) as report:
            for window in runs.windows(run):
                state = window.state
                table.append(window.row)
                report(window.row)
    except KeyboardInterrupt:
        status = 130
        print(f"jaxrl: interrupted after {int(state.num_updates)} updates", file=sys.stderr)
    if state.bad_update >= 0:
        status = 1
        print(f"jaxrl: {runs.complaint(state)}", file=sys.stderr)
    result = runs.result(run, state, table.rows)
    runs.write_json(folder / "result.json", result)
    plots.learning_curve(folder / "curve.png", table.rows, name)
    print(
        f"{name}: score {result['score']:.1f} ± {result['std']:.1f} over {NUM_SCORED} episodes, "
        f"{result['steps_per_second']:,.0f} steps/s, results in {folder}"
    )
    return status
