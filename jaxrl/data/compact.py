"""Replay in less memory: each observation once, each frame once, a bit for each bool."""

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxrl import checks
from jaxrl.data.buffer import Buffer, Sample
from jaxrl.numerics import select
from jaxrl.types import Array, MaskedObs, PyTree, Transition


class Chained(NamedTuple):
    """Rows without their next observation, and the last observations of episodes."""

    inner: PyTree  # in place of `next_obs` the number of the episode × N + environment
    final: PyTree  # a ring for each environment, [num_finals + 1, N, ...] in one axis
    episode: Array  # which episode each environment is in, [N]


class Packed(NamedTuple):
    """Rows whose flags are bits, and arrays without entries that have the shape of a row."""

    inner: PyTree
    like: PyTree


def chained(buffer: Buffer, num_finals: int) -> Buffer:
    """Replay that keeps each observation once: the next one is that of the next row.

    Where an episode ended, its last observation is in a ring of the `num_finals` newest ones of
    each environment. A row that was truncated and has lost it is drawn with weight 0; a terminated
    one needs none, as its discount is 0. The newest row waits for its successor.
    """
    checks.at_least(1, num_finals=num_finals)

    def margin(newest: int, oldest: int) -> Buffer:
        inner = buffer.margin(newest + 1, oldest)

        def init(example: Transition) -> Chained:
            return _chain(inner, example, num_finals)

        def read(state: Chained, places: PyTree) -> Transition:
            return _linked(inner, state, places)

        def sample(state: Chained, noise: PyTree) -> Sample:
            drawn = inner.sample(state.inner, noise)
            whole = _kept(inner, state, drawn.index)
            data = read(state, drawn.index)
            return drawn._replace(data=data, weight=jnp.where(whole, drawn.weight, 0.0))

        return inner._replace(
            init=init,
            add=lambda state, transition: _chained(inner, state, transition),
            sample=sample,
            reprioritise=lambda state, *told: state._replace(
                inner=inner.reprioritise(state.inner, *told)
            ),
            read=read,
            span=lambda state: inner.span(state.inner),
            whole=lambda state, places: _kept(inner, state, places),
            reached=lambda state, places: _reached(inner, state, places),
            margin=margin,
        )

    return margin(0, 0)


def _chain(inner: Buffer, example: Transition, num_finals: int) -> Chained:
    number = jax.ShapeDtypeStruct((), jnp.int32)
    state = inner.init(example._replace(next_obs=number))
    num_envs = jax.tree.leaves(inner.span(state)[0])[0].shape[0]
    rows = ((num_finals + 1) * num_envs,)
    final = jax.tree.map(
        lambda x: jnp.zeros(rows + jnp.shape(x), jnp.result_type(x)), example.next_obs
    )
    return Chained(state, final, jnp.zeros(num_envs, jnp.int32))


def _chained(inner: Buffer, state: Chained, transition: Transition) -> Chained:
    """Every step writes where its episode's last observation belongs; the last one remains."""
    (num_envs,) = state.episode.shape
    number = state.episode * num_envs + jnp.arange(num_envs)
    slot = number % _num_slots(state)
    final = jax.tree.map(lambda x, new: x.at[slot].set(new), state.final, transition.next_obs)
    rows = inner.add(state.inner, transition._replace(next_obs=number))
    return Chained(rows, final, state.episode + transition.done.astype(jnp.int32))


def _linked(inner: Buffer, state: Chained, places: PyTree) -> Transition:
    row = inner.read(state.inner, places)
    follower = inner.read(state.inner, inner.after(places, jnp.ones(1, jnp.int32)))
    slot = row.next_obs % _num_slots(state)
    final = jax.tree.map(lambda x: x.at[slot].get(mode="promise_in_bounds"), state.final)
    following = jax.tree.map(lambda x: x[0], follower.obs)
    return row._replace(next_obs=select(row.done, final, following))


def _kept(inner: Buffer, state: Chained, places: PyTree) -> Array:
    """Whether a row has its next observation; a terminated one does without."""
    row = inner.read(state.inner, places)
    return ~(row.truncated & ~row.terminated & _lost(state, row)) & inner.whole(state.inner, places)


def _reached(inner: Buffer, state: Chained, places: PyTree) -> Array:
    row = inner.read(state.inner, places)
    return ~(row.done & _lost(state, row)) & inner.reached(state.inner, places)


def _lost(state: Chained, row: Transition) -> Array:
    """Whether the last observation of a row's episode is gone, if that has ended."""
    (num_envs,) = state.episode.shape
    later = state.episode[row.next_obs % num_envs] - row.next_obs // num_envs
    return later >= _num_slots(state) // num_envs


def _num_slots(state: Chained) -> int:
    return jax.tree.leaves(state.final)[0].shape[0]


