"""Returns beyond the support of a categorical head: told once, with the range that was seen."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrl import support_warning
from jaxrl.algorithms import dqn
from jaxrl.families.value_head import beyond, categorical_head, scalar_head
from jaxrl.runtime.cli import main
from jaxrl.types import Average
from tests.sentences import hold_sentence

CONFIG = dqn.Config(head="categorical", value_min=-1.0, value_max=2.0)


def test_targets_are_counted_before_they_are_projected():
    """Atoms at −1, 0.5 and 2, and one next return that is surely 2."""
    head = categorical_head(-1.0, 2.0, 3)
    reward, discount = jnp.array([0.0, 1.0, -4.0, -3.5]), jnp.array([1.0, 0.5, 1.0, 1.0])
    sure = jnp.broadcast_to(jnp.array([-100.0, -100.0, 0.0]), (4, 3))
    metrics = beyond(head, lambda head: head.target(reward, discount, sure))
    expected = {"below_support": 0.5, "above_support": 0.0, "below_by": 1.5 / 4, "above_by": 0.0}
    assert {name: float(x.mean) for name, x in metrics.items()} == expected
    higher = beyond(head, lambda head: head.target(reward + 1.5, discount, sure))
    assert float(higher["above_support"].mean) == 0.5 and float(higher["above_by"].mean) == 0.75
    assert beyond(scalar_head(1.0), lambda head: head.target(reward, discount, sure)) == {}


def means(**shares):
    known = dict.fromkeys(("below_support", "above_support", "below_by", "above_by"), 0.0)
    return {name: np.array([x, 0.0]) for name, x in (known | shares).items()}


def test_the_sentence_has_the_range_and_comes_only_where_it_matters():
    found = support_warning(CONFIG, means(above_support=0.5, above_by=2.0))
    assert found is not None
    hold_sentence(
        found, "dqn.value_min = -1 and value_max = 2 do not cover", "25% lay", "from about -1 to 6"
    )
    found = support_warning(CONFIG, means(below_support=0.1, below_by=0.3))
    assert found is not None and "from about -4 to 2" in found
    assert support_warning(CONFIG, means(above_support=0.01, above_by=9.0)) is None
    assert support_warning(CONFIG, {"q": np.zeros(2)}) is None
    averages = jax.tree.map(lambda x: Average(2 * x, jnp.full(2, 2.0)), means(above_support=0.5))
    assert support_warning(CONFIG, averages) is not None


@pytest.mark.parametrize(("high", "warned"), [(2.0, True), (200.0, False)])
def test_the_command_line_says_so_at_the_end(high, warned, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("NPROC", "1")
    words = "train c51 --env CartPole-v1 --hidden-sizes 8 --num-atoms 11 --value-min 0 --quiet"
    words += f" --value-max {high} --polyak 0.5 --lr 0.05 --num-iterations 25 --total-steps 1600"
    assert main(f"{words} --no-cache --out {tmp_path}/run".split()) == 0
    err = capsys.readouterr().err.strip()
    assert bool(err) == warned
    if warned:
        hold_sentence(err, "jaxrl: dqn.value_min = 0 and value_max = 2 do not cover the returns")
