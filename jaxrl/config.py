"""The configuration rule: a `float` field is a traced leaf, every other field is static.

So a sweep over learning rates is a `vmap`, and changing one recompiles nothing where the
configuration is an argument of the jitted function; changing a size or a choice recompiles.
Optional, tuple, integer, boolean and text fields are static.
"""

import dataclasses
import itertools
import math
import typing
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from jaxrl import checks
from jaxrl.names import unknown
from jaxrl.types import Array

T = TypeVar("T")

REAL = (int, float, np.number, np.ndarray, jax.Array)

VOCABULARY: dict[str, tuple[float, float, str]] = {
    "lr": (0, math.inf, "learning rate"),
    "gamma": (0, 1, "discount factor"),
    "lam": (0, 1, "trace parameter λ of advantages and returns"),
    "clip_eps": (0, math.inf, "clip range ε of the ratio, as 1 ± ε"),
    "clip_eps_high": (0, math.inf, "upper clip range, as 1 + ε; None for clip_eps"),
    "dual_clip": (1, math.inf, "largest ratio where the advantage is negative; None for none"),
    "value_clip": (0, math.inf, "clip range of the value; None for no clipping"),
    "value_coef": (0, math.inf, "weight of the value loss"),
    "entropy_coef": (0, math.inf, "weight of the entropy bonus"),
    "entropy_coef_end": (0, math.inf, "weight of the entropy bonus at the end; None for constant"),
    "max_grad_norm": (0, math.inf, "largest norm of a gradient"),
    "target_kl": (0, math.inf, "KL beyond which an update stops (PPO), or that it aims at"),
    "kl_coef": (0, math.inf, "weight of the KL penalty"),
    "max_kl": (0, math.inf, "KL that bounds a step of TRPO"),
    "damping": (0, math.inf, "what is added to the diagonal of the Fisher matrix"),
    "rho_max": (0, math.inf, "largest weight ρ of V-trace"),
    "trace_max": (0, math.inf, "largest trace c of V-trace"),
    "baseline_decay": (0, 1, "decay of the moving-average baseline"),
    "epsilon_start": (0, 1, "exploration rate at the start"),
    "epsilon_end": (0, 1, "exploration rate at the end"),
    "exploration_fraction": (0, 1, "share of training over which exploration falls"),
    "rms_decay": (0, 1, "decay of RMSProp's second moment; None for Adam"),
    "num_envs": (1, math.inf, "environments side by side"),
    "num_steps": (1, math.inf, "steps of each environment in one update"),
    "num_epochs": (1, math.inf, "passes over the data of one update"),
    "num_minibatches": (1, math.inf, "parts into which each pass divides the data"),
    "group_size": (1, math.inf, "trajectories from each start state, or responses to each prompt"),
    "policy_lag": (1, math.inf, "updates between two copies of the policy to the actors"),
    "memory_size": (1, math.inf, "width of the recurrent memory"),
    "sequence_length": (
        1,
        math.inf,
        "length of a training sequence; None for num_steps, or without memory",
    ),
    "burn_in": (0, math.inf, "steps of a sequence that only warm its memory up"),
    "priority_share": (0, 1, "share η of the greatest error in a sequence's priority"),
    "squash": (0, 0, "whether values are learnt on R2D2's scale of returns"),
    "cg_iterations": (1, math.inf, "iterations of conjugate gradient"),
    "num_backtracks": (1, math.inf, "tries of the line search"),
    "hidden_sizes": (1, math.inf, "widths of the hidden layers"),
    "activation": (0, 0, "activation function"),
    "torso": (0, 0, "what reads the observation"),
    "memory": (0, 0, "recurrent memory"),
    "layer_norm": (0, 0, "layer normalisation in the torso"),
    "distribution": (0, 0, "action distribution; None for the space's own"),
    "std": (0, 0, "whether the standard deviation depends on the observation"),
    "anneal_lr": (0, 0, "whether the learning rate falls linearly to 0"),
    "anneal_clip": (0, 0, "whether the clip range falls linearly to 0"),
    "whiten": (0, 0, "over what advantages are whitened"),
    "weighting": (0, 0, "weighting of the policy gradient"),
    "baseline": (0, 0, "what is subtracted from the return"),
    "imitates": (0, 0, "by which of its rewards a discriminator has one imitate; None: not at all"),
    "discriminator_lr": (0, math.inf, "learning rate of the discriminator"),
    "discriminator_epochs": (1, math.inf, "steps of the discriminator in one update"),
    "labels": (0, 0, "which actions are learnt: those done, or those the expert says if asked"),
    "expert_share": (0, 1, "share of the steps that the expert takes at the start"),
    "expert_share_end": (0, 1, "share of the steps that the expert takes at the end"),
    "normalise_obs": (0, 0, "whether observations are normalised"),
    "normalise_reward": (0, 0, "whether rewards are scaled by the deviation of returns"),
    "curiosity": (0, 0, "what pays for the unforeseen; None for nothing"),
    "curiosity_coef": (0, math.inf, "weight η of curiosity's reward"),
    "curiosity_lr": (0, math.inf, "learning rate of curiosity's networks"),
    "curiosity_epochs": (1, math.inf, "passes of curiosity's networks over an update's data"),
    "curiosity_minibatches": (1, math.inf, "parts into which each of these divides the data"),
    "feature_size": (1, math.inf, "features in which curiosity predicts"),
    "forward_share": (0, 1, "share β of the forward loss in ICM's, the rest is the inverse one's"),
    "num_iterations": (1, math.inf, "turns of acting and learning from replay in one update"),
    "num_gradients": (1, math.inf, "gradient steps in each turn"),
    "batch_size": (1, math.inf, "rows of one gradient step"),
    "capacity": (1, math.inf, "steps that replay holds"),
    "learning_starts": (1, math.inf, "steps of random actions before learning"),
    "n_step": (1, math.inf, "rewards that a target adds up before it asks for a value"),
    "replay": (0, 0, "how replay draws its rows"),
    "priority_exponent": (0, 1, "power α of the priorities by which rows are drawn"),
    "importance_exponent": (0, 1, "power β of importance weights at the start; 1 at the end"),
    "target_period": (1, math.inf, "gradient steps between two moves of the target network"),
    "polyak": (0, 1, "share by which the target network moves"),
    "head": (0, 0, "what a value network says of each action's return"),
    "target": (0, 0, "what values are fitted to"),
    "dueling": (0, 0, "whether values are a state's value and its actions' advantages"),
    "noisy": (0, 0, "how long the weights' noise lasts; None for plain layers"),
    "noisy_std": (0, math.inf, "size σ of the weights' noise at the start"),
    "exploration": (0, 0, "what chooses the actions to try"),
    "temperature": (
        0,
        math.inf,
        "of a softmax of values or of tokens; SAC's α, at the start",
    ),
    "top_k": (1, math.inf, "how many of the best actions are tried"),
    "munchausen_coef": (0, 1, "weight α of Munchausen's bonus"),
    "log_policy_min": (-math.inf, 0, "least logarithm in Munchausen's bonus"),
    "huber_delta": (0, math.inf, "error beyond which the value loss is linear"),
    "num_atoms": (2, math.inf, "returns that a categorical head tells apart"),
    "value_min": (-math.inf, math.inf, "least return of a categorical head"),
    "value_max": (-math.inf, math.inf, "greatest return of a categorical head"),
    "num_quantiles": (1, math.inf, "quantiles of a quantile head; levels of an implicit one"),
    "num_critics": (1, math.inf, "critics that learn side by side"),
    "num_judges": (1, math.inf, "critics of whom the one that expects least sets a target"),
    "policy_delay": (1, math.inf, "gradient steps of the critics for one of the actor"),
    "noise_std": (0, math.inf, "exploration noise, as a share of half the actions' range"),
    "noise_spread": (0, math.inf, "the last environment's noise over that of the first"),
    "noise_memory": (0, 1, "how much of the noise of exploration lasts to the next step"),
    "smoothing_std": (0, math.inf, "noise on a target's action, as a share of half the range"),
    "smoothing_clip": (0, math.inf, "largest noise on a target's action"),
    "learn_temperature": (0, 0, "whether the temperature moves entropy to its target"),
    "target_entropy": (-math.inf, math.inf, "entropy aimed at, for each number of an action"),
    "entropy_share": (0, 1, "entropy aimed at, as a share of the greatest there is"),
    "num_prompts": (1, math.inf, "prompts of one update"),
    "prompt_order": (0, 0, "how prompts are drawn: each once in every pass, or anew"),
    "early_stop": (0, 0, "whether generation ends when all responses have"),
    "num_microbatches": (1, math.inf, "parts in which a minibatch is read, to save memory"),
    "num_layers": (1, math.inf, "layers of the transformer"),
    "width": (1, math.inf, "width of the transformer"),
    "num_heads": (1, math.inf, "heads of attention"),
    "demonstration_steps": (0, math.inf, "steps of imitation by which a fresh model is prepared"),
    "demonstration_batch": (1, math.inf, "demonstrations of one step of imitation"),
    "demonstration_lr": (0, math.inf, "learning rate of imitation"),
    "advantage": (0, 0, "how the responses to a prompt are compared"),
    "ddof": (0, 1, "what is taken from the group's size in its variance"),
    "ratio": (0, 0, "what is compared with the policy before: tokens or sequences"),
    "surrogate": (0, 0, "loss of each token"),
    "bounds": (0, 0, "whether the clip range depends on a token's probability"),
    "reduction": (0, 0, "how the losses of tokens become one"),
    "kl": (0, 0, "estimator of the KL penalty; or that it is taken from the reward"),
    "reference_period": (1, math.inf, "updates between two reference policies; None for one"),
    "max_rounds": (1, math.inf, "rounds of generation to find unequal groups; None keeps all"),
    "overlong_cache": (1, math.inf, "last tokens, in which length costs; None for no price"),
    "learn_cut": (0, 0, "whether responses that came to no end are learnt from"),
    "staleness": (0, math.inf, "updates by which the policy that speaks is older"),
    "correction": (0, 0, "weight that makes up for an older policy; None for none"),
    "weight_max": (0, math.inf, "greatest weight that makes up for an older policy"),
    "weight_min": (0, math.inf, "least such weight, where others are dropped"),
    "drop_kl": (0, math.inf, "mean log ratio beyond which bad responses are dropped; None: none"),
    "loss": (0, 0, "loss of preferred and rejected responses"),
    "ranking": (0, 0, "how a reward model compares: the best and the worst, all pairs, or ranks"),
    "online": (0, 0, "whether responses are sampled anew for each update, or once from the start"),
    "beta": (0, math.inf, "scale β of log ratios as rewards; ORPO's weight of the odds"),
    "smoothing": (0, 1, "share of the preferences that is taken to be wrong"),
    "target_margin": (0, math.inf, "margin γ that SimPO aims at"),
    "per_token": (0, 0, "whether log ratios of responses are means over tokens, or sums"),
    "likelihood_coef": (0, math.inf, "weight of the likelihood of the preferred response"),
    "desirable_weight": (0, math.inf, "KTO's weight of good responses"),
    "undesirable_weight": (0, math.inf, "KTO's weight of bad responses"),
    "margin": (0, math.inf, "margin of a reward model's scores, for each unit of reward"),
    "centre": (0, math.inf, "pull of a reward model's scores towards 0"),
    "kl_horizon": (1, math.inf, "responses over which the weight of the KL may change much"),
    "score_clip": (0, math.inf, "largest reward of a response, and −1 times the least; None: none"),
    "averaging": (0, 0, "whether the step size is 1 / N of an entry's N corrections, at least lr"),
    "traces": (0, 0, "how visits add up in eligibility traces; None for one-step targets"),
    "visits": (0, 0, "which visits of an episode to a state and action are learnt from"),
}
"""What each field of a configuration means, and its least and greatest value."""


