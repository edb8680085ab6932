"""Files that a verb writes outside of run folders."""

import os
from collections.abc import Iterable
from pathlib import Path


def output(text: str, suffixes: Iterable[str], option: str = "out") -> Path:
    """The path that an option gives, if it can be written and its suffix is a known one."""
    path, allowed = Path(text), list(suffixes)
    if path.suffix.lower() not in allowed or path.is_dir():
        raise ValueError(f"{option} must be a file ending in {' or '.join(allowed)}, not {text!r}")
    if not (path.parent.is_dir() and os.access(path.parent, os.W_OK)):
        raise ValueError(f"{option} must be in a folder that can be written, not {text!r}")
    return path
