"""What configurations of actors that follow critics share, and how they become a learner."""

from typing import Any, Literal

from jaxrl.config import config, title
from jaxrl.families import settings
from jaxrl.families.actor_critic import Conduct, Parts
from jaxrl.families.box import Span
from jaxrl.families.critics import Critics, Jury, of_box, of_choices, squared
from jaxrl.families.off_policy import OffPolicyConfig, followed, importance
from jaxrl.families.policy import ActorCritic
from jaxrl.families.settings import Setting
from jaxrl.families.temperature import Temperature
from jaxrl.families.value_head import Head, categorical_head, scalar_head
from jaxrl.formulas.value_targets import min_value
from jaxrl.networks import Network, content
from jaxrl.types import Array, Box, PyTree, Spaces


@config
class CriticConfig(OffPolicyConfig):
    """Fields of every algorithm whose actor follows critics."""

    num_envs: int = 4
    num_gradients: int = 4
    batch_size: int = 256
    capacity: int = 100_000
    hidden_sizes: tuple[int, ...] = (256, 256)
    num_critics: int = 1
    num_judges: int = 1
    policy_delay: int = 1
    head: Literal["scalar", "categorical"] = "scalar"
    num_atoms: int = 51
    value_min: float = -100.0
    value_max: float = 100.0


def parts(
    config: Any,
    setting: Setting,
    conduct: Conduct,
    critics: Critics,
    jury: Jury,
    temperature: Temperature,
    std: str | None = None,
) -> Parts:
    """The parts of a learner; `std` is how the actor's σ comes about, if it has one."""
    custom = settings.own_networks(setting).actor

    def follow(target: PyTree, params: PyTree, count: Array) -> PyTree:
        return followed(target, params, count, config.target_period, config.polyak)

    return Parts(
        actor=settings.network(config, setting.spaces, custom, conduct.size, 0.01, std),
        critics=critics,
        conduct=conduct,
        head=head(config),
        jury=jury,
        temperature=temperature,
        optimizer=ActorCritic(
            settings.optimizer(config, setting, 1, every=config.policy_delay),
            settings.optimizer(config, setting, 1),
        ),
        importance=lambda state, weight: importance(config, setting, state, weight),
        follow=follow,
        policy_delay=config.policy_delay,
    )


def all_vote(config: Any) -> Jury:
    """Every critic teaches the actor: by the least of them, or by their mean where only some are
    drawn for targets (REDQ).
    """
    everyone = config.num_judges == config.num_critics
    return Jury(
        config.num_critics,
        config.num_judges,
        config.num_critics,
        min_value if everyone else lambda values: values.mean(0),
    )


def first_votes(config: Any) -> Jury:
    """The first critic alone teaches the actor (TD3)."""
    return Jury(config.num_critics, config.num_judges, 1, lambda values: values[0])


def critics_of_box(config: Any, setting: Setting, span: Span) -> Critics:
    """Critics of pairs (observation, action), a tree that a network of one's own has to read."""
    pair = content(setting.spaces.observation), Box(-1.0, 1.0, (span.num_dims,))
    network = _network(config, setting, Spaces(pair, setting.spaces.action), 1)
    return of_box(network, span, config.num_critics)


def critics_of_choices(config: Any, setting: Setting, num_actions: int) -> Critics:
    """Critics of all actions of a discrete space."""
    network = _network(config, setting, setting.spaces, num_actions)
    return of_choices(network, num_actions, head(config).size or 1, config.num_critics)


def _network(config: Any, setting: Setting, spaces: Spaces, num_actions: int) -> Network:
    if config.num_judges > config.num_critics:
        raise ValueError(
            f"{title(config)}.num_judges must be at most num_critics = {config.num_critics}, "
            f"not {config.num_judges}"
        )
    custom = settings.own_networks(setting).critic
    size = num_actions * (head(config).size or 1)
    return settings.network(config, spaces, custom, size, 1.0)


def head(config: Any) -> Head:
    """What critics say: expected values under a squared loss, or distributions over atoms."""
    if config.head == "scalar":
        return squared(scalar_head(1.0))
    return categorical_head(config.value_min, config.value_max, config.num_atoms)
