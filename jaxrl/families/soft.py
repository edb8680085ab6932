"""Soft conduct: a stochastic actor that is paid for its entropy."""

from typing import Any

import jax

from jaxrl.families.actor_critic import Ask, Conduct
from jaxrl.families.value_head import Head
from jaxrl.formulas.divergences import categorical_entropy
from jaxrl.formulas.value_targets import (
    discrete_soft_value,
    expected_value,
    sac_actor_loss,
    sac_target,
    td_target,
)
from jaxrl.networks import Distribution
from jaxrl.types import Array, PyTree


def reparameterised(choice: Distribution) -> Conduct:
    """Actions that are smooth functions of outputs and noise: critics teach through them (SAC)."""

    def sampled(output: Array, noise: PyTree) -> tuple[Array, Array]:
        raw = choice.sample(output, noise)
        return choice.act(raw), choice.log_prob(output, raw)

    def target(
        head: Head, ask: Ask, output: Array, noise: PyTree, data: Any, alpha: Array
    ) -> Array:
        action, log_prob = sampled(output, noise)
        numbers = ask(action)
        value = head.mean(numbers)
        wanted = sac_target(data.reward, value, log_prob, data.discount, alpha)
        return head.target(wanted - data.discount * value, data.discount, numbers)

    def loss(ask: Ask, output: Array, noise: PyTree, alpha: Array) -> tuple[Array, Array]:
        action, log_prob = sampled(output, noise)
        return sac_actor_loss(log_prob, ask(action), alpha), log_prob

    return _soft(choice, target, loss)


def enumerated(choice: Distribution) -> Conduct:
    """A few actions, all of whose values are known: expectations, no samples (discrete SAC)."""

    def target(
        head: Head, ask: Ask, output: Array, noise: PyTree, data: Any, alpha: Array
    ) -> Array:
        numbers, prob = ask(None), jax.nn.softmax(output)
        q = head.mean(numbers)
        wanted = td_target(data.reward, discrete_soft_value(q, output, alpha), data.discount)
        lift = wanted - data.discount * expected_value(q, prob)
        return head.target(lift, data.discount, head.mixture(numbers, prob))

    def loss(ask: Ask, output: Array, noise: PyTree, alpha: Array) -> tuple[Array, Array]:
        return -discrete_soft_value(ask(None), output, alpha), -categorical_entropy(output)

    return _soft(choice, target, loss)


def _soft(choice: Distribution, target: Any, loss: Any) -> Conduct:
    """Acting by a distribution, without memory."""

    def act(output: Array, noise: PyTree, carry: PyTree) -> tuple[Array, PyTree]:
        raw = choice.mode(output) if noise is None else choice.sample(output, noise)
        return choice.act(raw), carry

    return Conduct(
        size=choice.size,
        soft=True,
        lagging=False,
        noise=choice.noise,
        carry=lambda key, num_envs: (),
        act=act,
        target=target,
        loss=loss,
    )
