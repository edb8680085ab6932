"""Every method raises its score on prompts that it never saw, above that of imitation alone."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrl.config import hints
from jaxrl.families.headed import reward_model
from jaxrl.families.language import LanguageSetting, model
from jaxrl.language_zoo import LANGUAGE, language_config
from jaxrl.loops.run import run
from jaxrl.tasks import sorting
from jaxrl.train_language import examine, make_language_train
from tests.language.tiny import demonstration, majority, tiny_model

NUM_SEEDS, NUM_UPDATES, NUM_ANSWERS = 10, 200, 16
START = {"demonstration_steps": 30, "demonstration_batch": 16, "demonstration_lr": 1e-2}
SIZES = {"num_prompts": 8, "group_size": 8, "lr": 1e-2, "early_stop": False}
MODEL = tiny_model()
QUICK = {"xla_backend_optimization_level": 1}  # compiles in less time


def rambling(prompts):
    """Demonstrations, two of three of which go on when all is said."""
    right = demonstration(prompts)
    rambles = (prompts.index % 3 > 0)[None, :, None]
    token, mask = (jnp.roll(x, 1, 0) for x in (right.token, right.mask))
    token, mask = token.at[0].set(right.token[0]), mask.at[0].set(True)
    return right._replace(
        token=jnp.where(rambles, token, right.token), mask=jnp.where(rambles, mask, right.mask)
    )


TASK = majority()._replace(demonstration=rambling)


def training_of(name, **changes):
    config = language_config(name, **(SIZES | changes))
    steps = NUM_UPDATES * config.num_prompts * config.group_size
    return make_language_train(config, TASK, steps, model=MODEL)


def keys(seed=0):
    return jax.random.split(jax.random.key(seed), NUM_SEEDS)


def imitation(**changes):
    return training_of("lm_sft", group_size=1, **changes)


@functools.cache
def starts():
    """Parameters from which every method starts, one set for each seed."""
    start = lambda key: imitation(**START).learner.init(key, None).params  # noqa: E731
    return jax.jit(jax.vmap(start))(keys())


def program(training):
    """keys, starts, number of updates -> learnt parameters, tokens generated, updates refused."""

    def one(key, start, num_updates):
        begun = training.algorithm.init(key, start)
        state, metrics = run(training.algorithm, begun, num_updates)
        params = state.learner.params
        params = params.get("actor", params)
        return params, state.num_tokens, metrics["refused"].total

    given = keys(), starts(), jnp.int32(0)
    return jax.jit(jax.vmap(one, (0, 0, None))).lower(*given).compile(QUICK)


def learnt(trained, num_updates=NUM_UPDATES):
    """Parameters after training from the start, and the tokens that it took, of each seed."""
    params, tokens, refused = trained(keys(), starts(), jnp.int32(num_updates))
    assert not np.asarray(refused).any()
    return params, np.asarray(tokens)


@functools.cache
def scoring():
    """The program that tells how many of a policy's answers to unseen prompts are right."""
    training, test = imitation(), TASK.test

    def one(key, params):
        state = training.learner.init(key, params)
        noise = training.learner.noise(key, (len(test.index), NUM_ANSWERS))
        return TASK.reward(test, training.learner.act(state, test, noise, ())[0]).mean()

    made = jax.jit(jax.vmap(one)).lower(keys(), starts()).compile(QUICK)
    return lambda params: np.asarray(made(keys(1), params))


imitated = functools.cache(lambda: program(imitation()))


@functools.cache
def control(tokens):
    """Scores after imitation alone, of demonstrations with at least so many tokens."""
    params, shown = learnt(imitated(), -(-tokens // 16))  # 8 demonstrations of 2 tokens or more
    assert shown.min() >= tokens
    return scoring()(params)


# There are 18 prompts: comparing no more than what was said to them at the start teaches little
# about others, unless the likelihood of the better responses is learnt too.
MARGIN = ("lm_dpo", "lm_cdpo", "lm_robust", "lm_ipo", "lm_hinge", "lm_simpo", "lm_kto")
OTHERS = ("lm_sft", "lm_reward", "lm_reward_pairs", "lm_reward_ranks")
VARIANTS = {name: (name, {}) for name in LANGUAGE if name not in OTHERS}
VARIANTS |= {name: (name, {"online": True}) for name in MARGIN}
VARIANTS |= {
    "offline": ("lm_dpo", {"likelihood_coef": 1.0}),
    "asynchronous": ("lm_grpo", {"staleness": 4, "correction": "token"}),
    "uncorrected": ("lm_grpo", {"staleness": 4}),
    "uniform": ("lm_dapo", {"prompt_order": "uniform"}),
}


@pytest.mark.slow
@pytest.mark.parametrize("case", VARIANTS)
def test_a_method_raises_its_held_out_score_and_beats_imitation(case):
    name, changes = VARIANTS[case]
    assert set(changes) <= set(hints(type(LANGUAGE[name].config)))
    params, tokens = learnt(program(training_of(name, **changes)))
    start, shown, end = scoring()(starts()), control(int(tokens.max())), scoring()(params)
    print(case, *(x.mean().round(3) for x in (start, shown, end)), tokens.max())
    assert end.mean() > start.mean() + 0.1
    assert (end > start).sum() >= 8
    assert (end > shown).sum() >= 8


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
