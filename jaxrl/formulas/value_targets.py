"""Targets of value learning, and the losses of actors that follow a critic.

Every one-step target is rₜ + γₜ v′ₜ (`td_target`) with its own value v′ₜ of the next state; n-step
and λ targets put the same v′ₜ into `n_step_return` and `lambda_return`. Compute targets outside of
the differentiated function. `mask` is 1 at legal actions.
"""

import jax
import jax.numpy as jnp

from jaxrl import checks
from jaxrl.formulas.advantages import retrace
from jaxrl.formulas.returns import lambda_return
from jaxrl.formulas.weightings import action_value
from jaxrl.numerics import expectation, legal, plogp
from jaxrl.types import Array, Scalar


def max_value(q: Array, mask: Array | None = None) -> Array:
    """Value of the greedy policy.

        v = maxₐ Q(s, a), and 0 where no action is legal (a terminal state)

    Reference: Watkins & Dayan 1992, doi:10.1007/BF00992698; note 004, question 3-2.
    """
    mask = checks.optional_flag(checks.sequence(q=q), mask=mask)
    return jnp.where(mask.any(-1), legal(q, mask).max(-1), 0.0)


def double_value(q: Array, selector: Array, mask: Array | None = None) -> Array:
    """Value of the action that another network prefers: no maximum over its own errors.

        v = Q(s, argmaxₐ Q_sel(s, a))

    Args:
      q: of the network that judges (the target network), [..., A].
      selector: Q_sel of the network that chooses (the online network), [..., A].
    Reference: van Hasselt et al. 2016, arXiv:1509.06461, eq. 4; note 004, question 4-7.
    """
    shape = checks.sequence(q=q, selector=selector)
    mask = checks.optional_flag(shape, mask=mask)
    return action_value(q, legal(selector, mask).argmax(-1))


def expected_value(q: Array, prob: Array) -> Array:
    """Value of a policy.

        v = Σₐ π(a | s) Q(s, a)

    Reference: van Seijen et al. 2009, doi:10.1109/ADPRL.2009.4927542.
    """
    checks.sequence(q=q, prob=prob)
    return expectation(prob, q)


def soft_value(q: Array, temperature: Scalar, mask: Array | None = None) -> Array:
    """Value of the softmax policy with its entropy.

        v = τ log Σₐ exp(Q(s, a) / τ), and 0 where no action is legal (a terminal state)

    Reference: Haarnoja et al. 2017, arXiv:1702.08165, eq. 5.
    """
    mask = checks.optional_flag(checks.sequence(q=q), mask=mask)
    checks.fits((), temperature=temperature)
    scaled = jnp.where(mask, q, 0.0) / temperature
    any_legal = mask.any(-1, keepdims=True)
    value = temperature * jax.nn.logsumexp(legal(scaled, mask | ~any_legal), -1)
    return jnp.where(any_legal[..., 0], value, 0.0)


def td_target(reward: Array, next_value: Array, discount: Scalar) -> Array:
    """One-step target.

        y = rₜ + γₜ v′ₜ

    Reference: Sutton & Barto 2018, eq. 6.2; note 004, question 3-5 (whose update lacks − Q(s, a)).
    """
    shape = checks.sequence(reward=reward, next_value=next_value)
    checks.fits(shape, discount=discount)
    return reward + discount * next_value


def q_learning_target(
    reward: Array, next_q: Array, discount: Scalar, mask: Array | None = None
) -> Array:
    """Q-learning (DQN).

        y = r + γ maxₐ Q(s′, a)

    Args:
      next_q: Q(s′, ·), [..., A].
    Reference: Mnih et al. 2015, doi:10.1038/nature14236; note 004, question 3-2.
    """
    checks.table(checks.sequence(reward=reward), next_q=next_q)
    return td_target(reward, max_value(next_q, mask), discount)


def sarsa_target(reward: Array, next_q: Array, next_action: Array, discount: Scalar) -> Array:
    """Sarsa: the value of the action that will be taken.

        y = r + γ Q(s′, a′)

    Reference: Rummery & Niranjan 1994, CUED/F-INFENG/TR 166; note 004, question 3-3.
    """
    shape = checks.sequence(reward=reward)
    checks.table(shape, next_q=next_q)
    checks.integer(shape, next_action=next_action)
    return td_target(reward, action_value(next_q, next_action), discount)


def expected_sarsa_target(reward: Array, next_q: Array, prob: Array, discount: Scalar) -> Array:
    """Expected Sarsa: Sarsa without the variance of the next action.

        y = r + γ Σₐ π(a | s′) Q(s′, a)

    Reference: van Seijen et al. 2009, doi:10.1109/ADPRL.2009.4927542.
    """
    checks.table(checks.sequence(reward=reward), next_q=next_q, prob=prob)
    return td_target(reward, expected_value(next_q, prob), discount)


