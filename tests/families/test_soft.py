"""SAC, discrete SAC and REDQ: every part against float64."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrl.algorithms import discrete_sac, sac
from jaxrl.families.critics import Jury, drawn, least
from jaxrl.families.soft import reparameterised
from jaxrl.families.temperature import learnt_temperature
from jaxrl.families.value_head import scalar_head
from jaxrl.networks import content, distribution
from jaxrl.optim.optimizer import Optimizer, linear
from jaxrl.types import Box, Discrete
from tests.families import drift, oracle, replayed
from tests.oracles import value_targets

ALPHA = 0.3
FIXED = {"learn_temperature": False, "temperature": ALPHA}
HALF = (replayed.HIGH - replayed.LOW) / 2


def squashed(output, noise):
    """A squashed Gaussian's action between −1 and 1, and the log-density of it in its box."""
    mean, log_std = np.split(output, 2, -1)
    log_std = np.clip(log_std, -5, 2)
    unit = np.tanh(mean + np.exp(log_std) * noise)
    normal = -0.5 * noise**2 - log_std - 0.5 * np.log(2 * np.pi)
    return unit, (normal - np.log(HALF * (1 - unit**2))).sum(-1)


def value(unit):
    """What a critic that is no network thinks."""
    return np.sin(unit) @ [2.0, 1.0]


def conducted():
    """SAC's conduct, random outputs and noise of it, and the critic of `value`."""
    output, noise = (np.random.default_rng(1).normal(size=(replayed.NUM_ROWS, n)) for n in (4, 2))

    def ask(action):
        unit = (
            2
            * (action - replayed.LOW.astype(np.float32)[None])
            / (2 * HALF).astype(np.float32)[None]
            - 1
        )
        return (jnp.sin(unit) * jnp.asarray([[2.0, 1.0]])).sum(-1)

    return reparameterised(distribution(replayed.BOX, "squashed_gaussian")), ask, output, noise


def test_target_has_the_density_of_the_action_in_its_box():
    conduct, ask, output, noise = conducted()
    data = replayed.sample().data
    target = conduct.target(
        scalar_head(1.0),
        lambda action: ask(action)[:, None],
        jnp.float32(output),
        jnp.float32(noise),
        data,
        jnp.float32(ALPHA),
    )
    unit, log_prob = squashed(output, noise)
    x = oracle.wide(data)
    expected = value_targets.sac_target(x.reward, value(unit), log_prob, x.discount, ALPHA)
    np.testing.assert_allclose(target[:, 0], expected, rtol=1e-4, atol=1e-5)


def test_actor_gradient_passes_through_the_action():
    conduct, ask, output, noise = conducted()

    def loss(output):
        rows, log_prob = conduct.loss(ask, output, jnp.float32(noise), jnp.float32(ALPHA))
        return rows.sum(), log_prob

    def expected(output):
        unit, log_prob = squashed(output, noise)
        return value_targets.sac_actor_loss(log_prob, value(unit), ALPHA).sum()

    slope, log_prob = jax.grad(loss, has_aux=True)(jnp.float32(output))
    np.testing.assert_allclose(log_prob, squashed(output, noise)[1], rtol=1e-4, atol=1e-5)
    oracle.same(slope, oracle.slope(expected, output))


def test_a_step_of_sac():
    made = replayed.learner(sac, **FIXED)
    sample, key = replayed.sample(), jax.random.key(1)
    state = replayed.started(made, sample.data.obs)
    new, metrics, _ = replayed.taught(made)(key, state, sample)
    params, target, x = (oracle.wide(t) for t in (state.params, state.target, sample.data))
    k_target, k_actor = jax.random.split(key)  # as the learner divides its key
    keys = jax.random.split(k_target)[0], k_actor
    next_noise, noise = (oracle.wide(made.noise(k, (replayed.NUM_ROWS,))) for k in keys)
    assert state.target.actor == () and np.abs(next_noise - noise).min() > 1e-6

    def least(critic, obs, unit):
        return replayed.q(critic, obs, unit)[..., 0].min(0)

    unit, log_prob = squashed(oracle.mlp(params.actor, x.next_obs), next_noise)
    y = x.reward + x.discount * (least(target.critic, x.next_obs, unit) - ALPHA * log_prob)

    def value_loss(critic):
        q = replayed.q(critic, x.obs, replayed.unit(x.action))[..., 0]
        return replayed.mean_loss(sample.weight, 0.5 * (q - y) ** 2)

    def policy_loss(actor):
        unit, log_prob = squashed(oracle.mlp(actor, x.obs), noise)
        return (ALPHA * log_prob - least(params.critic, x.obs, unit)).mean()

    oracle.same(new.opt_state.critic, oracle.slope(value_loss, params.critic))
    oracle.same(new.opt_state.actor, oracle.slope(policy_loss, params.actor))
    entropy = -squashed(oracle.mlp(params.actor, x.obs), noise)[1].mean()
    np.testing.assert_allclose(metrics["entropy"].mean, entropy, rtol=1e-4)
    assert metrics["temperature"].mean == np.float32(ALPHA)


