"""gymnax's environments behind our nouns: every one of them, its quirks, its parameters."""

import dataclasses
import subprocess
import sys

import gymnax
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import struct
from gymnax.environments import spaces
from jax.core import Tracer

from jaxrl.envs import gymnax_env, make
from jaxrl.envs.gymnax import DERIVED, INERT
from jaxrl.types import Box, Discrete
from tests.envs.tiny import KEY, abstract, counter, hold_contract, types, walk

NAMES = [name for name in gymnax.registered_envs if not name.startswith("MNIST")]
SLOW_TO_COMPILE = {"Asterix-MinAtar", "Freeway-MinAtar", "Seaquest-MinAtar"}
LIMIT = "max_steps_in_episode"
FAST = [name for name in NAMES if name not in SLOW_TO_COMPILE]


def made(name):
    """gymnax's own object and its parameters; some need the usual promotion to be made."""
    with jax.numpy_dtype_promotion("standard"):
        return gymnax.make(name)


def draw(key, space, shape):
    """Random actions."""
    if isinstance(space, Discrete):
        return jax.random.randint(key, shape, 0, space.num_values)
    return jax.random.uniform(key, (*shape, *space.shape), space.dtype, space.low, space.high)


def rollout(env, num_steps, num_envs, key=KEY):
    """Random [num_steps, num_envs] timesteps, and the first observations."""
    reset_keys, step_keys = jax.random.split(key, num_envs), jax.random.split(key, num_steps)
    actions = draw(key, env.spaces.action, (num_steps, num_envs))

    def body(state, key_and_action):
        key, action = key_and_action
        return jax.vmap(env.step)(jax.random.split(key, num_envs), state, action)

    @jax.jit
    def run():
        state, obs = jax.vmap(env.reset)(reset_keys)
        return obs, jax.lax.scan(body, state, (step_keys, actions))[1]

    return run()


@pytest.mark.parametrize("name", NAMES)
def test_reset_and_step_give_the_same_strong_types(name):
    hold_contract(make(name))


@pytest.mark.parametrize("name", FAST)
def test_random_steps_stay_in_the_observation_space(name):
    env = make(name)
    first, timestep = rollout(env, 3, 4)
    box = env.spaces.observation
    for obs in (first, timestep.obs):
        assert jnp.isfinite(obs.astype(jnp.float32)).all()
        assert (np.asarray(obs) >= np.asarray(box.low)).all()
        assert (np.asarray(obs) <= np.asarray(box.high)).all()
    assert timestep.reward.shape == (3, 4)


@pytest.mark.parametrize("name", ["MemoryChain-bsuite", "GaussianBandit-misc", "MetaMaze-misc"])
def test_the_space_is_wider_where_gymnax_leaves_its_own(name):
    source, params = made(name)
    ours, theirs = make(name).spaces.observation, source.observation_space(params)
    assert (np.asarray(ours.low) < np.asarray(theirs.low)).any()


def test_categories_come_one_hot():
    env = make("FrozenLake-misc")
    assert env.spaces.observation == Box(0.0, 1.0, (16,))
    np.testing.assert_array_equal(env.reset(KEY)[1], np.eye(16)[0])


def test_integer_spaces_keep_their_type():
    assert make("Catch-bsuite").spaces.observation.dtype == "int32"


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=[pytest.mark.slow] * (name in SLOW_TO_COMPILE))
        for name in NAMES
        if name.endswith("-MinAtar")
    ],
)
def test_minatar_s_boards_are_zeros_and_ones(name):
    source, params = made(name)

    @jax.jit
    def boards(keys):
        actions = jax.random.randint(KEY, keys.shape, 0, source.action_space(params).n)

        def body(state, now):
            return source.step_env(now[0], state, now[1], params)[1::-1]

        return jax.lax.scan(body, source.reset_env(KEY, params)[1], (keys, actions))[1]

    with jax.numpy_dtype_promotion("standard"):
        assert set(np.unique(boards(jax.random.split(KEY, 200)))) == {0.0, 1.0}
    assert make(name).spaces.observation.dtype == make(name).reset(KEY)[1].dtype == bool


@pytest.mark.parametrize("name", ["CartPole-v1", "Pendulum-v1", "Breakout-MinAtar"])
def test_trajectories_are_gymnax_s(name):
    env, (source, params) = make(name), made(name)
    actions = draw(KEY, env.spaces.action, (30,))
    first, states, timesteps = walk(env, *actions)
    obs, state = source.reset_env(KEY, params)
    np.testing.assert_array_equal(first, obs)
    with jax.numpy_dtype_promotion("standard"):
        step = jax.jit(lambda key, state, action: source.step_env(key, state, action, params))
        for t, key in enumerate(jax.random.split(KEY, 30)):
            obs, state, reward, terminated, _ = step(key, state, actions[t])
            np.testing.assert_allclose(timesteps.obs[t], obs, rtol=1e-5, atol=1e-6)
            np.testing.assert_allclose(timesteps.reward[t], reward, rtol=1e-5)
            assert timesteps.terminated[t] == terminated
    np.testing.assert_allclose(states.time[-1], 30)


