"""Normalisation against NumPy's moments of all that was seen."""

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrl.algorithms import ppo, reinforce
from jaxrl.config import replace
from jaxrl.families.normalise import BOUND, normalised
from jaxrl.loops import episodic, on_policy
from jaxrl.networks import action_mask, content
from jaxrl.types import Learner, LearnerState
from tests.families import drift

GAMMA, NUM_UPDATES = 0.8, 4
CONFIG = replace(ppo.Config(), gamma=GAMMA, normalise_obs=True, normalise_reward=True)


def spy():
    """Records what it is shown: when acting, in its extras; when learning, as a metric."""

    def init(key, obs):
        return LearnerState((), (), jnp.int32(0), slots={"own": jnp.zeros(())})

    def act(state, obs, noise, carry):
        action = jnp.zeros(len(content(obs)), jnp.int32) if noise is None else noise
        return action, {"shown": obs}, carry

    def update(key, state, rollout):
        own = {"own": state.slots["own"] + 1}
        new = state._replace(num_updates=state.num_updates + 1, slots=own)
        return new, {"fed": rollout}

    def noise(key, shape):
        return jax.random.randint(key, shape, 0, 2)

    return Learner(init, lambda key, num_envs: (), noise, act, update)


@functools.cache
def history(whole=False, masked=False, num_steps=7):
    """For each update: statistics before it, the raw rollout, what the learner was fed."""
    env = drift.drift(masked=masked)
    made = normalised(CONFIG, spy())

    def update(key, state, rollout):
        new, metrics = made.update(key, state, rollout)
        return new, metrics | {"raw": rollout, "before": state.slots, "after": new.slots}

    learner = made._replace(update=update)
    loop = episodic if whole else on_policy
    algorithm = loop(env, learner, drift.NUM_ENVS, num_steps)
    state = algorithm.init(jax.random.key(2))
    step, found = jax.jit(algorithm.update), []
    for _ in range(NUM_UPDATES):
        state, metrics = step(state)
        found.append(metrics)
    return found


def moments(rows):
    """Mean and variance of rows [B, ...] behind the prior: 1e-4 of mean 0 and variance 1."""
    count, prior = len(rows), 1e-4
    total = count + prior
    mean = rows.sum(0) / total
    var = (prior * (1 + mean**2) + ((rows - mean) ** 2).sum(0)) / total
    return total, mean, var


def valid(rollout):
    shape = rollout.transition.reward.shape
    return np.ones(shape, bool) if rollout.mask is None else np.asarray(rollout.mask)


def running(found, whole):
    """The discounted return so far at each step: an episode's end comes after its last reward."""
    carried, rows = np.zeros(drift.NUM_ENVS), []
    for metrics in found:
        steps = metrics["raw"].transition
        if whole:
            carried[:] = 0
        returns = []
        for reward, done in zip(np.asarray(steps.reward), np.asarray(steps.done), strict=True):
            carried = GAMMA * carried + reward
            returns.append(carried.copy())
            carried[done] = 0
        rows.append(np.stack(returns))
    return rows


SITUATIONS = pytest.mark.parametrize(
    ("whole", "num_steps"), [(False, 7), (True, 7), (True, 3)], ids=["on", "episodic", "cut"]
)


@SITUATIONS
def test_statistics_are_those_of_all_that_was_seen(whole, num_steps):
    found = history(whole, num_steps=num_steps)
    returns, seen, paid = running(found, whole), [], []
    for metrics, row in zip(found, returns, strict=True):
        raw = metrics["raw"]
        seen.append(np.asarray(raw.transition.obs, np.float64)[valid(raw)])
        paid.append(row[valid(raw)])
        for kept, rows in ((metrics["after"].obs, seen), (metrics["after"].returns.moments, paid)):
            total, mean, var = moments(np.concatenate(rows))
            np.testing.assert_allclose(kept.count, total, rtol=1e-6)
            np.testing.assert_allclose(kept.mean, mean, rtol=1e-4, atol=1e-5)
            np.testing.assert_allclose(kept.var, var, rtol=1e-4, atol=1e-5)
    if not whole:
        assert any(np.asarray(m["raw"].transition.done).any() for m in found)


