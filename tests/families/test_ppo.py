"""PPO's update against float64: its loss, the descent down it, and what it reports."""

import functools

import jax
import numpy as np
import pytest

from jaxrl.algorithms import ppo
from jaxrl.config import replace
from jaxrl.families.settings import check
from tests.families import drift, oracle
from tests.oracles import advantages

GAMMA, LAM, LR = 0.9, 0.8, 0.3
BASE = ppo.Config(
    num_envs=drift.NUM_ENVS,
    num_steps=drift.NUM_STEPS,
    hidden_sizes=(7,),
    gamma=GAMMA,
    lam=LAM,
    lr=LR,
    num_epochs=1,
    num_minibatches=1,
)
NUM_UPDATES = 10


@functools.cache
def scene(masked=False, scale=0.2):
    """A learner's state whose parameters are not those that acted, and the rollout."""
    env = drift.drift(masked=masked)
    state, rollout = drift.played(env, ppo.learner(BASE, drift.setting(env)))
    return env, state._replace(params=drift.moved(state.params, scale=scale)), rollout


def updated(config, *where, num_updates=0, optimizer=drift.descent):
    """The state after an update of a scene at a point of training, and the metrics."""
    check(config)
    env, state, rollout = scene(*where)
    learner = ppo.learner(config, drift.setting(env, optimizer, NUM_UPDATES))
    fresh = jax.eval_shape(learner.init, jax.random.key(0), rollout.last_obs).opt_state
    count = num_updates * config.num_epochs * config.num_minibatches
    opt_state = jax.tree.map(
        lambda x: np.full(x.shape, count if x.dtype == np.int32 else 0, x.dtype), fresh
    )
    state = state._replace(num_updates=np.int32(num_updates), opt_state=opt_state)
    return jax.jit(learner.update)(jax.random.key(1), state, rollout)


class Oracle:
    """One update of PPO over the whole batch at a time."""

    def __init__(self, config, *where, num_updates=0):
        _, state, rollout = scene(*where)
        self.config, self.params = config, oracle.wide(state.params)
        self.x = x = oracle.rolled(rollout, GAMMA)
        self.progress = num_updates / NUM_UPDATES
        self.old = oracle.taken(oracle.log_softmax(x.output), x.action)
        self.value = oracle.mlp(self.params.critic, x.obs)[..., 0]
        next_value = oracle.mlp(self.params.critic, x.next_obs)[..., 0]
        self.advantage = oracle.gae(x, self.value, next_value, LAM)
        self.target = self.advantage + self.value
        if config.whiten != "none":
            self.advantage = advantages.whiten(self.advantage)

    def numbers(self, params):
        """What is reported of parameters, by name."""
        c, x = self.config, self.x
        low = c.clip_eps * (1 - self.progress if c.anneal_clip else 1)
        high = (c.clip_eps_high or c.clip_eps) * (1 - self.progress if c.anneal_clip else 1)
        log_policy = oracle.log_softmax(oracle.mlp(params.actor, x.obs), x.legal)
        log_prob = oracle.taken(log_policy, x.action)
        ratio, a = np.exp(log_prob - self.old), self.advantage
        gain = np.minimum(ratio * a, np.clip(ratio, 1 - low, 1 + high) * a)
        dual = np.inf if c.dual_clip is None else c.dual_clip
        gain = np.where(a < 0, np.maximum(gain, np.minimum(dual, 1e9) * a), gain)
        value = oracle.mlp(params.critic, x.obs)[..., 0]
        error = (value - self.target) ** 2
        if c.value_clip is not None:
            near = self.value + np.clip(value - self.value, -c.value_clip, c.value_clip)
            error = np.maximum(error, (near - self.target) ** 2)
        return {
            "policy_loss": -gain.mean(),
            "value_loss": 0.5 * error.mean(),
            "entropy": oracle.entropy(log_policy).mean(),
            "approx_kl": oracle.estimate_kl(log_prob, self.old).mean(),
            "clip_fraction": np.where(
                a >= 0, ratio > 1 + high, (ratio < 1 - low) | (ratio > dual)
            ).mean(),
        }

    def loss(self, params):
        c, found = self.config, self.numbers(params)
        end = c.entropy_coef if c.entropy_coef_end is None else c.entropy_coef_end
        entropy_coef = c.entropy_coef + self.progress * (end - c.entropy_coef)
        parts = found["policy_loss"], c.value_coef * found["value_loss"]
        return sum(parts) - entropy_coef * found["entropy"]

    def run(self):
        """Plain descent until the KL is too large: parameters, means, how many steps, and each."""
        params, found, c = self.params, [], self.config
        for epoch in range(c.num_epochs):
            slope = oracle.slope(self.loss, params)
            numbers = self.numbers(params) | {"grad_norm": np.linalg.norm(slope)}
            if c.target_kl is not None and numbers["approx_kl"] > c.target_kl:
                break
            found.append(numbers)
            gone = self.progress + epoch / (NUM_UPDATES * c.num_epochs)
            lr = LR * (1 - gone) if c.anneal_lr else LR
            params = oracle.unflat(oracle.flat(params) - lr * slope, params)
        means = {name: np.mean([x[name] for x in found]) for name in found[0]}
        means["lr"] = LR * (1 - self.progress) if c.anneal_lr else LR
        means["explained_variance"] = oracle.explained(self.value, self.target, self.x.mask)
        return params, means, len(found), found


