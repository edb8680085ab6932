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


def program(setting: Setting) -> Any:
    """key -> the return of each episode that ended, and whether one did, [T, N]."""
    env, params = import_module("gymnax").make(setting.env)
    num = setting.num_envs
    network = Network(setting.hidden_sizes, env.action_space(params).n)
    optimizer = optax.adam(setting.learning_rate)
    buffer = import_module("flashbax").make_flat_buffer(
        max_length=setting.capacity,
        min_length=setting.batch_size,
        sample_batch_size=setting.batch_size,
        add_batch_size=num,
    )
    reset, step = (jax.vmap(f, axes) for f, axes in ((env.reset, (0, None)), (env.step, AXES)))

    def learnt(carried: Carried, key: jax.Array) -> Carried:
        pair = buffer.sample(carried.buffer, key).experience
        best = network.apply(carried.target, pair.second["obs"]).max(-1)
        wanted = pair.first["reward"] + setting.gamma * (1 - pair.first["done"]) * best

        def loss(params: Any) -> jax.Array:
            said = network.apply(params, pair.first["obs"])
            taken = jnp.take_along_axis(said, pair.first["action"][:, None], -1)[:, 0]
            return jnp.mean((taken - wanted) ** 2)

        change, moments = optimizer.update(jax.grad(loss)(carried.params), carried.moments)
        params = optax.apply_updates(carried.params, change)
        return carried._replace(params=params, moments=moments)

    def body(carried: Carried, _: None) -> tuple[Carried, Any]:
        key, k_try, k_action, k_env, k_learn = jax.random.split(carried.key, 5)
        greedy = network.apply(carried.params, carried.obs).argmax(-1)
        epsilon = jnp.maximum(0.05, 1 - carried.time / (0.5 * setting.total_steps))
        tried = jax.random.randint(k_action, (num,), 0, network.num_actions)
        action = jnp.where(jax.random.uniform(k_try, (num,)) < epsilon, tried, greedy)
        keys = jax.random.split(k_env, num)
        obs, state, reward, ended, cut, _ = step(keys, carried.env, action, params)
        done = ended | cut
        row = {"obs": carried.obs, "action": action, "reward": reward, "done": done}
        total = carried.returned + reward
        carried = carried._replace(
            key=key,
            env=state,
            obs=obs,
            buffer=buffer.add(carried.buffer, row),
            time=carried.time + num,
            returned=jnp.where(done, 0.0, total),
        )
        ready = buffer.can_sample(carried.buffer) & (carried.time > setting.learning_starts)
        carried = jax.lax.cond(ready, learnt, lambda carried, _: carried, carried, k_learn)
        period = setting.target_period * num
        target = jax.lax.cond(
            carried.time % period == 0,
            lambda: optax.incremental_update(carried.params, carried.target, setting.polyak),
            lambda: carried.target,
        )
        return carried._replace(target=target), (total, done)

    def train(key: jax.Array) -> Any:
        key, k_params, k_env = jax.random.split(key, 3)
        obs, state = reset(jax.random.split(k_env, num), params)
        net = network.init(k_params, obs)
        row = {"obs": obs[0], "action": jnp.int32(0), "reward": jnp.float32(0)}
        memory = buffer.init(row | {"done": jnp.array(False)})
        clock, returned = jnp.int32(0), jnp.zeros(num)
        start = Carried(key, net, net, optimizer.init(net), state, obs, memory, clock, returned)
        return jax.lax.scan(body, start, None, setting.total_steps // num)[1]

    return train


AXES = (0, 0, 0, None)
"""Those of `step` that are of environments."""
