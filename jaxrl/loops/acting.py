"""What every loop shares: its state, a step of all environments, episodes' sums, the guard."""

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeVar

import jax
import jax.numpy as jnp

from jaxrl.envs.typed import demand_alike
from jaxrl.formulas.recurrence import recurrence
from jaxrl.numerics import previous_step, select
from jaxrl.shares import mean_of_shares, sum_of_shares
from jaxrl.types import (
    Array,
    Average,
    Env,
    Learner,
    LearnerState,
    Metrics,
    PyTree,
    Transition,
    once,
)


class Scene(NamedTuple):
    """Where acting stands: environments, what they show, the learner's memory, [N, ...]."""

    env: PyTree
    obs: PyTree
    carry: PyTree


class Episode(NamedTuple):
    """Sums over an episode so far, or over all that ended: [N], or numbers."""

    reward: Array
    length: Array


class LoopState(NamedTuple):
    """Everything that training carries; saving it and going on later changes no bit."""

    key: Array
    eval_key: Array  # never split: an evaluation folds in the number of updates done
    learner: LearnerState
    scene: Scene
    episode: Episode  # of each environment, so far
    num_updates: Array
    bad_update: Array  # the first update that was refused (see `guarded`), −1 for none
    buffer: PyTree = ()  # what an off-policy loop remembers, or an online one is about to do


class Draws(NamedTuple):
    """The chance of many steps, drawn in bulk: [*shape, ...]."""

    noise: PyTree  # of acting
    fresh: tuple[PyTree, PyTree]  # states and observations of resets, should an episode end
    keys: Array  # of the environments' steps


def draws(keys: Sequence[Array], env: Env, learner: Learner, shape: tuple[int, ...]) -> Draws:
    """Three keys' chance for `shape` steps, whose last axis is the environments."""
    k_noise, k_reset, k_step = keys
    # All resets on one axis: nested axes would halve the speed of their chance.
    fresh = jax.vmap(env.reset)(jax.random.split(k_reset, math.prod(shape)))
    fresh = jax.tree.map(lambda x: x.reshape(*shape, *x.shape[1:]), fresh)
    return Draws(learner.noise(k_noise, shape), fresh, jax.random.split(k_step, shape))


def start(key: Array, env: Env, learner: Learner, num_envs: int) -> LoopState:
    """Fresh environments and a learner that has learnt nothing."""
    key, k_eval, k_env, k_learner, k_carry = jax.random.split(key, 5)
    env_state, obs = jax.vmap(env.reset)(jax.random.split(k_env, num_envs))
    carry = learner.carry(k_carry, num_envs)
    scene, nothing = Scene(env_state, obs, carry), jnp.zeros(num_envs, jnp.float32)
    learnt = learner.init(k_learner, obs)
    episode = Episode(nothing, nothing)
    return LoopState(key, k_eval, learnt, scene, episode, jnp.int32(0), jnp.int32(-1))


def stepped(
    env: Env, learner: Learner, learnt: LearnerState, scene: Scene, noise: PyTree, keys: Array
) -> tuple[Scene, Transition]:
    """All environments, one step further by what the learner does; no reset yet."""
    action, extras, carry = learner.act(learnt, scene.obs, noise, scene.carry)
    return moved(env, scene._replace(carry=carry), action, extras, keys)


def moved(
    env: Env, scene: Scene, action: PyTree, extras: PyTree, keys: Array
) -> tuple[Scene, Transition]:
    """All environments, one step further by actions that were chosen; no reset yet."""
    env_state, reached = jax.vmap(env.step)(keys, scene.env, action)
    demand_alike("a state", scene.env, env_state)
    demand_alike("obs", scene.obs, reached.obs)
    transition = Transition(
        scene.obs,
        action,
        extras,
        reached.reward,
        reached.obs,
        reached.terminated,
        reached.truncated,
    )
    return Scene(env_state, reached.obs, scene.carry), transition


def going(
    env: Env, learner: Learner, learnt: LearnerState, blank: PyTree
) -> Callable[[Scene, Draws], tuple[Scene, Transition]]:
    """The body of a scan: one step of all environments; what has ended begins anew.

    Args:
      blank: the learner's memory at an episode's start.
    """

    def step(scene: Scene, draw: Draws) -> tuple[Scene, Transition]:
        moved, transition = stepped(env, learner, learnt, scene, draw.noise, draw.keys)
        return select(transition.done, Scene(*draw.fresh, blank), moved), transition

    return step


def tallied(episode: Episode, reward: Array, done: Array) -> tuple[Episode, tuple[Episode, Array]]:
    """Each environment's episode so far, after [T, N] steps; and of all episodes that ended in
    them the sums and the number.

    After the scan rather than in it, where every small operation counts once a step:
    Gₜ = xₜ + (1 − dₜ₋₁) Gₜ₋₁, a recurrence in the other direction. A reward that is no finite
    number is left out: it would stay in the sum beyond its episode.
    """
    reward = jnp.where(jnp.isfinite(reward), reward, 0.0)
    before = previous_step(done, jnp.zeros_like(done[0]))

    def sums(x: Array, start: Array) -> Array:
        return recurrence(_since, (x[::-1], before[::-1]), start)[::-1]

    running = Episode(*map(sums, (reward, jnp.ones_like(reward)), episode))
    ended = Episode(*(jnp.where(done, x, 0.0).sum() for x in running))
    still = Episode(*(jnp.where(done[-1], 0.0, x[-1]) for x in running))
    return still, (ended, done.sum(dtype=jnp.float32))


Guarded = TypeVar("Guarded", bound=Any)  # a loop's state


def guarded(
    state: Guarded,
    learnt: LearnerState,
    metrics: Metrics,
    reward: Array,
    finished: tuple[Episode, Array],
) -> tuple[Guarded, Metrics]:
    """The state after an update, unless that made anything but finite numbers; all its metrics.

    A reward, a parameter or what else is learnt that is NaN or infinite leaves the learner as it
    was. The refusal is counted, and the first one remembered, so that a host can tell where the
    trouble began.
    """
    leaves = jax.tree.leaves((reward, learnt.params, learnt.slots))
    floats = [x for x in leaves if jnp.issubdtype(x.dtype, jnp.floating)]
    finite = jnp.all(jnp.stack([jnp.isfinite(x).all() for x in floats]))
    share, metrics = mean_of_shares((finite.astype(jnp.float32), metrics))
    sound = share == 1
    kept = jax.tree.map(lambda new, old: jnp.where(sound, new, old), learnt, state.learner)
    first = jnp.where(state.bad_update < 0, state.num_updates, state.bad_update)
    bad = jnp.where(sound, state.bad_update, first)
    episode, count = sum_of_shares(finished)
    metrics |= once(refused=(~sound).astype(jnp.float32))
    metrics |= {
        "episode_return": Average(episode.reward, count),
        "episode_length": Average(episode.length, count),
    }
    state = state._replace(learner=kept, num_updates=state.num_updates + 1, bad_update=bad)
    return state, metrics


def _since(x: Array, anew: Array) -> tuple[Array, Array]:
    """The coefficients of a sum that begins anew where `anew` is true."""
    return x, 1 - anew
