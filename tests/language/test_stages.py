"""Losses of SFT, reward models, PPO and preferences against their oracles; what cannot matter."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

from jaxrl.algorithms import lm_ppo
from jaxrl.algorithms.lm_reward import accuracy
from jaxrl.families.rlhf import arranged
from jaxrl.language_zoo import LANGUAGE
from jaxrl.text import Answers, Prompts, Response
from jaxrl.types import LearnerState
from tests.language import batches, stages
from tests.language.oracle import METHODS as GROUP_METHODS
from tests.language.oracle_stages import METHODS, VARIANTS, Facts, margin
from tests.language.test_losses import spoiled

STEP = 1e-5
ORACLES = METHODS | VARIANTS


@functools.cache
def results():
    return stages.evaluated()


def wide(params):
    return jax.tree.map(lambda x: np.asarray(x, np.float64), params)


def direction(name):
    """Parameters along which to step."""
    return wide(stages.learnt(name, 7))


def facts(name, step=0.0):
    params, before = (wide(stages.learnt(name, seed)) for seed in (1, 0))
    moved = jax.tree.map(lambda x, d: x + step * d, params, direction(name))
    # KTO's reference point is of the policy that learns, but is not differentiated.
    now = params if name == "lm_kto" else before
    return Facts(moved, now, batches.policies()[2], batches.answers(), batches.TEMPERATURE)


def test_every_method_has_an_oracle():
    assert set(METHODS) | set(GROUP_METHODS) == set(LANGUAGE)


@pytest.mark.parametrize("case", ORACLES)
def test_value_and_gradient_are_the_oracles(case):
    name = stages.CASES[case][0]
    (value, numbers), gradient = results()[case]
    np.testing.assert_allclose(value, ORACLES[case](facts(name)), rtol=2e-5, atol=2e-6)
    forward, back = (ORACLES[case](facts(name, step)) for step in (STEP, -STEP))
    along = ravel_pytree(direction(name))[0]
    slope = np.vdot(ravel_pytree(gradient)[0], along)
    np.testing.assert_allclose(slope, (forward - back) / (2 * STEP), rtol=3e-4, atol=3e-5)
    assert np.isfinite(numbers).all()


def test_the_bounds_bind_here():
    """Else the oracles would not tell a clip, a hinge or a reference point from none."""
    _, numbers = results()["lm_ppo"][0]
    assert 0.02 < numbers[4] < 0.9
    x = facts("lm_kto")
    assert x.drift() > 0.01
    assert 0 < sum(margin(x) > 0) < x.useful.sum() == 3
    assert (x.reward > 1.5).any()  # the score's


@pytest.mark.parametrize("name", stages.SPLIT)
def test_parts_of_a_batch_add_up_to_its_gradient(name):
    parts, whole = (ravel_pytree(results()[x])[0] for x in (f"{name} in parts", name))
    assert np.linalg.norm(parts - whole) <= 2e-6 * np.linalg.norm(whole)


def test_what_is_masked_cannot_matter():
    plain, spoilt = map(stages.evaluated, spoiled())
    for case in plain:
        x, y = (ravel_pytree(results[case])[0] for results in (plain, spoilt))
        assert np.isfinite(x).all(), case
        np.testing.assert_allclose(x, y, rtol=1e-6, atol=1e-7, err_msg=case)


def test_rewards_that_scores_stand_for_are_told():
    (_, numbers), _ = results()["lm_dpo"]
    x = facts("lm_dpo")
    chosen, rejected = x.pair(0.1 * (x.total(x.params) - x.total(x.reference)))
    wanted = [chosen.sum(), rejected.sum(), (chosen - rejected).sum(), (chosen > rejected).sum()]
    np.testing.assert_allclose(numbers[1:5], wanted, rtol=1e-4, atol=1e-6)
    assert numbers[5] == len(chosen)


class OneResponse:
    """A response of four tokens, of which everything is known."""

    old, ref = (-1.0, -2.0, -0.5, -1.2), (-1.1, -1.8, -0.9, -1.0)
    value = (0.1, 0.2, 0.3, 0.4)

    def __init__(self):
        shape = (4, 1, 1)
        old, ref, value = (jnp.array(x).reshape(shape) for x in (self.old, self.ref, self.value))
        mask, ended = jnp.ones(shape, bool), jnp.ones((1, 1), bool)
        said = Response(jnp.zeros(shape, jnp.int32), mask, old, ended)
        one = jnp.zeros((1, 1), jnp.int32)
        prompts = Prompts(one, one == 0, one[0])
        self.data = Answers(prompts, said, jnp.ones((1, 1)), None, None, None, jnp.ones(1, bool))
        config = lm_ppo.Config(num_prompts=1, group_size=1, num_minibatches=1, ddof=1)
        parts = lm_ppo.parts(config, stages.SETTING)
        voice = parts.voice._replace(read=lambda params, text: (ref, ref))
        critic = parts.critic._replace(value=lambda params, text: params * value)
        self.parts = parts._replace(voice=voice, critic=critic)
        self.program = jax.jit(self.learnt)

    def learnt(self, score, coef, scale, lam, bound):
        parts = self.parts._replace(lam=lam, score_clip=bound)
        state = LearnerState({"critic": scale}, (), jnp.int32(0), (), coef)
        data = self.data._replace(reward=score[None, None])
        batch, kl = arranged(parts, state, data)
        raw = batch.target - batch.old_value
        return *(x[0, :, 0] for x in (batch.advantage, raw, batch.target)), kl

    def __call__(self, *numbers):
        return self.program(*map(jnp.float32, numbers))


@pytest.fixture(scope="module")
def one_response():
    return OneResponse()


def test_worked_numbers_of_rlhf(one_response):
    whitened, advantage, target, kl = one_response(7.0, 0.1, 1.0, 0.95, 5.0)
    np.testing.assert_allclose(advantage, [4.2192225, 4.34655, 4.449, 4.62], rtol=1e-6)
    np.testing.assert_allclose(target, [4.3192225, 4.54655, 4.749, 5.02], rtol=1e-6)
    np.testing.assert_allclose(whitened, [-1.118825, -0.366955, 0.238012, 1.247768], rtol=1e-5)
    np.testing.assert_allclose(kl, 0.1 - 0.2 + 0.4 - 0.2, rtol=1e-5)


def test_a_fraction_of_a_score_survives(one_response):
    _, advantage, target, _ = one_response(0.7, 0.0, 0.0, 1.0, np.inf)
    np.testing.assert_array_equal(advantage, np.full(4, np.float32(0.7)))
    np.testing.assert_array_equal(target, advantage)


def test_the_price_of_the_kl_is_fixed_or_follows_a_target():
    fixed = lm_ppo.adapted(lm_ppo.Config(), jnp.float32(0.05), jnp.float32(3.0), 64.0)
    assert fixed == np.float32(0.05)
    config = lm_ppo.Config(target_kl=6.0, kl_horizon=640.0)
    moved = lm_ppo.adapted(config, jnp.float32(0.05), jnp.float32(6.6), 64.0)
    np.testing.assert_allclose(moved, 0.05 * (1 + 0.1 * 0.1), rtol=1e-6)


def test_accuracy_is_the_share_of_pairs_in_their_order():
    score = jnp.array([[3.0, 2.0, 1.0], [1.0, 2.0, 3.0], [2.0, 3.0, 1.0], [0.0, 0.0, 0.0]])
    reward = jnp.array([[1.0, 0.0, 0.0], [2.0, 1.0, 0.0], [2.0, 1.0, 0.0], [1.0, 0.0, 0.0]])
    np.testing.assert_allclose(accuracy(score, reward), [1.0, 0.0, 2 / 3, 0.0], rtol=1e-6)
