"""Settings of every test: the CPU, and no silent promotion of shapes or types."""

import os

if "PYTEST_XDIST_WORKER" in os.environ:  # several workers share the cores: one thread for each
    os.environ.setdefault("NPROC", "1")

import jax  # after the environment is set: it reads it when it starts

jax.config.update("jax_platforms", "cpu")
jax.config.update("jax_numpy_dtype_promotion", "strict")
jax.config.update("jax_numpy_rank_promotion", "raise")
