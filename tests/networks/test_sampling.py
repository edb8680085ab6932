"""Samples follow their density; masks bind; nothing becomes infinite or NaN at the extremes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from jaxrl.networks import masked
from jaxrl.types import Box
from tests.formulas.tools import frequencies_match, near
from tests.networks.families import (
    CONTINUOUS,
    LINE,
    SPACES,
    draw,
    exact,
    family,
    log_softmax,
    params_of,
    parts,
)

each_family = pytest.mark.parametrize("name", SPACES)
each_box_family = pytest.mark.parametrize("name", CONTINUOUS)
NUM_SAMPLES = 20_000


def many(name, params, seed=0):
    return np.asarray(
        draw(family(name), np.broadcast_to(params, (NUM_SAMPLES, len(params))), seed)[0]
    )


@each_box_family
@pytest.mark.parametrize("seed", range(2))
def test_samples_follow_their_density(name, seed):
    """Kolmogorov-Smirnov for each dimension, and no correlation between the two."""
    params = params_of(family(name), seed, scale=1.5)
    raw = many(name, params, seed)
    inside = exact(name, params).base
    for i in range(2):
        one = stats.norm if "gaussian" in name else stats.beta
        assert stats.kstest(raw[:, i], one(*(x[i] for x in inside.args)).cdf).pvalue > 1e-3
    assert abs(np.corrcoef(raw.T)[0, 1]) < 4 / NUM_SAMPLES**0.5


def test_frequencies_of_categories():
    params = params_of(family("categorical"), 0)
    frequencies_match(many("categorical", params), np.exp(log_softmax(params)))


def test_frequencies_of_independent_choices():
    params = params_of(family("multi_categorical"), 1)
    action = many("multi_categorical", params)
    for i, x in enumerate(parts(params)):
        frequencies_match(action[:, i], np.exp(log_softmax(x)))
    assert np.abs(np.corrcoef(action.T) - np.eye(3)).max() < 4 / NUM_SAMPLES**0.5


@each_family
def test_acting_is_a_function_of_noise(name):
    """Leading axes are arbitrary, rows independent, and all randomness is in the noise."""
    made = family(name)
    params = params_of(made, 2, 3, 4)
    raw, noise = draw(made, params, seed=5)
    assert all(x.shape[:2] == (3, 4) for x in jax.tree.leaves(noise))
    near(made.sample(params, noise), raw, 0, 0)
    one = made.sample(params[1, 2], jax.tree.map(lambda x: x[1, 2], noise))
    near(one, raw[1, 2], 1e-5)
    each = jax.jit(
        jax.vmap(jax.vmap(lambda x, z: (made.sample(x, z), made.log_prob(x, raw[0, 0]))))
    )
    sampled, scores = each(params, noise)
    near(sampled, raw, 1e-5)
    near(scores, made.log_prob(params, jnp.broadcast_to(raw[0, 0], raw.shape)), 1e-4, 1e-5)
    other, _ = draw(made, params, seed=6)
    assert np.any(other != raw)
    same = np.asarray(draw(made, np.broadcast_to(params[0, 0], params.shape))[0])
    assert np.any(same != same[0, 0])


@each_box_family
def test_samples_are_reparameterised(name):
    """The slopes of samples are, on average, those of E[x] and E[x²]."""
    made, params = family(name, LINE), params_of(family(name, LINE), 3, scale=0.5)
    noise = made.noise(jax.random.key(0), (NUM_SAMPLES,))

    def moments(params, noise):
        x = made.sample(params, noise)[0]
        return jnp.stack([x, x * x])

    slope = jax.jit(jax.vmap(jax.jacobian(moments), (None, 0)))(params, noise)
    error = np.std(slope, 0) / NUM_SAMPLES**0.5

    def exactly(params):
        base = exact(name, params, LINE).base
        return np.stack([base.mean()[0], base.var()[0] + base.mean()[0] ** 2])

    for i, step in enumerate(1e-4 * np.eye(2)):
        expected = (exactly(params + step) - exactly(params - step)) / 2e-4
        assert np.all(np.abs(np.mean(slope, 0)[:, i] - expected) < 4 * error[:, i] + 1e-5)
        assert np.abs(expected).max() > 10 * error[:, i].max()


MASKS = {
    "categorical": np.array([[1, 0, 1, 1, 0], [0, 0, 0, 1, 0]], bool),
    "multi_categorical": np.array([[1, 1, 0, 1, 0, 1, 1, 1, 0], [0, 1, 0, 0, 0, 1, 1, 0, 0]], bool),
}
each_mask = pytest.mark.parametrize(
    ("name", "mask"), [(name, mask) for name, masks in MASKS.items() for mask in masks]
)


@each_mask
@pytest.mark.parametrize("tempting", [0.0, 1e4, 1e30])
def test_illegal_actions_are_never_taken(name, mask, tempting):
    """Neither sampled nor greedy, however good they look; the legal ones keep their odds."""
    made = family(name)
    params = params_of(made, 4) + np.where(mask, 0, tempting).astype(np.float32)
    logits = masked(params, mask)
    action = many(name, logits).reshape(NUM_SAMPLES, -1)
    rules = (
        [(params, mask)]
        if name == "categorical"
        else [*zip(parts(params), parts(mask), strict=True)]
    )
    for i, (x, legal) in enumerate(rules):
        prob = np.zeros(len(x))
        prob[legal] = np.exp(log_softmax(x[legal]))
        frequencies_match(action[:, i], prob)
        best = np.flatnonzero(legal)[x[legal].argmax()]
        assert np.ravel(made.mode(logits))[i] == best
    legal_entropy = sum(stats.entropy(np.exp(log_softmax(x[legal]))) for x, legal in rules)
    near(made.entropy(logits, None), np.float32(legal_entropy), 1e-5, 1e-5)


def finite_gradients(function, *arguments):
    """Value and gradients with respect to all arguments are finite; returns the gradients."""
    everything = tuple(range(len(arguments)))
    value, slopes = jax.jit(
        jax.value_and_grad(lambda *x: jnp.sum(function(*x)), argnums=everything)
    )(*arguments)
    assert np.isfinite(value)
    assert all(np.isfinite(slope).all() for slope in slopes)
    return slopes


@each_mask
def test_masked_values_and_gradients_are_finite(name, mask):
    """Even of an illegal action; and the logits of illegal actions have no gradient."""
    made = family(name)
    params, other = params_of(made, 5, 2)
    action = jnp.zeros((3,) if name == "multi_categorical" else (), jnp.int32)
    for function in (
        lambda x: made.log_prob(masked(x, mask), action),
        lambda x: made.log_prob(masked(x, mask), made.mode(masked(x, mask))),
        lambda x: made.entropy(masked(x, mask), None),
        lambda x: made.kl(masked(x, mask), masked(jnp.asarray(other), mask)),
        lambda x: made.kl(masked(jnp.asarray(other), mask), masked(x, mask)),
    ):
        (slope,) = finite_gradients(function, jnp.asarray(params))
        near(np.where(mask, 0, slope), np.zeros(made.size), 0, 0)


def test_masks():
    logits = params_of(family("categorical"), 6, 3)
    near(masked(logits, None), logits)
    near(masked(logits, np.ones((3, 5), bool)), logits)
    half = masked(jnp.asarray(logits, jnp.float16), np.eye(3, 5, dtype=bool))
    assert half.dtype == jnp.float16
    assert np.isfinite(half).all()
    with pytest.raises(ValueError, match=r"action_mask must have the shape \(3, 5\), not \(5,\)"):
        masked(logits, np.ones(5, bool))


EXTREMES = {
    "categorical": np.concatenate([np.eye(5) * 1e4, np.eye(5) * -1e4, np.full((1, 5), 1e4)]),
    "multi_categorical": np.concatenate([np.eye(9) * 1e4, np.eye(9) * -1e4]),
}
EXTREME_BOXES = [[50, -50, -20, -20], [50, 50, 10, 10], [-50] * 4, [0, 0, -1e4, -1e4], [1e4] * 4]


@each_family
def test_extremes_are_finite(name):
    """Values and gradients, at samples, modes, and against an ordinary distribution."""
    made = family(name)
    params = jnp.asarray(EXTREMES.get(name, EXTREME_BOXES), jnp.float32)
    raw, noise = draw(made, params)
    assert np.isfinite(made.act(raw)).all()
    finite_gradients(lambda x: made.entropy(x, noise), params)
    finite_gradients(made.kl, params, params)
    near_them = params[:3] if name in CONTINUOUS else params
    ordinary = jnp.asarray(params_of(made, 7, len(near_them), scale=0.1))
    finite_gradients(made.kl, ordinary, near_them)
    for chosen in (raw, made.mode(params)):
        finite_gradients(lambda x, chosen=chosen: made.log_prob(x, chosen), params)
    if name in CONTINUOUS:
        finite_gradients(made.log_prob, params, raw)
        finite_gradients(lambda x: made.act(made.sample(x, noise)), params)


def test_a_beta_stays_off_its_edges():
    """Where float32 would round a sample to 0 or 1, whose log-probability is infinite."""
    made = family("beta", LINE)
    params = jnp.array([[1e9, -50.0], [-50.0, 1e9]])
    for raw in (draw(made, params)[0], made.mode(params)):
        near(raw, np.array([[1 - 1e-6], [1e-6]]), 1e-7, 1e-7)
        assert np.isfinite(made.log_prob(params, raw)).all()


@each_box_family
def test_traced_bounds(name):
    """An environment whose bounds are swept: one distribution for each."""
    params = params_of(family(name), 8)

    def action_and_score(high):
        made = family(name, Box(-high, high, (2,)))
        raw, _ = draw(made, params)
        return made.act(raw), made.log_prob(params, raw)

    actions, scores = jax.jit(jax.vmap(action_and_score))(jnp.array([1.0, 4.0]))
    if name == "gaussian":
        near(actions[0], np.clip(actions[1], -1, 1))
        near(scores[0], scores[1])
    else:
        near(4 * actions[0], actions[1])
        near(scores[0] - scores[1], np.float32(2 * np.log(4)), 1e-4)
