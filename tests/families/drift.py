"""A random environment of floats that dies and is cut often, and rollouts of learners in it."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from jaxrl.families.settings import Setting
from jaxrl.loops import episodic, on_policy
from jaxrl.types import Box, Discrete, Env, MaskedObs, MultiDiscrete, Spaces, Timestep

NUM_ENVS, NUM_STEPS = 6, 12
LIMIT = 5


class Drift(NamedTuple):
    """Where a point is, and for how long it has drifted."""

    place: Any
    time: Any


def drift(action=None, masked=False):
    """A point that drifts; the action pushes it, and its first coordinate pays."""
    space = Discrete(3) if action is None else action
    width = sum(space.num_values) if isinstance(space, MultiDiscrete) else space[0]

    def shown(state):
        time = jnp.asarray(state.time, jnp.float32)[None] / LIMIT
        obs = jnp.concatenate([state.place, time])
        if not masked:
            return obs
        return MaskedObs(obs, jnp.arange(width) != state.time % 2)

    def reset(key):
        state = Drift(jax.random.normal(key, (2,)), jnp.int32(0))
        return state, shown(state)

    def step(key, state, action):
        k_noise, k_death = jax.random.split(key)
        push = jnp.asarray(action, jnp.float32).mean()
        noise = jax.random.normal(k_noise, (2,))
        new = Drift(0.7 * state.place + 0.4 * noise + 0.3 * push, state.time + 1)
        dies = jax.random.uniform(k_death) < 0.12
        reward = new.place[0] - 0.5 * jnp.square(push)
        return new, Timestep(shown(new), reward, dies, (new.time >= LIMIT) & ~dies)

    return Env(reset, step, Spaces(Box(-jnp.inf, jnp.inf, (3,)), space))


def recorder(config, schedule):
    """In place of an optimiser: parameters stay, the state becomes the gradients' sum."""
    del config, schedule
    return optax.GradientTransformation(
        lambda params: jax.tree.map(jnp.zeros_like, params),
        lambda grad, state, params: (
            jax.tree.map(jnp.zeros_like, grad),
            jax.tree.map(jnp.add, state, grad),
        ),
    )


def descent(config, schedule):
    """Plain gradient descent, which an oracle can follow."""
    del config
    return optax.sgd(schedule)


def setting(env, optimizer=None, num_updates=10):
    return Setting(env.spaces, num_updates, None, optimizer)


def observer(learner):
    """The learner, which hands its rollout on in place of learning from it."""
    return learner._replace(update=lambda key, state, rollout: (state, {"rollout": rollout}))


def played(env, learner, whole=False, num_updates=2, group_size=3, num_steps=NUM_STEPS):
    """The learner's state, and its rollout after others before it."""
    if whole:
        algorithm = episodic(env, observer(learner), NUM_ENVS, num_steps, group_size)
    else:
        algorithm = on_policy(env, observer(learner), NUM_ENVS, num_steps)

    def play(key):
        state, metrics = algorithm.init(key), {}
        for _ in range(num_updates):
            state, metrics = algorithm.update(state)
        return state.learner, metrics["rollout"]

    return jax.jit(play)(jax.random.key(7))


def moved(tree, seed=0, scale=0.2):
    """Other parameters, not far from these."""
    leaves, treedef = jax.tree.flatten(tree)
    keys = jax.random.split(jax.random.key(seed), len(leaves))
    noise = [scale * jax.random.normal(k, x.shape) for k, x in zip(keys, leaves, strict=True)]
    return jax.tree.unflatten(treedef, [x + y for x, y in zip(leaves, noise, strict=True)])
