"""Methods of language compared: from one start, for one price, after one effort of tuning.

python -m benchmarks.language [--only METHOD:TASK ...] [--seeds N] [--write]: trains the rows asked
for, all of them by default, and keeps them in benchmarks/results/language.json; --write puts the
table of all kept rows into README.md and their curves into docs/language.png and
docs/preferences.png (alone, with --only and no row, it trains nothing).

Every method starts from the same parameters, those of a few steps of imitation with the seed, and
learns until each seed has generated the task's budget of tokens; whatever was generated counts,
kept or not. Methods that learn from preferences compare the best and the worst of what the start,
or online the policy, said to a prompt, by the same rewards; a response counts each time it is
learnt from. The rate and one number of the method's own, its clip range or β, are chosen first,
from a grid of as many settings for each, with other seeds and half of the budget, by prompts that
do not count for the score. Responses that are kept from the start are learnt from again and again:
rates are lower there, and the whole budget is tried.
"""

import argparse
import functools
import json
import platform
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks import language_report
from jaxrl.algorithms import lm_sft
from jaxrl.config import replace
from jaxrl.families.language import LanguageSetting, model, text_of, voice
from jaxrl.formulas.divergences import k1
from jaxrl.formulas.reduce import sequence_sum
from jaxrl.language_zoo import LANGUAGE, compares, language_config
from jaxrl.loops.run import nothing
from jaxrl.runtime.devices import use_all_cores
from jaxrl.runtime.sweep import Lane, spread
from jaxrl.tasks import addition, random_walks
from jaxrl.text import Task, take
from jaxrl.train import Carried, Training
from jaxrl.train_language import make_language_train
from jaxrl.types import Array, LearnerState, Metrics, PyTree

RESULTS = Path(__file__).parent / "results" / "language.json"
RATES, KEPT_RATES = (1e-4, 3e-4, 1e-3), (1e-5, 3e-5, 1e-4)  # of Adam
FACTORS = (1.0, 3.0)  # of what `turned` names
NUM_TRIALS = len(RATES) * len(FACTORS)  # of each method
TUNING_SEEDS = (1000, 1001)
TUNING_SHARE, KEPT_SHARE = 0.5, 1.0  # of the budget: what learns from kept responses again and
# again may learn too much, late
SIZES = {"num_prompts": 32, "group_size": 8, "num_epochs": 1, "num_minibatches": 4}
MODEL = {"num_layers": 2, "width": 64, "num_heads": 4, "early_stop": False}
NO_END = 10**9  # updates: a rate that does not fall knows of no end


class Exercise(NamedTuple):
    """A task, where learning starts, and how far it may go."""

    task: Callable[[], Task]
    first_steps: int  # of imitation before the start
    budget: int  # tokens that each seed may generate
    window: int  # updates between two evaluations


class Method(NamedTuple):
    """What the table calls it, and what it is."""

    title: str
    algorithm: str
    changes: dict[str, Any] | None = None


class Knobs(NamedTuple):
    """What is tuned."""

    rate: Any
    factor: Any


EXERCISES = {
    "addition": Exercise(lambda: addition(2, num_test=400), 400, 120_000, 15),
    "walks": Exercise(lambda: random_walks(8, num_test=64), 100, 80_000, 10),
}
BUDGETS = {name: exercise.budget for name, exercise in EXERCISES.items()}
SHOWN = {"num_prompts": 256, "group_size": 1}  # as many demonstrations as others have responses
# Four steps need a ratio: that of whole responses, clipped.
CLIPPED = {"surrogate": "clipped", "ratio": "total"}
METHODS = (
    Method("SFT", "lm_sft", SHOWN),
    Method("PPO", "lm_ppo"),
    Method("GRPO", "lm_grpo"),
    Method("Dr.GRPO", "lm_dr_grpo"),
    Method("DAPO", "lm_dapo"),
    Method("GSPO", "lm_gspo"),
    Method("GSPO-token", "lm_gspo_token"),
    Method("DCPO", "lm_dcpo"),
    Method("CISPO", "lm_cispo"),
    Method("RLOO", "lm_rloo", CLIPPED),
    Method("REINFORCE++", "lm_reinforce_pp"),
    Method("ReMax", "lm_remax", CLIPPED),
    Method("GRPO-steps", "lm_grpo_steps"),
    Method("GRPO-iterative", "lm_iterative_grpo"),
    Method("DPO", "lm_dpo"),
    Method("DPO-online", "lm_dpo", {"online": True}),
    Method("cDPO", "lm_cdpo"),
    Method("robust-DPO", "lm_robust"),
    Method("IPO", "lm_ipo"),
    Method("hinge", "lm_hinge"),
    Method("SimPO", "lm_simpo"),
    Method("ORPO", "lm_orpo"),
    Method("KTO", "lm_kto"),
    Method("RRHF", "lm_rrhf"),
)
ROWS = {f"{m.title}:{name}": (m, name) for name in EXERCISES for m in METHODS}