CASES = {
    "one": (dict(), False, 0),
    "plain": (dict(whiten="none", entropy_coef=0.0, anneal_lr=False), False, 0),
    "epochs": (
        dict(num_epochs=4, value_clip=0.05, clip_eps_high=0.4, whiten="minibatch"),
        False,
        0,
    ),
    "schedules": (
        dict(num_epochs=2, anneal_clip=True, entropy_coef=0.1, entropy_coef_end=0.5),
        False,
        6,
    ),
    "dual": (dict(num_epochs=2, dual_clip=1.2), False, 0),
    "masks": (dict(num_epochs=2, entropy_coef=0.1), True, 0),
}
"""Changes of the configuration, whether actions are masked, and updates done before."""


@pytest.mark.parametrize("name", CASES)
def test_an_update_follows_the_oracle(name):
    changes, masked, num_updates = CASES[name]
    config = replace(BASE, **changes)
    state, metrics = updated(config, masked, num_updates=num_updates)
    params, expected, count, _ = Oracle(config, masked, num_updates=num_updates).run()
    oracle.same(state.params, oracle.flat(params), rtol=1e-4, atol=2e-5)
    for key, number in expected.items():
        np.testing.assert_allclose(metrics[key].mean, number, rtol=2e-4, atol=2e-5, err_msg=key)
    assert float(metrics["approx_kl"].count) == count
    assert 0.05 < expected["clip_fraction"] < 0.95
    assert int(state.num_updates) == num_updates + 1


def test_value_clipping_and_the_clip_bind_in_the_cases_above():
    """Or the tests would not test them."""
    config = replace(BASE, **CASES["epochs"][0])
    params = Oracle(config).run()[0]
    for changes in (dict(value_clip=None), dict(clip_eps_high=None), dict(dual_clip=1.2)):
        other = Oracle(replace(config, **changes)).run()[0]
        assert np.abs(oracle.flat(params) - oracle.flat(other)).max() > 1e-4


def test_stopping_counts_what_was_done_and_moves_no_further():
    near = (False, 0.01)  # parameters hardly away from those that acted: the KL begins at 0
    free = replace(BASE, num_epochs=4, anneal_lr=False)
    kls = [x["approx_kl"] for x in Oracle(free, *near).run()[3]]
    assert kls == sorted(kls)
    config = replace(free, num_epochs=8, target_kl=float(0.5 * (kls[2] + kls[3])))
    state, metrics = updated(config, *near)
    params, expected, count, _ = Oracle(config, *near).run()
    assert count == 3 == float(metrics["policy_loss"].count)
    oracle.same(state.params, oracle.flat(params), rtol=1e-4, atol=2e-5)
    for key, number in expected.items():
        np.testing.assert_allclose(metrics[key].mean, number, rtol=2e-4, atol=2e-5, err_msg=key)
    further = updated(replace(config, num_epochs=16), *near)[0]
    for one, other in zip(*map(jax.tree.leaves, (state.params, further.params)), strict=True):
        np.testing.assert_array_equal(one, other)


def test_the_estimate_of_the_kl_is_right_on_average():
    """Over many actions of the old policy it is the exact KL(old ‖ new), for a large step too."""
    draw = np.random.default_rng(0)
    old, new = (oracle.log_softmax(scale * draw.normal(size=4)) for scale in (1.0, 2.0))
    exact = oracle.kl(old, new)
    mean = (np.exp(old) * oracle.estimate_kl(new, old)).sum()
    np.testing.assert_allclose(mean, exact)
    other_way = (np.exp(old) * oracle.estimate_kl(old, new)).sum()
    assert abs(other_way - exact) > 0.1


def test_minibatches_share_out_the_batch():
    """At fixed parameters the mean over minibatches is the batch's, for numbers and gradients."""
    config = replace(BASE, num_epochs=2, num_minibatches=4, anneal_lr=False)
    state, metrics = updated(config, optimizer=drift.recorder)
    maths = Oracle(config)
    oracle.same(state.opt_state, 8 * oracle.slope(maths.loss, maths.params), atol=2e-5)
    for key, number in maths.numbers(maths.params).items():
        np.testing.assert_allclose(metrics[key].mean, number, rtol=2e-4, atol=2e-5, err_msg=key)
    assert float(metrics["policy_loss"].count) == 8


def test_whitening_of_minibatches_is_of_each():
    """A minibatch of one has no deviation, and so no advantage."""
    size = drift.NUM_ENVS * drift.NUM_STEPS
    config = replace(BASE, num_minibatches=size, entropy_coef=0.0, value_coef=0.0)
    for whiten in ("minibatch", "batch"):
        state, metrics = updated(replace(config, whiten=whiten), optimizer=drift.recorder)
        assert (float(metrics["grad_norm"].mean) == 0) == (whiten == "minibatch")
        assert oracle.flat(state.opt_state).any() == (whiten == "batch")
