"""Replay beside flashbax's: time of a turn, what is drawn, and memory.

python -m benchmarks.replay [--peers DIR] [--write]: prints the tables; --write puts them in the
README. flashbax lives in an environment of its own, made in DIR on demand, in which both are timed.

A turn adds a step of each environment, draws a batch and, by priority, gives it new priorities.
Many turns are one compiled scan over a donated state, as in training; both draw their chance in it.
"""

import argparse
import json
import os
import platform
import subprocess
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from scipy import stats

from benchmarks.peers_training import PINS, ROOT, setup
from benchmarks.readme import put, table
from benchmarks.timing import microseconds, paired, ratio
from jaxrl.data import Buffer, chained, packed, prioritised, ranked, uniform
from jaxrl.types import Transition

CAPACITY, NUM_ENVS, BATCH, TURNS = 1_000_000, 8, 256, 200
NUM_DRAWS, EXPONENT = 1_000_000, 0.6
SEEDS = 100
PEERS = {"uniform": "flat", "proportional": "prioritised flat", "rank": "prioritised flat"}


def own_buffers(capacity: int) -> dict[str, Buffer]:
    """Ours, by the name that a configuration has for them."""
    size = capacity, NUM_ENVS
    return {
        "uniform": uniform(*size),
        "proportional": prioritised(*size, EXPONENT),
        "rank": ranked(*size, EXPONENT),
    }


def peer_buffers(capacity: int) -> dict[str, Any]:
    """flashbax's; they keep each observation once, and sample it beside the next one."""
    fbx = import_module("flashbax")
    size = (capacity, BATCH, BATCH, False, NUM_ENVS)
    return {
        "flat": fbx.make_flat_buffer(*size),
        "prioritised flat": fbx.make_prioritised_flat_buffer(*size, EXPONENT),
    }


def step(obs: Any) -> Transition:
    """One environment's step with observations like this one."""
    flag = jnp.zeros((), bool)
    return Transition(obs, jnp.int32(0), (), jnp.float32(0), obs, flag, flag)


def peer_step(obs: Any) -> dict[str, Any]:
    """The same as flashbax's users store it."""
    whole = step(obs)
    return {"obs": obs, "action": whole.action, "reward": whole.reward, "done": whole.terminated}


def side_by_side(one: Any) -> Any:
    """A step of each environment."""
    return jax.tree.map(lambda x: jnp.broadcast_to(x, (NUM_ENVS, *x.shape)), one)


def seen(data: Any) -> jax.Array:
    """A number that depends on all that was read."""
    leaves = jax.tree.leaves(data)
    return sum((x.astype(jnp.float32).sum() for x in leaves), jnp.zeros(()))


def learnt(priority: jax.Array, data: Any) -> jax.Array:
    """Priorities that depend on the data that were read, as errors do, but not on weights."""
    return priority + 1e-9 * jnp.tanh(seen(data))


def turn_of_ours(buffer: Buffer) -> Callable[..., Any]:
    """State, chance, priorities -> state and what was seen."""

    def turn(state: Any, chance: Any, priority: jax.Array) -> tuple[Any, jax.Array]:
        state = buffer.add(state, side_by_side(step(jnp.zeros(4))))
        sample = buffer.sample(state, chance)
        priority = learnt(priority, sample.data)
        state = buffer.reprioritise(state, sample.index, priority)
        return state, seen((sample.data, sample.weight))

    return turn


def turn_of_peer(buffer: Any) -> Callable[..., Any]:
    """The same of flashbax's."""

    def turn(state: Any, chance: Any, priority: jax.Array) -> tuple[Any, jax.Array]:
        state = buffer.add(state, side_by_side(peer_step(jnp.zeros(4))))
        sample = buffer.sample(state, chance)
        if not hasattr(buffer, "set_priorities"):
            return state, seen(sample.experience)
        priority = learnt(priority, sample.experience)
        state = buffer.set_priorities(state, sample.indices, priority)
        return state, seen((sample.experience, sample.probabilities))

    return turn


def turning(turn: Any, draw: Any, state: Any) -> tuple[Callable[[], Any], Callable[[], Any]]:
    """A call that takes `TURNS` turns of a state that it keeps; and that state, full."""

    def turns(carried: Any) -> Any:
        key, state = carried
        key, k_draw, k_priority = jax.random.split(key, 3)
        priority = jax.random.exponential(k_priority, (TURNS, BATCH))
        chance = draw(k_draw, (TURNS, BATCH))
        state, numbers = jax.lax.scan(lambda s, x: turn(s, *x), state, (chance, priority))
        return (key, state), numbers.sum()

    run, held = jax.jit(turns, donate_argnums=0), [(jax.random.key(0), state)]

    def call() -> jax.Array:
        held[0], number = run(held[0])
        return number

    return call, lambda: held[0][1]


