"""Intrinsic rewards: curiosity by prediction error in a feature space."""

import jax.numpy as jnp

from jaxrl import checks
from jaxrl.formulas.log_probs import selected_log_prob
from jaxrl.formulas.value_losses import squared_distance
from jaxrl.types import Array, Scalar


def icm_forward_loss(prediction: Array, feature: Array) -> Array:
    """ICM's forward model: predict the next state's features from state and action.

        L_F = ½ ‖φ̂(s′) − φ(s′)‖²

    Args:
      prediction, feature: φ̂(s′) and φ(s′), [..., F].
    Reference: Pathak et al. 2017, arXiv:1705.05363, eq. 5; note 004, question 9-3.
    """
    checks.sequence(prediction=prediction, feature=feature)
    return squared_distance(prediction, feature)


def icm_inverse_loss(logits: Array, action: Array) -> Array:
    """ICM's inverse model: features that tell which action led from one state to the next.

        L_I = −log p(a | φ(s), φ(s′))

    Args:
      logits: of p, [..., A].
      action: taken, integers [...].
    Reference: Pathak et al. 2017, arXiv:1705.05363, eq. 3; note 004, question 9-3.
    """
    return -selected_log_prob(logits, action)


def icm_reward(prediction: Array, feature: Array, scale: Scalar) -> Array:
    """ICM's reward: the harder a state was to predict, the more interesting it is.

        rⁱ = (η/2) ‖φ̂(s′) − φ(s′)‖²

    Args:
      scale: η.
    Reference: Pathak et al. 2017, arXiv:1705.05363, eq. 6; note 004, question 9-3.
    """
    checks.fits((), scale=scale)
    return scale * icm_forward_loss(prediction, feature)


def rnd_error(prediction: Array, feature: Array) -> Array:
    """Random network distillation: the reward, and the predictor's loss.

        meanᵢ (f̂(s′) − f(s′))²ᵢ

    Args:
      prediction: of the trained network, [..., F].
      feature: of the fixed random network, [..., F].
    Reference: Burda et al. 2018, arXiv:1810.12894.
    """
    checks.sequence(prediction=prediction, feature=feature)
    return jnp.square(prediction - feature).mean(-1)
