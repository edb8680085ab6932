"""The switches of Rainbow: each sends training elsewhere, and none is needed by the others.

What a part does to one gradient is compared with its oracle in tests/families/test_value.py.
"""

import functools

import jax
import pytest

from tests.families.oracle import flat
from tests.zoo.cases import small, training
from tests.zoo.keys import PLAIN
from tests.zoo.trees import differ, finite
from tests.zoo.worlds import drift

KEY = jax.random.key(0, impl=PLAIN)
SIZES = {"num_iterations": 3, "batch_size": 8, "temperature": 1.0, "epsilon_start": 0.5}
ACTING = {
    "proportional": {"replay": "proportional"},
    "rank": {"replay": "rank"},
    "n-step": {"n_step": 3},
    "noise of a step": {"noisy": "step"},
    "noise of an episode": {"noisy": "episode"},
    "ladder": {"exploration": "ladder"},
    "boltzmann": {"exploration": "boltzmann"},
    "top k": {"exploration": "top_k", "top_k": 1},
    "greedy": {"exploration": "greedy"},
    "tries that last": {"noise_memory": 0.9},
}
"""What changes acting and replay; the others change one gradient from the same batch."""

WITHOUT = {
    "double": {"target": "max"},
    "dueling": {"dueling": False},
    "priorities": {"replay": "uniform"},
    "n steps": {"n_step": 1},
    "noise": {"noisy": None, "exploration": "epsilon"},
    "distributions": {"head": "scalar"},
}


@functools.cache
def learnt(**changes):
    """The parameters after one update of a small DQN."""
    algorithm = training(small("dqn", **SIZES, **changes), drift(), evaluate=False).algorithm
    first = jax.jit(algorithm.init)(KEY)
    update = jax.jit(lambda state: algorithm.update(state)[0].learner)
    return update(first).params


@pytest.mark.parametrize("name", ACTING)
def test_each_switch_of_acting_and_replay_changes_what_is_learnt(name):
    plain, changed = learnt(), learnt(**ACTING[name])
    assert finite(changed)
    if "noisy" in ACTING[name]:  # it has weights of its own for the noise
        assert len(flat(changed)) == 2 * len(flat(plain))
        assert differ(learnt(noisy="step"), learnt(noisy="episode"))
    else:
        assert differ(plain, changed)


@pytest.mark.parametrize("part", WITHOUT)
def test_rainbow_without_a_part_is_another_learner(part):
    """As shapes and operations, which cost no compilation."""

    def update(**changes):
        algorithm = training(small("rainbow", **changes), drift(), evaluate=False).algorithm
        state = jax.eval_shape(algorithm.init, KEY)
        return jax.make_jaxpr(algorithm.update)(state)

    assert str(update()) != str(update(**WITHOUT[part]))
