"""A trained policy at play, as an animated GIF; needs no screen."""

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from PIL import Image

from jaxrl.runtime.atomic import whole
from jaxrl.runtime.load import Run
from jaxrl.runtime.render import boards, classic
from jaxrl.runtime.render.canvas import Canvas, palette
from jaxrl.types import Array, LearnerState, PyTree

Drawing = Callable[[Any, np.ndarray], Canvas]  # state of the environment, observation

DRAWINGS: dict[str, Drawing] = {**classic.DRAWINGS, **boards.DRAWINGS}
"""The environments that can be drawn."""

HOLD = 800
"""Milliseconds for which the last picture of an episode stands."""


class Moment(NamedTuple):
    """What there is to see after some steps of an episode."""

    state: Any
    obs: np.ndarray
    step: int
    episode_return: float
    last: bool  # whether the episode ended here, or is cut off


def drawing(env: str) -> Drawing:
    """How an environment is drawn."""
    if env not in DRAWINGS:
        raise ValueError(f"render must be of {', '.join(sorted(DRAWINGS))}, not of {env!r}")
    return DRAWINGS[env]


def episode(
    key: Array, run: Run, learnt: LearnerState, max_steps: int, greedy: bool = True
) -> Iterator[Moment]:
    """One episode of a run's policy, from its reset to its end or to `max_steps`."""
    learner, env = run.learner, run.env

    @jax.jit
    def advance(key: Array, state: PyTree, obs: PyTree, carry: PyTree) -> Any:
        k_noise, k_step = jax.random.split(key)
        noise = None if greedy else learner.noise(k_noise, (1,))
        batched = jax.tree.map(lambda x: x[None], obs)
        action, _, carry = learner.act(learnt, batched, noise, carry)
        state, new = env.step(k_step, state, jax.tree.map(lambda x: x[0], action))
        return state, new.obs, carry, new.reward, new.terminated | new.truncated

    k_reset, k_carry, k_play = jax.random.split(key, 3)
    (state, obs), carry = jax.jit(env.reset)(k_reset), learner.carry(k_carry, 1)
    total = 0.0
    yield Moment(jax.device_get(state), np.asarray(obs), 0, total, last=False)
    for step in range(1, max_steps + 1):
        now = jax.random.fold_in(k_play, step)
        state, obs, carry, reward, done = advance(now, state, obs, carry)
        total, last = total + float(reward), bool(done) or step == max_steps
        yield Moment(jax.device_get(state), np.asarray(obs), step, total, last)
        if last:
            return


def frames(env: str, moments: Iterable[Moment]) -> Iterator[Image.Image]:
    """A picture of each moment, with its score and step below."""
    draw = drawing(env)
    for moment in moments:
        text = f"{env}    step {moment.step}    return {decimal(moment.episode_return)}"
        yield draw(moment.state, moment.obs).framed(text)


def decimal(x: float) -> str:
    """A number with two digits after the point at most.

    >>> decimal(-3.456), decimal(200.0), decimal(-0.001)
    ('-3.46', '200', '0')
    """
    return f"{round(x, 2) + 0:.2f}".rstrip("0").rstrip(".")


def animate(path: Path, pictures: Iterable[Image.Image], milliseconds: Iterable[int]) -> None:
    """Write pictures as a GIF that repeats for ever."""
    shared, plain = palette(), Image.Dither.NONE
    first, *rest = (picture.quantize(palette=shared, dither=plain) for picture in pictures)
    with whole(path) as file:
        first.save(file, "GIF", save_all=True, append_images=rest, loop=0, optimize=False,
                   duration=list(milliseconds))  # fmt: skip


def render(
    keys: Array,
    path: Path,
    run: Run,
    learnt: LearnerState,
    max_steps: int,
    fps: int,
    greedy: bool = True,
) -> list[Moment]:
    """Play an episode for each key into one GIF; return the last moment of each."""
    moments = [x for key in keys for x in episode(key, run, learnt, max_steps, greedy)]
    times = [1000 // fps + HOLD * moment.last for moment in moments]
    animate(path, frames(run.env_name, moments), times)
    return [moment for moment in moments if moment.last]
