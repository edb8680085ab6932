"""The value family: one gradient of each of its parts against float64, acting, following."""

import functools
import itertools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrl import make_train
from jaxrl.algorithms import dqn
from jaxrl.config import replace
from jaxrl.data import Experience
from jaxrl.families import off_policy, value_target
from jaxrl.families.value_head import implicit_head, scalar_head
from jaxrl.networks.value import Chance
from jaxrl.types import LearnerState, MaskedObs
from tests.families import drift, oracle, replayed
from tests.oracles import distributional, selection, value_losses, value_targets
from tests.sentences import hold_sentence

GAMMA, NUM_ROWS, NUM_UPDATES = replayed.GAMMA, replayed.NUM_ROWS, 10
LOW, HIGH, ATOMS = -2.0, 3.0, 6
SMALL = dict(hidden_sizes=(5,), activation="tanh", gamma=GAMMA, temperature=0.3)
SMALL |= dict(num_atoms=ATOMS, value_min=LOW, value_max=HIGH, num_quantiles=4, huber_delta=0.5)
CONFIG = dqn.Config(**SMALL, target_period=2, polyak=0.25)
RAINBOW = dict(head="categorical", target="double", dueling=True, noisy="step")

CASES = {
    "dqn": {},
    "double": {"target": "double"},
    "munchausen": {"target": "munchausen"},
    "dueling": {"dueling": True},
    "noisy": {"noisy": "step", "target": "double"},
    "c51": {"head": "categorical"},
    "munchausen c51": {"head": "categorical", "target": "munchausen"},
    "qr_dqn": {"head": "quantile"},
    "double dueling qr_dqn": {"head": "quantile", "target": "double", "dueling": True},
    "munchausen qr_dqn": {"head": "quantile", "target": "munchausen"},
    "iqn": {"head": "implicit", "target": "double"},
    "rainbow": RAINBOW,
    "rainbow, max": RAINBOW | {"target": "max"},
    "rainbow, munchausen": RAINBOW | {"target": "munchausen"},
    "rainbow, no duel": RAINBOW | {"dueling": False},
    "rainbow, no noise": RAINBOW | {"noisy": None},
    "rainbow, scalar": RAINBOW | {"head": "scalar"},
    "rainbow, quantile": RAINBOW | {"head": "quantile"},
    "rainbow, implicit": RAINBOW | {"head": "implicit"},
}


class Looks(NamedTuple):
    """What two networks say of observations."""

    online: Any
    target: Any


@functools.cache
def scene(name, masked=False):
    """A learner in mid-training, and a batch of which each part matters."""
    env = drift.drift(masked=masked)
    config = replace(CONFIG, **CASES[name])
    setting = drift.setting(env, drift.recorder, NUM_UPDATES)
    learner = dqn.learner(config, setting)
    sample = replayed.sample(env.spaces.action, masked)
    like = jax.eval_shape(learner.init, jax.random.key(0), sample.data.obs)
    still = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), like)
    state = still._replace(
        params=drift.moved(still.params, 1, 1.0),
        target=drift.moved(still.target, 2, 1.0),
        num_updates=jnp.int32(3),
    )
    return config, setting, learner, state, sample


@functools.cache
def updated(name, masked=False):
    """What the learner makes of it in one step, and the chances of that step."""
    *_, learner, state, sample = scene(name, masked)
    key = jax.random.key(5)
    return *replayed.taught(learner)(key, state, sample), learner.chance(key, NUM_ROWS)


def dense(layer, x, factors):
    if factors is None:
        return x @ layer["kernel"] + layer["bias"]
    into, out = factors["input"], factors["output"]
    kernel = layer["kernel"] + layer["kernel_std"] * np.outer(into, out)
    return x @ kernel + layer["bias"] + layer["bias_std"] * out


