"""`make_train` and `evaluate`: what they refuse, and what users can put in and rely on."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import linen as nn

from jaxrl import evaluate, grid, make_train, zoo
from jaxrl.algorithms import ddpg, discrete_sac, dqn, grpo, ppo, reinforce, sac
from jaxrl.config import replace
from jaxrl.envs import PROBES, probe
from jaxrl.families.policy import ActorCritic
from jaxrl.networks import MLP, Network, memory, recurrent
from jaxrl.train import Carried, Evaluation
from jaxrl.types import Box
from tests.sentences import hold_sentence
from tests.zoo.worlds import drift

KEY = jax.random.key(0)
SMALL = ppo.Config(num_envs=4, num_steps=8, hidden_sizes=(8,), num_epochs=1, num_minibatches=1)
CARTPOLE = "CartPole-v1"


def made(config: Any = SMALL, env: Any = CARTPOLE, steps: Any = 100, **options: Any) -> Any:
    return make_train(config, env, steps, **options)


def ppo_with(networks: Any = None, **fields: Any) -> Any:
    return made(replace(SMALL, **fields), networks=networks)


def remembering(size: int) -> Network:
    return recurrent(MLP((4,)), memory("gru", 4), MLP((), final_size=size))


def evaluated(**options: Any) -> Any:
    state = jax.eval_shape(made().algorithm.init, KEY)
    return evaluate(SMALL, state, CARTPOLE, KEY, **options)


def sac_with(**fields: Any) -> Any:
    return sac.Config(hidden_sizes=(8,), **fields)


class Line(nn.Module):
    """The user's own network."""

    size: int

    @nn.compact
    def __call__(self, obs: Any) -> Any:
        return nn.Dense(self.size, name="only")(obs)


class Pair(nn.Module):
    """And one of observations and actions."""

    @nn.compact
    def __call__(self, pair: Any) -> Any:
        return nn.Dense(3)(jnp.concatenate(pair, -1))


