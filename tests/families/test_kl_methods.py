"""Methods that hold the policy near another one: PPO-penalty, TRPO and GRPO, against float64."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrl.algorithms import grpo, ppo_penalty, trpo
from jaxrl.config import replace
from tests.families import drift, oracle
from tests.families.test_gradients import disturbed
from tests.oracles import advantages, weightings

GAMMA, LAM = 0.9, 0.7
SHAPE = dict(
    num_envs=drift.NUM_ENVS,
    num_steps=drift.NUM_STEPS,
    hidden_sizes=(6,),
    gamma=GAMMA,
    num_epochs=1,
    num_minibatches=1,
)
PENALTY = ppo_penalty.Config(**SHAPE, lam=LAM, entropy_coef=0.03, kl_coef=0.8)
TRUST = trpo.Config(**SHAPE, lam=LAM, lr=0.05)
GROUP = grpo.Config(**SHAPE, group_size=3, entropy_coef=0.03, clip_eps_high=0.4)


@functools.cache
def scene(module, config):
    """A state of other parameters than those that acted, and the rollout."""
    env = drift.drift()
    learner = module.learner(config, drift.setting(env))
    state, rollout = drift.played(env, learner, whole=module is grpo)
    return env, state, rollout


@functools.cache
def stepper(module, base, optimizer):
    """An update whose configuration is an argument: floats compile nothing anew."""
    env, _, rollout = scene(module, base)

    def update(config, state):
        learner = module.learner(config, drift.setting(env, optimizer))
        return learner.update(jax.random.key(1), state, rollout)

    return jax.jit(update)


def updated(module, config, base, optimizer=drift.recorder, scale=0.25, **changes):
    env, state, rollout = scene(module, base)
    learner = module.learner(config, drift.setting(env, optimizer))
    start = learner.init(jax.random.key(0), rollout.last_obs)
    start = start._replace(params=drift.moved(state.params, 1, scale), **changes)
    new, metrics = stepper(module, base, optimizer)(config, start)
    return start, new, metrics, oracle.rolled(rollout, GAMMA)


def log_policy(actor, x):
    return oracle.log_softmax(oracle.mlp(actor, x.obs))


def parts(params, x):
    """Log-policies of who acted, of the actions taken, and GAE with its target."""
    old = oracle.log_softmax(x.output)
    value, next_value = (oracle.mlp(params.critic, o)[..., 0] for o in (x.obs, x.next_obs))
    advantage = oracle.gae(x, value, next_value, LAM)
    return old, oracle.taken(old, x.action), advantages.whiten(advantage), advantage + value


def test_the_penalised_gradient():
    state, new, metrics, x = updated(ppo_penalty, PENALTY, PENALTY)
    params = oracle.wide(state.params)
    old, old_taken, advantage, target = parts(params, x)

    def policy_loss(p):
        now = log_policy(p.actor, x)
        ratio = np.exp(oracle.taken(now, x.action) - old_taken)
        return (-ratio * advantage + 0.8 * oracle.kl(old, now)).mean()

    def loss(p):
        value = oracle.mlp(p.critic, x.obs)[..., 0]
        entropy = oracle.entropy(log_policy(p.actor, x)).mean()
        value_loss = 0.5 * ((value - target) ** 2).mean()
        return policy_loss(p) + PENALTY.value_coef * value_loss - 0.03 * entropy

    oracle.same(new.opt_state, oracle.slope(loss, params))
    np.testing.assert_allclose(metrics["policy_loss"].mean, policy_loss(params), rtol=1e-4)
    exact = oracle.kl(old, log_policy(params.actor, x)).mean()  # a recorder moves nothing
    np.testing.assert_allclose(metrics["kl"].mean, exact, rtol=1e-4)
    np.testing.assert_allclose(metrics["kl_coef"].mean, 0.8)


@pytest.mark.parametrize(("share", "factor"), [(0.5, 2.0), (0.8, 1.0), (1.4, 1.0), (2.0, 0.5)])
def test_the_coefficient_adapts(share, factor):
    """KL against its target: dearer above 3/2 of it, cheaper below 2/3."""
    metrics = updated(ppo_penalty, PENALTY, PENALTY)[2]
    config = replace(PENALTY, target_kl=share * float(metrics["kl"].mean))
    coefficient = np.float32(0.4)
    new = updated(ppo_penalty, config, PENALTY, slots=coefficient)[1]
    np.testing.assert_allclose(new.slots, coefficient * factor, rtol=1e-6)


@pytest.mark.parametrize(("bound", "target_kl"), [(1e-6, 1e9), (1e6, 1e-12)])
def test_the_coefficient_neither_vanishes_nor_overflows(bound, target_kl):
    config = replace(PENALTY, target_kl=target_kl)
    new = updated(ppo_penalty, config, PENALTY, slots=np.float32(bound))[1]
    np.testing.assert_allclose(new.slots, bound, rtol=1e-6)


def test_the_kl_that_adapts_is_measured_after_the_update():
    state, new, metrics, x = updated(
        ppo_penalty, replace(PENALTY, lr=0.5), PENALTY, optimizer=drift.descent
    )
    old = oracle.log_softmax(x.output)
    before, after = (
        oracle.kl(old, log_policy(oracle.wide(s.params).actor, x)).mean() for s in (state, new)
    )
    np.testing.assert_allclose(metrics["kl"].mean, after, rtol=1e-4)
    assert abs(before - after) > 0.01


@pytest.mark.parametrize("max_kl", [0.001, 0.05])
def test_trpo_stays_inside_and_gains(max_kl):
    config = replace(TRUST, max_kl=max_kl)
    state, new, metrics, x = updated(trpo, config, TRUST, optimizer=drift.descent, scale=0.0)
    before, after = (oracle.wide(s.params) for s in (state, new))
    old, old_taken, advantage, _ = parts(before, x)
    now = log_policy(after.actor, x)
    kl = oracle.kl(old, now).mean()
    assert 0.2 * max_kl < kl < 1.001 * max_kl
    np.testing.assert_allclose(metrics["approx_kl"].mean, kl, rtol=1e-2)
    gain = ((np.exp(oracle.taken(now, x.action) - old_taken) - 1) * advantage).mean()
    assert gain > 0
    np.testing.assert_allclose(-metrics["policy_loss"].mean, gain, rtol=1e-2, atol=1e-6)
    np.testing.assert_allclose(metrics["entropy"].mean, oracle.entropy(now).mean(), rtol=1e-4)
    assert float(metrics["accepted"].mean) == 1


def test_trpo_is_paid_for_entropy():
    found = []
    for bonus in (0.0, 5.0):
        config = replace(TRUST, entropy_coef=bonus)
        state, new, metrics, x = updated(trpo, config, TRUST, optimizer=drift.descent)
        _, old_taken, advantage, _ = parts(oracle.wide(state.params), x)
        before, now = (log_policy(oracle.wide(s.params).actor, x) for s in (state, new))
        ratio, start = (np.exp(oracle.taken(p, x.action) - old_taken) for p in (now, before))
        gain, gained = ((ratio - start) * advantage).mean(), oracle.entropy(now).mean()
        np.testing.assert_allclose(-metrics["policy_loss"].mean, gain, rtol=1e-2, atol=1e-5)
        assert gain + bonus * (gained - oracle.entropy(before).mean()) > 0
        found.append((gain, gained))
    assert found[1][0] < found[0][0] and found[1][1] > found[0][1] + 0.01


def test_trpo_fits_its_critic():
    config = replace(TRUST, num_epochs=3)
    state, new, metrics, x = updated(trpo, config, TRUST, optimizer=drift.descent)
    params = oracle.wide(state.params)
    target, critic, losses = parts(params, x)[3], params.critic, []

    def loss(c):
        return 0.5 * ((oracle.mlp(c, x.obs)[..., 0] - target) ** 2).mean()

    for _ in range(3):
        losses.append(loss(critic))
        critic = oracle.unflat(oracle.flat(critic) - 0.05 * oracle.slope(loss, critic), critic)
    oracle.same(new.params.critic, oracle.flat(critic), atol=1e-5)
    np.testing.assert_allclose(metrics["value_loss"].mean, np.mean(losses), rtol=1e-4)


def group_advantage(x):
    """Each trajectory's return among those of its group, at all of its steps."""
    found = weightings.reward_to_go(x.reward, np.zeros_like(x.reward), x.discount, x.done)
    rows = found[0].reshape(-1, GROUP.group_size)
    spread = np.sqrt(((rows - rows.mean(1, keepdims=True)) ** 2).mean(1, keepdims=True))
    scaled = (rows - rows.mean(1, keepdims=True)) / (spread + 1e-6)
    return np.broadcast_to(scaled.ravel(), x.reward.shape)