def numbers(config, params, obs, chance):
    """What the network says of each action, [B, A, size]."""
    weights = chance.weights or {"dense_0": None, "output": None}
    x = obs
    if chance.tau is not None:
        cosines = np.cos(np.pi * np.arange(64) * chance.tau[..., None])
        x = x[:, None] * np.maximum(dense(params["tau"], cosines, None), 0)
    x = np.tanh(dense(params["dense_0"], x, weights["dense_0"]))
    x = dense(params["output"], x, weights["output"])
    size = {"scalar": 1, "categorical": ATOMS, "quantile": 4}.get(config.head)
    x = np.swapaxes(x, -1, -2) if size is None else x.reshape(len(x), -1, size)
    if not config.dueling:
        return x
    pairs = [(x[:, 0, i], x[:, 1:, i]) for i in range(x.shape[-1])]
    return np.stack([value_targets.dueling(v, a) for v, a in pairs], -1)


def softmax(x):
    return np.exp(oracle.log_softmax(x))


def mean(config, x):
    if config.head == "categorical":
        return softmax(x) @ np.linspace(LOW, HIGH, ATOMS)
    return x.mean(-1)


def aim(config, x, legal, looks):
    """The target of each row: a number, probabilities or quantiles."""
    after = looks.target(x.next_obs)
    next_q = mean(config, after)
    reward, discount = x.reward, x.discount
    if config.target == "munchausen":
        barred = next_q if legal is None else np.where(legal[1], next_q, -np.inf)
        q = mean(config, looks.target(x.obs))
        q = q if legal is None else np.where(legal[0], q, -1e3)
        policy = selection.boltzmann_prob(next_q, 0.3, None if legal is None else legal[1])
        wanted = value_targets.munchausen_target(
            reward, q, x.action, np.maximum(barred, -1e3), discount, 0.3, 0.9, -1.0
        )
        reward = wanted - discount * (policy * next_q).sum(-1)  # the mean of y is `wanted`
    else:
        judge = mean(config, looks.online(x.next_obs)) if config.target == "double" else next_q
        best = selection.greedy(judge, None if legal is None else legal[1])
        policy = np.eye(3)[best]
    shape = softmax(after) if config.head == "categorical" else after
    mixed = (policy[..., None] * shape).sum(1)
    if config.head == "categorical":
        support = np.linspace(LOW, HIGH, ATOMS)
        atoms = reward[:, None] + discount[:, None] * support
        return distributional.categorical_projection(atoms, mixed, support)
    return reward[:, None] + discount[:, None] * mixed


def row_loss(config, x, tau, target):
    if config.head == "scalar":
        return value_losses.huber_loss(x[:, 0], target[:, 0], 0.5)
    if config.head == "categorical":
        return distributional.categorical_loss(x, target)
    tau = distributional.quantile_midpoints(4) if tau is None else tau
    return distributional.quantile_huber_loss(x, tau, target, 0.5)


def error(config, x, target):
    if config.head != "categorical":
        return abs(target.mean(-1) - x.mean(-1))
    surprise = np.where(target > 0, target, 1.0)
    return (target * (np.log(surprise) - oracle.log_softmax(x))).sum(-1)


def slopes(config, params, rows, chance, target, weight):
    """The gradient of the weighted mean loss, the loss, and what the network said."""

    def said(p):
        return oracle.taken(
            np.moveaxis(numbers(config, p, rows.obs, chance), 1, -1),
            np.repeat(rows.action[:, None], target.shape[1], 1),
        )

    def loss(p):
        return (weight * row_loss(config, said(p), chance.tau, target)).mean()

    return oracle.slope(loss, params), loss(params), said(params)


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("name", CASES)
def test_one_gradient(name, masked):
    config, _, _, state, sample = scene(name, masked)
    new, metrics, priority, chances = updated(name, masked)
    chances = oracle.wide(chances)
    online, still = oracle.wide(state.params), oracle.wide(state.target)
    data, legal = sample.data, None
    if masked:
        legal = np.asarray(data.obs.action_mask), np.asarray(data.next_obs.action_mask)
        data = data._replace(obs=data.obs.obs, next_obs=data.next_obs.obs)
    rows = oracle.wide(data)._replace(action=np.asarray(data.action))
    assert (rows.discount == 0).any() and (rows.discount > 0).any()
    looks = Looks(
        lambda obs: numbers(config, online, obs, chances.online),
        lambda obs: numbers(config, still, obs, chances.target),
    )
    target = aim(config, rows, legal, looks)
    weight = oracle.wide(sample.weight)
    slope, loss, said = slopes(config, online, rows, chances.fitted, target, weight)
    oracle.same(new.opt_state, slope, rtol=2e-3, atol=1e-5)
    np.testing.assert_allclose(priority, error(config, said, target), rtol=2e-3, atol=2e-5)
    expected = {
        "value_loss": loss,
        "q": mean(config, said).mean(),
        "grad_norm": np.linalg.norm(slope),
        "epsilon": 0.05,  # the fall is over after two of ten updates
    }
    for metric, number in expected.items():
        np.testing.assert_allclose(metrics[metric].mean, number, rtol=1e-3, err_msg=metric)
    assert new.num_updates == 4


