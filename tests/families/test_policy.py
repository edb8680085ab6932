"""The policy family's bookkeeping: what acting recorded is what learning starts from."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrl.algorithms import ppo
from jaxrl.families import policy, settings
from jaxrl.networks import action_mask, content, masked
from jaxrl.types import Box, Discrete, MultiDiscrete
from tests.families import drift, oracle

PLANE = Box(np.array([-2.0, 0.5]), np.array([1.0, 0.75]), (2,))
CHOICES = MultiDiscrete((2, 4, 3))
CASES = {
    "categorical": (Discrete(3), False, None, None),
    "masked": (Discrete(4), True, None, None),
    "multi": (CHOICES, False, None, None),
    "masked multi": (CHOICES, True, None, None),
    "gaussian": (PLANE, False, "gaussian", None),
    "squashed": (PLANE, False, "squashed_gaussian", None),
    "beta": (PLANE, False, "beta", None),
    "gru masked": (Discrete(4), True, None, "gru"),
    "gru squashed": (PLANE, False, "squashed_gaussian", "gru"),
    "lstm multi": (CHOICES, False, None, "lstm"),
    "lstm beta": (PLANE, False, "beta", "lstm"),
}
LENGTH = 4
SLOW = ("masked", "multi", "gru squashed", "lstm multi")  # others have what each of these has


def over(names):
    slow = pytest.mark.slow
    params = [pytest.param(n, marks=slow) if n in SLOW else n for n in names]
    return pytest.mark.parametrize("name", params)


each, recurrent = over(CASES), over([n for n, case in CASES.items() if case[3]])


@functools.cache
def scene(name):
    """Parts, state and rollout of a case, and all that the family makes of them."""
    space, legal, distribution, memory = CASES[name]
    env = drift.drift(space, legal)
    config = ppo.Config(
        num_envs=drift.NUM_ENVS,
        num_steps=drift.NUM_STEPS,
        hidden_sizes=(8,),
        distribution=distribution,
        std="dependent",
        memory=memory,
        memory_size=5,
        sequence_length=LENGTH if memory else None,
        gamma=0.9,
        num_minibatches=3,
    )
    settings.check(config)
    setting = drift.setting(env)
    parts = settings.parts(config, setting)
    made = ppo.learner(config, setting)

    def init(key, obs):  # not the initial parameters: those hardly prefer anything
        state = made.init(key, obs)
        return state._replace(params=drift.moved(state.params, scale=0.4))

    state, rollout = drift.played(env, made._replace(init=init))

    def all_of(state, rollout):
        x = policy.judged(parts, state, rollout)
        ids = jnp.arange(x.value.size, dtype=jnp.float32).reshape(x.value.shape)
        batch = policy.arranged(parts, x, ids, ids)
        new = policy.predict(parts, state.params, batch)
        return x, batch, new, policy.current_log_prob(parts, state.params, x)

    return parts, state, rollout, jax.jit(all_of)(state, rollout)


def rows(name, x):
    """[T, N, ...] as batches stand: single steps, or sequences."""
    x = np.asarray(x)
    if CASES[name][3] is None:
        return x.reshape(-1, *x.shape[2:])
    chunks = [x[t : t + LENGTH, n] for t in range(0, len(x), LENGTH) for n in range(x.shape[1])]
    return np.stack(chunks)


@each
def test_the_first_ratio_is_one(name):
    _, _, _, (_, batch, new, _) = scene(name)
    ratio = np.exp(np.asarray(new.log_prob, np.float64) - np.asarray(batch.log_prob))
    np.testing.assert_allclose(ratio, 1, atol=5e-6)
    possible = np.asarray(batch.output) > -1e30
    np.testing.assert_allclose(
        np.where(possible, new.output, 0), np.where(possible, batch.output, 0), atol=2e-6
    )
    np.testing.assert_allclose(new.value, batch.value, atol=2e-6)


@each
def test_rows_belong_together(name):
    """All fields of a row are of one step; sequences are of one environment, in order."""
    _, _, rollout, (x, batch, _, _) = scene(name)
    steps = rollout.transition
    ids = np.arange(x.value.size).reshape(x.value.shape)
    np.testing.assert_array_equal(batch.advantage, rows(name, ids))
    done = np.asarray(steps.done)
    reset = np.concatenate([np.zeros_like(done[:1]), done[:-1]])
    pairs = [
        (batch.obs, steps.obs),
        (batch.action, steps.extras.action),
        (batch.output, steps.extras.output),
        (batch.value, x.value),
        (batch.log_prob, x.log_prob),
        (batch.reset, reset),
        (batch.target, ids),
    ]
    for found, expected in pairs:
        for one, other in zip(*map(jax.tree.leaves, (found, expected)), strict=True):
            np.testing.assert_array_equal(one, rows(name, other))
    first = jax.tree.map(lambda c: np.asarray(c)[::LENGTH], steps.extras.carry)
    expected = jax.tree.map(lambda c: c.reshape(-1, *c.shape[2:]), first)
    for one, other in zip(*map(jax.tree.leaves, (batch.carry, expected)), strict=True):
        np.testing.assert_array_equal(one, other)


@each
def test_what_was_done_is_legal_and_recorded(name):
    parts, _, rollout, (x, _, _, current) = scene(name)
    steps = rollout.transition
    acted = parts.distribution.act(steps.extras.action)
    np.testing.assert_allclose(steps.action, acted, atol=1e-6)
    np.testing.assert_allclose(x.log_prob, current, atol=5e-6)
    np.testing.assert_allclose(x.discount, np.where(steps.terminated, 0, np.float32(0.9)))
    legal = action_mask(steps.obs)
    if legal is not None:
        starts = (0, *np.cumsum(CHOICES.num_values)[:-1]) if "multi" in name else (0,)
        action = np.asarray(steps.action).reshape(*steps.reward.shape, -1) + np.array(starts)
        assert np.take_along_axis(np.asarray(legal), action, -1).all()
        assert not np.asarray(legal).all()


@functools.cache
def naive(name):
    """Step by step with memory: outputs, values, and the values of what was reached."""
    parts, state, rollout, _ = scene(name)
    assert parts.critic is not None
    steps, critic_step = rollout.transition, parts.critic.step
    empty = policy.ActorCritic(
        parts.actor.carry(drift.NUM_ENVS), parts.critic.carry(drift.NUM_ENVS)
    )

    @jax.jit
    def step(carry, obs, next_obs):
        output, actor = parts.actor.step(state.params.actor, obs, carry.actor)
        value, critic = critic_step(state.params.critic, obs, carry.critic)
        reached, _ = critic_step(state.params.critic, next_obs, critic)
        after = policy.ActorCritic(actor, critic)
        return masked(output, action_mask(obs)), value[..., 0], reached[..., 0], after

    carry, found = rollout.first_carry, []
    for t in range(drift.NUM_STEPS):
        obs, next_obs = jax.tree.map(lambda x, t=t: x[t], (steps.obs, steps.next_obs))
        *numbers, carry = step(carry, obs, next_obs)
        found.append(numbers)
        done = np.asarray(steps.done[t])
        carry = jax.tree.map(lambda a, b, d=done: np.where(d[:, None], a, b), empty, carry)
    return [np.stack(x) for x in zip(*found, strict=True)], carry


@recurrent
def test_memory_step_by_step(name):
    _, _, rollout, (x, _, _, _) = scene(name)
    (output, value, reached), carry = naive(name)
    done, truncated = (np.asarray(f) for f in (x.done, rollout.transition.truncated))
    inside = done.reshape(-1, LENGTH, drift.NUM_ENVS)[:, :-1]
    assert inside.any() and truncated.sum() > 3  # resets inside of sequences; cuts
    np.testing.assert_allclose(x.output, output, atol=2e-6)
    np.testing.assert_allclose(x.value, value, atol=2e-6)
    for one, other in zip(*map(jax.tree.leaves, (rollout.last_carry, carry)), strict=True):
        np.testing.assert_allclose(one, other, atol=2e-6)
    going = ~np.asarray(rollout.transition.terminated)
    np.testing.assert_allclose(
        np.asarray(x.next_value)[going], reached[going], atol=3e-6
    )  # what was reached, with the memory of how: before any reset


def test_values_of_what_was_reached_without_memory():
    _, state, rollout, (x, _, _, _) = scene("categorical")
    params = oracle.wide(state.params)
    reached = oracle.mlp(params.critic, np.asarray(content(rollout.transition.next_obs)))[..., 0]
    going = ~np.asarray(rollout.transition.terminated)
    np.testing.assert_allclose(np.asarray(x.next_value)[going], reached[going], atol=3e-6)


@pytest.mark.parametrize("name", ["gaussian", "lstm beta"])
def test_acting_greedily_takes_the_mode(name):
    parts, state, rollout, _ = scene(name)
    steps = rollout.transition
    learner = policy.policy_learner(
        parts,
        lambda state, x: (x.value, x.value, ()),
        policy.Improver(lambda params: (), lambda key, state, batch: (state, {})),
    )
    obs, carry = jax.tree.map(lambda x: x[0], (steps.obs, steps.extras.carry))
    action, extras, _ = jax.jit(lambda s: learner.act(s, obs, None, carry))(state)
    np.testing.assert_allclose(extras.output, steps.extras.output[0], atol=2e-6)
    mode = parts.distribution.act(parts.distribution.mode(steps.extras.output[0]))
    np.testing.assert_allclose(action, mode, atol=2e-6)