ALONE, WIDE, PAIRED = ActorCritic(Line(2)), ActorCritic(None, Line(3)), ActorCritic(None, Pair())
BOX, WHOLE = (drift(Box(-1, 1, (2,), dtype)) for dtype in ("float32", "int32"))
MISTAKES = (
    (lambda: made("pppo"), "no algorithm 'pppo'", "ppo"),
    (lambda: made(3), "config must be an algorithm's name or configuration, not 3"),
    (lambda: made(ppo.Config), "config must be an algorithm's name or configuration"),
    (lambda: made(env="Cartpole"), "env must be", "CartPole-v1", "not 'Cartpole'"),
    (lambda: made(env=3), "env must be a name, an Env or an object with gymnax's interface"),
    (lambda: made("pqn", "Pendulum-v1", None), "pqn needs a Discrete action space, not Box"),
    (lambda: ppo_with(distribution="squashed_gaussian"), "ppo.distribution must be None", "squash"),
    (lambda: ppo_with(gamma=1.5), "ppo.gamma must be a number in [0, 1], not 1.5"),
    (lambda: ppo_with(clip_eps=-1), "ppo.clip_eps must be a number of at least 0, not -1"),
    (lambda: ppo_with(num_minibatches=3), "ppo.num_minibatches", "batch of 32, not 3"),
    (lambda: ppo_with(memory="gru", num_minibatches=8), "ppo.num_minibatches", "of 4, not 8"),
    (lambda: ppo_with(memory="gru", sequence_length=5), "ppo.sequence_length", "= 8, not 5"),
    (lambda: ppo_with(sequence_length=4), "ppo.sequence_length must be None where there is no"),
    (lambda: ppo_with(torso="cnn"), "torso 'cnn' needs images"),
    (lambda: made(grpo.Config(group_size=1)), "grpo.group_size must be at least 2", "not 1"),
    (lambda: made(grpo.Config(group_size=5)), "grpo.group_size must divide num_envs = 32, not 5"),
    (lambda: made(reinforce.Config(baseline="leave_one_out")), "reinforce.group_size", "not 1"),
    (lambda: made(grid(SMALL, lr=[1e-3, 1e-2])), "ppo.lr must be a number", "shape (2,)"),
    (lambda: made(steps=31), "total_steps must be at least one update", "= 32, not 31"),
    (lambda: made(steps=100.5), "total_steps must be an integer", "100.5"),
    (lambda: made(steps="many"), "total_steps must be an integer"),
    (lambda: made(evaluate_every=0), "evaluate_every must be an integer of at least 1, not 0"),
    (lambda: made(evaluate_every=0.5), "evaluate_every must be an integer of at least 1, not 0.5"),
    (lambda: made(num_eval_episodes=0), "num_eval_episodes must be an integer of at least 1"),
    (lambda: made(env_params={"foo": 1}), "foo is not a parameter of CartPole-v1"),
    (lambda: made(env=probe(PROBES["constant"]), env_params={"a": 1}), "params must be empty"),
    (
        lambda: made(sac_with(temperature=0.0), BOX, 2000),
        "sac.temperature must be above 0 where",
        "0.0",
    ),
    (
        lambda: made(discrete_sac.Config(temperature=0.0), steps=2000),
        "discrete_sac.temperature must be above 0 where it learns",
    ),
    (
        lambda: made(dqn.Config(target="munchausen", temperature=0.0), steps=2000),
        "dqn.temperature must be above 0 with target = 'munchausen', not 0.0",
    ),
    (
        lambda: made(dqn.Config(exploration="boltzmann", temperature=0.0), steps=2000),
        "dqn.temperature must be above 0 with exploration = 'boltzmann', not 0.0",
    ),
    (
        lambda: made(dqn.Config(huber_delta=0.0), steps=2000),
        "dqn.huber_delta must be above 0 with a scalar",
    ),
    (
        lambda: made(sac_with(num_gradients=80), BOX, 10**9),
        "total_steps must be less than 2^31 updates",
        "with 4000 gradient steps in each, not 1000000000",
    ),
    (lambda: made(ddpg.Config(), WHOLE, 2000), "box must be of floats for an actor", "not int32"),
    (
        lambda: made(dqn.Config(), steps=2000, networks=ALONE),
        "networks.actor must be None with dqn",
        "Line",
    ),
    (
        lambda: made("pqn", steps=2048, networks=ALONE),
        "networks.actor must be None with pqn",
        "Line",
    ),
    (
        lambda: jax.eval_shape(made(dqn.Config(), steps=2000, networks=WIDE), KEY),
        "networks must give 2 numbers of each observation, not 3",
    ),
    (
        lambda: jax.eval_shape(made(sac_with(), BOX, 2000, networks=PAIRED), KEY),
        "networks must give 1 numbers of each observation, not 3",
    ),
    (
        lambda: jax.eval_shape(made(networks=ActorCritic(Line(1))), KEY),
        "networks must give 2 numbers of each observation, not 1",
    ),
    (
        lambda: made(networks=ActorCritic(remembering(2))),
        "ppo.memory must be 'gru' or 'lstm' for networks that remember, not None",
    ),
    (
        lambda: ppo_with(memory="gru", networks=ActorCritic(Line(2), Line(1))),
        "ppo.memory must be None for networks that do not remember, not 'gru'",
    ),
    (lambda: made(networks=ActorCritic({})), "networks must be flax modules", "not a dict"),
    (lambda: evaluated(num_episodes=0), "num_episodes must be an integer of at least 1, not 0"),
    (lambda: evaluated(num_episodes=2.0), "num_episodes must be an integer of at least 1, not 2.0"),
    (lambda: evaluated(max_steps=0), "max_steps must be an integer of at least 1, not 0"),
    (lambda: evaluate(SMALL, {}, CARTPOLE, KEY), "state must be what training", "not a dict"),
    (lambda: made(networks=3), "networks must be an ActorCritic or None, not 3"),
    (lambda: made(optimizer=3), "optimizer must be a function", "not 3"),
)


