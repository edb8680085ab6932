"""Cases of value targets, distributions of returns and choices; and the list of all of ours."""

from typing import Any

import numpy as np

from jaxrl.formulas import distributional, planning, selection, traces, value_targets
from tests.formulas.case import Case
from tests.formulas.cases_preference import PREFERENCE_CASES
from tests.formulas.draw import (
    PLAIN,
    Inputs,
    Recipe,
    always,
    draw,
    integers,
    normal,
    rows,
    shapes,
    two,
    uniform,
)
from tests.oracles import distributional as distributional_oracle
from tests.oracles import planning as planning_oracle
from tests.oracles import selection as selection_oracle
from tests.oracles import traces as traces_oracle
from tests.oracles import value_targets as value_targets_oracle

Shape = tuple[int, ...]
NUM_ACTIONS = 4
BOUNDED = np.linspace(-2, 2, 5)


def simplex(rng: np.random.Generator, shape: Shape) -> np.ndarray:
    """Probabilities along the last axis, the first of them zero."""
    prob = rng.dirichlet(np.ones(shape[-1]), shape[:-1])
    prob[..., 1] += prob[..., 0]
    prob[..., 0] = 0.0
    return prob.astype(np.float32)


def gumbel(rng: np.random.Generator, shape: Shape) -> np.ndarray:
    """Gumbel noise."""
    return rng.gumbel(size=shape).astype(np.float32)


def legal(rng: np.random.Generator, values: np.ndarray) -> np.ndarray:
    """Forbids each state's best action and leaves the worst; the first state has no other."""
    mask = rng.random(values.shape) < 0.6
    np.put_along_axis(mask, values.argmax(-1)[..., None], False, -1)
    mask[(0,) * (values.ndim - 1)] = False
    np.put_along_axis(mask, values.argmin(-1)[..., None], True, -1)
    return mask


def with_legal(plain: Inputs, by: str) -> Inputs:
    """Adds a mask of legal actions, which forbids the best ones by the named values."""

    def inputs(rng: np.random.Generator) -> dict[str, Any]:
        drawn = plain(rng)
        return {**drawn, "mask": legal(rng, drawn[by])}

    return inputs


def _of_actions(recipe: Recipe, num_actions: int = NUM_ACTIONS) -> Recipe:
    return lambda rng, shape: recipe(rng, (*shape, num_actions))


ACTION_RECIPES: dict[str, Recipe] = {
    **dict.fromkeys(("q", "next_q", "selector", "values", "logits"), _of_actions(normal())),
    **dict.fromkeys(("action", "next_action"), integers(NUM_ACTIONS)),
    "prob": _of_actions(simplex),
}


def choices(names: str, **special: Recipe | float) -> dict[str, Inputs]:
    """Draws for a plain and a deep shape of states, [..., A] where there is one for each action."""
    recipes = {**ACTION_RECIPES, **special}
    return two(names, **{k: v for k, v in recipes.items() if k in names.split()})


def forbidden(names: str, by: str, **special: Recipe | float) -> dict[str, Inputs]:
    """The same, of the deep shape alone, with a mask of legal actions."""
    return {"legal": with_legal(choices(names, **special)["deep"], by)}


def _state_value_cases() -> list[Case]:
    row = rows(value_targets, value_targets_oracle)
    last = {"axis": -1}
    soft = {"temperature": 0.7}
    by_q = {"mask": "mask", "masked": ("q",), **last}
    alone = {"free": ("q",), "differentiable": ("q",), **last}
    all_likely = {"likely": draw("q prob", PLAIN, prob=uniform(0.1, 1))}
    double, both = "q selector", {"masked": ("q", "selector"), "mask": "mask", **last}
    return [
        *row("max_value", choices("q"), **alone),
        *row("max_value", forbidden("q", "q"), differentiable=("q",), **by_q),
        *row("double_value", choices(double), differentiable=("q",), **last),
        *row("double_value", forbidden(double, "selector"), differentiable=("q",), **both),
        *row("expected_value", choices("q prob"), differentiable=("q",), **last),
        *row("expected_value", all_likely, differentiable=("q", "prob"), **last),
        *row("soft_value", choices("q temperature", **soft), **alone),
        *row(
            "soft_value",
            forbidden("q temperature", "q", **soft),
            differentiable=("q", "temperature"),
            **by_q,
        ),
        *row("dueling", choices("value advantage", advantage=_of_actions(normal())), **last),
        *row(
            "discrete_soft_value",
            choices("q logits temperature", temperature=0.3),
            differentiable=("q", "logits", "temperature"),
            **last,
        ),
        *row("min_value", shapes("values"), free=("values",), differentiable=("values",)),
    ]


