"""Hindsight: what was reached, taken for what was wanted."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxrl import checks
from jaxrl.data.buffer import Buffer, Sample
from jaxrl.data.windows import at, before_end
from jaxrl.numerics import select
from jaxrl.types import Array, PyTree, Transition

Reward = Callable[[PyTree, PyTree], Array]
"""(achieved_goal, desired_goal), of any leading axes -> reward."""


Ending = Callable[[PyTree, PyTree], Array]
"""(achieved_goal, desired_goal), of any leading axes -> whether it is reached, which ends all."""


class Task(NamedTuple):
    """What goals mean."""

    reward: Reward
    terminated: Ending | None


class Aim(NamedTuple):
    """A place, and where the goal that it is given was reached."""

    place: PyTree
    goal: PyTree
    relabelled: Array  # whether it is given that goal, or keeps its own


class Chance(NamedTuple):
    """What a draw with hindsight consumes."""

    inner: PyTree
    step: Array  # uniform in [0, 1)
    relabel: Array


def hindsight(
    buffer: Buffer,
    reward: Reward,
    num_goals: int,
    horizon: int,
    terminated: Ending | None = None,
) -> Buffer:
    """Hindsight experience replay with goals from the future of the episode.

    Of `num_goals` + 1 rows that are drawn all but one, on average, have as their goal what one of
    the steps from their own to the last one of the episode achieved, each as likely; their reward
    is what it would have been. Observations are dicts or tuples with `achieved_goal` and
    `desired_goal`. It stands inside of `n_step`, which then adds up the rewards of one goal, up to
    the step that reaches it where that ends an episode.

    Args:
      horizon: how many steps ahead the future is searched, at most: the time limit, if there is
        one. As many of the newest rows less one wait until theirs is known.
      terminated: whether a goal that is reached ends the episode; None where none does. A row whose
        own goal ended it is cut short, as by a time limit, if it has another goal that it does not
        reach; a death of another kind remains one.
    Reference: Andrychowicz et al. 2017, arXiv:1707.01495, section 3.3 and algorithm 1.
    """
    checks.at_least(1, num_goals=num_goals, horizon=horizon)
    share, task = num_goals / (num_goals + 1), Task(reward, terminated)

    def margin(newest: int, oldest: int) -> Buffer:
        inner = buffer.margin(max(newest, horizon - 1), oldest)

        def draw(key: Array, shape: tuple[int, ...]) -> Chance:
            k_inner, k_step, k_relabel = jax.random.split(key, 3)
            uniform = [jax.random.uniform(k, shape) for k in (k_step, k_relabel)]
            return Chance(inner.draw(k_inner, shape), *uniform)

        def sample(state: PyTree, noise: Chance) -> Sample:
            drawn = inner.sample(state, noise.inner)
            goal = _future(inner, state, drawn.index, noise.step, horizon)
            aim = Aim(drawn.index, goal, noise.relabel < share)
            weight = jnp.where(_whole(inner, state, aim), drawn.weight, 0.0)
            return Sample(_relabelled(inner, state, aim, task), aim, weight)

        return Buffer(
            inner.init,
            inner.add,
            draw,
            sample,
            lambda state, aim, priority: inner.reprioritise(state, aim.place, priority),
            lambda state, aim: _relabelled(inner, state, aim, task),
            lambda aim, steps: _after(inner, aim, steps),
            lambda state: _as_they_were(*inner.span(state)),
            lambda state, aim: _whole(inner, state, aim),
            lambda state, aim: inner.reached(state, aim.place) & _whole(inner, state, aim),
            margin,
            inner.window,
            looks=True,
        )

    return margin(0, 0)


def _future(inner: Buffer, state: PyTree, place: PyTree, noise: Array, horizon: int) -> PyTree:
    """The place of a random step from this one to the end of its episode."""
    ahead = inner.after(place, jnp.arange(horizon))
    count = before_end(inner.read(state, ahead).done).sum(0)
    offset = (noise * count.astype(noise.dtype)).astype(jnp.int32)  # noise < 1: never count itself
    return at(ahead, offset)


def _relabelled(inner: Buffer, state: PyTree, aim: Aim, task: Task) -> Transition:
    row = inner.read(state, aim.place)
    wanted = goal_of(inner.read(state, aim.goal).next_obs, "achieved")
    other = _ended(row, wanted, task.terminated) if task.terminated else row
    other = other._replace(
        obs=_with_goal(row.obs, wanted),
        next_obs=_with_goal(row.next_obs, wanted),
        reward=task.reward(goal_of(row.next_obs, "achieved"), wanted),
    )
    return select(aim.relabelled, other, row)


def _ended(row: Transition, wanted: PyTree, terminated: Ending) -> Transition:
    """The row with the end that it would have had; what comes after it is another episode."""
    achieved = goal_of(row.next_obs, "achieved")
    died = row.terminated & ~terminated(achieved, goal_of(row.next_obs, "desired"))
    ended = died | terminated(achieved, wanted)
    return row._replace(terminated=ended, truncated=row.done & ~ended)


def _whole(inner: Buffer, state: PyTree, aim: Aim) -> Array:
    """A reward in hindsight, and a row that no longer ends, need what was reached."""
    other = inner.reached(state, aim.goal) & inner.reached(state, aim.place)
    return inner.whole(state, aim.place) & (other | ~aim.relabelled)


def _after(inner: Buffer, aim: Aim, steps: Array) -> Aim:
    goal, relabelled = jax.tree.map(
        lambda x: jnp.broadcast_to(x, (*steps.shape, *x.shape)), (aim.goal, aim.relabelled)
    )
    return Aim(inner.after(aim.place, steps), goal, relabelled)


def _as_they_were(places: PyTree, count: Array) -> tuple[Aim, Array]:
    shape = jax.tree.leaves(places)[0].shape
    return Aim(places, places, jnp.zeros(shape, bool)), count


def goal_of(obs: PyTree, kind: str) -> PyTree:
    """The achieved or the desired goal of an observation."""
    name = f"{kind}_goal"
    return obs[name] if isinstance(obs, dict) else getattr(obs, name)


def _with_goal(obs: PyTree, goal: PyTree) -> PyTree:
    if isinstance(obs, dict):
        return obs | {"desired_goal": goal}
    return obs._replace(desired_goal=goal)
