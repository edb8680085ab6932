"""Conjugate gradients, and TRPO's step on categorical and Gaussian policies."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

from jaxrl.optim.trust_region import conjugate_gradient, trust_region_step
from tests.formulas.tools import near, sample
from tests.oracles import trust_region as oracle


class Problem(NamedTuple):
    """A policy at its parameters, the loss to lower and the distance from where it is."""

    surrogate: Callable[[Any], Any]
    divergence: Callable[[Any], Any]
    params: Any


def categorical(xp: Any = jnp, seed: int = 0) -> Problem:
    """A table of logits [S, A] as a vector; each action in each state has an advantage."""
    start, advantage = sample(seed, 12), sample(seed + 1, 3, 4)

    def log_policy(params):
        logits = params.reshape(3, 4)
        return logits - xp.log(xp.sum(xp.exp(logits), -1, keepdims=True))

    old = log_policy(xp.asarray(start))

    def surrogate(params):
        return -xp.sum(xp.exp(log_policy(params)) * advantage) / 3

    def divergence(params):
        return xp.sum(xp.exp(old) * (old - log_policy(params))) / 3

    return Problem(surrogate, divergence, start)


def gaussian(seed: int = 0) -> Problem:
    """Linear means and a log_std of their own, as a pytree; advantages of sampled actions."""
    obs, action, advantage = sample(seed, 40, 3), sample(seed + 1, 40, 2), sample(seed + 2, 40)
    params = {"weight": jnp.asarray(sample(seed + 3, 3, 2)), "log_std": jnp.zeros(2)}

    def log_prob(params):
        error = (action - obs @ params["weight"]) / jnp.exp(params["log_std"])[None]
        return jnp.sum(-0.5 * jnp.square(error) - params["log_std"][None], -1)

    old = log_prob(params)

    def surrogate(new):
        return -jnp.mean(jnp.exp(log_prob(new) - old) * advantage)

    def divergence(new):
        gap = jnp.square(obs @ (new["weight"] - params["weight"]))
        variance, other = (jnp.exp(2 * p["log_std"])[None] for p in (params, new))
        kl = (new["log_std"] - params["log_std"])[None] + (variance + gap) / (2 * other) - 0.5
        return jnp.mean(jnp.sum(kl, -1))

    return Problem(surrogate, divergence, params)


PROBLEMS = [categorical(), categorical(seed=5), gaussian(), gaussian(seed=9)]
each_problem = pytest.mark.parametrize("number", range(len(PROBLEMS)))


@functools.cache
def stepper(number: int) -> Callable[..., Any]:
    """The step of a problem, compiled once for all its tests."""
    surrogate, divergence, params = PROBLEMS[number]

    def step(max_kl, damping=0.1):
        settings = {"max_kl": max_kl, "damping": damping, "num_iterations": 30}
        return trust_region_step(surrogate, divergence, params, **settings)

    return jax.jit(step)


DAMPING = 1e-3


def spd(seed: int, size: int) -> np.ndarray:
    factor = sample(seed, size, size)
    return factor @ factor.T / size + 0.5 * np.eye(size, dtype=np.float32)


@pytest.mark.parametrize("size", [1, 2, 5, 20])
def test_conjugate_gradient_solves(size):
    matrix, b = spd(size, size), sample(size + 1, size)
    x = jax.jit(lambda b: conjugate_gradient(lambda v: matrix @ v, b, 3 * size))(b)
    near(x, oracle.conjugate_gradient(lambda v: matrix @ v, b), rtol=1e-3, atol=1e-4)


def test_each_iteration_settles_one_eigenvalue():
    """With two distinct eigenvalues two iterations are enough, and one is not."""
    values, b = np.array([1, 1, 4, 4, 4], np.float32), sample(6, 5)
    solution = b / values
    near(conjugate_gradient(lambda v: values * v, b, 2), solution, rtol=1e-4, atol=1e-5)
    first = conjugate_gradient(lambda v: values * v, b, 1)
    assert np.abs(first - solution).max() > 0.05


def test_conjugate_gradient_stops_at_its_tolerance():
    """Once the residual is small enough nothing moves; a great tolerance starts nothing."""
    matrix, b = spd(7, 6), sample(8, 6)
    enough, more = (conjugate_gradient(lambda v: matrix @ v, b, n, 1e-4) for n in (20, 200))
    np.testing.assert_array_equal(enough, more)
    residual = b - matrix @ np.asarray(enough)
    assert residual @ residual <= 1e-4 * (b @ b)
    near(conjugate_gradient(lambda v: matrix @ v, b, 20, 1.0), np.zeros(6))


def test_conjugate_gradient_of_nothing_is_nothing():
    near(conjugate_gradient(lambda v: 2 * v, jnp.zeros(3), 10), np.zeros(3))


@pytest.mark.parametrize("max_kl", [1e-3, 1e-2, 0.1, 1.0])
@each_problem
def test_a_step_gains_inside_the_region(number, max_kl):
    problem = PROBLEMS[number]
    params, info = stepper(number)(max_kl)
    kl, gain = problem.divergence(params), problem.surrogate(problem.params)
    gain -= problem.surrogate(params)
    assert info.accepted
    assert 0 < kl <= max_kl * (1 + 1e-4)
    assert gain > 0
    near(info.divergence, kl, rtol=1e-2, atol=1e-6)
    near(info.improvement, gain, rtol=1e-2, atol=1e-6)
    assert jax.tree.structure(params) == jax.tree.structure(problem.params)


@pytest.mark.parametrize("max_kl", [1e-4, 1e-2])
def test_step_equals_the_oracle(max_kl):
    problem, exact = PROBLEMS[0], categorical(np)
    params, info = stepper(0)(max_kl)
    expected = oracle.trust_region_step(*exact[:2], exact.params.astype(np.float64), max_kl=max_kl)
    assert info.step_fraction == 1
    near(params - problem.params, expected - exact.params, rtol=2e-2, atol=2e-3 * max_kl**0.5)


def fisher_and_slope(number: int) -> tuple[np.ndarray, np.ndarray]:
    """The damped Hessian of the divergence, and the gradient of the surrogate."""
    surrogate, divergence, params = PROBLEMS[number]
    start, unravel = ravel_pytree(params)
    fisher = jax.jit(jax.hessian(lambda x: divergence(unravel(x))))(start)
    slope = jax.jit(jax.grad(lambda x: surrogate(unravel(x))))(start)
    return np.asarray(fisher) + DAMPING * np.eye(len(start)), np.asarray(slope)


def cosine(a: np.ndarray, b: np.ndarray) -> float:
    return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))


@each_problem
def test_a_short_step_is_the_natural_gradient(number):
    fisher, slope = fisher_and_slope(number)
    natural = -np.linalg.solve(fisher, slope)
    assert cosine(natural, -slope) < 0.99  # or the test could not tell the two apart
    params, _ = stepper(number)(1e-5, DAMPING)
    step = ravel_pytree(params)[0] - ravel_pytree(PROBLEMS[number].params)[0]
    assert cosine(np.asarray(step), natural) > 0.999
    near(0.5 * step @ fisher.astype(np.float32) @ step, 1e-5, rtol=2e-2)


@each_problem
def test_damping_shortens_the_step(number):
    kl = []
    for damping in (1e-4, 1.0, 100.0):
        params, _ = stepper(number)(1e-3, damping)
        kl.append(float(PROBLEMS[number].divergence(params)))
    assert kl[0] > kl[1] > kl[2] >= 0


def same_bits(a: Any, b: Any) -> None:
    for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        np.testing.assert_array_equal(np.asarray(x).view(np.int32), np.asarray(y).view(np.int32))


@pytest.mark.parametrize("problem", PROBLEMS[::2], ids=["categorical", "gaussian"])
def test_what_cannot_improve_stays_as_it_is(problem):
    """The gradient promises a gain that no step keeps."""
    start = ravel_pytree(problem.params)[0]

    def liar(params):
        flat = ravel_pytree(params)[0]
        moved = jnp.any(flat != start)
        return jnp.sum(flat) + jnp.where(moved, 1e6, 0.0)

    params, info = trust_region_step(liar, problem.divergence, problem.params, max_kl=0.01)
    same_bits(params, problem.params)
    assert not info.accepted
    assert info.divergence == info.improvement == info.step_fraction == 0


@pytest.mark.parametrize("problem", PROBLEMS[::2], ids=["categorical", "gaussian"])
def test_no_gradient_no_step(problem):
    def flat(params):
        return 0.0 * jnp.sum(ravel_pytree(params)[0])

    params, info = jax.jit(lambda p: trust_region_step(flat, problem.divergence, p, max_kl=0.01))(
        problem.params
    )
    same_bits(params, problem.params)
    assert all(np.isfinite(x) for x in info)
    assert not info.accepted


def test_a_wall_of_nan_is_not_entered():
    """Where the whole step leads into NaN, a shorter one is taken."""
    problem = categorical()

    def surrogate(params):
        far = jnp.sum(jnp.square(params - problem.params)) > 1e-3
        return jnp.where(far, jnp.nan, problem.surrogate(params))

    params, info = trust_region_step(surrogate, *problem[1:], max_kl=0.1)
    assert 0 < info.step_fraction < 1
    assert problem.surrogate(params) < problem.surrogate(problem.params)


def test_backtracking_halves_and_gives_up():
    """A wall inside the region: the step is halved until it fits, if it may be so often."""
    problem = PROBLEMS[0]

    def narrow(params):
        kl = problem.divergence(params)
        return jnp.where(kl > 1e-4, 1e3, kl)

    def step(num_backtracks):
        settings = {"max_kl": 1e-2, "num_backtracks": num_backtracks}
        return trust_region_step(problem.surrogate, narrow, problem.params, **settings)

    params, info = step(10)
    tries = 1 - int(np.log2(info.step_fraction))
    assert info.step_fraction == 0.5 ** (tries - 1) < 1
    assert 0 < problem.divergence(params) <= 1e-4
    same_bits(step(tries)[0], params)
    same_bits(step(tries - 1)[0], problem.params)
    assert not step(tries - 1)[1].accepted


def test_steps_of_several_policies_at_once():
    problem, seeds = categorical(), np.stack([categorical(seed=s).params for s in range(3)])

    def step(params):
        old = jax.nn.log_softmax(params.reshape(3, 4))

        def divergence(new):
            return jnp.mean(
                jnp.sum(jnp.exp(old) * (old - jax.nn.log_softmax(new.reshape(3, 4))), -1)
            )

        return trust_region_step(problem.surrogate, divergence, params, max_kl=0.01)[0]

    for one, params in zip(jax.vmap(step)(seeds), seeds, strict=True):
        near(one, step(jnp.asarray(params)), rtol=1e-3, atol=1e-4)


def test_bad_sizes_are_named():
    with pytest.raises(ValueError, match="num_iterations"):
        conjugate_gradient(lambda v: v, jnp.ones(3), 0)
    with pytest.raises(ValueError, match="num_backtracks"):
        trust_region_step(*categorical(), max_kl=0.01, num_backtracks=0)
