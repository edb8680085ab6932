"""What replay hands to learners, at random; and critics of it in float64."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxrl.config import replace
from jaxrl.families.settings import Setting
from jaxrl.types import Box, MaskedObs, Spaces
from tests.families import drift, oracle

NUM_ROWS, GAMMA = 12, 0.9
LOW, HIGH = np.array([-1.0, 0.5]), np.array([3.0, 1.0])
BOX = Box(LOW.astype(np.float32), HIGH.astype(np.float32), (2,))
SMALL = {
    "num_envs": 2,
    "hidden_sizes": (5,),
    "activation": "tanh",
    "batch_size": NUM_ROWS,
    "gamma": GAMMA,
    "lr": 0.1,
    "anneal_lr": False,
    "max_grad_norm": 1e9,
}


class Data(NamedTuple):
    """Transitions."""

    obs: Any
    action: Any
    extras: Any
    reward: Any
    discount: Any
    next_obs: Any


class Sample(NamedTuple):
    """Transitions and their weights."""

    data: Data
    index: Any
    weight: Any


def taught(learner):
    """Compiled (key, state, sample) -> what a gradient step makes of it, with chance of the key."""

    def step(key, state, sample):
        return learner.update(learner.chance(key, len(sample.weight)), state, sample)

    return jax.jit(step)


def sample(space=BOX, masked=False, seed=3):
    """Transitions of which some ended; actions of a box reach both of its bounds."""
    luck = np.random.default_rng(seed)
    obs, next_obs = luck.normal(size=(2, NUM_ROWS, 3))
    if isinstance(space, Box):
        share = np.clip(luck.uniform(-0.2, 1.2, (NUM_ROWS, 2)), 0, 1)
        action = (LOW + (HIGH - LOW) * share).astype(np.float32)
    else:
        action = luck.integers(0, 3, NUM_ROWS, dtype=np.int32)
    discount = GAMMA * luck.choice([1.0, GAMMA, 0.0], NUM_ROWS)
    floats = [np.float32(x) for x in (obs, next_obs, luck.normal(size=NUM_ROWS), discount)]
    obs, next_obs, reward, discount = map(jnp.asarray, floats)
    if masked:
        legal: Any = luck.uniform(size=(2, NUM_ROWS, 3)) < 0.6
        legal[..., 1] |= ~legal.any(-1)
        legal[0, np.arange(NUM_ROWS), np.asarray(action)] = True
        obs, next_obs = MaskedObs(obs, legal[0]), MaskedObs(next_obs, legal[1])
    data = Data(obs, jnp.asarray(action), (), reward, discount, next_obs)
    weight = np.float32(luck.uniform(0.2, 1.0, NUM_ROWS))
    return Sample(data, jnp.arange(NUM_ROWS), jnp.asarray(weight))


def learner(module, space=BOX, optimizer=drift.recorder, **changes):
    """A small learner of an algorithm."""
    spaces = Spaces(Box(-jnp.inf, jnp.inf, (3,)), space)
    config = replace(module.Config(), **(SMALL | changes))
    return module.learner(config, Setting(spaces, 10, None, optimizer))


def started(made, obs, seed=0):
    """A state whose target networks differ from its networks."""
    state = made.init(jax.random.key(seed), obs)
    return state._replace(
        params=drift.moved(state.params, 1), target=drift.moved(state.target, 2, 0.5)
    )


def unit(action):
    """Actions between −1 and 1."""
    return 2 * (action - LOW) / (HIGH - LOW) - 1


def q(params, obs, action):
    """Each critic's numbers of one action, [K, B, size]; `action` is between −1 and 1."""
    pair = np.concatenate([obs, action], -1)
    return np.stack([oracle.mlp(one, pair) for one in each(params)])


def each(params):
    """The parameters of one critic after the other."""
    num_critics = len(jax.tree.leaves(params)[0])
    return [jax.tree.map(lambda x, k=k: x[k], params) for k in range(num_critics)]


def mean_loss(weight, rows):
    """The mean over rows of what all critics lose, [K, B]."""
    return (np.asarray(weight, np.float64) * rows.sum(0)).mean()