def full(buffer: Any, one: Any, capacity: int) -> Any:
    """A state without room for more."""
    steps = side_by_side(one)
    run = jax.jit(lambda s: jax.lax.fori_loop(0, num_steps, lambda _, s: buffer.add(s, steps), s))
    num_steps = -(-capacity // NUM_ENVS)
    return run(buffer.init(one))


def key_each(key: jax.Array, shape: tuple[int, int]) -> jax.Array:
    """What flashbax's `sample` takes: a key for each batch."""
    return jax.random.split(key, shape[0])


def contenders(capacity: int) -> dict[str, tuple[Callable[[], Any], Callable[[], Any]]]:
    """Every buffer, full of steps: a call of `TURNS` turns, and the state."""
    calls = {}
    for name, buffer in own_buffers(capacity).items():
        state = full(buffer, step(jnp.zeros(4)), capacity)
        calls[name] = turning(turn_of_ours(buffer), buffer.draw, state)
    for name, buffer in peer_buffers(capacity).items():
        state = full(buffer, peer_step(jnp.zeros(4)), capacity)
        calls[name] = turning(turn_of_peer(buffer), key_each, state)
    return calls


def wanted(num_rows: int) -> np.ndarray:
    """Priorities over many orders of magnitude, half of them 0."""
    source = np.random.default_rng(0)
    priority = np.exp(source.normal(size=num_rows) * 3).astype(np.float32)
    priority[source.random(num_rows) < 0.5] = 0.0
    return priority


def draws_of_ours(buffer: Buffer, state: Any, priority: np.ndarray) -> list[str]:
    """What is drawn after all rows were given a priority."""
    state = buffer.reprioritise(state, jnp.arange(len(priority)), jnp.asarray(priority))
    noise = buffer.draw(jax.random.key(1), (NUM_DRAWS,))
    return law(jax.jit(lambda *x: buffer.sample(*x).index)(state, noise), priority)


def draws_of_peer(buffer: Any, state: Any, priority: np.ndarray) -> list[str]:
    """The same of flashbax's, whose batch has one size."""
    tree = state.sum_tree_state
    first = 2**tree.tree_depth - 1
    drawable = np.asarray(tree.nodes)[first : first + len(priority)] > 0
    priority = np.where(drawable, priority, 0)  # the newest row has no successor yet
    state = buffer.set_priorities(state, jnp.arange(len(priority)), jnp.asarray(priority))
    keys = jax.random.split(jax.random.PRNGKey(1), NUM_DRAWS // BATCH)
    indices = jax.jit(lambda s: jax.lax.map(lambda key: buffer.sample(s, key).indices, keys))
    return law(indices(state).ravel(), priority)


def chi_square(counts: np.ndarray, mass: np.ndarray) -> float:
    """The p-value of counts, with rows taken together in groups that expect enough."""
    order = np.argsort(mass)
    share = np.cumsum(mass[order]) / mass.sum() * 500
    group = np.minimum(share.astype(int), 499)
    expected = np.bincount(group, mass[order], 500) / mass.sum() * counts.sum()
    found = np.bincount(group, counts[order], 500)
    keep = expected > 5
    expected = expected[keep] * found[keep].sum() / expected[keep].sum()
    return float(stats.chisquare(found[keep], expected)[1])


def law(index: Any, priority: np.ndarray) -> list[str]:
    """How well draws follow a power of the priority, and how many had none."""
    power = np.where(priority > 0, priority.astype(np.float64) ** EXPONENT, 0.0)
    counts = np.bincount(index, minlength=len(power))
    mass = np.pad(power, (0, len(counts) - len(power)))  # a rounded sum can end beyond all rows
    return [f"{chi_square(counts, mass):.2g}", f"{counts[mass == 0].sum():,}"]


def measured(capacity: int, rounds: int) -> list[list[str]]:
    """The rows of the table of times, in a process that has flashbax."""
    calls = contenders(capacity)
    times = paired({name: call for name, (call, _) in calls.items()}, rounds, 0.3)
    times = {name: x / TURNS for name, x in times.items()}
    own, peers = own_buffers(capacity)["proportional"], peer_buffers(capacity)["prioritised flat"]
    priority = wanted(capacity // NUM_ENVS * NUM_ENVS)
    laws = {
        "proportional": draws_of_ours(own, calls["proportional"][1](), priority),
        "prioritised flat": draws_of_peer(peers, calls["prioritised flat"][1](), priority),
    }
    found = []
    for name in calls:
        peer = PEERS.get(name)
        against = [peer, ratio(times, peer, name)] if peer else ["", ""]
        title = f"`{name}`" if peer else f"flashbax, {name}"
        found.append([title, microseconds(times, name), *against, *laws.get(name, ["", ""])])
    return found


def bytes_of(tree: Any) -> int:
    """What arrays take, or would take."""
    return sum(x.size * x.dtype.itemsize for x in jax.tree.leaves(tree))


def breakout_rows() -> Iterator[list[str]]:
    """Memory of MinAtar's Breakout, whose frames are of bools that gymnax gives as floats."""
    yield ["Breakout-MinAtar, 1,000,000 steps", "floats, MiB", "bools, MiB"]
    plain = uniform(CAPACITY, NUM_ENVS)
    once = chained(plain, CAPACITY // NUM_ENVS // 100)
    buffers = {"plain": plain, "each observation once": once, "and a bit a bool": packed(once)}
    for name, buffer in buffers.items():
        sizes = []
        for dtype in ("float32", "bool"):
            example = step(jax.ShapeDtypeStruct((10, 10, 4), dtype))
            sizes.append(bytes_of(jax.eval_shape(buffer.init, example)) / 2**20)
        yield [name, *(f"{size:,.0f}" for size in sizes)]


def seed_rows() -> Iterator[list[str]]:
    """Memory of each seed of a DQN that is trained many at a time."""
    from jaxrl.train import make_train  # flashbax's environment lacks what it needs

    yield ["DQN on CartPole, 50,000 steps of replay", "KiB per seed"]
    training = make_train("dqn", env="CartPole-v1")
    keys = jax.eval_shape(lambda: jax.random.split(jax.random.key(0), SEEDS))
    state = jax.eval_shape(jax.vmap(training.algorithm.init), keys)
    for name, part in {"all of the state": state, "of that replay": state.buffer}.items():
        yield [name, f"{bytes_of(part) / SEEDS / 2**10:,.0f}"]
    run = jax.jit(jax.vmap(training.algorithm.update), donate_argnums=0)
    memory: Any = run.lower(state).compile().memory_analysis()
    yield ["temporaries of an update", f"{memory.temp_size_in_bytes / SEEDS / 2**10:,.0f}"]


def main() -> None:
    """Print the tables, and write them if asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--peers", type=Path, default=Path("build/peers"), metavar="DIR")
    parser.add_argument("--capacity", type=int, default=CAPACITY, help="steps, for the times")
    parser.add_argument("--rounds", type=int, default=9, help="paired rounds")
    parser.add_argument("--write", action="store_true", help="put the tables into README.md")
    parser.add_argument("--measure", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        print(json.dumps(measured(options.capacity, options.rounds)))
        return
    text = report(options.peers, options.capacity, options.rounds)
    print(text)
    if options.write:
        put("replay", text)


def report(peers: Path, capacity: int, rounds: int) -> str:
    """The tables, with times from flashbax's environment."""
    command = [setup("flashbax", peers), "-m", "benchmarks.replay", "--measure"]
    command += ["--capacity", str(capacity), "--rounds", str(rounds)]
    done = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True)
    times = [
        [f"Replay of {capacity:,} steps, batch {BATCH}", "µs a turn", "beside", "flashbax / jaxrl"],
        *json.loads(done.stdout.splitlines()[-1]),
    ]
    times[0] += ["χ² p-value", "drawn without priority"]
    head = (
        f"`python -m benchmarks.replay --write`, jax {jax.__version__}, {PINS['flashbax'][0]}, "
        f"Python {platform.python_version()}, {os.cpu_count()} cores. A turn is one step of "
        f"{NUM_ENVS} environments, a batch, and its new priorities. Times are medians of {rounds} "
        "rounds, ratios medians (least-largest); the p-value is of a million draws from "
        "priorities of which half are 0."
    )
    return "\n\n".join([head, *map(table, (times, breakout_rows(), seed_rows()))])


if __name__ == "__main__":
    main()
