"""Edges that no single module owns: devices, half types, illegal states, ratios at their bounds."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, PartitionSpec

import jaxrl
from jaxrl import softmax

SHAPE = (6, 4)


def normal(seed: int, shape: tuple[int, ...] = SHAPE) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def gae(reward, value, done):
    return jaxrl.gae(reward, value, value, 0.9, done, 0.9)


def entropy(reward, value, done):
    return jaxrl.categorical_entropy(reward + value)


@pytest.mark.parametrize("formula", [gae, entropy])
def test_columns_can_be_sharded(formula, monkeypatch):
    """Under shard_map the carry of a loop must vary over devices as the data does."""
    monkeypatch.setattr(softmax, "BLOCK_ENTRIES", 4)
    jax.clear_caches()  # what is traced above may have been read in one block
    mesh = jax.make_mesh((1,), ("column",), axis_types=(AxisType.Auto,))
    spec = PartitionSpec(None, "column") if formula is gae else PartitionSpec("column")
    data = normal(0), normal(1), normal(2) > 1
    sharded = jax.shard_map(formula, mesh=mesh, in_specs=(spec,) * 3, out_specs=spec)
    np.testing.assert_allclose(jax.jit(sharded)(*data), formula(*data), rtol=1e-6)
    jax.clear_caches()


def test_a_long_return_is_summed_in_float32():
    ones, never = jnp.ones(1000, jnp.bfloat16), jnp.zeros(1000, bool)
    returns = jaxrl.n_step_return(ones, jnp.zeros_like(ones), 1.0, never, 1000)
    assert returns.dtype == jnp.bfloat16 and returns[0] == 1000


def test_chunks_in_bfloat16_sum_their_gradients_in_float32():
    hidden = jnp.asarray(1 + normal(0, (512, 8)), jnp.bfloat16)
    table = jnp.asarray(normal(1, (8, 16)), jnp.bfloat16)
    token = jnp.zeros(512, jnp.int32)

    def slope(chunk_size):
        def loss(w):
            return jaxrl.hidden_log_prob_and_entropy(hidden, w, token, chunk_size)[0].sum()

        return np.asarray(jax.grad(loss)(table), np.float32)

    np.testing.assert_allclose(slope(8), slope(512), rtol=0.02, atol=2.0)


def test_a_terminal_state_may_have_no_legal_action():
    nowhere = np.zeros((1, 3), bool)
    reward, q = np.ones(1, np.float32), np.ones((1, 3), np.float32)
    for target in (
        jaxrl.q_learning_target(reward, q, 0.0, nowhere),
        jaxrl.soft_q_target(reward, q, 0.0, 0.5, nowhere),
        jaxrl.double_q_target(reward, q, q, 0.0, nowhere),
    ):
        np.testing.assert_array_equal(target, [1.0])
    np.testing.assert_array_equal(jaxrl.epsilon_greedy_prob(q, 0.1, nowhere), np.zeros((1, 3)))


def test_an_illegal_value_weighs_nothing():
    q = np.array([[1.0, -np.inf]], np.float32)
    prob, action = np.array([[1.0, 0.0]], np.float32), np.zeros(1, np.int32)
    np.testing.assert_array_equal(jaxrl.expected_value(q, prob), [1.0])
    np.testing.assert_array_equal(jaxrl.action_advantage(q, action, prob), [0.0])


def test_narrow_bounds_survive_bfloat16():
    """GSPO's window of 1e-4s is lost where the bound, and not its log, is rounded."""
    log_ratio = jnp.array([2e-4, -2e-4], jnp.bfloat16)
    advantage = jnp.array([1.0, -1.0], jnp.bfloat16)
    inside = jaxrl.not_clipped(log_ratio, advantage, 1 - 3e-4, 1 + 4e-4)
    np.testing.assert_array_equal(np.asarray(inside, np.float32), [1, 1])


@pytest.mark.parametrize("advantage", [1.0, -1.0])
def test_at_its_bound_a_ratio_is_not_clipped(advantage):
    zero, weight = jnp.zeros(1), jnp.array([advantage])
    slope = jax.grad(lambda x: jaxrl.clipped_surrogate(x, weight, 1.0, 1.0).sum())(zero)
    np.testing.assert_array_equal(slope, -weight)
    np.testing.assert_array_equal(jaxrl.not_clipped(zero, weight, 1.0, 1.0), [1])


def test_a_bound_below_zero_never_binds():
    far = jnp.array([-3.0, 3.0])
    loss = jaxrl.clipped_surrogate(far, -jnp.ones(2), 1 - 10.0, 1 + 10.0)
    np.testing.assert_allclose(loss, np.exp(far), rtol=1e-6)


def test_kept_at_exactly_the_edge():
    edge = jnp.zeros(2)
    np.testing.assert_array_equal(jaxrl.masked_weight(edge, 1.0, 1.0), [1, 1])
    far = jnp.full(2, -5.0)
    kept = jaxrl.off_policy_mask(edge, far, jnp.ones(2, bool), 0.1)
    np.testing.assert_array_equal(kept, [1, 1])


@pytest.mark.parametrize(("kl", "expected"), [(0.31, 10.0), (0.29, 2.0), (0.04, 2.0), (0.03, 0.4)])
def test_adaptive_coefficient_off_its_defaults(kl, expected):
    """Within a factor of 3 about the target of 0.1 it stays; beyond, it moves by a factor of 5."""
    beta = jaxrl.adaptive_kl_coefficient(2.0, kl, 0.1, tolerance=3.0, factor=5.0)
    assert beta == pytest.approx(expected)


def test_equal_rewards_learn_nothing_whatever_their_lengths():
    reward = np.full((2, 5), 0.1, np.float32)
    length = np.array([[3, 1, 4, 1, 5], [9, 2, 6, 5, 3]])
    np.testing.assert_array_equal(jaxrl.length_weighted_advantage(reward, length), np.zeros((2, 5)))


def test_small_actions_find_their_column():
    """An action of 8 bits must not meet itself again every 256 columns."""
    action = jnp.array([3], jnp.uint8)
    slope = jax.grad(lambda x: jaxrl.selected_log_prob(x, action).sum())(jnp.zeros((1, 300)))
    np.testing.assert_array_equal(np.flatnonzero(np.asarray(slope) > 0), [3])


def test_flags_of_numpy_numbers_work_outside_of_jit():
    reward = normal(0, (2,))
    done = np.array([0.0, 1.0])
    assert jaxrl.n_step_return(reward, reward, 0.9, done, 2).shape == (2,)
    one = jaxrl.vtrace_advantage(reward, reward, reward, reward, 0.9, done, reward)
    assert one.shape == (2,)
