"""What a run is made of, as a flat YAML file: the same record gives the same run, bit for bit."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from jaxrl.config import hints, replace, title, validate
from jaxrl.families.off_policy import ReplayConfig
from jaxrl.families.settings import imitates, share_of
from jaxrl.language_zoo import compares, learns_from_examples
from jaxrl.names import unknown
from jaxrl.runtime import datasets, functions, pretrained, text_files
from jaxrl.runtime.flags import read
from jaxrl.runtime.sides import LANGUAGES, side
from jaxrl.train import Training, make_offline, with_devices

COUNTS = {"total_steps": 1, "seed": 0, "seeds": 1, "devices": 1}
"""Whole numbers of a record, and their least values."""

OPTIONAL_COUNTS = {"evaluate_every": 1, "checkpoint_every": 1}
MOST = 2**31 - 1
STEPS = {"total_steps", "evaluate_every", "checkpoint_every"}
"""The greatest whole number, and those that may be more than 32 bits hold."""
PATHS = ("dataset", "start", "expert")
NAMES = ("algorithm", "env", "env_params", *PATHS, "reward", *COUNTS, *OPTIONAL_COUNTS)


class Record(NamedTuple):
    """All that decides what a run computes."""

    algorithm: str
    env: str  # or a task's name, where a language model is trained
    env_params: dict[str, Any]
    dataset: str | None  # a file to learn from: rows of replay, or examples of text
    start: str | None  # the folder of a run with whose policy this one begins, or of weights
    expert: str | None  # the folder of a run whose policy is imitated
    reward: str | tuple[str, ...] | None  # what takes the place of the task's: see `functions`
    total_steps: int
    seed: int
    seeds: int
    devices: int
    evaluate_every: int | None
    checkpoint_every: int | None
    config: Any
    origin: str | None = None  # a folder that describes the model, where this is from elsewhere
    called: bool = False  # whether functions that `reward` names may be run

    def training(self, config: Any = None) -> Training:
        """The training of one seed; with a configuration of traced leaves, inside a trace."""
        config = self.config if config is None else config
        budget, params = (self.total_steps, self.evaluate_every), self.env_params
        if self.dataset is None or side(config) is LANGUAGES or learns_by_acting(config):
            made = side(config).train(config, self.lessons(), *budget, **self.options())
            shared = self.seeds == 1 < self.devices
            return with_devices(made, config, self.devices) if shared else made
        data = datasets.rows(self.dataset, config, self.env, self.env_params)
        return make_offline(config, self.env, data, *budget, env_params=params)

    def world(self) -> Any:
        """The environment, or the task with whatever takes the place of its reward."""
        return self._judged(self._named())

    def lessons(self) -> Any:
        """The world that is learnt in: a task whose prompts may be those of a file."""
        world = self._named()
        if self.dataset is not None and side(self.config) is LANGUAGES:
            world = datasets.taught_by(world, self.dataset)
        return self._judged(world)

    def _named(self) -> Any:
        if self.origin is None:
            return side(self.config).world(self.env, **self.env_params)
        return pretrained.task(self.env, self.env_params, self.origin)

    def _judged(self, world: Any) -> Any:
        from jaxrl.runtime.others import judged  # which knows runs, which know records

        return world if self.reward is None else judged(world, self.reward, self.called)

    def options(self) -> dict[str, Any]:
        """What training is given besides: a model in place of the configuration's, or an expert."""
        from jaxrl.runtime.others import expert

        found = {} if self.origin is None else {"model": pretrained.model(self.origin)}
        return found | ({"expert": expert(self)} if imitates(self.config) else {})

    def flat(self) -> dict[str, Any]:
        """All names and values, the fields of the configuration among them."""
        values = self._asdict()
        config = values.pop("config")
        del values["origin"], values["called"]  # they are not for files
        return values | {name: getattr(config, name) for name in hints(type(config))}

    def differences(self, other: "Record") -> Iterator[str]:
        """What of another record differs from this one, in words."""
        ours, theirs = self.flat(), other.flat()
        for name in ours.keys() | theirs.keys():
            if ours.get(name) != theirs.get(name):
                yield f"{name} is {theirs.get(name)!r} and was {ours.get(name)!r}"


def learns_by_acting(config: Any) -> bool:
    """Whether a configuration asks for data to imitate, and not to learn from alone."""
    return imitates(config) and not isinstance(config, ReplayConfig)


