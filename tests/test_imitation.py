"""Imitation from start to end: experts, what they show, and who learns from that."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxrl
from jaxrl.algorithms import cloning, ppo
from jaxrl.config import replace
from jaxrl.train import evaluate, make_offline, make_train
from jaxrl.train_imitation import demonstrate, make_imitation, policy
from jaxrl.zoo import ZOO
from tests.sentences import hold_sentence

ENV = "CartPole-v1"


def balancer(obs):
    """Who balances the pole: pushes to where it falls, and mildly back to the middle."""
    return (obs @ jnp.array([0.1, 0.4, 3.0, 1.0]) > 0).astype(jnp.int32)


@functools.cache
def shown(num_steps=1000, num_envs=2):
    return jax.jit(lambda key: demonstrate(key, ENV, balancer, num_steps, num_envs))(
        jax.random.key(1)
    )


def score(config, state, num_episodes=20):
    return float(
        evaluate(config, state, ENV, jax.random.key(9), num_episodes).episode_return.mean()
    )


def test_demonstrations_are_the_experts_steps_from_start_to_end():
    rows = shown()
    np.testing.assert_array_equal(rows.action, jax.vmap(balancer)(rows.obs))
    going = ~(rows.terminated | rows.truncated)[:-1]
    assert (~going).any() and rows.truncated.any() and not rows.terminated.any()
    np.testing.assert_array_equal(rows.next_obs[:-1][going], rows.obs[1:][going])
    assert (rows.next_obs[:-1][~going] != rows.obs[1:][~going]).all()
    assert (jnp.abs(rows.obs[1:][~going]) <= 0.05).all()  # fresh starts
    assert not np.array_equal(rows.obs[:, 0], rows.obs[:, 1])


@pytest.mark.parametrize("name", ["bc", "dagger"])
def test_who_clones_a_balancer_balances(name):
    training = make_imitation(name, ENV, balancer, 20_000)
    state, metrics = jax.jit(training)(jax.random.key(0))
    assert metrics["agreement"].mean[-1] > 0.95
    assert score(ZOO[name].config, state) > 475


def test_data_alone_are_enough():
    state, _ = jax.jit(make_offline("bc", ENV, shown(), 1500))(jax.random.key(0))
    assert score(ZOO["bc"].config, state) > 475


@pytest.mark.parametrize("name", ["gail", "airl"])
def test_who_sees_no_reward_learns_to_balance_from_what_an_expert_did(name):
    config = replace(
        jaxrl.zoo.tuned("ppo", ENV)[0],
        imitates=name,
        discriminator_lr=ZOO[name].config.discriminator_lr,
        discriminator_epochs=ZOO[name].config.discriminator_epochs,
    )
    training = make_imitation(config, ENV, shown(), 60_000)
    state, _ = jax.jit(training)(jax.random.key(0))
    assert score(config, state) > 300  # a random policy: 22


def test_a_policy_is_what_was_trained_acting_greedily():
    config = ppo.Config(num_envs=2, num_steps=8, normalise_obs=True)
    training = make_train(config, ENV, 64)
    state, _ = jax.jit(training)(jax.random.key(0))
    obs = jax.random.normal(jax.random.key(1), (50, 4))
    expected = training.learner.act(
        state.learner, obs, None, training.learner.carry(jax.random.key(0), 50)
    )[0]
    for known in (state, state.learner):
        np.testing.assert_array_equal(policy(config, known, ENV)(obs), expected)
    remembering = replace(config, memory="gru")
    with pytest.raises(ValueError) as error:
        policy(remembering, state, ENV)
    hold_sentence(str(error.value), "memory")


def test_who_acts_by_values_and_by_noise_may_be_asked_too():
    for name, env, width in (("dqn", ENV, 4), ("ddpg", "Pendulum-v1", 3)):
        training = make_train(replace(ZOO[name].config, num_iterations=1), env, 1100)
        state = jax.jit(training.algorithm.init)(jax.random.key(0))
        obs = jax.random.normal(jax.random.key(1), (5, width))
        carry = training.learner.carry(jax.random.key(0), 5)
        expected = training.learner.act(state.learner, obs, None, carry)[0]
        found = policy(ZOO[name].config, state, env)(obs)
        np.testing.assert_array_equal(found, expected)


def test_seeds_run_side_by_side_and_matter():
    config = replace(cloning.Config(), num_iterations=2, learning_starts=64, batch_size=16)
    training = make_imitation(config, ENV, balancer, 400)
    states, _ = jax.jit(jax.vmap(training))(jax.random.split(jax.random.key(0), 2))
    leaf = jax.tree.leaves(states.learner.params)[-1]
    assert not np.array_equal(leaf[0], leaf[1])


def wrong_rows():
    return shown()._replace(obs=shown().obs[..., :3])


MISTAKES = [
    (lambda: make_train("bc", ENV), "jaxrl.make_imitation"),
    (lambda: make_train("gail", ENV), "jaxrl.make_imitation"),
    (lambda: make_imitation("ppo", ENV, balancer), "must be of an algorithm that imitates"),
    (lambda: make_imitation("bc", ENV, shown()), "make_offline"),
    (lambda: make_imitation("gail", ENV, balancer), "demonstrate"),
    (lambda: make_imitation("gail", ENV, wrong_rows()), "obs as float32 of shape (1000, 2, 4)"),
    (
        lambda: make_imitation("gail", ENV, shown()._replace(action=shown().action + 1)),
        "actions of Discrete(num_values=2), not from 1 to 2",
    ),
    (lambda: make_offline("dagger", ENV, shown()), "cloning.labels must be 'done' with data"),
    (
        lambda: make_imitation(ppo.Config(imitates="airl", memory="gru"), ENV, shown()),
        "ppo.imitates must be 'gail' with a memory",
    ),
    (
        lambda: make_imitation(ppo.Config(imitates="airl", distribution="beta"), "Pendulum-v1", 1),
        "ppo.imitates must be 'gail' with a beta distribution",
    ),
    (
        lambda: demonstrate(jax.random.key(0), ENV, balancer, 0),
        "num_steps must be an integer of at least 1, not 0",
    ),
]


@pytest.mark.parametrize(("call", "words"), MISTAKES)
def test_a_mistake_is_one_sentence(call, words):
    with pytest.raises((TypeError, ValueError)) as error:
        call()
    hold_sentence(str(error.value), words)
