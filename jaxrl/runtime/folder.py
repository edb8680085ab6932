"""The folder of a run: its name, its files, and lines that are written whole or not at all."""

import fcntl
import hashlib
import json
import math
import os
import shutil
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from jaxrl.runtime.atomic import write
from jaxrl.runtime.mistake import Mistake

CONFIG, COMMAND, VERSIONS = "config.yaml", "command.txt", "versions.json"
METRICS, CLOCK = "metrics.jsonl", "clock.jsonl"
CHECKPOINTS, POLICY, EVALUATION = "checkpoints", "policy.safetensors", "evaluation.json"
CURVE, CARD = "curve.png", "README.md"


def fresh_name(algorithm: str, env: str, content: str) -> str:
    """A name for a run: what it trains, when, and a hash of what it is made of."""
    moment = time.strftime("%Y%m%d-%H%M%S")
    digest = hashlib.sha256(f"{content}{time.time_ns()}".encode()).hexdigest()[:6]
    return f"{algorithm}-{env}-{moment}-{digest}"


def check_free(path: Path, force: bool | None = None) -> None:
    """Refuse a folder that exists and is not empty, unless it is a run that may be replaced.

    Args:
      force: whether a run is to be replaced; None where none can be.
    """
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        if not force:
            advice = "" if force is None else "; --force replaces a run"
            raise ValueError(f"out must be a new or an empty folder, not {str(path)!r}{advice}")
        if not (path / CONFIG).is_file():
            raise ValueError(f"out must be a run's folder for --force, not {str(path)!r}")
        with locked(path):
            pass
    check_writable(path)


def check_writable(path: Path) -> None:
    """Refuse a folder that can neither be written nor made."""
    parent = next(p for p in (path, *path.absolute().parents) if p.exists() or p.is_symlink())
    if not (parent.is_dir() and os.access(parent, os.W_OK)):
        raise ValueError(f"out must be a folder that can be written, not {str(path)!r}")


def create(path: Path, texts: Mapping[str, str]) -> None:
    """Make a run's folder with its first files, all at once; an older run there is replaced."""
    path.parent.mkdir(parents=True, exist_ok=True)
    made = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}."))
    try:
        os.chmod(made, 0o755)
        for name, text in texts.items():
            write(made / name, text)
        if path.exists() and any(path.iterdir()):
            shutil.rmtree(path)
        os.replace(made, path)
    except BaseException:
        shutil.rmtree(made, ignore_errors=True)
        raise


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Within it, no other process can train this run; the lock dies with its process."""
    with open(path / CONFIG, encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Mistake(f"{str(path)!r} is being trained by another process") from None
        yield


def write_json(path: Path, values: Any) -> None:
    """Write values for people and programs."""
    write(path, json.dumps(values, indent=2) + "\n")


def number(x: Any) -> float | None:
    """A float32 as the shortest decimal that gives it back; None where it is not finite."""
    value = np.float32(x)
    return float(str(value)) if math.isfinite(value) else None


class Lines:
    """A file of JSON lines that only grows, and knows the checksum of what it holds.

    Several lines go out in one write, so that a reader never meets half a window unless the
    machine itself stopped; `keep` cuts off whatever came after a checkpoint.
    """

    def __init__(self, path: Path) -> None:
        """Begin an empty file, or go on with one after `keep`."""
        self.path, self.size, self._hash = path, 0, hashlib.sha256()

    def append(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Add rows."""
        data = "".join(json.dumps(row, allow_nan=False) + "\n" for row in rows).encode()
        handle = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        try:
            if (written := os.write(handle, data)) != len(data):
                os.ftruncate(handle, self.size)
                raise OSError(28, f"No space left after {written} bytes", str(self.path))
        finally:
            os.close(handle)
        self.size += len(data)
        self._hash.update(data)

    def settle(self) -> None:
        """See on the disk what was appended, before a checkpoint counts on it."""
        with self.path.open("ab") as file:
            os.fsync(file.fileno())

    @property
    def checksum(self) -> str:
        """SHA-256 of what was appended."""
        return self._hash.hexdigest()

    def keep(self, size: int, checksum: str) -> bool:
        """Whether the file begins with `size` bytes of this checksum; if so, cut it off there."""
        data = self.path.read_bytes()[:size] if self.path.exists() else b""
        digest = hashlib.sha256(data)
        if len(data) != size or digest.hexdigest() != checksum:
            return False
        if self.path.exists():
            os.truncate(self.path, size)
        self.size, self._hash = size, digest
        return True


def read_lines(path: Path, *names: str) -> list[dict[str, Any]]:
    """The rows of a file of JSON lines, each of which has these names.

    A last line without its end is still being written.
    """
    try:
        text = path.read_text("utf-8") if path.exists() else ""
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is damaged at byte {error.start}") from error
    whole = text[: text.rfind("\n") + 1]
    rows = []
    for index, line in enumerate(whole.splitlines(), 1):
        try:
            row = json.loads(line)
        except ValueError as error:
            raise ValueError(f"{path} is damaged in line {index}") from error
        if not isinstance(row, dict) or not row.keys() >= set(names):
            raise ValueError(f"{path} is damaged in line {index}")
        rows.append(row)
    return rows
