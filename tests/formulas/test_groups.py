"""Group statistics: worked numbers, degenerate groups, ragged groups, and DCPO's memory."""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxrl.formulas.advantages import whiten
from jaxrl.formulas.groups import (
    greedy_advantage,
    group_centred,
    group_relative,
    leave_one_out,
    leave_one_out_relative,
    length_weighted_advantage,
    reinforce_plus_plus,
    smoothed_advantage,
    smoothed_state,
)
from tests.formulas.near import assert_near

STATISTICS: dict[str, Callable[..., Any]] = {
    "relative, population": partial(group_relative, ddof=0),
    "relative, sample": partial(group_relative, ddof=1),
    "centred": group_centred,
    "leave one out": leave_one_out,
    "leave one out, relative": leave_one_out_relative,
}
over_statistics = pytest.mark.parametrize("statistic", STATISTICS.values(), ids=STATISTICS)

TUNIX = [[0.57450044, 0.09968603, 0.7419659], [0.8941783, 0.59656656, 0.45325184]]
ONE_IN_FOUR = [1.0, 0.0, 0.0, 0.0]
ROWS = {
    "one in four, sample, eps 1e-4": (
        partial(group_relative, ddof=1, eps=1e-4),
        ONE_IN_FOUR,
        [1.499700, *[-0.499900] * 3],
    ),
    "one in four, sample, eps 1e-6": (
        partial(group_relative, ddof=1),
        ONE_IN_FOUR,
        [1.499997, *[-0.499999] * 3],
    ),
    "one in four, population": (
        partial(group_relative, ddof=0, eps=0.0),
        ONE_IN_FOUR,
        [1.732051, *[-0.577350] * 3],
    ),
    "one in four, leave one out": (leave_one_out, ONE_IN_FOUR, [1, *[-1 / 3] * 3]),
    "1, 0, 2 centred": (group_centred, [1.0, 0.0, 2.0], [0, -1, 1]),
    "1, 0, 2 in deviations": (
        partial(group_relative, ddof=1, eps=0.0),
        [1.0, 0.0, 2.0],
        [0, -1, 1],
    ),
    "Tunix GRPO": (
        partial(group_relative, ddof=1),
        TUNIX,
        [[0.307498, -1.117636, 0.810138], [1.094526, -0.228671, -0.865855]],
    ),
    "Tunix Dr. GRPO": (
        group_centred,
        TUNIX,
        [[0.10245, -0.372365, 0.269915], [0.246179, -0.051432, -0.194747]],
    ),
    "Tunix RLOO": (leave_one_out, [[1.0, 2, 3], [4, 5, 6]], [[-1.5, 0, 1.5]] * 2),
    "NeMo-RL": (
        partial(leave_one_out_relative, eps=0.0),
        [[1.0, 2, 3], [4, 5, 6]],
        [[-1.5 / 0.70710678, 0, 1.5 / 0.70710678]] * 2,
    ),
}


@pytest.mark.parametrize(("statistic", "reward", "expected"), ROWS.values(), ids=ROWS)
def test_worked_numbers(statistic: Any, reward: Any, expected: Any) -> None:
    np.testing.assert_allclose(statistic(np.float32(reward)), expected, rtol=1e-5, atol=1e-6)


@over_statistics
@pytest.mark.parametrize("size", [1, 3, 64])
def test_equals_learn_nothing(statistic: Any, size: int) -> None:
    """Not even the rounding of their mean."""
    both = jax.jit(jax.value_and_grad(lambda r: jnp.sum(jnp.abs(statistic(r)))))
    ragged = jax.jit(lambda r: statistic(r.reshape(-1), np.repeat(np.int32([0, 2]), size), 3))
    for value in (0.0, 1.0, 0.1, 0.7, 1 / 3, -12345.678, 1e6):
        reward = np.full((2, size), value, np.float32)
        result, gradient = both(reward)
        assert result == 0 and np.isfinite(gradient).all()
        assert not np.asarray(ragged(reward)).any()


