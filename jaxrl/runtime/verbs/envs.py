"""List the environments and the tasks of language that go by a name: what they show and take."""

import argparse
from collections.abc import Callable

from jaxrl.runtime import catalogue
from jaxrl.runtime.verbs import Parser


def parser() -> argparse.ArgumentParser:
    """The options."""
    epilog = "In Python an environment of your own will do: see README.md."
    return Parser(prog="jaxrl envs", description=__doc__, epilog=epilog)


def prepare(options: argparse.Namespace) -> Callable[[], int]:
    """Nothing can be wrong."""
    return _show


def _show() -> int:
    from jaxrl.runtime.tables import show

    show(
        ("environment or task", "observation", "action"),
        [(n, *env) for n, env in (catalogue.environments() | catalogue.tasks()).items()],
    )
    return 0
