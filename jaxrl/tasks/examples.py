"""Tasks that are taught by examples: demonstrations, or preferred and rejected responses."""

import jax
import jax.numpy as jnp
import numpy as np

from jaxrl.text import Prompts, Response, Task
from jaxrl.types import Array


def taught(task: Task, prompts: Prompts, response: Response, reward: Array | None = None) -> Task:
    """A task whose prompts to learn from come with responses; tests stay as they were, of which
    `demonstration` knows nothing.

    Args:
      response: to each prompt, [T, P, K], as `runtime.text_files.examples` reads them.
      reward: what each is worth, [P, K]; by default they stand in order, the best first.
    """
    worth = _worth(response, reward)
    _check(task, prompts, response, worth)
    order = np.argsort(-worth, -1, kind="stable")
    said = jax.tree.map(lambda x: jnp.asarray(_ordered(np.asarray(x), order)), response)
    label = jnp.asarray(np.take_along_axis(worth, order, -1))
    index = jnp.arange(len(worth), dtype=jnp.int32)

    def shown(asked: Prompts) -> Response:
        token, mask, log_prob, ended = said
        rows = asked.index
        return Response(token[:, rows], mask[:, rows], log_prob[:, rows], ended[rows])

    def demonstration(asked: Prompts) -> Response:
        return jax.tree.map(lambda x: x[..., :1], shown(asked))

    def judge(asked: Prompts, answer: Response) -> Array:
        return label[asked.index, : answer.ended.shape[1]]  # the best stands first

    return task._replace(
        train=prompts._replace(index=index),
        demonstration=demonstration,
        step_reward=None,
        judge=judge,
        shown=shown,
    )


def _worth(response: Response, reward: Array | None) -> np.ndarray:
    num, size = response.ended.shape
    if reward is None:
        return np.broadcast_to(np.arange(size, dtype=np.float32)[::-1], (num, size))
    worth = np.asarray(reward, np.float32)
    if worth.shape != (num, size):
        raise ValueError(f"reward must have the shape {(num, size)}, not {worth.shape}")
    if not np.isfinite(worth).all():
        raise ValueError(f"reward must be finite, not {worth[~np.isfinite(worth)][0]}")
    return worth


def _check(task: Task, prompts: Prompts, response: Response, worth: np.ndarray) -> None:
    token, mask = np.asarray(response.token), np.asarray(response.mask)
    if token.shape != (task.num_tokens, prompts.token.shape[1], worth.shape[1]):
        wanted = f"{task.num_tokens} tokens for each of {prompts.token.shape[1]} prompts"
        raise ValueError(f"response must have {wanted}, not the shape {token.shape}")
    size = task.vocabulary.size
    for name, said, counts in (
        ("prompts", np.asarray(prompts.token), np.asarray(prompts.mask)),
        ("response", token, mask),
    ):
        wrong = counts & ((said < 0) | (said >= size))
        if wrong.any():
            raise ValueError(f"{name} must be of tokens below {size}, not {said[wrong][0]}")
    if not mask[0].all():
        raise ValueError("response must have a token at least everywhere, not none")
    _check_differences(np.where(mask, token, -1), worth)


def _check_differences(said: np.ndarray, worth: np.ndarray) -> None:
    """What is to be compared must differ, in what is said and in what it is worth."""
    for p in range(said.shape[1]):
        if len(np.unique(said[:, p], axis=1).T) < said.shape[2]:
            raise ValueError(
                f"response must have different responses to prompt {p}, not the same one twice"
            )
        if said.shape[2] > 1 and worth[p].min() == worth[p].max():
            raise ValueError(
                f"reward must prefer some response to prompt {p} to others, not give all of them "
                f"{worth[p, 0]}"
            )


def _ordered(x: np.ndarray, order: np.ndarray) -> np.ndarray:
    return np.take_along_axis(x, order.reshape((1,) * (x.ndim - 2) + order.shape), -1)
