"""What configurations share, and how they become networks and an optimiser."""

from collections.abc import Callable
from typing import Any, Literal, NamedTuple, Protocol, TypeVar

import jax
import jax.numpy as jnp
import optax
from flax import linen as nn

from jaxrl.config import config, demand, replace, title
from jaxrl.families.policy import ActorCritic, Judge, Parts
from jaxrl.formulas.value_targets import expected_value
from jaxrl.formulas.weightings import action_value
from jaxrl.networks import (
    CNN,
    MLP,
    Network,
    content,
    distribution,
    feed_forward,
    memory,
    recurrent,
    sized,
)
from jaxrl.networks.core import has_choices, obs_rank
from jaxrl.optim.optimizer import Optimizer, Schedule, adam, linear, rmsprop
from jaxrl.types import Array, Box, Discrete, LearnerState, PyTree, Spaces, Transition

S = TypeVar("S")

Expert = Callable[[PyTree], Array]
"""Who is imitated, and can be asked: observations [N, ...] -> actions [N, ...]."""


class Setting(NamedTuple):
    """What a learner is told besides its configuration."""

    spaces: Spaces
    num_updates: int  # of the learner in the whole training, for schedules
    networks: ActorCritic | None = None  # flax modules in place of the default ones
    optimizer: Callable[[Any, Schedule], optax.GradientTransformation] | None = None
    expert: Expert | Transition | None = None  # whom to imitate: one who can be asked, or rows


@config
class BasicConfig:
    """Fields of every algorithm; a configuration inherits data, never behaviour."""

    num_envs: int = 8
    num_steps: int = 128
    lr: float = 2.5e-4
    anneal_lr: bool = True
    max_grad_norm: float = 0.5
    torso: Literal["mlp", "cnn"] = "mlp"
    hidden_sizes: tuple[int, ...] = (64, 64)
    activation: Literal["tanh", "relu", "silu", "gelu", "elu"] = "tanh"
    layer_norm: bool = False


@config
class OnPolicyConfig(BasicConfig):
    """Fields of every on-policy algorithm."""

    gamma: float = 0.99
    normalise_obs: bool = False
    normalise_reward: bool = False
    curiosity: Literal["icm", "rnd"] | None = None
    curiosity_coef: float = 0.3
    curiosity_lr: float = 1e-3
    curiosity_epochs: int = 1
    curiosity_minibatches: int = 1
    feature_size: int = 32
    forward_share: float = 0.2


@config
class PolicyConfig(OnPolicyConfig):
    """Fields of every algorithm of the policy family."""

    distribution: Literal["gaussian", "squashed_gaussian", "beta"] | None = None
    std: Literal["independent", "dependent"] = "independent"
    memory: Literal["gru", "lstm"] | None = None
    memory_size: int = 64
    sequence_length: int | None = None
    imitates: Literal["gail", "saturating", "airl"] | None = None
    discriminator_lr: float = 1e-3
    discriminator_epochs: int = 4


@config
class OneStepConfig(PolicyConfig):
    """Fields of the policy gradients that take one step after each rollout."""

    value_coef: float = 0.5
    entropy_coef: float = 0.0
    rms_decay: float | None = None


STATE_VALUE = Judge(lambda raw, output: raw[..., 0], lambda raw, action: raw[..., 0])
"""A critic of states."""

ACTION_VALUE = Judge(lambda raw, output: expected_value(raw, nn.softmax(output)), action_value)
"""A critic of all actions of a discrete space."""


def action_space(config: Any, setting: Setting, kind: type[S]) -> S:
    """The environment's action space, for an algorithm that acts in one kind of space only."""
    space = setting.spaces.action
    if not isinstance(space, kind):
        raise ValueError(f"{title(config)} needs a {kind.__name__} action space, not {space}")
    return space


