"""Curiosity against float64: what it pays, what it learns, and what it leaves alone."""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrl import make_train
from jaxrl.algorithms import a2c, dqn, ppo, reinforce
from jaxrl.config import replace
from jaxrl.envs import ProbeRow, probe
from jaxrl.families.curious import Seen, curious, icm, rnd
from jaxrl.families.normalise import normalised
from jaxrl.networks import content
from jaxrl.types import Box, Discrete, MultiDiscrete
from tests.compiler import SOME
from tests.families import drift, oracle
from tests.oracles import exploration
from tests.sentences import hold_sentence
from tests.zoo.cases import small, training, world
from tests.zoo.trees import assert_same

GAMMA, SHARE, COEF = 0.8, 0.3, 0.7
SPACES = {
    "choices": Discrete(3),
    "several choices": MultiDiscrete((2, 3)),
    "box": Box(jnp.array([-1.0, 0.0]), jnp.array([1.0, 4.0]), (2,)),
}
CONFIG = a2c.Config(
    num_envs=drift.NUM_ENVS,
    num_steps=drift.NUM_STEPS,
    hidden_sizes=(5,),
    gamma=GAMMA,
    curiosity_coef=COEF,
    curiosity_lr=1e-2,
    feature_size=4,
    forward_share=SHARE,
    max_grad_norm=math.inf,
)
MAKE = {"icm": icm, "rnd": rnd}
CASES = [("icm", space, False) for space in SPACES] + [("rnd", "choices", False)]
CASES += [(kind, "choices", True) for kind in MAKE]


def configured(kind, whole=False):
    if not whole:
        return replace(CONFIG, curiosity=kind)
    shared = {"num_envs", "num_steps", "hidden_sizes", "gamma", "feature_size", "max_grad_norm"}
    shared |= {"curiosity_coef", "curiosity_lr", "forward_share"}
    own = {name: getattr(CONFIG, name) for name in shared}
    return replace(reinforce.Config(), curiosity=kind, **own)


@functools.cache
def scene(kind, space="choices", whole=False):
    """A curious learner that hands on what it is fed, its state with moved networks, a rollout."""
    config = configured(kind, whole)
    env = drift.drift(SPACES[space], masked=space == "choices")
    setting = drift.setting(env)
    module = reinforce if whole else a2c
    learner = curious(config, setting, drift.observer(module.learner(config, setting)))
    state, rollout = drift.played(env, learner, whole)
    # What drift plays with is `observer` of this learner: curiosity has learnt nothing yet.
    moved = state.slots._replace(params=drift.moved(state.slots.params))
    return learner, state._replace(slots=moved), rollout


def valid(rollout):
    shape = rollout.transition.reward.shape
    return np.ones(shape, bool) if rollout.mask is None else np.asarray(rollout.mask)


def shown(action, space):
    """An action as numbers."""
    if isinstance(space, Discrete):
        return np.eye(space.num_values)[action]
    if isinstance(space, MultiDiscrete):
        return np.concatenate([np.eye(n)[action[..., i]] for i, n in enumerate((2, 3))], -1)
    low, high = np.asarray(space.low, np.float64), np.asarray(space.high, np.float64)
    return 2 * (action - low) / (high - low) - 1


def unguessed(guess, action, space):
    """The inverse loss of each step."""
    if isinstance(space, Discrete):
        return exploration.icm_inverse_loss(guess, action)
    if isinstance(space, MultiDiscrete):
        first = exploration.icm_inverse_loss(guess[..., :2], action[..., 0])
        return first + exploration.icm_inverse_loss(guess[..., 2:], action[..., 1])
    return exploration.icm_forward_loss(guess, shown(action, space))


def of_icm(params, rollout, space):
    """Forward and inverse losses of each step."""
    steps = rollout.transition
    obs, reached = (np.asarray(content(x), np.float64) for x in (steps.obs, steps.next_obs))
    action = np.asarray(steps.action)
    before, after = (oracle.mlp(params.encoder, x) for x in (obs, reached))
    known = np.concatenate([before, shown(action, space)], -1)
    error = exploration.icm_forward_loss(oracle.mlp(params.forward, known), after)
    guess = oracle.mlp(params.inverse, np.concatenate([before, after], -1))
    return {"forward_loss": error, "inverse_loss": unguessed(guess, action, space)}


