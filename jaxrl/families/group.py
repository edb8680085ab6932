"""The family of critic-free learners of language: a method is a record of slots.

    L = reduce(w ℓ(r, Â, bounds) + β KL(π ‖ π_ref)) − c H(π)

with Â from comparing the responses to one prompt, r a ratio of tokens or of sequences to the policy
before the update, and w a weight that makes up for a sampler whose policy was older still.
"""

import math
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxrl.families.group_slots import Advantage, Bounds, Judged, Ratio, Reduction, Surrogate
from jaxrl.families.language import (
    Text,
    Voice,
    accumulated,
    begun,
    improved,
    prompts_first,
    prompts_last,
    read_in_parts,
    speaking,
    text_of,
)
from jaxrl.families.minibatch import Passes, Reported
from jaxrl.formulas.divergences import k3
from jaxrl.formulas.policy_losses import not_clipped
from jaxrl.formulas.ratios import off_policy_mask, token_log_ratio
from jaxrl.formulas.reduce import masked_sum, token_count, token_mean
from jaxrl.formulas.shaping import kl_reward
from jaxrl.optim.optimizer import Optimizer
from jaxrl.text import Answers, lengths
from jaxrl.types import Array, Average, Learner, LearnerState, Metrics, PyTree, Scalar


class Penalty(NamedTuple):
    """A price on the distance from a reference policy."""

    coef: Scalar
    divergence: Callable[[Array], Array] | None  # of the log ratio; None: taken from the reward
    period: int | None = None  # updates between two copies to the reference; None keeps the first


class Parts(NamedTuple):
    """The slots of a method."""

    voice: Voice
    advantage: Advantage
    ratio: Ratio
    bounds: Bounds
    surrogate: Surrogate
    reduction: Reduction
    optimizer: Optimizer
    passes: Passes
    ceiling: Scalar | None = math.inf  # of the ratio where an answer was bad; None: the upper bound
    num_microbatches: int = 1
    penalty: Penalty | None = None
    correction: Ratio | None = None
    drop_kl: float | None = None  # sequences that are bad and farther than this are left out
    entropy_coef: Scalar = 0.0
    bonus: Callable[[Array], Array] | None = None  # of the length, to the reward of the last token
    learn_cut: bool = True  # whether responses that came to no end are learnt from
    slots: PyTree = ()  # what the advantage remembers at first


class Batch(NamedTuple):
    """What is learnt from: [P, T, G]."""

    text: Text
    old_log_prob: Array
    advantage: Array
    weight: Array
    ref_log_prob: Array | None
    said_log_prob: Array | None  # of the policy that spoke, where it matters how far that is


def group_learner(parts: Parts) -> Learner:
    """A learner of responses in groups; its data are `Answers`."""

    def init(key: Array, params: PyTree) -> LearnerState:
        params = begun(key, parts.voice.init, params)
        # The reference is a copy, so that what is donated is donated once.
        target = () if parts.penalty is None else jax.tree.map(jnp.copy, params)
        opt_state = parts.optimizer.init(params)
        return LearnerState(params, opt_state, jnp.int32(0), target, parts.slots)

    def update(key: Array, state: LearnerState, data: Answers) -> tuple[LearnerState, Metrics]:
        state = renewed(parts, state)
        batch, slots = arranged(parts, state, data)
        learnt = objective(parts), parts.optimizer, batch, parts.passes
        state, metrics = improved(key, state, *learnt)
        mask = batch.text.mask
        useful = ((batch.advantage != 0) & mask).any(1).sum(dtype=jnp.float32)
        metrics["response_utilisation"] = Average(useful, mask.any(1).sum(dtype=jnp.float32))
        if parts.correction is not None:
            tokens = masked_sum(batch.weight, mask), token_count(mask)
            metrics["correction_weight"] = Average(*tokens)
        return state._replace(slots=slots), metrics

    return speaking(parts.voice, lambda state: state.params, init, update)


def renewed(parts: Parts, state: LearnerState) -> LearnerState:
    """The state with a reference that is the policy of now, where its time has come."""
    if parts.penalty is None or parts.penalty.period is None:
        return state
    due = state.num_updates % parts.penalty.period == 0
    copy = jax.tree.map(lambda new, old: jnp.where(due, new, old), state.params, state.target)
    return state._replace(target=copy)


