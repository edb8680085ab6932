"""What fills the slots of a group learner: advantages, reductions, corrections."""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax.numpy as jnp

from jaxrl.formulas import groups, ratios
from jaxrl.formulas.advantages import whiten
from jaxrl.formulas.reduce import (
    fixed_length,
    only_token_mean,
    sequence_count,
    sequence_mean,
    sequence_sum,
    token_count,
    token_mean,
)
from jaxrl.formulas.returns import discounted_return
from jaxrl.types import Array, PyTree, Scalar


class Judged(NamedTuple):
    """Groups of responses and their rewards."""

    reward: Array  # of each token, [T, P, G]
    mask: Array  # which tokens are learnt from, [T, P, G]
    greedy_reward: Array | None  # [P, 1]
    index: Array  # which of the task's prompts each one is, [P]

    @property
    def total(self) -> Array:
        """The reward of each response, [P, G]."""
        return self.reward.sum(0)


Advantage = Callable[
    [PyTree, Judged], tuple[Array, PyTree]
]  # slots, judged -> [T or 1, P, G], slots
Ratio = Callable[[Array, Array, Array], Array]  # log_prob, old_log_prob, mask [T, B] -> [T, B]
Bounds = Callable[[Array], tuple[Scalar, Scalar]]  # old_log_prob -> least and greatest ratio
Surrogate = Callable[[Array, Array, Array, tuple[Scalar, Scalar]], Array]  # log_prob, log_ratio,
# advantage, bounds -> loss of each token


class Reduction(NamedTuple):
    """A reduction whose parts add up, given what the whole is divided by."""

    reduce: Callable[[Array, Array, Array], Array]  # loss, mask, denominator
    count: Callable[[Array], Array]  # mask -> denominator


def of_total(advantage: Callable[[Array], Array]) -> Advantage:
    """An advantage that is one number for each response."""
    return lambda slots, judged: (advantage(judged.total)[None], slots)


def relative(ddof: int) -> Advantage:
    """GRPO's."""
    return of_total(partial(groups.group_relative, ddof=ddof))


def against_greedy(slots: PyTree, judged: Judged) -> tuple[Array, PyTree]:
    """ReMax's."""
    assert judged.greedy_reward is not None
    return groups.greedy_advantage(judged.total, judged.greedy_reward)[None], slots


def length_weighted(slots: PyTree, judged: Judged) -> tuple[Array, PyTree]:
    """OPO's."""
    length = judged.mask.sum(0, dtype=jnp.float32)
    return groups.length_weighted_advantage(judged.total, length)[None], slots


def smoothed(slots: groups.SmoothedState, judged: Judged) -> tuple[Array, PyTree]:
    """DCPO's; the slots remember each prompt."""
    advantage, slots = groups.smoothed_advantage(slots, judged.index, judged.total)
    return advantage[None], slots


def whitened_return(slots: PyTree, judged: Judged) -> tuple[Array, PyTree]:
    """REINFORCE++'s."""
    return groups.reinforce_plus_plus(judged.reward, judged.mask), slots


def whitened_centred(slots: PyTree, judged: Judged) -> tuple[Array, PyTree]:
    """That of REINFORCE++ with a baseline."""
    centred = jnp.broadcast_to(groups.group_centred(judged.total)[None], judged.reward.shape)
    return whiten(centred, judged.mask), slots


def stepwise(ddof: int) -> Advantage:
    """GRPO's for rewards of steps, each of which is a token: Âₜ is the sum of those to come.

        r̃ⱼ = (rⱼ − mean r) / std r over all steps of a group,  Âₜ = Σ_{j ≥ t} r̃ⱼ

    Reference: Shao et al. 2024, arXiv:2402.03300, section 4.1.3.
    """

    def advantage(slots: PyTree, judged: Judged) -> tuple[Array, PyTree]:
        shape, num = judged.reward.shape, judged.reward.shape[1]
        prompt = jnp.broadcast_to(jnp.arange(num, dtype=jnp.int32)[None, :, None], shape)
        group = jnp.where(judged.mask, prompt, num).ravel()  # what is masked is in no group
        compared = groups.group_relative(judged.reward.ravel(), group, num, ddof=ddof)
        return discounted_return(compared.reshape(shape), 1.0), slots

    return advantage


def reductions(length: int, group_size: int) -> dict[str, Reduction]:
    """Every reduction by its name; `length` is the longest response."""
    return {
        "token_mean": Reduction(token_mean, token_count),
        "sequence_mean": Reduction(sequence_mean, sequence_count),
        "sequence_sum": Reduction(sequence_sum, sequence_count),
        "fixed_length": Reduction(
            lambda x, mask, count: fixed_length(x, mask, float(length), count), sequence_count
        ),
        # a sum over the responses of each prompt, and the mean over prompts
        "only_token_mean": Reduction(
            only_token_mean, lambda mask: sequence_count(mask) / group_size
        ),
    }


def correction(kind: str, low: Scalar, high: Scalar) -> Ratio:
    """The weight that makes up for a sampler with another policy, by its name."""

    def token(log_prob: Array, behaviour: Array, mask: Array) -> Array:
        return ratios.truncated_weight(ratios.token_log_ratio(log_prob, behaviour, mask), high)

    def sequence(log_prob: Array, behaviour: Array, mask: Array) -> Array:
        return ratios.truncated_weight(ratios.total_log_ratio(log_prob, behaviour, mask), high)

    def masked(log_prob: Array, behaviour: Array, mask: Array) -> Array:
        return ratios.masked_weight(ratios.token_log_ratio(log_prob, behaviour, mask), low, high)

    return {"token": token, "sequence": sequence, "masked": masked}[kind]
