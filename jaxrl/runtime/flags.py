"""Texts of the command line and of files as values, and back."""

import typing
from collections.abc import Callable, Sequence
from typing import Any


def read(text: str, hint: Any) -> Any:
    """The value that a text stands for; the text itself where it stands for none of this type."""
    from jaxrl.config import optional  # help comes without jax

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
    if isinstance(value, tuple | list):
        return ",".join(map(str, value))
    return "none" if value is None else str(value)


def assignments(option: str, texts: Sequence[str]) -> dict[str, int | float | bool]:
    """The options of the form name=number."""
    found = {}
    for text in texts:
        name, _, number = text.partition("=")
        values = [read(number, kind) for kind in (int, float, bool)]
        value = next((value for value in values if not isinstance(value, str)), None)
        if not name or value is None:
            raise ValueError(f"{option} must be of the form name=number, not {text!r}")
        found[name] = value
    return found


def _int(text: str) -> int:
    """1000000, 1_000_000 or 1e6."""
    try:
        return int(text)
    except ValueError:
        value = float(text)
        if not value.is_integer():
            raise
        return int(value)
