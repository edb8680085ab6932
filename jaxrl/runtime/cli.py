"""The command line: finds the verb, reads its options, does it, and says no in one sentence."""

import importlib
import io
import os
import sys
from collections.abc import Callable, Sequence

from jaxrl.names import unknown
from jaxrl.runtime.mistake import Mistake

# jax takes a second or two to load: help and mistakes come without it where they can.

VERBS = {
    "train": "train an agent into a new run folder, or go on with a run",
    "eval": "play episodes with the policy of a run",
    "render": "draw episodes of a run's policy as an animated GIF",
    "plot": "draw learning curves, or bars of scores, of runs",
    "compare": "put runs side by side in a table",
    "sweep": "train many settings and seeds as one compiled function",
    "export": "write a run's policy for use without jaxrl",
    "bench": "measure training speed on this machine",
    "algos": "list the algorithms",
    "envs": "list the environments",
    "info": "show versions, devices and folders",
    "completion": "print the completion script of a shell",
}
"""Each verb and what it does; jaxrl/runtime/verbs has a module for each."""

OF_WORDS = ("train", "sweep")
"""Verbs whose options depend on the algorithm that the words name."""

USAGE = "usage: jaxrl VERB ...\n\nverbs:\n{}\n\njaxrl VERB --help tells more."


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what the words say; return the exit status: 2 for a mistake of the user."""
    # jaxlib 0.9 logs pages of errors that are none for each program that a warm cache holds.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # an old terminal may lack ±, which is no failure
            stream.reconfigure(errors="replace")
    verb, *words = list(sys.argv[1:] if arguments is None else arguments) or ["--help"]
    try:
        return _done(verb, words)
    except BrokenPipeError:  # who read our output has gone
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except KeyboardInterrupt:
        return 130


def _done(verb: str, words: Sequence[str]) -> int:
    if verb in ("-h", "--help"):
        print(USAGE.format("\n".join(f"  {name:12}{text}" for name, text in VERBS.items())))
        return 0
    if verb == "--version":
        print(f"jaxrl {importlib.import_module('jaxrl').__version__}")
        return 0
    try:
        act = _prepared(verb, words)
    except SystemExit as done:  # argparse has shown the help
        return int(done.code or 0)
    except (OSError, TypeError, ValueError) as error:
        return _said(error, 2)
    try:
        return act()
    except OSError as error:
        return _said(error, 1)
    except Mistake as error:
        return _said(error, 2)
    except RuntimeError as error:  # as XLA says it
        _, found, amount = str(error).partition("Out of memory")
        if not found:
            raise
        return _said(MemoryError(f"out of memory{amount.splitlines()[0].rstrip('.')}"), 1)


def _said(error: Exception, status: int) -> int:
    if isinstance(error, BrokenPipeError):  # nobody is there to be told
        raise error
    words = str(error)
    if isinstance(error, OSError) and error.strerror:
        words = ": ".join(str(x) for x in (error.strerror, error.filename) if x is not None)
    print(f"jaxrl: {words}", file=sys.stderr)
    return status


def _prepared(verb: str, words: Sequence[str]) -> Callable[[], int]:
    if verb not in VERBS:
        raise ValueError(unknown("verb", verb, VERBS))
    module = importlib.import_module(f"jaxrl.runtime.verbs.{verb}")
    parser = module.parser(words) if verb in OF_WORDS else module.parser()
    return module.prepare(parser.parse_args(words))
