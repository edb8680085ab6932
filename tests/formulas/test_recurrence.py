"""The reverse scan: its two forms agree, and it is the sum that it stands for."""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrl.formulas.advantages import gae
from jaxrl.formulas.recurrence import _compose, _scan, recurrence
from tests.formulas.near import assert_near

FORMS = {"scan": _scan, "compose": _compose}


def whole(b: Any, a: Any) -> tuple[Any, Any]:
    return b, a


@pytest.mark.parametrize("num_steps", [1, 7, 4096])
def test_both_forms_agree_on_the_longest_memory(num_steps: int) -> None:
    """With discount = lam = 1 nothing is ever forgotten: the worst case for rounding."""
    keys = jax.random.split(jax.random.key(num_steps), 3)
    b, weights = (jax.random.normal(key, (num_steps, 3)) for key in keys[:2])
    a, last = jnp.ones((num_steps, 3)), jax.random.normal(keys[2], (3,))

    def run(form: Callable[..., Any]) -> Any:
        def total(b: Any, a: Any, last: Any) -> Any:
            x = form(whole, last, b, a)
            return jnp.sum(weights * x), x

        return jax.jit(jax.grad(total, (0, 1, 2), has_aux=True))(b, a, last)

    for x, y in zip(*(jax.tree.leaves(run(form)) for form in FORMS.values()), strict=True):
        assert jnp.max(jnp.abs(x - y)) <= 1e-5 * jnp.max(jnp.abs(x))


@pytest.mark.parametrize("form", FORMS)
def test_forms_spread_numbers_and_single_steps(form: str) -> None:
    b = np.arange(6, dtype=np.float32).reshape(3, 2)
    half, per_column = jnp.float32(0.5), jnp.full((1, 2), 0.5)
    solve = partial(FORMS[form], whole, jnp.float32(1.0), jnp.asarray(b))
    expected = [b[0] + b[1] / 2 + b[2] / 4 + 1 / 8, b[1] + b[2] / 2 + 1 / 4, b[2] + 1 / 2]
    for a in (half, per_column, jnp.full((3, 2), 0.5)):
        np.testing.assert_allclose(solve(a), np.stack(expected), rtol=1e-6)


@pytest.mark.parametrize("form", FORMS)
def test_an_end_of_an_episode_lets_nothing_through(form: str) -> None:
    """Not even an infinity from behind a factor of zero may be read from the next episode."""
    done = jnp.array([0.0, 1.0, 0.0])
    x = FORMS[form](lambda r, d: (r, 1 - d), jnp.float32(0.0), jnp.array([1.0, 2.0, 1e30]), done)
    np.testing.assert_allclose(x[:2], [3.0, 2.0], rtol=1e-6)


@pytest.mark.parametrize("form", FORMS)
def test_sums_are_wider_than_bfloat16(form: str) -> None:
    """A sum of 1000 ones stops at 256 in bfloat16."""
    ones = jnp.ones(1000, jnp.bfloat16)
    x = FORMS[form](whole, jnp.zeros((), jnp.bfloat16), ones, ones)
    assert x.dtype == jnp.bfloat16
    assert abs(float(x[0]) - 1000) <= 4


def test_gradient_is_the_product_of_the_factors() -> None:
    a = jnp.array([0.5, 0.25, 2.0, 3.0])
    gradient = jax.grad(lambda b: recurrence(whole, (b, a), 1.0)[0])(jnp.ones(4))
    assert_near(gradient, np.array([1.0, 0.5, 0.125, 0.25]), 1e-6)


def test_linear_in_its_inputs() -> None:
    rng = np.random.default_rng(0)
    b, c, a = (rng.normal(size=(5, 2)).astype(np.float32) for _ in range(3))
    both = recurrence(whole, (b + 2 * c, a), 0.0)
    apart = recurrence(whole, (b, a), 0.0) + 2 * recurrence(whole, (c, a), 0.0)
    assert_near(both, apart, 1e-5)


BAD = {
    "last has the wrong shape": ((np.ones((3, 2)), np.ones((3, 2))), np.ones(3), "last"),
    "last is a key": ((np.ones(3), np.ones(3)), jax.random.key(0), "last"),
    "an input is a key": ((np.ones(3), jax.random.split(jax.random.key(0), 3)), 0.0, "inputs"),
    "an input is longer": ((np.ones(3), np.ones(4)), 0.0, "inputs"),
    "an input has an axis more": ((np.ones((3, 2)), np.ones((3, 2, 1))), 0.0, "inputs"),
    "inputs of integers": ((np.ones(3, int), np.ones(3)), 0.0, "inputs"),
    "no steps": ((np.ones(0), np.ones(0)), 0.0, "inputs"),
    "no inputs": ((), 0.0, "inputs"),
}


@pytest.mark.parametrize(("inputs", "last", "name"), BAD.values(), ids=BAD.keys())
def test_bad_arguments(inputs: Any, last: Any, name: str) -> None:
    def single(x: Any) -> Any:
        return x.astype(np.float32) if getattr(x, "dtype", None) == np.float64 else x

    with pytest.raises((ValueError, TypeError)) as caught:
        recurrence(whole, jax.tree.map(single, inputs), single(last))
    assert str(caught.value).startswith(name) and "\n" not in str(caught.value)


def test_estimates_under_jit_grad_and_vmap_compose() -> None:
    """The whole of a typical use, transformed three times, has the value of a plain call."""
    rng = np.random.default_rng(1)
    reward, value, next_value = (rng.normal(size=(4, 6)).astype(np.float32) for _ in range(3))
    done = rng.random((4, 6)) < 0.3

    def total(value: Any, lam: Any) -> Any:
        return jnp.sum(gae(reward, value, next_value, 0.9, done, lam))

    lams = jnp.array([0.0, 0.5, 1.0])
    gradients = jax.jit(jax.vmap(jax.grad(total), (None, 0)))(value, lams)
    for lam, gradient in zip(lams, gradients, strict=True):
        assert_near(gradient, jax.grad(total)(value, lam), 1e-5)
