"""Learning from preferences: reward models, and policies without one.

Log-probabilities and scores are of whole responses: sums over tokens (`masked_sum(x, mask, 0)`)
or, where a method normalises by length, means (`masked_mean(x, mask, 0)`). `chosen` was preferred
to `rejected`. Losses are per pair, or per group of K on the last axis.
"""

import jax
import jax.numpy as jnp

from jaxrl import checks
from jaxrl.formulas.log_probs import selected_log_prob
from jaxrl.numerics import divide, widen
from jaxrl.types import Array, Scalar


def pairwise_reward_loss(
    chosen: Array, rejected: Array, margin: Scalar = 0.0, centre: Scalar = 0.0
) -> Array:
    """Reward model from pairs (Bradley-Terry), with a margin and a pull towards zero.

        ℓ = −log σ(s_w − s_l − m) + c (s_w + s_l)²

    Args:
      chosen, rejected: scores s_w and s_l, [...].
      margin: m, larger where the preference was clearer.
      centre: c, 0.01 in TRL, whose term it is: it fixes the constant that pairs leave open.
    Reference: Christiano et al. 2017, arXiv:1706.03741; arXiv:2307.09288, eq. 2 (margin).
    """
    shape = checks.same_shape(chosen=chosen, rejected=rejected)
    checks.fits(shape, margin=margin, centre=centre)
    fit = -jax.nn.log_sigmoid(chosen - rejected - margin)
    total = jnp.where(jnp.asarray(centre) == 0, 0.0, chosen + rejected)  # may overflow unused
    return fit + centre * jnp.square(total)


def all_pairs_loss(score: Array, label: Array) -> Array:
    """Reward model from a ranking of K, as all its pairs.

        ℓ = mean of −log σ(sᵢ − sⱼ) over all pairs with labelᵢ > labelⱼ

    Args:
      score: s, [..., K].
      label: higher is better, ties allowed, [..., K].
    Returns: [...], 0 where all labels are equal.
    Reference: Ouyang et al. 2022, arXiv:2203.02155, eq. 1.
    """
    checks.sequence(score=score, label=label)
    better = _better(label)
    loss = -jax.nn.log_sigmoid(_differences(score))
    return divide(
        jnp.where(better, loss, 0.0).sum((-2, -1)), better.sum((-2, -1), dtype=loss.dtype)
    )


def plackett_luce_loss(score: Array, label: Array) -> Array:
    """Reward model from a ranking of K, as choosing the best of what is left, again and again.

        ℓ = −Σₖ [s₍ₖ₎ − log Σ_{j≥k} exp s₍ⱼ₎],  (1), (2), ... from best to worst

    Args:
      score: s, [..., K].
      label: higher is better, [..., K]; equal labels count in the order in which they stand.
    Reference: Plackett 1975, doi:10.2307/2346567; Rafailov et al. 2023, arXiv:2305.18290, eq. 18.
    """
    checks.sequence(score=score, label=label)
    order = jnp.argsort(label, -1, descending=True)
    ranked = jnp.take_along_axis(widen(score), order, -1)
    rest = jax.lax.cumlogsumexp(ranked, ranked.ndim - 1, reverse=True)
    return jnp.sum(rest - ranked, -1)


def preference_margin(
    chosen: Array, rejected: Array, ref_chosen: Array, ref_rejected: Array
) -> Array:
    """How much more than its reference the policy prefers the chosen response.

        Δ = (log π(w) − log π_ref(w)) − (log π(l) − log π_ref(l))

    Args:
      chosen, rejected: log π of the responses, [...]; sums, or means for length-normalised DPO.
      ref_chosen, ref_rejected: the same of the reference.
    Reference: Rafailov et al. 2023, arXiv:2305.18290, eq. 7; note 004, section 4.3.
    """
    checks.same_shape(
        chosen=chosen, rejected=rejected, ref_chosen=ref_chosen, ref_rejected=ref_rejected
    )
    return (chosen - ref_chosen) - (rejected - ref_rejected)


