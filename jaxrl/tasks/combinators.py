"""Combinators, Task -> Task, and rewards to combine: length, form, a trained model."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from jaxrl import checks
from jaxrl.formulas import soft_overlong_penalty
from jaxrl.tasks.questions import Reward
from jaxrl.text import Prompts, Response, Task, end, last, lengths, take
from jaxrl.types import Array, PyTree, Scalar


def overlong(task: Task, cache: Scalar, max_length: Scalar | None = None) -> Task:
    """DAPO's soft punishment on top of a task's reward, and its judge's if it has one; of the
    steps, the last one bears it.

    Args:
      cache: the last tokens, over which the punishment grows.
      max_length: where it is −1; by default the longest response.
    """
    longest = task.num_tokens if max_length is None else max_length
    steps = task.step_reward

    def penalty(response: Response) -> Array:
        return soft_overlong_penalty(lengths(response), longest, cache)

    def punished(reward: Reward) -> Reward:
        return lambda prompts, response: reward(prompts, response) + penalty(response)

    def step_reward(prompts: Prompts, response: Response) -> Array:
        paid = jnp.where(last(response), penalty(response)[None], 0.0)
        return paid if steps is None else steps(prompts, response) + paid

    return task._replace(
        reward=punished(task.reward),
        step_reward=steps and step_reward,
        judge=task.judge and punished(task.judge),
    )


def weighted(task: Task, rewards: Mapping[str, tuple[Reward, Scalar]]) -> Task:
    """A task whose reward is a weighted sum of others, which may have its own among them.

        R = Σᵢ wᵢ Rᵢ

    There is no reward of steps any more, and no judge.

    Args:
      rewards: by name, a function of prompts and response, -> [P, G], and its weight.
    """
    if not rewards:
        raise ValueError("rewards must be one at least, not none")

    def reward(prompts: Prompts, response: Response) -> Array:
        total = jnp.zeros(response.ended.shape, jnp.float32)
        for name, (part, weight) in rewards.items():
            total += weight * fitting(name, part(prompts, response), response)
        return total

    return task._replace(reward=reward, step_reward=None, judge=None)


def fitting(name: str, reward: Array, response: Response) -> Array:
    """A reward, if it is one number for each response."""
    if checks.same_shape(**{name: reward}) != response.ended.shape:
        raise ValueError(
            f"{name} must give one reward for each response, {response.ended.shape}, not the "
            f"shape {reward.shape}"
        )
    return reward


def noisy(task: Task, share: Scalar, seed: int = 0) -> Task:
    """A task of which a share of the demonstrations is taken from other prompts.

    So a model that has learnt them is right where it should, and wrong in about that share of its
    samples: a start from which there is something to gain.

    Args:
      share: of the demonstrations, from 0 to 1; which ones is decided by their index.
    """
    key = jax.random.key(seed)

    def demonstration(prompts: Prompts) -> Response:
        keys = jax.vmap(jax.random.fold_in, (None, 0))(key, prompts.index)
        whether, which = jnp.moveaxis(jax.vmap(jax.random.split)(keys), 1, 0)
        others = jax.vmap(lambda k: jax.random.randint(k, (), 0, task.train.token.shape[1]))(which)
        wrong = jax.vmap(lambda k: jax.random.uniform(k) < share)(whether)
        right, other = task.demonstration(prompts), task.demonstration(take(task.train, others))
        return jax.tree.map(lambda x, y: jnp.where(_last_axes(wrong, x), y, x), right, other)

    return task._replace(demonstration=demonstration)


def ended(prompts: Prompts, response: Response) -> Array:
    """1 for a response that came to its end, 0 for one that was cut."""
    del prompts
    return response.ended.astype(jnp.float32)


def written_with(tokens: Sequence[int]) -> Reward:
    """1 for a response of these tokens alone that came to its end: a reward of form."""
    allowed = jnp.asarray(sorted(tokens), jnp.int32)

    def reward(prompts: Prompts, response: Response) -> Array:
        del prompts
        said = response.mask & ~end(response)
        known = (response.token[..., None] == allowed[None, None, None]).any(-1)
        return ((known | ~said).all(0) & response.ended).astype(jnp.float32)

    return reward


def learned(score: Callable[[PyTree, Prompts, Response], Array], params: Any) -> Reward:
    """A trained reward model as a reward.

    Args:
      score: params, prompts, response -> [P, G]; params may be traced.
    """

    def reward(prompts: Prompts, response: Response) -> Array:
        return score(params, prompts, response)

    return reward


def _last_axes(x: Array, like: Array) -> Array:
    """One flag for each prompt against [T, P, 1] or [P, 1]."""
    return x[None, :, None] if like.ndim == 3 else x[:, None]
