"""Rainbow, and Rainbow without each of its parts: learning curves side by side.

python -m benchmarks.ablation [--env NAME] [--seeds N] [--write]: trains every variant with the
settings tuned for the environment and draws docs/rainbow.png; --write puts scores into README.md.
"""

import argparse
import platform
from pathlib import Path
from typing import Any

import jax
import numpy as np
from matplotlib import rc_context
from matplotlib.figure import Figure

from benchmarks.readme import put, table
from jaxrl import zoo
from jaxrl.runtime.devices import use_all_cores
from jaxrl.runtime.plots import COLOURS, DASHES, INTERVAL, STYLE
from jaxrl.runtime.statistics import band, bootstrap_interval, iqm, smooth
from jaxrl.runtime.sweep import Sweep, sweep

PICTURE = Path(__file__).parents[1] / "docs" / "rainbow.png"
NUM_EPISODES = 64
VARIANTS: dict[str, dict[str, Any]] = {
    "rainbow": {},
    "without double": dict(target="max"),
    "without dueling": dict(dueling=False),
    "without noisy": dict(noisy=None, exploration="epsilon"),
    "without priorities": dict(replay="uniform"),
    "without n-step": dict(n_step=1),
    "without distribution": dict(head="scalar"),
    "none: dqn": dict(
        target="max",
        dueling=False,
        noisy=None,
        exploration="epsilon",
        replay="uniform",
        n_step=1,
        head="scalar",
    ),
}


def train(env: str, changes: dict[str, Any], num_seeds: int) -> Sweep:
    """All seeds of a variant, with a greedy evaluation at the end."""
    config, total_steps = zoo.tuned("rainbow", env, **changes)
    every = total_steps // 25
    return sweep(
        config,
        env,
        num_seeds=num_seeds,
        total_steps=total_steps,
        evaluate_every=every,
        num_eval_episodes=NUM_EPISODES,
    )


def draw(results: dict[str, Sweep], env: str) -> None:
    """The curves of all variants, in two panels that share Rainbow's own."""
    names = list(VARIANTS)[1:]
    with rc_context(STYLE):
        figure = Figure((11, 4.2), layout="constrained")
        panels = figure.subplots(1, 2, sharey=True)
        for axes, part in zip(panels, (names[:3], names[3:]), strict=True):
            for index, name in enumerate(["rainbow", *part]):
                result, colour = results[name], COLOURS[index]
                middle, low, high = band(smooth(result.columns["eval_curve"], 3))
                axes.fill_between(result.steps, low, high, color=colour, alpha=0.15, lw=0)
                dash = DASHES[index % len(DASHES)]
                axes.plot(result.steps, middle, dash, color=colour, lw=2, label=name)
            axes.set(xlabel="environment steps of each seed", ylabel="return of evaluation")
            axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.18), ncols=3, frameon=False)
        figure.suptitle(f"{env}: {INTERVAL}", fontsize=12)
        figure.savefig(PICTURE, dpi=80)


def report(results: dict[str, Sweep], env: str, cores: int) -> str:
    """The table of scores."""
    rows = [["variant", "score after training", "mean of all evaluations"]]
    for name, result in results.items():
        cells = [name]
        for scores in (result.columns["eval"], result.columns["eval_curve"].mean(-1)):
            low, high = bootstrap_interval(np.asarray(scores))
            cells.append(f"{iqm(scores):.0f} [{low:.0f}, {high:.0f}]")
        rows.append(cells)
    result = results["rainbow"]
    head = (
        f"`python -m benchmarks.ablation --write`, {env}, {result.steps[-1]:,} steps, "
        f"{result.num_seeds} seeds, jax {jax.__version__}, Python {platform.python_version()}, "
        f"{cores} cores. IQM [95 % interval]."
    )
    return f"{head}\n\n{table(rows)}\n\n![Rainbow without each of its parts](docs/rainbow.png)"


def main() -> None:
    """Train, draw, print, and write if asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--env", default="CartPole-v1")
    parser.add_argument("--seeds", type=int, default=10, help="of each variant")
    parser.add_argument("--write", action="store_true", help="put the table into README.md")
    options = parser.parse_args()
    cores = use_all_cores()
    results = {}
    for name, changes in VARIANTS.items():
        results[name] = train(options.env, changes, options.seeds)
        print(name, round(float(iqm(results[name].columns["eval"])), 1), flush=True)
    draw(results, options.env)
    text = report(results, options.env, cores)
    print(text)
    if options.write:
        put("ablation", text)


if __name__ == "__main__":
    main()
