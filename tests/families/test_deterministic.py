"""DDPG, TD3 and D4PG: every part against float64."""

from itertools import pairwise

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrl.algorithms import ddpg
from jaxrl.families.actor_critic import lingering
from jaxrl.families.box import span
from jaxrl.families.deterministic import Smoothing, Wobble, deterministic
from jaxrl.families.value_head import scalar_head
from jaxrl.types import Box, Discrete
from tests.families import drift, oracle, replayed
from tests.oracles import distributional, value_targets

PLAIN = Wobble(0.1, 1.0)


def wide(sample):
    return oracle.wide(sample.data)


def after(made, state, sample):
    return replayed.taught(made)(jax.random.key(1), state, sample)


@pytest.mark.parametrize("num_critics", [1, 2])
def test_one_gradient(num_critics):
    made = replayed.learner(ddpg, num_critics=num_critics, num_judges=num_critics)
    sample = replayed.sample()
    state, x = replayed.started(made, sample.data.obs), wide(sample)
    new, metrics, priority = after(made, state, sample)
    params, target = oracle.wide(state.params), oracle.wide(state.target)
    best = np.tanh(oracle.mlp(target.actor, x.next_obs))
    next_q = replayed.q(target.critic, x.next_obs, best)[..., 0].min(0)
    y = x.reward + x.discount * next_q

    def value_loss(critic):
        q = replayed.q(critic, x.obs, replayed.unit(x.action))[..., 0]
        return replayed.mean_loss(sample.weight, 0.5 * (q - y) ** 2)

    def policy_loss(actor):
        unit = np.tanh(oracle.mlp(actor, x.obs))
        return -replayed.q(params.critic, x.obs, unit)[0].mean()

    oracle.same(new.opt_state.critic, oracle.slope(value_loss, params.critic))
    oracle.same(new.opt_state.actor, oracle.slope(policy_loss, params.actor))
    q = replayed.q(params.critic, x.obs, replayed.unit(x.action))[..., 0]
    np.testing.assert_allclose(priority, np.abs(y - q).mean(0), rtol=1e-4)
    np.testing.assert_allclose(metrics["value_loss"].mean, value_loss(params.critic), rtol=1e-4)
    np.testing.assert_allclose(metrics["q"].mean, q.mean(), rtol=1e-4)
    assert "entropy" not in metrics and new.slots == ()


def test_distributional_gradient():
    made = replayed.learner(
        ddpg, head="categorical", num_atoms=7, value_min=-2.0, value_max=2.0, num_critics=2,
        num_judges=2,
    )  # fmt: skip
    sample, support = replayed.sample(), np.linspace(-2, 2, 7)
    state, x = replayed.started(made, sample.data.obs), wide(sample)
    new, _, priority = after(made, state, sample)
    params, target = oracle.wide(state.params), oracle.wide(state.target)
    best = np.tanh(oracle.mlp(target.actor, x.next_obs))
    prob = np.exp(oracle.log_softmax(replayed.q(target.critic, x.next_obs, best)))
    lowest = (prob * support).sum(-1).argmin(0)
    assert len(np.unique(lowest)) == 2
    prob = prob[lowest, np.arange(len(lowest))]
    atoms = x.reward[:, None] + x.discount[:, None] * support
    y = distributional.categorical_projection(atoms, prob, support)

    def value_loss(critic):
        logits = replayed.q(critic, x.obs, replayed.unit(x.action))
        rows = -(y * oracle.log_softmax(logits)).sum(-1)
        return replayed.mean_loss(sample.weight, rows)

    def policy_loss(actor):
        logits = replayed.q(params.critic, x.obs, np.tanh(oracle.mlp(actor, x.obs)))[0]
        return -(np.exp(oracle.log_softmax(logits)) * support).sum(-1).mean()

    oracle.same(new.opt_state.critic, oracle.slope(value_loss, params.critic))
    oracle.same(new.opt_state.actor, oracle.slope(policy_loss, params.actor))
    logits = replayed.q(params.critic, x.obs, replayed.unit(x.action))
    gap = np.where(y > 0, y, 1)
    divergence = (y * (np.log(gap) - oracle.log_softmax(logits))).sum(-1).mean(0)
    np.testing.assert_allclose(priority, divergence, rtol=1e-3, atol=1e-5)