def reference_of(params):
    return drift.moved(params, 5, 0.5)


@pytest.mark.parametrize("kl_coef", [None, 0.7])
def test_grpo(kl_coef):
    """The penalty is eq. 4 of the paper: π_ref/π − log π_ref/π − 1."""
    config = replace(GROUP, kl_coef=kl_coef)
    params = scene(grpo, GROUP)[1].params
    target = () if kl_coef is None else reference_of(params)
    state, new, metrics, x = updated(grpo, config, GROUP, target=target)
    old = oracle.taken(oracle.log_softmax(x.output), x.action)
    advantage = group_advantage(x)
    assert not x.mask.all() and x.truncated[x.mask].any()

    def policy_loss(p):
        now = oracle.taken(log_policy(p.actor, x), x.action)
        ratio = np.exp(now - old)
        gain = np.minimum(ratio * advantage, np.clip(ratio, 0.8, 1.4) * advantage)
        if kl_coef is not None:
            behind = log_policy(oracle.wide(target).actor, x)
            gap = oracle.taken(behind, x.action) - now
            gain = gain - kl_coef * (np.exp(gap) - gap - 1)
        return -oracle.mean(gain, x.mask)

    def loss(p):
        return policy_loss(p) - 0.03 * oracle.mean(oracle.entropy(log_policy(p.actor, x)), x.mask)

    params = oracle.wide(state.params)
    np.testing.assert_allclose(metrics["policy_loss"].mean, policy_loss(params), rtol=1e-4)
    oracle.same(new.opt_state, oracle.slope(loss, params))
    ratio = np.exp(oracle.taken(log_policy(params.actor, x), x.action) - old)
    clipped = np.where(advantage >= 0, ratio > 1.4, ratio < 0.8)
    share = oracle.mean(clipped, x.mask)
    assert share > 0
    np.testing.assert_allclose(metrics["clip_fraction"].mean, share, rtol=1e-5)
    for one, other in zip(*map(jax.tree.leaves, (new.target, target)), strict=True):
        np.testing.assert_array_equal(one, other)


