"""PPO of a language model with a critic: actor, critic, reward and reference models.

    L = E[−min(r Â, clip(r, 1 ± ε) Â)] + c_v E[value loss] − c_e E[H(π)]  over tokens
    rₜ = −β (log π_old(aₜ) − log π_ref(aₜ)), and the clipped score at the last token

A response that was cut is scored as it stands: nothing follows its score.
"""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxrl.families.headed import Headed
from jaxrl.families.language import (
    Text,
    Voice,
    accumulated,
    begun,
    by_parts,
    improved,
    prompts_first,
    prompts_last,
    read_in_parts,
    speaking,
    text_of,
)
from jaxrl.families.minibatch import Passes, Reported
from jaxrl.formulas.advantages import masked_gae
from jaxrl.formulas.divergences import k1, k3
from jaxrl.formulas.policy_losses import clipped_surrogate, not_clipped
from jaxrl.formulas.ratios import token_log_ratio
from jaxrl.formulas.reduce import sequence_sum, token_count, token_mean
from jaxrl.formulas.shaping import kl_reward
from jaxrl.formulas.value_losses import explained_variance
from jaxrl.optim.optimizer import Optimizer
from jaxrl.text import Answers
from jaxrl.types import Array, Learner, LearnerState, Metrics, PyTree, Scalar, once


class Price(NamedTuple):
    """Of leaving the reference."""

    coef: Scalar  # at the start
    adapted: Callable[[Array, Array, float], Array]  # coefficient, KL of a response, number of
    # responses -> the next coefficient


class Parts(NamedTuple):
    """The slots of a method."""

    voice: Voice
    critic: Headed
    price: Price
    gamma: Scalar
    lam: Scalar
    score_clip: Scalar  # bound of a response's reward
    whiten: Callable[[Array, Array], Array]  # advantages, mask -> advantages
    bounds: tuple[Scalar, Scalar]  # of the ratio
    value_loss: Callable[[Array, Array, Array], Array]  # value, old value, target
    value_coef: Scalar
    entropy_coef: Scalar
    optimizer: Optimizer
    passes: Passes
    num_microbatches: int = 1


class Batch(NamedTuple):
    """What is learnt from: [P, T, G]."""

    text: Text
    old_log_prob: Array
    old_value: Array
    advantage: Array
    target: Array


def rlhf_learner(parts: Parts) -> Learner:
    """A learner of responses by their tokens' values; its data are `Answers`."""

    def init(key: Array, params: PyTree) -> LearnerState:
        k_actor, k_critic = jax.random.split(key)
        actor = begun(k_actor, parts.voice.init, params)
        learnt = {"actor": actor, "critic": parts.critic.init(k_critic, actor)}
        # The reference is a copy, so that what is donated is donated once.
        reference, coef = jax.tree.map(jnp.copy, actor), jnp.asarray(parts.price.coef, jnp.float32)
        return LearnerState(learnt, parts.optimizer.init(learnt), jnp.int32(0), reference, coef)

    def update(key: Array, state: LearnerState, data: Answers) -> tuple[LearnerState, Metrics]:
        batch, kl = arranged(parts, state, data)
        learnt = objective(parts), parts.optimizer, batch, parts.passes
        new, metrics = improved(key, state, *learnt)
        explained = explained_variance(batch.old_value, batch.target, batch.text.mask)
        metrics |= once(kl=kl, kl_coef=state.slots, explained_variance=explained)
        coef = parts.price.adapted(state.slots, kl, float(data.reward.size))
        return new._replace(slots=coef), metrics

    return speaking(parts.voice, lambda state: state.params["actor"], init, update)


def arranged(parts: Parts, state: LearnerState, data: Answers) -> tuple[Batch, Array]:
    """Answers as a batch to learn from, and the mean KL of responses to the reference."""
    text = text_of(data.prompts, data.response)
    mask = data.response.mask & data.valid[None, :, None]
    old = jnp.where(mask, data.response.log_prob, 0.0)
    num_parts = parts.passes.num_minibatches * parts.num_microbatches
    ref = prompts_last(read_in_parts(parts.voice, state.target, text, num_parts))

    def valued(text: Text) -> Array:
        return prompts_first(parts.critic.value(state.params["critic"], text))

    value = jnp.asarray(prompts_last(by_parts(valued, text, num_parts)))
    value = jnp.where(mask, value, 0.0)
    reward = kl_reward(data.reward, old, ref, mask, state.slots, parts.score_clip)
    advantage = masked_gae(reward, value, mask, parts.gamma, parts.lam)
    target = jnp.where(mask, advantage + value, 0.0)
    advantage = parts.whiten(advantage, mask)
    learnt = prompts_first((mask, old, value, advantage, target))
    kl = sequence_sum(k1(token_log_ratio(old, ref, mask)), mask)
    return Batch(text._replace(mask=learnt[0]), *learnt[1:]), kl


NAMES = ("policy_loss", "value_loss", "entropy", "approx_kl", "clip_fraction")


def objective(parts: Parts) -> Reported:
    """The loss of a minibatch, and its diagnostics."""

    def count(params: PyTree, batch: Batch) -> Array:
        return token_count(prompts_last(batch.text.mask))

    return accumulated(NAMES, count, partial(part_loss, parts), parts.num_microbatches)


def part_loss(parts: Parts, params: PyTree, batch: Batch, count: Array) -> tuple[Array, Array]:
    """What some prompts add to the loss, and to the means of the diagnostics."""
    text, old, old_value, advantage, target = prompts_last(batch)
    mask = text.mask
    log_prob, entropy = parts.voice.read(params["actor"], batch.text)
    value = parts.critic.value(params["critic"], batch.text)
    log_ratio = token_log_ratio(log_prob, old, mask)
    fixed = jax.lax.stop_gradient(log_ratio)
    # Diagnostics take no part in the loss: no gradient is to be spent on them.
    rows = [
        clipped_surrogate(log_ratio, advantage, *parts.bounds),
        parts.value_loss(value, old_value, target),
        entropy,
        k3(-fixed),
        1 - not_clipped(fixed, advantage, *parts.bounds),
    ]
    means = jnp.stack([token_mean(x, mask, count) for x in rows])
    total = means[0] + parts.value_coef * means[1] - parts.entropy_coef * means[2]
    return total, jax.lax.stop_gradient(means)