def test_smoothed_target():
    conduct = deterministic(span(replayed.BOX), PLAIN, Smoothing(0.7, 0.4))
    sample, luck = replayed.sample(), np.random.default_rng(0)
    output, noise = luck.normal(size=(2, replayed.NUM_ROWS, 2))
    x, unit = wide(sample), np.tanh(output)
    moved = np.stack(
        [value_targets.smoothed_action(unit[:, i], noise[:, i], 0.7, 0.4, -1, 1) for i in (0, 1)],
        -1,
    )
    assert (np.abs(moved) == 1).any() and (np.abs(0.7 * noise) > 0.4).any()

    def ask(action):
        return (jnp.sin(action) * jnp.asarray([[2.0, 1.0]])).sum(-1)[:, None]

    args = jnp.float32(output), jnp.float32(noise), sample.data, jnp.zeros(())
    target = conduct.target(scalar_head(1.0), ask, *args)[:, 0]
    action = replayed.LOW + (replayed.HIGH - replayed.LOW) * (moved + 1) / 2
    expected = x.reward + x.discount * (np.sin(action) @ [2.0, 1.0])
    np.testing.assert_allclose(target, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("memory", [0.0, 0.8])
def test_noise_is_a_stationary_process(memory):
    num_envs, num_steps = 400, 500
    plain = deterministic(span(Box(-3.0, 1.0, (1,))), Wobble(0.01, 4.0), Smoothing(0.0, 0.0))
    conduct = lingering(plain, memory)
    output = jnp.full((num_envs, 1), np.arctanh(0.3), jnp.float32)

    def step(carry, noise):
        action, carry = conduct.act(output, noise, carry)
        return carry, action

    k_carry, k_noise = jax.random.split(jax.random.key(0))
    noise = conduct.noise(k_noise, (num_steps, num_envs))
    action = jax.lax.scan(step, conduct.carry(k_carry, num_envs), noise)[1]
    x = (np.asarray(action, np.float64)[..., 0] + 1) / 2 - 0.3
    std = 0.01 * 4 ** (np.arange(num_envs) / (num_envs - 1))
    x = x / std
    np.testing.assert_allclose(x[0].std(), 1, atol=0.12)  # from the first step on
    np.testing.assert_allclose(x.std(), 1, atol=0.03)
    np.testing.assert_allclose(x.mean(), 0, atol=0.03)
    np.testing.assert_allclose(x[:, :100].std(), x[:, 300:].std(), rtol=0.06)
    for lag in (1, 3):
        np.testing.assert_allclose((x[lag:] * x[:-lag]).mean(), memory**lag, atol=0.03)


def test_each_episode_begins_with_noise_of_its_own():
    white = deterministic(span(replayed.BOX), PLAIN, Smoothing(0.0, 0.0))
    conduct, output = lingering(white, 0.9), jnp.zeros((3, 2))
    blank = conduct.carry(jax.random.key(0), 3)
    for seed in (1, 2):
        noise = conduct.noise(jax.random.key(seed), (3,))
        action, _ = conduct.act(output, noise, blank)
        np.testing.assert_array_equal(action, white.act(output, noise, ())[0])


def test_acting_greedily_keeps_the_noise():
    conduct = lingering(deterministic(span(replayed.BOX), PLAIN, Smoothing(0.0, 0.0)), 0.5)
    carry = conduct.carry(jax.random.key(0), 3)
    action, kept = conduct.act(jnp.zeros((3, 2)), None, carry)
    np.testing.assert_allclose(action, np.tile((replayed.LOW + replayed.HIGH) / 2, (3, 1)))
    assert kept is carry


def test_the_actor_waits():
    made = replayed.learner(
        ddpg, optimizer=drift.descent, policy_delay=2, target_period=2, polyak=0.25
    )
    sample = replayed.sample()
    update = replayed.taught(made)
    states = [replayed.started(made, sample.data.obs)]
    for step in range(4):
        state, metrics, _ = update(jax.random.key(step), states[-1], sample)
        states.append(state)
        assert metrics["policy_loss"].count == step % 2 and metrics["value_loss"].count == 1
    for step, (old, new) in enumerate(pairwise(states)):
        flat = [oracle.flat(x) for x in (old.params.actor, new.params.actor)]
        assert (flat[0] == flat[1]).all() == (step % 2 == 0)
        assert (oracle.flat(old.params.critic) != oracle.flat(new.params.critic)).any()
        share = 0.25 * (step % 2)
        expected = (1 - share) * oracle.flat(old.target) + share * oracle.flat(new.params)
        np.testing.assert_allclose(oracle.flat(new.target), expected, rtol=1e-5, atol=1e-6)
    assert states[-1].num_updates == 4


def test_the_actor_follows_critics_that_have_learnt():
    made = replayed.learner(ddpg, optimizer=drift.descent)
    sample = replayed.sample()
    state, x = replayed.started(made, sample.data.obs), wide(sample)
    new = after(made, state, sample)[0]
    critic = oracle.wide(new.params.critic)

    def policy_loss(actor):
        return -replayed.q(critic, x.obs, np.tanh(oracle.mlp(actor, x.obs)))[0].mean()

    actor = oracle.wide(state.params.actor)
    moved = oracle.flat(actor) - 0.1 * oracle.slope(policy_loss, actor)
    oracle.same(new.params.actor, moved)


@pytest.mark.parametrize(
    "box", [Box(-1.0, 3.0, (2,)), Box(0.1, 0.7, ()), Box(np.full((2, 2), -5.0), 1e-3, (2, 2))]
)
def test_bounds(box):
    bounds = span(box)
    conduct = deterministic(bounds, Wobble(10.0, 1.0), Smoothing(0.2, 0.5))
    size = conduct.size
    output = jnp.float32([[-1e4] * size, [1e4] * size, [0.3] * size])

    def price(output):
        def ask(action):
            return jnp.square(bounds.unit(action) - 0.5).sum(-1)

        return conduct.loss(ask, output, output, jnp.zeros(()))[0].sum()

    low, high = (np.broadcast_to(np.float32(x), box.shape) for x in (box.low, box.high))
    for noise in (None, jnp.ones((3, size)), -jnp.ones((3, size))):
        action = np.asarray(conduct.act(output, noise, jnp.zeros((3, size)))[0])
        assert action.shape == (3, *box.shape) and action.dtype == np.float32
        assert (low <= action).all() and (action <= high).all()
    back = bounds.unit(bounds.action(jnp.tanh(output)))
    np.testing.assert_allclose(back, np.tanh(output), atol=1e-5)
    slope = np.asarray(jax.grad(price)(output))
    np.testing.assert_allclose(slope[:2], 0, atol=1e-6)
    unit = np.tanh(0.3)
    np.testing.assert_allclose(slope[2], -2 * (unit - 0.5) * (1 - unit**2), rtol=1e-4)


def test_what_it_cannot_take():
    with pytest.raises(ValueError, match="ddpg needs a Box action space, not Discrete"):
        replayed.learner(ddpg, Discrete(3))
    with pytest.raises(ValueError, match="box must have finite bounds with low < high, not Box"):
        replayed.learner(ddpg, Box(-np.inf, 1.0, (2,)))
    with pytest.raises(
        ValueError, match=r"ddpg\.num_judges must be at most num_critics = 1, not 2"
    ):
        replayed.learner(ddpg, num_judges=2)
