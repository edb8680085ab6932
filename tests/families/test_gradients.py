"""One gradient of each policy-gradient learner, against differences of a loss in float64.

The loss is written from the definitions, over a recorded rollout; the learner's gradient is read
from an optimiser that does nothing but add gradients up.
"""

import functools

import jax
import numpy as np
import pytest

from jaxrl.algorithms import a2c, actor_critic, impala, reinforce
from jaxrl.config import replace
from tests.families import drift, oracle
from tests.oracles import advantages, groups, returns, weightings

GAMMA, LAM, GROUP = 0.9, 0.7, 3
SHAPE = dict(
    num_envs=drift.NUM_ENVS,
    num_steps=drift.NUM_STEPS,
    hidden_sizes=(6,),
    gamma=GAMMA,
    lam=LAM,
    entropy_coef=0.05,
    value_coef=0.7,
)


@functools.cache
def scene(whole):
    """A rollout, and the actor that played it; the actor does not depend on the critic."""
    module = reinforce if whole else a2c
    config = module.Config(**SHAPE)
    env = drift.drift()
    return env, *drift.played(env, module.learner(config, drift.setting(env)), whole)


def updated(module, config, whole, acted=None, **changes):
    """The state before and after an update with a recorder; parameters are made uneven."""
    env, _, rollout = scene(whole)
    learner = module.learner(config, drift.setting(env, drift.recorder))
    state = learner.init(jax.random.key(7), rollout.last_obs)
    params = drift.moved(state.params, 1)
    if acted is None:  # the policy that acts is the one that learns
        rollout = by(learner, state._replace(params=params, target=params), rollout)
    state = state._replace(params=params, **changes)
    new, metrics = jax.jit(learner.update)(jax.random.key(1), state, rollout)
    return state, new, metrics, oracle.rolled(rollout, GAMMA)


def by(learner, state, rollout):
    """The rollout as if a state's policy had made it."""
    steps = rollout.transition
    extras = learner.act(state, steps.obs, steps.extras.noise, rollout.first_carry)[1]
    kept = extras._replace(action=steps.extras.action, carry=steps.extras.carry)
    return rollout._replace(transition=steps._replace(extras=kept))


def policy(params, x):
    log_policy = oracle.log_softmax(oracle.mlp(params.actor, x.obs), x.legal)
    return log_policy, oracle.taken(log_policy, x.action)


def state_values(params, x):
    return tuple(oracle.mlp(params.critic, obs)[..., 0] for obs in (x.obs, x.next_obs))


def action_values(params, x):
    """Q(s, ·), V(s) and V of what was reached, all under the policy."""
    q, next_q = (oracle.mlp(params.critic, obs) for obs in (x.obs, x.next_obs))
    probs = (np.exp(oracle.log_softmax(oracle.mlp(params.actor, o))) for o in (x.obs, x.next_obs))
    value, next_value = ((p * y).sum(-1) for p, y in zip(probs, (q, next_q), strict=True))
    return q, value, next_value


def gradient(params, x, config, weight, target=None, per_action=False):
    """Of −E[Ψ log π] + c_v E[½ (v − G)²] − c_e E[H], with Ψ and G held fixed."""

    def loss(p):
        log_policy, log_prob = policy(p, x)
        total = oracle.mean(-weight * log_prob, x.mask)
        total -= config.entropy_coef * oracle.mean(oracle.entropy(log_policy), x.mask)
        if target is not None:
            raw = oracle.mlp(p.critic, x.obs)
            value = oracle.taken(raw, x.action) if per_action else raw[..., 0]
            total += config.value_coef * oracle.mean(0.5 * (value - target) ** 2, x.mask)
        return total

    return oracle.slope(loss, params)


def lambda_return(x, next_value):
    return returns.lambda_return(
        x.reward, next_value, x.discount, x.done, np.full(x.reward.shape, LAM)
    )


