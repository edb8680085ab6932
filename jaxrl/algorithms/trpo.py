"""TRPO: a natural-gradient step inside a trust region, and a value fitted by regression.

    max E[r Â] + c_e E[H(π)]  subject to  E[KL(π_old ‖ π)] ≤ δ

The paper has no bonus for entropy: c_e is 0 by default.
Reference: Schulman et al. 2015, arXiv:1502.05477.
"""

from typing import Literal

import jax.numpy as jnp

from jaxrl.config import config
from jaxrl.families import settings
from jaxrl.families.estimate import gae_estimate
from jaxrl.families.minibatch import Passes, Reported, descend
from jaxrl.families.objective import log_ratio_of, squared_value
from jaxrl.families.policy import (
    ActorCritic,
    Batch,
    Improver,
    Parts,
    batch_mean,
    policy_learner,
    predict,
)
from jaxrl.families.settings import PolicyConfig, Setting
from jaxrl.formulas.policy_losses import importance_weighted
from jaxrl.optim import trust_region_step
from jaxrl.optim.optimizer import Optimizer
from jaxrl.types import Array, Learner, LearnerState, Metrics, once


@config
class Config(PolicyConfig):
    """TRPO; `lr`, `num_epochs` and `num_minibatches` are of the value function."""

    num_steps: int = 256
    lr: float = 1e-3
    anneal_lr: bool = False
    lam: float = 0.95
    entropy_coef: float = 0.0
    max_kl: float = 0.01
    damping: float = 0.1
    cg_iterations: int = 10
    num_backtracks: int = 10
    num_epochs: int = 10
    num_minibatches: int = 8
    whiten: Literal["batch", "none"] = "batch"


def learner(config: Config, setting: Setting) -> Learner:
    """The learner of a configuration."""
    parts = settings.parts(config, setting)
    passes = Passes(config.num_epochs, config.num_minibatches)
    optimizer = settings.optimizer(config, setting, passes.num_steps)
    improver = trust_region(config, parts, optimizer, passes)
    return policy_learner(parts, gae_estimate(config.lam, config.whiten == "batch"), improver)


def trust_region(config: Config, parts: Parts, optimizer: Optimizer, passes: Passes) -> Improver:
    """The actor moves by one natural step, the critic by gradient descent."""

    def improve(key: Array, state: LearnerState, batch: Batch) -> tuple[LearnerState, Metrics]:
        critic = state.params.critic
        old = predict(parts, state.params, batch)

        def mean(x: Array) -> Array:
            return batch_mean(x[None], batch.mask)[0]

        def surrogate(actor: Array) -> Array:
            new = predict(parts, ActorCritic(actor, critic), batch)
            loss = importance_weighted(log_ratio_of(new, batch), batch.advantage)
            return mean(loss - config.entropy_coef * new.entropy)

        def divergence(actor: Array) -> Array:
            new = predict(parts, ActorCritic(actor, critic), batch)
            return mean(parts.distribution.kl(old.output, new.output))

        actor, info = trust_region_step(
            surrogate,
            divergence,
            state.params.actor,
            max_kl=config.max_kl,
            damping=config.damping,
            num_iterations=config.cg_iterations,
            num_backtracks=config.num_backtracks,
        )
        before = state.params.critic, state.opt_state, state.num_updates
        fitted, metrics = descend(key, regression(parts, actor), optimizer, before, batch, passes)
        entropy = mean(predict(parts, ActorCritic(actor, critic), batch).entropy)
        metrics |= once(
            policy_loss=config.entropy_coef * (entropy - mean(old.entropy)) - info.improvement,
            approx_kl=info.divergence,
            accepted=info.accepted.astype(jnp.float32),
            entropy=entropy,
        )
        params = ActorCritic(actor, fitted[0])
        return state._replace(params=params, opt_state=fitted[1]), metrics

    return Improver(lambda params: optimizer.init(params.critic), improve)


def regression(parts: Parts, actor: Array) -> Reported:
    """The value loss alone."""

    def loss(critic: Array, batch: Batch) -> tuple[Array, Array]:
        error = squared_value(predict(parts, ActorCritic(actor, critic), batch), batch)
        mean = batch_mean(error[None], batch.mask)
        return mean[0], mean

    return Reported(("value_loss",), loss)