@pytest.mark.parametrize("masked", [False, True])
def test_a_step_of_discrete_sac(masked):
    made = replayed.learner(discrete_sac, Discrete(3), **FIXED)
    sample = replayed.sample(Discrete(3), masked)
    state = replayed.started(made, sample.data.obs)
    new, metrics, priority = replayed.taught(made)(jax.random.key(1), state, sample)
    params, target, x = (oracle.wide(t) for t in (state.params, state.target, sample.data))
    obs, next_obs = content(x.obs), content(x.next_obs)
    legal = [np.asarray(o.action_mask, bool) if masked else None for o in sample.data[0::5]]

    def soft_value(critic, actor, obs, legal):
        q = np.stack([oracle.mlp(one, obs) for one in replayed.each(critic)]).min(0)
        log_prob = oracle.log_softmax(oracle.mlp(actor, obs), legal)
        return (np.exp(log_prob) * q).sum(-1) + ALPHA * oracle.entropy(log_prob)

    y = x.reward + x.discount * soft_value(target.critic, params.actor, next_obs, legal[1])

    def taken(critic):
        action = np.asarray(sample.data.action)
        return np.stack([oracle.taken(oracle.mlp(p, obs), action) for p in replayed.each(critic)])

    def value_loss(critic):
        return replayed.mean_loss(sample.weight, 0.5 * (taken(critic) - y) ** 2)

    def policy_loss(actor):
        return -soft_value(params.critic, actor, obs, legal[0]).mean()

    oracle.same(new.opt_state.critic, oracle.slope(value_loss, params.critic))
    oracle.same(new.opt_state.actor, oracle.slope(policy_loss, params.actor))
    np.testing.assert_allclose(priority, np.abs(y - taken(params.critic)).mean(0), rtol=1e-3)
    log_prob = oracle.log_softmax(oracle.mlp(params.actor, obs), legal[0])
    np.testing.assert_allclose(metrics["entropy"].mean, oracle.entropy(log_prob).mean(), rtol=1e-4)


def test_temperature_takes_a_step_down_its_loss():
    optimizer = Optimizer(drift.descent(None, lambda _: 0.1), linear(0.1, 1, False), own=True)
    temperature = learnt_temperature(optimizer, 0.5, lambda _: -3.0)
    slots = temperature.init()
    np.testing.assert_allclose(temperature.value(slots), 0.5, rtol=1e-6)
    for log_prob in (5.0, 1.0):  # less entropy than the target's, and more
        new = temperature.update(slots, jnp.float32(log_prob), (), jnp.int32(0))

        def loss(log_alpha, log_prob=log_prob):
            rows = value_targets.temperature_loss(log_alpha[0], np.full(2, log_prob), -3.0)
            return rows.mean()

        moved = np.log(0.5) - 0.1 * oracle.slope(loss, np.log([0.5]))[0]
        np.testing.assert_allclose(new.log_temperature, moved, rtol=1e-5)
        assert (temperature.value(new) > 0.5) == (log_prob > 3)