def test_a_time_limit_truncates_and_does_not_terminate():
    _, _, timesteps = walk(make("Pendulum-v1", max_steps_in_episode=3), *[[0.0]] * 3)
    assert timesteps.truncated.tolist() == [False, False, True]
    assert not timesteps.terminated.any()


def test_death_at_the_time_limit_is_death():
    env = make("DeepSea-bsuite")
    limited = make("DeepSea-bsuite", max_steps_in_episode=8)
    for timesteps in (walk(env, *[0] * 8)[2], walk(limited, *[0] * 8)[2]):
        assert timesteps.terminated.tolist() == [False] * 7 + [True]
        assert not timesteps.truncated.any()


def test_parameters_may_be_traced_and_vmapped():
    def last(gravity, limit):
        env = make("Pendulum-v1", g=gravity, max_steps_in_episode=limit, max_torque=gravity)
        state, _ = env.reset(KEY)
        _, timestep = env.step(KEY, state, jnp.array([0.5]))
        assert isinstance(env.spaces.action, Box)
        return timestep, env.spaces.action.high

    gravity, limits = jnp.array([1.0, 10.0]), jnp.array([1.0, 9.0])
    timestep, high = jax.jit(jax.vmap(last))(gravity, limits)
    assert timestep.truncated.tolist() == [True, False]
    np.testing.assert_array_equal(high, gravity)
    alone = last(10.0, 9)[0]
    np.testing.assert_allclose(timestep.obs[1], alone.obs, rtol=1e-6)
    assert (timestep.obs[0] != timestep.obs[1]).any()


@pytest.mark.parametrize("name", FAST)
def test_traced_parameters_change_no_type(name):
    defaults = made(name)[1]
    names = [field.name for field in dataclasses.fields(defaults)]
    given = {n: jnp.asarray(getattr(defaults, n)) for n in names if n not in INERT.get(name, ())}
    plain, action = types(abstract(make(name))), make(name).spaces.action

    def both(params):
        env = make(name, **params)
        assert type(env.spaces.action) is type(action)
        first = env.reset(KEY)
        return first, env.step(KEY, first[0], draw(KEY, action, ()))

    assert types(jax.eval_shape(both, given)) == plain


def test_the_length_of_an_episode_stays_an_integer():
    hold_contract(make("CartPole-v1", max_steps_in_episode=jnp.float32(7)))


@pytest.mark.parametrize(
    ("name", "given", "expected"),
    [
        ("CartPole-v1", {"masscart": 2.0}, {"total_mass": 2.1}),
        ("CartPole-v1", {"masspole": 0.3}, {"total_mass": 1.3, "polemass_length": 0.15}),
        ("CartPole-v1", {"length": 1.0}, {"polemass_length": 0.1}),
        ("CartPole-v1", {"length": 1.0, "polemass_length": 0.7}, {"total_mass": 1.1}),
        ("Acrobot-v1", {"link_length_2": 3.0}, {"link_com_pos_2": 1.5}),
        ("BernoulliBandit-misc", {"max_steps_in_episode": 7}, {"t_max": 7}),
    ],
)
def test_what_follows_from_a_parameter_follows_it(name, given, expected):
    action = jnp.zeros((), jnp.int32)

    def reached(**params):
        env = make(name, **params)
        state, _ = env.reset(KEY)
        return env.step(KEY, state, action)[1].obs

    explicit = made(name)[1].replace(**given, **expected)
    fields = {field: getattr(explicit, field) for field in (*given, *expected)}
    np.testing.assert_allclose(reached(**given), reached(**fields), rtol=1e-6)
    assert name in DERIVED
    assert (reached(**given) != reached()).any()


def test_derived_parameters_follow_traced_ones():
    def gained(mass):
        env = make("CartPole-v1", masscart=mass)
        state, obs = env.reset(KEY)
        return env.step(KEY, state, jnp.ones((), jnp.int32))[1].obs[1] - obs[1]

    light, heavy = jax.vmap(gained)(jnp.array([1.0, 100.0]))
    assert heavy < light / 10


def test_an_environment_can_be_made_inside_of_a_trace():
    @jax.jit
    def obs(key):
        return make("FrozenLake-misc").reset(key)[1], make("MetaMaze-misc").reset(key)[1]

    assert obs(KEY)[0].sum() == 1