def critic_weight(params, x, weighting):
    """Weightings 4 to 6, and what the critic is fitted to."""
    if weighting == "td_error":
        value, next_value = state_values(params, x)
        weight = x.reward + x.discount * next_value - value
        return weight, lambda_return(x, next_value)
    q, value, next_value = action_values(params, x)
    weight = oracle.taken(q, x.action) - (value if weighting == "action_advantage" else 0)
    return weight, lambda_return(x, next_value)


MOVING = 0.25  # the moving average before the update


def return_weight(params, x, weighting, baseline):
    """Weightings 1 to 3, and what a critic is fitted to, if there is one."""
    if weighting == "baselined_return" and baseline == "value":
        value, next_value = state_values(params, x)
        target = weightings.reward_to_go(x.reward, next_value, x.discount, x.done)
        return target - value, target
    rule = getattr(weightings, weighting if weighting == "trajectory_return" else "reward_to_go")
    found = rule(x.reward, np.zeros_like(x.reward), x.discount, x.done)
    if weighting != "baselined_return":
        return found, None
    if baseline == "leave_one_out":
        grouped = groups.leave_one_out(found[0].reshape(-1, GROUP)).ravel()
        return np.broadcast_to(grouped, found.shape), None
    return found - (MOVING if baseline == "moving" else found[x.mask].mean()), None


def slow(*values):
    """A case that others cover but for a choice."""
    return pytest.param(*values, marks=pytest.mark.slow)


CASES = [
    ("trajectory_return", "mean", "none"),
    ("reward_to_go", "mean", "batch"),
    ("baselined_return", "mean", "none"),
    ("baselined_return", "moving", "none"),
    ("baselined_return", "value", "batch"),
    ("baselined_return", "leave_one_out", "none"),
    ("action_value", "mean", "none"),
    slow("action_advantage", "mean", "none"),
    ("td_error", "mean", "none"),
]


@pytest.mark.parametrize(("weighting", "baseline", "whiten"), CASES)
def test_reinforce(weighting, baseline, whiten):
    config = reinforce.Config(**SHAPE, weighting=weighting, baseline=baseline, whiten=whiten)
    config = replace(config, group_size=GROUP, baseline_decay=0.8)
    state, new, metrics, x = updated(reinforce, config, whole=True, slots=np.float32(MOVING))
    assert not x.mask.all() and x.truncated[x.mask].any()
    params = oracle.wide(state.params)
    critic = weighting in ("action_value", "action_advantage", "td_error")
    if critic:
        weight, target = critic_weight(params, x, weighting)
    else:
        weight, target = return_weight(params, x, weighting, baseline)
    plain = weight
    weight = advantages.whiten(weight, x.mask) if whiten == "batch" else weight
    per_action = weighting in ("action_value", "action_advantage")
    oracle.same(new.opt_state, gradient(params, x, config, weight, target, per_action))
    moving = weighting == "baselined_return" and baseline == "moving"
    expected = 0.8 * MOVING + 0.2 * (plain + MOVING)[x.mask].mean() if moving else MOVING
    np.testing.assert_allclose(new.slots, expected, rtol=1e-5)
    np.testing.assert_allclose(metrics["approx_kl"].mean, 0, atol=1e-6)
    assert ("value_loss" in metrics) == (target is not None)


@pytest.mark.parametrize("whiten", ["batch", slow("none")])
def test_a2c(whiten):
    config = a2c.Config(**SHAPE, whiten=whiten)
    state, new, metrics, x = updated(a2c, config, whole=False)
    params = oracle.wide(state.params)
    value, next_value = state_values(params, x)
    advantage = oracle.gae(x, value, next_value, LAM)
    target = advantage + value
    advantage = advantages.whiten(advantage) if whiten == "batch" else advantage
    oracle.same(new.opt_state, gradient(params, x, config, advantage, target))
    explained = oracle.explained(value, target, x.mask)
    np.testing.assert_allclose(metrics["explained_variance"].mean, explained, rtol=1e-4)


