"""The family of learners from comparisons of responses: policies, and reward models.

    L = mean over prompts of ℓ(s₁, …, s_K; R₁, …, R_K)

A method's score s is a policy's log-probability of a response, or a reward model's number. Of
responses to one prompt whose rewards are all equal nothing is learnt.
"""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxrl.families.language import Text, Voice, accumulated, by_parts, improved, speaking, text_of
from jaxrl.families.minibatch import Passes, Reported
from jaxrl.formulas.preference import kto_reference
from jaxrl.formulas.reduce import masked_mean, masked_sum
from jaxrl.networks.generation import pick
from jaxrl.numerics import divide
from jaxrl.optim.optimizer import Optimizer
from jaxrl.text import Answers, unequal
from jaxrl.types import Array, Average, Learner, LearnerState, Metrics, PyTree


class Said(NamedTuple):
    """Responses to compare, [P, K]; of two the better one comes first."""

    score: Array  # log π, or what a reward model says
    ref_score: Array | None  # that of the reference
    length: Array  # in tokens
    reward: Array  # R
    drift: Array | None  # KTO's reference point, a scalar


Loss = Callable[[Said], Array]  # -> of each prompt, [P]


class Policies(NamedTuple):
    """Who speaks, and what is learnt."""

    init: Callable[[Array, PyTree], tuple[PyTree, PyTree]]  # key, params of a language model or
    # None -> what is learnt, and what stays as it is
    speaker: Callable[[LearnerState], PyTree]  # the parameters of the policy


class Parts(NamedTuple):
    """The slots of a method."""

    voice: Voice
    policies: Policies
    score: Callable[[PyTree, Text], Array]  # params, text -> [P, K]
    loss: Loss
    implied: Callable[[Said], Array]  # the reward that the scores stand for, [P, K]
    optimizer: Optimizer
    passes: Passes
    num_microbatches: int = 1
    reference: bool = False  # whether scores are compared with those of the start
    pairs: bool = True  # whether the best and the worst alone are compared
    drifting: bool = False  # whether the loss needs KTO's reference point


class Batch(NamedTuple):
    """What is learnt from: [P, ...]."""

    text: Text
    reward: Array
    valid: Array
    ref_score: Array | None
    elsewhere: Text | None  # each response with the prompt of another
    ref_elsewhere: Array | None


def preference_learner(parts: Parts) -> Learner:
    """A learner from comparisons; its data are `Answers`."""

    def init(key: Array, params: PyTree) -> LearnerState:
        learnt, target = parts.policies.init(key, params)
        return LearnerState(learnt, parts.optimizer.init(learnt), jnp.int32(0), target)

    def update(key: Array, state: LearnerState, data: Answers) -> tuple[LearnerState, Metrics]:
        batch = arranged(parts, state, data)
        learnt = objective(parts), parts.optimizer, batch, parts.passes
        state, metrics = improved(key, state, *learnt)
        count = metrics.pop("compared").total  # some minibatches may have less to compare
        metrics |= {name: Average(metrics[name].total, count) for name in NAMES}
        num = batch.valid.sum(dtype=jnp.float32), jnp.float32(len(batch.valid))
        metrics["compared"] = Average(*num)
        return state, metrics

    return speaking(parts.voice, parts.policies.speaker, init, update)


def likelihood(voice: Voice, params: PyTree, text: Text) -> Array:
    """log π of whole responses, [P, K]."""
    log_prob, _ = voice.read(params, text)
    return masked_sum(log_prob, text.mask.swapaxes(0, 1), 0)


def best_and_worst(reward: Array) -> Array:
    """Which responses these are, [P, 2]."""
    return jnp.stack([reward.argmax(-1), reward.argmin(-1)], -1)


def arranged(parts: Parts, state: LearnerState, data: Answers) -> Batch:
    """Answers as a batch to learn from."""
    valid, said, reward = data.valid & unequal(data.reward), data.response, data.reward
    if parts.pairs:
        order = best_and_worst(reward)
        said, reward = jax.tree.map(lambda x: pick(x, order), (said, reward))
    text = text_of(data.prompts, said)
    text = text._replace(mask=text.mask & valid[:, None, None])
    reward = jnp.where(valid[:, None], reward, 0.0)
    num_parts = parts.passes.num_minibatches * parts.num_microbatches

    def reference(text: Text) -> Array:
        return by_parts(partial(parts.score, state.target), text, num_parts)

    ref_score = reference(text) if parts.reference else None
    if not parts.drifting:
        return Batch(text, reward, valid, ref_score, None, None)
    token, mask = (jnp.roll(x, 1, 0) for x in (text.token, text.mask))
    elsewhere = text._replace(token=token, mask=mask & valid[:, None, None])
    return Batch(text, reward, valid, ref_score, elsewhere, reference(elsewhere))


NAMES = ("loss", "rewards_chosen", "rewards_rejected", "rewards_margin", "rewards_accuracy")


def objective(parts: Parts) -> Reported:
    """The loss of a minibatch, and what is known of the rewards that its scores stand for."""

    def whole(params: PyTree, batch: Batch) -> tuple[Array, Array | None]:
        count = batch.valid.sum(dtype=jnp.float32)
        return count, drift(parts, params, batch) if parts.drifting else None

    return accumulated(
        (*NAMES, "compared"), whole, partial(part_loss, parts), parts.num_microbatches
    )


def drift(parts: Parts, params: PyTree, batch: Batch) -> Array:
    """How far the policy of now has moved on responses to other prompts: KTO's z."""
    assert batch.elsewhere is not None and batch.ref_elsewhere is not None
    params = jax.lax.stop_gradient(params)
    score = by_parts(partial(parts.score, params), batch.elsewhere, parts.num_microbatches)
    log_ratio = masked_mean(score - batch.ref_elsewhere, batch.elsewhere.mask.any(1))
    return kto_reference(log_ratio)


def part_loss(
    parts: Parts, params: PyTree, batch: Batch, known: tuple[Array, Array | None]
) -> tuple[Array, Array]:
    """What some prompts add to the loss, and to the sums of the diagnostics."""
    count, drifted = known
    length = batch.text.mask.sum(1, dtype=jnp.float32)
    score = parts.score(params, batch.text)
    said = Said(score, batch.ref_score, length, batch.reward, drifted)
    implied = jnp.take_along_axis(parts.implied(said), best_and_worst(batch.reward), 1)
    chosen, rejected = implied[:, 0], implied[:, 1]
    right = (chosen > rejected).astype(jnp.float32)
    rows = [parts.loss(said), chosen, rejected, chosen - rejected, right]
    sums = [masked_sum(x, batch.valid) for x in (*rows, jnp.ones_like(right))]
    # Diagnostics take no part in the loss: no gradient is to be spent on them.
    return divide(sums[0], count), jax.lax.stop_gradient(jnp.stack(sums))
