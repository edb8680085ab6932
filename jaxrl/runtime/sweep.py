"""Many seeds and configurations at once, spread over all devices, as one table."""

import csv
import dataclasses
import os
from collections.abc import Callable, Sequence
from functools import partial
from itertools import pairwise
from typing import Any, NamedTuple, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.core import ClosedJaxpr, Jaxpr
from jax.sharding import Mesh, PartitionSpec

from jaxrl import checks
from jaxrl.config import hints, title
from jaxrl.runtime.devices import memory_budget
from jaxrl.runtime.sides import side
from jaxrl.runtime.statistics import bootstrap_interval, iqm
from jaxrl.train import NUM_WINDOWS, Carried, Training
from jaxrl.types import Array, PyTree

T = TypeVar("T")

Report = Callable[[int, np.ndarray], None]  # steps of each lane, returns of those at work


@dataclasses.dataclass(frozen=True, eq=False)
class Sweep:
    """The results of a sweep: a row for each configuration and seed, the seeds side by side.

    `columns` has the varied fields, "seed", "final" and "best" (the return in the last window, and
    in the best one, of those in which an episode ended; NaN if none did), "eval" (the last
    evaluation, if there was one) and "refused" (updates refused, see `on_policy.learned`), each
    [rows]; and "curve" and "eval_curve", [rows, windows], whose windows end at `steps`.
    """

    title: str
    varied: tuple[str, ...]
    num_seeds: int
    steps: np.ndarray
    columns: dict[str, np.ndarray]

    def summary(self, column: str = "") -> dict[str, np.ndarray]:
        """Each configuration over its seeds: mean, IQM, and the 95 % bootstrap interval of that.

        Args:
          column: of what; by default "eval" if there is one, else "final".
        """
        scores = self.columns[column or ("eval" if "eval" in self.columns else "final")]
        scores = scores.reshape(-1, self.num_seeds)
        bounds = np.array([bootstrap_interval(row) for row in scores])
        fields = {name: self.columns[name][:: self.num_seeds] for name in self.varied}
        numbers = {"mean": scores.mean(-1), "iqm": iqm(scores)}
        return fields | numbers | {"low": bounds[:, 0], "high": bounds[:, 1]}

    def to_csv(self, path: str | os.PathLike[str]) -> None:
        """Write all rows; a curve takes a column for each window, as `curve@1024`."""
        flat: dict[str, np.ndarray] = {}
        for name, column in self.columns.items():
            if column.ndim == 1:
                flat[name] = column
            else:
                flat |= {f"{name}@{n}": x for n, x in zip(self.steps, column.T, strict=True)}
        with open(path, "w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(flat)
            writer.writerows(zip(*(map(str, column) for column in flat.values()), strict=True))

    def __str__(self) -> str:
        """One line for each configuration."""
        summary = self.summary()
        numbers = [[name, *(f"{x:.6g}" for x in column)] for name, column in summary.items()]
        lines = list(zip(*numbers, strict=True))
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        table = ["  ".join(x.rjust(n) for x, n in zip(r, widths, strict=True)) for r in lines]
        head = f"{self.title}: configurations × seeds = {len(table) - 1} × {self.num_seeds}"
        return "\n".join([f"{head}, {self.steps[-1]:,} steps each", *table])


def sweep(
    config: Any,
    env: Any,
    *,
    num_seeds: int,
    seed: int = 0,
    total_steps: int | None = None,
    max_lanes: int | None = None,
    report: Report | None = None,
    **options: Any,
) -> Sweep:
    """Train every configuration with every seed, all of them as lanes of one compiled function.

    The lanes are spread over all of `jax.devices()`: call `use_all_cores()` first where these are
    cores. What memory cannot hold at once runs in waves. A lane with seed i is the same as
    `make_train(...)(jax.random.key(i))`, up to rounding.

    Args:
      config: a configuration, one of leaves [n] from `grid` or `random_search`, or a name.
      env: what `make_train` takes for one, or `make_language_train` for a task.
      seed: the first seed; the others count on from it.
      max_lanes: how many runs at most at once; by default what half of the memory holds.
      report: told from time to time the steps of each lane, and the returns of those at work.
      options: what else `make_train` takes, as `evaluate_every`; and as `start`, what
        `Training.begin` takes besides its key.
    """
    checks.at_least(1, num_seeds=num_seeds, max_lanes=1 if max_lanes is None else max_lanes)
    checks.at_least(0, seed=seed)
    if seed + num_seeds > 2**31:
        raise ValueError(f"seed must be at most 2^31 - num_seeds = {2**31 - num_seeds}, not {seed}")
    ours, start = side(config), options.pop("start", ())
    if isinstance(config, str):
        config, default_steps = ours.settings(config, env)
        total_steps = default_steps if total_steps is None else total_steps
    made = ours.world(env, **(options.pop("env_params", None) or {}))
    options |= {} if total_steps is None else {"total_steps": total_steps}
    configs, size = stacked(config)
    each = (jax.tree.map(lambda leaf, i=i: leaf[i], configs) for i in range(size))
    training, *_ = [ours.train(one, made, **options) for one in each]  # which checks each of them

    def training_of(config: Any) -> Training:
        return ours.train(config, made, **options)

    lane = Lane(
        lambda config, seed: training_of(config).begin(jax.random.key(seed), *start),
        lambda num, carried, config, seed: training_of(config).advance(carried, num),
        lambda carried, config, seed: _closed(training_of(config), carried),
    )
    rows = np.arange(size * num_seeds, dtype=np.int32)
    arguments = jax.tree.map(lambda leaf: leaf[rows // num_seeds], configs), seed + rows % num_seeds
    room = max_lanes or max(1, int(memory_budget(jax.devices()) / lane_bytes(training)))

    def told(share: float, results: dict[str, Any] | None) -> None:
        returns = results["curve"] if results else np.full(1, np.nan)
        if report is not None:
            report(round(share * training.total_steps), returns)

    results = in_waves(lane, training.ends, arguments, room, told)
    return _table(config, arguments, num_seeds, results)


def stacked(config: T) -> tuple[T, int]:
    """The configuration with all leaves [n], as NumPy arrays, and n: 1 where none has an axis."""
    sizes = {np.shape(leaf) for leaf in jax.tree.leaves(config)} - {()}
    if len(sizes) > 1 or any(len(shape) != 1 for shape in sizes):
        shapes = ", ".join(map(str, sorted(sizes)))
        raise ValueError(f"the fields of a swept config must all be [n] or numbers, not {shapes}")
    shape = sizes.pop() if sizes else (1,)
    return jax.tree.map(lambda x: np.broadcast_to(np.asarray(x, np.float32), shape), config), shape[
        0
    ]


class Lane(NamedTuple):
    """A run in pieces, for one lane of the arguments that follow."""

    begin: Callable[..., PyTree]  # *arguments -> carried
    advance: Callable[..., PyTree]  # num_updates, carried, *arguments -> carried
    close: Callable[..., tuple[PyTree, PyTree]]  # carried, *arguments -> carried, results


def in_waves(
    lane: Lane,
    ends: Sequence[int],
    arguments: tuple[PyTree, ...],
    max_lanes: int,
    report: Callable[[float, PyTree], None] = lambda share, results: None,
) -> PyTree:
    """Every lane of the arguments, through windows that end at `ends`, over all devices.

    Lanes are divided evenly; the last one is repeated where the division leaves a gap. No device
    talks to another one. `report` is told which share of all is done, and the latest results.

    Returns: the results of all lanes and windows, [lanes, windows].
    """
    num_lanes = len(jax.tree.leaves(arguments)[0])
    devices = jax.devices()
    devices = devices[: min(max_lanes, num_lanes)]
    width, num_waves = waves(num_lanes, len(devices), max_lanes)
    compiled = spread(lane, devices)
    parts = []
    for wave in range(num_waves):
        rows = np.minimum(wave * width + np.arange(width), num_lanes - 1)
        here = jax.tree.map(lambda x, i=rows: x[i], arguments)

        def told(share: float, results: PyTree, wave: int = wave) -> None:
            report((wave + share) / num_waves, results)

        parts.append(_wave(compiled, ends, here, told))
    return jax.tree.map(lambda *xs: np.concatenate(xs)[:num_lanes], *parts)


def spread(lane: Lane, devices: Sequence[Any]) -> Lane:
    """The functions of a lane, compiled, for as many lanes as a multiple of the devices.

    `begin` takes (arguments), `advance` (num_updates, carried, arguments), `close` (carried,
    arguments): the arguments as one tuple, each with an axis of lanes.
    """
    over, alike = PartitionSpec("lanes"), PartitionSpec()
    spread = partial(
        jax.shard_map, mesh=Mesh(np.array(devices), ("lanes",)), out_specs=over, check_vma=False
    )

    def advance(num_updates: Array, carried: PyTree, arguments: Any) -> PyTree:
        return jax.vmap(partial(lane.advance, num_updates))(carried, *arguments)

    def close(carried: PyTree, arguments: Any) -> tuple[PyTree, PyTree]:
        return jax.vmap(lane.close)(carried, *arguments)

    return Lane(
        jax.jit(spread(lambda x: jax.vmap(lane.begin)(*x), in_specs=over)),
        jax.jit(spread(advance, in_specs=(alike, over, over)), donate_argnums=1),
        jax.jit(spread(close, in_specs=over), donate_argnums=0),
    )


def _wave(
    compiled: Lane,
    ends: Sequence[int],
    arguments: Any,
    report: Callable[[float, PyTree], None],
) -> PyTree:
    """One wave of lanes; in many calls, since XLA frees some memory only when a call returns."""
    chunk = max(1, ends[-1] // NUM_WINDOWS)
    carried, results = compiled.begin(arguments), []
    for start, end in pairwise([0, *ends]):
        for done in range(start, end, chunk):
            num = jnp.int32(min(chunk, end - done))
            carried = compiled.advance(num, carried, arguments)
            jax.block_until_ready(carried)
            if done + chunk < end:
                report((done + chunk) / ends[-1], results[-1] if results else None)
        carried, result = compiled.close(carried, arguments)
        results.append(jax.device_get(result))
        report(end / ends[-1], results[-1])
    return jax.tree.map(lambda *xs: np.stack(xs, 1), *results)


def waves(num_lanes: int, num_devices: int, room: int) -> tuple[int, int]:
    """How many lanes at once, a multiple of the devices and no more than `room`, and how often."""
    count = -(-num_lanes // (room // num_devices * num_devices))
    return -(-num_lanes // (count * num_devices)) * num_devices, count


def lane_bytes(training: Training) -> int:
    """Memory of one training run, estimated from above: its state, twice, and one update's work.

    The work is every intermediate result of the update, as if none of them were freed or fused.
    """
    state = jax.eval_shape(training.algorithm.init, jax.random.key(0))
    update = jax.make_jaxpr(training.algorithm.update)(state)
    return 2 * sum(map(_num_bytes, jax.tree.leaves(state))) + _work(update.jaxpr)


def _work(jaxpr: Jaxpr) -> int:
    return sum(
        sum(_num_bytes(x.aval) for x in equation.outvars) + sum(map(_work, _inner(equation.params)))
        for equation in jaxpr.eqns
    )


def _inner(params: dict[str, Any]) -> list[Jaxpr]:
    """The bodies of loops, branches and calls."""
    leaves = jax.tree.leaves(list(params.values()), is_leaf=lambda x: isinstance(x, ClosedJaxpr))
    bodies = [leaf.jaxpr if isinstance(leaf, ClosedJaxpr) else leaf for leaf in leaves]
    return [body for body in bodies if isinstance(body, Jaxpr)]


def _num_bytes(x: Any) -> int:
    return x.size * x.dtype.itemsize


def _closed(training: Training, carried: Carried) -> tuple[Carried, dict[str, Array]]:
    """Close a window, and keep of its metrics what the table needs."""
    carried, metrics = training.close(carried)
    curves = {"curve": "episode_return", "eval_curve": "eval_return", "steps": "steps"}
    kept = {ours: metrics[name].mean for ours, name in curves.items() if name in metrics}
    return carried, kept | {"refused": metrics["refused"].total}


def _table(config: Any, arguments: tuple[Any, Any], num_seeds: int, results: Any) -> Sweep:
    configs, seeds = arguments
    floats = [name for name, hint in hints(type(config)).items() if hint is float]
    fields = {name: getattr(configs, name) for name in floats}
    varied = {name: x for name, x in fields.items() if (x != x[0]).any()}
    steps = results.pop("steps")[0].round().astype(int)
    curve, evaluated = results["curve"], results.get("eval_curve")
    numbers = {"seed": seeds, "final": _last(curve), "best": np.fmax.reduce(curve, axis=-1)}
    if evaluated is not None:
        numbers["eval"] = evaluated[:, -1]
    refused = {"refused": results["refused"].sum(-1).astype(int)}
    columns = varied | numbers | refused | results | refused
    return Sweep(title(config), tuple(varied), num_seeds, steps, columns)


def _last(curve: np.ndarray) -> np.ndarray:
    """The last number of each row that is one."""
    backwards = curve[:, ::-1]
    first = np.argmax(~np.isnan(backwards), -1)
    return np.take_along_axis(backwards, first[:, None], -1)[:, 0]
