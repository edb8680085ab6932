"""The loss of a policy and its value, and the diagnostics that every update reports."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from jaxrl.families.minibatch import Passes, Reported, descend
from jaxrl.families.policy import (
    ActorCritic,
    Batch,
    Improver,
    Parts,
    Prediction,
    batch_mean,
    predict,
)
from jaxrl.formulas.divergences import k3
from jaxrl.formulas.policy_losses import not_clipped, policy_gradient
from jaxrl.formulas.ratios import token_log_ratio
from jaxrl.formulas.value_losses import squared_loss
from jaxrl.optim.optimizer import Optimizer
from jaxrl.types import Array, LearnerState, Metrics, Scalar

Term = Callable[[Prediction, Batch], Array]  # loss of each element, [B]
Prepare = Callable[[Batch], Batch]


def squared_value(prediction: Prediction, batch: Batch) -> Array:
    """The plain value loss."""
    return squared_loss(prediction.value, batch.target)


def advantage_gradient(prediction: Prediction, batch: Batch) -> Array:
    """The plain policy gradient."""
    return policy_gradient(prediction.log_prob, batch.advantage)


def log_ratio_of(prediction: Prediction, batch: Batch) -> Array:
    """Log ratio of the policy to the one that acted."""
    return token_log_ratio(prediction.log_prob, batch.log_prob, batch.mask)


def objective(
    parts: Parts,
    policy_term: Term,
    *,
    value_term: Term = squared_value,
    value_coef: Scalar = 0.0,
    entropy_coef: Scalar = 0.0,
    bounds: tuple[Scalar, ...] | None = None,
    prepare: Prepare = lambda batch: batch,
) -> Reported:
    """policy loss + value_coef · value loss − entropy_coef · entropy, each a mean.

    Args:
      bounds: of the ratio, whose clip fraction is then reported: lower, upper, and a ceiling
        where there is one.
      prepare: what happens to a minibatch first: whitening, say.
    """
    names = ["policy_loss", "entropy", "approx_kl"]
    names += ["clip_fraction"] * (bounds is not None) + ["value_loss"] * (parts.critic is not None)

    def loss(params: ActorCritic, batch: Batch) -> tuple[Array, Array]:
        batch = prepare(batch)
        new = predict(parts, params, batch)
        # Diagnostics take no part in the loss: no gradient is to be spent on them.
        log_ratio = jax.lax.stop_gradient(log_ratio_of(new, batch))
        # The old policy acted: k3 of old to new is the KL(old ‖ new).
        rows = [policy_term(new, batch), new.entropy, k3(-log_ratio)]
        if bounds is not None:
            rows.append(1.0 - not_clipped(log_ratio, batch.advantage, *bounds))
        if parts.critic is not None:
            rows.append(value_term(new, batch))
        means = batch_mean(jnp.stack(rows), batch.mask)
        total = means[0] - entropy_coef * means[1]
        if parts.critic is not None:
            total += value_coef * means[-1]
        return total, means

    return Reported(tuple(names), loss)


def sgd(
    reported: Callable[[LearnerState], Reported], optimizer: Optimizer, passes: Passes
) -> Improver:
    """Improve by passes of minibatches down a loss that may depend on the state before them."""

    def improve(key: Array, state: LearnerState, batch: Batch) -> tuple[LearnerState, Metrics]:
        start = state.params, state.opt_state, state.num_updates
        new, metrics = descend(key, reported(state), optimizer, start, batch, passes)
        return state._replace(params=new[0], opt_state=new[1]), metrics

    return Improver(optimizer.init, improve)


def one_step(parts: Parts, config: Any, optimizer: Optimizer) -> Improver:
    """Improve by one step down the plain policy gradient and the value loss."""
    loss = objective(
        parts,
        advantage_gradient,
        value_coef=config.value_coef,
        entropy_coef=config.entropy_coef,
    )
    return sgd(lambda state: loss, optimizer, Passes())
