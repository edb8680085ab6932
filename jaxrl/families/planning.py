"""Dynamic programming: values and policies of a finite process that is known.

All are functions of arrays: jit them, and vmap them over γ, rewards or policies. Terminal states
are worth 0. A value counts as found where the greatest change of a sweep is at most `tolerance`
times the greatest value, or 1 if that is more; a policy that never ends has no value at γ = 1, and
then `max_iterations` is what ends the search.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.core import Tracer

from jaxrl import checks
from jaxrl.envs.mdp import Mdp, check_distribution, check_mdp
from jaxrl.formulas.planning import action_backup, expectation_backup, optimality_backup
from jaxrl.formulas.selection import greedy
from jaxrl.formulas.value_targets import max_value
from jaxrl.formulas.weightings import action_value
from jaxrl.numerics import expectation
from jaxrl.types import Array, Scalar


class Plan(NamedTuple):
    """What planning found."""

    value: Array  # v, [S]
    q: Array  # q, one look ahead of v, [S, A]
    policy: Array  # the greedy action by q, the first of equals, [S]
    num_iterations: Array  # sweeps over all states
    change: Array  # the greatest one of the last sweep


def policy_evaluation(
    mdp: Mdp, prob: Array, gamma: Scalar, tolerance: float = 1e-6, max_iterations: int = 10_000
) -> Plan:
    """Iterative policy evaluation: `expectation_backup` from 0 until the value stands still.

    Stopped after k sweeps, it is exactly the value of k steps.

    Args:
      prob: π(a | s), [S, A].
    Reference: Sutton & Barto 2018, section 4.1.
    """
    _check(mdp, gamma, tolerance, max_iterations)
    _check_policy(mdp, prob)
    prob, zeros = jnp.asarray(prob, jnp.float32), jnp.zeros(mdp.num_states)
    return _plan(mdp, gamma, *_evaluated(mdp, prob, gamma, zeros, tolerance, max_iterations))


def exact_evaluation(mdp: Mdp, prob: Array, gamma: Scalar) -> Plan:
    """The value of a policy as the solution of its linear equations: no tolerance, no iteration.

        v = (I − γ P_π)⁻¹ r_π

    It may be differentiated by γ, rewards, transitions and the policy. At γ = 1 the policy must
    come to an end from everywhere: otherwise the matrix is singular, and no value is right.

    Args:
      prob: π(a | s), [S, A].
    Reference: Sutton & Barto 2018, eq. 4.4.
    """
    _check(mdp, gamma)
    _check_policy(mdp, prob)
    prob, going = jnp.asarray(prob, jnp.float32), _going(mdp)
    transition, reward = _tables(mdp)
    paid = expectation_backup(transition, reward, jnp.zeros(mdp.num_states), prob, 0.0)
    follow = jnp.einsum("sa,sat->st", prob, transition)
    matrix = jnp.eye(mdp.num_states) - going[:, None] * follow * (gamma * going)[None]
    return _plan(mdp, gamma, jnp.linalg.solve(matrix, paid * going), jnp.int32(0), jnp.float32(0))


def policy_iteration(
    mdp: Mdp,
    gamma: Scalar,
    tolerance: float = 1e-6,
    max_iterations: int = 10_000,
    num_sweeps: int = 100,
) -> Plan:
    """Policy iteration: evaluation and greedy improvement by turns, until the policy is stable.

    It begins with the policy that takes all actions alike, and each evaluation with the value
    before. An action is given up only for one that is better by more than the tolerance, so that
    equals cannot take turns for ever.

    Args:
      max_iterations: sweeps of all evaluations together.
      num_sweeps: of one evaluation at most, so that no effort goes into a policy that hardly ends.
    Reference: Howard 1960; Sutton & Barto 2018, section 4.3; Puterman & Shin 1978 (few sweeps).
    """
    _check(mdp, gamma, tolerance, max_iterations)
    checks.at_least(1, num_sweeps=num_sweeps)
    num_actions = mdp.num_actions

    def going(now: Any) -> Array:
        _, value, count, change, stable = now
        return ~(stable & (change <= tolerance * _scale(value))) & (count < max_iterations)

    def improve(now: Any) -> Any:
        prob, value, count, _, _ = now
        limit = jnp.minimum(num_sweeps, max_iterations - count)
        value, more, change = _evaluated(mdp, prob, gamma, value, tolerance, limit)
        q = action_backup(*_tables(mdp), value, _discount(mdp, gamma))
        held = prob.argmax(-1)
        keep = action_value(q, held) >= max_value(q) - 2 * tolerance * _scale(value)
        policy = jnp.where(keep & (prob.max(-1) == 1), held, greedy(q))
        new = jax.nn.one_hot(policy, num_actions, dtype=jnp.float32)
        return new, value, count + more, change, (new == prob).all()

    alike = jnp.full((mdp.num_states, num_actions), 1 / num_actions, jnp.float32)
    start = alike, jnp.zeros(mdp.num_states), jnp.int32(0), jnp.float32(0), jnp.array(False)
    prob, value, count, change, _ = jax.lax.while_loop(going, improve, start)
    return _plan(mdp, gamma, value, count, change)._replace(policy=prob.argmax(-1))


def value_iteration(
    mdp: Mdp, gamma: Scalar, tolerance: float = 1e-6, max_iterations: int = 10_000
) -> Plan:
    """Value iteration: `optimality_backup` from 0 until the value stands still.

    Stopped after k sweeps, it is exactly the best value of k steps. At γ = 1 an action that only
    wastes time is as good as others, and the greedy policy may never end: that of
    `policy_iteration` does.
    Reference: Bellman 1957; Sutton & Barto 2018, section 4.4.
    """
    _check(mdp, gamma, tolerance, max_iterations)

    def sweep(value: Array) -> Array:
        return optimality_backup(*_tables(mdp), value, _discount(mdp, gamma))

    found = _repeated(mdp, sweep, jnp.zeros(mdp.num_states), tolerance, max_iterations)
    return _plan(mdp, gamma, *found)


def start_value(mdp: Mdp, value: Array) -> Array:
    """What an episode is worth from its start, in the mean over starts."""
    return expectation(jnp.asarray(mdp.initial, value.dtype), value)


def _evaluated(
    mdp: Mdp, prob: Array, gamma: Scalar, value: Array, tolerance: float, limit: Array | int
) -> tuple[Array, Array, Array]:
    """The value of a policy from a first guess, the number of sweeps, and the last change."""

    def sweep(value: Array) -> Array:
        return expectation_backup(*_tables(mdp), value, prob, _discount(mdp, gamma))

    return _repeated(mdp, sweep, value, tolerance, limit)


def _repeated(
    mdp: Mdp,
    sweep: Callable[[Array], Array],
    value: Array,
    tolerance: float,
    limit: Array | int,
) -> tuple[Array, Array, Array]:
    """Sweeps until the value stands still, or there were enough."""

    def going(now: tuple[Array, Array, Array]) -> Array:
        value, count, change = now
        return (count < limit) & (change > tolerance * _scale(value))

    def again(now: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
        value, count, _ = now
        new = sweep(value) * _going(mdp)
        return new, count + 1, jnp.abs(new - value).max()

    first = value, jnp.int32(0), jnp.full_like(value[0], jnp.inf)
    return jax.lax.while_loop(going, again, first)


def _scale(value: Array) -> Array:
    return jnp.maximum(jnp.abs(value).max(), 1.0)


def _plan(mdp: Mdp, gamma: Scalar, value: Array, count: Array, change: Array) -> Plan:
    q = action_backup(*_tables(mdp), value, _discount(mdp, gamma)) * _going(mdp)[:, None]
    return Plan(value, q, greedy(q), count, change)


def _tables(mdp: Mdp) -> tuple[Array, Array]:
    return jnp.asarray(mdp.transition, jnp.float32), jnp.asarray(mdp.reward, jnp.float32)


def _going(mdp: Mdp) -> Array:
    """1 at states that are not terminal, [S]."""
    return 1 - jnp.asarray(mdp.terminal, jnp.float32)


def _discount(mdp: Mdp, gamma: Scalar) -> Array:
    return gamma * _going(mdp)


def _check(mdp: Mdp, gamma: Scalar, tolerance: float = 0.0, max_iterations: int = 1) -> None:
    check_mdp(mdp)
    checks.probability(gamma=gamma)
    checks.at_least(1, max_iterations=max_iterations)
    if not isinstance(tolerance, Tracer) and not tolerance >= 0:
        raise ValueError(f"tolerance must be a number of at least 0, not {tolerance}")


def _check_policy(mdp: Mdp, prob: Array) -> None:
    checks.same_shape(prob=prob)
    if prob.shape != (shape := mdp.transition.shape[:2]):
        raise ValueError(f"prob must have the shape {shape}, not {prob.shape}")
    check_distribution("prob", prob, "actions")
