"""Each combinator against a counter whose answers are written down by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrl import envs
from jaxrl.types import Box, Discrete, Env, MaskedObs, MultiDiscrete, Spaces, Timestep
from tests.envs.tiny import KEY, counter, hold_contract, walk

PUSH = Box(-2.0, 4.0, (1,))
IMAGE = Box(0.0, 1.0, (2, 2, 1))


def drawn():
    """Shows pictures: all pixels are the count."""
    env = counter()

    def picture(obs):
        return jnp.full((2, 2, 1), obs[0])

    def reset(key):
        state, obs = env.reset(key)
        return state, picture(obs)

    def step(key, state, action):
        state, timestep = env.step(key, state, action)
        return state, timestep._replace(obs=picture(timestep.obs))

    return Env(reset, step, Spaces(IMAGE, Discrete(3)))


def mixed():
    """Shows a dict of a picture, a category and a vector of categories."""
    space = {"a": Box(0, 1, (1, 2), "int32"), "b": Discrete(3), "c": MultiDiscrete((2, 2))}
    obs = {"a": jnp.array([[5, 6]]), "b": jnp.array(1), "c": jnp.array([1, 0])}
    end = Timestep(obs, jnp.float32(0), jnp.array(False), jnp.array(False))
    return Env(lambda key: ((), obs), lambda key, state, a: ((), end), Spaces(space, Discrete(2)))


def legal(state):
    return jnp.arange(3) != state


def phi(state):
    return 10.0 * state.astype(jnp.float32)


def test_time_limit_truncates_but_leaves_death_alone():
    _, states, timesteps = walk(envs.time_limit(counter(death=5), 3), 0, 0, 0)
    assert timesteps.truncated.tolist() == [False, False, True]
    assert not timesteps.terminated.any()
    assert states.time.tolist() == [1, 2, 3]
    _, _, timesteps = walk(envs.time_limit(counter(death=3), 3), 0, 0, 0)
    assert timesteps.terminated.tolist() == [False, False, True]
    assert not timesteps.truncated.any()


def test_time_limit_keeps_an_earlier_limit_and_takes_a_traced_one():
    _, _, timesteps = walk(envs.time_limit(counter(limit=2), 3), 0, 0, 0)
    assert timesteps.truncated.tolist() == [False, True, True]
    truncated = jax.vmap(lambda limit: walk(envs.time_limit(counter(), limit), 0, 0)[2].truncated)
    assert truncated(jnp.array([1, 2])).tolist() == [[True, True], [False, True]]


def test_rewards_are_scaled_and_clipped():
    assert walk(envs.scale_reward(counter(), 0.5), 0, 1, 2)[2].reward.tolist() == [0, 0.5, 1]
    assert walk(envs.clip_reward(counter(), 0.5, 1), 0, 1, 2)[2].reward.tolist() == [0.5, 1, 1]


def test_the_order_of_combinators_is_the_order_of_their_effects():
    env = envs.clip_reward(envs.scale_reward(counter(), 10.0), -1.0, 1.0)
    assert walk(env, 2)[2].reward.tolist() == [1]
    env = envs.scale_reward(envs.clip_reward(counter(), -1.0, 1.0), 10.0)
    assert walk(env, 2)[2].reward.tolist() == [10]


def test_shaping_counts_no_potential_after_death_and_one_after_a_limit():
    dying = envs.shape_reward(counter(death=2), phi, 0.5)
    assert walk(dying, 1, 1)[2].reward.tolist() == [1 + 5 - 0, 1 + 0 - 10]
    cut = envs.shape_reward(counter(limit=2), phi, 0.5)
    assert walk(cut, 1, 1)[2].reward.tolist() == [1 + 5 - 0, 1 + 10 - 10]


@pytest.mark.parametrize("flag", [bool, int, jnp.int32, jnp.bool_], ids=lambda x: x.__name__)
def test_ends_may_be_flags_of_any_kind(flag):
    def step(key, state, action):
        state, reached = counter().step(key, state, action)
        return state, reached._replace(terminated=flag(0), truncated=flag(0))

    endless = counter()._replace(step=step)
    assert walk(envs.shape_reward(endless, phi, 0.5), 1)[2].reward.tolist() == [1 + 5 - 0]
    assert walk(envs.time_limit(endless, 2), 1, 1)[2].truncated.tolist() == [False, True]


def test_shaping_moves_every_return_by_the_first_potential():
    rewards = walk(envs.shape_reward(counter(death=3), phi, 1.0), 1, 2, 0)[2].reward
    assert rewards.sum() == 3 - 0


def test_statistics_add_up_until_the_end():
    _, states, _ = walk(envs.episode_statistics(counter()), 2, 0, 1)
    assert states.episode_return.tolist() == [2, 2, 3]
    assert states.length.tolist() == [1, 2, 3]
    assert states.state.tolist() == [1, 2, 3]


def test_flatten_makes_one_vector_of_a_tree():
    env = envs.flatten(mixed())
    expected = [5, 6, 0, 1, 0, 0, 1, 1, 0]
    assert env.reset(KEY)[1].tolist() == expected
    assert env.step(KEY, (), jnp.array(0))[1].obs.tolist() == expected
    assert env.spaces.observation.low.tolist() == [0] * 9
    hold_contract(env)


def test_flatten_keeps_the_mask():
    first, _, timesteps = walk(envs.flatten(envs.action_mask(drawn(), legal)), 0)
    assert first.obs.tolist() == [0] * 4
    assert timesteps.obs.obs.tolist() == [[1] * 4]
    assert timesteps.obs.action_mask.tolist() == [[True, False, True]]


def test_only_the_kept_entries_are_shown():
    env = envs.mask_velocity(counter(), (1,))
    first, _, timesteps = walk(env, 0, 0)
    assert first.tolist() == [0]
    assert timesteps.obs.tolist() == [[10], [20]]
    assert env.spaces.observation.high.tolist() == [90]


def test_frames_are_stacked_from_copies_of_the_first():
    first, _, timesteps = walk(envs.frame_stack(counter(), 3), 0, 0)
    assert first.tolist() == [0] * 6
    assert timesteps.obs.tolist() == [[0, 0, 0, 0, 1, 10], [0, 0, 1, 10, 2, 20]]


def test_frames_of_images_are_channels():
    env = envs.frame_stack(drawn(), 2)
    first, _, timesteps = walk(env, 0, 0)
    assert first.shape == env.spaces.observation.shape == (2, 2, 2)
    assert timesteps.obs[1, 0, 1].tolist() == [1, 2]


def test_frames_under_a_mask_show_the_newest_mask():
    first, _, timesteps = walk(envs.frame_stack(envs.action_mask(counter(), legal), 2), 0)
    assert first.action_mask.tolist() == [False, True, True]
    assert timesteps.obs.action_mask.tolist() == [[True, False, True]]
    assert timesteps.obs.obs.tolist() == [[0, 0, 1, 10]]


def test_masks_show_what_is_legal_in_the_state_reached():
    first, _, timesteps = walk(envs.action_mask(counter(), legal), 0, 0)
    assert isinstance(first, MaskedObs)
    assert first.action_mask.tolist() == [False, True, True]
    assert timesteps.obs.action_mask.tolist() == [[True, False, True], [True, True, False]]


def test_repeated_actions_add_rewards_and_stop_at_the_end():
    _, states, timesteps = walk(envs.repeat_action(counter(death=5), 3), 2, 1)
    assert states.tolist() == [3, 5]
    assert timesteps.reward.tolist() == [6, 2]
    assert timesteps.terminated.tolist() == [False, True]
    assert timesteps.obs.tolist() == [[3, 30], [5, 50]]
    _, states, timesteps = walk(envs.repeat_action(counter(limit=2), 3), 1)
    assert timesteps.truncated.tolist() == [True]
    assert timesteps.reward.tolist() == [2]


def test_sticky_actions_repeat_the_one_before_but_never_the_first():
    assert walk(envs.sticky_actions(counter(), 1.0), 2, 1, 0)[2].reward.tolist() == [2, 2, 2]
    assert walk(envs.sticky_actions(counter(), 0.0), 2, 1, 0)[2].reward.tolist() == [2, 1, 0]


def test_sticky_actions_stick_as_often_as_they_should():
    actions = [t % 2 for t in range(2000)]
    rewards = walk(envs.sticky_actions(counter(), 0.25), *actions)[2].reward
    share = np.mean(np.asarray(rewards) != actions)
    np.testing.assert_allclose(share, 0.25 / 1.25, atol=0.03)  # a slip cannot follow a slip


def test_actions_are_clipped_to_their_box():
    env = envs.clip_action(counter(PUSH))
    assert walk(env, [-9.0], [1.5], [9.0])[2].reward.tolist() == [-2, 1.5, 4]


def test_actions_are_rescaled_to_the_bounds():
    env = envs.rescale_action(counter(PUSH))
    assert env.spaces.action == Box(-1.0, 1.0, (1,))
    assert walk(env, [-1.0], [0.0], [1.0])[2].reward.tolist() == [-2, 1, 4]
    env = envs.clip_action(envs.rescale_action(counter(PUSH), 0.0, 10.0))
    assert walk(env, [-5.0], [5.0], [50.0])[2].reward.tolist() == [-2, 1, 4]


def test_bounds_may_be_traced():
    def paid(high):
        env = envs.rescale_action(counter(Box(0.0, high, (1,))))
        return env.step(KEY, env.reset(KEY)[0], jnp.array([1.0]))[1].reward

    assert jax.jit(jax.vmap(paid))(jnp.array([3.0, 7.0])).tolist() == [3, 7]


@pytest.mark.parametrize(
    "env",
    [
        envs.time_limit(counter(), 3),
        envs.scale_reward(counter(), 2.0),
        envs.clip_reward(counter(), 0, 1),
        envs.shape_reward(counter(), phi, 0.9),
        envs.episode_statistics(counter()),
        envs.flatten(envs.action_mask(drawn(), legal)),
        envs.mask_velocity(envs.action_mask(counter(), legal), (0,)),
        envs.frame_stack(drawn(), 4),
        envs.frame_stack(counter(), 1),
        envs.repeat_action(counter(), 1),
        envs.repeat_action(envs.make("CartPole-v1"), 4),
        envs.sticky_actions(counter(PUSH), 0.1),
        envs.sticky_actions(envs.make("CartPole-v1"), 0.1),
        envs.clip_action(counter(PUSH)),
        envs.rescale_action(envs.make("Pendulum-v1")),
        envs.frame_stack(envs.mask_velocity(envs.make("CartPole-v1"), (0, 2)), 4),
    ],
)
def test_combinators_keep_the_contract(env):
    hold_contract(env)


def test_the_space_of_a_multi_discrete_action_is_the_sum_of_its_parts():
    env = counter(MultiDiscrete((2, 3)))
    assert envs.action_mask(env, lambda state: jnp.ones(5)).reset(KEY)[1].action_mask.all()
    state, _ = envs.sticky_actions(env, 0.5).reset(KEY)
    assert state.action.shape == (2,)


ENDLESS = counter(Box(-jnp.inf, 1.0, (1,)))
BAD = [
    (ValueError, "max_steps must be .* not 0", lambda: envs.time_limit(counter(), 0)),
    (ValueError, "num_frames must be .* not 0", lambda: envs.frame_stack(counter(), 0)),
    (ValueError, "num_repeats must be .* not 0", lambda: envs.repeat_action(counter(), 0)),
    (ValueError, "max_steps must be .* not 0", lambda: envs.time_limit(counter(), np.int64(0))),
    (ValueError, "num_bits must be .* not 0", lambda: envs.bit_flip(0)),
    (
        ValueError,
        r"prob must be a .* \[0, 1\], not 2.0",
        lambda: envs.sticky_actions(counter(), 2.0),
    ),
    (ValueError, "high must be above low = 1, not -1", lambda: envs.clip_reward(counter(), 1, -1)),
    (
        ValueError,
        "high must be above low = 1.0, not 1.0",
        lambda: envs.rescale_action(counter(PUSH), 1.0, 1.0),
    ),
    (TypeError, "clip_action needs .* Discrete", lambda: envs.clip_action(counter())),
    (TypeError, "rescale_action needs .* Discrete", lambda: envs.rescale_action(counter())),
    (ValueError, "finite bounds, not Box", lambda: envs.rescale_action(ENDLESS)),
    (TypeError, "vectors, not Box", lambda: envs.mask_velocity(drawn(), (0,))),
    (ValueError, "kept must .* 0 to 1, not", lambda: envs.mask_velocity(counter(), (0, 2))),
    (ValueError, "kept must .* 0 to 1, not", lambda: envs.mask_velocity(counter(), ())),
    (TypeError, "arrays, not", lambda: envs.frame_stack(mixed(), 2)),
    (TypeError, "discrete, not Box", lambda: envs.action_mask(counter(PUSH), legal)),
    (ValueError, "legal must have", lambda: walk(envs.action_mask(counter(), jnp.ones_like), 0)),
    (
        ValueError,
        "potential must give one number",
        lambda: walk(envs.shape_reward(counter(), lambda s: jnp.ones(2), 1.0), 0),
    ),
]


@pytest.mark.parametrize(("error", "message", "build"), BAD)
def test_what_does_not_fit_is_said_in_one_sentence(error, message, build):
    with pytest.raises(error, match=message):
        build()