def of_rnd(params, fixed, rollout, rows):
    """The imitator's loss of each step, after `rows` of observations were seen."""
    reached = np.asarray(content(rollout.transition.next_obs), np.float64)
    mean, var = moments(rows)
    reached = np.clip((reached - mean) / np.sqrt(var + 1e-8), -5, 5)
    error = exploration.rnd_error(oracle.mlp(params, reached), oracle.mlp(fixed, reached))
    return {"forward_loss": error}


def moments(rows):
    """Behind a prior of 1e-4 rows of mean 0 and variance 1."""
    total = len(rows) + 1e-4
    mean = rows.sum(0) / total
    return mean, (1e-4 * (1 + mean**2) + ((rows - mean) ** 2).sum(0)) / total


def sums(error, rollout, carried):
    """Discounted sums so far at each step, and what is carried on."""
    done, mask, rows = np.asarray(rollout.transition.done), valid(rollout), []
    for t in range(len(done)):
        for n in range(done.shape[1]):
            carried[n] = GAMMA * carried[n] + error[t, n]
            if mask[t, n]:
                rows.append(carried[n])
            if done[t, n]:
                carried[n] = 0.0
    if rollout.mask is not None:
        carried[:] = 0.0
    return rows


@pytest.mark.parametrize(("kind", "space", "whole"), CASES)
def test_rewards_and_losses_over_two_updates(kind, space, whole):
    learner, state, rollout = scene(kind, space, whole)
    mask, update = valid(rollout), jax.jit(learner.update)
    assert whole != mask.all()
    seen = np.asarray(content(rollout.transition.next_obs), np.float64)[mask]
    carried, paid = np.zeros(drift.NUM_ENVS), []
    for number in (1, 2):
        params = oracle.wide(state.slots.params)
        fixed = oracle.wide(state.slots.fixed)
        if kind == "icm":
            losses = of_icm(params, rollout, SPACES[space])
        else:
            losses = of_rnd(params, fixed, rollout, np.concatenate([seen] * number))
        error = np.where(mask, losses["forward_loss"], 0.0)
        paid += sums(error, rollout, carried)
        expected = COEF * error / np.sqrt(moments(np.array(paid))[1] + 1e-8)
        state, metrics = update(jax.random.key(number), state, rollout)
        extra = metrics["rollout"].transition.reward - rollout.transition.reward
        np.testing.assert_allclose(extra, expected, rtol=2e-4, atol=2e-5)
        near = functools.partial(np.testing.assert_allclose, rtol=1e-4)
        near(metrics["intrinsic_reward"].mean, expected[mask].mean())
        for name, each in losses.items():
            near(metrics[name].mean, each[mask].mean())
    assert_same(metrics["rollout"]._replace(transition=rollout.transition), rollout)


def test_what_is_paid_for_is_what_was_reached_before_any_reset():
    """Shown what stands after resets, ICM pays otherwise where an episode ended, and only there."""
    learner, state, rollout = scene("icm")
    steps, update = rollout.transition, jax.jit(learner.update)
    done = np.asarray(steps.done)[:-1]
    assert done.sum() > 3 and np.asarray(steps.truncated).sum() > 3

    def paid(next_obs):
        shown = rollout._replace(transition=steps._replace(next_obs=next_obs))
        _, metrics = update(jax.random.key(0), state, shown)
        return np.asarray(metrics["rollout"].transition.reward - steps.reward)[:-1]

    resets = jax.tree.map(lambda x, y: x.at[:-1].set(y[1:]), steps.next_obs, steps.obs)
    ratio = paid(resets) / paid(steps.next_obs)
    same = ratio[~done][0]  # of the running deviations
    np.testing.assert_allclose(ratio[~done], same, rtol=1e-2)
    assert (np.abs(ratio[done] / same - 1) > 1e-2).all()


