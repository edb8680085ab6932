"""The online loop: learn from each step as soon as it is taken.

As elsewhere all chance is drawn in bulk before the scan, whose body is a step of all environments,
the choice of the next action, and the learner's update.
"""

from typing import Any, NamedTuple

import jax

from jaxrl.loops.acting import Draws, LoopState, Scene, draws, guarded, moved, start, tallied
from jaxrl.numerics import select
from jaxrl.types import (
    Algorithm,
    Array,
    Env,
    Learner,
    LearnerState,
    Metrics,
    PyTree,
    Transition,
)


class Choice(NamedTuple):
    """What is to be done next, chosen and not yet done, [N]."""

    action: PyTree
    extras: PyTree


class Step(NamedTuple):
    """What an online learner learns from: a step, and the action that follows it, [N, ...]."""

    transition: Transition
    next_action: PyTree  # in the state that the step reached, or in a fresh one; None if the
    # learner does not ask


def online(
    env: Env, learner: Learner, num_envs: int, num_steps: int, ahead: bool = False
) -> Algorithm:
    """`num_envs` environments that never stop, and an update of the learner after each step.

    The learner's update is (chance, state, `Step`) -> (state, metrics). What was chosen and not yet
    done is part of the state (`LoopState.buffer`).

    Args:
      num_steps: steps of each environment that count as one update of the loop.
      ahead: whether the next action is chosen before the update, which is then told of it (Sarsa);
        otherwise it is chosen by what was just learnt.
    """

    def init(key: Array) -> LoopState:
        state = start(key, env, learner, num_envs)
        key, k_noise = jax.random.split(state.key)
        noise = learner.noise(k_noise, (num_envs,))
        scene, choice = _chosen(learner, state.learner, state.scene, noise)
        return state._replace(key=key, scene=scene, buffer=choice)

    def update(state: LoopState) -> tuple[LoopState, Metrics]:
        key, *k_draws, k_carry, k_learn = jax.random.split(state.key, 6)
        blank = learner.carry(k_carry, num_envs)

        def turn(carried: Any, draw: tuple[Draws, PyTree]) -> Any:
            scene, choice, learnt = carried
            chance, luck = draw
            reached, transition = moved(env, scene, choice.action, choice.extras, chance.keys)
            scene = select(transition.done, Scene(*chance.fresh, blank), reached)
            if ahead:
                scene, choice = _chosen(learner, learnt, scene, chance.noise)
                learnt, metrics = learner.update(luck, learnt, Step(transition, choice.action))
            else:
                learnt, metrics = learner.update(luck, learnt, Step(transition, None))
                scene, choice = _chosen(learner, learnt, scene, chance.noise)
            return (scene, choice, learnt), (transition.reward, transition.done, metrics)

        lucks = jax.vmap(lambda key: learner.chance(key, num_envs))
        all_luck = lucks(jax.random.split(k_learn, num_steps))
        all_draws = draws(k_draws, env, learner, (num_steps, num_envs)), all_luck
        begin = state.scene, state.buffer, state.learner
        (scene, choice, learnt), (reward, done, metrics) = jax.lax.scan(turn, begin, all_draws)
        episode, finished = tallied(state.episode, reward, done)
        metrics = jax.tree.map(lambda x: x.sum(0), metrics)
        state = state._replace(key=key, scene=scene, episode=episode, buffer=choice)
        return guarded(state, learnt, metrics, reward, finished)

    return Algorithm(init, update)


def _chosen(
    learner: Learner, learnt: LearnerState, scene: Scene, noise: PyTree
) -> tuple[Scene, Choice]:
    """The next action in each environment, and the scene after the choice."""
    action, extras, carry = learner.act(learnt, scene.obs, noise, scene.carry)
    return scene._replace(carry=carry), Choice(action, extras)
