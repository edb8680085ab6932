"""What a learner of action values regresses on, of distributions as of expected values."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax.numpy as jnp

from jaxrl.families.value_head import Head, taken
from jaxrl.formulas.selection import boltzmann_prob, greedy
from jaxrl.formulas.value_targets import expected_value, munchausen_target
from jaxrl.networks import action_mask
from jaxrl.numerics import legal
from jaxrl.types import Array, Scalar


class Look(NamedTuple):
    """What two networks say of transitions if they are asked, [..., A, size]."""

    target: Callable[[], Array]  # the target network, of where actions were taken
    target_next: Callable[[], Array]  # and of what they reached
    online_next: Callable[[], Array]


Rule = Callable[[Head, Look, Any], Array]
"""Head, networks and transitions -> the head's target."""


def max_rule(head: Head, look: Look, data: Any) -> Array:
    """DQN: the next action is the target network's best."""
    numbers = look.target_next()
    best = greedy(head.mean(numbers), action_mask(data.next_obs))
    return head.target(data.reward, data.discount, taken(numbers, best))


def double_rule(head: Head, look: Look, data: Any) -> Array:
    """Double DQN: the online network chooses the next action, the target network judges it."""
    best = greedy(head.mean(look.online_next()), action_mask(data.next_obs))
    return head.target(data.reward, data.discount, taken(look.target_next(), best))


def munchausen_rule(temperature: Scalar, alpha: Scalar, clip: Scalar) -> Rule:
    """Munchausen: the softmax policy's next return, moved so that its mean is the formula's."""

    def rule(head: Head, look: Look, data: Any) -> Array:
        numbers = look.target_next()
        next_q, mask = head.mean(numbers), action_mask(data.next_obs)
        prob = boltzmann_prob(next_q, temperature, mask)
        q = _legal(head.mean(look.target()), action_mask(data.obs))
        wanted = munchausen_target(
            data.reward,
            q,
            data.action,
            _legal(next_q, mask),
            data.discount,
            temperature,
            alpha,
            clip,
        )
        lift = wanted - data.discount * expected_value(next_q, prob)
        return head.target(lift, data.discount, head.mixture(numbers, prob))

    return rule


def _legal(q: Array, mask: Array | None) -> Array:
    return q if mask is None else legal(q, jnp.asarray(mask))
