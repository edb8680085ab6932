"""Cloning: its losses against float64, who acts, and what is learnt from."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrl.algorithms import cloning
from jaxrl.config import replace
from jaxrl.families.settings import Setting
from jaxrl.types import Box, Discrete, MaskedObs, MultiDiscrete, Spaces
from tests.families import drift, oracle, replayed
from tests.families.replayed import BOX, Sample
from tests.oracles import imitation

CHOICE, SEVERAL = Discrete(3), MultiDiscrete((2, 3))
SMALL = {
    "num_envs": 2,
    "hidden_sizes": (5,),
    "activation": "tanh",
    "lr": 0.1,
    "max_grad_norm": 1e9,
    "exploration_fraction": 0.5,
}


def made(space, expert=None, **changes):
    """A small learner whose parameters stay and whose state is the gradients' sum."""
    spaces = Spaces(Box(-jnp.inf, jnp.inf, (3,)), space)
    config = replace(cloning.Config(), **(SMALL | changes))
    return cloning.learner(config, Setting(spaces, 10, None, drift.recorder, expert))


def rows(space, masked=False):
    """Rows of replay, of which those of several choices are made here."""
    found = replayed.sample(CHOICE if space is SEVERAL else space, masked)
    if space is SEVERAL:
        luck = np.random.default_rng(8)
        several = luck.integers(0, (2, 3), (replayed.NUM_ROWS, 2), dtype=np.int32)
        return found._replace(data=found.data._replace(action=jnp.asarray(several)))
    return found


def state_of(learner, sample):
    state = learner.init(jax.random.key(0), sample.data.obs)
    return state._replace(params=drift.moved(state.params, 1, 0.5))


def losses(params, space, obs, label, legal=None):
    """Each row's loss, in float64."""
    output = oracle.mlp(params, obs)
    if space is BOX:
        return imitation.squared_cloning_loss(np.tanh(output), replayed.unit(label))
    if space is SEVERAL:
        parts = zip(np.split(output, [2], -1), np.asarray(label).T, strict=True)
        return sum(imitation.cloning_loss(*part) for part in parts)
    logits = output if legal is None else np.where(legal, output, -1e30)
    return imitation.cloning_loss(logits, label)


@pytest.mark.parametrize("labels", ["done", "asked"])
@pytest.mark.parametrize(
    ("space", "masked"), [(CHOICE, False), (CHOICE, True), (SEVERAL, False), (BOX, False)]
)
def test_one_gradient(space, masked, labels):
    learner, sample = made(space, labels=labels), rows(space, masked)
    state, data = state_of(learner, sample), sample.data
    label = data.action
    if labels == "asked":  # what was done is then no matter
        data = data._replace(action=jnp.zeros_like(label), extras=label)
    found = learner.update(None, state, Sample(data, sample.index, sample.weight))
    new, metrics, priority = found
    params, weight = oracle.wide(state.params), np.asarray(sample.weight, np.float64)
    shown = np.asarray(data.obs.obs if masked else data.obs, np.float64)
    legal = data.obs.action_mask if masked else None

    def loss(p):
        return (weight * losses(p, space, shown, np.asarray(label), legal)).mean()

    oracle.same(new.opt_state, oracle.slope(loss, params))
    each = losses(params, space, shown, np.asarray(label), legal)
    np.testing.assert_allclose(priority, each, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(metrics["cloning_loss"].mean, loss(params), rtol=1e-4)
    assert new.num_updates == 1


def test_rows_that_do_not_count_teach_nothing():
    learner, sample = made(BOX), rows(BOX)
    wild = sample.data._replace(action=sample.data.action.at[3].set(0.7))
    weight = sample.weight.at[3].set(0.0)
    state = state_of(learner, sample)
    one, other = (
        learner.update(None, state, Sample(data, sample.index, weight))[0].opt_state
        for data in (sample.data, wild)
    )
    jax.tree.map(np.testing.assert_array_equal, one, other)


def test_agreement_is_the_share_of_rows_in_which_the_expert_would_do_the_same():
    learner, sample = made(CHOICE), rows(CHOICE)
    state = state_of(learner, sample)
    own = learner.act(state, sample.data.obs, None, ())[0]
    label = own.at[:3].set((own[:3] + 1) % 3)
    data = sample.data._replace(action=label)
    metrics = learner.update(None, state, Sample(data, sample.index, sample.weight))[1]
    assert metrics["agreement"].mean == pytest.approx(1 - 3 / replayed.NUM_ROWS)


def second(obs):
    """An expert who always does the same."""
    return jnp.full(len(obs), 2, jnp.int32)


def test_whoever_clones_lets_the_expert_act_and_alone_acts_greedily():
    learner, sample = made(CHOICE, second), rows(CHOICE)
    state, obs = state_of(learner, sample), sample.data.obs
    noise = learner.noise(jax.random.key(1), (len(obs),))
    action, extras, _ = learner.act(state, obs, noise, ())
    np.testing.assert_array_equal(action, 2)
    assert extras == ()
    own = learner.act(state, obs, None, ())[0]
    output = oracle.mlp(oracle.wide(state.params), np.float64(obs))
    np.testing.assert_array_equal(own, output.argmax(-1))
    assert (own != 2).any()


@pytest.mark.parametrize(("num_updates", "share"), [(0, 0.8), (2, 0.5), (5, 0.05), (9, 0.05)])
def test_dagger_asks_about_every_state_and_lets_the_expert_act_ever_less(num_updates, share):
    learner = made(CHOICE, second, labels="asked", expert_share=0.8, expert_share_end=0.05)
    obs = jax.random.normal(jax.random.key(2), (4000, 3))
    state = learner.init(jax.random.key(0), obs)
    state = state._replace(params=drift.moved(state.params, 4), num_updates=jnp.int32(num_updates))
    noise = learner.noise(jax.random.key(1), (len(obs),))
    action, label, _ = learner.act(state, obs, noise, ())
    np.testing.assert_array_equal(label, 2)
    own = learner.act(state, obs, None, ())[0]
    free = own != 2
    assert free.sum() > 500
    assert abs(float((action[free] == 2).mean()) - share) < 0.05
    assert ((action == own) | (action == 2)).all()


def test_actions_in_a_box_are_its_own_shape_and_inside():
    learner, sample = made(BOX), rows(BOX)
    state = state_of(learner, sample)
    action = learner.act(state, sample.data.obs, None, ())[0]
    unit = np.tanh(oracle.mlp(oracle.wide(state.params), np.float64(sample.data.obs)))
    expected = replayed.LOW + (replayed.HIGH - replayed.LOW) * (unit + 1) / 2
    np.testing.assert_allclose(action, expected, rtol=1e-4, atol=1e-5)


def test_illegal_actions_are_not_chosen():
    learner, sample = made(CHOICE), rows(CHOICE)
    state, obs = state_of(learner, sample), sample.data.obs
    own = learner.act(state, obs, None, ())[0]
    legal = jnp.asarray(np.arange(3) != np.asarray(own)[:, None])
    assert (learner.act(state, MaskedObs(obs, legal), None, ())[0] != own).all()
