"""Fields of a configuration as flags of the command line, and back."""

import argparse
import typing
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

from jaxrl.config import VOCABULARY, allowed, hints, optional


def refuse(message: str) -> NoReturn:
    """Raise what was wrong with the command line, in place of argparse's own way out."""
    raise ValueError(message)


def read(text: str, hint: Any) -> Any:
    """The value that a text stands for; the text itself where it stands for none of this type."""
    hint, or_none = optional(hint)
    if or_none and text.lower() == "none":
        return None
    if typing.get_origin(hint) is tuple:
        entries = tuple(read(entry, int) for entry in text.split(",") if entry)
        return entries if all(isinstance(entry, int) for entry in entries) else text
    words = {"true": True, "false": False}
    kinds: dict[Any, Callable[[str], Any]] = {bool: words.__getitem__, int: _int, float: float}
    try:
        return kinds[hint](text) if hint in kinds else text
    except (KeyError, OverflowError, ValueError):
        return text


def shown(value: Any) -> str:
    """The text that `read` makes this value of."""
    if isinstance(value, tuple):
        return ",".join(map(str, value))
    return "none" if value is None else str(value)


def integer(name: str, text: str | None, least: int) -> int | None:
    """An option that is an integer, or was not given."""
    value = None if text is None else read(text, int)
    if isinstance(value, str) or (value is not None and value < least):
        refuse(f"{name} must be an integer of at least {least}, not {text!r}")
    return value


def assignments(option: str, texts: Sequence[str]) -> dict[str, int | float | bool]:
    """The options of the form name=number."""
    found = {}
    for text in texts:
        name, _, number = text.partition("=")
        values = [read(number, kind) for kind in (int, float, bool)]
        value = next((value for value in values if not isinstance(value, str)), None)
        if not name or value is None:
            refuse(f"{option} must be of the form name=number, not {text!r}")
        found[name] = value
    return found


def add_fields(parser: argparse.ArgumentParser, config: Any) -> None:
    """A flag for each field, whose help says what it means, what it takes and what it is."""
    group = parser.add_argument_group("fields of the configuration")
    for name, hint in hints(type(config)).items():
        value = getattr(config, name)
        words = VOCABULARY[name][2] if name in VOCABULARY else "see its module"
        flag, text = f"--{name.replace('_', '-')}", f"{words} [{shown(value)}]"
        if hint is bool:
            action = argparse.BooleanOptionalAction
            group.add_argument(flag, action=action, default=argparse.SUPPRESS, help=text)
        else:
            text = f"{words}; {allowed(name, hint)} [{shown(value)}]".replace("%", "%%")
            group.add_argument(flag, metavar="VALUE", default=argparse.SUPPRESS, help=text)


def given_fields(config: Any, options: argparse.Namespace) -> dict[str, Any]:
    """The fields that the command line sets, and their values."""
    known, given = hints(type(config)), vars(options)
    return {
        name: value if isinstance(value, bool) else read(value, known[name])
        for name, value in given.items()
        if name in known
    }


def _int(text: str) -> int:
    """1000000, 1_000_000 or 1e6."""
    try:
        return int(text)
    except ValueError:
        value = float(text)
        if not value.is_integer():
            raise
        return int(value)