@pytest.mark.parametrize("weighting", [slow("action_value"), "action_advantage", slow("td_error")])
def test_actor_critic(weighting):
    config = actor_critic.Config(**SHAPE, weighting=weighting)
    state, new, _, x = updated(actor_critic, config, whole=False)
    params = oracle.wide(state.params)
    weight, target = critic_weight(params, x, weighting)
    oracle.same(new.opt_state, gradient(params, x, config, weight, target, weighting != "td_error"))


def test_impala_corrects_for_older_actors():
    config = impala.Config(**SHAPE, rho_max=1.1, trace_max=0.9, policy_lag=3)
    state, new, _, x = updated(impala, config, whole=False, acted="an older policy")
    params = oracle.wide(state.params)
    old = oracle.taken(oracle.log_softmax(x.output), x.action)
    ratio = np.exp(policy(params, x)[1] - old)
    assert (ratio > 1.1).any() and (ratio < 0.9).any()
    rho, trace = np.minimum(ratio, 1.1), LAM * np.minimum(ratio, 0.9)
    value, next_value = state_values(params, x)
    common = x.discount, x.done, rho
    target = advantages.vtrace(x.reward, value, next_value, *common, trace)
    weight = advantages.vtrace_advantage(x.reward, value, next_value, target, *common)
    oracle.same(new.opt_state, gradient(params, x, config, weight, target))


def test_impala_acts_with_a_copy_that_is_renewed_now_and_then():
    config = impala.Config(**SHAPE, policy_lag=3)
    env, _, rollout = scene(False)
    learner = impala.learner(config, drift.setting(env, drift.descent))
    state = learner.init(jax.random.key(0), rollout.last_obs)
    update, act = jax.jit(learner.update), jax.jit(learner.act)
    obs, noise = (
        jax.tree.map(lambda x: x[0], y)
        for y in (rollout.transition.obs, rollout.transition.extras.noise)
    )
    history = [state.params]
    for done in range(1, 8):
        state, _ = update(jax.random.key(done), state, rollout)
        history.append(state.params)
        stale = history[done - done % 3]
        for one, other in zip(*map(jax.tree.leaves, (state.target, stale)), strict=True):
            np.testing.assert_array_equal(one, other)
        output = act(state, obs, noise, rollout.first_carry)[1].output
        expected = oracle.mlp(oracle.wide(stale).actor, np.asarray(obs))
        np.testing.assert_allclose(output, expected, atol=1e-6)
    assert not np.array_equal(oracle.flat(history[3]), oracle.flat(history[6]))


def test_the_mask_hides_idle_steps():
    """Whatever stands behind an end, no gradient and no number changes."""
    env, _, rollout = scene(True)
    config = reinforce.Config(**SHAPE, whiten="batch")
    learner = reinforce.learner(config, drift.setting(env, drift.recorder))
    state = learner.init(jax.random.key(7), rollout.last_obs)
    update = jax.jit(learner.update)
    (one, numbers), (other, others) = (
        update(jax.random.key(1), state, r) for r in (rollout, disturbed(rollout))
    )
    np.testing.assert_array_equal(oracle.flat(one.opt_state), oracle.flat(other.opt_state))
    for name, number in numbers.items():
        np.testing.assert_array_equal(number.mean, others[name].mean, err_msg=name)


def disturbed(rollout):
    """Other rewards, observations and flags at idle steps."""
    idle, steps = ~np.asarray(rollout.mask), rollout.transition
    return rollout._replace(
        transition=steps._replace(
            reward=np.where(idle, 1e3, steps.reward).astype(np.float32),
            obs=np.where(idle[..., None], -7, steps.obs).astype(np.float32),
            next_obs=np.where(idle[..., None], 9, steps.next_obs).astype(np.float32),
            terminated=np.asarray(steps.terminated) ^ idle,
        )
    )