@pytest.mark.parametrize(
    ("act", "words"),
    [(a, w) for a, *w in MISTAKES],
    ids=lambda x: str(x) if isinstance(x, list) else "",
)
def test_a_mistake_is_told_in_one_sentence_before_anything_compiles(act, words) -> None:
    with pytest.raises((TypeError, ValueError)) as error:
        act()
    hold_sentence(str(error.value), *words)


def near(tree: Any, other: Any) -> None:
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6), tree, other)


def test_traced_values_are_not_checked() -> None:
    jax.eval_shape(lambda config, key: made(config)(key), replace(SMALL, gamma=2.0), KEY)


def test_the_budget_is_whole_updates_and_reported() -> None:
    training = made(steps=100)
    assert (training.total_steps, training.num_updates) == (96, 3)
    assert made(steps=32).total_steps == 32
    state, metrics = jax.eval_shape(training, KEY)
    assert metrics["steps"].total.shape == (3,) and state.num_updates.shape == ()


def test_more_steps_are_counted_than_an_integer_holds() -> None:
    training = made(steps=3_000_000_000)
    state, metrics = training.begin(KEY)
    late = state._replace(num_updates=jnp.int32(training.num_updates))
    assert training.close(Carried(late, metrics))[1]["steps"].mean == 3e9


def test_a_state_goes_on_up_to_the_budget() -> None:
    training = made(steps=128)
    train = jax.jit(training)
    state, metrics = train(KEY)
    assert state.num_updates == 4 and metrics["steps"].mean.tolist() == [32, 64, 96, 128]
    half = jax.jit(training.window)(jax.jit(training.algorithm.init)(KEY), jnp.int32(2))[0]
    assert half.num_updates == 2
    on, metrics = train(KEY, half)
    assert on.num_updates == 4 and metrics["steps"].mean.tolist() == [64, 64, 96, 128]
    near(on.learner.params, state.learner.params)


@pytest.mark.parametrize("custom", [("actor",), ("critic",), ("actor", "critic")], ids=str)
def test_flax_modules_take_the_place_of_the_networks(custom: tuple[str, ...]) -> None:
    sizes = {"actor": 2, "critic": 1}
    networks = ActorCritic(*(Line(sizes[n]) if n in custom else None for n in sizes))
    training = made(networks=networks)
    state, _ = jax.eval_shape(training, KEY)
    for name, size in sizes.items():
        params = getattr(state.learner.params, name)
        assert (set(params) == {"only"}) is (name in custom)
        assert jax.tree.leaves(params)[0].shape[-1] == size or name not in custom
    result = jax.eval_shape(
        lambda s, k: evaluate(SMALL, s, CARTPOLE, k, 3, True, networks), state, KEY
    )
    assert result.episode_return.shape == (3,)


@pytest.mark.parametrize("config", [SMALL, dqn.Config(hidden_sizes=(8,))], ids=["ppo", "dqn"])
def test_networks_that_are_left_out_are_the_configuration_s(config) -> None:
    shapes = [
        jax.tree.map(jnp.shape, jax.eval_shape(training.algorithm.init, KEY).learner.params)
        for training in (made(config, steps=2000, networks=x) for x in (None, ActorCritic(None)))
    ]
    assert shapes[0] == shapes[1]


def test_an_optax_transformation_takes_the_place_of_the_optimiser() -> None:
    def still(config: Any, schedule: Any) -> optax.GradientTransformation:
        assert config is SMALL
        return optax.sgd(lambda count: 0.0 * schedule(count))

    training = made(optimizer=still)
    first = jax.jit(training.algorithm.init)(KEY)
    state, metrics = jax.jit(training.algorithm.update)(first)
    near(state.learner.params, first.learner.params)
    assert state.num_updates == 1 and metrics["grad_norm"].mean > 0


