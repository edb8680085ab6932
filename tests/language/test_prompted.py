"""The loop of prompts: its rounds replayed in NumPy, its order, its counters, its laws."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrl.config import grid, replace
from jaxrl.families.lagged import lagged
from jaxrl.language_zoo import language_config
from jaxrl.loops import run
from jaxrl.loops.prompted import Plan, drawn, filled, prompted, turned
from jaxrl.text import Answers, Prompts, Response
from jaxrl.train_language import examine, make_language_train
from jaxrl.types import Learner, LearnerState, once
from tests.language.tiny import NUM_TOKENS, majority, tiny_model
from tests.zoo.keys import PLAIN, USED, noted
from tests.zoo.trees import assert_near, assert_same, at, bits, is_key, types

P, G = 4, 3


def rounds(seed, num_rounds=6, equal=0.7):
    """Rewards [R, P, G], most of whose groups are all right or all wrong."""
    chance = np.random.default_rng(seed)
    reward = chance.integers(0, 2, (num_rounds, P, G)).astype(np.float32)
    same = chance.random((num_rounds, P)) < equal
    return np.where(same[..., None], reward[..., :1], reward)


def answers(reward, first):
    """Answers whose every number says to which prompt they belong, `first` and so on."""
    name = first + jnp.arange(P, dtype=jnp.int32)
    timed = jnp.broadcast_to(name[None, :, None], (2, P, G))
    prompts = Prompts(jnp.stack([name, name]), jnp.ones((2, P), bool), name, (name,))
    response = Response(timed, timed >= 0, timed.astype(jnp.float32), jnp.ones((P, G), bool))
    greedy = name[:, None].astype(jnp.float32)
    return Answers(prompts, response, reward, None, greedy, name[:, None], jnp.ones(P, bool))


@functools.cache
def filling(max_rounds):
    def fill(reward):
        def ask(i):
            return answers(reward[i], P * i), {"asked": jnp.float32(P * G)}

        return filled(ask, max_rounds)

    return jax.jit(fill)


def simulated(reward, max_rounds):
    """The names of the groups that are kept, and how many rounds there were."""
    kept, used = [], 0
    for i in range(max_rounds):
        used += 1
        for p in range(P):
            if len(set(reward[i, p])) > 1 and len(kept) < P:
                kept.append(P * i + p)
        if len(kept) == P:
            break
    return kept, used


@pytest.mark.parametrize("max_rounds", [1, 3, 6])
def test_groups_are_refilled_as_a_simulation_does(max_rounds):
    numbers = set()
    for seed in range(8):
        reward = rounds(seed, equal=0.3 + 0.08 * seed)
        kept, used = simulated(reward, max_rounds)
        result = filling(max_rounds)(reward)
        got, count = result.answers, len(kept)
        assert int(result.num_rounds) == used
        assert float(result.tally["asked"]) == used * P * G  # those left out included
        np.testing.assert_array_equal(got.valid, np.arange(P) < count)
        np.testing.assert_array_equal(got.prompts.index[:count], kept)
        np.testing.assert_array_equal(got.prompts.token[:, :count], [kept, kept])
        np.testing.assert_array_equal(got.prompts.answer[0][:count], kept)
        np.testing.assert_array_equal(got.greedy_reward[:count, 0], kept)
        for x in (got.response.token, got.response.log_prob):
            assert x.shape == (2, P, G)
            np.testing.assert_array_equal(x[:, :count], np.tile(kept, (2, G, 1)).swapaxes(1, 2))
        np.testing.assert_array_equal(got.reward[:count], reward.reshape(-1, G)[kept])
        numbers.add((used, count))
    assert max_rounds == 1 or len(numbers) > 2  # the test sees early ends and shortages


def test_turning_twice_changes_nothing():
    data = answers(jnp.zeros((P, G)), 0)
    assert turned(data).response.token.shape == (P, 2, G)
    assert_same(turned(turned(data)), data)


def test_shuffled_prompts_come_once_in_each_pass_in_another_order():
    plan, num = Plan(num_prompts=3, group_size=2), 11
    key, order_key = jax.random.split(jax.random.key(0))
    draw = jax.jit(lambda count: drawn(key, order_key, count, plan, num))
    passes = [np.concatenate([draw(3 * e + i) for i in range(3)]) for e in range(3)]
    for once_each in passes:
        assert len(set(once_each)) == 9 and 0 <= min(once_each) <= max(once_each) < num
    assert not np.array_equal(passes[0], passes[1])


def test_uniform_prompts_are_drawn_anew():
    plan = Plan(num_prompts=500, group_size=2, shuffled=False)
    key = jax.random.key(0)
    rows = drawn(key, key, jnp.int32(0), plan, 5)
    assert np.bincount(rows, minlength=5).min() > 60


def recorder():
    """Learns nothing but how often; says its parameter, and tells what it was given."""

    def init(key, params):
        return LearnerState(jnp.int32(0) if params is None else params, (), jnp.int32(0))

    def act(state, prompts, noise, carry):
        shape = (len(prompts.index), 1) if noise is None else noise.shape
        token = jnp.full((NUM_TOKENS, *shape), 1 + state.params)
        mask = jnp.broadcast_to(jnp.arange(NUM_TOKENS)[:, None, None] < 2, token.shape)
        return Response(token, mask, jnp.zeros(token.shape), jnp.ones(shape, bool)), (), carry

    def update(key, state, data):
        state = state._replace(params=state.params + 1, num_updates=state.num_updates + 1)
        told = {"token": data.response.token[0, 0, 0], "greedy": data.greedy_reward}
        return state, once(**{k: v for k, v in told.items() if v is not None})

    def keys(key, shape):
        return jax.random.split(key, shape)

    return Learner(init, lambda key, num: (), keys, act, update)


def history(learner, num_updates, task=None, **plan):
    algorithm = prompted(task or majority(), learner, Plan(P, G, **plan))
    state, told = algorithm.init(jax.random.key(0)), []
    update = jax.jit(algorithm.update)
    for _ in range(num_updates):
        state, metrics = update(state)
        told.append(metrics)
    return state, told


@pytest.mark.parametrize("lag", [0, 1, 3])
def test_the_speaker_is_some_updates_old(lag):
    _, told = history(lagged(recorder(), lag), 6)
    spoken = [int(metrics["token"].total) - 1 for metrics in told]
    assert spoken == [max(0, i - lag) for i in range(6)]


def test_tokens_of_greedy_baselines_are_counted_too():
    task = majority()._replace(reward=lambda p, r: r.token[0].astype(jnp.float32) * 2)
    state, told = history(recorder(), 2, task, greedy=True)
    per_update = 2 * (P * G + P)
    assert int(state.num_tokens) == 2 * per_update and int(state.num_rounds) == 2
    assert float(told[0]["generated_tokens"].mean) == per_update
    np.testing.assert_array_equal(told[1]["greedy"].total, np.full((P, 1), 4.0))
    assert float(told[1]["episode_return"].mean) == 4.0
    assert float(told[1]["episode_length"].mean) == 2.0
    assert float(told[1]["equal_groups"].mean) == 1.0
    assert float(told[1]["reward_std"].mean) == 0.0


def test_groups_of_equal_rewards_alone_leave_nothing_to_learn_from():
    state, told = history(recorder(), 1, max_rounds=3)
    assert int(state.num_rounds) == 3 and int(state.num_tokens) == 3 * 2 * P * G
    assert float(told[0]["filled"].mean) == 0.0


def test_a_learner_may_start_from_given_parameters():
    algorithm = prompted(majority(), recorder(), Plan(P, G))
    assert int(algorithm.init(jax.random.key(0), jnp.int32(7)).learner.params) == 7
    assert int(algorithm.init(jax.random.key(0)).learner.params) == 0


CASES = {
    "dapo": ("lm_dapo", {"staleness": 2, "correction": "token", "max_rounds": 2}),
    "dcpo": ("lm_dcpo", {"num_epochs": 2, "num_microbatches": 2}),
    "ppo": ("lm_ppo", {"target_kl": 0.1, "kl_horizon": 20.0}),
    "kto": ("lm_kto", {"num_epochs": 2}),
}
TOLD = {  # besides what the loop tells
    "dapo": {"approx_kl", "clip_fraction", "clip_low", "clip_high", "response_utilisation"},
    "ppo": {"approx_kl", "clip_fraction", "value_loss", "kl", "kl_coef", "explained_variance"},
    "kto": {"rewards_chosen", "rewards_rejected", "rewards_margin", "rewards_accuracy", "compared"},
}
TOLD["dcpo"] = TOLD["dapo"]


class Case:
    """One compiled program of an algorithm for all its laws: 2 seeds side by side."""

    def __init__(self, name):
        self.told = TOLD[name]
        name, changes = CASES[name]
        sizes = {"num_prompts": P, "group_size": G, "num_minibatches": 2, "lr": 1e-2}
        warm = {"demonstration_steps": 3, "demonstration_batch": 4}
        self.config = language_config(name, **(sizes | warm | changes))
        self.keys = jax.random.split(jax.random.key(0, impl=PLAIN), 2)
        self.first = jax.jit(jax.vmap(self.algorithm().init))(self.keys)
        together = jax.vmap(self.run, (0, None, None))
        lowered = jax.jit(together).lower(self.first, jnp.int32(1), jnp.float32(0))
        self.program = lowered.compile()

    def algorithm(self, spoil=0.0):
        plain = majority()
        reward = lambda prompts, response: plain.reward(prompts, response) + spoil  # noqa: E731
        task = plain._replace(reward=reward)
        return make_language_train(self.config, task, P * G, model=tiny_model()).algorithm

    def run(self, state, num_updates, spoil):
        return run(self.algorithm(spoil), state, num_updates)

    def to(self, state, num_updates, spoil=0.0):
        return self.program(state, jnp.int32(num_updates), jnp.float32(spoil))


@pytest.fixture(scope="module", params=CASES)
def case(request):
    return Case(request.param)


def test_the_state_keeps_its_types(case):
    assert types(case.to(case.first, 1)[0]) == types(case.first)


def from_file(x):
    numbers = np.frombuffer(bits(x).tobytes(), bits(x).dtype).reshape(bits(x).shape)
    if is_key(x):
        return jax.random.wrap_key_data(jnp.array(numbers), impl=jax.random.key_impl(x))
    return jnp.array(numbers)


@pytest.mark.parametrize("parts", [(1, 4), (2, 3), (1, 1, 3)])
def test_pieces_add_up_to_the_whole_bit_for_bit(case, parts):
    state = case.first
    for num in parts:
        leaves, treedef = jax.tree.flatten(state)  # and each survives a file
        state, _ = case.to(jax.tree.unflatten(treedef, map(from_file, leaves)), num)
    assert_same(state, case.to(case.first, 5)[0])


def test_side_by_side_is_one_after_the_other_and_no_key_serves_twice(case):
    algorithm = case.algorithm()
    together, _ = case.to(case.first, 1)
    one = jax.jit(lambda key: run(algorithm, algorithm.init(key), 1)[0])
    program = one.lower(noted(case.keys[:1])[0]).compile()
    USED.clear()
    for seed in range(2):
        assert_near(at(together, seed), jax.block_until_ready(program(noted(case.keys)[seed])))
    used = USED.rows()
    # A pass over the prompts has one key, which gives each of its rounds the same order.
    order = jax.random.key_data(jax.vmap(jax.random.fold_in, (0, None))(case.first.order_key, 0))
    used = used[~(used[:, None] == np.asarray(order)[None]).all(-1).any(1)]
    assert len(used) > 50
    assert len(np.unique(used, axis=0)) == len(used)


def test_seeds_matter_and_all_is_finite(case):
    state, metrics = case.to(case.first, 5)
    params = jax.tree.leaves(state.learner.params)[0]
    assert not np.array_equal(params[0], params[1])
    assert (bits(state.bad_update) == -1).all() and (bits(state.num_updates) == 5).all()
    assert all(np.isfinite(np.asarray(x.total)).all() for x in metrics.values())
    names = {"lr", "grad_norm", "generated_tokens", "ended", "equal_groups", "rounds", "refused"}
    assert set(metrics) >= names | {"episode_return", "episode_length"} | case.told
    assert (bits(state.num_tokens) == np.asarray(metrics["generated_tokens"].total)).all()


def test_a_reward_that_is_nan_leaves_the_learner_as_it_was(case):
    good, _ = case.to(case.first, 2)
    refused, metrics = case.to(good, 2, spoil=np.nan)
    assert_same(refused.learner, good.learner)
    assert (bits(refused.bad_update) == 2).all()
    assert (np.asarray(metrics["refused"].total) == 2).all()


def test_an_evaluation_asks_the_test_prompts_greedily():
    task = majority()
    config = language_config("lm_grpo", num_prompts=4)
    training = make_language_train(config, task, 256, model=tiny_model())
    learnt = training.learner.init(jax.random.key(0), None)
    num = len(task.test.index)
    results = [examine(jax.random.key(i), task, training.learner, learnt, num) for i in (0, 1)]
    assert_same(*results)
    prompts = task.test
    response, _, _ = training.learner.act(learnt, prompts, None, ())
    np.testing.assert_array_equal(results[0].episode_return, task.reward(prompts, response)[:, 0])
    sampled = [
        examine(jax.random.key(i), task, training.learner, learnt, num, greedy=False)
        for i in (0, 1)
    ]
    assert not np.array_equal(sampled[0].episode_length, sampled[1].episode_length)


MISTAKES = (
    ("lm_grpo", {"group_size": 1}, "lm_grpo.group_size must be at least 2 to compare responses"),
    ("lm_remax", {"group_size": 1, "max_rounds": 2}, "group_size must be at least 2"),
    ("lm_grpo", {"num_prompts": 6}, "num_prompts must be a multiple of num_minibatches"),
    ("lm_grpo", {"num_prompts": 64}, "num_prompts must be at most the 18 prompts"),
    ("lm_grpo", {"temperature": 0.0}, "temperature must be above 0"),
    ("lm_grpo", {"width": 30}, "width must be a multiple of num_heads"),
    ("lm_grpo_steps", {"max_rounds": 2}, "max_rounds must be None where steps are judged"),
    ("lm_dcpo", {"prompt_order": "uniform"}, "advantage must not be smoothed"),
    ("lm_grpo", {"lr": -1.0}, "lm_grpo.lr must be a number of at least 0"),
)


@pytest.mark.parametrize(("name", "changes", "words"), MISTAKES)
def test_a_mistake_is_told_in_one_sentence(name, changes, words):
    config = language_config(name, **({"num_prompts": 8} | changes))
    with pytest.raises(ValueError, match=words):
        make_language_train(config, majority())


def test_other_mistakes_are_told_too():
    task = majority()
    with pytest.raises(ValueError, match="no algorithm 'lm_gpro'; the closest are lm_g"):
        make_language_train("lm_gpro", task)
    with pytest.raises(ValueError, match="total_steps must be at least one update"):
        make_language_train(language_config("lm_grpo", num_prompts=4), task, 10)
    with pytest.raises(ValueError, match="num_eval_episodes must be at most"):
        make_language_train(language_config("lm_grpo", num_prompts=4), task, num_eval_episodes=99)
    with pytest.raises(ValueError, match="no task 'adition'; the closest"):
        make_language_train("lm_grpo", "adition")
    with pytest.raises(ValueError, match="the task must have a step_reward"):
        blind = task._replace(step_reward=None)
        make_language_train(language_config("lm_grpo_steps", num_prompts=4), blind)
    with pytest.raises(ValueError, match="the task must have no judge for a method that learns"):
        judged = task._replace(judge=task.reward)
        make_language_train(language_config("lm_grpo_steps", num_prompts=4), judged)
    wrong = task._replace(reward=lambda prompts, response: jnp.zeros(3))
    training = make_language_train(
        language_config("lm_grpo", num_prompts=4), wrong, model=tiny_model()
    )
    with pytest.raises(ValueError, match="reward must have the shape"):
        jax.eval_shape(training, jax.random.key(0))


def test_floats_vary_within_one_compiled_program():
    """A sweep over settings and seeds is two vmaps; each lane is what it is alone."""
    config = language_config("lm_grpo", num_prompts=4, group_size=2, num_minibatches=1)
    swept = grid(config, lr=[1e-3, 1e-1], temperature=[1.0, 2.0])
    keys = jax.random.split(jax.random.key(0), 2)
    said = lambda prompts, response: response.token.sum(0).astype(jnp.float32)  # noqa: E731
    task = majority()._replace(reward=said)  # of which there is always something to learn

    def trained(config, key):
        training = make_language_train(config, task, 16, model=tiny_model())
        return training(key)[0].learner.params

    together = jax.jit(jax.vmap(jax.vmap(trained, (None, 0)), (0, None)))(swept, keys)
    alone = jax.jit(trained)(replace(config, lr=1e-1, temperature=2.0), keys[1])
    assert_near(at(together, 3, 1), alone)
    assert not np.array_equal(together["out"][0], together["out"][2])
    assert not np.array_equal(together["out"][2], together["out"][3])


@pytest.mark.parametrize("period", [None, 1, 2])
def test_the_reference_is_renewed_when_its_time_has_come(period):
    config = language_config(
        "lm_grpo", num_prompts=4, group_size=2, num_minibatches=1, reference_period=period
    )
    algorithm = make_language_train(config, majority(), 8, model=tiny_model()).algorithm
    update = jax.jit(algorithm.update)
    states = [algorithm.init(jax.random.key(0))]
    for _ in range(4):
        states.append(update(states[-1])[0])
    for i, state in enumerate(states[1:]):
        first = 0 if period is None else i - i % period
        assert_same(state.learner.target, states[first].learner.params)
