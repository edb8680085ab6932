"""Cases of returns, weightings, baselines, advantages and groups; and the list of all of ours."""

from collections.abc import Callable
from typing import Any

import numpy as np

from jaxrl.formulas import (
    advantages,
    baselines,
    groups,
    returns,
    weightings,
)
from jaxrl.formulas.recurrence import recurrence
from tests.formulas.case import Case
from tests.formulas.cases_losses import LOSS_CASES
from tests.formulas.draw import (
    DEEP,
    EMPTY,
    LINE,
    ONE,
    PLAIN,
    Inputs,
    always,
    draw,
    integers,
    normal,
    rows,
    shapes,
    two,
    uniform,
)
from tests.oracles import advantages as advantages_oracle
from tests.oracles import baselines as baselines_oracle
from tests.oracles import groups as groups_oracle
from tests.oracles import returns as returns_oracle
from tests.oracles import weightings as weightings_oracle
from tests.oracles.recurrence import recurrence as recurrence_oracle


def _recurrence_cases() -> list[Case]:
    def inputs(shape, factor, last):
        def make(rng):
            b, a = (rng.normal(size=s).astype(np.float32) for s in (shape, factor))
            return {"inputs": (b, a), "last": last(rng, shape[1:])}

        return make

    draws = {
        "plain": inputs(PLAIN, PLAIN, normal()),
        "deep": inputs(DEEP, (1, *DEEP[1:]), normal()),
        "number": inputs(LINE, (), lambda rng, shape: 0.5),
    }
    options = {"coefficients": lambda b, a: (b, 0.9 * a)}
    extra = {"differentiable": ("inputs", "last"), "opaque": ("inputs",)}
    oracle = recurrence_oracle
    return [
        Case(recurrence, oracle, inputs, name=name, options=options, **extra)
        for name, inputs in draws.items()
    ]


def _return_cases() -> list[Case]:
    row = rows(returns, returns_oracle)
    names = "reward next_value discount done"
    one_step = {"line": draw(names, (1, 2)), **shapes(names)}
    mixed = {
        **shapes(f"{names} lam"),
        "numbers": draw(f"{names} lam", PLAIN, discount=0.9, lam=0.8),
        "per sequence": draw(f"{names} lam", DEEP, lam=uniform(0.0, 1.0, (1, 2, 3))),
    }
    by = ("reward", "next_value")
    totals = {
        **two("reward discount last", last=lambda rng, shape: normal()(rng, shape[1:])),
    }
    numbers = {"numbers": draw("reward discount last", PLAIN, discount=0.9, last=0.5)}
    by_return: Any = {"differentiable": ("returns",), "free": ("returns",)}
    by_squashed: Any = {"differentiable": ("squashed",), "free": ("squashed",)}
    return [
        *row("discounted_return", totals, differentiable=("reward", "last", "discount")),
        *row("discounted_return", numbers, differentiable=("reward", "last"), free=("reward",)),
        *row("n_step_return", one_step, options={"n": 1}, differentiable=by),
        *row("n_step_return", two(names, discount=0.9), options={"n": 3}, differentiable=by),
        *row("n_step_return", shapes(names), options={"n": 50}, differentiable=by),
        *row("lambda_return", mixed, differentiable=by),
        *row("squashed_return", two("returns", returns=normal(9.0)), **by_return),
        *row("stretched_return", two("squashed", squashed=normal(3.0)), **by_squashed),
        *row("stretched_return", {"eps": draw("squashed eps", PLAIN, eps=0.1)}, **by_squashed),
    ]


def _weighting_cases() -> list[Case]:
    row = rows(weightings, weightings_oracle)
    episode = "reward next_value discount done"
    episodes = {**shapes(episode), "number": draw(episode, PLAIN, discount=0.9)}
    errors = "reward value next_value discount"
    baseline = {
        "per sequence": draw("returns baseline", DEEP, baseline=normal(shape=(1, 2, 3))),
        "number": draw("returns baseline", PLAIN, baseline=0.3),
    }
    q = {
        "plain": draw("q action", (*PLAIN, 4), action=integers(4, PLAIN)),
        "line": draw("q action", (5, 1), action=integers(1, LINE)),
    }
    policy = {
        "plain": draw("q action prob", (*PLAIN, 4), action=integers(4, PLAIN), prob=_simplex),
        "deep": draw("q action prob", (*DEEP, 2), action=integers(2, DEEP), prob=_simplex),
    }
    return [
        *row("trajectory_return", episodes, differentiable=("reward", "next_value")),
        *row("reward_to_go", episodes, differentiable=("reward", "next_value")),
        *row("baselined_return", two("returns baseline"), differentiable=("returns", "baseline")),
        *row("baselined_return", baseline, differentiable=("returns",), free=("returns",)),
        *row("action_value", q, differentiable=("q",)),
        *row("action_advantage", policy, differentiable=("q", "prob")),
        *row("td_error", shapes(errors), differentiable=("reward", "value", "next_value")),
        *row("td_error", {"number": draw(errors, PLAIN, discount=0.9)}, differentiable=("value",)),
    ]