def arranged(parts: Parts, state: LearnerState, data: Answers) -> tuple[Batch, PyTree]:
    """Answers as a batch to learn from, and what the advantage remembers of them."""
    response = data.response
    text = text_of(data.prompts, response)
    mask = response.mask & data.valid[None, :, None]
    if not parts.learn_cut:
        mask &= response.ended[None]
    behaviour = jnp.where(mask, response.log_prob, 0.0)
    num_parts = parts.passes.num_minibatches * parts.num_microbatches
    ref_log_prob, old, weight = None, behaviour, jnp.ones_like(behaviour)
    said = None if parts.drop_kl is None else behaviour
    if parts.penalty is not None:
        ref_log_prob = prompts_last(read_in_parts(parts.voice, state.target, text, num_parts))
    if parts.correction is not None:
        old = prompts_last(read_in_parts(parts.voice, state.params, text, num_parts))
        weight = parts.correction(old, behaviour, mask)
    charged = response.log_prob if parts.correction is None else old  # for leaving the reference
    reward = rewarded(parts, data, charged, ref_log_prob)
    judged = Judged(reward, mask, greedily_rewarded(parts, data), data.prompts.index)
    advantage, slots = parts.advantage(state.slots, judged)
    advantage = jnp.where(mask, advantage, 0.0)
    learnt = prompts_first((mask, old, advantage, weight, ref_log_prob, said))
    return Batch(text._replace(mask=learnt[0]), *learnt[1:]), slots


def rewarded(parts: Parts, data: Answers, log_prob: Array, ref_log_prob: Array | None) -> Array:
    """The rewards of tokens with what the method adds to them, [T, P, G].

    What a response is worth stands at its last token, unless its steps are what is judged.

    Args:
      log_prob: of the policy whose distance from the reference has a price.
    """
    mask, penalty = data.response.mask, parts.penalty
    score = data.reward if data.step_reward is None else jnp.zeros_like(data.reward)
    score += lengthened(parts, lengths(data.response))
    said = ref = jnp.zeros(mask.shape)
    coef = 0.0
    if penalty is not None and penalty.divergence is None and ref_log_prob is not None:
        said, ref, coef = log_prob, ref_log_prob, penalty.coef
    reward = kl_reward(score, said, ref, mask, coef)
    return reward if data.step_reward is None else reward + data.step_reward


def greedily_rewarded(parts: Parts, data: Answers) -> Array | None:
    """What greedy responses are worth, by the same rule for their length, [P, 1]."""
    if data.greedy_reward is None or data.greedy_length is None:
        return None
    return data.greedy_reward + lengthened(parts, data.greedy_length)


def lengthened(parts: Parts, length: Array) -> Array:
    """What responses get for their length."""
    return jnp.zeros(length.shape) if parts.bonus is None else parts.bonus(length)


NUMBERS = ("policy_loss", "entropy", "approx_kl", "clip_fraction", "clip_low", "clip_high")


def objective(parts: Parts) -> Reported:
    """The loss of a minibatch, whose parts divide by what the whole of it has."""
    names = NUMBERS + ("kl",) * (parts.penalty is not None)

    def counts(params: PyTree, batch: Batch) -> tuple[Array, Array]:
        mask = prompts_last(batch.text.mask)
        return parts.reduction.count(mask), token_count(mask)

    return accumulated(names, counts, partial(part_loss, parts), parts.num_microbatches)


def part_loss(
    parts: Parts, params: PyTree, batch: Batch, counts: tuple[Array, Array]
) -> tuple[Array, Array]:
    """What some rows add to the loss, and to the means of the diagnostics."""
    text, old, advantage, weight, ref_log_prob, said = prompts_last(batch)
    mask = text.mask
    log_prob, entropy = parts.voice.read(params, batch.text)
    log_ratio = parts.ratio(log_prob, old, mask)
    bounds = parts.bounds(old)
    surrogate = weight * parts.surrogate(log_prob, log_ratio, advantage, bounds)
    if parts.drop_kl is not None and said is not None:
        drift = token_log_ratio(log_prob, said, mask)
        surrogate *= off_policy_mask(advantage, drift, mask, parts.drop_kl)
    ceiling = bounds[1] if parts.ceiling is None else parts.ceiling
    clipped = 1 - not_clipped(log_ratio, advantage, *bounds, ceiling)
    numbers = [surrogate, entropy, k3(-token_log_ratio(log_prob, old, mask))]
    low, high = (jnp.where(sign, clipped, 0.0) for sign in (advantage < 0, advantage > 0))
    numbers += [low + high, low, high]
    each = surrogate - parts.entropy_coef * entropy
    if parts.penalty is not None and ref_log_prob is not None:
        apart = token_log_ratio(log_prob, ref_log_prob, mask)
        numbers.append(k3(apart))
        if parts.penalty.divergence is not None:
            each += parts.penalty.coef * parts.penalty.divergence(apart)
    total = parts.reduction.reduce(each, mask, counts[0])
    # Diagnostics take no part in the loss: no gradient is to be spent on them.
    means = [token_mean(jax.lax.stop_gradient(x), mask, counts[1]) for x in numbers]
    return total, jnp.stack(means)