def parts(
    config: Any, setting: Setting, critic: Literal["state", "action"] | None = "state"
) -> Parts:
    """Distribution and networks of a policy learner, as its configuration asks for."""
    space = setting.spaces.action
    if critic == "action" and not isinstance(space, Discrete):
        raise ValueError(f"a critic of every action needs a Discrete action space, not {space}")
    choose = distribution(space, config.distribution)
    gaussian = isinstance(space, Box) and config.distribution != "beta"
    custom = own_networks(setting)
    width = space.num_values if isinstance(space, Discrete) and critic == "action" else 1
    length = config.sequence_length or config.num_steps
    std = config.std if gaussian else None
    actor = network(config, setting.spaces, custom.actor, choose.size, 0.01, std)
    judge = network(config, setting.spaces, custom.critic, width, 1.0) if critic else None
    check_memory(config, actor, judge)
    forgetful = config.memory is not None and not remembers(actor, judge)
    demand(config, not forgetful, "memory", "be None for networks that do not remember")
    return Parts(
        distribution=choose,
        actor=actor,
        critic=judge,
        judge=ACTION_VALUE if critic == "action" else STATE_VALUE,
        gamma=config.gamma,
        sequence_length=None if config.memory is None else length,
    )


def network(
    config: Any,
    spaces: Spaces,
    custom: nn.Module | Network | None,
    size: int,
    scale: float,
    std: str | None = None,
) -> Network:
    """The network that maps observations to `size` numbers: the user's own, or by configuration."""
    if not isinstance(custom, nn.Module | Network | None):
        what = f"not a {type(custom).__name__}"
        raise TypeError(f"networks must be flax modules, or Networks, or None, {what}")
    if custom is not None:
        return sized(custom if isinstance(custom, Network) else feed_forward(custom), size)
    last = {"final_size": size, "final_scale": scale, "std": std}
    if not in_sequences(config):
        return feed_forward(torso(config, spaces.observation, config.hidden_sizes, **last))
    cell = memory(config.memory, config.memory_size)
    return recurrent(torso(config, spaces.observation, config.hidden_sizes), cell, MLP((), **last))


def own_networks(setting: Setting) -> ActorCritic:
    """The user's own networks: None for each that is the configuration's, as one left out is."""
    return ActorCritic(*(None if x == () else x for x in setting.networks or (None, None)))


def check_memory(config: Any, *networks: Network | None) -> None:
    """Whether networks remember only where the configuration says so: one sentence if not."""
    known = config.memory is not None or not remembers(*networks)
    demand(config, known, "memory", "be 'gru' or 'lstm' for networks that remember")


def remembers(*networks: Network | None) -> bool:
    """Whether one of them has a memory."""
    return any(jax.tree.leaves(x.carry(1)) for x in networks if x is not None)


def critic_alone(config: Any, setting: Setting) -> nn.Module | Network | None:
    """The user's own network of an algorithm that has no actor, if there is one."""
    actor, critic = own_networks(setting)
    if actor is not None:
        raise ValueError(
            f"networks.actor must be None with {title(config)}, whose network is networks.critic, "
            f"not a {type(actor).__name__}"
        )
    return critic


def torso(config: Any, space: PyTree, sizes: tuple[int, ...], **last: Any) -> nn.Module:
    """What reads the observations of a space: dense layers, with convolutions if asked for."""
    rank = obs_rank(content(space))
    if config.torso == "cnn" and rank != 3:
        came = "choices" if has_choices(content(space)) else f"observations of {rank} axes"
        raise ValueError(f"torso 'cnn' needs images [H, W, C], not {came}")
    if config.torso == "cnn" and min(content(space).shape[:2]) < 3:
        raise ValueError(f"torso 'cnn' needs images of at least 3 × 3, not {content(space).shape}")
    module: Any = {"mlp": MLP, "cnn": CNN}[config.torso]
    made = {"sizes": sizes, "activation": config.activation, "obs_rank": rank}
    return module(**made, layer_norm=config.layer_norm, **last)


class Schedules(Protocol):
    """What an optimiser is told of the training."""

    @property
    def num_updates(self) -> int:
        """Of the learner in the whole training."""
        ...

    @property
    def optimizer(self) -> Callable[[Any, Schedule], optax.GradientTransformation] | None:
        """The user's own."""
        ...


