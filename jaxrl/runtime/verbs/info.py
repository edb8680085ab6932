"""Show versions, devices, cores and the folder of compiled functions."""

import argparse
from collections.abc import Callable

from jaxrl.runtime.verbs import Parser


def parser() -> argparse.ArgumentParser:
    """The options."""
    return Parser(prog="jaxrl info", description=__doc__)


def prepare(options: argparse.Namespace) -> Callable[[], int]:
    """Nothing can be wrong."""
    return _show


def _show() -> int:
    import jax

    from jaxrl.runtime import devices, versions

    rows = versions.versions()
    rows["devices"] = ", ".join(map(str, jax.devices()))
    rows["cores"] = str(devices.num_cores())
    rows["cache"] = str(getattr(jax.config, versions.CACHE) or versions.cache_folder())
    for name, text in rows.items():
        print(f"{name:12}{text}")
    return 0