SAME_PARAMETERS = (
    ("dqn", "double", "munchausen"),
    ("c51", "munchausen c51"),
    ("qr_dqn", "munchausen qr_dqn"),
    ("rainbow", "rainbow, max", "rainbow, munchausen"),
)


@pytest.mark.parametrize("names", SAME_PARAMETERS, ids=lambda names: names[0])
def test_each_target_has_a_gradient_of_its_own(names):
    slopes = [oracle.flat(updated(name)[0].opt_state) for name in names]
    gaps = [np.abs(x - y).max() for x, y in itertools.combinations(slopes, 2)]
    assert min(gaps) > 1e-3


def test_the_target_network_follows_in_its_own_time():
    params, target = {"w": jnp.array([4.0, 8.0])}, {"w": jnp.array([0.0, 4.0])}
    for count, expected in ((3, [0, 4]), (4, [1, 5])):
        moved = off_policy.followed(target, params, jnp.int32(count), 2, 0.25)
        np.testing.assert_allclose(moved["w"], expected)
    copied = off_policy.followed(target, params, jnp.int32(7), 1, 1.0)
    np.testing.assert_array_equal(copied["w"], params["w"])
    state, new = scene("dqn")[3], updated("dqn")[0]
    expected = 0.75 * oracle.flat(state.target) + 0.25 * oracle.flat(new.params)
    np.testing.assert_allclose(oracle.flat(new.target), expected, rtol=1e-5)


RULES = {
    "max": value_target.max_rule,
    "double": value_target.double_rule,
    "munchausen": value_target.munchausen_rule(0.3, 0.9, -1.0),
}


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
@pytest.mark.parametrize("head", [scalar_head(1.0), implicit_head(1.0)], ids=["scalar", "quantile"])
def test_an_end_without_a_legal_action_is_worth_its_reward(rule, head):
    numbers = jnp.tile(jnp.array([[[3.0], [-1.0]]]), (2, 1, head.size or 4))
    before, after = jnp.ones((2, 2), bool), jnp.array([[True, True], [False, False]])
    obs, next_obs = (MaskedObs(jnp.zeros((2, 1)), mask) for mask in (before, after))
    told = jnp.zeros(2, jnp.int32), (), jnp.array([2.0, 1.0]), jnp.array([0.9, 0.0])
    data = Experience(obs, *told, next_obs)
    look = value_target.Look(lambda: numbers, lambda: numbers, lambda: numbers)
    target = np.asarray(head.mean(rule(head, look, data)))
    bonus = 0.3 * 0.9 * np.log(1 / (1 + np.exp(-4 / 0.3))) if rule is RULES["munchausen"] else 0.0
    np.testing.assert_allclose(target, [2.0 + 0.9 * 3.0 + bonus, 1.0 + bonus], atol=1e-5)