def record(values: Mapping[str, Any], origin: str | None = None) -> Record:
    """The record of names and values, over what was tuned, over the defaults.

    Checks each of them; `Record.training` then checks that they go together.

    Args:
      origin: a folder that describes the model, by `pretrained.origin`; it decides its sizes.
    """
    values = dict(values)
    for name in ("algorithm", "env"):
        if not isinstance(values.get(name), str):
            raise ValueError(f"{name} must be a name, as in jaxrl train ppo --env CartPole-v1")
    algorithm, env = values.pop("algorithm"), values.pop("env")
    config, total_steps = side(algorithm).settings(algorithm, env)
    counts: dict[str, Any] = {"total_steps": total_steps, "seed": 0, "seeds": 1, "devices": 1}
    counts |= {
        name: _count(name, values.pop(name), COUNTS[name]) for name in COUNTS & values.keys()
    }
    optional = {
        name: None if values.get(name) is None else _count(name, values[name], least)
        for name, least in OPTIONAL_COUNTS.items()
    }
    env_params = values.pop("env_params", None) or {}
    if not isinstance(env_params, dict) or not all(isinstance(n, str) for n in env_params):
        raise ValueError(f"env_params must be names and numbers, not {env_params!r}")
    paths: dict[str, Any] = {name: _path(name, values.pop(name, None)) for name in PATHS}
    paths["reward"] = _reward(values.pop("reward", None))
    _check_paths(algorithm, paths)
    fields = {name: value for name, value in values.items() if name not in OPTIONAL_COUNTS}
    fields = _from_files(config, origin, paths["dataset"]) | fields
    config = validate(replace(config, **_typed(config, fields)))
    if paths["start"] is not None and (steps := config.demonstration_steps):
        raise ValueError(f"demonstration_steps must be 0 where start is given, not {steps}")
    _check_expert(algorithm, config, paths)
    numbers: dict[str, Any] = {**counts, **optional}
    made = Record(algorithm, env, env_params, **paths, **numbers, config=config, origin=origin)
    if made.seed + made.seeds - 1 > MOST:
        raise ValueError(
            f"seed must be at most 2^31 - seeds = {2**31 - made.seeds}, not {made.seed}"
        )
    if made.seeds == 1 < made.devices:
        share_of(config, made.devices)  # raises where the environments cannot be spread
    elif made.seeds % made.devices:
        raise ValueError(f"devices must divide seeds, which are {made.seeds}, not {made.devices}")
    return made


def read_yaml(path: Path) -> dict[str, Any]:
    """The names and values of a YAML file."""
    try:
        values = yaml.safe_load(path.read_text("utf-8"))
    except RecursionError as error:
        raise ValueError(f"{str(path)!r} is no valid YAML: it nests too deep") from error
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"config must be a readable file, not {str(path)!r}") from error
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f" in line {mark.line + 1}" if mark else ""
        raise ValueError(f"{str(path)!r} is no valid YAML{where}") from error
    if not isinstance(values, dict) or not all(isinstance(name, str) for name in values):
        raise ValueError(f"{str(path)!r} must hold lines of the form name: value")
    return values


def write_yaml(made: Record) -> str:
    """The record as a YAML file, which `--config` takes too."""
    plain = {n: list(x) if isinstance(x, tuple) else x for n, x in made.flat().items()}
    return yaml.safe_dump(plain, sort_keys=False, allow_unicode=True)


def _path(name: str, value: Any) -> str | None:
    if not isinstance(value, str | None):
        raise ValueError(f"{name} must be the name of a file or folder, not {value!r}")
    return value


def _reward(value: Any) -> str | tuple[str, ...] | None:
    """One text, or several; each is checked."""
    texts = [] if value is None else value if isinstance(value, list | tuple) else [value]
    found = tuple(functions.part(_path("reward", text) or "").text for text in texts)
    if len(set(found)) < len(found):
        raise ValueError(f"reward must name each reward once, not {', '.join(found)}")
    return found if len(found) > 1 else found[0] if found else None


def _check_paths(algorithm: str, paths: Mapping[str, Any]) -> None:
    if side(algorithm) is LANGUAGES:
        if paths["dataset"] and not paths["reward"] and not learns_from_examples(algorithm):
            raise ValueError(
                f"dataset needs a reward with {algorithm}, as --reward FILE.py:FUNCTION, which "
                "judges what examples do not say"
            )
        return
    for name in ("start", "reward"):
        if paths[name] is not None:
            raise ValueError(
                f"{name} needs an algorithm that trains a language model, not {algorithm}"
            )


def _check_expert(algorithm: str, config: Any, paths: Mapping[str, Any]) -> None:
    """Whether there is who is imitated, and nobody else."""
    expert, dataset = (paths[name] is not None for name in ("expert", "dataset"))
    if not imitates(config):
        if expert:
            raise ValueError(f"expert needs an algorithm that imitates, not {algorithm}")
    elif learns_by_acting(config):
        if expert or not dataset:
            raise ValueError(f"{algorithm} needs an expert's steps, as --dataset FILE, and no more")
    elif expert == dataset or (dataset and config.labels == "asked"):
        data = "" if config.labels == "asked" else ", or its steps, as --dataset FILE"
        raise ValueError(f"{algorithm} needs a run to imitate, as --expert FOLDER{data}")


def _from_files(config: Any, origin: str | None, dataset: str | None) -> dict[str, Any]:
    """Fields that a model from elsewhere decides, and a file of examples that are compared."""
    fields = {} if origin is None else pretrained.sizes(origin)
    if dataset is not None and compares(config):
        fields["group_size"] = text_files.num_responses(dataset)
    return fields


def count(name: str, value: Any, least: int, most: int = MOST) -> int:
    """A whole number, given as such, as text or as 1e6."""
    number = read(value, int) if isinstance(value, str) else value
    if isinstance(number, float) and number.is_integer():
        number = int(number)
    if not isinstance(number, int) or isinstance(number, bool) or number < least:
        raise ValueError(f"{name} must be an integer of at least {least}, not {value!r}")
    if number > most:
        raise ValueError(f"{name} must be an integer of at most {most}, not {value!r}")
    return number


def _count(name: str, value: Any, least: int) -> int:
    return count(name, value, least, 2**53 if name in STEPS else MOST)


def _typed(config: Any, fields: dict[str, Any]) -> dict[str, Any]:
    """Values of a file or of flags as the fields' own types; text that fits none stays text."""
    known = hints(type(config))
    typed = {}
    for name, value in fields.items():
        if name not in known:
            raise ValueError(unknown("field", name, [*known, *NAMES], f"of {title(config)}"))
        if isinstance(value, str):
            value = read(value, known[name])
        typed[name] = tuple(value) if isinstance(value, list) else value
    return typed
