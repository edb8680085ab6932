"""Every method raises its score on prompts that it never saw, above that of its start."""

import jax
import numpy as np
import pytest

from jaxrl.config import hints
from jaxrl.families.headed import reward_model
from jaxrl.families.language import LanguageSetting, model
from jaxrl.language_zoo import LANGUAGE, language_config
from jaxrl.tasks import sorting
from jaxrl.train_language import examine, make_language_train
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


# There are 18 prompts: comparing no more than what was said to them at the start teaches little
# about others, unless the likelihood of the better responses is learnt too.
MARGIN = ("lm_dpo", "lm_cdpo", "lm_robust", "lm_ipo", "lm_hinge", "lm_simpo", "lm_kto")
REWARD = ("lm_reward", "lm_reward_pairs", "lm_reward_ranks")
VARIANTS = {name: (name, {}) for name in LANGUAGE if name not in REWARD}
VARIANTS |= {name: (name, {"online": True}) for name in MARGIN}
VARIANTS |= {
    "lm_sft": ("lm_sft", {"group_size": 1, "demonstration_steps": 10}),
    "offline": ("lm_dpo", {"likelihood_coef": 1.0}),
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


SMALL = {"num_prompts": 16, "num_layers": 2, "width": 32, "num_heads": 2, "early_stop": False}


@pytest.mark.slow
def test_a_reward_model_tells_better_from_worse_and_teaches():
    """Imitation, a reward model of what was learnt by it, and PPO by that model alone."""
    task = sorting(length=3, num_train=2000, num_test=100)
    speaker = model(language_config("lm_sft", **SMALL), LanguageSetting(task, 1))

    def trained(name, num_updates, start=None, task=task, **changes):
        config = language_config(name, **(SMALL | changes))
        steps = num_updates * config.num_prompts * config.group_size
        training = make_language_train(config, task, steps, model=speaker)

        @jax.jit
        def run(key, start):
            k_train, k_score, k_say = jax.random.split(key, 3)
            learnt = training(k_train, training.algorithm.init(k_train, start))[0].learner
            asked = task, training.learner, learnt, 100
            assert training.play is not None
            score = training.play(k_score, *asked).episode_return.mean()
            said = examine(k_say, *asked, greedy=False).episode_return.mean()
            return learnt.params, score, said

        return run(jax.random.key(1), start)

    start, _, begun = trained("lm_sft", 60, lr=3e-3)
    judge, accuracy, _ = trained("lm_reward_pairs", 1000, start, online=True, group_size=8)
    taught = task._replace(judge=reward_model(speaker, judge))
    changes = {"group_size": 8, "lr": 5e-4, "kl_coef": 0.2, "score_clip": None}
    _, _, end = trained("lm_ppo", 60, start, taught, **changes)
    print(begun, accuracy, end)
    assert accuracy > 0.8
    assert end > begun + 0.1
