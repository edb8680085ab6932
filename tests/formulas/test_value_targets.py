"""Identities and limits of the targets and losses that learn Q."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxrl.formulas import value_targets as vt
from jaxrl.formulas.returns import lambda_return, n_step_return
from jaxrl.formulas.selection import boltzmann_prob, epsilon_greedy_prob, greedy
from tests.formulas.tools import array, near, sample

T, N, A = 7, 3, 4
REWARD, DISCOUNT = sample(0, T, N), np.full((T, N), 0.9, np.float32)
Q, NEXT_Q = sample(1, T, N, A), sample(2, T, N, A)
ACTION = np.random.default_rng(3).integers(0, A, (T, N)).astype(np.int32)
DONE = np.random.default_rng(4).random((T, N)) < 0.3
NEVER = np.zeros((T, N), bool)
MASK = np.random.default_rng(5).random((T, N, A)) < 0.6
MASK[..., 2] = True


def test_worked_targets():
    reward, discount, next_q = array(1.0), array(0.5), array([2.0, 4.0])
    target = {
        "q": vt.q_learning_target(reward, next_q, discount),
        "legal": vt.q_learning_target(reward, next_q, discount, jnp.array([[True, False]])),
        "sarsa": vt.sarsa_target(reward, next_q, jnp.array([0]), discount),
        "expected": vt.expected_sarsa_target(reward, next_q, array([0.25, 0.75]), discount),
        "double": vt.double_q_target(reward, next_q, array([9.0, 8.0]), discount),
        "soft": vt.soft_q_target(reward, next_q, discount, 2.0),
    }
    soft = 1 + 0.5 * 2 * np.log(np.exp(1) + np.exp(2))
    expected = {"q": 3.0, "legal": 2.0, "sarsa": 2.0, "expected": 2.75, "double": 2.0, "soft": soft}
    for name, value in expected.items():
        near(target[name], np.array([value]))


def test_termination_stops_bootstrapping_and_a_time_limit_does_not():
    terminated = array(0.0, 0.9)
    target = vt.q_learning_target(array(1.0, 1.0), array([5.0, 3.0], [5.0, 3.0]), terminated)
    near(target, np.array([1.0, 5.5]))
    peng = vt.peng_target(
        array(1.0, 1.0), array([5.0, 3.0], [7.0, 3.0]), 0.9, jnp.array([True, True]), 0.5
    )
    near(peng, np.array([5.5, 7.3]))


@pytest.mark.parametrize("mask", [None, MASK])
def test_double_q_with_its_own_selector_is_q_learning(mask):
    double = vt.double_q_target(REWARD, NEXT_Q, NEXT_Q, DISCOUNT, mask)
    near(double, vt.q_learning_target(REWARD, NEXT_Q, DISCOUNT, mask))


def test_illegal_best_actions_never_enter_a_target():
    tempting = np.where(MASK, NEXT_Q, np.float32(1e9))
    plain = np.where(MASK, NEXT_Q, np.float32(-30.0))
    for temptation in (tempting, np.where(MASK, NEXT_Q, np.float32(np.inf))):
        near(vt.max_value(temptation, MASK), np.max(plain, -1))
        near(vt.double_value(NEXT_Q, temptation, MASK), np.max(plain, -1))
        near(vt.soft_value(temptation, 0.5, MASK), vt.soft_value(NEXT_Q, 0.5, MASK))


@pytest.mark.parametrize("mask", [None, MASK])
def test_expected_sarsa_with_the_greedy_policy_is_q_learning(mask):
    prob = epsilon_greedy_prob(NEXT_Q, 0.0, mask)
    expected = vt.expected_sarsa_target(REWARD, NEXT_Q, prob, DISCOUNT)
    near(expected, vt.q_learning_target(REWARD, NEXT_Q, DISCOUNT, mask))


def test_expected_sarsa_with_epsilon_greedy_is_the_enumeration_of_sarsa():
    epsilon, best = 0.3, greedy(NEXT_Q)
    enumerated = (1 - epsilon) * vt.sarsa_target(REWARD, NEXT_Q, best, DISCOUNT)
    for a in range(A):
        action = np.full((T, N), a, np.int32)
        enumerated += epsilon / A * vt.sarsa_target(REWARD, NEXT_Q, action, DISCOUNT)
    prob = epsilon_greedy_prob(NEXT_Q, epsilon)
    near(vt.expected_sarsa_target(REWARD, NEXT_Q, prob, DISCOUNT), enumerated)


@pytest.mark.parametrize("temperature", [1.0, 0.1, 1e-2, 1e-4])
def test_soft_q_tends_to_q_learning(temperature):
    soft = np.asarray(vt.soft_q_target(REWARD, NEXT_Q, DISCOUNT, temperature, MASK))
    hard = np.asarray(vt.q_learning_target(REWARD, NEXT_Q, DISCOUNT, MASK))
    assert np.all(soft >= hard - 1e-5)
    assert np.all(soft <= hard + 0.9 * temperature * np.log(A) + 1e-5)


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 10**6), st.floats(-50, 50))
def test_soft_value_moves_with_q_and_ignores_the_order_of_actions(seed, shift):
    q, order = sample(seed, A), np.random.default_rng(seed).permutation(A)
    value = vt.soft_value(q, 0.5)
    near(vt.soft_value(q + np.float32(shift), 0.5), value + shift, atol=2e-5)
    near(vt.soft_value(q[order], 0.5), value)


def test_munchausen_without_its_bonus_is_the_soft_target():
    plain = vt.munchausen_target(REWARD, Q, ACTION, NEXT_Q, DISCOUNT, 0.3, 0.0)
    near(plain, vt.soft_q_target(REWARD, NEXT_Q, DISCOUNT, 0.3))


def test_munchausen_bonus_is_the_action_gap_and_is_clipped():
    own = np.take_along_axis(Q, ACTION[..., None], -1)[..., 0]
    gap = own - np.asarray(vt.soft_value(Q, 0.3))
    assert gap.min() < -1.0 < gap.max()
    soft = np.asarray(vt.soft_q_target(REWARD, NEXT_Q, DISCOUNT, 0.3))
    free = vt.munchausen_target(REWARD, Q, ACTION, NEXT_Q, DISCOUNT, 0.3, 0.9, clip=-1e6)
    near(free, soft + 0.9 * gap, atol=1e-5)
    clipped = vt.munchausen_target(REWARD, Q, ACTION, NEXT_Q, DISCOUNT, 0.3, 0.9)
    near(clipped, soft + 0.9 * np.maximum(gap, -1.0), atol=1e-5)


def test_munchausen_stays_finite_when_the_policy_is_certain():
    q = array([0.0, 1e4])
    target = vt.munchausen_target(array(1.0), q, jnp.array([0]), q, array(0.9), 0.03, 0.9)
    near(target, np.array([1 - 0.9 + 0.9 * 1e4]))


def test_peng_without_lambda_is_q_learning():
    near(
        vt.peng_target(REWARD, NEXT_Q, DISCOUNT, DONE, 0.0),
        vt.q_learning_target(REWARD, NEXT_Q, DISCOUNT),
    )


def test_peng_is_the_lambda_return_of_the_greedy_values():
    best = NEXT_Q.max(-1)
    peng = vt.peng_target(REWARD, NEXT_Q, DISCOUNT, DONE, 0.7)
    near(peng, lambda_return(REWARD, best, DISCOUNT, DONE, 0.7))
    monte_carlo = vt.peng_target(REWARD, NEXT_Q, DISCOUNT, DONE, 1.0)
    near(monte_carlo, n_step_return(REWARD, best, DISCOUNT, DONE, T), atol=1e-5)


def _greedy_walk():
    """Greedy actions, and next values that are those of the next step wherever there is one."""
    next_q = np.concatenate([Q[1:], NEXT_Q[-1:]])
    return Q.argmax(-1).astype(np.int32), np.where(DONE[..., None], NEXT_Q, next_q)


@pytest.mark.parametrize("lam", [0.0, 0.6, 1.0])
def test_watkins_is_peng_while_every_action_is_greedy(lam):
    action, next_q = _greedy_walk()
    watkins = vt.watkins_target(REWARD, Q, action, next_q, DISCOUNT, DONE, lam)
    near(watkins, vt.peng_target(REWARD, next_q, DISCOUNT, DONE, lam), atol=1e-5)


def test_watkins_unbroken_with_lambda_one_is_the_whole_return():
    action, next_q = _greedy_walk()[0], np.concatenate([Q[1:], NEXT_Q[-1:]])
    watkins = vt.watkins_target(REWARD, Q, action, next_q, DISCOUNT, NEVER, 1.0)
    whole = n_step_return(REWARD, next_q.max(-1), DISCOUNT, NEVER, T)
    near(watkins, whole, atol=1e-5)


def test_watkins_cuts_before_an_exploring_action():
    action, next_q = _greedy_walk()
    action[4] = Q[4].argmin(-1)

    def target(reward):
        return np.asarray(vt.watkins_target(reward, Q, action, next_q, DISCOUNT, NEVER, 0.8))

    later = REWARD.copy()
    later[4:] += 10.0
    before, after = target(REWARD), target(later)
    near(after[:4], before[:4])
    assert np.all(after[4:] > before[4:] + 9.0)
    earlier = REWARD.copy()
    earlier[3] += 10.0
    assert np.all(target(earlier)[:4] > before[:4] + 1.0)


def test_watkins_counts_the_first_action_whatever_it_was():
    """The cut is at later actions; the first one is what is being valued."""
    action, next_q = _greedy_walk()
    exploring = action.copy()
    exploring[0] = Q[0].argmin(-1)
    reward = REWARD.copy()
    reward[3] += 10.0
    arguments = (Q, exploring, next_q, DISCOUNT, NEVER, 0.8)
    change = vt.watkins_target(reward, *arguments) - vt.watkins_target(REWARD, *arguments)
    near(change[0], np.full(N, 10.0 * (0.9 * 0.8) ** 3), atol=1e-4)


def test_watkins_takes_either_of_two_best_actions_for_greedy():
    q = array([1.0, 0.0], [2.0, 2.0])
    next_q, reward = array([2.0, 2.0], [0.0, 0.0]), array(0.0, 10.0)
    never, discount = jnp.zeros(2, bool), array(1.0, 1.0)
    for second in (0, 1):
        action = jnp.array([0, second])
        target = vt.watkins_target(reward, q, action, next_q, discount, never, 1.0)
        near(target, np.array([10.0, 10.0]))


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 10**6), st.floats(-100, 100))
def test_dueling_ignores_a_shift_of_the_advantage(seed, shift):
    value, advantage = sample(seed, N), sample(seed + 1, N, A)
    q = vt.dueling(value, advantage)
    near(vt.dueling(value, advantage + np.float32(shift)), q, atol=5e-5)
    near(jnp.mean(q, -1), value, atol=1e-5)
    np.testing.assert_array_equal(jnp.argmax(q, -1), advantage.argmax(-1))


def test_deterministic_policy_gradient_is_the_gradient_of_the_value():
    obs, weight, goal = sample(0, 5, 3), sample(1, 3, 2), sample(2, 5, 2)

    def policy(weight):
        return jnp.tanh(obs @ weight)

    def value(action):
        return -jnp.sum(jnp.cosh(action - goal), -1)

    action_gradient = jax.grad(lambda a: jnp.sum(value(a)))(policy(weight))

    def loss(weight):
        return jnp.sum(vt.deterministic_policy_loss(policy(weight), action_gradient))

    near(jax.grad(loss)(weight), jax.grad(lambda w: -jnp.sum(value(policy(w))))(weight))


def test_smoothed_action_bounds_the_noise_and_the_action():
    action = array([0.0, 0.9], [-0.9, 0.2])
    still = vt.smoothed_action(action, jnp.zeros_like(action), 0.2, 0.5, -1.0, 1.0)
    near(still, action)
    loud = vt.smoothed_action(action, array([9.0, 9.0], [-9.0, -9.0]), 0.2, 0.5, -1.0, 1.0)
    near(loud, array([0.5, 1.0], [-1.0, -0.3]))
    quiet = vt.smoothed_action(action, array([1.0, -1.0], [0.0, 2.0]), 0.2, 0.5, -1.0, 1.0)
    near(quiet, array([0.2, 0.7], [-0.9, 0.6]))
    own = vt.smoothed_action(action, 9 * jnp.ones((2, 2)), 0.2, 0.5, -1.0, array([0.1, 2.0]))
    near(own, array([0.1, 1.4], [-0.4, 0.7]))


def test_min_value_is_pessimistic_and_teaches_only_the_lowest():
    values = array([1.0, 5.0], [2.0, 3.0], [4.0, 4.0])
    near(vt.min_value(values), np.array([1.0, 3.0]))
    near(vt.min_value(values[:1]), values[0])
    gradient = jax.grad(lambda v: jnp.sum(vt.min_value(v)))(values)
    near(gradient, array([1.0, 0.0], [0.0, 1.0], [0.0, 0.0]))


def test_sac_target_without_temperature_is_the_td_target():
    value, log_prob = sample(1, T, N), sample(2, T, N)
    plain = vt.sac_target(REWARD, value, log_prob, DISCOUNT, 0.0)
    near(plain, vt.td_target(REWARD, value, DISCOUNT))
    costly = vt.sac_target(REWARD, value, log_prob, DISCOUNT, 0.2)
    near(costly, REWARD + 0.9 * (value - 0.2 * log_prob))


def test_discrete_soft_value_is_the_expected_sac_bootstrap():
    logits = sample(6, N, A)
    log_prob = np.asarray(jax.nn.log_softmax(logits))
    zero, one = np.zeros(N, np.float32), np.ones(N, np.float32)
    expected = np.zeros(N)
    for a in range(A):
        bootstrap = vt.sac_target(zero, Q[0, :, a], log_prob[:, a], one, 0.3)
        expected += np.exp(log_prob[:, a]) * np.asarray(bootstrap)
    near(vt.discrete_soft_value(Q[0], logits, 0.3), expected)


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 10**6), st.floats(0.05, 3.0))
def test_no_policy_has_more_soft_value_than_the_softmax(seed, temperature):
    q, logits = sample(seed, A), sample(seed + 1, A)
    best = vt.soft_value(q, temperature)
    near(vt.discrete_soft_value(q, q / np.float32(temperature), temperature), best, atol=1e-5)
    assert vt.discrete_soft_value(q, logits, temperature) <= best + 1e-5
    log_prob = jnp.log(boltzmann_prob(q, temperature))
    near(vt.discrete_soft_value(q, log_prob, temperature), best, atol=1e-5)


def test_discrete_soft_value_takes_forbidden_actions():
    logits, q = array([0.0, 0.0, -jnp.inf]), array([1.0, 3.0, 100.0])
    near(vt.discrete_soft_value(q, logits, 0.5), np.array([2 + 0.5 * np.log(2)]))
    gradient = jax.grad(lambda x: jnp.sum(vt.discrete_soft_value(q, x, 0.5)))(logits)
    near(gradient, array([-0.5, 0.5, 0.0]))


def test_sac_actor_gradient_through_a_reparameterised_gaussian():
    """With Q = -a²/2 and a = μ + exp(s) ε the gradients are a, and a exp(s) ε - α."""
    epsilon, alpha = sample(7, 50), 0.3

    def loss(mean, log_std):
        action = mean + jnp.exp(log_std) * epsilon
        log_prob = -0.5 * epsilon**2 - log_std - 0.5 * jnp.log(2 * jnp.pi)
        return jnp.mean(vt.sac_actor_loss(log_prob, -0.5 * action**2, alpha))

    mean, log_std = 0.4, -0.7
    action = mean + np.exp(log_std) * epsilon
    by_mean, by_log_std = jax.grad(loss, (0, 1))(mean, log_std)
    near(by_mean, action.mean())
    near(by_log_std, (action * np.exp(log_std) * epsilon).mean() - alpha)


@pytest.mark.parametrize(("entropy", "sign"), [(0.5, 1), (3.0, -1)])
def test_temperature_rises_when_the_entropy_is_below_its_target(entropy, sign):
    log_prob, target_entropy, log_temperature = np.full(4, -entropy, np.float32), 1.0, 0.3

    def loss(log_temperature):
        return jnp.mean(vt.temperature_loss(log_temperature, log_prob, target_entropy))

    gradient = jax.grad(loss)(log_temperature)
    near(gradient, -np.exp(0.3) * (target_entropy - entropy))
    assert np.sign(-gradient) == sign
