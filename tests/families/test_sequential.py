"""Recurrent action values: one gradient on sequences against float64, stored memory, burn-in."""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrl import make_train
from jaxrl.algorithms import dqn
from jaxrl.config import replace
from jaxrl.data import Experience, Sample, sequences, uniform
from jaxrl.families.policy import ActorCritic
from jaxrl.networks import MLP, memory, recurrent
from jaxrl.networks.value import Chance
from jaxrl.zoo import ZOO
from tests.families import drift, oracle, replayed
from tests.oracles import returns, value_losses, value_targets
from tests.sentences import hold_sentence

GAMMA, DELTA, SHARE = 0.9, 0.5, 0.8
LENGTH, BURN_IN, NUM_ROWS = 9, 3, 6
SMALL = dict(hidden_sizes=(4, 3), activation="tanh", gamma=GAMMA, huber_delta=DELTA, n_step=3)
SMALL |= dict(memory="gru", memory_size=3, sequence_length=LENGTH, burn_in=BURN_IN)
CONFIG = replace(ZOO["r2d2"].config, **SMALL, priority_share=SHARE, replay="uniform")
ENV = drift.drift()
SETTING = drift.setting(ENV, drift.recorder)


class Remembered(NamedTuple):
    """Sequences of a learner in mid-training, and what it then does with them."""

    config: Any
    state: Any
    sample: Any
    new: Any
    priority: Any


@functools.cache
def played():
    """Steps of a recurrent learner, [T, N], and its state, which has moved on since."""
    learner = dqn.learner(CONFIG, SETTING)
    state, rollout = drift.played(ENV, learner, num_steps=24)
    steps = rollout.transition
    return steps, state._replace(params=drift.moved(state.params, 1, 0.5))


@functools.cache
def drawn():
    """Sequences as replay hands them out, in which both kinds of ends occur."""
    steps, _ = played()
    buffer = sequences(uniform(24 * drift.NUM_ENVS, drift.NUM_ENVS), LENGTH)
    row = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape[2:], x.dtype), steps)
    state = buffer.init(row)
    for t in range(24):
        state = buffer.add(state, jax.tree.map(lambda x, t=t: x[t], steps))
    sample = buffer.sample(state, buffer.draw(jax.random.key(3), (NUM_ROWS,)))
    return sample._replace(weight=jnp.linspace(0.2, 1.0, NUM_ROWS))


@functools.cache
def learnt(**changes):
    config = replace(CONFIG, **changes)
    learner = dqn.learner(config, SETTING)
    _, state = played()
    state = state._replace(target=drift.moved(state.params, 2, 0.5), num_updates=jnp.int32(3))
    sample = drawn()
    update = replayed.taught(learner)
    new, _, priority = update(jax.random.key(5), state, sample)
    return Remembered(config, state, sample, new, priority)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def dense(layer, x):
    return x @ layer["kernel"] + layer.get("bias", 0.0)


def cell(params, h, x):
    """A gated recurrent unit, whose candidate resets what it sees of the memory."""
    r = sigmoid(dense(params["ir"], x) + dense(params["hr"], h))
    z = sigmoid(dense(params["iz"], x) + dense(params["hz"], h))
    n = np.tanh(dense(params["in"], x) + r * dense(params["hn"], h))
    return (1 - z) * n + z * h


def step(params, obs, h):
    """Action values of one row of observations, [B, A], on the scale of the network; memory."""
    x = np.tanh(dense(params["torso"]["dense_0"], obs))
    h = cell(params["cell"], h, x)
    x = np.tanh(dense(params["head"]["dense_0"], h))
    x = dense(params["head"]["output"], x)
    return value_targets.dueling(x[:, 0], x[:, 1:]), h


def along(params, obs, done, h):
    """What is said at each step, [L, B, A], and the memory after each."""
    said, memories = [], []
    for t in range(len(obs)):
        if t:
            h = np.where(done[t - 1][:, None], 0.0, h)
        q, h = step(params, obs[t], h)
        said.append(q)
        memories.append(h)
    return np.stack(said), np.stack(memories)