def stacked(buffer: Buffer, num_frames: int) -> Buffer:
    """Replay of observations that show their `num_frames` newest frames, which keeps each once.

    The frames are side by side on the last axis, the newest last; before an episode's first one
    stand copies of it. The `num_frames` − 1 oldest rows of each environment are not drawn, as what
    came before them is gone. Around `chained` it keeps one frame a row.
    """
    checks.at_least(1, num_frames=num_frames)

    def margin(newest: int, oldest: int) -> Buffer:
        inner = buffer.margin(newest, oldest + num_frames - 1)

        def init(example: Transition) -> PyTree:
            return inner.init(jax.eval_shape(lambda x: _unstacked(x, num_frames), example))

        def read(state: PyTree, places: PyTree) -> Transition:
            return _restacked(inner, state, places, num_frames)

        def sample(state: PyTree, noise: PyTree) -> Sample:
            drawn = inner.sample(state, noise)
            return drawn._replace(data=read(state, drawn.index))

        def add(state: PyTree, transition: Transition) -> PyTree:
            return inner.add(state, _unstacked(transition, num_frames))

        return inner._replace(
            init=init, add=add, sample=sample, read=read, margin=margin, looks=True
        )

    return margin(0, 0)


def _unstacked(transition: Transition, num_frames: int) -> Transition:
    """The newest frame alone."""

    def newest(obs: PyTree) -> PyTree:
        x = _frames(obs)
        if x.shape[-1] % num_frames:
            raise ValueError(f"num_frames must divide the last axis of {x.shape}, not {num_frames}")
        return _with_frames(obs, x[..., -(x.shape[-1] // num_frames) :])

    obs, next_obs = newest(transition.obs), newest(transition.next_obs)
    return transition._replace(obs=obs, next_obs=next_obs)


def _restacked(inner: Buffer, state: PyTree, places: PyTree, num_frames: int) -> Transition:
    row = inner.read(state, places)
    past = inner.read(state, inner.after(places, -jnp.arange(num_frames)))
    begun = jnp.cumsum(past.done[1:].astype(jnp.int32), 0) == 0
    age = begun.sum(0)  # steps since the episode's start, at most num_frames − 1
    frames = _frames(past.obs)

    def back(k: int) -> Array:
        at = jnp.minimum(k, age).reshape(1, *age.shape, *(1,) * (frames.ndim - 1 - age.ndim))
        return jnp.take_along_axis(frames, at, 0)[0]

    shown = [back(k) for k in reversed(range(num_frames))]
    obs = jnp.concatenate(shown, -1)
    reached = jnp.concatenate([*shown[1:], _frames(row.next_obs)], -1)
    return row._replace(
        obs=_with_frames(row.obs, obs), next_obs=_with_frames(row.next_obs, reached)
    )


def _frames(obs: PyTree) -> Any:
    return obs.obs if isinstance(obs, MaskedObs) else obs


def _with_frames(obs: PyTree, frames: Array) -> PyTree:
    return obs._replace(obs=frames) if isinstance(obs, MaskedObs) else frames


def packed(buffer: Buffer) -> Buffer:
    """Replay in which a bool of an array takes a bit, and not a byte; the other types stay.

    For observations that are bool, and the masks of actions. Inside of what reads observations
    (`stacked`, `hindsight`), not around it.
    """
    if buffer.looks:
        raise ValueError("packed must stand inside of stacked and hindsight, not around them")

    def margin(newest: int, oldest: int) -> Buffer:
        inner = buffer.margin(newest, oldest)

        def init(example: Transition) -> Packed:
            like = jax.tree.map(
                lambda x: jnp.zeros((0, *jnp.shape(x)), jnp.result_type(x)), example
            )
            return Packed(inner.init(jax.eval_shape(_pack, example, like)), like)

        def add(state: Packed, transition: Transition) -> Packed:
            return state._replace(inner=inner.add(state.inner, _pack(transition, state.like)))

        def sample(state: Packed, noise: PyTree) -> Sample:
            drawn = inner.sample(state.inner, noise)
            return drawn._replace(data=_unpack(drawn.data, state.like))

        return inner._replace(
            init=init,
            add=add,
            sample=sample,
            reprioritise=lambda state, *told: state._replace(
                inner=inner.reprioritise(state.inner, *told)
            ),
            read=lambda state, places: _unpack(inner.read(state.inner, places), state.like),
            span=lambda state: inner.span(state.inner),
            whole=lambda state, places: inner.whole(state.inner, places),
            reached=lambda state, places: inner.reached(state.inner, places),
            margin=margin,
        )

    return margin(0, 0)


def _is_packed(like: Array) -> bool:
    return like.dtype == bool and like.ndim > 1


def _pack(tree: PyTree, like: PyTree) -> PyTree:
    """Flags of each row as bytes; whatever axes stand before the row's own stay."""

    def pack(x: Array, like: Array) -> Array:
        lead = x.shape[: x.ndim - like.ndim + 1]
        return jnp.packbits(x.reshape(*lead, -1), axis=-1) if _is_packed(like) else x

    return jax.tree.map(pack, tree, like)


def _unpack(tree: PyTree, like: PyTree) -> PyTree:
    def unpack(x: Array, like: Array) -> Array:
        if not _is_packed(like):
            return x
        shape = like.shape[1:]
        bits = jnp.unpackbits(x, axis=-1, count=math.prod(shape))
        return bits.reshape(*x.shape[:-1], *shape).astype(bool)

    return jax.tree.map(unpack, tree, like)