def test_ones_own_optimiser_learns_at_the_rates_of_the_usual_one() -> None:
    """Also where the actor learns less often: each optimiser counts its own steps."""

    def own(config: Any, schedule: Any) -> optax.GradientTransformation:
        bounded = optax.clip_by_global_norm(config.max_grad_norm)
        scaled = optax.scale_by_adam(eps=1e-5)
        return optax.chain(bounded, scaled, optax.scale_by_learning_rate(schedule))

    config = sac_with(policy_delay=2, anneal_lr=True, learning_starts=32, batch_size=8)
    config = replace(config, num_iterations=4, num_envs=2, num_gradients=2, capacity=128)
    usual, ours = (
        jax.jit(made(config, BOX, 32 + 5 * 8, optimizer=optimizer))(KEY)[0].learner
        for optimizer in (None, own)
    )
    near(ours.params, usual.params)
    near(ours.slots.log_temperature, usual.slots.log_temperature)


def test_parameters_of_the_environment_may_be_traced_and_vary() -> None:
    def lengths(limit: jax.Array, key: jax.Array) -> jax.Array:
        params = {"max_steps_in_episode": limit}
        return made(env_params=params)(key)[1]["episode_length"].mean

    measured = jax.jit(jax.vmap(lengths, (0, None)))(jnp.array([4, 8]), KEY)
    np.testing.assert_array_equal(measured, [[4.0] * 3, [8.0] * 3])


def played(row: str, seed: int = 0, **options: Any) -> Evaluation:
    """An untrained policy, played on a probe."""
    env = probe(PROBES[row])
    state = jax.jit(made(env=env).algorithm.init)(KEY)
    return jax.jit(lambda s, k: evaluate(SMALL, s, env, k, 64, **options))(
        state, jax.random.key(seed)
    )


def test_an_evaluation_plays_whole_episodes() -> None:
    result = played("time_limit")
    assert (result.episode_return == 4.0).all() and (result.episode_length == 4).all()
    assert result.finished.all()


def test_an_evaluation_that_is_cut_says_so() -> None:
    result = played("time_limit", max_steps=2)
    assert (result.episode_return == 2.0).all() and not result.finished.any()


def test_greedy_acting_takes_one_action_and_sampling_all() -> None:
    assert len(set(played("action").episode_return.tolist())) == 1
    assert set(played("action", greedy=False).episode_return.tolist()) == {-1.0, 1.0}


def test_an_evaluation_depends_on_its_key_alone() -> None:
    one, again, other = (played("match", seed, greedy=False) for seed in (0, 0, 1))
    np.testing.assert_array_equal(one.episode_return, again.episode_return)
    assert (one.episode_return != other.episode_return).any()


def test_evaluations_change_nothing_in_training() -> None:
    state, metrics = jax.jit(made(evaluate_every=32, num_eval_episodes=5))(KEY)
    plain, _ = jax.jit(made())(KEY)
    near(state.learner, plain.learner)
    assert metrics["eval_return"].count.tolist() == [5.0] * 3
    assert (jax.random.key_data(state.key) == jax.random.key_data(plain.key)).all()


def test_a_name_is_evaluated_with_the_settings_it_was_trained_with() -> None:
    env, config = "MountainCarContinuous-v0", zoo.tuned("ppo", "MountainCarContinuous-v0")[0]
    state = jax.jit(make_train("ppo", env).algorithm.init)(KEY).learner
    seen = state.slots.obs._replace(mean=jnp.array([0.3, -0.2]))
    state = state._replace(slots=state.slots._replace(obs=seen))
    named, given, other = (
        evaluate(c, state, env, KEY, 2, max_steps=3).episode_return
        for c in ("ppo", config, replace(config, normalise_obs=False, normalise_reward=False))
    )
    np.testing.assert_array_equal(named, given)
    assert (named != other).all()


def test_a_learner_state_alone_can_be_evaluated() -> None:
    state = jax.jit(made().algorithm.init)(KEY)
    whole, alone = (
        evaluate(SMALL, s, CARTPOLE, KEY, 2, max_steps=20) for s in (state, state.learner)
    )
    np.testing.assert_array_equal(whole.episode_return, alone.episode_return)
