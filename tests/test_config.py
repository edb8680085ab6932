"""The configuration rule: what is traced, what is static, what is refused, and how it varies."""

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrl import grid, random_search
from jaxrl.algorithms import grpo, ppo, pqn, reinforce
from jaxrl.config import VOCABULARY, allowed, hints, replace, validate
from jaxrl.zoo import ZOO
from tests.sentences import hold_sentence

KEY = jax.random.key(0)
BAD = (
    ("gamma", 1.5, "a number in [0, 1], not 1.5"),
    ("gamma", -0.1, "a number in [0, 1], not -0.1"),
    ("gamma", math.nan, "a number in [0, 1], not nan"),
    ("gamma", True, "a number in [0, 1], not True"),
    ("gamma", None, "a number in [0, 1], not None"),
    ("lr", "fast", "a number of at least 0, not 'fast'"),
    ("lr", [1e-3], "a number of at least 0, not [0.001]"),
    ("lr", jnp.ones(3), "a number of at least 0, not an array of shape (3,)"),
    ("clip_eps", -1, "a number of at least 0, not -1"),
    ("clip_eps_high", -1.0, "a number of at least 0 or None, not -1.0"),
    ("num_envs", 0, "an integer of at least 1, not 0"),
    ("num_envs", 8.0, "an integer of at least 1, not 8.0"),
    ("num_envs", True, "an integer of at least 1, not True"),
    ("num_envs", np.int64(8), "an integer of at least 1, not np.int64(8)"),
    ("sequence_length", 0, "an integer of at least 1 or None, not 0"),
    ("hidden_sizes", [64], "a tuple of integers of at least 1, not [64]"),
    ("hidden_sizes", 64, "a tuple of integers of at least 1, not 64"),
    ("hidden_sizes", (64, 0), "a tuple of integers of at least 1, not (64, 0)"),
    ("anneal_lr", 1, "True or False, not 1"),
    ("torso", "rnn", "one of 'mlp', 'cnn', not 'rnn'"),
    ("distribution", ["beta"], "one of 'gaussian', 'squashed_gaussian', 'beta' or None, not ['bet"),
)
GOOD = (
    *(("gamma", 1), ("gamma", 0.0), ("lr", np.float32(1e-3)), ("lr", jnp.float32(1e-3))),
    *(("max_grad_norm", math.inf), ("clip_eps_high", None), ("clip_eps_high", 0.3)),
    *(("hidden_sizes", ()), ("anneal_lr", False), ("memory", None), ("memory", "lstm")),
)


@pytest.mark.parametrize(("name", "value", "words"), BAD, ids=str)
def test_a_bad_value_is_named_in_one_sentence(name: str, value: object, words: str) -> None:
    with pytest.raises(ValueError) as error:
        validate(ppo.Config(**{name: value}))
    hold_sentence(str(error.value), f"ppo.{name} must be {words}")


@pytest.mark.parametrize(("name", "value"), GOOD, ids=str)
def test_a_good_value_passes(name: str, value: object) -> None:
    config = ppo.Config(**{name: value})
    assert validate(config) is config


@pytest.mark.parametrize("value", [3, ppo, ppo.Config, None], ids=str)
def test_what_is_no_configuration_is_refused(value: object) -> None:
    with pytest.raises(TypeError, match="config must be an algorithm's name or configuration, not"):
        validate(value)


def test_floats_are_leaves_and_all_else_is_static() -> None:
    config = ppo.Config(clip_eps_high=0.3)
    floats = [name for name, hint in hints(ppo.Config).items() if hint is float]
    assert jax.tree.leaves(config) == [getattr(config, name) for name in floats]
    assert "clip_eps_high" not in floats and {"lr", "gamma"} <= set(floats)
    structure = jax.tree.structure(config)
    assert structure == jax.tree.structure(replace(config, lr=1.0))
    assert structure != jax.tree.structure(replace(config, num_envs=1))


def test_tracers_pass_and_a_concrete_field_beside_them_is_checked() -> None:
    def gamma(config: ppo.Config) -> float:
        return validate(config).gamma

    assert jax.jit(gamma)(ppo.Config(gamma=7.0)) == 7.0
    with pytest.raises(ValueError, match=r"ppo.num_envs must be .* not 0"):
        jax.jit(gamma)(ppo.Config(num_envs=0))


@pytest.mark.parametrize("name", ZOO)
def test_every_field_has_words_and_every_default_is_allowed(name: str) -> None:
    config = validate(ZOO[name].config)
    for field, hint in hints(type(config)).items():
        assert VOCABULARY[field][2] and allowed(field, hint)


def test_replace_knows_its_fields() -> None:
    assert replace(ppo.Config(), lr=0.5, num_envs=2) == ppo.Config(lr=0.5, num_envs=2)
    with pytest.raises(ValueError) as error:
        replace(ppo.Config(), clip_epsilon=0.1)
    hold_sentence(str(error.value), "no field 'clip_epsilon' of ppo", "clip_eps")


