"""GRPO on environments: trajectories from one start state are compared with each other.

    L = E[−min(r Â, clip(r, 1 ± ε) Â) + β KL(π ‖ π_ref)],  Â = (R − mean R) / (σ_R + 10⁻⁶)

R is the return of a trajectory, whose mean and deviation are of the `group_size` trajectories from
the same start. There is no critic: a time limit ends the return, and nothing is added for what
would have come. The reference policy is the first one.
Reference: Shao et al. 2024, arXiv:2402.03300; note 001.
"""

import jax.numpy as jnp

from jaxrl.config import config
from jaxrl.families import settings
from jaxrl.families.estimate import grouped, over_steps, trajectory_returns
from jaxrl.families.minibatch import Passes, Reported
from jaxrl.families.objective import log_ratio_of, objective, sgd
from jaxrl.families.policy import (
    Batch,
    Experience,
    Improver,
    Parts,
    Prediction,
    forward,
    policy_learner,
)
from jaxrl.families.settings import PolicyConfig, Setting
from jaxrl.formulas.divergences import k3
from jaxrl.formulas.groups import group_relative
from jaxrl.formulas.policy_losses import clipped_surrogate
from jaxrl.formulas.ratios import token_log_ratio
from jaxrl.types import Array, Learner, LearnerState, Metrics, PyTree


@config
class Config(PolicyConfig):
    """GRPO on environments."""

    num_envs: int = 32
    num_steps: int = 500
    lr: float = 1e-3
    group_size: int = 8
    entropy_coef: float = 0.0
    clip_eps: float = 0.2
    clip_eps_high: float | None = None
    kl_coef: float | None = None
    num_epochs: int = 4
    num_minibatches: int = 4


def learner(config: Config, setting: Setting) -> Learner:
    """The learner of a configuration."""
    parts = settings.parts(config, setting, critic=None)
    passes = Passes(config.num_epochs, config.num_minibatches)
    high = config.clip_eps if config.clip_eps_high is None else config.clip_eps_high
    bounds = 1.0 - config.clip_eps, 1.0 + high

    def surrogate(new: Prediction, batch: Batch) -> Array:
        loss = clipped_surrogate(log_ratio_of(new, batch), batch.advantage, *bounds)
        if config.kl_coef is None or batch.reference is None:
            return loss
        reference = parts.distribution.log_prob(batch.reference, batch.action)
        return loss + config.kl_coef * k3(token_log_ratio(new.log_prob, reference, batch.mask))

    def reported(state: LearnerState) -> Reported:
        return objective(parts, surrogate, entropy_coef=config.entropy_coef, bounds=bounds)

    def estimate(state: LearnerState, x: Experience) -> tuple[Array, Array, PyTree]:
        returns = grouped(trajectory_returns(x), config.group_size)
        advantage = over_steps(group_relative(returns, ddof=0), x)
        return advantage, jnp.zeros_like(advantage), state.slots

    improver = sgd(reported, settings.optimizer(config, setting, passes.num_steps), passes)
    referring = config.kl_coef is not None
    if referring:
        improver = referred(parts, improver)
    return policy_learner(parts, estimate, improver, target=referring)


def referred(parts: Parts, improver: Improver) -> Improver:
    """Let the reference policy, the state's target, read the batch first."""

    def improve(key: Array, state: LearnerState, batch: Batch) -> tuple[LearnerState, Metrics]:
        reference, _ = forward(parts, state.target, batch)
        return improver.improve(key, state, batch._replace(reference=reference))

    return improver._replace(improve=improve)