def dpo_loss(margin: Array, beta: Scalar, smoothing: Scalar = 0.0) -> Array:
    """Direct preference optimisation; with smoothing, its conservative form (cDPO).

        ℓ = −(1 − ε) log σ(β Δ) − ε log σ(−β Δ)

    Args:
      margin: Δ of `preference_margin`, [...].
      smoothing: ε, the share of labels taken to be wrong.
    Reference: Rafailov et al. 2023, arXiv:2305.18290, eq. 7; Mitchell 2023 (cDPO); note 004, 4.3.
    """
    checks.fits(checks.same_shape(margin=margin), beta=beta, smoothing=smoothing)
    right, wrong = -jax.nn.log_sigmoid(beta * margin), -jax.nn.log_sigmoid(-beta * margin)
    return (1 - smoothing) * right + smoothing * wrong


def robust_dpo_loss(margin: Array, beta: Scalar, smoothing: Scalar) -> Array:
    """DPO unbiased under labels that are flipped with probability ε.

        ℓ = [−(1 − ε) log σ(β Δ) + ε log σ(−β Δ)] / (1 − 2ε),  ε < ½

    Reference: Ray Chowdhury et al. 2024, arXiv:2403.00409.
    """
    checks.fits(checks.same_shape(margin=margin), beta=beta, smoothing=smoothing)
    right, wrong = -jax.nn.log_sigmoid(beta * margin), -jax.nn.log_sigmoid(-beta * margin)
    return ((1 - smoothing) * right - smoothing * wrong) / (1 - 2 * smoothing)


def ipo_loss(margin: Array, beta: Scalar) -> Array:
    """Identity preference optimisation: a margin of 1/(2β), no more.

        ℓ = (Δ − 1 / (2β))²

    The paper's Δ is of sums; some implementations take means over tokens. Pass either.
    Reference: Azar et al. 2023, arXiv:2310.12036, eq. 17.
    """
    checks.fits(checks.same_shape(margin=margin), beta=beta)
    return jnp.square(margin - 1 / (2 * beta))


def hinge_loss(margin: Array, beta: Scalar) -> Array:
    """Hinge loss of preferences: RSO's, and SLiC-HF's with a reference.

        ℓ = max(0, 1 − β Δ)

    Reference: Liu et al. 2023, arXiv:2309.06657; Zhao et al. 2023, arXiv:2305.10425.
    """
    checks.fits(checks.same_shape(margin=margin), beta=beta)
    return jax.nn.relu(1 - beta * margin)


def simpo_loss(chosen: Array, rejected: Array, beta: Scalar, gamma: Scalar) -> Array:
    """SimPO: no reference, likelihood per token, and a margin.

        ℓ = −log σ(β (w̄ − l̄) − γ)

    Args:
      chosen, rejected: w̄ and l̄, mean log-probability per token, [...].
      gamma: γ, the margin (not a discount); in the paper β is 2 to 2.5, γ 0.5 to 1.5.
    Reference: Meng et al. 2024, arXiv:2405.14734, eq. 6.
    """
    shape = checks.same_shape(chosen=chosen, rejected=rejected)
    checks.fits(shape, beta=beta, gamma=gamma)
    return pairwise_reward_loss(beta * chosen, beta * rejected, gamma)


def orpo_loss(chosen: Array, rejected: Array, beta: Scalar) -> Array:
    """ORPO: supervised fine-tuning with a penalty on the odds of the rejected response.

        ℓ = −w̄ − β log σ(log odds(w̄) − log odds(l̄)),  log odds(x) = x − log(1 − eˣ)

    Args:
      chosen, rejected: w̄ and l̄, mean log-probability per token, [...].
      beta: β, called λ in the paper.
    Reference: Hong et al. 2024, arXiv:2403.07691, eq. 6-7.
    """
    checks.fits(checks.same_shape(chosen=chosen, rejected=rejected), beta=beta)
    return -chosen + beta * pairwise_reward_loss(_log_odds(chosen), _log_odds(rejected))


