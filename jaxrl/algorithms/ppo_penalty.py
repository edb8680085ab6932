"""PPO with a penalty on KL, whose coefficient adapts.

    L = E[−r Â + β KL(π_old ‖ π)] + c_v E[value loss] − c_e E[H(π)]
    β doubles where the KL of an update was over 1.5 KL*, halves where it was under KL* / 1.5

Reference: Schulman et al. 2017, arXiv:1707.06347, section 4.
"""

from typing import Literal

import jax.numpy as jnp

from jaxrl.config import config
from jaxrl.families import settings
from jaxrl.families.estimate import gae_estimate
from jaxrl.families.minibatch import Passes, Reported
from jaxrl.families.objective import log_ratio_of, objective, sgd
from jaxrl.families.policy import (
    Batch,
    Improver,
    Parts,
    Prediction,
    batch_mean,
    policy_learner,
    predict,
)
from jaxrl.families.settings import PolicyConfig, Setting
from jaxrl.formulas.policy_losses import adaptive_kl_coefficient, kl_penalised
from jaxrl.shares import mean_of_shares
from jaxrl.types import Array, Learner, LearnerState, Metrics, Scalar, once

BOUNDS = (1e-6, 1e6)
"""Of β, which would otherwise end at 0 or at infinity, and stay there."""


@config
class Config(PolicyConfig):
    """PPO with an adaptive penalty."""

    lam: float = 0.95
    kl_coef: float = 1.0
    target_kl: float = 0.01
    value_coef: float = 0.5
    entropy_coef: float = 0.01
    num_epochs: int = 4
    num_minibatches: int = 4
    whiten: Literal["batch", "none"] = "batch"


def learner(config: Config, setting: Setting) -> Learner:
    """The learner of a configuration."""
    parts = settings.parts(config, setting)
    passes = Passes(config.num_epochs, config.num_minibatches)

    def reported(state: LearnerState) -> Reported:
        def penalised(new: Prediction, batch: Batch) -> Array:
            kl = parts.distribution.kl(batch.output, new.output)
            return kl_penalised(log_ratio_of(new, batch), batch.advantage, kl, state.slots)

        return objective(
            parts,
            penalised,
            value_coef=config.value_coef,
            entropy_coef=config.entropy_coef,
        )

    improver = sgd(reported, settings.optimizer(config, setting, passes.num_steps), passes)
    return policy_learner(
        parts,
        gae_estimate(config.lam, config.whiten == "batch"),
        adapting(parts, improver, config.target_kl),
        slots=jnp.asarray(config.kl_coef, jnp.float32),
    )


def adapting(parts: Parts, improver: Improver, target_kl: Scalar) -> Improver:
    """After each update move β by the KL that it made, measured on all of the batch."""

    def improve(key: Array, state: LearnerState, batch: Batch) -> tuple[LearnerState, Metrics]:
        state, metrics = improver.improve(key, state, batch)
        moved = parts.distribution.kl(batch.output, predict(parts, state.params, batch).output)
        kl = mean_of_shares(batch_mean(moved[None], batch.mask))[0]
        metrics |= once(kl=kl, kl_coef=state.slots)
        beta = jnp.clip(adaptive_kl_coefficient(state.slots, kl, target_kl), *BOUNDS)
        return state._replace(slots=beta), metrics

    return improver._replace(improve=improve)
