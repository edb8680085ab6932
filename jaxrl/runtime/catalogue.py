"""What algorithms and environments there are, read from a file: jax takes seconds to load.

`python -m jaxrl.index --write` writes that file, catalogue.json, from the zoo itself.
"""

import argparse
import functools
import json
from pathlib import Path
from typing import Any, NamedTuple

from jaxrl.names import unknown
from jaxrl.runtime.flags import shown


class Field(NamedTuple):
    """A field of a configuration, as help and completion tell about it."""

    type: str  # what it takes, in words
    default: Any
    help: str
    choices: list[str]  # empty where it takes numbers


class Algorithm(NamedTuple):
    """An algorithm, as it is listed."""

    summary: str
    actions: list[str]  # kinds of action spaces; "text" of language models
    fields: dict[str, Field]
    tuned: dict[str, dict[str, Any]]  # environment -> what differs from the defaults


class Environment(NamedTuple):
    """What an environment or a task shows and takes, in words."""

    observation: str
    action: str


@functools.cache
def _content() -> dict[str, Any]:
    return json.loads(Path(__file__).with_suffix(".json").read_text("utf-8"))


def algorithms() -> list[str]:
    """The names of all algorithms."""
    return list(_content()["algorithms"])


def algorithm(name: str) -> Algorithm:
    """What there is to say about an algorithm."""
    if name not in _content()["algorithms"]:
        raise ValueError(unknown("algorithm", name, algorithms()))
    found = dict(_content()["algorithms"][name])
    fields = {field: Field(**values) for field, values in found.pop("fields").items()}
    return Algorithm(fields=fields, **found)


def environments() -> dict[str, Environment]:
    """The environments that go by a name."""
    return _environments("environments")


def tasks() -> dict[str, Environment]:
    """The tasks of language that go by a name."""
    return _environments("tasks")


def _environments(kind: str) -> dict[str, Environment]:
    listed = _content()[kind]
    return {name: Environment(**values) for name, values in listed.items()}


def fields(name: str, env: str | None = None) -> dict[str, Field]:
    """The fields of an algorithm, whose defaults are those tuned for an environment, if any are."""
    found = algorithm(name)
    tuned = found.tuned.get(env or "", {})
    return {
        field: known._replace(default=tuned.get(field, known.default))
        for field, known in found.fields.items()
    }


def add_fields(parser: argparse.ArgumentParser, name: str, env: str | None = None) -> None:
    """A flag for each field of an algorithm, with what it means, what it takes and what it is.

    Args:
      env: an environment, whose tuned settings are shown in place of the defaults.
    """
    group = parser.add_argument_group(f"fields of {name}")
    for known, field in fields(name, env).items():
        flag, value = f"--{known.replace('_', '-')}", shown(field.default)
        if isinstance(field.default, bool):
            text, action = f"{field.help} [{value}]", argparse.BooleanOptionalAction
            group.add_argument(flag, action=action, default=argparse.SUPPRESS, help=text)
        else:
            text = f"{field.help}; {field.type} [{value}]".replace("%", "%%")
            group.add_argument(flag, metavar="VALUE", default=argparse.SUPPRESS, help=text)
