"""On-policy loops: act for a while, learn from what came, forget it.

All noise of acting and all fresh states for episodes that will end are drawn in bulk before the
scan: its body splits no key and computes no reset. No state serves twice.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxrl.numerics import select
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
)


class Scene(NamedTuple):
    """Where acting stands: environments, what they show, the learner's memory, [N, ...]."""

    env: PyTree
    obs: PyTree
    carry: PyTree
    episode_return: Array
    episode_length: Array


class LoopState(NamedTuple):
    """Everything that training carries; saving it and going on later changes no bit."""

    key: Array
    eval_key: Array  # never split: an evaluation folds in the number of updates done
    learner: LearnerState
    scene: Scene
    num_updates: Array
    bad_update: Array  # the first update that was refused (see `learned`), −1 for none


class Finished(NamedTuple):
    """Episodes that ended in a rollout: how many, and the sums of their returns and lengths."""

    count: Array
    episode_return: Array
    episode_length: Array


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

        def step(carried: tuple[Scene, Finished], draw: Any) -> Any:
            scene, finished = carried
            noise, (fresh_env, fresh_obs), keys = draw
            scene, transition = _step(env, learner, state.learner, scene, noise, keys)
            done = transition.done
            finished = _tally(finished, scene, done)
            scene = Scene(
                select(done, fresh_env, scene.env),
                select(done, fresh_obs, scene.obs),
                select(done, blank, scene.carry),
                jnp.where(done, 0.0, scene.episode_return),
                jnp.where(done, 0, scene.episode_length),
            )
            return (scene, finished), transition

        start = (state.scene, _none_finished(num_envs))
        draws = (noise, fresh, jax.random.split(k_step, shape))
        (scene, finished), transition = jax.lax.scan(step, start, draws)
        rollout = Rollout(transition, scene.obs, state.scene.carry, scene.carry)
        return learned(key, k_learn, learner, state, scene, rollout, finished)

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
        first = Scene(env_state, obs, carry, *_no_episode(num_envs))

        def step(carried: tuple[Scene, Array], draw: Any) -> Any:
            scene, over = carried
            moved, transition = _step(env, learner, state.learner, scene, *draw)
            transition = transition._replace(reward=jnp.where(over, 0.0, transition.reward))
            return (select(over, scene, moved), over | transition.done), (transition, ~over)

        draws = (learner.noise(k_noise, shape), jax.random.split(k_step, shape))
        start = (first, jnp.zeros(num_envs, bool))
        (scene, _), (transition, mask) = jax.lax.scan(step, start, draws)
        finished = _tally(_none_finished(num_envs), scene, jnp.ones(num_envs, bool))
        rollout = Rollout(transition, scene.obs, carry, scene.carry, mask)
        return learned(key, k_learn, learner, state, scene, rollout, finished)

    return Algorithm(init, update)


def learned(
    key: Array,
    learn_key: Array,
    learner: Learner,
    state: LoopState,
    scene: Scene,
    rollout: Rollout,
    finished: Finished,
) -> tuple[LoopState, Metrics]:
    """Update the learner, unless that would make it anything but finite; collect the metrics.

    A reward or a parameter that is NaN or infinite leaves the learner as it was. The refusal is
    counted, and the first one remembered, so that a host can tell where the trouble began.
    """
    learner_state, metrics = learner.update(learn_key, state.learner, rollout)
    floats = (rollout.transition.reward, learner_state.params)
    sound = jnp.all(jnp.stack([jnp.isfinite(x).all() for x in jax.tree.leaves(floats)]))
    kept = jax.tree.map(lambda new, old: jnp.where(sound, new, old), learner_state, state.learner)
    first = jnp.where(state.bad_update < 0, state.num_updates, state.bad_update)
    bad = jnp.where(sound, state.bad_update, first)
    metrics = metrics | {
        "episode_return": Average(finished.episode_return.sum(), finished.count.sum()),
        "episode_length": Average(finished.episode_length.sum(), finished.count.sum()),
        "refused": Average((~sound).astype(jnp.float32), jnp.ones(())),
    }
    return LoopState(key, state.eval_key, kept, scene, state.num_updates + 1, bad), metrics


def _start(env: Env, learner: Learner, num_envs: int, key: Array) -> LoopState:
    key, k_eval, k_env, k_learner, k_carry = jax.random.split(key, 5)
    env_state, obs = jax.vmap(env.reset)(jax.random.split(k_env, num_envs))
    carry = learner.carry(k_carry, num_envs)
    scene = Scene(env_state, obs, carry, *_no_episode(num_envs))
    learnt = learner.init(k_learner, obs)
    return LoopState(key, k_eval, learnt, scene, jnp.int32(0), jnp.int32(-1))


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
    moved = Scene(
        env_state,
        reached.obs,
        carry,
        scene.episode_return + reached.reward,
        scene.episode_length + 1,
    )
    return moved, transition


def _no_episode(num_envs: int) -> tuple[Array, Array]:
    return jnp.zeros(num_envs), jnp.zeros(num_envs, jnp.int32)


def _none_finished(num_envs: int) -> Finished:
    return Finished(*(jnp.zeros(num_envs) for _ in Finished._fields))


def _tally(finished: Finished, scene: Scene, done: Array) -> Finished:
    one = done.astype(jnp.float32)
    return Finished(
        finished.count + one,
        finished.episode_return + one * scene.episode_return,
        finished.episode_length + one * scene.episode_length.astype(jnp.float32),
    )
