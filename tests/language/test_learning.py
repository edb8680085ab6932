"""Every method raises its score on prompts that it never saw, above that of its start."""

import jax
import numpy as np
import pytest

from jaxrl.config import hints
from jaxrl.language_zoo import LANGUAGE, language_config
from jaxrl.train_language import make_language_train
from tests.language.tiny import majority, tiny_model

NUM_SEEDS, NUM_UPDATES = 10, 120
SIZES = {
    "num_prompts": 8,
    "group_size": 8,
    "lr": 1e-2,
    "demonstration_steps": 20,
    "demonstration_batch": 16,
    "demonstration_lr": 1e-2,
    "early_stop": False,
}


def scores(name, **changes):
    """Held-out rewards of each seed, greedy, at the start and at the end."""
    config = language_config(name, **(SIZES | changes))
    per_update = config.num_prompts * config.group_size
    training = make_language_train(config, majority(), per_update * NUM_UPDATES, model=tiny_model())
    num_tests = training.num_eval_episodes

    def one(key):
        begun = training.algorithm.init(key)
        state, metrics = training(key, begun)
        ends = [training.score(s, 0, num_tests).episode_return.mean() for s in (begun, state)]
        return ends, metrics["refused"].total.sum()

    ends, refused = jax.jit(jax.vmap(one))(jax.random.split(jax.random.key(0), NUM_SEEDS))
    assert not np.asarray(refused).any()
    return np.asarray(ends)


VARIANTS = {name: (name, {}) for name in LANGUAGE} | {
    "asynchronous": ("lm_grpo", {"staleness": 4, "correction": "token"}),
    "uncorrected": ("lm_grpo", {"staleness": 4}),
    "uniform": ("lm_dapo", {"prompt_order": "uniform"}),
}


@pytest.mark.slow
@pytest.mark.parametrize("case", VARIANTS)
def test_a_method_raises_its_held_out_score(case):
    name, changes = VARIANTS[case]
    assert set(changes) <= set(hints(type(LANGUAGE[name].config)))
    start, end = scores(name, **changes)
    print(case, start.mean().round(3), end.mean().round(3), (end > start).sum())
    assert end.mean() > start.mean() + 0.1
    assert (end > start).sum() >= 8 or end.min() == 1.0
