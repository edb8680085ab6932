"""What a run leaves behind: scores, the policy, the curve, and a card that tells about all that."""

import shlex
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import jax
import numpy as np

from jaxrl import __version__
from jaxrl.runtime import atomic, checkpoint, folder, functions, plots, tensors
from jaxrl.runtime.drive import Position
from jaxrl.runtime.load import Run, load
from jaxrl.runtime.programs import Programs
from jaxrl.runtime.record import Record
from jaxrl.runtime.statistics import bootstrap_interval, decimals, iqm
from jaxrl.train import Evaluation

CARD = """# {title}

**{score}** mean return on {env}, after {steps:,} {unit} of {algorithm}
{over}, greedy policy, {starts}.

![learning curve]({curve})

## Use it

```python
import jaxrl

run = jaxrl.load("{folder}")
{use}
```

{more}

## Train it again

```sh
{command}
```

jaxrl {version}, jax {jax}.

## Settings

| name | value |
|---|---|
{settings}

## Scores

| seed | mean return | deviation | {episodes} |
|---|---|---|---|
{scores}
"""


def finish(record: Record, made: Programs, position: Position, path: Path) -> Run:
    """Evaluate the policies at the end of training, and write all that is made of them."""
    state = position.carried.state
    played = jax.device_get(made.score(record.config, state))
    seeds = range(record.seed, record.seed + record.seeds)
    folder.write_json(path / folder.EVALUATION, evaluation(seeds, played))
    policy = checkpoint.arrays(state.learner._replace(opt_state=()))
    tensors.save(path / folder.POLICY, policy, {"algorithm": record.algorithm})
    run = load(path)
    title = f"{record.algorithm} on {record.env}"
    plots.curve(path / folder.CURVE, run.metrics, title, run.side.words.steps)
    atomic.write(path / folder.CARD, card(run))
    return run


def evaluation(seeds: Iterable[int], played: Evaluation) -> dict[str, Any]:
    """The scores of [seeds, episodes] as evaluation.json holds them."""

    def numbers(returns: np.ndarray, finished: np.ndarray) -> dict[str, Any]:
        return {
            "mean_return": folder.number(returns.mean()),
            "std_return": folder.number(returns.std()),
            "num_episodes": returns.size,
            "unfinished": int((~finished).sum()),
        }

    lanes = zip(seeds, played.episode_return, played.finished, strict=True)
    per_seed = [{"seed": seed, **numbers(*lane)} for seed, *lane in lanes]
    together = numbers(np.asarray(played.episode_return), np.asarray(played.finished))
    return together | {"per_seed": per_seed}


def score(result: dict[str, Any]) -> str:
    """A score in words: of one seed its mean and deviation, of more their IQM and interval."""
    means = np.array([row["mean_return"] for row in result["per_seed"]], float)
    if len(means) == 1:
        return "{} ± {}".format(*_spread(result["per_seed"][0]))
    return "{} [{}, {}]".format(*decimals(iqm(means), *bootstrap_interval(means)))


def _spread(result: dict[str, Any]) -> list[str]:
    return decimals(result["mean_return"], result["std_return"])


def card(run: Run) -> str:
    """The README of a run's folder."""
    result, words = dict(run.evaluation or {}), run.side.words
    count = f"{result['per_seed'][0]['num_episodes']}"
    episodes = f"{count} {words.episodes}"
    several = f"IQM and 95 % interval over {len(run.seeds)} seeds of {episodes} each"
    settings = [f"| {name} | {value} |" for name, value in run.record.flat().items()]
    rows = [
        f"| {' | '.join([str(row['seed']), *_spread(row), count])} |" for row in result["per_seed"]
    ]
    return CARD.format(
        title=f"{run.algorithm} on {run.env_name}",
        score=score(result),
        unit=words.steps,
        starts=words.starts,
        episodes=words.episodes,
        use=words.use(run.env),
        more=words.more.format(shlex.quote(str(run.folder))),
        env=run.env_name,
        steps=run.total_steps,
        algorithm=run.algorithm,
        over=several if len(run.seeds) > 1 else f"(seed {run.best_seed}, {episodes})",
        curve=folder.CURVE,
        folder=run.folder,
        command=reproduce(run.folder / folder.CONFIG, run.record),
        version=__version__,
        jax=jax.__version__,
        settings="\n".join(settings),
        scores="\n".join(rows),
    )


def reproduce(path: Path, record: Record) -> str:
    """The command that trains with the settings of a file."""
    return shlex.join(["jaxrl", "train", "--config", str(path), *functions.options(record.reward)])
