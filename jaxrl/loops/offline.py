"""The offline loop: learn from data that are there, as a learner does from replay; nothing acts."""

import jax
import jax.numpy as jnp

from jaxrl.data import Buffer
from jaxrl.loops.acting import Episode, LoopState, Scene, guarded
from jaxrl.loops.off_policy import chances, learning
from jaxrl.types import Algorithm, Array, Learner, Metrics, Transition


def offline(
    learner: Learner, buffer: Buffer, data: Transition, num_gradients: int, batch_size: int
) -> Algorithm:
    """Updates of `num_gradients` steps on batches of a data set, of which the buffer is `fixed`.

    The data are no part of the state: seeds share them, and a checkpoint leaves them out.
    """
    obs, row = (jax.tree.map(lambda x, n=n: jnp.asarray(x)[(0,) * n], data) for n in (1, 2))

    def init(key: Array) -> LoopState:
        key, k_eval, k_learner = jax.random.split(key, 3)
        learnt, none = learner.init(k_learner, obs.obs), jnp.zeros(())
        scene, episode = Scene((), (), ()), Episode(none, none)
        count, memory = jnp.int32(0), buffer.init(row)
        return LoopState(key, k_eval, learnt, scene, episode, count, jnp.int32(-1), memory)

    def update(state: LoopState) -> tuple[LoopState, Metrics]:
        key, k_sample, k_learn = jax.random.split(state.key, 3)
        turns = (1, num_gradients)
        luck = chances(k_learn, learner, turns, batch_size)
        chance = luck, buffer.draw(k_sample, (*turns, batch_size))
        learn, unpack = learning(learner, buffer, state, chance)
        steps = jax.tree.map(lambda x: x[0], chance)
        (learnt, memory), numbers = jax.lax.scan(learn, (state.learner, state.buffer), steps)
        state = state._replace(key=key, buffer=memory)
        none = jnp.zeros(())
        return guarded(state, learnt, unpack(numbers.sum(0)), none, (Episode(none, none), none))

    return Algorithm(init, update)
