"""A hand-made environment whose answers can be counted on fingers, and a way to step through it."""

import jax
import jax.numpy as jnp

from jaxrl.types import Box, Discrete, Env, Spaces, Timestep

KEY = jax.random.key(0)


CHOICE = Discrete(3)


def counter(action=CHOICE, death=5, limit=99):
    """Counts its steps; pays the action; dies at `death`, is cut at `limit`."""

    def shown(count):
        return jnp.stack([count, 10 * count]).astype(jnp.float32)

    def reset(key):
        del key
        return jnp.zeros((), jnp.int32), shown(jnp.zeros((), jnp.int32))

    def step(key, state, action):
        del key
        count = state + 1
        reward = jnp.asarray(action, jnp.float32).sum()
        terminated = count == death
        return count, Timestep(shown(count), reward, terminated, (count == limit) & ~terminated)

    return Env(reset, step, Spaces(Box(0.0, jnp.array([9.0, 90.0]), (2,)), action))


def walk(env, *actions, key=KEY):
    """The first observation, and the states and timesteps of some actions, jitted."""

    def run(key, actions):
        state, first = env.reset(key)

        def body(state, action_and_key):
            state, timestep = env.step(action_and_key[1], state, action_and_key[0])
            return state, (state, timestep)

        keys = jax.random.split(key, len(actions))
        return first, jax.lax.scan(body, state, (actions, keys))[1]

    first, (states, timesteps) = jax.jit(run)(key, jnp.array(actions))
    return first, states, timesteps


def abstract(env):
    """What reset and step give, in types alone: (reset's, step's)."""
    space = env.spaces.action
    shape, dtype = (space.shape, space.dtype) if isinstance(space, Box) else ((), "int32")
    first = jax.eval_shape(env.reset, KEY)
    return first, jax.eval_shape(env.step, KEY, first[0], jax.ShapeDtypeStruct(shape, dtype))


def types(tree):
    """Treedef, shapes, dtypes and weakness."""
    leaves, treedef = jax.tree.flatten(tree)
    return treedef, [(x.shape, x.dtype, x.weak_type) for x in leaves]


def hold_contract(env):
    """Assert what rollouts rely on; return the timestep in types."""
    (state, obs), (next_state, timestep) = abstract(env)
    assert types(state) == types(next_state)
    assert types(obs) == types(timestep.obs)
    assert not any(x.weak_type for x in jax.tree.leaves((state, obs, timestep)))
    scalars = timestep[1:]
    assert [(x.shape, x.dtype.name) for x in scalars] == [
        ((), "float32"),
        ((), "bool"),
        ((), "bool"),
    ]
    spaces = jax.tree.leaves(env.spaces.observation, is_leaf=lambda x: isinstance(x, Box))
    for x, space in zip(jax.tree.leaves(obs), spaces, strict=True):
        assert x.shape and (x.shape, x.dtype) == (space.shape, space.dtype)
    return timestep