@typing.dataclass_transform(frozen_default=True)
def config(cls: type[T]) -> type[T]:
    """Make a class a frozen dataclass and a pytree whose leaves are its `float` fields."""
    cls = dataclasses.dataclass(frozen=True)(cls)
    hints = typing.get_type_hints(cls)
    names = [field.name for field in dataclasses.fields(cls)]  # type: ignore[arg-type]
    traced = [name for name in names if hints[name] is float]
    static = [name for name in names if hints[name] is not float]
    return jax.tree_util.register_dataclass(cls, data_fields=traced, meta_fields=static)


def hints(cls: Any) -> dict[str, Any]:
    """The fields of a configuration and their types, in their order."""
    known = typing.get_type_hints(cls)
    return {field.name: known[field.name] for field in dataclasses.fields(cls)}


def replace(config: T, **changes: Any) -> T:
    """A copy with other values; an unknown field is an error that names the closest ones."""
    known = hints(type(config))
    for name in changes:
        if name not in known:
            raise ValueError(unknown("field", name, known, f"of {title(config)}"))
    return dataclasses.replace(config, **changes)  # type: ignore[type-var]


def title(config: Any) -> str:
    """How messages call a configuration: its module's name, `ppo`."""
    return type(config).__module__.rpartition(".")[2]