def goal(config, online, still, data):
    """The targets of all steps but the first ones, one by one; and the online memory there."""
    unsquash = returns.stretched_return if config.squash else lambda q: q
    views = [along(p, data.obs, data.done, data.extras) for p in (online, still)]
    value = np.zeros(data.reward.shape)
    for t, lane in np.ndindex(*value.shape):
        row = slice(lane, lane + 1)
        ahead = [
            step(p, data.next_obs[t, row], memories[t, row])[0][0]
            for p, (_, memories) in zip((online, still), views, strict=True)
        ]
        best = int(np.argmax(ahead[0])) if config.target == "double" else int(np.argmax(ahead[1]))
        value[t, lane] = unsquash(ahead[1][best : best + 1])[0]
    late = slice(config.burn_in, None)
    discount = GAMMA * (1 - data.terminated)
    target = returns.n_step_return(
        data.reward[late], value[late], discount[late], data.done[late], config.n_step
    )
    return returns.squashed_return(target) if config.squash else target


CASES = {
    "r2d2": {},
    "plain scale": {"squash": False, "target": "max", "n_step": 1},
    "without burn-in": {"burn_in": 0, "n_step": 5},
}


@pytest.mark.parametrize("changes", CASES.values(), ids=CASES)
def test_one_gradient(changes):
    config, state, sample, new, priority = learnt(**changes)
    data = sample.data._replace(
        **{name: np.asarray(getattr(sample.data, name)) for name in ("action", "terminated")},
        truncated=np.asarray(sample.data.truncated),
        **{name: oracle.wide(getattr(sample.data, name)) for name in FLOATS},
    )
    inner = data.done[config.burn_in : -1]
    assert (inner & data.terminated[config.burn_in : -1]).any()
    assert (inner & data.truncated[config.burn_in : -1]).any()
    assert data.done[: config.burn_in].any() or not config.burn_in
    online, still = oracle.wide(state.params), oracle.wide(state.target)
    target = goal(config, online, still, data)
    burn = config.burn_in
    h = data.extras
    if burn:
        _, memories = along(online, data.obs[:burn], data.done[:burn], h)
        h = np.where(data.done[burn - 1][:, None], 0.0, memories[-1])
    weight = np.asarray(sample.weight, np.float64)

    def error(params):  # the memory after burn-in is a constant
        said, _ = along(params, data.obs[burn:], data.done[burn:], h)
        return oracle.taken(said, data.action[burn:]) - target

    def loss(params):
        apart = error(params)
        rows = value_losses.huber_loss(apart, np.zeros_like(apart), DELTA)
        return (weight * rows.mean(0)).mean()

    oracle.same(new.opt_state, oracle.slope(loss, online), rtol=2e-3, atol=1e-5)
    expected = value_losses.sequence_priority(error(online), SHARE)
    np.testing.assert_allclose(priority, expected, rtol=1e-3)


FLOATS = ("obs", "next_obs", "reward", "extras")


def test_burn_in_reaches_the_gradient_only_through_the_memory_after_it():
    """Rewards and actions of the first steps count for nothing, what they showed does."""
    config, state, sample, new, _ = learnt()
    learner = dqn.learner(config, SETTING)
    update = replayed.taught(learner)

    def gradient(**changes):
        data = sample.data._replace(**changes)
        return oracle.flat(
            update(jax.random.key(5), state, sample._replace(data=data))[0].opt_state
        )

    first = jnp.arange(LENGTH)[:, None] < BURN_IN
    reward = jnp.where(first, 100.0, sample.data.reward)
    action = jnp.where(first, 2 - sample.data.action, sample.data.action)
    unchanged = oracle.flat(new.opt_state)
    np.testing.assert_array_equal(gradient(reward=reward, action=action), unchanged)
    shown = jnp.where(first[..., None], -sample.data.obs, sample.data.obs)
    assert (gradient(obs=shown) != unchanged).any()


