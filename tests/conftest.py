"""Settings of every test: the CPU, and no silent promotion of shapes or types."""

import os

from tests.compiler import flags

if "PYTEST_XDIST_WORKER" in os.environ:  # several workers share the cores: one thread for each
    os.environ.setdefault("NPROC", "1")
os.environ.setdefault("XLA_FLAGS", flags(0))

import jax  # after the environment is set: it reads it when it starts
import pytest

jax.config.update("jax_platforms", "cpu")
jax.config.update("jax_numpy_dtype_promotion", "strict")
jax.config.update("jax_numpy_rank_promotion", "raise")


@pytest.fixture(autouse=True, scope="module")
def forget_programs():
    """Free what a module compiled: a process may hold some 60,000 memory maps, a program has ten.

    Without this a worker that runs thousands of tests dies while it compiles.
    """
    yield
    jax.clear_caches()
