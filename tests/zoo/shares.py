"""Run as a program with two devices: shares of a run learn what the run would learn.

The same rollout is learnt from by one learner as a whole, and by two as halves. Then whole runs
are spread, and a longer one learns.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, PartitionSpec

from jaxrl.shares import SHARES, mean_of_shares
from jaxrl.train import make_train, with_devices
from jaxrl.types import Discrete, Rollout
from jaxrl.zoo import CONTINUING, entry, tuned
from tests.zoo.cases import MEMORY, NUM_UPDATES, budget, small
from tests.zoo.keys import PLAIN
from tests.zoo.trees import assert_same, bits, finite
from tests.zoo.worlds import FORCE, drift, guarded

KEY = jax.random.key(0, impl=PLAIN)
ALL, FIRST, SECOND = PartitionSpec(), PartitionSpec(SHARES), PartitionSpec(None, SHARES)
IN_ONE = {"num_minibatches": 1}
NORMAL = {"normalise_obs": True, "normalise_reward": True}
FEATURES = {"hidden_sizes": (5,), "feature_size": 3}  # no axis is as long as that of environments
RUNS = {
    "ppo": ("ppo", drift(), IN_ONE | {"whiten": "minibatch", "value_clip": 0.2} | NORMAL),
    "ppo that stops": ("ppo", drift(FORCE), IN_ONE | {"target_kl": 1e-6, "num_epochs": 4}),
    "gru": ("ppo", drift(), IN_ONE | MEMORY | {"memory": "gru"}),
    "ppo_penalty": ("ppo_penalty", guarded(Discrete(3)), IN_ONE | {"target_kl": 1e-6}),
    "trpo": ("trpo", drift(), IN_ONE),
    "pqn": ("pqn", drift(), IN_ONE),
    "a2c": ("a2c", drift(), {"whiten": "batch"}),
    "actor_critic": ("actor_critic", drift(), {}),
    "impala": ("impala", drift(FORCE), {"normalise_obs": True}),
    "reinforce": ("reinforce", drift(), {"whiten": "batch"} | NORMAL),
    "mean": ("reinforce", drift(), {"baseline": "mean"}),
    "moving": ("reinforce", drift(), {"baseline": "moving"}),
    "rloo": ("rloo", drift(), {}),
    "grpo": ("grpo", drift(), IN_ONE | {"kl_coef": 0.1}),
    "icm": ("ppo", drift(FORCE), IN_ONE | NORMAL | {"curiosity": "icm"} | FEATURES),
    "rnd": ("reinforce", drift(), {"curiosity": "rnd"} | FEATURES),
}
"""Name -> algorithm, environment, changes: all of a rollout makes one minibatch."""

APART = {"ppo": {"num_minibatches": 2}, "gru": {"num_minibatches": 2}, "trpo": {}, "rloo": {}}
APART |= {"icm": {"curiosity_minibatches": 2}, "rnd": {"curiosity_minibatches": 2}}
"""Which whole runs are spread, and what of them changes."""


def made(config, env):
    """A training of the configuration."""
    return make_train(config, env, budget(config, NUM_UPDATES))


def played(config, training):
    """What the loop would hand to its learner at first, and the learner's state before."""
    learner = training.learner
    spy = learner._replace(update=lambda key, state, rollout: (state, {"rollout": rollout}))
    loop = entry(config).loop.make(config, training.env, spy)
    state = jax.jit(loop.init)(KEY)
    return jax.jit(loop.update)(state)[1]["rollout"], state.learner


def learn_alike(name):
    """Assert that halves of a rollout teach what all of it does: parameters, slots and metrics."""
    algorithm, env, own = RUNS[name]
    config = small(algorithm, **own, num_envs=8)
    training = made(config, env)
    rollout, state = played(config, training)
    places = jax.tree.map(lambda x: FIRST if x.shape[:1] == (8,) else ALL, state.slots)
    where = jax.tree.map(lambda _: ALL, state)._replace(slots=places)
    parts = Rollout(SECOND, FIRST, FIRST, FIRST, SECOND)

    def half(state, rollout):
        state, metrics = training.learner.update(KEY, state, rollout)
        return state, mean_of_shares(metrics)

    mesh = Mesh(np.array(jax.devices()), (SHARES,))
    spread = jax.shard_map(
        half, mesh=mesh, in_specs=(where, parts), out_specs=(where, ALL), check_vma=False
    )
    for _ in range(2):  # the second update's state holds what the first one learnt
        alone, metrics = jax.jit(training.learner.update)(KEY, state, rollout)
        both, shared = jax.block_until_ready(jax.jit(spread)(state, rollout))
        jax.tree.map(near, (both, means(shared)), (alone, means(metrics)))
        state = alone


def near(x, y):
    """Floats of the same sums in another order."""
    np.testing.assert_allclose(bits(x), bits(y), rtol=2e-4, atol=2e-5)


def means(metrics):
    """The mean of each metric."""
    return {name: average.mean for name, average in metrics.items()}


def run_apart(name):
    """Assert of whole runs: what is learnt is the same on both devices, what is met is not."""
    algorithm, env, own = RUNS[name]
    config = small(algorithm, **(own | APART[name]), num_envs=8)
    training = with_devices(made(config, env), config, 2)
    first = jax.jit(training.algorithm.init)(KEY)
    window = jax.jit(training.window)
    state, metrics = jax.block_until_ready(window(first, jnp.int32(3)))
    assert finite((state, means(metrics)["grad_norm"])) and state.bad_update == -1
    learnt = state.learner.params, state.learner.opt_state, state.key
    assert all(map(alike, jax.tree.leaves(learnt)))
    assert not alike(jax.tree.leaves(state.scene.obs)[0])
    half = jax.block_until_ready(window(first, jnp.int32(1)))[0]
    assert_same(jax.block_until_ready(window(half, jnp.int32(2)))[0], state)
    if entry(config).loop is CONTINUING:  # the others start their worlds anew
        refused(window, state)


def refused(window, state):
    """Assert that a number that is not finite on one device is refused by both."""
    spoilt = jax.tree.map(lambda x: x.at[0].set(jnp.nan) if floating(x) else x, state.scene.env)
    after, metrics = jax.block_until_ready(
        window(state._replace(scene=state.scene._replace(env=spoilt)), jnp.int32(1))
    )
    assert after.bad_update == 3 and metrics["refused"].mean == 1
    assert_same(after.learner.params, state.learner.params)


def floating(x):
    """Whether it is of floats."""
    return jnp.issubdtype(x.dtype, jnp.floating)


def alike(x):
    """Whether both devices hold the same."""
    one, other = (shard.data for shard in x.addressable_shards)
    return (bits(one) == bits(other)).all()


def solved():
    """The last returns of PPO on CartPole, spread."""
    config, total_steps = tuned("ppo", "CartPole-v1")
    train = make_train(config, "CartPole-v1", total_steps, evaluate_every=10**9)
    spread = jax.jit(with_devices(train, config, 2))
    return spread(jax.random.key(0))[1]["eval_return"].mean[-1]


def main():
    """Print what was checked."""
    assert jax.device_count() == 2
    for name in RUNS:
        learn_alike(name)
        print(f"alike:{name}")
    for name in APART:
        run_apart(name)
        print(f"apart:{name}")
    print(f"solved:{solved():.0f}")


if __name__ == "__main__":
    main()