def double_q_target(
    reward: Array, next_q: Array, selector: Array, discount: Scalar, mask: Array | None = None
) -> Array:
    """Double Q-learning.

        y = r + γ Q(s′, argmaxₐ Q_sel(s′, a))

    Args:
      next_q: of the target network, [..., A].
      selector: Q_sel(s′, ·) of the online network, [..., A].
    Reference: van Hasselt et al. 2016, arXiv:1509.06461, eq. 4; note 004, question 4-7.
    """
    checks.table(checks.sequence(reward=reward), next_q=next_q, selector=selector)
    return td_target(reward, double_value(next_q, selector, mask), discount)


def soft_q_target(
    reward: Array, next_q: Array, discount: Scalar, temperature: Scalar, mask: Array | None = None
) -> Array:
    """Soft Q-learning; tends to Q-learning as τ → 0.

        y = r + γ τ log Σₐ exp(Q(s′, a) / τ)

    Reference: Haarnoja et al. 2017, arXiv:1702.08165, theorem 3.
    """
    checks.table(checks.sequence(reward=reward), next_q=next_q)
    return td_target(reward, soft_value(next_q, temperature, mask), discount)


def munchausen_target(
    reward: Array,
    q: Array,
    action: Array,
    next_q: Array,
    discount: Scalar,
    temperature: Scalar,
    alpha: Scalar,
    clip: Scalar = -1.0,
) -> Array:
    """Munchausen Q-learning: soft Q-learning that also rewards the policy's own confidence.

        y = r + α clip(τ log π(a | s), l₀, 0) + γ τ log Σₐ exp(Q(s′, a) / τ),  π = softmax(Q / τ)

    The last term is Σₐ π(a | s′) (Q(s′, a) − τ log π(a | s′)).

    Args:
      q, next_q: of the target network at s and s′, [..., A].
      clip: l₀ < 0, which keeps the logarithm of a rare action finite.
    Reference: Vieillard et al. 2020, arXiv:2007.14430.
    """
    checks.table(checks.sequence(reward=reward), q=q, next_q=next_q)
    checks.fits((), alpha=alpha, clip=clip)
    log_policy = action_value(q, action) - soft_value(q, temperature)  # τ log π(a | s)
    bonus = alpha * jnp.clip(log_policy, clip, 0.0)
    return soft_q_target(reward, next_q, discount, temperature) + bonus


def peng_target(reward: Array, next_q: Array, discount: Scalar, done: Array, lam: Scalar) -> Array:
    """Peng's Q(λ): the λ-return over greedy values, never cut (PQN's target).

        Gₜ = rₜ + γₜ [(1 − λ) maxₐ Q(s′ₜ, a) + λ Gₜ₊₁]  within an episode

    Args:
      next_q: Q(s′ₜ, ·), before any reset, [T, ..., A].
    Reference: Peng & Williams 1996, doi:10.1007/BF00114731; Gallici et al. 2024, arXiv:2407.04811.
    """
    checks.table(checks.sequence(reward=reward), next_q=next_q)
    return lambda_return(reward, max_value(next_q), discount, done, lam)


def watkins_target(
    reward: Array,
    q: Array,
    action: Array,
    next_q: Array,
    discount: Scalar,
    done: Array,
    lam: Scalar,
) -> Array:
    """Watkins' Q(λ): the trace ends before the first action that is not greedy.

        `retrace` with cₜ = λ · 1[Q(sₜ, aₜ) = maxₐ Q(sₜ, a)]

    Args:
      q, next_q: Q(sₜ, ·) and Q(s′ₜ, ·), [T, ..., A].
    Reference: Watkins 1989; Sutton & Barto 2018, section 12.10.
    """
    shape = checks.sequence(reward=reward)
    checks.table(shape, q=q, next_q=next_q)
    checks.fits(shape, lam=lam)
    taken = action_value(q, action)
    trace = jnp.where(taken == max_value(q), lam, jnp.zeros_like(taken))
    return retrace(reward, taken, max_value(next_q), discount, done, trace)


def dueling(value: Array, advantage: Array, axis: int = -1) -> Array:
    """Dueling aggregation: a state value and advantages that average to nothing.

        Q(s, a) = V(s) + A(s, a) − meanₐ A(s, a)

    Args:
      value: V(s), [...].
      advantage: A(s, ·), [..., A].
      axis: that of A, if it is not the last.
    Reference: Wang et al. 2016, arXiv:1511.06581, eq. 9; note 004, question 4-6.
    """
    shape = checks.same_shape(value=value)
    checks.table(shape, axis, advantage=advantage)
    return jnp.expand_dims(value, axis) + advantage - advantage.mean(axis, keepdims=True)


