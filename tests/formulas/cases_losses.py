"""Cases of ratios, policy and value losses, divergences, reductions and log-probabilities."""

import itertools
from typing import Any

import numpy as np

from jaxrl.formulas import (
    divergences,
    log_probs,
    policy_losses,
    ratios,
    reduce,
    value_losses,
)
from tests.formulas.case import Case
from tests.formulas.draw import (
    DEEP,
    EMPTY,
    LINE,
    PLAIN,
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
from tests.oracles import divergences as divergences_oracle
from tests.oracles import log_probs as log_probs_oracle
from tests.oracles import policy_losses as policy_losses_oracle
from tests.oracles import ratios as ratios_oracle
from tests.oracles import reduce as reduce_oracle
from tests.oracles import value_losses as value_losses_oracle


def _ratio_cases() -> list[Case]:
    row = rows(ratios, ratios_oracle)
    pair = "log_prob old_log_prob"
    covered = {"mask": "mask", "masked": ("log_prob", "old_log_prob")}
    smooth = {"differentiable": ("log_prob", "old_log_prob")}
    masked = {
        **shapes(f"{pair} mask"),
        "empty": draw(f"{pair} mask", PLAIN, mask=always(EMPTY, bool)),
    }
    return [
        *row("token_log_ratio", two(pair), **smooth),
        *row("token_log_ratio", masked, **covered, **smooth),
        *row("sequence_log_ratio", masked, **covered, **smooth),
        *row("total_log_ratio", masked, **covered, **smooth),
        *row(
            "gspo_token_log_ratio",
            masked,
            **covered,
            differentiable=("log_prob",),
            value_gradient=False,
        ),
    ]


def _weight_cases() -> list[Case]:
    row = rows(ratios, ratios_oracle)
    alone = {"free": ("log_ratio",), "axis": None}
    keep = "advantage log_ratio mask threshold"
    keep_fields = {"mask": "mask", "masked": ("advantage", "log_ratio")}
    bounds = draw("old_log_prob", PLAIN, old_log_prob=uniform(-9.0, 0.0))
    return [
        *row(
            "dynamic_bounds",
            {"wide": bounds, "line": draw("old_log_prob", LINE)},
            options={"eps_low": 0.16, "eps_high": 0.2},
            free=("old_log_prob",),
            axis=None,
        ),
        *row(
            "truncated_weight",
            {
                "number": draw("log_ratio maximum", PLAIN, maximum=1.2),
                "array": draw("log_ratio maximum", DEEP, maximum=uniform(0.8, 1.2, (1, 2, 3))),
            },
            **alone,
            differentiable=("log_ratio",),
            value_gradient=False,
        ),
        *row(
            "masked_weight",
            {
                "numbers": draw("log_ratio lower upper", PLAIN, lower=0.7, upper=1.4),
                "arrays": draw("log_ratio lower upper", DEEP),
            },
            **alone,
            differentiable=("log_ratio",),
            value_gradient=False,
        ),
        *row("retrace_weight", {"number": draw("log_ratio lam", PLAIN, lam=0.9)}, **alone),
        *row("retrace_weight", {"array": draw("log_ratio lam", DEEP)}, **alone),
        *row("off_policy_mask", two(keep, threshold=0.05), **keep_fields),
        *row(
            "off_policy_mask",
            {"empty": draw(keep, PLAIN, threshold=0.05, mask=always(EMPTY, bool))},
            **keep_fields,
        ),
    ]


def _policy_loss_cases() -> list[Case]:
    row = rows(policy_losses, policy_losses_oracle)
    bounds = {"lower": 0.8, "upper": 1.28}
    clip = "log_ratio advantage lower upper"

    def clipped(names: str, **special: float) -> dict[str, Any]:
        return {
            **two(names, **special),
            "numbers": draw(names, PLAIN, **bounds, **special),
            "wide": draw(names, PLAIN, log_ratio=normal(3.0), advantage=normal(3.0), **special),
        }

    by_ratio = {"differentiable": ("log_ratio",)}
    behind = {"differentiable": ("log_ratio", "behaviour_log_ratio"), "value_gradient": False}
    penalty = "log_ratio advantage kl beta"
    adaptive, proportional = "beta kl target", "beta kl target num_steps horizon"
    control = {"axis": None, "free": ("kl",)}
    coefficient = {"beta": uniform(0.1, 1.0, ()), "kl": uniform(0.0, 0.4, ()), "target": 0.1}
    steps = {"num_steps": 64.0, "horizon": 1000.0}
    return [
        *row("policy_gradient", two("log_prob advantage"), differentiable=("log_prob",)),
        *row("importance_weighted", two("log_ratio advantage"), **by_ratio),
        *row("clipped_surrogate", clipped(clip), **by_ratio),
        *row("dual_clipped_surrogate", clipped(f"{clip} ceiling", ceiling=1.6), **by_ratio),
        *row(
            "cispo",
            clipped(f"log_prob {clip}"),
            differentiable=("log_prob", "log_ratio"),
            value_gradient=False,
        ),
        *row(
            "decoupled_surrogate",
            clipped(f"log_ratio behaviour_log_ratio {clip[10:]} maximum", maximum=1.1),
            **behind,
        ),
        *row("not_clipped", clipped(clip), bfloat16=None),
        *row("kl_penalised", two(penalty, beta=0.1), differentiable=("log_ratio", "kl")),
        *row("adaptive_kl_coefficient", {"scalar": draw(adaptive, (), **coefficient)}, **control),
        *row(
            "adaptive_kl_coefficient",
            {"scalar": draw(adaptive, (), **coefficient)},
            options={"tolerance": 1.1, "factor": 1.5},
            **control,
        ),
        *row(
            "proportional_kl_coefficient",
            {"scalar": draw(proportional, (), **coefficient, **steps)},
            **control,
        ),
    ]


def _value_loss_cases() -> list[Case]:
    row = rows(value_losses, value_losses_oracle)
    pair, by_value = "value target", {"differentiable": ("value",)}
    masked = {
        **two(f"{pair} mask"),
        "empty": draw(f"{pair} mask", PLAIN, mask=always(EMPTY, bool)),
    }
    constant = {"constant": draw(f"{pair} mask", PLAIN, target=always(np.full(PLAIN, 0.7)))}
    covered = {"mask": "mask", "masked": ("value", "target")}
    of_error: Any = {"differentiable": ("error",), "free": ("error",)}
    return [
        *row("squared_loss", two(pair), **by_value),
        *row("squared_distance", two("x y"), differentiable=("x", "y"), axis=-1),
        *row("huber_loss", two(pair), **by_value),
        *row("huber_loss", {"delta": draw(f"{pair} delta", PLAIN, delta=0.3)}, **by_value),
        *row("expectile_loss", {"number": draw(f"{pair} tau", PLAIN, tau=0.9)}, **by_value),
        *row("sequence_priority", shapes("error share", share=0.9), **of_error),
        *row(
            "expectile_loss",
            {"array": draw(f"{pair} tau", DEEP, tau=uniform(0.1, 0.9, (1, 2, 3)))},
            **by_value,
        ),
        *row("clipped_value_loss", two("value old_value target eps", eps=0.2), **by_value),
        *row("explained_variance", two(pair), **by_value),
        *row("explained_variance", masked, **by_value, **covered),
        *row("explained_variance", constant, **covered),
    ]


def _blocked(*columns: int) -> Recipe:
    """Logits of which some categories are impossible everywhere."""

    def recipe(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
        logits = normal(2.0)(rng, shape)
        logits[..., list(columns)] = -np.inf
        return logits

    return recipe


def _divergence_cases() -> list[Case]:
    row = rows(divergences, divergences_oracle)
    by_ratio = {"differentiable": ("log_ratio",), "free": ("log_ratio",), "axis": None}
    wide, both = (*PLAIN, 4), "logits other_logits"
    legal = {
        "plain": draw(both, wide),
        "deep": draw(both, (*DEEP, 3)),
        "same mask": draw(both, wide, logits=_blocked(0, 2), other_logits=_blocked(0, 2)),
        "fewer": draw(both, wide, logits=_blocked(1, 3)),
    }
    entropies = {
        "plain": draw("logits", wide),
        "blocked": draw("logits", wide, logits=_blocked(1)),
        "certain": draw("logits", wide, logits=_blocked(0, 1, 3)),
    }
    gaussian = "mean log_std other_mean other_log_std"
    last = {"axis": -1}
    return [
        *row("k1", two("log_ratio"), **by_ratio),
        *row("k2", two("log_ratio"), **by_ratio),
        *row("k3", two("log_ratio"), **by_ratio),
        *row("k3_corrected", two("log_ratio"), **by_ratio, value_gradient=False),
        *row("categorical_kl", legal, differentiable=("logits", "other_logits"), **last),
        *row(
            "gaussian_kl",
            {"plain": draw(gaussian, wide), "deep": draw(gaussian, (*DEEP, 1))},
            differentiable=tuple(gaussian.split()),
            **last,
        ),
        *row(
            "categorical_entropy", entropies, differentiable=("logits",), free=("logits",), **last
        ),
        *row(
            "gaussian_entropy",
            two("log_std"),
            differentiable=("log_std",),
            free=("log_std",),
            **last,
        ),
    ]


def _reduce_cases() -> list[Case]:
    row = rows(reduce, reduce_oracle)
    masked = {
        **shapes("x mask"),
        "empty": draw("x mask", PLAIN, mask=always(EMPTY, bool)),
    }
    fields = {"mask": "mask", "masked": ("x",), "differentiable": ("x",)}
    cases = []
    variants = [
        ("masked_sum", {}),
        ("masked_mean", {}),
        ("masked_var", {}),
        ("masked_var", {"ddof": 1}),
    ]
    axes = {
        None: ("line", "plain", "empty"),
        0: ("plain", "empty"),
        -1: ("deep",),
        (0, 1): ("deep",),
    }
    for (formula, static), (axis, names) in itertools.product(variants, axes.items()):
        draws = {name: masked[name] for name in names}
        cases += row(formula, draws, options={"axis": axis, **static}, **fields)
    for formula in ("token_count", "sequence_count"):
        masks = {
            **shapes("mask"),
            "empty": draw("mask", PLAIN, mask=always(EMPTY, bool)),
        }
        cases += row(formula, masks, free=("mask",), axis=None)
    for formula in ("token_mean", "sequence_mean", "sequence_sum", "only_token_mean"):
        cases += row(formula, masked, **fields)
        shared = draw("x mask denominator", PLAIN, denominator=7.0)
        array = draw("x mask denominator", DEEP, denominator=uniform(1.0, 9.0, ()))
        cases += row(formula, {"shared": shared, "shared array": array}, **fields)
    lengths = {
        "alone": draw("x mask length", PLAIN, length=10.0),
        "shared": draw("x mask length denominator", DEEP, length=10.0, denominator=7.0),
    }
    return cases + row("fixed_length", lengths, **fields)


def _log_prob_cases() -> list[Case]:
    row = rows(log_probs, log_probs_oracle)
    wide = (*PLAIN, 5)
    action = {"action": integers(5, PLAIN)}
    blocked = {"logits": _blocked(1, 4), "action": always(np.tile([0, 2, 3], (6, 1)), np.int32)}
    draws = {
        "plain": draw("logits action", wide, **action),
        "deep": draw("logits action", (*DEEP, 3), action=integers(3, DEEP)),
        "blocked": draw("logits action", wide, **blocked),
    }
    hidden = draw(
        "hidden unembedding action",
        (),
        hidden=normal(shape=(*PLAIN, 4)),
        unembedding=normal(shape=(4, 7)),
        action=integers(7, PLAIN),
    )
    by_logits = {"differentiable": ("logits",)}
    by_hidden = {"differentiable": ("hidden", "unembedding"), "bfloat16": 0.1}
    return [
        *row("selected_log_prob", draws, **by_logits),
        *row("log_prob_and_entropy", draws, **by_logits),
        *row("hidden_log_prob_and_entropy", {"whole": hidden}, **by_hidden),
        *row(
            "hidden_log_prob_and_entropy",
            {"chunks": hidden},
            options={"chunk_size": 3},
            **by_hidden,
        ),
    ]


LOSS_CASES = [
    *_ratio_cases(),
    *_weight_cases(),
    *_policy_loss_cases(),
    *_value_loss_cases(),
    *_divergence_cases(),
    *_reduce_cases(),
    *_log_prob_cases(),
]