def test_importance_rises_to_full_weight():
    config = replace(CONFIG, replay="proportional", importance_exponent=0.4)
    setting = drift.setting(drift.drift(), None, NUM_UPDATES)
    weight = jnp.array([0.2, 1.0])
    for done, power in ((0, 0.4), (5, 0.7), (10, 1.0), (12, 1.0)):
        state = LearnerState((), (), jnp.int32(done))
        found = off_policy.importance(config, setting, state, weight)
        np.testing.assert_allclose(found, np.array([0.2, 1.0]) ** power, rtol=1e-6)
    start = replace(config, importance_exponent=0.0), setting, LearnerState((), (), jnp.int32(0))
    np.testing.assert_array_equal(off_policy.importance(*start, jnp.array([0.0, 0.2])), [0, 1])
    plain = replace(config, replay="uniform")
    assert off_policy.importance(plain, setting, state, weight) is weight


MISTAKES = (
    ({"batch_size": 1025}, "dqn.batch_size must be at most the 1000 rows of warm-up, not 1025"),
    ({"learning_starts": 16, "n_step": 3}, "dqn.learning_starts must fill a window", "= 24", "16"),
    ({"capacity": 130}, "dqn.capacity must hold batch_size = 128 and num_envs × n_step", "not 130"),
    ({"head": "categorical", "value_max": -200.0}, "value_max must be above value_min = -100.0"),
    ({"head": "implicit", "hidden_sizes": ()}, "hidden_sizes must name a layer"),
)


@pytest.mark.parametrize(("changes", "words"), [(c, w) for c, *w in MISTAKES], ids=str)
def test_a_mistake_is_told_in_one_sentence(changes, words):
    with pytest.raises(ValueError) as error:
        make_train(dqn.Config(**changes), "CartPole-v1", 10_000)
    hold_sentence(str(error.value), *words)


def test_the_budget_counts_warm_up():
    training = make_train(dqn.Config(num_envs=8, learning_starts=1001), "CartPole-v1", 2000)
    assert (training.first_steps, training.steps_per_update) == (1008, 400)
    assert (training.num_updates, training.total_steps) == (2, 1808)
    with pytest.raises(ValueError) as error:
        make_train(dqn.Config(), "CartPole-v1", 1399)
    hold_sentence(str(error.value), "num_iterations = 400 after 1000 steps of warm-up, not 1399")
    with pytest.raises(ValueError) as error:
        make_train(dqn.Config(), "Pendulum-v1", 10_000)
    hold_sentence(str(error.value), "dqn needs a Discrete action space, not Box")


def tried(changes, masked=False, num=20_000, done=NUM_UPDATES):
    """How often each action is tried in one place, and its values there."""
    env = drift.drift(masked=masked)
    config = replace(CONFIG, epsilon_end=0.3, **changes)
    setting = drift.setting(env, None, NUM_UPDATES)
    learner = dqn.learner(config, setting)
    _, _, _, state, sample = scene("dqn", masked)
    state = state._replace(num_updates=jnp.int32(done))
    obs = jax.tree.map(lambda x: jnp.repeat(x[:1], num, 0), sample.data.obs)
    noise = learner.noise(jax.random.key(3), (num,))
    carry = learner.carry(jax.random.key(0), num)
    action = np.asarray(jax.jit(learner.act)(state, obs, noise, carry)[0])
    (q, _), _ = dqn.network(config, setting).step(state.params, obs, (), Chance())
    legal = np.asarray(obs.action_mask[0]) if masked else np.ones(3, bool)
    return np.bincount(action, minlength=3) / num, np.asarray(q[0, :, 0]), legal


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("rule", ["epsilon", "boltzmann", "top_k", "greedy"])
def test_each_exploration_tries_actions_as_often_as_it_says(rule, masked):
    share, q, legal = tried({"exploration": rule}, masked)
    order = np.argsort(np.where(legal, -q, np.inf))
    best = np.eye(3)[order[0]]
    two = np.eye(3)[order[:2]].mean(0)
    expected = {
        "epsilon": 0.7 * best + 0.3 * legal / legal.sum(),
        "boltzmann": selection.boltzmann_prob(q[None], 0.3, legal[None])[0],
        "top_k": 0.7 * best + 0.3 * two,
        "greedy": best,
    }[rule]
    np.testing.assert_allclose(share, expected, atol=0.012)
    assert not share[~legal].any()