def deterministic_policy_loss(action: Array, action_gradient: Array) -> Array:
    """Deterministic policy gradient: a loss whose gradient in θ is −∇_θ μ(s) ∇ₐ Q(s, a).

        ℓ = −Σᵢ aᵢ gᵢ,  a = μ_θ(s),  g = ∇ₐ Q(s, a) at that a, held fixed

    Args:
      action: μ_θ(s), [..., D].
      action_gradient: g, [..., D]; clip it here, where it is clipped at all.
    Returns: [...]; only its gradient has a meaning, which is that of −Q(s, μ_θ(s)).
    Reference: Silver et al. 2014, theorem 1; note 001, DPG.
    """
    checks.sequence(action=action, action_gradient=action_gradient)
    return -jnp.sum(action * action_gradient, -1)


def smoothed_action(
    action: Array, noise: Array, scale: Scalar, clip: Scalar, low: Scalar, high: Scalar
) -> Array:
    """TD3's target smoothing: the target action with clipped noise, inside the action's bounds.

        ã = clip(a + clip(σ ε, −c, c), a_low, a_high)

    Args:
      noise: ε, standard normal, the shape of `action`.
      low, high: bounds, numbers or arrays that fit `action`.
    Reference: Fujimoto et al. 2018, arXiv:1802.09477, eq. 14; the bounds are the action space's.
    """
    shape = checks.sequence(action=action, noise=noise)
    checks.fits(shape, scale=scale, clip=clip, low=low, high=high)
    return jnp.clip(action + jnp.clip(scale * noise, -clip, clip), low, high)


def min_value(values: Array) -> Array:
    """Clipped double Q: the least of several critics, against over-estimation.

        v = minₖ Qₖ(s, a)

    Args:
      values: critics on the first axis, [K, ...].
    Reference: Fujimoto et al. 2018, arXiv:1802.09477, eq. 10.
    """
    checks.sequence(values=values)
    # Not `min`: its gradient looks for the least value again, and is NaN where rounding hides it.
    lowest = jnp.argmin(values, 0)
    return jnp.take_along_axis(jnp.asarray(values), lowest[None], 0)[0]


def sac_target(
    reward: Array, next_value: Array, next_log_prob: Array, discount: Scalar, temperature: Scalar
) -> Array:
    """Soft actor-critic's target of its critics.

        y = r + γ (v′ − α log π(a′ | s′)),  v′ = minₖ Qₖ(s′, a′)

    Args:
      next_value: v′ at a′ ~ π(· | s′), [T, ...].
      temperature: α.
    Reference: Haarnoja et al. 2018, arXiv:1812.05905, eq. 5; note 001, SAC.
    """
    shape = checks.sequence(reward=reward, next_value=next_value, next_log_prob=next_log_prob)
    checks.fits(shape, temperature=temperature)
    return td_target(reward, next_value - temperature * next_log_prob, discount)


def sac_actor_loss(log_prob: Array, q: Array, temperature: Scalar) -> Array:
    """Soft actor-critic's loss of its actor, at a reparameterised action.

        ℓ = α log π(a | s) − Q(s, a),  a = f_θ(ε; s)

    Reference: Haarnoja et al. 2018, arXiv:1812.05905, eq. 9; note 001, SAC.
    """
    shape = checks.sequence(log_prob=log_prob, q=q)
    checks.fits(shape, temperature=temperature)
    return temperature * log_prob - q


def temperature_loss(log_temperature: Array, log_prob: Array, target_entropy: Scalar) -> Array:
    """Loss of SAC's temperature: up where the entropy is below its target, down where above.

        ℓ = −α (log π(a | s) + H*),  α = exp(log α)

    Args:
      log_temperature: log α, a scalar; pass log-probabilities from outside its gradient.
      target_entropy: H*, often −dim(a).
    Returns: [T, ...].
    Reference: Haarnoja et al. 2018, arXiv:1812.05905, eq. 18.
    """
    shape = checks.sequence(log_prob=log_prob)
    checks.fits(shape, log_temperature=log_temperature, target_entropy=target_entropy)
    return -jnp.exp(log_temperature) * (log_prob + target_entropy)


def discrete_soft_value(q: Array, logits: Array, temperature: Scalar) -> Array:
    """Soft value under a discrete policy: discrete SAC's v′, and the negative of its actor loss.

        v = Σₐ π(a | s) (Q(s, a) − α log π(a | s)),  π = softmax(logits)

    Args:
      q, logits: [..., A]; a logit of −∞ marks an illegal action.
    Reference: Christodoulou 2019, arXiv:1910.07207.
    """
    shape = checks.sequence(q=q, logits=logits)
    checks.fits(shape[:-1], temperature=temperature)
    log_prob = jax.nn.log_softmax(logits)
    prob = jnp.exp(log_prob)
    return expected_value(q, prob) - temperature * plogp(prob, log_prob).sum(-1)