def test_a_sequence_says_what_acting_said():
    """From the stored memory on, wherever in an episode it begins, and over the ends of some."""
    learner = dqn.learner(CONFIG, SETTING)
    network = dqn.network(CONFIG, SETTING)
    acting, rollout = drift.played(ENV, learner, num_steps=24)
    steps = rollout.transition
    assert not np.asarray(steps.done)[6].all()  # the sequence begins in the middle of some episodes
    part = jax.tree.map(lambda x: x[7:], steps)
    reset = jnp.concatenate([jnp.zeros_like(part.done[:1]), part.done[:-1]])
    first = jax.tree.map(lambda x: x[0], part.extras)
    said, after = network.unroll(acting.params, part.obs, first, reset, Chance())
    acted, _ = jax.vmap(network.step, (None, 0, 0, None))(
        acting.params, part.obs, part.extras, Chance()
    )
    np.testing.assert_allclose(said.numbers, acted.numbers, rtol=1e-5, atol=1e-6)
    before = jnp.where(reset[1:, :, None], 0.0, after[:-1])
    np.testing.assert_allclose(part.extras[1:], before, rtol=1e-5, atol=1e-6)
    assert (np.asarray(part.extras)[np.asarray(reset)] == 0).all() and np.asarray(reset).any()


@pytest.mark.parametrize("head", ["scalar", "quantile", "categorical"])
def test_without_a_memory_a_sequence_is_its_steps(head):
    """A network of one's own that forgets: the same gradient from sequences as from their rows."""
    size = {"scalar": 1, "quantile": 4, "categorical": 5}[head]
    own = ActorCritic(None, MLP((4,), final_size=4 * size))
    config = replace(CONFIG, head=head, squash=False, n_step=1, burn_in=0)
    config = replace(config, num_quantiles=4, num_atoms=5, value_min=-3.0, value_max=3.0)
    setting = SETTING._replace(networks=own)
    sample = drawn()
    data = sample.data._replace(extras=())
    rows = jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), data)
    discount = GAMMA * (1 - rows.terminated.astype(jnp.float32))
    rows = Experience(rows.obs, rows.action, (), rows.reward, discount, rows.next_obs)
    weight = jnp.tile(sample.weight, LENGTH)
    found = []
    for kind, batch in ((None, Sample(rows, (), weight)), ("gru", sample._replace(data=data))):
        learner = dqn.learner(replace(config, memory=kind), setting)
        state = learner.init(jax.random.key(0), rows.obs)
        state = state._replace(target=drift.moved(state.params, 2, 0.5))
        update = replayed.taught(learner)
        new, metrics, _ = update(jax.random.key(5), state, batch)
        found.append((oracle.flat(new.opt_state), metrics["value_loss"].mean))
    np.testing.assert_allclose(found[1][0], found[0][0], rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(found[1][1], found[0][1], rtol=1e-5)


MISTAKES = (
    ({"sequence_length": None}, "dqn.sequence_length must be an integer where there is memory"),
    ({"burn_in": 20}, "dqn.burn_in must be less than sequence_length = 20, not 20"),
    ({"burn_in": 18}, "dqn.n_step must be at most the 2 steps after burn_in, not 3"),
    ({"learning_starts": 152}, "dqn.learning_starts must fill a window", "= 160", "152"),
    ({"batch_size": 849}, "dqn.batch_size must be at most the 848 rows of warm-up, not 849"),
    ({"capacity": 190}, "dqn.capacity must hold batch_size = 32 and num_envs × sequence_length"),
    ({"memory": None}, "dqn.sequence_length must be None where there is no memory, not 20"),
    ({"head": "categorical"}, "dqn.squash must be False for a categorical head, not True"),
)


@pytest.mark.parametrize(("changes", "words"), [(c, w) for c, *w in MISTAKES], ids=str)
def test_a_mistake_is_told_in_one_sentence(changes, words):
    with pytest.raises(ValueError) as error:
        make_train(replace(ZOO["r2d2"].config, **changes), "CartPole-v1", 10_000)
    hold_sentence(str(error.value), *words)


def test_a_network_that_remembers_needs_sequences():
    own = recurrent(MLP((4,)), memory("gru", 3), MLP((), final_size=3))
    config = replace(ZOO["dqn"].config, learning_starts=200)
    with pytest.raises(ValueError) as error:
        make_train(config, "CartPole-v1", 10_000, networks=ActorCritic(None, own))
    hold_sentence(str(error.value), "dqn.memory must be 'gru' or 'lstm'", "not None")
