"""Tiny environments that use every key, end in both ways, and can go wrong when told to."""

import jax
import jax.numpy as jnp
import numpy as np

from jaxrl.envs import Mdp, action_mask, mdp_env
from jaxrl.types import Box, Discrete, Env, MultiDiscrete, Spaces, Timestep

CHOICE = Discrete(2)
SEVERAL = MultiDiscrete((2, 3))
FORCE = Box(-1.0, 1.0, (2,))


def drift(action=CHOICE, spoil=0.0):
    """A point in the plane that chance and actions push; far out it dies, after 5 steps it is cut.

    `spoil` is added to each reward, and may be traced: 0, or NaN.
    """

    def reset(key):
        place = jax.random.uniform(key, (2,), minval=-0.3, maxval=0.3)
        return (place, jnp.int32(0)), place

    def step(key, state, action):
        place, time = state
        gust = jax.random.uniform(key, (2,), minval=-0.4, maxval=0.4)
        place = place + gust + 0.4 * (jnp.asarray(action, jnp.float32).mean() - 0.5)
        time = time + 1
        dead = jnp.abs(place[0]) > 0.8
        reward = 1.0 - jnp.abs(place[1]) + spoil
        return (place, time), Timestep(place, reward, dead, (time == 5) & ~dead)

    return Env(reset, step, Spaces(Box(-jnp.inf, jnp.inf, (2,)), action))


def maze(spoil=0.0):
    """Five numbered states that chance and actions move through; one is death, after 5 steps it is
    cut.

    `spoil` is added to each reward, and may be traced: 0, or NaN.
    """
    rng = np.random.default_rng(0)
    transition = rng.dirichlet(np.ones(5), (5, 2)).astype(np.float32)
    reward = rng.normal(size=(5, 2, 5)).astype(np.float32) + spoil
    terminal, initial = np.arange(5) == 4, np.array([0.5, 0.3, 0.2, 0, 0], np.float32)
    return mdp_env(Mdp(transition, reward, terminal, initial), 5)


def guarded(action):
    """`drift` in which the last legal action changes with time, and an illegal one pays NaN."""
    inner = drift(action)
    parts = action.num_values if isinstance(action, MultiDiscrete) else (action.num_values,)

    def legal(state):
        time = state[1]
        return jnp.concatenate([jnp.arange(n) != (time % n if n > 2 else n) for n in parts])

    def step(key, state, action):
        taken = jnp.concatenate(
            [jnp.arange(n) == a for n, a in zip(parts, jnp.atleast_1d(action), strict=True)]
        )
        wrong = jnp.any(taken & ~legal(state))
        state, timestep = inner.step(key, state, action)
        return state, timestep._replace(reward=jnp.where(wrong, jnp.nan, timestep.reward))

    return action_mask(inner._replace(step=step), legal)


def pictured():
    """`drift` that shows on a board of bools, 3 × 3 with two channels, on which side it is."""
    inner = drift()

    def shown(place):
        return jnp.broadcast_to(place > 0, (3, 3, 2))

    def reset(key):
        state, place = inner.reset(key)
        return state, shown(place)

    def step(key, state, action):
        state, timestep = inner.step(key, state, action)
        return state, timestep._replace(obs=shown(timestep.obs))

    return Env(reset, step, Spaces(Box(0.0, 1.0, (3, 3, 2), "bool"), CHOICE))


def invest(continuous=False):
    """One step to a time limit: at level 0, action 1 costs 0.5 and lifts to level 1 for good.

    Level 1 pays 1 a step: with γ = 0.9 and values beyond the limit, lifting is worth 8.5; within
    the limit it is a loss. Of continuous actions the positive ones count as 1.
    """

    def shown(level):
        return jnp.stack([level, 1 - level]).astype(jnp.float32)

    def reset(key):
        level = jax.random.bernoulli(key).astype(jnp.int32)
        return level, shown(level)

    def step(key, level, action):
        del key
        chosen = (action[0] > 0).astype(jnp.int32) if continuous else action
        reached = jnp.maximum(level, chosen)
        reward = level.astype(jnp.float32) - 0.5 * (reached - level).astype(jnp.float32)
        return reached, Timestep(shown(reached), reward, jnp.bool_(False), jnp.bool_(True))

    actions = Box(-1.0, 1.0, (1,)) if continuous else CHOICE
    return Env(reset, step, Spaces(Box(0.0, 1.0, (2,)), actions))


def numbered(env):
    """A probe, or `invest`, whose observations are told by one number each, for tables."""

    def reset(key):
        state, obs = env.reset(key)
        return state, number(obs)

    def step(key, state, action):
        state, timestep = env.step(key, state, action)
        return state, timestep._replace(obs=number(timestep.obs))

    return Env(reset, step, Spaces(Discrete(25 * 25), env.spaces.action))


def number(obs):
    """Observations in twelfths from −1 to 1, [..., 2], as integers [...]."""
    twelfths = jnp.round(12 * obs).astype(jnp.int32) + 12
    return 25 * twelfths[..., 0] + twelfths[..., 1]


def either(first, one, other):
    """`one` where the flag holds, which may be traced, else `other`; both run."""

    def reset(key):
        states, obs = zip(one.reset(key), other.reset(key), strict=True)
        return states, jnp.where(first, *obs)

    def step(key, states, action):
        pairs = [env.step(key, s, action) for env, s in zip((one, other), states, strict=True)]
        states, timesteps = zip(*pairs, strict=True)
        return states, jax.tree.map(lambda x, y: jnp.where(first, x, y), *timesteps)

    return Env(reset, step, one.spaces)
