"""Steps per second, compile time, memory and cold start of training, against released peers.

python -m benchmarks.throughput --setting NAME: one setting, ending in one line of figures.
python -m benchmarks.throughput [--peers DIR] [--write]: all of them, each in a process of its own,
turn about with rejax and SBX in environments made in DIR; --write puts the table into README.md.
python -m benchmarks.throughput --scanned [--write]: only DQN beside DQN in one scan.
python -m benchmarks.throughput --spread [--write]: only runs on two devices beside runs on one.

The settings named purejaxrl-* are the hyper-parameters of PureJaxRL's own scripts; the other ones
are rejax's defaults (`benchmarks.off_policy`). A single run on few numbers an observation uses one
thread of XLA (NPROC=1, unless set): its products are too small to gain from two. A run of 64
environments is spread over two devices, which two cores are, a sweep's seeds over all of them.
"""

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from benchmarks import off_policy
from benchmarks.peers_training import run
from benchmarks.readme import put, table

ROUNDS = 3
PEERS_HOME = Path("build/peers")
PEERS = {
    "rejax": ("purejaxrl-4", "purejaxrl-64", "purejaxrl-breakout"),
    "sbx": ("purejaxrl-4", "purejaxrl-64"),
}
PEERS = {peer: (*names, *off_policy.SETTINGS) for peer, names in PEERS.items()}
SOLVED = 475.0


class Setting(NamedTuple):
    """An environment, a budget, a number of seeds, and what differs from the defaults."""

    env: str
    total_steps: int
    num_seeds: int
    fields: dict[str, Any]
    algorithm: str = "ppo"
    last_updates: int = 10  # whose episodes are the score
    devices: int = 1  # over which the environments are spread, if there are as many cores


SHARED = {"value_clip": 0.2, "num_steps": 128, "num_epochs": 4, "lr": 2.5e-4, "entropy_coef": 0.01}
FOUR = SHARED | {"num_envs": 4, "num_minibatches": 4}
SIXTY_FOUR = SHARED | {"num_envs": 64, "num_minibatches": 8}
BREAKOUT = SIXTY_FOUR | {"lr": 5e-3, "activation": "relu"}
SETTINGS = {
    "purejaxrl-4": Setting("CartPole-v1", 500_000, 1, FOUR),
    "purejaxrl-64": Setting("CartPole-v1", 1_000_000, 1, SIXTY_FOUR, devices=2),
    "purejaxrl-16seeds": Setting("CartPole-v1", 200_000, 16, FOUR),
    "purejaxrl-breakout": Setting("Breakout-MinAtar", 500_000, 1, BREAKOUT, devices=2),
    "256seeds": Setting("CartPole-v1", 20_000, 256, FOUR),
}


def replayed(name: str, num_seeds: int = 1, last_updates: int = 40) -> Setting:
    """An off-policy setting, from what the peers are told too."""
    peer = off_policy.SETTINGS[name]
    fields = off_policy.own(peer)
    return Setting(peer.env, peer.total_steps, num_seeds, fields, peer.algorithm, last_updates)


REPLAYED = {name: replayed(name) for name in off_policy.SETTINGS}
MANY = {f"{n}seeds-dqn": replayed("purejaxrl-dqn", n) for n in (50, 100)}
ALL = SETTINGS | REPLAYED | MANY


class Figures(NamedTuple):
    """What one setting measured."""

    rates: list[float]  # steps per second of each round, without compiling
    score: float
    compile_seconds: float
    peak_mib: float

    def line(self, name: str) -> str:
        """The figures in one line."""
        rate, score, seconds = max(self.rates), self.score, self.compile_seconds
        return f"{name} steps/s {rate:.0f} return {score:.1f} compile {seconds:.1f} s"


