"""Small runs for tests, trained without a process of their own."""

from pathlib import Path

from jaxrl.runtime import drive, finish, folder
from jaxrl.runtime.drive import Events
from jaxrl.runtime.load import Run
from jaxrl.runtime.programs import Programs, programs
from jaxrl.runtime.record import Record, record, write_yaml

SMALL = {
    "algorithm": "ppo",
    "env": "CartPole-v1",
    "total_steps": 1000,
    "num_envs": 4,
    "num_steps": 16,
    "num_minibatches": 2,
    "hidden_sizes": [8, 8],
}
QUIET = Events(lambda steps, returns: None, lambda rows: None)


def small(**changes: object) -> Record:
    return record(SMALL | changes)


def trained(made: Record, path: Path, functions: Programs | None = None) -> Run:
    """A whole run in a new folder."""
    functions = functions or programs(made)
    folder.create(path, {folder.CONFIG: write_yaml(made)})
    files = drive.journal(path)
    position = drive.drive(made, functions, drive.begin(made, functions), files, QUIET)
    return finish.finish(made, functions, position, path)