@over_statistics
def test_ragged_groups_of_one_size_are_the_grid(statistic: Any) -> None:
    rng = np.random.default_rng(0)
    reward = rng.normal(size=(4, 5)).astype(np.float32)
    order, ids = rng.permutation(20), np.repeat(np.arange(4, dtype=np.int32), 5)
    flat = statistic(reward.reshape(-1)[order], ids[order], 4)
    assert_near(flat, np.asarray(statistic(reward)).reshape(-1)[order], 1e-5)


@over_statistics
def test_who_is_in_no_group_changes_nothing(statistic: Any) -> None:
    reward = np.array([1, 0, 7, 2, 9, 3], np.float32)
    ids = np.array([0, 0, -1, 1, -5, 1], np.int32)
    inside = ids >= 0
    result = np.asarray(statistic(reward, ids, 2))
    assert_near(result[inside], statistic(reward[inside], ids[inside], 2), 1e-6)
    assert not result[~inside].any()
    dirty = np.where(inside, reward, np.float32(np.nan))
    np.testing.assert_array_equal(statistic(dirty, ids, 2), result)


@over_statistics
@settings(deadline=None, max_examples=25)
@given(
    reward=st.lists(st.integers(-3, 3), min_size=6, max_size=6),
    order=st.permutations(range(6)),
    shift=st.integers(-100, 100),
)
def test_neither_order_nor_a_shift_matters(
    statistic: Any, reward: list[int], order: list[int], shift: int
) -> None:
    rewards = np.array(reward, np.float32)
    result = np.asarray(statistic(rewards))
    np.testing.assert_allclose(statistic(rewards[order]), result[order], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(statistic(rewards + shift), result, rtol=1e-4, atol=1e-5)


def test_scores_do_not_depend_on_the_scale_but_centred_rewards_do() -> None:
    reward = np.float32([1, 4, -2, 0])
    for ddof in (0, 1):
        score = group_relative(reward, ddof=ddof, eps=0.0)
        assert_near(group_relative(100 * reward, ddof=ddof, eps=0.0), score, 1e-5)
    assert_near(group_centred(100 * reward), 100 * group_centred(reward), 1e-6)


@pytest.mark.parametrize("size", [2, 3, 8])
def test_leaving_one_out_stretches_the_centred_reward(size: int) -> None:
    reward = np.random.default_rng(1).normal(size=(3, size)).astype(np.float32)
    assert_near(leave_one_out(reward), size / (size - 1) * group_centred(reward), 1e-5)


def test_leave_one_out_of_two_is_their_difference() -> None:
    """Of the other one alone no deviation can be had, so nothing is divided."""
    reward = np.float32([3.0, 1.0])
    for statistic in (leave_one_out, leave_one_out_relative):
        np.testing.assert_allclose(statistic(reward), [2.0, -2.0], rtol=1e-6)


def test_an_outlier_leaves_the_others_their_deviation() -> None:
    """The deviation of 0.1, 0.2, 0.3 is 0.1, however far away the fourth may be."""
    for far in (10.0, 100.0, 1000.0):
        relative = leave_one_out_relative(np.float32([far, 0.1, 0.2, 0.3]), eps=0.0)
        np.testing.assert_allclose(relative[0], (far - 0.2) / 0.1, rtol=1e-3)


@pytest.mark.parametrize("ddof", [0, 1])
def test_reinforce_plus_plus_whitens_what_is_to_come(ddof: int) -> None:
    """Only last tokens are rewarded, so every token of a response is worth its reward."""
    mask = np.array([[1, 1], [1, 1], [1, 0], [0, 0]], bool)
    reward = np.float32([[0, 0], [0, 2], [-1, 9], [9, 9]])
    to_go = np.float32([[-1, 2], [-1, 2], [-1, 0], [0, 0]])
    assert_near(reinforce_plus_plus(reward, mask, ddof=ddof), whiten(to_go, mask, ddof=ddof), 1e-6)


def test_the_greedy_response_has_no_advantage() -> None:
    reward, greedy = np.float32([[1, 0, 3], [2, 5, 2]]), np.float32([[1], [2]])
    np.testing.assert_array_equal(greedy_advantage(reward, greedy), [[0, -1, 2], [0, 3, 0]])


def test_equal_lengths_weigh_alike() -> None:
    reward = np.float32([[1, 0, 3], [2, 5, 2]])
    assert_near(length_weighted_advantage(reward, np.full((2, 3), 7)), group_centred(reward), 1e-6)
    long_one = length_weighted_advantage(np.float32([1, 0]), np.int32([3, 1]))
    np.testing.assert_allclose(long_one, [0.25, -0.75], rtol=1e-6)


def test_a_first_visit_is_grpo() -> None:
    reward = np.float32([[1, 0, 0, 0], [1, 1, 1, 1]])
    advantage, state = smoothed_advantage(smoothed_state(3), np.int32([2, 0]), reward)
    assert_near(advantage, group_relative(reward, ddof=0, eps=0.0), 1e-6)
    np.testing.assert_array_equal(state.count, [1, 0, 1])
    np.testing.assert_allclose(state.mean, [1.0, 0.0, 0.25])
    np.testing.assert_allclose(state.variance, [0.0, 0.0, 0.1875])


def test_the_memory_stays_in_float32() -> None:
    reward = jnp.array([[1, 0, 0, 0]], jnp.bfloat16)
    advantage, state = smoothed_advantage(smoothed_state(1), np.int32([0]), reward)
    assert all(x.dtype == jnp.float32 for x in state)
    assert_near(advantage.astype(jnp.float32), group_relative(reward, ddof=0, eps=0.0), 1e-2)


def test_the_memory_is_of_all_responses_so_far() -> None:
    """After each visit mean and variance are those of all rewards of the prompt, seen at once."""
    rng = np.random.default_rng(2)
    state, seen = smoothed_state(4), {1: [], 3: []}
    visit = jax.jit(smoothed_advantage)
    for _ in range(5):
        reward = rng.normal(size=(2, 6)).astype(np.float32)
        _, state = visit(state, np.int32([3, 1]), reward)
        for prompt, row in zip((3, 1), reward, strict=True):
            seen[prompt].extend(row.tolist())
            assert_near(state.mean[prompt], np.array(np.mean(seen[prompt])), 1e-5)
            assert_near(state.variance[prompt], np.array(np.var(seen[prompt])), 1e-5)
    assert not any(np.asarray(x)[[0, 2]].any() for x in state)


def test_equal_rewards_still_learn_from_the_past() -> None:
    """The paper's point: (1/i) of the score among all responses so far, where GRPO says 0."""
    state = smoothed_state(1)
    prompt = np.int32([0])
    _, state = smoothed_advantage(state, prompt, np.float32([[1, 0, 0, 0]]))
    advantage, _ = smoothed_advantage(state, prompt, np.ones((1, 4), np.float32))
    everything = np.float32([1, 0, 0, 0, 1, 1, 1, 1])
    score = (1 - everything.mean()) / everything.std()
    assert_near(advantage, np.full((1, 4), score / 2), 1e-5)


def test_the_smaller_of_both_mixtures_is_taken() -> None:
    rng = np.random.default_rng(3)
    state, prompt = smoothed_state(1), np.int32([0])
    past = []
    for i in range(1, 5):
        reward = rng.normal(i, 1, (1, 5)).astype(np.float32)
        past.extend(reward[0].tolist())
        advantage, state = smoothed_advantage(state, prompt, reward)
        new = (reward - reward.mean()) / reward.std()
        total = (reward - np.mean(past)) / np.std(past)
        mixtures = np.stack([(i - 1) * new + total, new + (i - 1) * total]) / i
        pick = np.argmin(np.abs(mixtures), axis=0)
        assert_near(advantage, np.take_along_axis(mixtures, pick[None], 0)[0], 1e-4)


@pytest.mark.parametrize(
    ("group", "num_groups"), [(None, 3), (np.int32([0, 1]), None), (np.int32([[0, 1]]), 2)]
)
def test_ragged_groups_need_flat_rewards_ids_and_their_number(group: Any, num_groups: Any) -> None:
    reward = np.ones((1, 2) if group is not None and group.ndim == 2 else 2, np.float32)
    with pytest.raises((ValueError, TypeError), match="group"):
        group_centred(reward, group, num_groups)