def _simplex(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    return rng.dirichlet(np.ones(shape[-1]), shape[:-1]).astype(np.float32)


def _baseline_cases() -> list[Case]:
    row = rows(baselines, baselines_oracle)
    masked = {
        **two("returns mask"),
        "empty": draw("returns mask", PLAIN, mask=always(EMPTY, bool)),
    }
    moving = "baseline returns decay"
    square = {"squared_score": uniform(0.1, 2.0)}
    loss = "logits action weight baseline"
    actions = {"action": integers(4, PLAIN), "weight": normal(shape=PLAIN)}
    deep = {"action": integers(2, DEEP), "weight": normal(shape=DEEP)}
    return [
        *row("mean_baseline", two("returns"), differentiable=("returns",), free=("returns",)),
        *row("mean_baseline", masked, mask="mask", masked=("returns",)),
        *row(
            "moving_baseline",
            {
                "numbers": draw(moving, PLAIN, baseline=0.3, decay=0.9),
                "arrays": draw(moving, DEEP, baseline=normal(shape=()), decay=uniform(0, 1, ())),
            },
            free=("returns",),
        ),
        *row(
            "optimal_baseline", two("returns squared_score", **square), differentiable=("returns",)
        ),
        *row(
            "optimal_baseline",
            {
                "no score": draw(
                    "returns squared_score", PLAIN, squared_score=always(np.zeros(PLAIN))
                )
            },
        ),
        *row(
            "action_dependent_loss",
            {"plain": draw(loss, (*PLAIN, 4), **actions), "deep": draw(loss, (*DEEP, 2), **deep)},
            differentiable=("logits", "baseline", "weight"),
        ),
    ]


def _advantage_cases() -> list[Case]:
    row = rows(advantages, advantages_oracle)
    errors = "reward value next_value discount done"
    full = {
        **shapes(f"{errors} lam"),
        "numbers": draw(f"{errors} lam", PLAIN, discount=0.9, lam=0.8),
        "per sequence": draw(f"{errors} lam", DEEP, lam=uniform(0.5, 1.0, (1, 2, 3))),
    }
    tokens = "reward value mask discount lam last_value"
    numbers = {"discount": 0.95, "lam": 0.9}
    per_sequence = {
        "discount": uniform(0.8, 1.0, (1, 3)),
        "lam": uniform(0.5, 1.0, (1, 3)),
        "last_value": normal(shape=(3,)),
    }
    masked = {
        **shapes(tokens, **numbers, last_value=0.5),
        "per sequence": draw(tokens, PLAIN, **per_sequence),
        "empty": draw(tokens, PLAIN, **numbers, last_value=0.0, mask=always(EMPTY, bool)),
    }
    deltas = {"differentiable": ("reward", "value", "next_value")}
    retrace = "reward q next_value discount done trace"
    target = "reward value next_value target discount done rho"
    return [
        *row("gae", full, **deltas),
        *row(
            "masked_gae",
            masked,
            mask="mask",
            masked=("reward", "value"),
            differentiable=("reward", "value", "last_value"),
        ),
        *row(
            "length_adaptive_lambda",
            {
                "integers": draw("length alpha", PLAIN, length=integers(60), alpha=0.05),
                "floats": draw("length alpha", LINE, length=uniform(1, 200), alpha=0.1),
            },
            any_dtype=("length",),
            free=("length",),
            axis=None,
        ),
        *row("vtrace", shapes(f"{errors} rho trace"), **deltas),
        *row("vtrace", {"number": draw(f"{errors} rho trace", PLAIN, discount=0.9)}, **deltas),
        *row("vtrace_advantage", shapes(target), **deltas),
        *row("vtrace_advantage", {"number": draw(target, PLAIN, discount=0.9)}, **deltas),
        *row("retrace", shapes(retrace), differentiable=("reward", "q", "next_value")),
        *row("retrace", {"number": draw(retrace, PLAIN, discount=0.9)}),
        *_whiten_cases(row),
    ]


def _whiten_cases(row: Callable[..., list[Case]]) -> list[Case]:
    masks = {
        **two("x mask"),
        "one": draw("x mask", PLAIN, mask=always(ONE, bool)),
        "empty": draw("x mask", PLAIN, mask=always(EMPTY, bool)),
    }
    constant = {"constant": draw("x mask", PLAIN, x=always(np.full(PLAIN, 0.7)))}
    smooth = {"differentiable": ("x",), "masked": ("x",), "mask": "mask"}
    sample = {"ddof": 1, "eps": 1e-3}
    return [
        *row("whiten", shapes("x"), differentiable=("x",), free=("x",)),
        *row("whiten", masks, **smooth),
        *row("whiten", constant, mask="mask", masked=("x",)),
        *row("whiten", {k: masks[k] for k in ("plain", "one")}, options=sample, **smooth),
    ]


def _group_cases() -> list[Case]:
    row = rows(groups, groups_oracle)
    ids = np.array([0, 2, -1, 2, 0, 3, 2, 0, -1, 5, 5])
    equal = np.array([1, 2, 0, 2, 1, 3, 2, 1, 0, 5, 5])
    named = {"group": always(ids, np.int32)}
    ragged = {"ragged": draw("reward group", ids.shape, **named)}
    ragged_ties = {"ties": draw("reward group", ids.shape, reward=always(equal), **named)}
    ties = np.array([[1, 0, 0, 0], [1, 1, 1, 1], [0.1, 0.1, 0.7, 0.1]])
    grid = {
        "grid": draw("reward", (3, 4)),
        "deep": draw("reward", (2, 1, 3)),
        "pair": draw("reward", (2,)),
    }
    degenerate = {
        "ones": draw("reward", (3, 1)),
        "ties": draw("reward", (3, 4), reward=always(ties)),
    }
    statistics = [
        ("group_centred", {}),
        ("leave_one_out", {}),
        ("leave_one_out_relative", {}),
        ("group_relative", {"ddof": 0}),
        ("group_relative", {"ddof": 1, "eps": 1e-4}),
    ]
    smooth = {"differentiable": ("reward",)}
    cases = []
    for formula, static in statistics:
        alone = {"options": static, "axis": -1, "free": ("reward",)}
        cases += row(formula, grid, **alone, **smooth) + row(formula, degenerate, **alone)
        flat = {"options": {**static, "num_groups": 6}}
        cases += row(formula, ragged, **flat, **smooth) + row(formula, ragged_ties, **flat)
    return cases + _other_group_cases(row)


def _other_group_cases(row: Callable[..., list[Case]]) -> list[Case]:
    tokens = {
        **two("reward mask"),
        "one": draw("reward mask", PLAIN, mask=always(ONE, bool)),
        "empty": draw("reward mask", PLAIN, mask=always(EMPTY, bool)),
    }
    greedy = "reward greedy_reward"
    covered = {"mask": "mask", "masked": ("reward",)}
    return [
        *row("reinforce_plus_plus", tokens, **covered),
        *row("reinforce_plus_plus", tokens, options={"ddof": 1, "eps": 1e-4}, **covered),
        *row(
            "greedy_advantage",
            {
                **two(greedy),
                "of the group": draw(greedy, PLAIN, greedy_reward=normal(shape=(6, 1))),
            },
            axis=None,
        ),
        *row(
            "length_weighted_advantage",
            two("reward length", length=integers(30, low=1)),
            any_dtype=("length",),
            axis=-1,
        ),
        *row("smoothed_state", {"": lambda rng: {}}, options={"num_prompts": 4}),
        *row(
            "smoothed_advantage",
            {"first visit": _smoothed(0), "later visits": _smoothed(3)},
            opaque=("state",),
            axis=-1,
            bfloat16=None,  # the state stays in float32
        ),
    ]


def _smoothed(visits: int) -> Inputs:
    def inputs(rng: np.random.Generator) -> dict[str, Any]:
        empty = groups.smoothed_state(5)
        count = np.full(5, visits, np.asarray(empty.count).dtype)
        past = [rng.uniform(0.2, 1.0, 5).astype(np.float32) * (visits > 0) for _ in range(2)]
        state = type(empty)(count, *(x.astype(np.float32) for x in past))
        reward = rng.integers(0, 2, (3, 4)).astype(np.float32)
        reward[0] = 1.0
        return {"state": state, "prompt": np.array([4, 0, 2], np.int32), "reward": reward}

    return inputs


CASES = [
    *_recurrence_cases(),
    *_return_cases(),
    *_weighting_cases(),
    *_baseline_cases(),
    *_advantage_cases(),
    *_group_cases(),
    *LOSS_CASES,
]
