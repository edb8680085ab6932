"""Devices: a CPU's cores as devices of their own, and the memory that there is."""

import contextlib
import os
import sys
from collections.abc import Sequence
from typing import Any

import jax

SHARE = 0.5
"""How much of the memory a sweep may plan with: its plan is an estimate."""


def use_all_cores() -> int:
    """Make each CPU core a device, for `sweep` to spread over; return how many there are.

    Call it before jax computes anything. Where there is a GPU or TPU, that one stays the default.
    """
    cores = num_cores()
    try:
        jax.config.update("jax_num_cpu_devices", cores)
    except RuntimeError:
        if (num := len(jax.devices("cpu"))) != cores:
            raise RuntimeError(
                f"use_all_cores() must be called before jax computes anything, "
                f"not after it started with {num} of {cores} cores as devices"
            ) from None
    return cores


def num_cores() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1


def offer(num: int) -> None:
    """Make so many devices out of the CPU, unless jax has started with another number."""
    with contextlib.suppress(RuntimeError):
        jax.config.update("jax_num_cpu_devices", num)


def demand(num: int) -> None:
    """See that there are `num` devices; more than one of a CPU are made of its cores."""
    if num > 1:
        offer(max(num, num_cores()))
        if (there := len(jax.devices())) < num:
            raise ValueError(f"devices must be at most {there}, not {num}")


def memory_budget(devices: Sequence[Any]) -> float:
    """Bytes that a sweep may plan with on these devices together."""
    stats = [device.memory_stats() for device in devices]
    if all(stats):
        return SHARE * sum(s["bytes_limit"] - s["bytes_in_use"] for s in stats if s)
    return SHARE * os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