def tuned(method: Method, knobs: Knobs) -> Any:
    """The configuration of a method at some setting of the knobs."""
    config = language_config(method.algorithm, **(SIZES | MODEL | (method.changes or {})))
    return replace(config, lr=knobs.rate, **turned(config, knobs.factor))


def turned(config: Any, factor: Any) -> dict[str, Any]:
    """The method's own number, times a factor: its clip range, its β, or a bound on gradients."""
    bound = {"max_grad_norm": config.max_grad_norm * factor}
    if isinstance(config, lm_sft.Config):
        return bound
    if compares(config):  # RRHF has no β
        return bound if config.loss == "rrhf" else {"beta": config.beta * factor}
    low = config.clip_eps
    high = low if config.clip_eps_high is None else config.clip_eps_high
    low = low if low >= 1 else low * factor  # 1 is no bound
    return {"clip_eps": low, "clip_eps_high": high * factor}


class Search(NamedTuple):
    """What is tried, and how far."""

    trials: list[Knobs]
    share: float  # of the budget


def search(method: Method) -> Search:
    """How a method is tuned."""
    config = tuned(method, Knobs(1.0, 1.0))
    keeps = compares(config) and not config.online
    rates, share = (KEPT_RATES, KEPT_SHARE) if keeps else (RATES, TUNING_SHARE)
    return Search([Knobs(rate, factor) for rate in rates for factor in FACTORS], share)


@functools.cache
def task_of(name: str) -> Task:
    """The task of a row."""
    return EXERCISES[name].task()


class Arguments(NamedTuple):
    """What one lane is given."""

    knobs: Knobs
    seed: Any
    start: PyTree  # parameters


def lane(method: Method, name: str) -> Lane:
    """A training of a method on a task, in pieces."""

    def training(knobs: Knobs) -> Training:
        return make_language_train(tuned(method, knobs), task_of(name), NO_END)

    def begin(given: Arguments) -> Carried:
        algorithm = training(given.knobs).algorithm
        state = algorithm.init(jax.random.key(given.seed), given.start)
        return Carried(state, nothing(algorithm, state))

    def close(carried: Carried, given: Arguments) -> tuple[Carried, dict[str, Array]]:
        this = training(given.knobs)
        after, metrics = this.close(carried)
        state: Any = carried.state  # of a loop of prompts
        spent = {"tokens": state.num_tokens} | numbers(metrics)
        return after, spent | measured(this, tuned(method, given.knobs), carried, given.start)

    def advance(num: Array, carried: Carried, given: Arguments) -> Carried:
        return training(given.knobs).advance(carried, num)

    return Lane(begin, advance, close)


def numbers(metrics: Metrics) -> dict[str, Array]:
    """What a window says of its training."""
    # Of responses that were generated: those that are left out teach nothing.
    generated = metrics["episode_length"].count
    means = {
        "length": "episode_length",
        "clipped": "clip_fraction",
        "equal": "equal_groups",
        "useful": "compared",  # of prompts
    }
    shown = {ours: metrics[name].mean for ours, name in means.items() if name in metrics}
    if "response_utilisation" in metrics:
        shown["useful"] = metrics["response_utilisation"].total / generated
    return shown | {"refused": metrics["refused"].total}