def test_grpos_reference_is_the_first_policy():
    env, _, rollout = scene(grpo, GROUP)
    learner = grpo.learner(replace(GROUP, kl_coef=0.1), drift.setting(env, drift.descent))
    first = learner.init(jax.random.key(0), rollout.last_obs)
    state = first
    for seed in range(3):
        state, _ = jax.jit(learner.update)(jax.random.key(seed), state, rollout)
    assert not np.array_equal(oracle.flat(first.params), oracle.flat(state.params))
    np.testing.assert_array_equal(oracle.flat(first.params), oracle.flat(state.target))


def test_grpo_learns_nothing_from_idle_steps():
    env, state, rollout = scene(grpo, GROUP)
    config = replace(GROUP, kl_coef=0.1, num_epochs=2, num_minibatches=4)
    learner = grpo.learner(config, drift.setting(env, drift.descent))
    start = learner.init(jax.random.key(0), rollout.last_obs)
    start = start._replace(params=drift.moved(state.params))
    update = jax.jit(learner.update)
    one, other = (update(jax.random.key(1), start, r)[0] for r in (rollout, disturbed(rollout)))
    np.testing.assert_array_equal(oracle.flat(one.params), oracle.flat(other.params))


def test_equal_returns_teach_nothing():
    env, _, rollout = scene(grpo, GROUP)
    steps = rollout.transition
    flat = rollout._replace(transition=steps._replace(reward=jnp.zeros_like(steps.reward)))
    learner = grpo.learner(replace(GROUP, entropy_coef=0.0), drift.setting(env, drift.recorder))
    start = learner.init(jax.random.key(0), rollout.last_obs)
    new, metrics = jax.jit(learner.update)(jax.random.key(1), start, flat)
    assert not oracle.flat(new.opt_state).any() and float(metrics["grad_norm"].mean) == 0