def demand(config: Any, holds: bool, field: str, what: str) -> None:
    """Raise one sentence on a field of a configuration unless it holds what it must."""
    if not holds:
        raise ValueError(f"{title(config)}.{field} must {what}, not {getattr(config, field)!r}")


def demand_above(config: Any, bound: float, field: str, why: str = "") -> None:
    """Raise one sentence unless a number is above a bound; a tracer passes."""
    value = getattr(config, field)
    holds = isinstance(value, Tracer) or bool(value > bound)
    demand(config, holds, field, f"be above {bound}{why}")


def validate(config: T) -> T:
    """Check every field whose value is concrete against its type and range; return the config.

    Tracers pass: values are checked where they are known, by whoever calls a jitted function.
    """
    if isinstance(config, type) or not dataclasses.is_dataclass(config):
        raise TypeError(f"config must be an algorithm's name or configuration, not {config!r}")
    for name in hints(type(config)):
        _check(config, name, getattr(config, name))
    return config


def optional(hint: Any) -> tuple[Any, bool]:
    """The type without None, and whether None was allowed."""
    options = typing.get_args(hint)
    if type(None) not in options:
        return hint, False
    return next(option for option in options if option is not type(None)), True


def allowed(name: str, hint: Any) -> str:
    """What a field takes, in words."""
    hint, or_none = optional(hint)
    low, high = _bounds(name)
    span = f" of at least {low}" if high == math.inf else f" in [{low}, {high}]"
    if typing.get_origin(hint) is typing.Literal:
        words = "one of " + ", ".join(map(repr, typing.get_args(hint)))
    elif typing.get_origin(hint) is tuple:
        words = f"a tuple of integers{span}"
    else:
        words = {bool: "True or False", int: f"an integer{span}", float: f"a number{span}"}[hint]
    return words + " or None" * or_none


