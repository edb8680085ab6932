"""gymnax's environments, and any object with its interface, as an `Env`."""

import dataclasses
import difflib
import math
from collections.abc import Callable, Iterable
from contextlib import nullcontext
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from jaxrl.types import Array, Box, Discrete, Env, PyTree, Space, Spaces, Timestep

INTERFACE = ("step_env", "reset_env", "default_params", "action_space", "observation_space")

DOWNLOADS = "MNISTBandit-bsuite"

LIMIT = "max_steps_in_episode"

DERIVED: dict[str, dict[str, tuple[tuple[str, ...], Callable]]] = {
    "CartPole-v1": {
        "total_mass": (("masscart", "masspole"), lambda cart, pole: cart + pole),
        "polemass_length": (("masspole", "length"), lambda pole, length: pole * length),
    },
    "Acrobot-v1": {  # the links are rods, and nothing else there reads the length of the second
        "link_com_pos_1": (("link_length_1",), lambda length: length / 2),
        "link_com_pos_2": (("link_length_2",), lambda length: length / 2),
    },
    "BernoulliBandit-misc": {"t_max": ((LIMIT,), lambda limit: limit)},
}
"""Parameters that gymnax keeps apart and that follow from others: name -> (from what, how)."""

INERT = {
    "Asterix-MinAtar": ("shot_cool_down",),
    "Seaquest-MinAtar": ("ramp_interval", "enemy_move_interval"),
}
"""Parameters that exist and that no code reads."""

WIDER: dict[str, tuple[Any, float, float]] = {
    "MemoryChain-bsuite": (slice(None), -1.0, 1.0),  # the context is −1 or 1
    "UmbrellaChain-bsuite": (slice(None), -1e-6, 1.0),  # the time that is left, rounded
    "GaussianBandit-misc": (slice(0, 4, 3), -math.inf, math.inf),  # last reward, and time
    "MetaMaze-misc": (slice(-2, None), -math.inf, math.inf),  # likewise
}
"""Observations that leave their own space: (entries, low, high)."""


BITS = "-MinAtar"
"""How the names end of environments whose observations, floats in gymnax, are zeros and ones."""


def gymnax_env(env: Any, /, **params: Any) -> Env:
    """An environment of gymnax, by its registered name or as an object with its interface.

    Nothing is reset behind the agent's back, a time limit truncates and never terminates, the
    state keeps its types, and an observation is one array of the space's dtype with at least one
    axis: an observation that is a category comes one-hot, and MinAtar's boards, which hold nothing
    but zeros and ones, are bool. Transitions are differentiable where gymnax supports it.

    Args:
      env: for example "CartPole-v1", or `gymnax.make("DeepSea-bsuite", size=20)[0]`.
      params: fields of its `default_params`, numbers or arrays, traced ones too. What gymnax
        derives from other parameters (CartPole's total mass) is derived anew, unless it is given.
    """
    source = _differentiable(_named(env) if isinstance(env, str) else _object(env))
    settings = _settings(source, params)
    is_truncated = getattr(source, "is_truncated", lambda state, settings: False)
    space = _constant(source.observation_space, settings, params)
    shown = _constant(lambda _: _observation_space(_name(source), space), space, params)

    def reset(key: Array) -> tuple[PyTree, PyTree]:
        obs, state = source.reset_env(key, settings)
        return jax.tree.map(_strong, state), _observed(space, shown, obs)

    def step(key: Array, state: PyTree, action: Array) -> tuple[PyTree, Timestep]:
        obs, state, reward, terminated, _ = source.step_env(key, state, action, settings)
        terminated = jnp.asarray(terminated, bool)
        truncated = jnp.asarray(is_truncated(state, settings), bool) & ~terminated
        reward = jnp.asarray(reward, jnp.float32)
        timestep = Timestep(_observed(space, shown, obs), reward, terminated, truncated)
        return jax.tree.map(_strong, state), timestep

    taken = _space(_constant(source.action_space, settings, params))
    return Env(_lenient(reset), _lenient(step), Spaces(shown, taken))


def registered() -> list[str]:
    """The names that `gymnax_env` takes."""
    import gymnax  # it takes a second to load

    return [name for name in gymnax.registered_envs if name != DOWNLOADS]


def _named(name: str) -> Any:
    import gymnax

    if name == DOWNLOADS:
        raise ValueError(f"env must not be {DOWNLOADS!r}, which downloads its images")
    if name not in gymnax.registered_envs:
        close = closest(name, [x for x in gymnax.registered_envs if x != DOWNLOADS])
        raise ValueError(f"env must be an environment that gymnax knows, {close}, not {name!r}")
    return _constant(gymnax.make, name)[0]


def _object(env: Any) -> Any:
    if missing := [name for name in INTERFACE if getattr(env, name, None) is None]:
        raise TypeError(
            f"env must be a name, an Env or an object with gymnax's interface, "
            f"not a {type(env).__name__} without {', '.join(missing)}"
        )
    return env