def test_bounds_are_constants_inside_of_a_trace_unless_parameters_are_traced():
    def bound(name, **params):
        return make(name, **params).spaces.observation.high

    def is_traced(speed):
        fixed = [bound(name) for name in ("Acrobot-v1", "MetaMaze-misc", "GaussianBandit-misc")]
        assert not any(isinstance(x, Tracer) for x in fixed)
        return bound("Acrobot-v1", max_vel_1=speed)[4]

    assert jax.jit(is_traced)(3.0) == 3


def test_gradients_pass_through_transitions():
    env = make("Pendulum-v1")
    state, _ = env.reset(KEY)
    gradient = jax.grad(lambda torque: env.step(KEY, state, torque)[1].obs[2])(jnp.array([0.1]))
    np.testing.assert_allclose(gradient, [0.15], rtol=1e-5)  # 3 dt / (m l²)


@struct.dataclass
class Limit:
    high: float = 2.0


class Likeness:
    """The least that counts as gymnax's interface: no is_truncated, loose types, scalar obs."""

    default_params = Limit()

    def reset_env(self, key, params):
        return 0, {"time": 0, "key": key}

    def step_env(self, key, state, action, params):
        time = state["time"] + 1
        return time, {"time": time, "key": key}, 1, time >= params.high, {}

    def action_space(self, params):
        return spaces.Discrete(2)

    def observation_space(self, params):
        return spaces.Box(0, params.high, ())


def test_an_object_with_gymnax_s_interface():
    env = make(Likeness(), high=3)
    timestep = hold_contract(env)
    assert timestep.obs.shape == (1,)
    _, _, timesteps = walk(env, 0, 1, 0)
    assert timesteps.terminated.tolist() == [False, False, True]
    assert not timesteps.truncated.any()
    assert timesteps.obs.ravel().tolist() == [1, 2, 3]


def test_an_env_that_was_made_comes_back_as_it_is():
    env = make(counter())
    assert make(env) is env


class Strange(Likeness):
    def observation_space(self, params):
        return "everything"


@pytest.mark.parametrize(
    ("error", "message", "env", "params"),
    [
        (ValueError, "such as CartPole-v1.*, not 'CartPole-v0'", "CartPole-v0", {}),
        (ValueError, "one of Acrobot-v1, .*, not '!'", "!", {}),
        (ValueError, "downloads its images", "MNISTBandit-bsuite", {}),
        (TypeError, "not a int without step_env", 3, {}),
        (TypeError, "spaces must be Box or Discrete, not a str", Strange(), {}),
        (TypeError, "params must be empty .* not gravity", counter(), {"gravity": 1.0}),
        (ValueError, "gravty is not a .* such as gravity", "CartPole-v1", {"gravty": 1.0}),
        (ValueError, "type int as its default is, not 1.5", "CartPole-v1", {LIMIT: 1.5}),
        (ValueError, "max_steps_in_episode must be at least 1, not 0", "CartPole-v1", {LIMIT: 0}),
        (ValueError, "must have the shape", "CartPole-v1", {"gravity": jnp.ones(2)}),
        (ValueError, "gravity must be of numbers, not 'abc'", "CartPole-v1", {"gravity": "abc"}),
        (ValueError, "gravity must be of numbers, not None", "CartPole-v1", {"gravity": None}),
        (ValueError, "never reads it", "Asterix-MinAtar", {"shot_cool_down": 3}),
    ],
)
def test_bad_input_is_answered_in_one_sentence(error, message, env, params):
    with pytest.raises(error, match=message):
        make(env, **params)


@pytest.mark.parametrize(("name", "fields"), INERT.items())
def test_inert_parameters_are_still_inert(name, fields):
    """If gymnax starts to read them, the table has to go."""
    source, params = made(name)
    with jax.numpy_dtype_promotion("standard"):
        _, state = jax.eval_shape(source.reset_env, KEY, params)
        action = jax.ShapeDtypeStruct((), "int32")
        closed = jax.make_jaxpr(source.step_env)(KEY, state, action, params)
    paths = [path for path, _ in jax.tree_util.tree_leaves_with_path(params)]
    inputs = closed.jaxpr.invars[-len(paths) :]
    read = {id(var) for equation in closed.jaxpr.eqns for var in equation.invars}
    unread = {p[0].name for p, var in zip(paths, inputs, strict=True) if id(var) not in read}
    assert set(fields) <= unread


def test_importing_the_package_does_not_load_gymnax():
    code = "import sys, jaxrl.envs; assert 'gymnax' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_make_and_gymnax_env_agree():
    assert gymnax_env("CartPole-v1").spaces.action == make("CartPole-v1").spaces.action