def measured(this: Training, config: Any, carried: Carried, start: PyTree) -> dict[str, Array]:
    """Scores on the test prompts, and how far the policy is from its start there.

    The first half of the prompts is what settings are chosen by, the second what is reported.
    """
    task, learnt = this.env, carried.state.learner
    half = len(task.test.index) // 2
    greedy = this.score(carried.state, 0, 2 * half).episode_return
    kl, entropy = distance(this, config, learnt, start)
    return {
        "chosen_by": greedy[:half].mean(),
        "score": greedy[half:].mean(),
        "right": (greedy[half:] > 1 - 1e-6).mean(dtype=jnp.float32),
        "kl": kl,
        "entropy": entropy,
    }


def distance(
    this: Training, config: Any, learnt: LearnerState, start: PyTree
) -> tuple[Array, Array]:
    """KL(π ‖ π_start) and entropy of a response to a test prompt, in nats, from one of each."""
    task, key = this.env, jax.random.key(0)
    prompts = take(task.test, jnp.arange(len(task.test.index)))
    noise = this.learner.noise(key, (len(prompts.index), 1))
    said = this.learner.act(learnt, prompts, noise, ())[0]
    speaker = voice(model(config, LanguageSetting(task, 1)), task, 1.0)
    before = speaker.read(start, text_of(prompts, said))[0]
    apart, surprise = k1(said.log_prob - before), -said.log_prob
    return sequence_sum(apart, said.mask), sequence_sum(surprise, said.mask)


@functools.cache
def starts(name: str, num_seeds: int) -> tuple[PyTree, PyTree]:
    """Parameters after some imitation, one set for each seed; the same for those of tuning."""
    steps = EXERCISES[name].first_steps
    config = language_config("lm_sft", **MODEL, demonstration_steps=steps, demonstration_lr=3e-3)
    this = make_language_train(config, task_of(name), NO_END)

    ours, others = slice(num_seeds), slice(num_seeds, None)

    def begin(seed: Array) -> PyTree:
        return this.learner.init(jax.random.key(seed), None).params

    seeds = np.array([*range(num_seeds), *TUNING_SEEDS])
    alone = Lane(begin, lambda num, carried, seed: carried, lambda carried, seed: (carried, ()))
    made = jax.device_get(spread(alone, jax.devices()).begin((seeds,)))
    return jax.tree.map(lambda x: x[ours], made), jax.tree.map(lambda x: x[others], made)


class Window(NamedTuple):
    """What was measured at one point of training, of each lane, and the seconds up to it."""

    seconds: float
    numbers: dict[str, np.ndarray]


def trained(compiled: Lane, given: Arguments, budget: float, width: int) -> list[Window]:
    """Windows of training, the first one before any, until every lane has spent its budget."""
    carried = compiled.begin((given,))
    windows, seconds = [], 0.0
    while not windows or windows[-1].numbers["tokens"].min() < budget:
        if windows:
            since = time.perf_counter()
            carried = jax.block_until_ready(compiled.advance(jnp.int32(width), carried, (given,)))
            seconds += time.perf_counter() - since
        carried, result = compiled.close(carried, (given,))
        windows.append(Window(seconds, jax.device_get(result)))
    return windows


def at(windows: list[Window], budget: float, name: str) -> np.ndarray:
    """A number of each lane where it has spent so many tokens."""
    tokens, values = (np.stack([w.numbers[n] for w in windows], 1) for n in ("tokens", name))
    return np.array([np.interp(budget, *row) for row in zip(tokens, values, strict=True)])


def chosen(compiled: Lane, how: Search, name: str, num_lanes: int) -> tuple[Knobs, list[float]]:
    """The best of some settings, and the score of each: as many waves as the trials take."""
    exercise = EXERCISES[name]
    lanes = [(*knobs, i) for knobs in how.trials for i in range(len(TUNING_SEEDS))]
    begun = starts(name, num_lanes)[1]
    budget, scores = how.share * exercise.budget, []
    for first in range(0, len(lanes), num_lanes):
        here = [lanes[min(i, len(lanes) - 1)] for i in range(first, first + num_lanes)]
        rate, factor, place = map(np.array, zip(*here, strict=True))
        knobs = Knobs(rate.astype(np.float32), factor.astype(np.float32))
        start = jax.tree.map(lambda x, i=place: x[i], begun)
        given = Arguments(knobs, np.take(TUNING_SEEDS, place), start)
        windows = trained(compiled, given, budget, exercise.window)
        scores += at(windows, budget, "chosen_by").tolist()
    means = np.reshape(scores[: len(lanes)], (len(how.trials), -1)).mean(1)
    return how.trials[int(means.argmax())], means.round(4).tolist()


