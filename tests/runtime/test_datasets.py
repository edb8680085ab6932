"""Data sets: what a buffer remembers comes back from its file, and no other file is taken."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrl.data import chained, dataset, n_step, uniform
from jaxrl.runtime import datasets, tensors
from tests.data.history import NUM_ENVS, drawn, example, fed, origin, past
from tests.oracles.replay import drawable
from tests.sentences import hold_sentence

HISTORY, NUM_ROWS = past(57), 10
PLAIN = uniform(29, NUM_ENVS)
STATE = fed(PLAIN, HISTORY)
ROW = example(HISTORY)


@pytest.fixture
def path(tmp_path):
    datasets.save(tmp_path / "rows", PLAIN, STATE)
    return tmp_path / "rows"


def same(ours, steps):
    theirs = jax.tree.map(lambda x: x[steps], HISTORY)
    assert jax.tree.structure(ours) == jax.tree.structure(theirs)
    for x, y in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True):
        assert x.dtype == y.dtype and np.array_equal(x, y)


def test_rows_come_back_in_the_order_of_time(path):
    same(datasets.load(path, ROW), drawable(57, NUM_ROWS))


def test_what_is_loaded_is_replayed(path):
    buffer, state = dataset(datasets.load(path, ROW))
    sample = drawn(buffer, state, 300)
    step, lane = origin(sample.data)
    assert set(step) == set(drawable(57, NUM_ROWS))
    assert np.array_equal(sample.data.next_obs, HISTORY.next_obs[step, lane])


def test_chains_are_written_out_and_a_lost_observation_is_told(tmp_path):
    whole, short = chained(PLAIN, NUM_ROWS), chained(PLAIN, 1)
    datasets.save(tmp_path / "rows", whole, fed(whole, HISTORY))
    rows = datasets.load(tmp_path / "rows", ROW)
    same(rows, drawable(57, NUM_ROWS, newest=1))
    with pytest.raises(ValueError, match="must hold each row's next observation") as error:
        datasets.save(tmp_path / "none", short, fed(short, HISTORY))
    later = np.cumsum(HISTORY.done[::-1], 0)[::-1]
    lost = (HISTORY.truncated & ~HISTORY.terminated & (later > 1))[drawable(57, NUM_ROWS, newest=1)]
    hold_sentence(str(error.value), f"not lack those of {lost.sum()}")
    assert not (tmp_path / "none").exists()


def test_of_windows_the_rows_that_begin_them_are_written(tmp_path):
    buffer = n_step(PLAIN, 3, 0.9)
    datasets.save(tmp_path / "rows", buffer, STATE)
    same(datasets.load(tmp_path / "rows", ROW), drawable(57, NUM_ROWS, newest=2))


def test_an_empty_buffer_is_not_written(tmp_path):
    with pytest.raises(ValueError) as error:
        datasets.save(tmp_path / "rows", PLAIN, PLAIN.init(ROW))
    hold_sentence(str(error.value), "state must hold rows that may be drawn")
    assert not (tmp_path / "rows").exists()


def shape(*sizes, dtype=jnp.float32):
    return jax.ShapeDtypeStruct(sizes, dtype)


UNFIT = {
    "other arrays": (ROW._replace(extras=()), "must hold the arrays obs, action, reward"),
    "another shape": (
        ROW._replace(obs=shape(3)),
        "must hold obs as float32 of shape (10, 3, 3), not as float32 of shape (10, 3, 2)",
    ),
    "another type": (
        ROW._replace(action=shape(dtype=jnp.float32)),
        "must hold action as float32 of shape (10, 3), not as int32 of shape (10, 3)",
    ),
    "an axis more": (ROW._replace(reward=shape(1)), "must hold reward as float32 of shape"),
}


@pytest.mark.parametrize("kind", UNFIT)
def test_a_file_must_fit_the_example(path, kind):
    row, words = UNFIT[kind]
    with pytest.raises(ValueError) as error:
        datasets.load(path, row)
    hold_sentence(str(error.value), str(path), words)


@pytest.mark.parametrize("name", ["reward", "obs"])
def test_all_arrays_must_be_of_the_same_steps(path, name):
    arrays, texts = tensors.load(path)
    arrays[name] = arrays[name][0]
    tensors.save(path, arrays, texts)
    with pytest.raises(ValueError) as error:
        datasets.load(path, ROW)
    hold_sentence(str(error.value), str(path), f"must hold {name}")


def test_a_damaged_file_is_refused(path):
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    with pytest.raises(ValueError) as error:
        datasets.load(path, ROW)
    hold_sentence(str(error.value), str(path), "its checksum differs")
    path.write_bytes(data[:-1])
    with pytest.raises(ValueError, match="no sound file of tensors"):
        datasets.load(path, ROW)
    with pytest.raises(FileNotFoundError):
        datasets.load(path.parent / "absent", ROW)
