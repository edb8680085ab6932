"""List the algorithms: what they are, the actions they take, and where they are tuned."""

import argparse
from collections.abc import Callable

from jaxrl.runtime import catalogue
from jaxrl.runtime.verbs import Parser


def parser() -> argparse.ArgumentParser:
    """The options."""
    epilog = "jaxrl train ALGORITHM --help has the fields of an algorithm."
    return Parser(prog="jaxrl algos", description=__doc__, epilog=epilog)


def prepare(options: argparse.Namespace) -> Callable[[], int]:
    """Nothing can be wrong."""
    return _show


def _show() -> int:
    from jaxrl.runtime.tables import show

    found = {name: catalogue.algorithm(name) for name in catalogue.algorithms()}
    rows = [
        (name, algorithm.summary, ", ".join(algorithm.actions), ", ".join(algorithm.tuned))
        for name, algorithm in found.items()
    ]
    show(("algorithm", "what it is", "actions", "tuned for"), rows)
    return 0