def _target_cases() -> list[Case]:
    row = rows(value_targets, value_targets_oracle)
    names = "reward next_q discount"
    soft, by_both = f"{names} temperature", {"mask": "mask", "masked": ("next_q", "selector")}
    by_next = {"mask": "mask", "masked": ("next_q",)}
    bonus = "reward q action next_q discount temperature alpha"
    numbers = {"temperature": 0.3, "alpha": 0.9}
    traces = {
        "lam": choices(f"{names} done lam"),
        "numbers": choices(f"{names} done lam", discount=0.9, lam=0.8),
    }
    watkins = "reward q action next_q discount done lam"
    sac = "reward next_value next_log_prob discount temperature"
    return [
        *row("td_target", shapes("reward next_value discount")),
        *row("td_target", two("reward next_value discount", discount=0.9)),
        *row("q_learning_target", choices(names)),
        *row("q_learning_target", forbidden(names, "next_q", discount=0.9), **by_next),
        *row("sarsa_target", choices("reward next_q next_action discount")),
        *row("expected_sarsa_target", choices("reward next_q prob discount")),
        *row("double_q_target", choices("reward next_q selector discount")),
        *row(
            "double_q_target",
            forbidden("reward next_q selector discount", "selector"),
            **by_both,
        ),
        *row("soft_q_target", choices(soft, temperature=0.2)),
        *row("soft_q_target", forbidden(soft, "next_q", temperature=0.2), **by_next),
        *row("munchausen_target", choices(bonus, **numbers)),
        *row("munchausen_target", choices(bonus, **numbers, discount=0.9), options={"clip": -5.0}),
        *(case for draws in traces.values() for case in row("peng_target", draws)),
        *row("watkins_target", {**choices(watkins), "mostly greedy": _mostly_greedy}),
        *row("sac_target", two(sac, temperature=0.2)),
        *row("sac_target", two(sac, temperature=uniform(0.1, 0.5))),
    ]


def _mostly_greedy(rng: np.random.Generator) -> dict[str, Any]:
    """Traces that last several steps."""
    drawn = choices("reward q action next_q discount done lam")["plain"](rng)
    exploring = rng.random(drawn["action"].shape) < 0.2
    greedy = drawn["q"].argmax(-1).astype(np.int32)
    return {**drawn, "action": np.where(exploring, drawn["action"], greedy)}


def _actor_cases() -> list[Case]:
    row = rows(value_targets, value_targets_oracle)
    smooth = "action noise scale clip low high"
    numbers = {"scale": 0.5, "clip": 0.4, "low": -1.0, "high": 1.0}
    per_axis = {**numbers, "low": uniform(-1, 0, (1, 3)), "high": uniform(0, 1, (1, 3))}
    entropy = {"log_temperature": -0.7, "target_entropy": -1.5}
    return [
        *row(
            "deterministic_policy_loss",
            two("action action_gradient"),
            differentiable=("action",),
            axis=-1,
        ),
        *row("smoothed_action", two(smooth, **numbers), axis=-1),
        *row("smoothed_action", {"bounds": draw(smooth, PLAIN, **per_axis)}, axis=-1),
        *row(
            "sac_actor_loss",
            two("log_prob q temperature", temperature=0.2),
            differentiable=("log_prob", "q"),
        ),
        *row(
            "temperature_loss",
            two("log_temperature log_prob target_entropy", **entropy),
            differentiable=("log_temperature",),
            free=("log_prob",),
        ),
    ]


