"""DQN in one scan over steps, as PureJaxRL and its heirs write it, for `benchmarks.throughput`.

Each step splits keys, lets gymnax reset by itself, adds to flashbax's buffer, and learns under a
`cond`; numbers of all steps are stacked. It runs in an environment that has flashbax.
"""

from importlib import import_module
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from flax import linen as nn

from benchmarks.off_policy import Setting


class Network(nn.Module):
    """Action values."""

    sizes: tuple[int, ...]
    num_actions: int

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        for size in self.sizes:
            x = nn.relu(nn.Dense(size)(x))
        return nn.Dense(self.num_actions)(x)


class Carried(NamedTuple):
    """What goes from step to step."""

    key: jax.Array
    params: Any
    target: Any
    moments: Any
    env: Any
    obs: jax.Array
    buffer: Any
    time: jax.Array  # of all environments together
    returned: jax.Array  # of the episodes so far, [N]


class Parts(NamedTuple):
    """What stays the same."""

    setting: Setting
    reset: Any  # keys -> obs, state
    step: Any  # keys, state, action -> obs, state, reward, terminated, truncated, info
    network: Network
    optimizer: optax.GradientTransformation
    buffer: Any

    def values(self, params: Any, obs: jax.Array) -> jax.Array:
        """Of all actions."""
        return jnp.asarray(self.network.apply(params, obs))


def parts(setting: Setting) -> Parts:
    """Everything that a setting asks for."""
    env, params = import_module("gymnax").make(setting.env)
    buffer = import_module("flashbax").make_flat_buffer(
        max_length=setting.capacity,
        min_length=setting.batch_size,
        sample_batch_size=setting.batch_size,
        add_batch_size=setting.num_envs,
    )
    return Parts(
        setting,
        jax.vmap(lambda key: env.reset(key, params)),
        jax.vmap(lambda key, state, action: env.step(key, state, action, params)),
        Network(setting.hidden_sizes, env.action_space(params).n),
        optax.adam(setting.learning_rate),
        buffer,
    )


def taken(values: jax.Array, action: jax.Array) -> jax.Array:
    """The value of each row's action."""
    return jnp.take_along_axis(values, action[:, None], -1)[:, 0]


def learnt(p: Parts, carried: Carried, key: jax.Array) -> Carried:
    """A gradient step of double DQN, as the other peers take it."""
    pair = p.buffer.sample(carried.buffer, key).experience
    best = p.values(carried.params, pair.second["obs"]).argmax(-1)
    beyond = taken(p.values(carried.target, pair.second["obs"]), best)
    wanted = pair.first["reward"] + p.setting.gamma * (1 - pair.first["done"]) * beyond

    def loss(params: Any) -> jax.Array:
        said = taken(p.values(params, pair.first["obs"]), pair.first["action"])
        return jnp.mean((said - wanted) ** 2)

    change, moments = p.optimizer.update(jax.grad(loss)(carried.params), carried.moments)
    params = optax.apply_updates(carried.params, change)
    return carried._replace(params=params, moments=moments)


def acted(p: Parts, carried: Carried) -> tuple[Carried, jax.Array, Any]:
    """A step of all environments, the key to learn with, and the returns that ended with it."""
    num = p.setting.num_envs
    key, k_try, k_action, k_env, k_learn = jax.random.split(carried.key, 5)
    greedy = p.values(carried.params, carried.obs).argmax(-1)
    epsilon = jnp.maximum(0.05, 1 - carried.time / (0.1 * p.setting.total_steps))
    tried = jax.random.randint(k_action, (num,), 0, p.network.num_actions)
    action = jnp.where(jax.random.uniform(k_try, (num,)) < epsilon, tried, greedy)
    obs, state, reward, ended, cut, _ = p.step(jax.random.split(k_env, num), carried.env, action)
    done, total = ended | cut, carried.returned + reward
    row = {"obs": carried.obs, "action": action, "reward": reward, "done": done}
    carried = carried._replace(
        key=key,
        env=state,
        obs=obs,
        buffer=p.buffer.add(carried.buffer, row),
        time=carried.time + num,
        returned=jnp.where(done, 0.0, total),
    )
    return carried, k_learn, (total, done)


def program(setting: Setting) -> Any:
    """key -> the return of each episode that ended, and whether one did, [T, N]."""
    p, period = parts(setting), setting.target_period * setting.num_envs

    def body(carried: Carried, _: None) -> tuple[Carried, Any]:
        carried, key, ended = acted(p, carried)
        ready = p.buffer.can_sample(carried.buffer) & (carried.time > setting.learning_starts)
        carried = jax.lax.cond(
            ready, lambda carried: learnt(p, carried, key), lambda carried: carried, carried
        )
        target = jax.lax.cond(
            carried.time % period == 0,
            lambda: optax.incremental_update(carried.params, carried.target, setting.polyak),
            lambda: carried.target,
        )
        return carried._replace(target=target), ended

    def train(key: jax.Array) -> Any:
        key, k_params, k_env = jax.random.split(key, 3)
        obs, state = p.reset(jax.random.split(k_env, setting.num_envs))
        net = p.network.init(k_params, obs)
        row = {"obs": obs[0], "action": jnp.int32(0), "reward": jnp.float32(0)}
        memory = p.buffer.init(row | {"done": jnp.array(False)})
        clock, returned = jnp.int32(0), jnp.zeros(setting.num_envs)
        start = Carried(key, net, net, p.optimizer.init(net), state, obs, memory, clock, returned)
        return jax.lax.scan(body, start, None, setting.total_steps // setting.num_envs)[1]

    return train
