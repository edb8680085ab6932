"""Networks, losses and descent in float64 NumPy, from their definitions."""

from typing import Any, NamedTuple

import jax
import numpy as np

from jaxrl.networks import action_mask, content
from tests.oracles import advantages


class Rolled(NamedTuple):
    """A rollout in float64."""

    obs: np.ndarray
    next_obs: np.ndarray
    action: np.ndarray
    output: np.ndarray | None  # of the policy that acted
    legal: np.ndarray | None
    reward: np.ndarray
    discount: np.ndarray
    done: np.ndarray
    truncated: np.ndarray
    mask: np.ndarray


def rolled(rollout: Any, gamma: float) -> Rolled:
    steps = rollout.transition
    extras = steps.extras
    legal = action_mask(steps.obs)
    done = np.asarray(steps.done)
    return Rolled(
        obs=np.asarray(content(steps.obs), np.float64),
        next_obs=np.asarray(content(steps.next_obs), np.float64),
        action=np.asarray(extras.action if extras else steps.action),
        output=np.asarray(extras.output, np.float64) if extras else None,
        legal=None if legal is None else np.asarray(legal),
        reward=np.asarray(steps.reward, np.float64),
        discount=gamma * (1.0 - np.asarray(steps.terminated)),
        done=done,
        truncated=np.asarray(steps.truncated),
        mask=np.ones(done.shape, bool) if rollout.mask is None else np.asarray(rollout.mask),
    )


def mlp(params: Any, x: np.ndarray) -> np.ndarray:
    """Hidden layers of tanh, and a linear one."""
    for i in range(len(params) - 1):
        layer = params[f"dense_{i}"]
        x = np.tanh(x @ layer["kernel"] + layer["bias"])
    return x @ params["output"]["kernel"] + params["output"]["bias"]


def log_softmax(logits: np.ndarray, legal: np.ndarray | None = None) -> np.ndarray:
    """Log-probabilities among the legal actions; −∞ at the others."""
    logits = logits if legal is None else np.where(legal, logits, -np.inf)
    top = logits.max(-1, keepdims=True)
    return logits - top - np.log(np.exp(logits - top).sum(-1, keepdims=True))


def taken(table: np.ndarray, action: np.ndarray) -> np.ndarray:
    return np.take_along_axis(table, action[..., None], -1)[..., 0]


def entropy(log_prob: np.ndarray) -> np.ndarray:
    return -(np.exp(log_prob) * np.where(np.isfinite(log_prob), log_prob, 0.0)).sum(-1)


def kl(log_p: np.ndarray, log_q: np.ndarray) -> np.ndarray:
    possible = np.isfinite(log_p)
    gap = np.where(possible, log_p, 0.0) - np.where(possible, log_q, 0.0)
    return (np.exp(log_p) * gap).sum(-1)


def mean(x: np.ndarray, mask: np.ndarray) -> float:
    return float(x[mask].sum() / mask.sum())


def estimate_kl(log_prob: np.ndarray, old: np.ndarray) -> np.ndarray:
    """KL(old ‖ new) from actions of the old policy: (r − 1) − log r, whose mean is the KL."""
    return np.exp(log_prob - old) - 1 - (log_prob - old)


def explained(value: np.ndarray, target: np.ndarray, mask: np.ndarray) -> float:
    return float(1 - np.var((target - value)[mask]) / np.var(target[mask]))


def gae(x: Rolled, value: np.ndarray, next_value: np.ndarray, lam: float) -> np.ndarray:
    return advantages.gae(x.reward, value, next_value, x.discount, x.done, lam)


def wide(tree: Any) -> Any:
    return jax.tree.map(lambda x: np.asarray(x, np.float64), tree)


def flat(tree: Any) -> np.ndarray:
    """All leaves in one float64 vector, in the order of the tree's leaves."""
    return np.concatenate([np.asarray(x, np.float64).ravel() for x in jax.tree.leaves(tree)])


def unflat(vector: np.ndarray, like: Any) -> Any:
    leaves, treedef = jax.tree.flatten(like)
    ends = np.cumsum([np.size(x) for x in leaves])[:-1]
    pieces = np.split(vector, ends)
    shaped = [p.reshape(np.shape(x)) for p, x in zip(pieces, leaves, strict=True)]
    return jax.tree.unflatten(treedef, shaped)


def slope(loss: Any, params: Any, step: float = 1e-5) -> np.ndarray:
    """The gradient of a loss of a tree by central differences, as one vector."""
    start = flat(params)
    result = np.empty_like(start)
    for i in range(len(start)):
        up, down = start.copy(), start.copy()
        up[i] += step
        down[i] -= step
        result[i] = (loss(unflat(up, params)) - loss(unflat(down, params))) / (2 * step)
    return result


def same(tree: Any, vector: np.ndarray, rtol: float = 1e-3, atol: float = 2e-6) -> None:
    """A tree of float32 gradients or parameters is the oracle's vector."""
    np.testing.assert_allclose(flat(tree), vector, rtol=rtol, atol=atol)
