"""Adversarial imitation: the discriminator, its loss and its reward against float64."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrl.algorithms import ppo
from jaxrl.config import replace
from jaxrl.families.adversarial import imitating
from jaxrl.families.normalise import normalised
from jaxrl.families.settings import Setting
from jaxrl.types import Box, Transition
from tests.families import drift, oracle
from tests.oracles import imitation

GAMMA, NUM_ROWS = 0.9, 30
KINDS = ["gail", "saturating", "airl"]
REWARDS = {
    "gail": imitation.gail_reward,
    "saturating": imitation.saturating_reward,
    "airl": imitation.airl_reward,
}
BOX = Box(jnp.array([-1.0, 0.5]), jnp.array([3.0, 1.0]), (2,))


def demonstrations(env, seed=11):
    """Steps of somebody in `drift`, as rows."""
    luck = np.random.default_rng(seed)
    obs, next_obs = luck.normal(0.3, 2.0, (2, NUM_ROWS, 3)).astype(np.float32)
    if isinstance(env.spaces.action, Box):
        action = np.float32(luck.uniform(BOX.low, BOX.high, (NUM_ROWS, 2)))
    else:
        action = luck.integers(0, 3, NUM_ROWS, dtype=np.int32)
    dead = luck.uniform(size=NUM_ROWS) < 0.2
    return Transition(obs, action, (), np.zeros(NUM_ROWS, np.float32), next_obs, dead, ~dead)


def judged(config, env, expert):
    """The learner that imitates, and what it hands on to the one inside as `fed`."""
    setting = Setting(env.spaces, 10, None, drift.recorder, expert)
    learner = normalised(config, ppo.learner(config, setting))

    def update(key, state, rollout):
        return state._replace(num_updates=state.num_updates + 1), {"fed": rollout}

    return imitating(config, setting, learner._replace(update=update))


@functools.cache
def scene(kind, boxed=False, whole=False, normal=False):
    env = drift.drift(BOX if boxed else None)
    config = replace(
        ppo.Config(),
        num_envs=drift.NUM_ENVS,
        hidden_sizes=(4,),
        gamma=GAMMA,
        imitates=kind,
        discriminator_epochs=1,
        normalise_obs=normal,
        discriminator_lr=1e-2,
    )
    expert = demonstrations(env)
    learner = judged(config, env, expert)
    state, rollout = drift.played(env, learner, whole=whole)
    slots = state.slots
    moved = slots._replace(params=drift.moved(slots.params, 5))
    state = state._replace(params=drift.moved(state.params, 1), slots=moved)
    return config, env, expert, learner, state, rollout


def numbers(action, boxed):
    if boxed:
        low, high = np.asarray(BOX.low), np.asarray(BOX.high)
        return 2 * (action - low) / (high - low) - 1
    return np.eye(3)[action]


def logits(kind, params, policy, rows, expert, boxed):
    """x of rows (obs, action, next_obs, terminated) in float64, from the definition."""
    obs, action, next_obs, terminated = (np.asarray(x) for x in rows)
    centre, spread = np.float64(expert.obs).mean(0), np.float64(expert.obs).std(0)
    seen, after = ((np.float64(x) - centre) / spread for x in (obs, next_obs))
    x = oracle.mlp(params[0], np.concatenate([seen, numbers(action, boxed)], -1))[:, 0]
    if kind != "airl":
        return x
    h = oracle.mlp(params[1], seen)[:, 0], oracle.mlp(params[1], after)[:, 0]
    return x + GAMMA * (1 - terminated) * h[1] - h[0] - log_policy(policy, obs, action, boxed)


def log_policy(policy, obs, action, boxed):
    if not boxed:
        logits = oracle.mlp(policy, np.float64(obs))
        return oracle.taken(oracle.log_softmax(logits), action)
    layers = {k: v for k, v in policy.items() if k != "log_std"}
    mean, log_std = oracle.mlp(layers, np.float64(obs)), policy["log_std"]
    gap = (action - mean) / np.exp(log_std)
    return (-0.5 * gap**2 - log_std - 0.5 * np.log(2 * np.pi)).sum(-1)


def flat(steps):
    names = ("obs", "action", "next_obs", "terminated")
    return [np.asarray(getattr(steps, n)).reshape(-1, *getattr(steps, n).shape[2:]) for n in names]


@pytest.mark.parametrize("boxed", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_rewards_are_what_the_discriminator_then_says(kind, boxed):
    *_, expert, learner, state, rollout = scene(kind, boxed)
    new, metrics = jax.jit(learner.update)(jax.random.key(0), state, rollout)
    params, policy = oracle.wide(new.slots.params), oracle.wide(state.params.actor)
    assert np.asarray(rollout.transition.terminated).any()
    x = logits(kind, params, policy, flat(rollout.transition), expert, boxed)
    fed = np.asarray(metrics["fed"].transition.reward)
    np.testing.assert_allclose(fed.ravel(), REWARDS[kind](x), rtol=2e-3, atol=2e-3)
    np.testing.assert_allclose(metrics["imitation_reward"].mean, fed.mean(), rtol=1e-4)


@pytest.mark.parametrize("kind", KINDS)
def test_the_loss_is_that_of_both_kinds_of_steps_alike(kind):
    *_, expert, learner, state, rollout = scene(kind)
    metrics = jax.jit(learner.update)(jax.random.key(0), state, rollout)[1]
    params, policy = oracle.wide(state.slots.params), oracle.wide(state.params.actor)
    ours = logits(kind, params, policy, flat(rollout.transition), expert, False)
    rows = expert.obs, expert.action, expert.next_obs, expert.terminated
    theirs = logits(kind, params, policy, rows, expert, False)
    loss = 0.5 * imitation.discriminator_loss(ours, np.zeros(len(ours))).mean()
    each = imitation.discriminator_loss(theirs, np.ones(NUM_ROWS))
    # the expert's steps are drawn, as many as the policy took
    spread = 0.5 * each.std() / np.sqrt(len(ours))
    expected = loss + 0.5 * each.mean()
    assert abs(metrics["discriminator_loss"].mean - expected) < 4 * spread
    right = 0.5 * ((ours <= 0).mean() + (theirs > 0).mean())
    assert abs(metrics["discriminator_accuracy"].mean - right) < 2 / np.sqrt(len(ours))


@pytest.mark.parametrize("kind", KINDS)
def test_the_environments_reward_is_not_looked_at(kind):
    *_, learner, state, rollout = scene(kind)
    other = rollout.transition._replace(reward=7.0 - rollout.transition.reward)
    one, two = (
        jax.jit(learner.update)(jax.random.key(0), state, r)
        for r in (rollout, rollout._replace(transition=other))
    )
    jax.tree.map(np.testing.assert_array_equal, one, two)


def test_steps_after_an_end_count_nothing():
    *_, learner, state, rollout = scene("gail", whole=True)
    mask = rollout.mask
    assert not mask.all()
    wild = jax.tree.map(
        lambda x: jnp.where(mask.reshape(mask.shape + (1,) * (x.ndim - 2)), x, x + 1),
        rollout.transition.next_obs,
    )
    shown = jnp.where(mask[..., None], rollout.transition.obs, 9.0)
    other = rollout._replace(transition=rollout.transition._replace(obs=shown, next_obs=wild))
    one, two = (jax.jit(learner.update)(jax.random.key(0), state, r) for r in (rollout, other))
    jax.tree.map(np.testing.assert_array_equal, one[0].slots, two[0].slots)
    np.testing.assert_array_equal(one[1]["fed"].transition.reward[~mask], 0.0)


def test_the_discriminator_learns():
    *_, learner, state, rollout = scene("gail")
    update, losses = jax.jit(learner.update), []
    for i in range(60):
        state, metrics = update(jax.random.key(i), state, rollout)
        losses.append(float(metrics["discriminator_loss"].mean))
    assert np.mean(losses[-5:]) < np.mean(losses[:5]) - 0.1


def test_observations_reach_the_policy_normalised_and_the_discriminator_as_they_are():
    *_, learner, state, rollout = scene("gail", normal=True)
    kept = state.slots.slots
    far = kept._replace(obs=kept.obs._replace(mean=kept.obs.mean + 5.0))
    other = state._replace(slots=state.slots._replace(slots=far))
    obs = rollout.last_obs
    outputs = [learner.act(s, obs, None, rollout.last_carry)[1].output for s in (state, other)]
    assert not np.allclose(*outputs)
    one, two = (jax.jit(learner.update)(jax.random.key(0), s, rollout) for s in (state, other))
    np.testing.assert_array_equal(one[1]["fed"].transition.reward, two[1]["fed"].transition.reward)


def test_none_is_the_learner_itself():
    env = drift.drift()
    config = ppo.Config()
    learner = ppo.learner(config, Setting(env.spaces, 1))
    assert imitating(config, Setting(env.spaces, 1), learner) is learner