def _differentiable(env: Any) -> Any:
    """gymnax cuts the gradient of transitions unless it is asked not to."""
    supported = getattr(env, "supports_transition_gradients", False)
    return env.with_transition_gradients() if supported else env


def _name(env: Any) -> str:
    return getattr(env, "name", type(env).__name__)


def closest(name: str, names: Iterable[str]) -> str:
    """What a name that does not exist may have meant, in words."""
    names = sorted(names)
    close = difflib.get_close_matches(name, names, cutoff=0.4)
    return f"such as {', '.join(close)}" if close else f"one of {', '.join(names)}"


def _settings(env: Any, params: dict[str, Any]) -> Any:
    """The default parameters with some of them replaced, and what follows from these."""
    defaults, name = _constant(lambda env: env.default_params, env), _name(env)
    if not params:
        return defaults
    fields = [field.name for field in dataclasses.fields(defaults)]
    for param, value in params.items():
        if param not in fields:
            close = closest(param, fields)
            raise ValueError(f"{param} is not a parameter of {name}, which has {close}")
        if param in INERT.get(name, ()):
            raise ValueError(f"{param} must not be set: {name} has it and never reads it")
        if param == LIMIT and isinstance(value, int) and value < 1:
            raise ValueError(f"{param} must be at least 1, not {value}")
    cast = {param: _cast(param, x, getattr(defaults, param)) for param, x in params.items()}
    settings = dataclasses.replace(defaults, **cast)
    derived = {
        param: _cast(param, rule(*(getattr(settings, x) for x in given)), getattr(defaults, param))
        for param, (given, rule) in DERIVED.get(name, {}).items()
        if param not in params and set(given) & set(params)
    }
    return dataclasses.replace(settings, **derived)


def _cast(param: str, value: Any, default: Any) -> Any:
    """`value` with the type and the shape of `default`; a number stays a number."""
    if not isinstance(value, jax.Array) and np.asarray(value).dtype.kind not in "biuf":
        raise ValueError(f"{param} must be of numbers, not {value!r}")
    if isinstance(value, float) and math.isnan(value):
        raise ValueError(f"{param} must be a number, not {value}")
    if jnp.shape(value) != jnp.shape(default):
        came, expected = jnp.shape(value), jnp.shape(default)
        raise ValueError(f"{param} must have the shape {expected}, not {came}")
    if isinstance(value, bool | int | float) and isinstance(default, bool | int | float):
        if type(default)(value) != value:
            kind = type(default).__name__
            raise ValueError(f"{param} must be of type {kind} as its default is, not {value}")
        return type(default)(value)
    return jnp.asarray(value).astype(jnp.result_type(default))


def _lenient(function: Callable) -> Callable:
    """`function` under jax's usual promotion of types, on which gymnax relies."""

    def call(*args: Any) -> Any:
        with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
            return function(*args)

    return call


def _constant(function: Callable, x: Any, params: Any = ()) -> Any:
    """What `function` makes of `x`: constants, inside a trace too, unless parameters are traced."""
    traced = any(isinstance(leaf, Tracer) for leaf in jax.tree.leaves((x, params)))
    with nullcontext() if traced else jax.ensure_compile_time_eval():
        return _lenient(function)(x)


def _strong(x: Any) -> Array:
    """`x` as an array that does not take on its neighbours' types."""
    return jnp.asarray(x, jnp.result_type(x))


def _space(space: Any) -> Space:
    """Our space of gymnax's."""
    if (num_values := getattr(space, "n", None)) is not None:
        return Discrete(int(num_values))
    if getattr(space, "low", None) is None:
        raise TypeError(f"spaces must be Box or Discrete, not a {type(space).__name__}")
    dtype = jnp.dtype(space.dtype).name
    return Box(space.low, space.high, tuple(space.shape), dtype)


def _observation_space(name: str, space: Any) -> Box:
    """The space of what `_observed` gives."""
    ours = _space(space)
    if isinstance(ours, Discrete):
        return Box(0.0, 1.0, (ours.num_values,))
    if not isinstance(ours, Box):
        raise TypeError(f"observations must be of a Box or Discrete space, not {ours}")
    box = ours._replace(shape=ours.shape or (1,))
    if name.endswith(BITS):
        return box._replace(dtype="bool")
    if name not in WIDER:
        return box
    entries, low, high = WIDER[name]
    lows, highs = (jnp.full(box.shape, bound, jnp.float32) for bound in (box.low, box.high))
    return box._replace(low=lows.at[entries].min(low), high=highs.at[entries].max(high))


def _observed(space: Any, shown: Box, obs: Any) -> Array:
    """An observation of gymnax's space as an array of ours."""
    if isinstance(_space(space), Discrete):
        return jax.nn.one_hot(obs, shown.shape[0], dtype=shown.dtype)
    return jnp.atleast_1d(jnp.asarray(obs).astype(shown.dtype))
