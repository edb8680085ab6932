"""Log-probabilities, entropies and divergences, against scipy, integrals and distrax."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrl.networks import beta, categorical, distribution, gaussian, multi_categorical
from jaxrl.networks import squashed_gaussian as squashed
from jaxrl.types import Box, Discrete, MultiDiscrete
from tests.formulas.tools import near
from tests.networks.families import (
    CONTINUOUS,
    LINE,
    PLANE,
    SPACES,
    bounds,
    draw,
    exact,
    family,
    log_softmax,
    params_of,
    parts,
)

each_family = pytest.mark.parametrize("name", SPACES)
each_box_family = pytest.mark.parametrize("name", CONTINUOUS)
GRID = 20_001  # points of an integral


def raw_grid(name, params, box=LINE):
    """Raw actions [GRID, 1] that cover the line, and their weights in an integral over the box."""
    first, last = exact(name, params, box).base.ppf(np.array([1e-7, 1 - 1e-7])[:, None])
    raw = np.linspace(first, last, GRID + 1)
    middle = (raw[1:] + raw[:-1]) / 2
    act = (lambda x: x) if name == "gaussian" else exact(name, params, box).act
    return middle.astype(np.float32), np.diff(act(raw)[:, 0])


def rows(params, grid):
    return np.broadcast_to(params, (len(grid), len(params)))


@each_box_family
def test_log_prob_of_boxes(name):
    made, params = family(name), params_of(family(name), 0, 3, 4)
    raw, _ = draw(made, params)
    near(made.log_prob(params, raw), exact(name, params).log_prob(raw), 1e-5, 2e-5)


@each_box_family
def test_act_of_boxes(name):
    made, params = family(name), params_of(family(name), 1, 3, 4, scale=2.0)
    raw, _ = draw(made, params)
    action, (low, high) = np.asarray(made.act(raw)), bounds(PLANE)
    near(action, exact(name, params).act(np.asarray(raw, np.float64)), 1e-5, 1e-6)
    assert np.all((action >= low.astype(np.float32)) & (action <= high.astype(np.float32)))


@pytest.mark.parametrize("name", ["gaussian", "beta"])
def test_entropy_in_closed_form(name):
    made, params = family(name), params_of(family(name), 2, 4, 3)
    inside = exact(name, params)
    expected = (inside.base.entropy() + inside.log_slope(np.zeros((4, 3, 2)))).sum(-1)
    near(made.entropy(params, None), expected, 1e-5, 2e-5)


@each_box_family
@pytest.mark.parametrize("seed", range(3))
def test_density_entropy_and_kl_are_the_integrals(name, seed):
    """Over the box: ∫ p = 1, −∫ p log p, ∫ p log p/q."""
    made = family(name, LINE)
    params, other = params_of(made, seed, 2, scale=0.5)
    raw, weight = raw_grid(name, params)
    log_p, log_q = (np.asarray(made.log_prob(rows(x, raw), raw), float) for x in (params, other))
    mass = np.exp(log_p) * weight
    assert abs(mass.sum() - 1) < 1e-4
    assert abs((mass * (log_p - log_q)).sum() - made.kl(params, other)) < 1e-3
    noise = made.noise(jax.random.key(seed), (GRID,))
    estimate = np.asarray(made.entropy(rows(params, raw), noise))
    error = 4 * estimate.std() / GRID**0.5
    assert abs(-(mass * log_p).sum() - estimate.mean()) < 1e-3 + error


def test_gradient_of_the_sampled_entropy():
    """It is that of the integral, on average over the noise."""
    made, params = family("squashed_gaussian", LINE), np.array([0.4, -0.3], np.float32)
    noise = made.noise(jax.random.key(0), (GRID,))
    slope = jax.vmap(jax.grad(made.entropy), (None, 0))(params, noise)

    def entropy(params):
        raw, weight = raw_grid("squashed_gaussian", params)
        log_p = exact("squashed_gaussian", params, LINE).log_prob(raw)
        return -(np.exp(log_p) * log_p * weight).sum()

    for i, step in enumerate(1e-3 * np.eye(2)):
        expected = (entropy(params + step) - entropy(params - step)) / 2e-3
        assert abs(np.mean(slope[:, i]) - expected) < 4 * np.std(slope[:, i]) / GRID**0.5 + 1e-3


@each_family
def test_kl_is_zero_of_itself_and_else_positive(name):
    made = family(name)
    params, other = params_of(made, 3, 2, 9)
    near(made.kl(params, params), np.zeros(9), 0, 1e-5)
    forward, backward = made.kl(params, other), made.kl(other, params)
    assert np.all(forward > 1e-3)
    assert np.abs(forward - backward).max() > 1e-2


def test_categorical_against_numpy():
    made, params = family("categorical"), params_of(family("categorical"), 4, 6, 2, scale=3.0)
    other, action = params[::-1], np.arange(12, dtype=np.int32).reshape(6, 2) % 5
    log_p, log_q = log_softmax(params), log_softmax(other)
    near(made.log_prob(params, action), np.take_along_axis(log_p, action[..., None], -1)[..., 0])
    near(made.entropy(params, None), -(np.exp(log_p) * log_p).sum(-1))
    near(made.kl(params, other), (np.exp(log_p) * (log_p - log_q)).sum(-1), 1e-5, 1e-5)
    near(made.mode(params), params.argmax(-1))


def joint(params):
    """log p of every combination, [2, 4, 3]."""
    first, second, third = map(log_softmax, parts(params))
    return first[:, None, None] + second[:, None] + third


def test_multi_categorical_is_independent_choices():
    """The joint distribution of all 2 · 4 · 3 combinations is a categorical one."""
    made = family("multi_categorical")
    params, other = params_of(made, 5, 2, scale=2.0)
    log_p, log_q = joint(params), joint(other)
    combinations = np.stack(np.meshgrid(*map(np.arange, (2, 4, 3)), indexing="ij"), -1)
    taken = made.log_prob(np.broadcast_to(params, (2, 4, 3, 9)), combinations.astype(np.int32))
    near(taken, log_p, 1e-5, 1e-5)
    near(made.entropy(params, None), -(np.exp(log_p) * log_p).sum(), 1e-5)
    near(made.kl(params, other), (np.exp(log_p) * (log_p - log_q)).sum(), 1e-5)
    near(made.mode(params), np.stack([x.argmax() for x in parts(params)]))


def distrax_of(name, params):
    import distrax

    first, second = np.split(params, 2, -1) if name != "categorical" else (params, params)
    if name == "categorical":
        return distrax.Categorical(logits=params)
    if name == "beta":
        alpha, beta = (1 + np.logaddexp(0, x) for x in (first, second))
        return distrax.Independent(distrax.Beta(alpha, beta), 1)
    return distrax.MultivariateNormalDiag(first, np.exp(second))


@pytest.mark.filterwarnings("ignore:jax.core.pytype_aval_mappings:DeprecationWarning")
@pytest.mark.parametrize("name", ["categorical", "gaussian", "beta", "squashed_gaussian"])
def test_against_distrax(name):
    made = family(name, Discrete(5) if name == "categorical" else Box(-1.0, 1.0, (2,)))
    params, other = params_of(made, 6, 2, 8)
    raw, _ = draw(made, params)
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        import distrax

        p, q = distrax_of(name, params), distrax_of(name, other)
        near(made.kl(params, other), p.kl_divergence(q), 1e-4, 1e-4)
        if name == "squashed_gaussian":
            p = distrax.Transformed(p, distrax.Block(distrax.Tanh(), 1))
            near(made.log_prob(params, raw), p.log_prob(jnp.tanh(raw)), 1e-3, 1e-3)
            return
        stretch = 2 * np.log(2) if name == "beta" else 0.0
        near(made.log_prob(params, raw), p.log_prob(raw) - stretch, 1e-4, 1e-4)
        near(made.entropy(params, None), p.entropy() + stretch, 1e-4, 1e-4)


@pytest.mark.parametrize("name", CONTINUOUS)
def test_modes_of_boxes(name):
    """The mode of the raw action: no raw action nearby is likelier in the raw density."""
    made, params = family(name, LINE), params_of(family(name, LINE), 7, 20)
    mode, inside = np.asarray(made.mode(params), float), exact(name, params, LINE).base
    for step in (-1e-2, 1e-2):
        assert np.all(inside.logpdf(mode) >= inside.logpdf(np.clip(mode + step, 1e-6, None)))
    flat = family("beta", LINE).mode(np.full((1, 2), -200, np.float32))
    near(flat, np.array([[0.5]]))  # α = β = 1: any action would do


@pytest.mark.parametrize("shape", [(), (2, 2)])
@each_box_family
def test_boxes_of_any_shape(name, shape):
    """Raw actions are flat; the environment gets the shape of its own box."""
    low = np.arange(np.prod(shape, dtype=int), dtype=np.float32).reshape(shape)
    made = family(name, Box(low, low + 1, shape))
    params = params_of(made, 8, 3, 4)
    raw, _ = draw(made, params)
    assert raw.shape == (3, 4, low.size)
    action = np.asarray(made.act(raw))
    assert action.shape == (3, 4, *shape)
    assert np.all((action >= low) & (action <= low + 1))
    assert made.log_prob(params, raw).shape == (3, 4)


def test_a_gaussian_without_bounds_is_not_clipped():
    made = gaussian(Box(-np.inf, np.inf, (2,)))
    raw = np.array([[1e6, -1e6]], np.float32)
    near(made.act(raw), raw)


@each_family
def test_defaults_and_names(name):
    space, _ = SPACES[name]
    default = distribution(space)
    assert default.size == family(name).size
    params = params_of(default, 9, 3)
    first = {"squashed_gaussian": "gaussian", "beta": "gaussian"}.get(name, name)
    raw, _ = draw(default, params)
    near(default.log_prob(params, raw), family(first).log_prob(params, raw))


@pytest.mark.parametrize(
    ("space", "name", "message"),
    [
        (Discrete(3), "gaussian", "name must be one of categorical for Discrete.*not 'gaussian'"),
        (MultiDiscrete((2,)), "categorical", "multi_categorical for MultiDiscrete.*'categorical'"),
        (LINE, "categorical", "gaussian, squashed_gaussian, beta for Box.*not 'categorical'"),
        (LINE, "normal", "name must be one of .* not 'normal'"),
    ],
)
def test_names_that_do_not_fit(space, name, message):
    with pytest.raises(ValueError, match=message):
        distribution(space, name)


@pytest.mark.parametrize("make", [squashed, beta])
@pytest.mark.parametrize("low, high", [(-np.inf, 1.0), (0.0, np.inf), (1.0, 1.0), (2.0, 1.0)])
def test_only_finite_boxes_can_be_filled(make, low, high):
    with pytest.raises(ValueError, match="box must have finite bounds with low < high"):
        make(Box(low, high, (2,)))


def test_bad_input():
    with pytest.raises(ValueError, match="num_actions must be an integer of at least 1, not 0"):
        categorical(0)
    with pytest.raises(ValueError, match=r"num_values\[1\] must be an integer of at least 1"):
        multi_categorical((2, 0))
    with pytest.raises(ValueError, match="num_choices must be an integer of at least 1, not 0"):
        multi_categorical(())
    with pytest.raises(TypeError, match="space must be a Box, Discrete or MultiDiscrete"):
        distribution((3,))  # pyright: ignore[reportArgumentType]
    with pytest.raises(TypeError, match=r"box must be of floats .* not of int32"):
        gaussian(Box(0, 5, (1,), "int32"))
    for name in ("multi_categorical", *CONTINUOUS):
        with pytest.raises(ValueError, match="params must have the shape"):
            family(name).mode(jnp.zeros((4, family(name).size + 2)))
