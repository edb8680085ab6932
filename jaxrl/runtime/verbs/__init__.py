"""The verbs of the command line, one module each, named after the verb.

Each has `parser()`, which loads nothing heavy, so that help comes at once, and
`prepare(options)`, which checks everything, writes nothing, and returns what does the work.
"""

import argparse
import shlex
from collections.abc import Iterable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, NoReturn

from jaxrl.names import unknown

RECORD = {
    "env": ("NAME", "environment, or task: see jaxrl envs"),
    "start": (
        "FOLDER",
        "begin with a run's policy, or with Llama, Qwen2 or Qwen3 in safetensors (language models)",
    ),
    "reward": (
        "FILE.py:FUNCTION",
        "learn from this, or from the reward model of a run's folder, and not from the task's "
        "reward; repeated, and with WEIGHT* ahead, they are added up (language models)",
    ),
    "dataset": (
        "FILE",
        "learn from these data alone: rows that --save-dataset wrote, all steps being gradient "
        "steps; for gail and airl steps to imitate; or JSON lines of examples (language models)",
    ),
    "expert": ("FOLDER", "imitate the policy of this run (bc, dagger)"),
    "total_steps": (
        "N",
        "environment steps or responses of each seed; by default as tuned",
    ),
    "seed": ("N", "the first seed [0]"),
    "seeds": ("N", "how many seeds to train side by side [1]"),
    "devices": (
        "N",
        "devices for the seeds [as many as divide them], or for one seed's environments [1]",
    ),
    "evaluate_every": ("N", "steps between two greedy evaluations; by default none"),
    "checkpoint_every": ("N", "steps between two checkpoints [a tenth of the run]"),
}
"""Options that are part of a run's record, besides the fields of its algorithm."""


class Parser(argparse.ArgumentParser):
    """A parser that takes no abbreviations and whose complaints are exceptions."""

    def __init__(self, **settings: Any) -> None:
        """Take what argparse takes."""
        super().__init__(allow_abbrev=False, **settings)

    def parse_args(self, *arguments: Any) -> argparse.Namespace:  # type: ignore[override]
        """Parse all words; one that is left over is told with the options closest to it."""
        options, extra = self.parse_known_args(*arguments)
        if extra:
            known = [text for action in self._actions for text in action.option_strings]
            raise ValueError(unknown("option", extra[0].split("=")[0], known, f"of {self.prog}"))
        return options

    def error(self, message: str) -> NoReturn:
        """Raise what was wrong, in place of argparse's own way out."""
        raise ValueError(message)


def algorithm_options(made: Parser, words: Sequence[str], record: Iterable[str]) -> None:
    """Options that describe a run, with the fields of the algorithm that the first word names."""
    from jaxrl.runtime import catalogue

    made.epilog = f"{made.prog} ALGORITHM --help has the fields of that algorithm."
    made.add_argument("algorithm", nargs="?", help="see jaxrl algos")
    for name in record:
        metavar, text = RECORD[name]
        action = "append" if name == "reward" else "store"
        made.add_argument(f"--{name.replace('_', '-')}", metavar=metavar, help=text, action=action)
    made.add_argument("--env-param", metavar="NAME=NUMBER", action="append", default=[],
                      help="a parameter of the environment or task; may be repeated")  # fmt: skip
    made.add_argument("--config", metavar="FILE", help="YAML file of options and fields")
    algorithm = next(iter(words), "-")
    if not algorithm.startswith("-"):
        env = next((b for a, b in pairwise(words) if a == "--env"), None)
        catalogue.add_fields(made, algorithm, env)


def record_values(options: argparse.Namespace, aside: Iterable[str] = ()) -> dict[str, Any]:
    """What the options say of a run's record, over what the file of --config says."""
    from jaxrl.runtime import flags
    from jaxrl.runtime.record import read_yaml

    known = {"config", "env_param", "out", "force", "resume", "log", "quiet", "no_cache", *aside}
    given = {n: x for n, x in vars(options).items() if x is not None and n not in known}
    if options.env_param:
        given["env_params"] = flags.assignments("env_param", options.env_param)
    values = {} if options.config is None else read_yaml(Path(options.config))
    for name in given.keys() & values.keys() & {"algorithm"}:
        if given[name] != values[name]:
            raise ValueError(
                f"{name} must be the one of --config, {values[name]!r}, not {given[name]!r}"
            )
    return values | given


def allowed(record: Any, options: argparse.Namespace) -> Any:
    """The record, if each function that it would run was named by the options and by no file."""
    from jaxrl.runtime import functions

    named = functions.options(record.reward)
    for text in named[1::2]:
        if text not in (options.reward or []):
            raise ValueError(
                f"reward must be named on the command line to be run: {shlex.join(named)}"
            )
    return record._replace(called=bool(named))
