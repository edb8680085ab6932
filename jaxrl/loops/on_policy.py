"""On-policy loops: act for a while, learn from what came, forget it.

All noise of acting and all fresh states for episodes that will end are drawn in bulk before the
scan: its body splits no key and computes no reset. No state serves twice.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxrl.formulas.recurrence import recurrence
from jaxrl.numerics import previous_step, select
from jaxrl.types import (
    Algorithm,
    Array,
    Average,
    Env,
    Learner,
    LearnerState,
    Metrics,
    PyTree,
    Rollout,
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
    bad_update: Array  # the first update that was refused (see `learned`), −1 for none


def on_policy(env: Env, learner: Learner, num_envs: int, num_steps: int) -> Algorithm:
    """`num_envs` environments that never stop, `num_steps` steps of each between two updates."""
    reset = jax.vmap(env.reset)

    def init(key: Array) -> LoopState:
        return _start(env, learner, num_envs, key)

    def update(state: LoopState) -> tuple[LoopState, Metrics]:
        key, k_noise, k_reset, k_step, k_carry, k_learn = jax.random.split(state.key, 6)
        shape = (num_steps, num_envs)
        noise = learner.noise(k_noise, shape)
        fresh = jax.vmap(reset)(jax.random.split(k_reset, shape))
        blank = learner.carry(k_carry, num_envs)

        def step(scene: Scene, draw: Any) -> tuple[Scene, Transition]:
            noise, fresh, keys = draw
            moved, transition = _step(env, learner, state.learner, scene, noise, keys)
            return select(transition.done, Scene(fresh[0], fresh[1], blank), moved), transition

        draws = (noise, fresh, jax.random.split(k_step, shape))
        scene, transition = jax.lax.scan(step, state.scene, draws)
        rollout = Rollout(transition, scene.obs, state.scene.carry, scene.carry)
        episode, finished = tallied(state.episode, transition)
        state = state._replace(key=key, scene=scene, episode=episode)
        return learned(k_learn, learner, state, rollout, finished)

    return Algorithm(init, update)


def episodic(
    env: Env, learner: Learner, num_envs: int, num_steps: int, group_size: int = 1
) -> Algorithm:
    """One trajectory of at most `num_steps` steps in each environment, then an update.

    Each update starts `num_envs / group_size` fresh states, from each of which `group_size`
    trajectories set out. What follows an episode's end is idle, and masked in the rollout.
    """

    def init(key: Array) -> LoopState:
        return _start(env, learner, num_envs, key)

    def update(state: LoopState) -> tuple[LoopState, Metrics]:
        key, k_noise, k_reset, k_step, k_carry, k_learn = jax.random.split(state.key, 6)
        shape = (num_steps, num_envs)
        fresh = jax.vmap(env.reset)(jax.random.split(k_reset, num_envs // group_size))
        env_state, obs = jax.tree.map(lambda x: jnp.repeat(x, group_size, 0), fresh)
        carry = learner.carry(k_carry, num_envs)
        first = Scene(env_state, obs, carry)

        def step(carried: tuple[Scene, Array], draw: Any) -> Any:
            scene, over = carried
            moved, transition = _step(env, learner, state.learner, scene, *draw)
            return (select(over, scene, moved), over | transition.done), (transition, ~over)

        draws = (learner.noise(k_noise, shape), jax.random.split(k_step, shape))
        start = (first, jnp.zeros(num_envs, bool))
        (scene, _), (transition, mask) = jax.lax.scan(step, start, draws)
        transition = transition._replace(reward=jnp.where(mask, transition.reward, 0.0))
        rollout = Rollout(transition, scene.obs, carry, scene.carry, mask)
        played = Episode(transition.reward.sum(), mask.sum(dtype=jnp.float32))
        state = state._replace(key=key, scene=scene)
        return learned(k_learn, learner, state, rollout, (played, jnp.float32(num_envs)))

    return Algorithm(init, update)


def tallied(episode: Episode, transition: Transition) -> tuple[Episode, tuple[Episode, Array]]:
    """Each environment's episode so far, after a rollout; and of all episodes that ended in it
    the sums and the number.

    After the scan rather than in it, where every small operation counts once a step:
    Gₜ = xₜ + (1 − dₜ₋₁) Gₜ₋₁, a recurrence in the other direction.
    """
    done, reward = transition.done, transition.reward
    before = previous_step(done, jnp.zeros_like(done[0]))

    def sums(x: Array, start: Array) -> Array:
        return recurrence(_since, (x[::-1], before[::-1]), start)[::-1]

    running = Episode(*map(sums, (reward, jnp.ones_like(reward)), episode))
    ended = Episode(*(jnp.where(done, x, 0.0).sum() for x in running))
    still = Episode(*(jnp.where(done[-1], 0.0, x[-1]) for x in running))
    return still, (ended, done.sum(dtype=jnp.float32))


def learned(
    key: Array,
    learner: Learner,
    state: LoopState,
    rollout: Rollout,
    finished: tuple[Episode, Array],
) -> tuple[LoopState, Metrics]:
    """Update the learner, unless that would make it anything but finite; collect the metrics.

    A reward or a parameter that is NaN or infinite leaves the learner as it was. The refusal is
    counted, and the first one remembered, so that a host can tell where the trouble began.
    """
    learner_state, metrics = learner.update(key, state.learner, rollout)
    floats = (rollout.transition.reward, learner_state.params)
    sound = jnp.all(jnp.stack([jnp.isfinite(x).all() for x in jax.tree.leaves(floats)]))
    kept = jax.tree.map(lambda new, old: jnp.where(sound, new, old), learner_state, state.learner)
    first = jnp.where(state.bad_update < 0, state.num_updates, state.bad_update)
    bad = jnp.where(sound, state.bad_update, first)
    episode, count = finished
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


def _start(env: Env, learner: Learner, num_envs: int, key: Array) -> LoopState:
    key, k_eval, k_env, k_learner, k_carry = jax.random.split(key, 5)
    env_state, obs = jax.vmap(env.reset)(jax.random.split(k_env, num_envs))
    carry = learner.carry(k_carry, num_envs)
    scene, nothing = Scene(env_state, obs, carry), jnp.zeros(num_envs)
    learnt = learner.init(k_learner, obs)
    episode = Episode(nothing, nothing)
    return LoopState(key, k_eval, learnt, scene, episode, jnp.int32(0), jnp.int32(-1))


def _step(
    env: Env, learner: Learner, learnt: LearnerState, scene: Scene, noise: PyTree, keys: Array
) -> tuple[Scene, Transition]:
    """All environments, one step further; no reset yet."""
    action, extras, carry = learner.act(learnt, scene.obs, noise, scene.carry)
    env_state, reached = jax.vmap(env.step)(keys, scene.env, action)
    transition = Transition(
        scene.obs,
        action,
        extras,
        reached.reward,
        reached.obs,
        reached.terminated,
        reached.truncated,
    )
    return Scene(env_state, reached.obs, carry), transition