def kto_reference(log_ratio: Array) -> Array:
    """KTO's reference point: how far the policy has moved on responses to other prompts.

        z = sg[max(0, mean(log π − log π_ref))]

    Args:
      log_ratio: of mismatched pairs of prompt and response, [...].
    Returns: a scalar.
    Reference: Ethayarajh et al. 2024, arXiv:2402.01306.
    """
    checks.same_shape(log_ratio=log_ratio)
    return jax.lax.stop_gradient(jax.nn.relu(widen(log_ratio).mean()))


def kto_loss(
    log_ratio: Array,
    desirable: Array,
    reference: Scalar,
    beta: Scalar,
    desirable_weight: Scalar = 1.0,
    undesirable_weight: Scalar = 1.0,
) -> Array:
    """KTO: single responses, good or bad, valued as prospects.

        ℓ = λ_d (1 − σ(β (ρ − z))) if desirable, else λ_u (1 − σ(β (z − ρ)))

    Args:
      log_ratio: ρ = log π − log π_ref of the response, [...].
      desirable: 1 or 0, [...].
      reference: z of `kto_reference`.
    Reference: Ethayarajh et al. 2024, arXiv:2402.01306, eq. 8.
    """
    shape = checks.same_shape(log_ratio=log_ratio)
    desirable = checks.flag(shape, desirable=desirable)
    checks.fits(shape, reference=reference, beta=beta)
    checks.fits(shape, desirable_weight=desirable_weight, undesirable_weight=undesirable_weight)
    gain = beta * (log_ratio - reference)
    good = desirable_weight * jax.nn.sigmoid(-gain)
    return jnp.where(desirable, good, undesirable_weight * jax.nn.sigmoid(gain))


def rrhf_loss(score: Array, reward: Array) -> Array:
    """RRHF's ranking loss: every response at least as likely as any with less reward.

        ℓ = Σ_{Rᵢ < Rⱼ} max(0, pᵢ − pⱼ)

    The whole objective adds `best_response_loss`.

    Args:
      score: p = Σ log π / |y|^α, length-normalised log-probability, [..., K].
      reward: R, [..., K].
    Reference: Yuan et al. 2023, arXiv:2304.05302.
    """
    checks.sequence(score=score, reward=reward)
    violation = jax.nn.relu(-_differences(score))
    return jnp.where(_better(reward), violation, 0.0).sum((-2, -1))


def best_response_loss(log_prob: Array, reward: Array) -> Array:
    """Likelihood of the best of K responses: RRHF's second term, and best-of-N distillation.

        ℓ = −log π(y_b),  b = argmaxₖ Rₖ

    Args:
      log_prob: [..., K].
      reward: R, [..., K].
    Reference: Yuan et al. 2023, arXiv:2304.05302.
    """
    checks.sequence(log_prob=log_prob, reward=reward)
    best = jax.nn.one_hot(reward.argmax(-1), reward.shape[-1], dtype=bool)
    return -jnp.where(best, log_prob, 0.0).sum(-1)


def sft_loss(logits: Array, target: Array) -> Array:
    """Supervised fine-tuning: negative log-likelihood of each next token.

        ℓₜ = −log softmax(xₜ)[yₜ₊₁]

    Args:
      logits: x at the positions that predict, [..., V].
      target: the token that follows each, integers [...]; mask prompts at the reduction.
    Reference: Ouyang et al. 2022, arXiv:2203.02155.
    """
    checks.integer(checks.sequence(logits=logits)[:-1], target=target)
    return -selected_log_prob(logits, target)


def _differences(x: Array) -> Array:
    return x[..., :, None] - x[..., None, :]


def _better(label: Array) -> Array:
    return label[..., :, None] > label[..., None, :]


def _log_odds(log_prob: Array) -> Array:
    """x − log(1 − eˣ), whose argument is kept below 0, where the odds are finite."""
    x = jnp.minimum(log_prob, -jnp.finfo(log_prob.dtype).eps)
    return x - jnp.log(-jnp.expm1(x))
