"""Windows: the sums, discounts and ends of n steps, and what a sequence takes for its own."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrl.data import n_step, packed, prioritised, sequences, stacked, uniform
from tests.data.history import NUM_ENVS, drawn, fed, origin, past
from tests.oracles import replay

GAMMA, NUM_ROWS = 0.9, 10  # steps that each environment's ring holds
INNER = {
    "uniform": uniform(29, NUM_ENVS),
    "proportional": prioritised(29, NUM_ENVS, 0.6),
}
N_STEP = {(kind, n): n_step(INNER[kind], n, GAMMA) for kind in INNER for n in (1, 3)}
SEQUENCES = sequences(INNER["uniform"], 4)


def check(data, history, n, gamma):
    """Hold a batch to the oracle; the steps and environments that it begins with."""
    step, lane = origin(data)
    rows = [replay.n_step(history, t, i, n, gamma) for t, i in zip(step, lane, strict=True)]
    reward, discount, last = (np.array(x) for x in zip(*rows, strict=True))
    np.testing.assert_allclose(data.reward, reward, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(data.discount, discount, rtol=1e-6)
    assert np.array_equal(data.next_obs, history.next_obs[last, lane])
    assert np.array_equal(data.obs, history.obs[step, lane])
    assert np.array_equal(data.extras["carry"], history.extras["carry"][step, lane])
    return step, lane


@pytest.mark.parametrize("num_added", [5, 57])
@pytest.mark.parametrize(("kind", "n"), N_STEP)
def test_n_steps_are_as_the_oracle_adds_them_up(kind, n, num_added):
    history = past(num_added)
    buffer = N_STEP[kind, n]
    sample = drawn(buffer, fed(buffer, history), 600)
    step, lane = check(sample.data, history, n, GAMMA)
    allowed = replay.drawable(num_added, NUM_ROWS, newest=n - 1)
    pairs = {(t, i) for t in allowed for i in range(NUM_ENVS)}
    assert set(zip(step, lane, strict=True)) == pairs
    assert (np.asarray(sample.weight) == 1).all()


@pytest.mark.parametrize("terminated", [True, False])
def test_a_death_has_no_future_and_a_time_limit_has_that_of_its_last_observation(terminated):
    history = past(9, ends=0.0)
    ended = np.zeros((9, NUM_ENVS), bool)
    ended[4] = True
    reached = np.where(ended[..., None], -history.obs, history.next_obs)
    none = np.zeros_like(ended)
    history = history._replace(
        next_obs=reached,
        terminated=ended if terminated else none,
        truncated=none if terminated else ended,
    )
    buffer = N_STEP["uniform", 3]
    data = drawn(buffer, fed(buffer, history), 600).data
    step, lane = check(data, history, 3, GAMMA)
    near = (step >= 2) & (step <= 4)
    length = 5 - step[near]
    assert near.any()
    expected = np.zeros(len(length)) if terminated else GAMMA**length
    np.testing.assert_allclose(data.discount[near], expected, rtol=1e-6)
    assert np.array_equal(data.next_obs[near], -history.obs[4, lane[near]])


def test_gamma_may_be_traced_and_each_learner_has_its_own_buffer():
    gammas = np.array([0.0, 0.5, 1.0], np.float32)
    pasts = [past(13, seed=seed) for seed in range(3)]
    inner = INNER["uniform"]
    states = jax.tree.map(lambda *x: jnp.stack(x), *(fed(inner, history) for history in pasts))
    noise = jax.vmap(lambda key: inner.draw(key, (64,)))(jax.random.split(jax.random.key(1), 3))

    def batch(state, noise, gamma):
        return n_step(inner, 3, gamma).sample(state, noise).data

    together = jax.jit(jax.vmap(batch))(states, noise, gammas)
    for i, history in enumerate(pasts):
        data = jax.tree.map(lambda x, i=i: np.asarray(x[i]), together)
        check(data, history, 3, float(gammas[i]))


def test_windows_begin_where_priorities_say():
    history = past(57)
    buffer = N_STEP["proportional", 3]
    state = fed(buffer, history)
    places = np.asarray(buffer.after(buffer.span(state)[0], jnp.arange(NUM_ROWS - 2))).ravel()
    priority = np.where(places % 2 == 0, 0.0, 1.0 + places).astype(np.float32)
    state = buffer.reprioritise(state, jnp.asarray(places), jnp.asarray(priority))
    sample = drawn(buffer, state, 600)
    check(sample.data, history, 3, GAMMA)
    assert set(np.asarray(sample.index)) == set(places[places % 2 == 1])
    mass = (1.0 + np.asarray(sample.index)) ** 0.6
    np.testing.assert_allclose(sample.weight, mass.min() / mass, rtol=1e-5)


@pytest.mark.parametrize("num_added", [6, 57])
def test_a_sequence_goes_on_after_an_end_and_has_the_extras_of_its_first_step(num_added):
    history, length = past(num_added), 4
    sample = drawn(SEQUENCES, fed(SEQUENCES, history), 600)
    step, lane = origin(sample.data._replace(action=sample.data.action[0]))
    rows = step + np.arange(length)[:, None]
    expected = jax.tree.map(lambda x: x[rows, lane], history)
    expected = expected._replace(extras=jax.tree.map(lambda x: x[step, lane], history.extras))
    assert jax.tree.all(jax.tree.map(np.array_equal, sample.data, expected))
    assert np.asarray(sample.data.done)[:-1].any() and (np.asarray(sample.weight) == 1).all()
    assert set(step) == set(replay.drawable(num_added, NUM_ROWS, newest=length - 1))


@pytest.mark.parametrize("around", [packed, lambda buffer: stacked(buffer, 2)])
@pytest.mark.parametrize("buffer", [N_STEP["uniform", 3], SEQUENCES], ids=["n_step", "sequences"])
def test_no_combinator_stands_around_windows(buffer, around):
    with pytest.raises(TypeError, match="a buffer whose rows can be read by place"):
        around(buffer)


def test_windows_that_cannot_be_are_refused():
    with pytest.raises(ValueError, match="n must be an integer of at least 1, not 0"):
        n_step(INNER["uniform"], 0, GAMMA)
    with pytest.raises(ValueError, match="length must be an integer of at least 1, not 0"):
        sequences(INNER["uniform"], 0)
    with pytest.raises(ValueError, match="hold more than a window of 11 steps"):
        n_step(INNER["uniform"], 11, GAMMA)
