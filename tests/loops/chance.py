"""An environment of integers that shows all its chance, and learners that show what they are fed.

A replay in NumPy can therefore check every number of a rollout exactly.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxrl.types import Box, Discrete, Env, Learner, LearnerState, Spaces, Timestep

LIMIT = 4
DEATH = 5  # one draw in five kills
SHOWN = ("tag", "time", "total", "draw")


class Chance(NamedTuple):
    """The reset's own draw, the steps and the actions' sum since, and the last step's draw."""

    tag: Any
    time: Any
    total: Any
    draw: Any


def bits(key):
    return jax.random.bits(key, (), jnp.uint32)


def chance(limit=LIMIT):
    """Dies by chance, is cut at the limit, and pays for the action and for the draw."""

    def reset(key):
        zero = jnp.uint32(0)
        state = Chance(bits(key), zero, zero, zero)
        return state, jnp.stack(state)

    def step(key, state, action):
        draw = bits(key)
        new = Chance(state.tag, state.time + 1, state.total + action.astype(jnp.uint32), draw)
        dies = draw % DEATH == 0
        paid = action.astype(jnp.float32) + (draw % 7).astype(jnp.float32)
        return new, Timestep(jnp.stack(new), paid, dies, (new.time >= limit) & ~dies)

    box = Box(0, 2**32 - 1, (4,), "uint32")
    return Env(reset, step, Spaces(box, Discrete(3)))


def spy(poison=None, where="params"):
    """Acts by its noise, remembers how often it acted and hands its rollout on as a metric.

    Its parameter and its slot count the updates; the update of number `poison` makes one NaN.
    """

    def init(key, obs):
        zero = jnp.zeros(())
        return LearnerState({"count": zero}, {"seen": zero}, jnp.int32(0), slots=zero)

    def act(state, obs, noise, carry):
        action = jnp.zeros(carry.shape, jnp.int32) if noise is None else noise % 3
        return action, {"carry": carry, "noise": noise}, carry + 1

    def update(key, state, rollout):
        count = slots = state.params["count"] + 1
        if poison is not None:
            bad = jnp.where(count == poison, jnp.nan, count)
            count, slots = (bad, slots) if where == "params" else (count, bad)
        new = LearnerState({"count": count}, {"seen": count}, state.num_updates + 1, slots=slots)
        return new, {"rollout": rollout, "key": jax.random.key_data(key)}

    return Learner(
        init,
        lambda key, num_envs: jnp.zeros(num_envs, jnp.int32),
        lambda key, shape: jax.random.randint(key, shape, 0, 2**30),
        act,
        update,
    )


def paid(action, draw):
    return np.float32(action) + np.float32(draw % 7)


def replay(steps):
    """What the rules make of the recorded actions and draws: the reached states and the rest."""
    obs, drawn = np.asarray(steps.obs), np.asarray(steps.next_obs)[..., 3]
    action = np.asarray(steps.action)
    reached = np.empty_like(obs)
    reward = np.empty(action.shape, np.float32)
    terminated, truncated = (np.empty(action.shape, bool) for _ in range(2))
    for index in np.ndindex(action.shape):
        tag, time, total, _ = obs[index]
        reached[index] = tag, time + 1, total + action[index], drawn[index]
        reward[index] = paid(action[index], drawn[index])
        terminated[index] = drawn[index] % DEATH == 0
        truncated[index] = time + 1 >= LIMIT and not terminated[index]
    return reached, reward, terminated, truncated


def updates(algorithm, num, seed=0):
    """The state before each update, its metrics, and the state at the end."""
    state = algorithm.init(jax.random.key(seed))
    update = jax.jit(algorithm.update)
    history = []
    for _ in range(num):
        before = state
        state, metrics = update(state)
        history.append((before, metrics))
    return history, state
