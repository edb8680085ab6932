"""Cases of preferences, shaping, imitation and exploration."""

from typing import Any

import numpy as np

from jaxrl.formulas import exploration, imitation, preference, shaping
from tests.formulas.case import Case
from tests.formulas.draw import (
    DEEP,
    EMPTY,
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
from tests.oracles import exploration as exploration_oracle
from tests.oracles import imitation as imitation_oracle
from tests.oracles import preference as preference_oracle
from tests.oracles import shaping as shaping_oracle

Shape = tuple[int, ...]


def tied(rng: np.random.Generator, shape: Shape) -> np.ndarray:
    """Labels of few levels, so that some are tied; all of them in the first list."""
    label = rng.integers(0, 3, shape).astype(np.float32)
    label[(0,) * (len(shape) - 1)] = 1.0
    return label


def lengths(rng: np.random.Generator, shape: Shape) -> np.ndarray:
    """Numbers of tokens, all equal in the first group."""
    length = rng.integers(0, 30, shape).astype(np.int32)
    length[(0,) * (len(shape) - 1)] = 7
    return length


def coin(rng: np.random.Generator, shape: Shape) -> np.ndarray:
    """True as often as false."""
    return rng.random(shape) < 0.5


def _pair_cases() -> list[Case]:
    row = rows(preference, preference_oracle)
    pair = "chosen rejected"
    references = f"{pair} ref_chosen ref_rejected"
    each: dict[str, Any] = {"axis": None, "differentiable": ("chosen", "rejected")}
    alone = {"axis": None, "differentiable": ("margin",), "free": ("margin",)}
    wide = {"margin": normal(5.0)}
    smooth = {**wide, "beta": 0.3, "smoothing": 0.2}
    averages = {k: uniform(-3.0, -0.05) for k in pair.split()}
    arrays = {"margin": uniform(0, 1), "centre": 0.05}
    return [
        *row("preference_margin", shapes(references), **each),
        *row("pairwise_reward_loss", shapes(pair), **each),
        *row("pairwise_reward_loss", two(f"{pair} margin centre", **arrays), **each),
        *row("dpo_loss", two("margin beta", **wide, beta=0.3), **alone),
        *row("dpo_loss", two("margin beta smoothing", **smooth), **alone),
        *row("robust_dpo_loss", two("margin beta smoothing", **smooth), **alone),
        *row("ipo_loss", two("margin beta", beta=0.4), **alone),
        *row("hinge_loss", two("margin beta", beta=0.4), **alone),
        *row("simpo_loss", two(f"{pair} beta gamma", beta=2.0, gamma=0.5), **each),
        *row("orpo_loss", two(f"{pair} beta", **averages, beta=0.4), **each),
    ]


def _response_cases() -> list[Case]:
    row = rows(preference, preference_oracle)
    ranked = {"axis": -1, "differentiable": ("score",)}
    kto = "log_ratio desirable reference beta"
    numbers = {"desirable": coin, "reference": 0.2, "beta": 0.3}
    weights = {"desirable_weight": 1.5, "undesirable_weight": 0.5}
    distances = {"axis": None, "differentiable": ("log_ratio",)}
    one = {"one": draw("score label", (3, 1))}
    tokens = {"logits": normal(shape=(*PLAIN, 5)), "target": integers(5)}
    deep = {"logits": normal(shape=(*DEEP, 2)), "target": integers(2)}
    return [
        *row("all_pairs_loss", {**shapes("score label"), **one}, **ranked),
        *row("all_pairs_loss", {"ties": draw("score label", PLAIN, label=tied)}, **ranked),
        *row("plackett_luce_loss", {**shapes("score label"), **one}, **ranked),
        *row("plackett_luce_loss", {"ties": draw("score label", DEEP, label=tied)}, **ranked),
        *row("rrhf_loss", shapes("score reward"), **ranked),
        *row("rrhf_loss", {"ties": draw("score reward", PLAIN, reward=tied)}, **ranked),
        *row("best_response_loss", shapes("log_prob reward"), axis=-1),
        *row(
            "best_response_loss",
            {"ties": draw("log_prob reward", PLAIN, reward=tied)},
            axis=-1,
            differentiable=("log_prob",),
        ),
        *row(
            "kto_reference",
            two("log_ratio", log_ratio=lambda rng, shape: normal(0.2)(rng, shape) + 0.5),
            free=("log_ratio",),
            axis=None,
        ),
        *row("kto_loss", shapes(kto, **numbers), **distances),
        *row("kto_loss", two(f"{kto} {' '.join(weights)}", **numbers, **weights), **distances),
        *row("sft_loss", {"plain": draw("logits target", PLAIN, **tokens)}, **_smooth("logits")),
        *row("sft_loss", {"deep": draw("logits target", DEEP, **deep)}, **_smooth("logits")),
    ]


def _smooth(*names: str) -> dict[str, Any]:
    return {"differentiable": names}


def _shaping_cases() -> list[Case]:
    row = rows(shaping, shaping_oracle)
    names = "score log_prob ref_log_prob mask beta"
    score: dict[str, Recipe | float] = {"score": lambda rng, shape: normal(2.0)(rng, shape[1:])}
    score |= {"ref_log_prob": uniform(-4.0, -0.05), "beta": 0.1}
    replies = {
        **shapes(names, **score),
        "empty": draw(names, PLAIN, **score, mask=always(EMPTY, bool)),
        "per sequence": draw(names, PLAIN, **{**score, "beta": uniform(0, 1, (1, 3))}),
    }
    covered = {"mask": "mask", "masked": ("log_prob", "ref_log_prob")}
    by = ("score", "log_prob", "ref_log_prob")
    overlong = {"length": lengths, "max_length": 20.0, "cache": 8.0}
    linear = {"length": lengths, "limit": 10.0, "coefficient": 0.2}
    alone = {"any_dtype": ("length",), "free": ("length",), "axis": None}
    floats = {"length": uniform(0, 30)}
    return [
        *row("kl_reward", replies, **covered, differentiable=by),
        *row("kl_reward", replies, **covered, differentiable=by, options={"clip": 0.8}),
        *row("soft_overlong_penalty", two(" ".join(overlong), **overlong), **alone),
        *row("soft_overlong_penalty", two(" ".join(overlong), **{**overlong, **floats}), **alone),
        *row("linear_length_penalty", two(" ".join(linear), **linear), **alone),
        *row("linear_length_penalty", two(" ".join(linear), **{**linear, **floats}), **alone),
        *row(
            "relative_length_reward",
            shapes("length correct", length=lengths, correct=coin),
            any_dtype=("length",),
            axis=-1,
        ),
        *row(
            "potential_shaping",
            shapes("potential next_potential discount"),
            differentiable=("potential", "next_potential"),
        ),
        *row("potential_shaping", two("potential next_potential discount", discount=0.9)),
    ]


def _imitation_cases() -> list[Case]:
    row = rows(imitation, imitation_oracle)
    tokens = {"logits": normal(shape=(*PLAIN, 5)), "action": integers(5)}
    alone = {"differentiable": ("logit",), "free": ("logit",), "axis": None}
    wide = {"logit": normal(5.0)}
    return [
        *row(
            "cloning_loss", {"plain": draw("logits action", PLAIN, **tokens)}, **_smooth("logits")
        ),
        *row(
            "squared_cloning_loss",
            two("action expert_action"),
            differentiable=("action",),
            axis=-1,
        ),
        *row(
            "discriminator_loss",
            shapes("logit expert", **wide, expert=coin),
            differentiable=("logit",),
            axis=None,
        ),
        *row("gail_reward", two("logit", **wide), **alone),
        *row("airl_reward", two("logit", **wide), **alone),
        *row("saturating_reward", two("logit", **wide), **alone),
    ]


def _exploration_cases() -> list[Case]:
    row = rows(exploration, exploration_oracle)
    features = "prediction feature"
    smooth: dict[str, Any] = {"differentiable": ("prediction", "feature"), "axis": -1}
    tokens = {"logits": normal(shape=(*PLAIN, 5)), "action": integers(5)}
    return [
        *row("icm_forward_loss", shapes(features), **smooth),
        *row("icm_inverse_loss", {"plain": draw("logits action", PLAIN, **tokens)}),
        *row("icm_reward", two(f"{features} scale", scale=0.3), **smooth),
        *row("rnd_error", shapes(features), **smooth),
    ]


PREFERENCE_CASES = [
    *_pair_cases(),
    *_response_cases(),
    *_shaping_cases(),
    *_imitation_cases(),
    *_exploration_cases(),
]