@pytest.mark.parametrize("space", SPACES)
def test_icm_follows_the_gradient_of_both_losses(space):
    learner, state, rollout = scene("icm", space)
    start = state.slots.params
    ours, _ = jax.jit(learner.update)(jax.random.key(0), state, rollout)

    def loss(params):
        losses = of_icm(params, rollout, SPACES[space])
        return (1 - SHARE) * losses["inverse_loss"].mean() + SHARE * losses["forward_loss"].mean()

    stepped(start, ours.slots.params, oracle.slope(loss, oracle.wide(start)))
    for share, still in ((0.0, "forward"), (1.0, "inverse")):
        gradient = of_share(share, space, rollout, start)
        for name in start._fields:
            size = np.abs(oracle.flat(getattr(gradient, name))).max()
            assert (size == 0) == (name == still)


def of_share(share, space, rollout, params):
    """ICM's gradient at another share of the forward loss."""
    config = replace(CONFIG, curiosity="icm", forward_share=share)
    made = icm(config, drift.drift(SPACES[space]).spaces)
    steps = rollout.transition
    seen = Seen(content(steps.obs), steps.action, content(steps.next_obs), None)
    flat = jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), seen)
    loss = made.reported(()).loss
    return jax.jit(jax.grad(lambda p: loss(p, flat)[0]))(params)


def stepped(before, after, gradient):
    """Assert that parameters made Adam's first step, which is of length lr, down a gradient."""
    moved, clear = oracle.flat(after) - oracle.flat(before), np.abs(gradient) > 1e-5
    assert clear.sum() > 20
    np.testing.assert_allclose(moved[clear], -1e-2 * np.sign(gradient[clear]), rtol=2e-2)


def test_rnd_moves_the_imitator_alone():
    learner, state, rollout = scene("rnd")
    rows = np.asarray(content(rollout.transition.next_obs), np.float64).reshape(-1, 3)
    fixed = oracle.wide(state.slots.fixed)
    new, _ = jax.jit(learner.update)(jax.random.key(0), state, rollout)

    def loss(params):
        return of_rnd(params, fixed, rollout, rows)["forward_loss"].mean()

    stepped(
        state.slots.params, new.slots.params, oracle.slope(loss, oracle.wide(state.slots.params))
    )
    assert_same(new.slots.fixed, state.slots.fixed)
    assert_same((new.params, new.opt_state, new.slots.slots), (state.params, *state[1:2], ()))


@pytest.mark.parametrize("kind", MAKE)
def test_what_is_masked_changes_nothing_even_if_it_is_nan(kind):
    learner, state, rollout = scene(kind, whole=True)
    mask, steps = rollout.mask, rollout.transition

    def spoilt(tree):
        return jax.tree.map(
            lambda x: jnp.where(mask[..., None], x, jnp.nan) if x.dtype == jnp.float32 else x, tree
        )

    bad = steps._replace(obs=spoilt(steps.obs), next_obs=spoilt(steps.next_obs))
    update = jax.jit(learner.update)
    (clean, one), (other, two) = (
        update(jax.random.key(0), state, rollout._replace(transition=x)) for x in (steps, bad)
    )
    assert_same(other, clean)
    fed = two["rollout"].transition.reward
    assert_same(fed, one["rollout"].transition.reward)
    np.testing.assert_array_equal(fed[~mask], steps.reward[~mask])
    assert clean.slots.returns.moments.count == pytest.approx(float(mask.sum()), rel=1e-5)


def test_without_curiosity_nothing_changes():
    learner = a2c.learner(CONFIG, drift.setting(drift.drift()))
    assert curious(CONFIG, drift.setting(drift.drift()), learner) is learner
    config = small("ppo")
    init = training(config, world(config)).algorithm.init
    assert jax.eval_shape(init, jax.random.key(0)).learner.slots == ()