def test_grid_has_every_combination_in_order() -> None:
    swept = grid(ppo.Config(gamma=0.9), lr=[1e-3, 1e-2], clip_eps=[0.1, 0.2, 0.3])
    assert {leaf.dtype.name for leaf in jax.tree.leaves(swept)} == {"float32"}
    np.testing.assert_allclose(swept.lr, np.repeat([1e-3, 1e-2], 3))
    np.testing.assert_allclose(swept.clip_eps, np.tile([0.1, 0.2, 0.3], 2))
    np.testing.assert_allclose(swept.gamma, np.full(6, 0.9))
    assert swept.num_envs == ppo.Config().num_envs
    np.testing.assert_allclose(grid(ppo.Config(), lr=1e-3).lr, [1e-3])


def draw(key: jax.Array = KEY, size: int = 1000, **ranges: Any) -> Any:
    return random_search(key, ppo.Config(), size, **ranges)


def test_random_search_is_seeded() -> None:
    again, other = draw(lr=(1e-4, 1e-2)), draw(jax.random.key(1), lr=(1e-4, 1e-2))
    np.testing.assert_array_equal(draw(lr=(1e-4, 1e-2)).lr, again.lr)
    assert (other.lr != again.lr).all()
    both = draw(lr=(1e-4, 1e-2), clip_eps=(1e-4, 1e-2))
    assert (both.lr != both.clip_eps).all()


def test_positive_ranges_are_logarithmic_and_others_linear() -> None:
    drawn = draw(lr=(1e-5, 1e-1), entropy_coef=(0.0, 1.0), gamma=(0.9, 1.0))
    assert abs((drawn.lr < 1e-3).mean() - 0.5) < 0.06
    assert abs((drawn.entropy_coef < 0.5).mean() - 0.5) < 0.06
    for x, low, high in ((drawn.lr, 1e-5, 1e-1), (drawn.gamma, 0.9, 1.0)):
        low, high = np.float32(low), np.float32(high)
        assert low <= x.min() < 1.1 * low and 0.9 * high < x.max() <= high


SWEEPS = (
    (lambda: grid(ppo.Config()), "a sweep of ppo needs at least one field"),
    (lambda: grid(ppo.Config(), lrr=[1]), "no field 'lrr' of ppo; the closest are lr"),
    (lambda: grid(ppo.Config(), num_envs=[1, 2]), "ppo.num_envs is static", "not [1, 2]"),
    (lambda: grid(ppo.Config(), clip_eps_high=[0.3]), "ppo.clip_eps_high is static"),
    (lambda: grid(ppo.Config(), lr=[]), "ppo.lr needs at least one value, not []"),
    (lambda: grid(ppo.Config(), lr="ab"), "ppo.lr must be a number of at least 0, not 'a'"),
    (lambda: grid(ppo.Config(), lr=None), "ppo.lr must be a number of at least 0, not None"),
    (lambda: grid(ppo.Config(), lr=[[1, 2]]), "ppo.lr must be a number", "not [1, 2]"),
    (lambda: grid(pqn.Config(), gamma=[0.9, 1.5]), "pqn.gamma must be a number in [0, 1], not 1.5"),
    (lambda: grid(grid(ppo.Config(), lr=[1e-3]), lr=[1e-3]), "ppo.lr must be a number", "(1,)"),
    (lambda: draw(), "a sweep of ppo needs at least one field"),
    (lambda: draw(size=0, lr=(1e-3, 1e-2)), "num_samples must be an integer of at least 1, not 0"),
    (lambda: draw(lr=(1e-2, 1e-3)), "ppo.lr must range over (low, high)", "not (0.01, 0.001)"),
    (lambda: draw(lr=(1e-3, 1e-2, 1e-1)), "ppo.lr must range over (low, high)"),
    (lambda: draw(lr=1e-3), "ppo.lr must range over (low, high)", "not 0.001"),
    (lambda: draw(gamma=(0.9, 2.0)), "ppo.gamma must be a number in [0, 1], not 2.0"),
    (lambda: random_search(KEY, grpo.Config(), 2, group_size=(1, 2)), "grpo.group_size is static"),
    (lambda: grid(reinforce.Config(), baseline_decay=[2]), "reinforce.baseline_decay", "not 2"),
)


@pytest.mark.parametrize(
    ("act", "words"),
    [(a, w) for a, *w in SWEEPS],
    ids=lambda x: str(x) if isinstance(x, list) else "",
)
def test_a_bad_sweep_is_told_in_one_sentence(act, words) -> None:
    with pytest.raises(ValueError) as error:
        act()
    hold_sentence(str(error.value), *words)


def test_a_name_is_no_configuration_to_vary() -> None:
    for vary in (lambda: grid("ppo", lr=[1e-3]), lambda: random_search(KEY, "ppo", 2, lr=(0, 1))):
        with pytest.raises(TypeError, match="config must be a configuration to vary, not the name"):
            vary()
