"""Log-probabilities: their written gradients are those of the definition, chunks change nothing."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrl.formulas.log_probs import (
    hidden_log_prob_and_entropy,
    log_prob_and_entropy,
    selected_log_prob,
)
from tests.formulas.near import assert_near
from tests.oracles import log_probs as oracle

RNG = np.random.default_rng(0)
SHAPE, NUM = (4, 3), 11
LOGITS = (3 * RNG.normal(size=(*SHAPE, NUM))).astype(np.float32)
ACTION = RNG.integers(0, NUM, SHAPE).astype(np.int32)
WEIGHTS = RNG.normal(size=(2, *SHAPE)).astype(np.float32)


def naive(logits: Any, action: Any) -> tuple[Any, Any]:
    """By log_softmax, its gradients left to JAX; impossible categories taken out of the sum."""
    log_prob = jax.nn.log_softmax(logits)
    possible = jnp.isfinite(logits)
    entropy = -jnp.sum(
        jnp.where(possible, jnp.exp(log_prob) * jnp.where(possible, log_prob, 0), 0), -1
    )
    return jnp.take_along_axis(log_prob, action[..., None], -1)[..., 0], entropy


def total(f: Any) -> Any:
    """A weighted sum of both results, so that one gradient tests both."""

    def weighted(*args: Any) -> Any:
        log_prob, entropy = f(*args)
        return jnp.sum(WEIGHTS[0] * log_prob) + jnp.sum(WEIGHTS[1] * entropy)

    return weighted


def blocked(*categories: int) -> np.ndarray:
    logits = LOGITS.copy()
    logits[..., list(categories)] = -np.inf
    taken = np.take_along_axis(LOGITS, ACTION[..., None], -1)
    np.put_along_axis(logits, ACTION[..., None], taken, -1)
    return logits


CASES = {
    "plain": LOGITS,
    "shifted": LOGITS + 1000,
    "wide": 100 * LOGITS,
    "some impossible": blocked(0, 3, 5),
    "all but one impossible": blocked(*range(NUM)),
}


@pytest.mark.parametrize("logits", CASES.values(), ids=CASES)
def test_value_and_gradient_are_those_of_the_naive_form(logits: np.ndarray) -> None:
    assert_near(log_prob_and_entropy(logits, ACTION), naive(logits, ACTION), 1e-5)
    assert_near(selected_log_prob(logits, ACTION), naive(logits, ACTION)[0], 1e-5)
    ours, theirs = (jax.grad(total(f))(logits, ACTION) for f in (log_prob_and_entropy, naive))
    assert np.isfinite(ours).all()
    possible = np.isfinite(logits)
    np.testing.assert_allclose(ours[possible], np.asarray(theirs)[possible], rtol=1e-5, atol=1e-5)
    assert not np.asarray(ours)[~possible].any()
    alone = jax.grad(lambda x: jnp.sum(WEIGHTS[0] * selected_log_prob(x, ACTION)))(logits)
    prob, taken = jax.nn.softmax(logits), jax.nn.one_hot(ACTION, NUM)
    np.testing.assert_allclose(alone, WEIGHTS[0][..., None] * (taken - prob), atol=1e-5)


def test_gradient_by_finite_differences_of_the_oracle() -> None:
    logits, action = LOGITS[0], ACTION[0]

    def along(x: np.ndarray) -> float:
        log_prob, entropy = oracle.log_prob_and_entropy(x, action)
        return float(np.sum(WEIGHTS[0, 0] * log_prob) + np.sum(WEIGHTS[1, 0] * entropy))

    exact, centre = np.zeros(logits.shape), logits.astype(np.float64)
    for index in np.ndindex(logits.shape):
        step = np.zeros(logits.shape)
        step[index] = 1e-6
        exact[index] = (along(centre + step) - along(centre - step)) / 2e-6

    def ours(x: Any) -> Any:
        log_prob, entropy = log_prob_and_entropy(x, action)
        return jnp.sum(WEIGHTS[0, 0] * log_prob) + jnp.sum(WEIGHTS[1, 0] * entropy)

    np.testing.assert_allclose(jax.grad(ours)(logits), exact, atol=1e-5)


def test_more_logits_than_are_read_at_a_time() -> None:
    """A CPU reads large logits in blocks, the last of which overlaps the one before."""
    rng = np.random.default_rng(1)
    logits = rng.normal(size=(7, 101, 1601)).astype(np.float32)
    action = rng.integers(0, 1601, (7, 101)).astype(np.int32)
    logits[0, 0, :1600], action[0, 0] = -np.inf, 1600

    def summed(f: Any) -> Any:
        return jax.jit(jax.value_and_grad(lambda x: sum(jnp.sum(y) for y in f(x, action))))

    assert_near(log_prob_and_entropy(logits, action), naive(logits, action), 1e-5)
    assert_near(summed(log_prob_and_entropy)(logits), summed(naive)(logits), 1e-5)


def test_scores_average_to_nothing() -> None:
    """The gradient of log pi, averaged over the policy's own actions."""
    logits = LOGITS[0, 0]
    scores = jax.vmap(jax.grad(selected_log_prob), (None, 0))(logits, jnp.arange(NUM))
    mean = jnp.sum(jax.nn.softmax(logits)[:, None] * scores, 0)
    np.testing.assert_allclose(mean, np.zeros(NUM), atol=1e-6)