def standard(kept, x):
    mean, deviation = np.asarray(kept.mean), np.sqrt(np.asarray(kept.var, np.float64))
    return np.clip((np.asarray(x) - mean) / deviation, -BOUND, BOUND)


@pytest.mark.parametrize("masked", [False, True])
def test_one_set_of_statistics_acts_and_learns(masked):
    for metrics in history(masked=masked):
        before, raw, fed = metrics["before"], metrics["raw"], metrics["fed"]
        shown = fed.transition.extras["shown"]
        for one, other in zip(*map(jax.tree.leaves, (shown, fed.transition.obs)), strict=True):
            np.testing.assert_array_equal(one, other)
        for name in ("obs", "next_obs"):
            mine, given = (getattr(r.transition, name) for r in (fed, raw))
            expected = standard(before.obs, content(given))
            np.testing.assert_allclose(content(mine), expected, rtol=1e-4, atol=1e-5)
        last = standard(before.obs, content(raw.last_obs))
        np.testing.assert_allclose(content(fed.last_obs), last, rtol=1e-4, atol=1e-5)
        reward = np.asarray(raw.transition.reward) / np.sqrt(np.asarray(before.returns.moments.var))
        np.testing.assert_allclose(
            fed.transition.reward, np.clip(reward, -BOUND, BOUND), rtol=1e-4, atol=1e-5
        )
        if masked:
            legal = action_mask(raw.transition.obs)
            np.testing.assert_array_equal(action_mask(fed.transition.obs), legal)
            assert not np.asarray(legal).all()


def test_each_update_begins_with_what_the_last_one_left():
    found = history()
    for one, other in itertools.pairwise(found):
        pairs = zip(*map(jax.tree.leaves, (one["after"], other["before"])), strict=True)
        assert all(np.array_equal(a, b) for a, b in pairs)
    assert float(found[-1]["after"].slots["own"]) == NUM_UPDATES  # the learner's own slots


def test_evaluation_uses_the_statistics():
    after = history()[-1]["after"]
    learner = normalised(CONFIG, spy())
    state = LearnerState((), (), jnp.int32(0), slots=after)
    obs = history()[-1]["raw"].last_obs
    shown = learner.act(state, obs, None, ())[1]["shown"]
    np.testing.assert_allclose(shown, standard(after.obs, obs), rtol=1e-4, atol=1e-5)


def test_what_is_not_asked_for_is_not_there():
    plain = replace(CONFIG, normalise_obs=False, normalise_reward=False)
    learner = spy()
    assert normalised(plain, learner) is learner
    for name in ("normalise_obs", "normalise_reward"):
        made = normalised(replace(plain, **{name: True}), learner)
        slots = made.init(jax.random.key(0), jnp.zeros((2, 3))).slots
        assert (slots.obs is None, slots.returns is None) == (
            name != "normalise_obs",
            name != "normalise_reward",
        )


def test_episodic_learners_train_behind_it():
    """End to end: finite parameters, and statistics that came from valid steps alone."""
    config = reinforce.Config(
        num_envs=drift.NUM_ENVS,
        num_steps=9,
        hidden_sizes=(5,),
        normalise_obs=True,
        normalise_reward=True,
    )
    env = drift.drift()
    learner = normalised(config, reinforce.learner(config, drift.setting(env)))
    algorithm = episodic(env, learner, drift.NUM_ENVS, 9)
    state, metrics = jax.jit(algorithm.update)(algorithm.init(jax.random.key(0)))
    count = float(metrics["episode_length"].total)
    slots = state.learner.slots
    np.testing.assert_allclose([slots.obs.count, slots.returns.moments.count], count, rtol=1e-5)
    assert all(np.isfinite(x).all() for x in jax.tree.leaves(state.learner.params))