def measure(setting: Setting) -> Figures:
    """Compile once, train `ROUNDS` times from other seeds; the score is the last ten updates'."""
    import jax  # not before the environment says how many threads it has

    from jaxrl.config import replace
    from jaxrl.runtime.devices import num_cores, use_all_cores
    from jaxrl.train import make_train, with_devices
    from jaxrl.zoo import ZOO

    devices = min(setting.devices, num_cores())
    if setting.num_seeds > 1 or devices > 1:
        use_all_cores()

    def train(config: Any, key: jax.Array) -> Any:
        training = make_train(config, setting.env, setting.total_steps)
        if devices > 1:
            training = with_devices(training, config, devices)
        first = training.num_updates - setting.last_updates
        windows = jax.numpy.asarray([first, setting.last_updates])
        _, metrics = jax.lax.scan(training.window, training.algorithm.init(key), windows)
        return jax.tree.map(lambda x: x[-1], metrics["episode_return"])

    config = replace(ZOO[setting.algorithm].config, **setting.fields)
    keys = jax.random.split(jax.random.key(0), (ROUNDS, setting.num_seeds))
    start = time.perf_counter()
    run = spread(jax.vmap(train, (None, 0))) if setting.num_seeds > 1 else jax.jit(train)
    keys = keys if setting.num_seeds > 1 else keys[:, 0]
    compiled = run.lower(config, keys[0]).compile()
    seconds = time.perf_counter() - start
    steps = make_train(config, setting.env, setting.total_steps).total_steps * setting.num_seeds
    rates, returns = [], []
    for key in keys:
        start = time.perf_counter()
        result = jax.block_until_ready(compiled(config, key))
        rates.append(steps / (time.perf_counter() - start))
        returns.append(float(np.sum(result.total) / np.sum(result.count)))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return Figures(rates, float(np.mean(returns)), seconds, peak)


def spread(lanes: Any) -> Any:
    """A vmapped function of (config, keys) with its keys spread over all devices."""
    import jax
    from jax.sharding import Mesh, PartitionSpec

    mesh, apart = Mesh(np.array(jax.devices()), ("lanes",)), PartitionSpec("lanes")
    specs = (PartitionSpec(), apart)
    sharded = jax.shard_map(lanes, mesh=mesh, in_specs=specs, out_specs=apart, check_vma=False)
    return jax.jit(sharded)


COLD = f"""
import jax
from jaxrl.train import make_train
train = jax.jit(make_train("ppo", env="CartPole-v1", evaluate_every=10**9))
_, metrics = train(jax.random.key(0))
score = metrics["eval_return"].mean[-1]
assert score >= {SOLVED}, score
"""


def cold_start(cache: str | None) -> float:
    """Seconds from the start of a process to a CartPole agent that is solved."""
    environment = os.environ | {"NPROC": "1"}
    if cache is not None:
        environment["JAX_COMPILATION_CACHE_DIR"] = cache
    start = time.perf_counter()
    subprocess.run([sys.executable, "-c", COLD], check=True, env=environment)
    return time.perf_counter() - start


def in_process(name: str, *options: str) -> Figures:
    """One setting in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.throughput", "--setting", name, "--json", *options]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return Figures(**json.loads(done.stdout.splitlines()[-1]))


def rows(title: str, settings: Iterable[str], peers: Path, rounds: int) -> Iterator[list[str]]:
    """Each setting of ours, and how much slower the peers are in the same rounds."""
    yield [
        *(title, "jaxrl, steps/s", "compile, s", "peak, MiB", "return"),
        *("rejax, steps/s", "jaxrl / rejax", "SBX, steps/s", "jaxrl / SBX"),
    ]
    for name in settings:
        ours: list[Figures] = []
        others: dict[str, list[float]] = {"rejax": [], "sbx": []}
        for _ in range(rounds):
            ours.append(in_process(name, "--devices", "1"))  # as the peers
            for peer, figures in others.items():
                if name in PEERS[peer]:
                    figures.append(run(peer, name, peers)["steps_per_second"])
        best = np.array([max(figures.rates) for figures in ours])
        last = ours[-1]
        cells = [name, f"{np.median(best):,.0f}", f"{last.compile_seconds:.1f}"]
        cells += [f"{last.peak_mib:,.0f}", f"{last.score:.0f}"]
        for rates in others.values():
            cells += against(best, np.array(rates)) if rates else ["", ""]
        yield cells


def hundredth() -> str:
    """What a seed more costs, of a hundred that learn at once, in time and memory."""
    alone, some, all_ = map(in_process, ("purejaxrl-dqn", *MANY))
    steps = ALL["purejaxrl-dqn"].total_steps
    seconds = [steps * n / max(x.rates) for n, x in ((1, alone), (50, some), (100, all_))]
    more, memory = (seconds[2] - seconds[1]) / 50, (all_.peak_mib - some.peak_mib) / 50
    return (
        "Of 100 seeds of `purejaxrl-dqn` that learn at once, spread over all cores, each of the "
        f"last 50 costs {more:.2f} s and {memory:.1f} MiB; one alone takes {seconds[0]:.2f} s."
    )


def beside_one_scan(peers: Path, rounds: int) -> str:
    """How fast DQN is in one scan over steps, in paired rounds."""
    name = "purejaxrl-dqn"
    pairs = [
        (max(in_process(name).rates), run("flashbax", name, peers)["steps_per_second"])
        for _ in range(rounds)
    ]
    theirs, ratio = against(*np.array(pairs).T)
    return (
        f"`{name}` in one scan over steps, as PureJaxRL writes it (`benchmarks/scanned_dqn.py`: "
        f"gymnax resets, flashbax keeps), makes {theirs} steps/s; jaxrl / that: {ratio} "
        f"(`python -m benchmarks.throughput --scanned --write`, medians of {rounds} paired rounds)."
    )


def on_two_devices(peers: Path, rounds: int) -> str:
    """What a second device brings to one run, in paired rounds."""
    lines = [["", "one device, steps/s", "two devices, steps/s", "two / one", "returns"]]
    for name in (name for name, setting in SETTINGS.items() if setting.devices == 2):
        pairs = [[in_process(name, "--devices", n) for n in "12"] for _ in range(rounds)]
        one, two = np.array([[max(x.rates) for x in pair] for pair in pairs]).T
        alone, gain = against(two, one)
        scores = ", ".join(f"{x.score:.0f}" for x in pairs[-1])
        lines.append([name, alone, f"{np.median(two):,.0f}", gain, scores])
    return (
        f"{table(lines)}\n\n`python -m benchmarks.throughput --spread --write`, medians of "
        f"{rounds} paired rounds (least-largest), of the best of {ROUNDS} runs each."
    )


def against(ours: np.ndarray, theirs: np.ndarray) -> list[str]:
    """A peer's rate, and how many times ours it is slower over the paired rounds."""
    ratios = ours / theirs
    spread = f"{np.median(ratios):.2f} ({ratios.min():.2f}-{ratios.max():.2f})"
    return [f"{np.median(theirs):,.0f}", spread]