@pytest.mark.parametrize("kind", MAKE)
def test_a_reward_that_is_not_finite_is_refused_as_a_whole(kind):
    config = small("ppo", curiosity=kind, curiosity_coef=math.inf)
    train = training(config, world(config))
    first = jax.jit(train.algorithm.init)(jax.random.key(0))
    state, metrics = jax.jit(train.algorithm.update)(first)
    assert state.bad_update == 0 and metrics["refused"].mean == 1
    assert_same(state.learner, first.learner)
    assert np.isfinite(metrics["episode_return"].mean)


@pytest.mark.parametrize("kind", MAKE)
def test_the_scaled_reward_of_the_environment_has_no_part_in_it(kind):
    """Curiosity is paid on top of the normalised reward, and sees normalised observations."""
    changes = {"curiosity": kind, "normalise_obs": True, "normalise_reward": True}
    config = replace(CONFIG, **changes)
    env = drift.drift()
    setting = drift.setting(env)
    spy = drift.observer(a2c.learner(config, setting))
    plain, made = normalised(config, spy), normalised(config, curious(config, setting, spy))
    state, rollout = drift.played(env, made)
    fed, alone = (
        jax.jit(x.update)(jax.random.key(0), begun, rollout)
        for x, begun in ((made, state), (plain, without(state)))
    )
    assert_same(without(fed[0]), alone[0])
    steps, bare = (x[1]["rollout"].transition for x in (fed, alone))
    assert_same((steps.obs, steps.next_obs), (bare.obs, bare.next_obs))
    assert (steps.reward > bare.reward).all()


def without(state):
    """The state of a normalised learner without the slots of curiosity."""
    return state._replace(slots=state.slots._replace(slots=()))


BAD = (
    ({"curiosity": "icm", "curiosity_minibatches": 5}, "ppo.curiosity_minibatches must divide"),
    ({"curiosity": "art"}, "ppo.curiosity must be one of 'icm', 'rnd' or None, not 'art'"),
    ({"curiosity": "rnd", "forward_share": 1.5}, "ppo.forward_share must be a number in [0, 1]"),
    ({"curiosity": "rnd", "feature_size": 0}, "ppo.feature_size must be an integer of at least 1"),
)


@pytest.mark.parametrize(("changes", "words"), BAD, ids=str)
def test_a_bad_setting_is_one_sentence(changes, words):
    config = small("ppo", **changes)
    with pytest.raises(ValueError) as error:
        training(config, world(config))
    hold_sentence(str(error.value), words)


def test_what_cannot_be_curious_says_so():
    with pytest.raises(ValueError) as error:
        replace(dqn.Config(), curiosity="icm")
    hold_sentence(str(error.value), "curiosity", "dqn")
    boundless = drift.drift(Box(-jnp.inf, jnp.inf, (2,)))
    with pytest.raises(ValueError) as error:
        training(small("ppo", curiosity="icm"), boundless)
    hold_sentence(str(error.value), "box must have finite bounds")
    assert training(small("ppo", curiosity="rnd"), boundless).num_updates


CHAIN = probe(ProbeRow(length=14, clock=True, chain=1.0, cost=0.01))
"""Pays 1 for 14 costly actions in a row, which chance takes once in 16,384 episodes."""


@functools.cache
def found(kind):
    """The last returns of PPO, from three seeds; 0.86 is the best."""
    config = ppo.Config(
        num_steps=64,
        lr=1e-3,
        anneal_lr=False,
        hidden_sizes=(32,),
        curiosity=kind,
        curiosity_coef=0.3,
    )
    train = jax.vmap(make_train(config, CHAIN, 60_000))
    keys = jax.random.split(jax.random.key(0), 3)
    _, metrics = jax.jit(train, compiler_options=SOME)(keys)
    return np.asarray(metrics["episode_return"].mean)[:, -1]


@pytest.mark.slow
def test_curiosity_finds_what_chance_does_not():
    assert (found(None) < 0.01).all()
    for kind in MAKE:
        assert (found(kind) > 0.8).all(), kind
