"""The off-policy loop: act a little, remember, learn from what was remembered.

As on policy, all chance is drawn in bulk before the scan: noise of acting, fresh states for
episodes that will end, what replay draws, and what gradient steps consume. The buffer is
never selected.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree

from jaxrl.data import Buffer, Sample
from jaxrl.loops.acting import (
    Draws,
    LoopState,
    Scene,
    draws,
    guarded,
    start,
    stepped,
    tallied,
)
from jaxrl.loops.wander import wandering
from jaxrl.numerics import select
from jaxrl.tracing import traced_once, zeros_of
from jaxrl.types import Algorithm, Array, Env, Learner, LearnerState, Metrics, PyTree

LEAST = 1e-6
"""What every priority is raised by, so that a row that is learnt by heart may come again.

Reference: Schaul et al. 2016, arXiv:1511.05952, section 3.3.
"""


class Pace(NamedTuple):
    """How acting and learning take turns."""

    num_envs: int
    num_steps: int  # of each environment in one iteration
    num_gradients: int  # gradient steps after them
    batch_size: int
    num_iterations: int  # in one update
    learning_starts: int  # steps of random actions before the first iteration

    @property
    def first_rows(self) -> int:
        """Steps of each environment before the first iteration: what `learning_starts` asks for."""
        return -(-self.learning_starts // self.num_envs)


class Outcome(NamedTuple):
    """What a step leaves besides what is remembered, [N]."""

    reward: Array
    done: Array


def off_policy(env: Env, learner: Learner, buffer: Buffer, pace: Pace) -> Algorithm:
    """Environments that never stop, a buffer of their steps, and a learner that is fed from it.

    The learner's update is (chance, state, `Sample`) -> (state, metrics, priority): one gradient
    step on a batch [B, ...], and how much each of its rows deserves to be seen again, [B].
    """

    def init(key: Array) -> LoopState:
        state = start(key, env, learner, pace.num_envs)
        key, *k_draws, k_carry = jax.random.split(state.key, 5)
        novice = wandering(learner, env.spaces.action) if learner.wanders else learner
        blank = learner.carry(k_carry, pace.num_envs)
        chance = draws(k_draws, env, novice, (pace.first_rows, pace.num_envs))
        memory = buffer.init(_example(env, novice, state, chance))
        act = _acting(env, novice, buffer, state.learner, blank)
        (scene, memory), played = jax.lax.scan(act, (state.scene, memory), chance)
        episode, _ = tallied(state.episode, *played)
        return state._replace(key=key, scene=scene, episode=episode, buffer=memory)

    def update(state: LoopState) -> tuple[LoopState, Metrics]:
        key, *k_draws, k_carry, k_sample, k_learn = jax.random.split(state.key, 7)
        blank = learner.carry(k_carry, pace.num_envs)
        turns = (pace.num_iterations, pace.num_gradients)
        shape = (pace.num_iterations, pace.num_steps, pace.num_envs)
        batches = buffer.draw(k_sample, (*turns, pace.batch_size))
        luck = chances(k_learn, learner, turns, pace.batch_size)
        chance = (draws(k_draws, env, learner, shape), luck, batches)
        learn, unpack = learning(learner, buffer, state, chance[1:])

        def iterate(carried: Any, chance: Any) -> Any:
            scene, learnt, memory = carried
            acting, learning = chance[0], chance[1:]
            act = _acting(env, learner, buffer, learnt, blank)
            (scene, memory), played = jax.lax.scan(act, (scene, memory), acting)
            memory = jax.lax.optimization_barrier(memory)  # or XLA copies it in each turn
            (learnt, memory), numbers = jax.lax.scan(learn, (learnt, memory), learning)
            return (scene, learnt, memory), (played, numbers)

        first = (state.scene, state.learner, state.buffer)
        (scene, learnt, memory), (played, numbers) = jax.lax.scan(iterate, first, chance)
        played = Outcome(*(x.reshape(-1, pace.num_envs) for x in played))
        episode, finished = tallied(state.episode, *played)
        state = state._replace(key=key, scene=scene, episode=episode, buffer=memory)
        return guarded(state, learnt, unpack(numbers.sum((0, 1))), played.reward, finished)

    return Algorithm(init, update)


def _acting(env: Env, learner: Learner, buffer: Buffer, learnt: LearnerState, blank: PyTree) -> Any:
    """The body of a scan: one step of all environments, which is remembered."""

    def act(carried: tuple[Scene, PyTree], draw: Draws) -> tuple[tuple[Scene, PyTree], Outcome]:
        scene, memory = carried
        moved, transition = stepped(env, learner, learnt, scene, draw.noise, draw.keys)
        memory = buffer.add(memory, transition)
        scene = select(transition.done, Scene(*draw.fresh, blank), moved)
        return (scene, memory), Outcome(transition.reward, transition.done)

    return act


def chances(key: Array, learner: Learner, turns: tuple[int, int], num_rows: int) -> PyTree:
    """What the gradient steps of all turns consume, in bulk."""
    draw = jax.vmap(jax.vmap(lambda key: learner.chance(key, num_rows)))
    return draw(jax.random.split(key, turns))


def learning(learner: Learner, buffer: Buffer, state: LoopState, chance: Any) -> Any:
    """The body of a scan: one gradient step; and the way from its numbers back to metrics."""

    @traced_once
    def step(learnt: LearnerState, memory: PyTree, draw: Any) -> Any:
        luck, batch = draw
        sample = sound(buffer.sample(memory, batch))
        learnt, metrics, priority = learner.update(luck, learnt, sample)
        return learnt, buffer.reprioritise(memory, sample.index, priority + LEAST), metrics

    def learn(carried: tuple[LearnerState, PyTree], draw: Any) -> Any:
        learnt, memory, metrics = step(*carried, draw)
        return (learnt, memory), ravel_pytree(metrics)[0]

    def first(state: LoopState, draws: Any) -> Metrics:
        return step(state.learner, state.buffer, jax.tree.map(lambda x: x[0, 0], draws))[2]

    return learn, ravel_pytree(zeros_of(first, state, chance))[1]


def sound(sample: Sample) -> Sample:
    """The sample, with no weight on rows whose reward is not finite: they stay in the buffer."""
    finite = jnp.isfinite(sample.data.reward)
    data = sample.data._replace(reward=jnp.where(finite, sample.data.reward, 0.0))
    rows = finite.reshape(-1, len(sample.weight)).all(0)  # sequences are rows of several steps
    return sample._replace(data=data, weight=jnp.where(rows, sample.weight, 0.0))


def example(env: Env, learner: Learner) -> PyTree:
    """The shapes and types of a row of replay, one environment's `Transition`."""
    novice = wandering(learner, env.spaces.action)

    def begun(key: Array) -> tuple[LoopState, Draws]:
        k_start, *k_draws = jax.random.split(key, 4)
        return start(k_start, env, novice, 1), draws(k_draws, env, novice, (1, 1))

    return _example(env, novice, *jax.eval_shape(begun, jax.random.key(0)))


def _example(env: Env, learner: Learner, state: LoopState, chance: Draws) -> PyTree:
    """The shape of what one environment leaves at one step."""

    def one(state: LoopState, chance: Draws) -> PyTree:
        draw = jax.tree.map(lambda x: x[0], chance)
        return stepped(env, learner, state.learner, state.scene, draw.noise, draw.keys)[1]

    step = jax.eval_shape(one, state, chance)
    return jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape[1:], x.dtype), step)
