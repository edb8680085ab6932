"""On-policy loops: act for a while, learn from what came, forget it.

All noise of acting and all fresh states for episodes that will end are drawn in bulk before the
scan: its body splits no key and computes no reset. No state serves twice.
"""

from typing import Any

import jax
import jax.numpy as jnp

from jaxrl.loops.acting import (
    Episode,
    LoopState,
    Scene,
    draws,
    going,
    guarded,
    start,
    stepped,
    tallied,
)
from jaxrl.numerics import select
from jaxrl.types import Algorithm, Array, Env, Learner, Metrics, Rollout

UNROLL = 2  # steps in a turn of the rollout's scan: 2 % of PPO's time with 4 environments


def on_policy(env: Env, learner: Learner, num_envs: int, num_steps: int) -> Algorithm:
    """`num_envs` environments that never stop, `num_steps` steps of each between two updates."""

    def init(key: Array) -> LoopState:
        return start(key, env, learner, num_envs)

    def update(state: LoopState) -> tuple[LoopState, Metrics]:
        key, *k_draws, k_carry, k_learn = jax.random.split(state.key, 6)
        step = going(env, learner, state.learner, learner.carry(k_carry, num_envs))
        chance = draws(k_draws, env, learner, (num_steps, num_envs))
        scene, transition = jax.lax.scan(step, state.scene, chance, unroll=UNROLL)
        rollout = Rollout(transition, scene.obs, state.scene.carry, scene.carry)
        episode, finished = tallied(state.episode, transition.reward, transition.done)
        learnt, metrics = learner.update(k_learn, state.learner, rollout)
        state = state._replace(key=key, scene=scene, episode=episode)
        return guarded(state, learnt, metrics, transition.reward, finished)

    return Algorithm(init, update)


def episodic(
    env: Env, learner: Learner, num_envs: int, num_steps: int, group_size: int = 1
) -> Algorithm:
    """One trajectory of at most `num_steps` steps in each environment, then an update.

    Each update starts `num_envs / group_size` fresh states, from each of which `group_size`
    trajectories set out. What follows an episode's end is idle at its start, and masked.
    """

    def init(key: Array) -> LoopState:
        return start(key, env, learner, num_envs)

    def update(state: LoopState) -> tuple[LoopState, Metrics]:
        key, k_noise, k_reset, k_step, k_carry, k_learn = jax.random.split(state.key, 6)
        shape = (num_steps, num_envs)
        fresh = jax.vmap(env.reset)(jax.random.split(k_reset, num_envs // group_size))
        env_state, obs = jax.tree.map(lambda x: jnp.repeat(x, group_size, 0), fresh)
        carry = learner.carry(k_carry, num_envs)
        first = Scene(env_state, obs, carry)

        def step(carried: tuple[Scene, Array], draw: Any) -> Any:
            scene, over = carried
            moved, transition = stepped(env, learner, state.learner, scene, *draw)
            after = over | transition.done
            return (select(after, first, moved), after), (transition, ~over)

        chance = (learner.noise(k_noise, shape), jax.random.split(k_step, shape))
        begin = (first, jnp.zeros(num_envs, bool))
        (scene, _), (transition, mask) = jax.lax.scan(step, begin, chance)
        transition = transition._replace(reward=jnp.where(mask, transition.reward, 0.0))
        rollout = Rollout(transition, scene.obs, carry, scene.carry, mask)
        played = Episode(transition.reward.sum(), mask.sum(dtype=jnp.float32))
        learnt, metrics = learner.update(k_learn, state.learner, rollout)
        state = state._replace(key=key, scene=scene)
        return guarded(state, learnt, metrics, transition.reward, (played, jnp.float32(num_envs)))

    return Algorithm(init, update)
