"""Baselines: what to subtract from a return so that the policy gradient varies less.

A baseline that does not depend on the action leaves the expected gradient as it is. A state
baseline is V(sₜ) in `baselined_return`; here are the constant ones, and the one that depends on the
action together with the term that makes it unbiased again.
"""

import jax
import jax.numpy as jnp

from jaxrl import checks
from jaxrl.formulas.reduce import masked_mean
from jaxrl.formulas.weightings import action_value
from jaxrl.numerics import divide, expectation, widen
from jaxrl.types import Array, Scalar


def mean_baseline(returns: Array, mask: Array | None = None) -> Array:
    """Constant baseline: the mean return of the batch.

        b = E[G]

    Reference: Williams 1992, doi:10.1007/BF00992696; note 004, section 1.2.3.
    """
    shape = checks.sequence(returns=returns)
    return masked_mean(returns, checks.optional_flag(shape, mask=mask))


def moving_baseline(baseline: Array, returns: Array, decay: Scalar) -> Array:
    """Constant baseline kept from batch to batch as a moving average.

        b ← ρ b + (1 − ρ) mean(G)

    Args:
      baseline: b so far, a scalar.
      decay: ρ, 0 for the last batch's mean alone.
    Reference: Williams 1992, doi:10.1007/BF00992696 (reinforcement comparison).
    """
    checks.sequence(returns=returns)
    checks.fits((), baseline=baseline, decay=decay)
    mean = widen(returns).mean()
    baseline, decay = (jnp.asarray(x, mean.dtype) for x in (baseline, decay))
    return decay * baseline + (1 - decay) * mean


def optimal_baseline(returns: Array, squared_score: Array) -> Array:
    """The constant baseline of least variance: returns weighted by the squared score.

        b* = E[‖∇ log π‖² G] / E[‖∇ log π‖²]

    Args:
      squared_score: ‖∇_θ log π(aₜ | sₜ)‖², [T, ...].
    Returns: b*, a scalar; 0 where all scores vanish.
    Reference: Greensmith et al. 2004, JMLR 5.
    """
    checks.sequence(returns=returns, squared_score=squared_score)
    returns, squared_score = widen(returns), widen(squared_score)
    return divide((returns * squared_score).sum(), squared_score.sum())


def action_dependent_loss(logits: Array, action: Array, weight: Array, baseline: Array) -> Array:
    """Policy-gradient loss with an action-dependent baseline, kept unbiased by its expectation.

        ℓ = −[log π(a | s) (Ψ − b(s, a)) + Σₐ′ π(a′ | s) b(s, a′)]

    Without the second term the gradient is biased by ∇E_π[b(s, a)] (first note, question 2).

    Args:
      logits: of π(· | s), [..., A].
      weight: Ψ, [...], one of the six weightings.
      baseline: b(s, ·), [..., A], for example Q(s, ·).
    Reference: Gu et al. 2017, arXiv:1611.02247, section 3.1; Tucker et al. 2018, arXiv:1802.10031.
    """
    checks.sequence(logits=logits, baseline=baseline)
    taken = action_value(baseline, action)
    checks.same_shape(action=taken, weight=weight)
    log_prob = jax.nn.log_softmax(logits)
    beyond = weight - taken
    expected = expectation(jnp.exp(log_prob), baseline)
    return -(action_value(log_prob, action) * beyond + expected)
