"""Files that appear whole or not at all: who reads one meets the old bytes or the new ones."""

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO


@contextmanager
def whole(path: Path) -> Iterator[BinaryIO]:
    """A file to write to, which takes the place of `path` once all of it is on the disk.

    Whatever goes wrong before that leaves `path` as it was, and nothing else behind.
    """
    name = path.parent / f".{path.name}.{secrets.token_hex(4)}.tmp"
    try:
        with open(name, "xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(name, path)
        _settle(path.parent)
    except OSError as error:
        name.unlink(missing_ok=True)
        reason = error.strerror or str(error)
        raise OSError(error.errno, f"{reason}, so that nothing was written", str(path)) from error
    except BaseException:
        name.unlink(missing_ok=True)
        raise


def write(path: Path, text: str) -> None:
    """Write a text whole."""
    with whole(path) as file:
        file.write(text.encode())


def _settle(folder: Path) -> None:
    """See a folder's entries on the disk, and not only the bytes of its files."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
