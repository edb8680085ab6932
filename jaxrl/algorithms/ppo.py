"""PPO-clip: several passes over a rollout down a clipped surrogate.

    L = E[−min(r Â, clip(r, 1 ± ε) Â)] + c_v E[value loss] − c_e E[H(π)]

Reference: Schulman et al. 2017, arXiv:1707.06347.
"""

from typing import Literal

from jaxrl.config import config
from jaxrl.families import settings
from jaxrl.families.estimate import gae_estimate, white
from jaxrl.families.minibatch import Passes, Reported
from jaxrl.families.objective import log_ratio_of, objective, sgd, squared_value
from jaxrl.families.policy import Batch, Prediction, policy_learner
from jaxrl.families.settings import PolicyConfig, Setting
from jaxrl.formulas.policy_losses import clipped_surrogate, dual_clipped_surrogate
from jaxrl.formulas.value_losses import clipped_value_loss
from jaxrl.types import Array, Learner, LearnerState, Scalar


@config
class Config(PolicyConfig):
    """PPO-clip."""

    lam: float = 0.95
    clip_eps: float = 0.2
    clip_eps_high: float | None = None
    dual_clip: float | None = None
    anneal_clip: bool = False
    value_clip: float | None = None
    value_coef: float = 0.5
    entropy_coef: float = 0.01
    entropy_coef_end: float | None = None
    num_epochs: int = 4
    num_minibatches: int = 4
    whiten: Literal["batch", "minibatch", "none"] = "batch"
    target_kl: float | None = None


def learner(config: Config, setting: Setting) -> Learner:
    """The learner of a configuration."""
    parts = settings.parts(config, setting)
    passes = Passes(config.num_epochs, config.num_minibatches)

    def reported(state: LearnerState) -> Reported:
        done = settings.progress(state, setting)
        bounds = clip_bounds(config, done)

        def surrogate(new: Prediction, batch: Batch) -> Array:
            log_ratio = log_ratio_of(new, batch)
            if config.dual_clip is None:
                return clipped_surrogate(log_ratio, batch.advantage, *bounds)
            return dual_clipped_surrogate(log_ratio, batch.advantage, *bounds, config.dual_clip)

        def value_term(new: Prediction, batch: Batch) -> Array:
            if config.value_clip is None:
                return squared_value(new, batch)
            return clipped_value_loss(new.value, batch.value, batch.target, config.value_clip)

        end = config.entropy_coef if config.entropy_coef_end is None else config.entropy_coef_end
        loss = objective(
            parts,
            surrogate,
            value_term=value_term,
            value_coef=config.value_coef,
            entropy_coef=config.entropy_coef + done * (end - config.entropy_coef),
            bounds=bounds if config.dual_clip is None else (*bounds, config.dual_clip),
            prepare=whitened if config.whiten == "minibatch" else lambda batch: batch,
        )
        return loss if config.target_kl is None else stopping(loss, config.target_kl)

    optimizer = settings.optimizer(config, setting, passes.num_steps)
    estimate = gae_estimate(config.lam, whitened=config.whiten == "batch")
    return policy_learner(parts, estimate, sgd(reported, optimizer, passes))


def clip_bounds(config: Config, progress: Array) -> tuple[Scalar, Scalar]:
    """Least and greatest ratio: 1 − ε and 1 + ε, which may fall to nothing over training."""
    left = 1.0 - progress if config.anneal_clip else 1.0
    high = config.clip_eps if config.clip_eps_high is None else config.clip_eps_high
    return 1.0 - left * config.clip_eps, 1.0 + left * high


def whitened(batch: Batch) -> Batch:
    """A minibatch with advantages of mean 0 and deviation 1."""
    return batch._replace(advantage=white(batch.advantage, batch.mask))


def stopping(reported: Reported, target_kl: float) -> Reported:
    """Skip what follows once the policy has moved further than `target_kl`."""
    where = reported.names.index("approx_kl")
    return reported._replace(stop=lambda numbers: numbers[where] > target_kl)