def optimizer(
    config: Any,
    setting: Schedules,
    num_steps: int,
    default: Callable[[Any, Schedule], Optimizer] | None = None,
    every: int = 1,
) -> Optimizer:
    """The user's own optimiser, the algorithm's, RMSProp where its decay is set, or else Adam.

    Args:
      num_steps: in each update.
      every: gradient steps for one of this optimiser: one's own counts by itself, and only those.
    """
    schedule = linear(config.lr, setting.num_updates * num_steps, config.anneal_lr)
    if setting.optimizer is not None:

        def counted(count: Array) -> Array:
            return schedule(every * (count + 1) - 1)

        return Optimizer(setting.optimizer(config, counted), schedule, own=True)
    if default is not None:
        return default(config, schedule)
    decay = getattr(config, "rms_decay", None)
    if decay is not None:
        return rmsprop(schedule, config.max_grad_norm, decay, 1e-5)
    return adam(schedule, config.max_grad_norm, 1e-5)


def progress(state: LearnerState, setting: Setting) -> Array:
    """How much of the training is done, from 0 to 1."""
    return jnp.minimum(state.num_updates / setting.num_updates, 1.0)


def check(config: Any, spaces: Spaces | None = None) -> None:
    """Fields that must fit each other and the environment: one sentence where they do not."""
    group, parts = getattr(config, "group_size", 1), getattr(config, "num_minibatches", 1)
    sequences = in_sequences(config)
    cut = getattr(config, "sequence_length", None) is not None
    length = config.num_steps
    if isinstance(config, PolicyConfig):  # whose sequences are parts of a rollout
        length = config.sequence_length or length
    demand(
        config, config.num_envs % group == 0, "group_size", f"divide num_envs = {config.num_envs}"
    )
    compares = title(config) == "grpo" or getattr(config, "baseline", "") == "leave_one_out"
    demand(config, group > 1 or not compares, "group_size", "be at least 2 to compare trajectories")
    demand(
        config,
        config.num_steps % length == 0,
        "sequence_length",
        f"divide num_steps = {config.num_steps}",
    )
    demand(config, sequences or not cut, "sequence_length", "be None where there is no memory")
    size = config.num_envs * config.num_steps // (length if sequences else 1)
    demand(config, size % parts == 0, "num_minibatches", f"divide the batch of {size}")
    if getattr(config, "imitates", None) == "airl":
        demand(config, not sequences, "imitates", "be 'gail' with a memory")
        fits = config.distribution in (None, "gaussian")
        demand(config, fits, "imitates", f"be 'gail' with a {config.distribution} distribution")
    if getattr(config, "curiosity", None) is not None:
        steps, parts = config.num_envs * config.num_steps, config.curiosity_minibatches
        demand(config, steps % parts == 0, "curiosity_minibatches", f"divide the batch of {steps}")
    if spaces is not None and not isinstance(spaces.action, Box):
        fits = getattr(config, "distribution", None) is None
        demand(config, fits, "distribution", f"be None for the action space {spaces.action}")
    if spaces is not None and getattr(config, "normalise_obs", False):
        numbers = not has_choices(content(spaces.observation))
        demand(config, numbers, "normalise_obs", "be False for observations that are choices")


def in_sequences(config: Any) -> bool:
    """Whether a configuration asks for a memory, and so for sequences to learn from."""
    return getattr(config, "memory", None) is not None


def imitates(config: Any) -> bool:
    """Whether an expert is imitated, in an environment."""
    return getattr(config, "imitates", getattr(config, "labels", None)) is not None


def share_of(config: Any, devices: int) -> Any:
    """The configuration with one device's share of the environments."""
    if not isinstance(config, OnPolicyConfig):
        raise ValueError(
            f"devices must be 1 with {title(config)}, not {devices}: environments are spread with "
            "on-policy algorithms only"
        )
    group = getattr(config, "group_size", 1)
    if config.num_envs // group % devices:
        what = "num_envs" if group == 1 else "num_envs / group_size"
        raise ValueError(f"devices must divide {what} = {config.num_envs // group}, not {devices}")
    share = replace(config, num_envs=config.num_envs // devices)
    try:
        check(share)
    except ValueError as error:
        raise ValueError(f"{error}, on each of {devices} devices") from error
    return share
