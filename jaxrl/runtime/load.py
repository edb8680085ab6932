"""A run's folder as an object: its settings, its metrics, and its policy, ready to act."""

import dataclasses
import functools
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxrl.runtime import checkpoint, folder, pretrained
from jaxrl.runtime.folder import CHECKPOINTS, CLOCK, CONFIG, EVALUATION, METRICS, POLICY
from jaxrl.runtime.record import Record, read_yaml, record
from jaxrl.runtime.sides import LANGUAGES, Side, side
from jaxrl.runtime.tensors import load as load_tensors
from jaxrl.tasks import prompts_from_text, response_texts
from jaxrl.text import Prompts, Response
from jaxrl.train import Training
from jaxrl.types import Array, Learner, LearnerState, PyTree


@dataclasses.dataclass(frozen=True, eq=False)
class Run:
    """A run's folder. Nothing in it is executed, and no file outside of it is read but the data set
    that a language model was trained on, which its prompts come from.
    """

    folder: Path
    record: Record

    @property
    def name(self) -> str:
        """The folder's own name."""
        return self.folder.absolute().name

    @property
    def algorithm(self) -> str:
        """The algorithm's name."""
        return self.record.algorithm

    @property
    def env_name(self) -> str:
        """The environment's name, or the task's."""
        return self.record.env

    @property
    def env_params(self) -> dict[str, Any]:
        """What was changed of it."""
        return self.record.env_params

    @property
    def config(self) -> Any:
        """The algorithm's configuration."""
        return self.record.config

    @property
    def side(self) -> Side:
        """Whether an agent of an environment was trained, or a language model."""
        return side(self.config)

    @property
    def seeds(self) -> tuple[int, ...]:
        """The seeds that were trained side by side."""
        return tuple(range(self.record.seed, self.record.seed + self.record.seeds))

    @property
    def total_steps(self) -> int:
        """Environment steps, or responses, of each seed."""
        return self.training.total_steps

    @functools.cached_property
    def training(self) -> Training:
        """What `make_train` makes of the settings: its call goes on from `state`."""
        return self.record._replace(devices=1).training()

    @property
    def env(self) -> Any:
        """The environment, or the task."""
        return self.training.env

    @property
    def learner(self) -> Learner:
        """The learner."""
        return self.training.learner

    @property
    def metrics(self) -> dict[str, np.ndarray]:
        """What was measured: "steps" and "seconds" [windows], the rest [seeds, windows].

        NaN where there is nothing, as in a window in which no episode ended. Also while training.
        """
        rows = folder.read_lines(self.folder / METRICS, "seed", "steps")
        rows = rows[: len(rows) // self.record.seeds * self.record.seeds]
        clock = folder.read_lines(self.folder / CLOCK, "steps", "seconds")
        seconds = {row["steps"]: row["seconds"] for row in clock}
        names = [name for name in (rows[0] if rows else {}) if name not in ("seed", "steps")]
        steps = np.array([row["steps"] for row in rows[:: self.record.seeds]], int)
        values = {
            name: np.array([row.get(name) for row in rows], float).reshape(-1, self.record.seeds).T
            for name in names
        }
        times = np.array([seconds.get(x, np.nan) for x in steps.tolist()], float)
        return {"steps": steps, "seconds": times, **values}

    def frame(self) -> Any:
        """The metrics as a pandas frame, a row for each window and seed."""
        try:
            import pandas
        except ImportError as error:
            raise ImportError("frame needs pandas: pip install pandas") from error
        return pandas.DataFrame(folder.read_lines(self.folder / METRICS))

    @property
    def evaluation(self) -> dict[str, Any] | None:
        """The scores at the end of training; None before."""
        path = self.folder / EVALUATION
        if not path.exists():
            return None
        try:
            found = json.loads(path.read_text("utf-8"))
            _ = [row["mean_return"] for row in found["per_seed"]]
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"{path} is damaged") from error
        return found

    @property
    def best_seed(self) -> int:
        """The seed of the highest score; the first one before there is a score."""
        rows = (self.evaluation or {}).get("per_seed", [])
        best = max(rows, key=lambda row: row["mean_return"] or -np.inf, default=None)
        return self.seeds[0] if best is None else best["seed"]

    def state(self, seed: int | None = None) -> PyTree:
        """The newest whole state of a seed, to go on training with `run.training(key, state)`."""
        like = jax.eval_shape(self.training.algorithm.init, jax.random.key(0))
        lane, problems = self._lane(seed), []
        for found in checkpoint.readable(self.folder / CHECKPOINTS):
            if not isinstance(found, ValueError):
                values = {
                    name.removeprefix("state/"): x[lane]
                    for name, x in found.arrays.items()
                    if name.startswith("state/")
                }
                return checkpoint.restore(like, values, found.path)
            problems.append(str(found))
        raise ValueError((*problems, f"{self.folder} has no checkpoint yet")[0])

    def learner_state(self, seed: int | None = None) -> LearnerState:
        """What a seed has learnt: parameters, and statistics of normalisation."""
        return self._learnt(self._lane(seed))

    @functools.lru_cache(maxsize=4)  # noqa: B019 - a run is small, and lives as long as it is used
    def _learnt(self, lane: int) -> LearnerState:
        path = self.folder / POLICY
        if not path.exists():
            return self.state(self.seeds[lane]).learner
        state = jax.eval_shape(self.training.algorithm.init, jax.random.key(0))
        values = {name: x[lane] for name, x in load_tensors(path)[0].items()}
        return checkpoint.restore(state.learner._replace(opt_state=()), values, path)

    def act(
        self, obs: PyTree, key: Array | None = None, seed: int | None = None, carry: PyTree = None
    ) -> Any:
        """The action for one observation; with a key it is drawn from the policy.

        Args:
          seed: whose policy; by default the one of the highest score.
          carry: for a policy with memory, what the call before gave, or `run.carry()`; then the
            result is (action, carry).
        """
        if self.side is LANGUAGES:
            raise ValueError(f"{self.algorithm} answers prompts: ask run.answer(text)")
        given = self.carry() if carry is None else carry
        action, after = self._act(self.learner_state(seed), obs, key, given)
        return action if carry is None else (action, after)

    def answer(
        self, text: str | Sequence[str], key: Array | None = None, seed: int | None = None
    ) -> Any:
        """The language model's answer to a prompt, or to each of several; with a key it is drawn.

        Args:
          seed: whose policy; by default the one of the highest score.
        """
        if self.side is not LANGUAGES:
            raise ValueError(f"{self.algorithm} acts in {self.env_name}: ask run.act(obs)")
        texts, tokenizer = [text] if isinstance(text, str) else list(text), self.env.tokenizer
        room = len(self.env.train.token)
        for prompt in texts:
            if not 0 < (length := len(tokenizer.encode(prompt))) <= room:
                raise ValueError(f"text must be of 1 to {room} tokens, not {length}: {prompt!r}")
        prompts = prompts_from_text(tokenizer, texts, room)
        response = self._answer(self.learner_state(seed), prompts, key)
        answers = [said for (said,) in response_texts(tokenizer, response)]
        return answers[0] if isinstance(text, str) else answers

    @functools.cached_property
    def _answer(self) -> Any:
        learner = self.learner

        @jax.jit
        def answer(state: LearnerState, prompts: Prompts, key: Array | None) -> Response:
            noise = None if key is None else learner.noise(key, (len(prompts.index), 1))
            return learner.act(state, prompts, noise, ())[0]

        return answer

    def carry(self) -> PyTree:
        """The memory at the start of an episode."""
        return jax.tree.map(lambda x: x[0], self.learner.carry(jax.random.key(0), 1))

    @functools.cached_property
    def _act(self) -> Any:
        learner = self.learner

        @jax.jit
        def act(state: LearnerState, obs: PyTree, key: Array | None, carry: PyTree) -> Any:
            obs, carry = jax.tree.map(lambda x: jnp.asarray(x)[None], (obs, carry))
            noise = None if key is None else learner.noise(key, (1,))
            action, _, carry = learner.act(state, obs, noise, carry)
            return jax.tree.map(lambda x: x[0], (action, carry))

        return act

    def _lane(self, seed: int | None) -> int:
        chosen = self.best_seed if seed is None else seed
        if chosen not in self.seeds:
            raise ValueError(f"seed must be one of {self.seeds}, not {seed!r}")
        return self.seeds.index(chosen)


def load(path: Any) -> Run:
    """The run in a folder.

    >>> load("nowhere")
    Traceback (most recent call last):
      ...
    ValueError: 'nowhere' is no run's folder: it has no config.yaml
    """
    where = Path(path)
    if not (where / CONFIG).is_file():
        raise ValueError(f"{str(path)!r} is no run's folder: it has no {CONFIG}")
    try:
        return Run(where, record(read_yaml(where / CONFIG), pretrained.origin(str(where))))
    except (TypeError, ValueError) as error:
        raise ValueError(f"{where / CONFIG} describes no run of this version: {error}") from error
