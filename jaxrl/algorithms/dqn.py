"""DQN and its improvements, each a field of its own: Rainbow and R2D2 are some of them together.

    L = E[w ℓ(Z(s, a), r + γ Z⁻(s′, a*))]

with Z an expected value (DQN), a categorical distribution (C51), quantiles (QR-DQN) or quantiles at
sampled levels (IQN), and a* the target network's best action, the online network's (double), or
drawn from a softmax policy (Munchausen). With a memory, Z is of all that was seen so far, and is
learnt from sequences (`families/sequential.py`). Discrete actions only.
Reference: Mnih et al. 2015, doi:10.1038/nature14236; Hessel et al. 2018, arXiv:1710.02298; the
others stand with their parts.
"""

import math
from typing import Literal

from jaxrl.config import config, demand_above
from jaxrl.families import explore, settings, value_head, value_target
from jaxrl.families.off_policy import OffPolicyConfig, followed, importance
from jaxrl.families.sequential import sequences
from jaxrl.families.settings import Setting
from jaxrl.families.value import Parts, Study, steps, value_learner
from jaxrl.networks import content, memory
from jaxrl.networks.core import obs_rank
from jaxrl.networks.value import (
    ValueModule,
    ValueNetwork,
    duelled,
    plain_value_network,
    remembering,
    value_network,
)
from jaxrl.types import Box, Discrete, Learner, PyTree


@config
class Config(OffPolicyConfig):
    """DQN; what it is improved by is off."""

    head: Literal["scalar", "categorical", "quantile", "implicit"] = "scalar"
    target: Literal["max", "double", "munchausen"] = "max"
    dueling: bool = False
    noisy: Literal["step", "episode"] | None = None
    noisy_std: float = 0.5
    exploration: Literal["epsilon", "ladder", "boltzmann", "top_k", "greedy"] = "epsilon"
    epsilon_start: float = 1.0
    epsilon_end: float = 0.05
    exploration_fraction: float = 0.2
    noise_memory: float = 0.0
    temperature: float = 0.03
    top_k: int = 2
    munchausen_coef: float = 0.9
    log_policy_min: float = -1.0
    huber_delta: float = 1.0
    num_atoms: int = 51
    value_min: float = -100.0
    value_max: float = 100.0
    num_quantiles: int = 32
    squash: bool = False
    memory: Literal["gru", "lstm"] | None = None
    memory_size: int = 64
    sequence_length: int | None = None
    burn_in: int = 0
    priority_share: float = 0.9


def learner(config: Config, setting: Setting) -> Learner:
    """The learner of a configuration."""
    num_actions = settings.action_space(config, setting, Discrete).num_values
    _check(config)
    return value_learner(
        Parts(
            network=network(config, setting),
            head=head(config),
            rule=_rule(config),
            exploration=_exploration(config, num_actions),
            optimizer=settings.optimizer(config, setting, 1),
            rate=lambda state: explore.falling(config, state, setting),
            importance=lambda state, weight: importance(config, setting, state, weight),
            follow=lambda target, params, count: followed(
                target, params, count, config.target_period, config.polyak
            ),
            study=_study(config),
            hold=config.noisy == "episode",
            noise_memory=config.noise_memory,
        )
    )


def _check(config: Config) -> None:
    """Numbers that divide, where they are used: one sentence if they are 0."""
    for field, value in ("target", "munchausen"), ("exploration", "boltzmann"):
        if getattr(config, field) == value:
            demand_above(config, 0, "temperature", f" with {field} = {value!r}")
    if config.head == "scalar":
        demand_above(config, 0, "huber_delta", " with a scalar head")


def head(config: Config) -> value_head.Head:
    """What the network's numbers mean."""
    made = {
        "scalar": lambda: value_head.scalar_head(config.huber_delta),
        "categorical": lambda: value_head.categorical_head(
            config.value_min, config.value_max, config.num_atoms
        ),
        "quantile": lambda: value_head.quantile_head(config.num_quantiles, config.huber_delta),
        "implicit": lambda: value_head.implicit_head(config.huber_delta),
    }[config.head]()
    if config.squash and config.head == "categorical":
        raise ValueError("dqn.squash must be False for a categorical head, not True")
    return value_head.squashed(made) if config.squash else made


def _study(config: Config) -> Study:
    if config.memory is None:
        return steps()
    return sequences(config.n_step, config.gamma, config.burn_in, config.priority_share)


def _rule(config: Config) -> value_target.Rule:
    munchausen = value_target.munchausen_rule(
        config.temperature, config.munchausen_coef, config.log_policy_min
    )
    rules = {"max": value_target.max_rule, "double": value_target.double_rule}
    return rules.get(config.target, munchausen)


def _exploration(config: Config, num_actions: int) -> explore.Exploration:
    return {
        "epsilon": explore.by_epsilon,
        "ladder": lambda: explore.by_ladder(config.epsilon_start, config.epsilon_end),
        "boltzmann": lambda: explore.by_values(num_actions, config.temperature),
        "top_k": lambda: explore.by_rank(num_actions, config.top_k),
        "greedy": explore.by_nothing,
    }[config.exploration]()


def network(config: Config, setting: Setting) -> ValueNetwork:
    """The network that the configuration asks for, or the user's own; dueling around either."""
    spaces, size = setting.spaces, head(config).size
    width = settings.action_space(config, setting, Discrete).num_values + config.dueling
    custom = settings.critic_alone(config, setting)
    if custom is not None:
        if size is None or config.noisy is not None:
            raise ValueError("networks must be None for an implicit head or noisy layers")
        own = settings.network(config, spaces, custom, width * size, 1.0)
        settings.check_memory(config, own)
        made = plain_value_network(own, width, size)
    elif config.memory is None:
        features = (16,) if config.torso == "cnn" else None
        made = _module(config, spaces.observation, width, config.hidden_sizes, features)
    else:
        # the last hidden layer belongs to the head: it may be noisy, and levels may enter it
        torso = settings.torso(config, spaces.observation, config.hidden_sizes[:-1])
        cell = memory(config.memory, config.memory_size)
        seen = Box(-math.inf, math.inf, (config.memory_size,))
        made = remembering(torso, cell, _module(config, seen, width, config.hidden_sizes[-1:]))
    return duelled(made) if config.dueling else made


def _module(
    config: Config,
    space: PyTree,
    width: int,
    sizes: tuple[int, ...],
    features: tuple[int, ...] | None = None,
) -> ValueNetwork:
    module = ValueModule(
        sizes,
        width,
        head(config).size,
        config.activation,
        features,
        obs_rank(content(space)),
        config.layer_norm,
        config.noisy_std if config.noisy else None,
    )
    return value_network(module, space, config.num_quantiles)
