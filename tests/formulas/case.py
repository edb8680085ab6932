"""One row of the contract: a formula, its oracle, and inputs for both."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

_NOTHING: Mapping[str, Any] = MappingProxyType({})


class Case(NamedTuple):
    """A formula under the contract of `test_contract.py`.

    Flags (masks, done) are drawn as bool, actions and ids as int32, all else as float32 arrays or
    as Python floats.
    """

    formula: Callable[..., Any]
    oracle: Callable[..., Any]
    inputs: Callable[[np.random.Generator], dict[str, Any]]
    mask: str | None = None  # the name of the mask argument
    masked: tuple[str, ...] = ()  # arguments that the mask covers
    differentiable: tuple[str, ...] = ()  # arguments by which a user differentiates
    options: Mapping[str, Any] = _NOTHING  # static keyword arguments
    name: str = ""  # tells the cases of one formula apart
    value_gradient: bool = True  # False: the gradient is not the value's derivative, by definition
    free: tuple[str, ...] = ()  # arguments of any shape: none can be wrong
    any_dtype: tuple[str, ...] = ()  # arguments of any number type (lengths)
    opaque: tuple[str, ...] = ()  # arguments that are no arrays: their bad forms are tested apart
    axis: int | None = 0  # the axis that may not be empty: 0 is time, -1 a group; None if any may
    tolerance: float = 1e-5  # of the float32 result, relative to the scale of the output
    bfloat16: float | None = 0.05  # the same in bfloat16; None where it cannot be near
