"""PQN: its targets, its exploration and its masks, against float64."""

import functools

import jax
import numpy as np
import pytest

from jaxrl.algorithms import pqn
from jaxrl.config import replace
from tests.families import drift, oracle
from tests.oracles import value_targets

GAMMA, LAM, NUM_UPDATES = 0.9, 0.7, 10
CONFIG = pqn.Config(
    num_envs=drift.NUM_ENVS,
    num_steps=drift.NUM_STEPS,
    hidden_sizes=(6,),
    activation="tanh",
    layer_norm=False,
    gamma=GAMMA,
    lam=LAM,
    num_epochs=1,
    num_minibatches=1,
    epsilon_start=0.9,
    epsilon_end=0.1,
    exploration_fraction=0.4,
)


@functools.cache
def scene(masked):
    env = drift.drift(masked=masked)
    learner = pqn.learner(CONFIG, drift.setting(env, drift.recorder, NUM_UPDATES))
    state, rollout = drift.played(env, learner)
    return learner, state._replace(params=drift.moved(state.params)), rollout


@pytest.mark.parametrize("masked", [False, True])
def test_one_gradient(masked):
    learner, state, rollout = scene(masked)
    new, metrics = jax.jit(learner.update)(jax.random.key(0), state, rollout)
    params, x = oracle.wide(state.params), oracle.rolled(rollout, GAMMA)
    assert x.truncated.sum() > 3 and (x.discount == 0).sum() > 3
    next_q = oracle.mlp(params, x.next_obs)
    if masked:
        legal = np.asarray(rollout.transition.next_obs.action_mask)
        assert (next_q.argmax(-1) != np.where(legal, next_q, -np.inf).argmax(-1)).any()
        next_q = np.where(legal, next_q, -np.inf)
    args = x.reward, next_q, x.discount, x.done, LAM
    target = value_targets.peng_target(*args)

    def loss(p):
        q = oracle.taken(oracle.mlp(p, x.obs), x.action)
        return 0.5 * ((q - target) ** 2).mean()

    oracle.same(new.opt_state, oracle.slope(loss, params))
    q = oracle.taken(oracle.mlp(params, x.obs), x.action)
    expected = {
        "value_loss": loss(params),
        "q": q.mean(),
        "explained_variance": oracle.explained(q, target, x.mask),
        "grad_norm": np.linalg.norm(oracle.slope(loss, params)),
        "epsilon": 0.9,
    }
    for name, number in expected.items():
        np.testing.assert_allclose(metrics[name].mean, number, rtol=1e-3, err_msg=name)


@pytest.mark.parametrize("fraction", [0.4, 1.0])
def test_exploration_falls_in_a_line(fraction):
    config = replace(CONFIG, exploration_fraction=fraction)
    setting = drift.setting(drift.drift(), None, NUM_UPDATES)
    for done in range(NUM_UPDATES + 3):
        state = scene(False)[1]._replace(num_updates=np.int32(done))
        epsilon = 0.9 + min(done / (fraction * NUM_UPDATES), 1) * (0.1 - 0.9)
        np.testing.assert_allclose(pqn.exploration(config, state, setting), epsilon, atol=1e-6)


@pytest.mark.parametrize("masked", [False, True])
def test_acting_explores_as_often_as_it_says(masked):
    learner, state, rollout = scene(masked)
    obs = jax.tree.map(lambda x: np.repeat(x[0, :1], 20_000, 0), rollout.transition.obs)
    act = jax.jit(learner.act)
    best = act(state, obs, None, ())[0]
    assert len(np.unique(best)) == 1
    noise = learner.noise(jax.random.key(5), (20_000,))
    for done, epsilon in ((0, 0.9), (NUM_UPDATES, 0.1)):
        action = np.asarray(act(state._replace(num_updates=np.int32(done)), obs, noise, ())[0])
        legal = np.asarray(obs.action_mask[0]) if masked else np.ones(3, bool)
        prob = epsilon * legal / legal.sum() + (1 - epsilon) * np.eye(3)[best[0]]
        share = np.bincount(action, minlength=3) / len(action)
        np.testing.assert_allclose(share, prob, atol=0.015)
        assert not share[~legal].any()


def test_recorded_actions_are_legal():
    rollout = scene(True)[2]
    legal, action = rollout.transition.obs.action_mask, np.asarray(rollout.transition.action)
    assert oracle.taken(np.asarray(legal), action).all() and not np.asarray(legal).all()