def _distributional_cases() -> list[Case]:
    row = rows(distributional, distributional_oracle)
    projection = "atoms prob support"
    masses = {"atoms": normal(2.0), "prob": simplex, "support": always(BOUNDED)}
    cross = {"target_prob": simplex}
    names, wide = "quantile tau target", {"target": normal(2.0, (6, 3))}
    sampled = {"sampled": draw(names, PLAIN, tau=uniform(0, 1), **wide)}
    shared = {"tau": always([0.125, 0.375, 0.625, 0.875]), "target": normal(2.0, (2, 3, 6))}
    midpoints = {"midpoints": draw(names, (2, 3, 4), **shared)}
    by: dict[str, Any] = {"differentiable": ("quantile",), "axis": -1}
    return [
        *row(
            "categorical_projection",
            two(projection, **masses),
            differentiable=("prob",),
            free=("support",),
            axis=-1,
        ),
        *row(
            "categorical_loss",
            two("logits target_prob", **cross),
            differentiable=("logits",),
            axis=-1,
        ),
        # A level for each sample loses its first axis and is a level for each quantile.
        *row("quantile_huber_loss", sampled, free=("tau",), **by),
        *row("quantile_huber_loss", midpoints, options={"kappa": 0.3}, **by),
        *row(
            "quantile_huber_loss",
            {**sampled, **midpoints},
            options={"kappa": 0.0},
            free=("tau",),
            **by,
        ),
        *row("quantile_midpoints", {"": lambda rng: {}}, options={"num_quantiles": 7}),
    ]


def _selection_cases() -> list[Case]:
    row = rows(selection, selection_oracle)
    covered = {"mask": "mask", "axis": -1}
    uniforms = {"epsilon": 0.5, "noise": _of_actions(uniform(0, 1), 2)}
    each = {**uniforms, "epsilon": uniform(0, 1)}
    noisy = {"noise": _of_actions(gumbel)}
    warm = {**noisy, "temperature": 0.7}
    rounding: dict[str, Any] = {"bfloat16": None}  # of values and noise makes another choice
    cases: list[Case] = [*row("greedy", choices("values"), free=("values",), axis=-1)]
    cases += row("greedy", forbidden("values", "values"), masked=("values",), **covered)
    for formula, names, special, masked, extra in (
        ("epsilon_greedy", "values noise epsilon", uniforms, ("values",), rounding),
        ("epsilon_greedy", "values noise epsilon", each, ("values",), rounding),
        ("boltzmann", "values noise temperature", warm, ("values", "noise"), rounding),
        ("top_k", "values noise", noisy, ("values", "noise"), {"options": {"k": 2}}),
        ("epsilon_greedy_prob", "values epsilon", {"epsilon": 0.3}, ("values",), {}),
        ("boltzmann_prob", "values temperature", {"temperature": 0.7}, ("values",), {}),
    ):
        free = {} if "noise" in names else {"free": ("values",)}
        cases += row(formula, choices(names, **special), axis=-1, **free, **extra)
        draws = forbidden(names, "values", **special)
        cases += row(formula, draws, masked=masked, **covered, **extra)
    return cases


def _planning_cases() -> list[Case]:
    row = rows(planning, planning_oracle)
    states, choice = (4,), (4, 3)
    tables = {"transition": _to_states(simplex), "reward": _to_states(normal())}
    per_state = {"next_value": normal(2.0, states), "discount": uniform(0, 1, states)}
    ways = {"each": tables | per_state, "number": tables | per_state | {"discount": 0.9}}
    names = "transition reward next_value discount"
    draws = {name: draw(names, choice, **special) for name, special in ways.items()}
    chosen = {"prob": lambda rng, shape: simplex(rng, shape)}
    with_prob = {
        name: draw(f"{names} prob", choice, **special, **chosen) for name, special in ways.items()
    }
    by = {"differentiable": ("transition", "reward", "next_value", "discount")}
    smooth = {"differentiable": ("reward", "next_value")}
    return [
        *row("action_backup", {"each": draws["each"]}, **by),
        *row("action_backup", {"number": draws["number"]}, **smooth),
        *row("expectation_backup", with_prob, **smooth),
        *row("optimality_backup", draws, **smooth),
    ]


def _to_states(recipe: Recipe, num_states: int = 4) -> Recipe:
    return lambda rng, shape: recipe(rng, (*shape, num_states))


def _trace_cases() -> list[Case]:
    row = rows(traces, traces_oracle)
    drawn = two("trace visit decay", visit=_flags, decay=0.7)
    drawn |= {"each": draw("trace visit decay", PLAIN, visit=_flags, decay=uniform(0, 1))}
    by = {"differentiable": ("trace",)}
    return [*row("accumulating_trace", drawn, **by), *row("replacing_trace", drawn, **by)]


def _flags(rng: np.random.Generator, shape: Shape) -> np.ndarray:
    return rng.random(shape) < 0.3


CASES = [
    *_planning_cases(),
    *_trace_cases(),
    *_state_value_cases(),
    *_target_cases(),
    *_actor_cases(),
    *_distributional_cases(),
    *_selection_cases(),
    *PREFERENCE_CASES,
]
