"""Which versions made a run, and the cache of compiled functions."""

import json
import os
import platform
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import jax

from jaxrl import __version__
from jaxrl.runtime import folder

CACHE = "jax_compilation_cache_dir"  # what jax calls it

PACKAGES = ("jax", "jaxlib", "flax", "optax", "gymnax", "distrax", "numpy")


def versions() -> dict[str, str]:
    """The versions of all that computes, and on what."""
    found = {"jaxrl": __version__, "python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found | {"device": jax.devices()[0].device_kind, "platform": platform.platform()}


def text() -> str:
    """The content of versions.json."""
    return json.dumps(versions(), indent=2) + "\n"


def report(path: Path) -> None:
    """Say how the versions that made a run differ from those that go on with it."""
    try:
        old = json.loads((path / folder.VERSIONS).read_text("utf-8"))
    except (OSError, ValueError):
        old = {}
    now = versions()
    changed = [f"{n} {old.get(n)} is now {now.get(n)}" for n in now if old.get(n) != now.get(n)]
    if changed:
        print(
            f"jaxrl: the run goes on, but not bit for bit as it would have: {', '.join(changed)}",
            file=sys.stderr,
        )


def cache_folder() -> Path:
    """Where compiled functions are kept between processes."""
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(home) / "jaxrl" / "xla"


def use_cache() -> None:
    """Keep compiled functions on disk, unless the user's own settings of jax say where."""
    if getattr(jax.config, CACHE) is not None:
        return
    try:
        cache_folder().mkdir(parents=True, exist_ok=True)
    except OSError:
        return
    jax.config.update(CACHE, str(cache_folder()))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.2)