def _bounds(name: str) -> tuple[float, float]:
    return VOCABULARY[name][:2] if name in VOCABULARY else (-math.inf, math.inf)


def _check(config: Any, name: str, value: Any) -> None:
    hint = hints(type(config))[name]
    if any(type(x) is int and x >= 2**31 for x in (value if type(value) is tuple else (value,))):
        raise ValueError(f"{title(config)}.{name} must be less than 2^31, not {value!r}")
    if not isinstance(value, Tracer) and not _fits(value, hint, *_bounds(name)):
        raise ValueError(
            f"{title(config)}.{name} must be {allowed(name, hint)}, not {_came(value)}"
        )


def _came(value: Any) -> str:
    is_array = isinstance(value, np.ndarray | jax.Array) and value.ndim
    return f"an array of shape {value.shape}" if is_array else repr(value)


def _fits(value: Any, hint: Any, low: float, high: float) -> bool:
    hint, or_none = optional(hint)
    if value is None:
        return or_none
    if typing.get_origin(hint) is typing.Literal:
        return isinstance(value, str) and value in typing.get_args(hint)
    if typing.get_origin(hint) is tuple:
        return isinstance(value, tuple) and all(_fits(x, int, low, high) for x in value)
    if hint in (bool, int):  # True is no integer, and NumPy's integers are no Python ones
        return type(value) is hint and (hint is bool or low <= value <= high)
    real = isinstance(value, REAL) and not isinstance(value, bool) and np.ndim(value) == 0
    return real and low <= float(value) <= high


