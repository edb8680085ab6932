"""Imitation: cloning an expert, and learning the reward that explains one.

A discriminator's `logit` is x with D = σ(x), high where it takes a step for the expert's.
"""

import jax
import jax.numpy as jnp

from jaxrl import checks
from jaxrl.formulas.log_probs import selected_log_prob
from jaxrl.formulas.value_losses import squared_distance
from jaxrl.types import Array


def cloning_loss(logits: Array, action: Array) -> Array:
    """Behaviour cloning of discrete actions (and DAgger's loss on relabelled states).

        ℓ = −log π(a* | s)

    Args:
      logits: of π(· | s), [..., A].
      action: the expert's, integers [...].
    Reference: Pomerleau 1991, doi:10.1162/neco.1991.3.1.88; Ross et al. 2011, arXiv:1011.0686.
    """
    return -selected_log_prob(logits, action)


def squared_cloning_loss(action: Array, expert_action: Array) -> Array:
    """Behaviour cloning of continuous actions by a deterministic policy.

        ℓ = ½ ‖a − a*‖²

    Args:
      action, expert_action: [..., D].
    Reference: Pomerleau 1991, doi:10.1162/neco.1991.3.1.88.
    """
    checks.sequence(action=action, expert_action=expert_action)
    return squared_distance(action, expert_action)


def discriminator_loss(logit: Array, expert: Array) -> Array:
    """GAIL's discriminator: tell the expert's steps from the policy's.

        ℓ = −log D if expert, else −log(1 − D),  D = σ(x)

    Args:
      logit: x, [...].
      expert: 1 or 0, [...].
    Reference: Ho & Ermon 2016, arXiv:1606.03476, eq. 17 (whose D is 1 − D); note 004, 10-4.
    """
    expert = checks.flag(checks.same_shape(logit=logit), expert=expert)
    return -jax.nn.log_sigmoid(jnp.where(expert, logit, -logit))


def gail_reward(logit: Array) -> Array:
    """GAIL's reward: never negative, so that it also rewards staying alive.

        r = −log(1 − D) = log(1 + eˣ)

    Reference: Ho & Ermon 2016, arXiv:1606.03476, algorithm 1.
    """
    checks.same_shape(logit=logit)
    return jax.nn.softplus(logit)


def airl_reward(logit: Array) -> Array:
    """AIRL's reward: of either sign, recovers the expert's reward up to shaping.

        r = log D − log(1 − D) = x

    Reference: Fu et al. 2018, arXiv:1710.11248.
    """
    checks.same_shape(logit=logit)
    return logit


def saturating_reward(logit: Array) -> Array:
    """The reward that is never positive, so that it also rewards ending early.

        r = log D = −log(1 + e⁻ˣ)

    Reference: Kostrikov et al. 2019, arXiv:1809.02925, section 4.1.
    """
    checks.same_shape(logit=logit)
    return jax.nn.log_sigmoid(logit)