def compare(method: Method, name: str, num_seeds: int) -> dict[str, Any]:
    """Tune a method on a task, and train it with all seeds; what is kept of that."""
    exercise, began = EXERCISES[name], time.perf_counter()
    compiled = spread(lane(method, name), jax.devices())
    knobs, scores = chosen(compiled, search(method), name, num_seeds)
    seeds = np.arange(num_seeds)
    every = jax.tree.map(lambda x: np.full(num_seeds, x, np.float32), knobs)
    given = Arguments(every, seeds, starts(name, num_seeds)[0])
    windows = trained(compiled, given, exercise.budget, exercise.window)
    return {
        "rate": knobs.rate,
        "factor": knobs.factor,
        "trials": scores,
        "refused": int(sum(w.numbers["refused"].sum() for w in windows)),
        "all_seconds": round(time.perf_counter() - began),
        "seconds": [round(w.seconds, 2) for w in windows],
        **kept_of(windows),
    }


def kept_of(windows: list[Window]) -> dict[str, Any]:
    """Tokens and scores of each seed, and the means over seeds of the rest, window by window."""
    names = [n for n in windows[-1].numbers if n not in ("refused", "chosen_by")]
    columns = {n: np.stack([w.numbers[n] for w in windows], 1).astype(float) for n in names}
    whole = ("tokens", "score", "right")
    rest = {n: [_short(x) for x in columns[n].mean(0)] for n in names if n not in whole}
    return rest | {
        "tokens": columns["tokens"].astype(int).tolist(),
        **{n: columns[n].round(4).tolist() for n in whole[1:]},
    }


def _short(x: float) -> float | None:
    return None if np.isnan(x) else float(f"{x:.4g}")


def kept() -> dict[str, Any]:
    """The results of all rows that ever ran."""
    return json.loads(RESULTS.read_text("utf-8")) if RESULTS.exists() else {}


def keep(title: str, result: dict[str, Any]) -> None:
    """Put a row's result beside the others; another process may have written meanwhile."""
    RESULTS.parent.mkdir(exist_ok=True)
    results = sorted((kept() | {title: result}).items())
    rows = [f"{json.dumps(name)}: {json.dumps(row)}" for name, row in results]
    RESULTS.write_text("{" + ",\n".join(rows) + "}\n", "utf-8")  # a line for each row


def figures() -> dict[str, list[str]]:
    """File -> the methods whose curves it shows."""
    pairs = [m.title for m in METHODS if compares(LANGUAGE[m.algorithm].config)]
    others = [m.title for m in METHODS if m.title not in pairs]
    return {"language.png": others, "preferences.png": ["SFT", "GRPO", *pairs]}


def main() -> None:
    """Train, keep, print, and write if asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    rows = {title: row for title, row in ROWS.items() if row[0].algorithm in LANGUAGE}
    parser.add_argument("--only", nargs="*", choices=rows, default=rows, metavar="METHOD:TASK")
    parser.add_argument("--seeds", type=int, default=12, help="of each row; cores divide it")
    parser.add_argument("--write", action="store_true", help="table and figure of all kept rows")
    options = parser.parse_args()
    cores = use_all_cores()
    rates = f"rates {RATES}, of kept responses {KEPT_RATES}"
    grid = f"{NUM_TRIALS} trials a row: {rates} × factors {FACTORS}, {len(TUNING_SEEDS)} seeds"
    print(grid, flush=True)
    for title in options.only:
        method, name = rows[title]
        result = compare(method, name, options.seeds)
        keep(title, result)
        print(title, *language_report.line(result, BUDGETS[name]), sep=" | ", flush=True)
    if options.write:
        head = (
            f"`python -m benchmarks.language --write`, jax {jax.__version__}, Python "
            f"{platform.python_version()}, {jax.devices()[0].device_kind}, {cores} cores. "
            f"{grid}."
        )
        language_report.write(head, kept(), list(ROWS), BUDGETS)
        for file, titles in figures().items():
            language_report.draw(file, kept(), titles, BUDGETS)


if __name__ == "__main__":
    main()