def test_the_ladder_has_a_rate_for_each_environment():
    """The share of tries at the first, middle and last of many environments."""
    num = 30_000
    config = replace(CONFIG, exploration="ladder", epsilon_start=0.9, epsilon_end=0.1)
    learner = dqn.learner(config, drift.setting(drift.drift(), None))
    _, _, _, state, sample = scene("dqn")
    obs = jnp.repeat(sample.data.obs[:1], num, 0)
    noise = learner.noise(jax.random.key(3), (num,))
    carry = learner.carry(jax.random.key(0), num)
    action = np.asarray(learner.act(state, obs, noise, carry)[0])
    best = np.asarray(learner.act(state, obs, None, carry)[0])
    other = (action != best).reshape(10, -1).mean(1) * 1.5  # a random one may be the best
    middle = (np.arange(10) + 0.5) / 10
    np.testing.assert_allclose(other, 0.9 ** (1 - middle) * 0.1**middle, atol=0.04)


@pytest.mark.parametrize("rule", ["epsilon", "ladder", "boltzmann", "top_k"])
def test_tries_may_last_and_are_as_frequent_as_before(rule):
    """With ρ a try is repeated, or drawn anew and then the same by chance."""
    num, memory = 20_000, 0.8
    changes = dict(exploration=rule, epsilon_start=1.0, epsilon_end=1.0, top_k=3, temperature=1e6)
    config = replace(CONFIG, noise_memory=memory, **changes)
    learner = dqn.learner(config, drift.setting(drift.drift(), None))
    _, _, _, state, sample = scene("dqn")
    obs = jnp.repeat(sample.data.obs[:1], num, 0)
    carry, actions = learner.carry(jax.random.key(0), num), []
    for key in jax.random.split(jax.random.key(3), 3):
        action, _, carry = learner.act(state, obs, learner.noise(key, (num,)), carry)
        actions.append(np.asarray(action))
        np.testing.assert_allclose(np.bincount(action) / num, np.full(3, 1 / 3), atol=0.015)
    again = [np.mean(before == after) for before, after in itertools.pairwise(actions)]
    np.testing.assert_allclose(again, memory + (1 - memory) / 3, atol=0.015)
    fresh = learner.act(state, obs, learner.noise(key, (num,)), learner.carry(key, num))[0]
    np.testing.assert_allclose(np.mean(fresh == actions[-1]), (1 - memory) + memory / 3, atol=0.015)


@pytest.mark.parametrize("lasting", ["step", "episode"])
def test_noise_of_the_weights_lasts_a_step_or_an_episode(lasting):
    """Actions in one place, step by step, in environments that all show it."""
    num = 64
    changes = {"noisy": lasting, "noisy_std": 3.0, "exploration": "greedy"}
    learner = dqn.learner(replace(CONFIG, **changes), drift.setting(drift.drift()))
    _, _, _, _, sample = scene("dqn")
    obs = jnp.repeat(sample.data.obs[:1], num, 0)
    state = learner.init(jax.random.key(0), obs)
    blank = carry = learner.carry(jax.random.key(1), num)
    actions = []
    for noise_key in jax.random.split(jax.random.key(2), 3):
        action, _, carry = learner.act(state, obs, learner.noise(noise_key, (num,)), carry)
        actions.append(np.asarray(action))
    assert len(np.unique(actions[0])) == 3  # each environment has weights of its own
    changed = [(a != actions[0]).any() for a in actions[1:]]
    assert changed == [lasting == "step"] * 2
    again = learner.act(state, obs, learner.noise(noise_key, (num,)), blank)[0]
    assert (np.asarray(again) != actions[0]).any()  # another episode, other weights
    still = np.asarray(learner.act(state, obs, None, carry)[0])
    assert len(np.unique(still)) == 1  # evaluation knows the mean weights only
