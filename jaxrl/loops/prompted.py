"""The loop of prompts: ask, answer in groups, score, learn.

A learner's `act` is given prompts [L, P] and, as its noise, a key for each response [P, G] (None
answers greedily, once), and gives a `Response`; its `init` is given parameters to start from, or
None. Whatever the learner makes of it, tokens that were generated are counted, kept or not.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxrl.data import permutation
from jaxrl.loops.acting import Episode, guarded
from jaxrl.text import Answers, Prompts, Response, Task, lengths, take, unequal
from jaxrl.tracing import traced_once, zeros_of
from jaxrl.types import Algorithm, Array, Average, Learner, LearnerState, Metrics, PyTree, once


class Plan(NamedTuple):
    """What one update asks for."""

    num_prompts: int  # P
    group_size: int  # G, responses to each
    shuffled: bool = True  # every prompt comes once in each pass; False draws anew for each update
    greedy: bool = False  # whether each prompt is also answered greedily, for a baseline
    stepwise: bool = False  # whether the task's rewards of steps are asked for
    max_rounds: int | None = None  # of generation, to fill P groups of unequal rewards; None keeps
    # every group


class PromptedState(NamedTuple):
    """Everything that training on prompts carries."""

    key: Array
    eval_key: Array  # never split: an evaluation folds in the number of updates done
    order_key: Array  # never split: a pass over the prompts folds in its number
    learner: LearnerState
    num_updates: Array
    bad_update: Array  # the first update that was refused (see `guarded`), −1 for none
    num_rounds: Array  # of generation
    num_tokens: Array  # generated, those of groups left out included


class Tally(NamedTuple):
    """Sums over all responses of an update."""

    responses: Array
    reward: Array
    length: Array
    ended: Array
    equal: Array  # groups whose rewards are all equal
    deviation: Array  # of the rewards of each group
    tokens: Array  # those of greedy baselines included


class Asked(NamedTuple):
    """Where an update stands that asks until it has enough."""

    answers: Answers  # with the prompts' axis first
    num_rounds: Array
    num_groups: Array
    tally: Tally


Round = Callable[[Array], tuple[Answers, Tally]]


def prompted(task: Task, learner: Learner, plan: Plan) -> Algorithm:
    """Groups of responses to the prompts of a task, and one update of the learner for each.

    Its `init` also takes parameters to start from.
    """
    check(task, plan)

    def init(key: Array, params: PyTree = None) -> PromptedState:
        key, k_eval, k_order, k_learner = jax.random.split(key, 4)
        learnt, none = learner.init(k_learner, params), jnp.int32(0)
        return PromptedState(key, k_eval, k_order, learnt, none, jnp.int32(-1), none, jnp.uint32(0))

    def update(state: PromptedState) -> tuple[PromptedState, Metrics]:
        key, k_ask, k_learn = jax.random.split(state.key, 3)

        def ask(i: Array) -> tuple[Answers, Tally]:
            k_prompt, k_noise = jax.random.split(jax.random.fold_in(k_ask, i))
            count = state.num_rounds + i
            rows = drawn(k_prompt, state.order_key, count, plan, len(task.train.index))
            noise = learner.noise(k_noise, (plan.num_prompts, plan.group_size))
            return answered(task, learner, state.learner, take(task.train, rows), plan, noise)

        if plan.max_rounds is None:
            (answers, tally), num_rounds = ask(jnp.int32(0)), jnp.int32(1)
        else:
            answers, num_rounds, _, tally = filled(ask, plan.max_rounds)
        learnt, metrics = learner.update(k_learn, state.learner, answers)
        state = state._replace(
            key=key,
            num_rounds=state.num_rounds + num_rounds,
            num_tokens=state.num_tokens + tally.tokens,
        )
        metrics |= told(tally, num_rounds, answers.valid)
        finished = Episode(tally.reward, tally.length), tally.responses
        return guarded(state, learnt, metrics, tally.reward, finished)

    return Algorithm(init, update)


def check(task: Task, plan: Plan) -> None:
    """Whether the task has what the plan asks for."""
    num = len(task.train.index)
    if plan.shuffled and plan.num_prompts > num:
        raise ValueError(
            f"num_prompts must be at most the {num} prompts that there are to learn from, not "
            f"{plan.num_prompts}"
        )
    if plan.stepwise and task.step_reward is None:
        raise ValueError("the task must have a step_reward for a method that learns from steps")
    if plan.stepwise and task.judge is not None:
        raise ValueError("the task must have no judge for a method that learns from steps")


def drawn(key: Array, order_key: Array, count: Array, plan: Plan, num: int) -> Array:
    """Which prompts are asked in a round, [P]; the last few that fill no round wait for another
    pass."""
    if not plan.shuffled:
        return jax.random.randint(key, (plan.num_prompts,), 0, num)
    rounds = num // plan.num_prompts
    order = permutation(jax.random.fold_in(order_key, count // rounds), num)
    return jax.lax.dynamic_slice(order, (count % rounds * plan.num_prompts,), (plan.num_prompts,))


def answered(
    task: Task, learner: Learner, learnt: LearnerState, prompts: Prompts, plan: Plan, noise: PyTree
) -> tuple[Answers, Tally]:
    """Responses to prompts, with their rewards, and the sums over them."""
    judge = task.reward if task.judge is None else task.judge

    def reply(noise: PyTree) -> tuple[Response, Array, Array]:
        response = learner.act(learnt, prompts, noise, ())[0]
        return response, scored(judge, prompts, response), response.mask.sum(dtype=jnp.uint32)

    response, reward, tokens = reply(noise)
    steps = task.step_reward if plan.stepwise else None
    step_reward = None if steps is None else scored(steps, prompts, response, of_tokens=True)
    greedy_reward = greedy_length = None
    if plan.greedy:
        greedy, greedy_reward, more = reply(None)
        greedy_length, tokens = lengths(greedy), tokens + more
    sums = Tally(
        jnp.float32(reward.size),
        reward.sum(),
        response.mask.sum(dtype=jnp.float32),
        response.ended.sum(dtype=jnp.float32),
        (~unequal(reward)).sum(dtype=jnp.float32),
        reward.std(1).sum(),
        tokens,
    )
    valid = jnp.ones(plan.num_prompts, bool)
    greedily = greedy_reward, greedy_length
    return Answers(prompts, response, reward, step_reward, *greedily, valid), sums


def scored(
    reward: Callable[[Prompts, Response], Array],
    prompts: Prompts,
    response: Response,
    of_tokens: bool = False,
) -> Array:
    """Rewards of responses [P, G], or of their tokens [T, P, G], none beyond the end."""
    worth, mask = reward(prompts, response), response.mask
    shape = mask.shape if of_tokens else response.ended.shape
    if worth.shape != shape:
        raise ValueError(f"the task's reward must have the shape {shape}, not {worth.shape}")
    worth = worth.astype(jnp.float32)
    return jnp.where(mask, worth, 0.0) if of_tokens else worth


def filled(ask: Round, max_rounds: int) -> Asked:
    """Rounds of generation until P groups have unequal rewards, or there were enough rounds.

    Groups of equal rewards are left out; so are those of the last round that find no place.
    Reference: Yu et al. 2025, arXiv:2503.14476, section 3.2 (dynamic sampling).
    """

    def going(now: Asked) -> Array:
        return (now.num_rounds < max_rounds) & (now.num_groups < len(now.answers.valid))

    def again(now: Asked) -> Asked:
        answers, tally = ask(now.num_rounds)
        keep = unequal(answers.reward)
        num = len(keep)
        place = jnp.where(keep, now.num_groups + jnp.cumsum(keep) - 1, num)
        put = jax.tree.map(
            lambda old, new: old.at[place].set(new, mode="drop"), now.answers, turned(answers)
        )
        num_groups = jnp.minimum(now.num_groups + keep.sum(dtype=jnp.int32), num)
        sums = jax.tree.map(jnp.add, now.tally, tally)
        return Asked(put, now.num_rounds + 1, num_groups, sums)

    ask, none = traced_once(ask), jnp.int32(0)
    empty, sums = zeros_of(ask, none)
    asked = jax.lax.while_loop(going, again, Asked(turned(empty), none, none, sums))
    return asked._replace(answers=turned(asked.answers))


def turned(answers: Answers) -> Answers:
    """Answers with the prompts' axis first everywhere; or back again."""
    p, r = answers.prompts, answers.response
    timed = p.token, p.mask, r.token, r.mask, r.log_prob, answers.step_reward
    token, mask, said, spoken, log_prob, step_reward = jax.tree.map(
        lambda x: x.swapaxes(0, 1), timed
    )
    return answers._replace(
        prompts=p._replace(token=token, mask=mask),
        response=Response(said, spoken, log_prob, r.ended),
        step_reward=step_reward,
    )


def told(tally: Tally, num_rounds: Array, valid: Array) -> Metrics:
    """What an update says of its responses."""
    groups = num_rounds.astype(jnp.float32) * len(valid)
    return once(
        generated_tokens=tally.tokens.astype(jnp.float32),
        rounds=num_rounds.astype(jnp.float32),
    ) | {
        "ended": Average(tally.ended, tally.responses),
        "equal_groups": Average(tally.equal, groups),
        "reward_std": Average(tally.deviation, groups),
        "filled": Average(valid.sum(dtype=jnp.float32), jnp.float32(len(valid))),
    }