HIDDEN = RNG.normal(size=(*SHAPE, 5)).astype(np.float32)
UNEMBEDDING = RNG.normal(size=(5, NUM)).astype(np.float32)


def unchunked(hidden: Any, unembedding: Any, action: Any) -> tuple[Any, Any]:
    return naive(hidden @ unembedding, action)


@pytest.mark.parametrize("chunk_size", [1, 2, 3, 4, 5, 11, 12, 64, 1000])
def test_chunks_change_neither_value_nor_gradient(chunk_size: int) -> None:
    def chunked(hidden: Any, unembedding: Any, action: Any) -> tuple[Any, Any]:
        return hidden_log_prob_and_entropy(hidden, unembedding, action, chunk_size=chunk_size)

    args = (HIDDEN, UNEMBEDDING, ACTION)
    assert_near(jax.jit(chunked)(*args), unchunked(*args), 1e-5)
    ours = jax.jit(jax.grad(total(chunked), (0, 1)))(*args)
    assert_near(ours, jax.grad(total(unchunked), (0, 1))(*args), 1e-5)


def test_chunks_of_the_usual_size() -> None:
    args = (HIDDEN, UNEMBEDDING, ACTION)
    assert_near(hidden_log_prob_and_entropy(*args), unchunked(*args), 1e-5)


@pytest.mark.parametrize("shape", [(), (1,), (7,), (2, 3, 2)])
def test_hidden_states_of_any_shape(shape: tuple[int, ...]) -> None:
    hidden = RNG.normal(size=(*shape, 5)).astype(np.float32)
    action = RNG.integers(0, NUM, shape).astype(np.int32)
    ours = hidden_log_prob_and_entropy(hidden, UNEMBEDDING, action, chunk_size=3)
    assert_near(ours, unchunked(hidden, UNEMBEDDING, action), 1e-5)


def test_chunks_never_hold_all_logits() -> None:
    """What chunks are for: no array of [tokens, vocabulary] in the value or in the gradient."""
    hidden = jnp.zeros((64, 5))
    action = jnp.zeros(64, int)

    def loss(hidden: Any, unembedding: Any) -> Any:
        log_prob, entropy = hidden_log_prob_and_entropy(hidden, unembedding, action, chunk_size=8)
        return jnp.sum(log_prob) + jnp.sum(entropy)

    jaxpr = str(jax.make_jaxpr(jax.grad(loss, (0, 1)))(hidden, jnp.zeros((5, 97))))
    assert "[64,97]" not in jaxpr and "[8,8,97]" not in jaxpr and "97" in jaxpr


@pytest.mark.parametrize("chunk_size", [0, -1, 2.5])
def test_chunks_have_a_size(chunk_size: Any) -> None:
    with pytest.raises((ValueError, TypeError), match="chunk_size must"):
        hidden_log_prob_and_entropy(HIDDEN, UNEMBEDDING, ACTION, chunk_size=chunk_size)