def main() -> None:
    """Print one setting's line, or the whole table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--setting", choices=ALL, help="one setting, in this process")
    parser.add_argument("--devices", type=int, help="at most so many, in place of the setting's")
    parser.add_argument("--json", action="store_true", help="print its figures as JSON")
    parser.add_argument(
        "--peers", type=Path, default=Path("build/peers"), help="where the peers live"
    )
    parser.add_argument("--scanned", action="store_true", help="only DQN beside DQN in one scan")
    parser.add_argument("--spread", action="store_true", help="only two devices beside one")
    parser.add_argument("--rounds", type=int, default=3, help="paired rounds of the table")
    parser.add_argument("--write", action="store_true", help="put the table into README.md")
    options = parser.parse_args()
    if options.setting:
        setting = ALL[options.setting]
        setting = setting._replace(devices=options.devices or setting.devices)
        if setting.num_seeds == 1 and not setting.env.endswith("-MinAtar"):
            os.environ.setdefault("NPROC", "1")
        figures = measure(setting)
        print(json.dumps(figures._asdict()) if options.json else figures.line(options.setting))
        return
    chosen = "scanned" if options.scanned else "spread" if options.spread else "throughput"
    text = REPORTS[chosen](options.peers, options.rounds)
    print(text)
    if options.write:
        put(chosen, text)


def report(peers: Path, rounds: int) -> str:
    """The table, and the cold start."""
    import jax

    lines = [table(rows("PPO", SETTINGS, peers, rounds))]
    lines.append(table(rows("Off policy", REPLAYED, peers, rounds)))
    lines.append(hundredth())
    with tempfile.TemporaryDirectory() as cache:
        first, warm = [cold_start(cache) for _ in range(2)]
    head = (
        f"`python -m benchmarks.throughput --write`, jax {jax.__version__}, Python "
        f"{platform.python_version()}, {os.cpu_count()} cores. Rates are medians of {rounds} "
        f"rounds in turn, each the best of {ROUNDS} runs without compiling; ratios are medians "
        "(least-largest)."
    )
    tail = (
        f"From the start of a process to a solved CartPole agent (return of at least {SOLVED:.0f} "
        f"over greedy episodes): {first:.1f} s, and {warm:.1f} s with a warm compilation cache."
    )
    return "\n\n".join([head, *lines, tail])


REPORTS = {"throughput": report, "scanned": beside_one_scan, "spread": on_two_devices}


if __name__ == "__main__":
    main()