@pytest.mark.parametrize(
    ("module", "space", "masked", "target"),
    [
        (sac, replayed.BOX, False, -2 * 0.7 + np.log(HALF).sum()),
        (discrete_sac, Discrete(3), False, 0.4 * np.log(3)),
        (discrete_sac, Discrete(3), True, None),
    ],
)
def test_temperature_aims_at_an_entropy(module, space, masked, target):
    aim = {"target_entropy": -0.7} if module is sac else {"entropy_share": 0.4}
    made = replayed.learner(module, space, temperature=0.6, **aim)
    sample = replayed.sample(space, masked)
    if masked:
        target = 0.4 * np.log(sample.data.obs.action_mask.sum(-1)).mean()
    state = replayed.started(made, sample.data.obs)
    new, metrics, _ = replayed.taught(made)(jax.random.key(1), state, sample)
    # d/d log α of −α (log π + H*) is −α (H* − H).
    expected = -0.6 * (target - metrics["entropy"].mean)
    np.testing.assert_allclose(new.slots.opt_state, expected, rtol=1e-4)


def test_judges_are_drawn_without_repetition():
    keys = jax.random.split(jax.random.key(0), 4000)
    pairs = np.asarray(jax.vmap(lambda key: drawn(key, Jury(5, 2, 5, jnp.min)))(keys))
    assert (pairs[:, 0] != pairs[:, 1]).all()
    counts = np.bincount(pairs[:, 0] * 5 + pairs[:, 1], minlength=25).reshape(5, 5)
    np.testing.assert_allclose(counts[~np.eye(5, dtype=bool)] / 4000, 1 / 20, atol=0.015)
    assert drawn(jax.random.key(0), Jury(5, 5, 1, jnp.min)) is None


def test_least_is_row_by_row():
    numbers = jnp.asarray(np.random.default_rng(0).normal(size=(3, 20, 1)), jnp.float32)
    np.testing.assert_array_equal(least(scalar_head(1.0), numbers), numbers.min(0))


def test_redq_teaches_the_actor_by_the_mean():
    made = replayed.learner(discrete_sac, Discrete(3), num_critics=4, num_judges=2, **FIXED)
    sample = replayed.sample(Discrete(3))
    state = replayed.started(made, sample.data.obs)
    params, target, x = (oracle.wide(t) for t in (state.params, state.target, sample.data))

    def soft_value(q, obs):
        log_prob = oracle.log_softmax(oracle.mlp(params.actor, obs))
        return (np.exp(log_prob) * q).sum(-1) + ALPHA * oracle.entropy(log_prob)

    q = np.stack([oracle.mlp(one, x.obs) for one in replayed.each(params.critic)])
    next_q = np.stack([oracle.mlp(one, x.next_obs) for one in replayed.each(target.critic)])
    action = np.broadcast_to(np.asarray(sample.data.action), q.shape[:2])
    losses = {}
    for b, a in itertools.combinations(range(4), 2):
        y = x.reward + x.discount * soft_value(next_q[[a, b]].min(0), x.next_obs)
        losses[a, b] = replayed.mean_loss(sample.weight, 0.5 * (oracle.taken(q, action) - y) ** 2)
    seen, update = set(), replayed.taught(made)
    for seed in range(12):
        _, metrics, _ = update(jax.random.key(seed), state, sample)
        loss = float(metrics["value_loss"].mean)
        pair = min(losses, key=lambda pair: abs(losses[pair] - loss))
        np.testing.assert_allclose(loss, losses[pair], rtol=1e-4)
        seen.add(pair)
        expected = -soft_value(q.mean(0), x.obs).mean()
        np.testing.assert_allclose(metrics["policy_loss"].mean, expected, rtol=1e-4)
    assert len(seen) > 2


def test_bounds():
    conduct, ask, _, _ = conducted()
    output = jnp.float32([[-1e4, 1e4, 9, -9], [50, -50, 50, 50], [0, 0, -50, 50]])
    noise = jnp.float32([[3, -3], [-5, 5], [0, 1]])

    def loss(output):
        return conduct.loss(ask, output, noise, jnp.float32(ALPHA))[0].sum()

    price, slope = jax.value_and_grad(loss)(output)
    assert np.isfinite(price) and np.isfinite(slope).all()
    action = np.asarray(conduct.act(output, noise, ())[0])
    low, high = np.float32(replayed.LOW), np.float32(replayed.HIGH)
    assert (low <= action).all() and (action <= high).all()


def test_what_they_cannot_take():
    with pytest.raises(ValueError, match="sac needs a Box action space, not Discrete"):
        replayed.learner(sac, Discrete(3))
    with pytest.raises(ValueError, match="discrete_sac needs a Discrete action space, not Box"):
        replayed.learner(discrete_sac, Box(-1.0, 1.0, (2,)))