def grid(config: T, **axes: Any) -> T:
    """Every combination of the values given, as one configuration whose leaves are [n].

    `vmap` a training function over it. Only float fields can vary: others would recompile.

    >>> from jaxrl.algorithms import ppo
    >>> swept = grid(ppo.Config(), lr=[1e-4, 1e-3], clip_eps=[0.1, 0.2, 0.3])
    >>> swept.lr.shape
    (6,)
    """
    _known(config)
    values = [_axis(config, name, values) for name, values in axes.items()]
    return _swept(config, zip(*itertools.product(*values), strict=True), axes)


def random_search(key: Array, config: T, num_samples: int, **ranges: tuple[float, float]) -> T:
    """`num_samples` configurations whose fields are drawn from ranges, as one with leaves [n].

    A range of positive bounds is drawn on a logarithmic scale, any other on a linear one.
    """
    checks.at_least(1, num_samples=num_samples)
    _known(config)
    columns = []
    for name, bounds in ranges.items():
        low, *more = _axis(config, name, bounds)
        if len(more) != 1 or not low < more[0]:
            field = f"{title(config)}.{name}"
            raise ValueError(f"{field} must range over (low, high), ascending, not {bounds}")
        key, sub = jax.random.split(key)
        share = jax.random.uniform(sub, (num_samples,))
        high = more[0]
        drawn = low * (high / low) ** share if low > 0 else low + share * (high - low)
        columns.append(jnp.clip(drawn, low, high))  # rounding may step over a bound
    return _swept(config, columns, ranges)


def _known(config: Any) -> None:
    """Demand one configuration, whose values are allowed."""
    if isinstance(config, str):
        raise TypeError(f"config must be a configuration to vary, not the name {config!r}")
    validate(config)


def _axis(config: Any, name: str, values: Any) -> list[float]:
    """The values that a field takes in a sweep, checked."""
    known = hints(type(config))
    if name not in known:
        raise ValueError(unknown("field", name, known, f"of {title(config)}"))
    if known[name] is not float:
        raise ValueError(
            f"{title(config)}.{name} is static and cannot vary within one compiled sweep: "
            f"only float fields can, not {values}"
        )
    entries = list(values) if np.iterable(values) else [values]
    if not entries:
        raise ValueError(f"{title(config)}.{name} needs at least one value, not {values}")
    for value in entries:
        _check(config, name, value)
    return [float(value) for value in entries]


def _swept(config: T, columns: Any, axes: dict[str, Any]) -> T:
    if not axes:
        raise ValueError(f"a sweep of {title(config)} needs at least one field to vary, not none")
    swept = {n: jnp.asarray(c, jnp.float32) for n, c in zip(axes, columns, strict=True)}
    size = next(iter(swept.values())).shape
    full = jax.tree.map(lambda leaf: jnp.full(size, leaf, jnp.float32), config)
    return dataclasses.replace(full, **swept)  # type: ignore[type-var]
