"""The performance-critical core against rlax, plain scans and NumPy.

python -m benchmarks.core [--write] [--quick]: prints the tables; --write puts them in the README.
"""

import argparse
import functools
import os
import platform
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks import peers
from benchmarks.readme import put, table
from benchmarks.timing import microseconds, paired, ratio
from jaxrl.formulas.advantages import gae, vtrace
from jaxrl.formulas.groups import group_relative, leave_one_out
from jaxrl.formulas.log_probs import hidden_log_prob_and_entropy, log_prob_and_entropy
from jaxrl.formulas.returns import lambda_return

SHAPES = [(128, 4), (128, 64), (128, 4096), (2048, 64), (2048, 1024), (2048, 4096)]
TOKENS, WIDTH, VOCABULARY = (8, 512), 64, 32_768
NUM_PROMPTS, GROUP = 4096, 16


def rollout(shape: tuple[int, int]) -> tuple[jax.Array, ...]:
    """(reward, value, next_value, discount, done) with one episode's end in twenty steps."""
    keys = jax.random.split(jax.random.key(0), 3)
    reward, values = jax.random.normal(keys[0], shape), jax.random.normal(keys[1], shape)
    done = jax.random.bernoulli(keys[2], 0.05, shape).astype(jnp.float32)
    next_value = jnp.concatenate([values[1:], values[:1]])
    return reward, values, next_value, 0.99 * (1 - done), done


def bind(function: Callable[..., Any], *arguments: Any) -> Callable[[], Any]:
    """A compiled call without arguments."""
    return functools.partial(jax.jit(function), *arguments)


def agree(calls: dict[str, Callable[[], Any]], tolerance: float = 1e-3) -> None:
    """Stop if contenders do not compute the same numbers."""
    first, *others = (np.asarray(call()) for call in calls.values())
    for name, result in zip(list(calls)[1:], others, strict=True):
        error = np.abs(result - first).max()
        if error > tolerance:
            raise SystemExit(f"{name} differs by {error} from {next(iter(calls))}")


def gae_rows(shapes: list[tuple[int, int]]) -> Iterator[list[str]]:
    """GAE: our time, its share of the streaming floor, and how much slower the others are."""
    yield [
        "GAE, [T, N]",
        "jaxrl, µs",
        "streaming floor, µs",
        "share of the floor's rate",
        *(f"{peer} /" for peer in ("plain scan", "unrolled 16", "associative", "rlax", "NumPy")),
    ]
    for shape in shapes:
        data = rollout(shape)
        calls = {"jaxrl": bind(functools.partial(gae, lam=peers.LAM), *data)}
        for name in ("materialised", "unrolled", "associative", "rlax_gae"):
            calls[name] = bind(getattr(peers, name), *data)
        calls["numpy"] = functools.partial(peers.numpy_gae, *map(np.asarray, data))
        agree(calls)
        times = paired(calls | {"floor": bind(peers.streaming, *data)})
        share = np.median(times["floor"] / times["jaxrl"])
        others = [ratio(times, name, "jaxrl") for name in list(calls)[1:]]
        yield [
            f"{list(shape)}",
            microseconds(times, "jaxrl"),
            microseconds(times, "floor"),
            f"{share:.0%}",
            *others,
        ]


def relative_rows(shape: tuple[int, int]) -> Iterator[list[str]]:
    """λ-returns and V-trace against rlax's under vmap."""
    reward, value, next_value, discount, done = data = rollout(shape)
    one = jnp.ones_like(reward)
    pairs = {
        "lambda_return": (
            lambda: lambda_return(reward, next_value, discount, done, peers.LAM),
            peers.rlax_lambda_return,
        ),
        "vtrace": (
            lambda: vtrace(reward, value, next_value, discount, done, one, one),
            peers.rlax_vtrace,
        ),
    }
    yield [f"{list(shape)}", "jaxrl, µs", "rlax, vmapped /"]
    for name, (ours, theirs) in pairs.items():
        calls = {"jaxrl": bind(ours), "rlax": bind(theirs, *data)}
        agree(calls)
        times = paired(calls)
        yield [f"`{name}`", microseconds(times, "jaxrl"), ratio(times, "rlax", "jaxrl")]


def group_rows() -> Iterator[list[str]]:
    """Group statistics against one read and one write of the rewards."""
    reward = jax.random.normal(jax.random.key(0), (NUM_PROMPTS, GROUP))
    flat = reward.ravel()
    ids = jnp.sort(jax.random.randint(jax.random.key(1), flat.shape, 0, NUM_PROMPTS))
    relative = functools.partial(group_relative, ddof=1)
    calls = {
        "copy": bind(lambda x: x + 1.0, reward),
        "group_relative": bind(relative, reward),
        "leave_one_out": bind(leave_one_out, reward),
        "group_relative, ragged": bind(lambda x, i: relative(x, i, NUM_PROMPTS), flat, ids),
        "leave_one_out, ragged": bind(lambda x, i: leave_one_out(x, i, NUM_PROMPTS), flat, ids),
        "NumPy": functools.partial(peers.numpy_group_relative, np.asarray(reward)),
    }
    agree({name: calls[name] for name in ("group_relative", "NumPy")})
    times = paired(calls)
    yield [f"Groups, [{NUM_PROMPTS}, {GROUP}]", "µs", "/ one read and one write"]
    for name in calls:
        yield [name, microseconds(times, name), ratio(times, name, "copy")]


def token_rows() -> Iterator[list[str]]:
    """Value and gradient of selected log-probabilities and entropies: time and memory."""
    keys = jax.random.split(jax.random.key(0), 3)
    hidden = jax.random.normal(keys[0], (*TOKENS, WIDTH))
    table = jax.random.normal(keys[1], (WIDTH, VOCABULARY)) / WIDTH**0.5
    token = jax.random.randint(keys[2], TOKENS, 0, VOCABULARY)

    def from_logits(function: Callable[..., Any]) -> Callable[..., Any]:
        return lambda hidden, table, token: function(hidden @ table, token)

    contenders = {
        "naive: log_softmax": from_logits(peers.naive_log_prob_and_entropy),
        "`log_prob_and_entropy`": from_logits(log_prob_and_entropy),
        "`hidden_log_prob_and_entropy`": hidden_log_prob_and_entropy,
    }

    def loss(function: Callable[..., Any]) -> Callable[..., Any]:
        return jax.value_and_grad(lambda *x: sum(y.mean() for y in function(*x)), argnums=(0, 1))

    compiled = {
        name: jax.jit(loss(function)).lower(hidden, table, token).compile()
        for name, function in contenders.items()
    }
    calls = {name: functools.partial(run, hidden, table, token) for name, run in compiled.items()}
    times = paired(calls, rounds=3, seconds=0.0)
    naive, *_ = contenders
    yield [
        f"{list(TOKENS)} tokens, {VOCABULARY:,} vocabulary",
        "ms",
        "/ naive",
        "peak MiB",
        "/ naive",
    ]
    for name, run in compiled.items():
        yield [
            name,
            f"{1e3 * np.median(times[name]):,.0f}",
            ratio(times, name, naive),
            f"{peak(run) / 2**20:,.0f}",
            f"{peak(run) / peak(compiled[naive]):.2f}",
        ]


def peak(compiled: Any) -> int:
    """Bytes that a compiled function holds: arguments, results and temporaries."""
    memory = compiled.memory_analysis()
    sizes = memory.argument_size_in_bytes + memory.output_size_in_bytes
    return sizes + memory.temp_size_in_bytes


def bandwidth() -> str:
    """Rate of a copy out of cache, bytes read and written."""
    x = jnp.ones(2**26)
    seconds = np.median(paired({"copy": bind(lambda x: x + 1.0, x)}, rounds=5)["copy"])
    return f"{2 * x.nbytes / seconds / 1e9:.1f} GB/s"


def main() -> None:
    """Print the tables, and write them if asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true", help="put the tables into README.md")
    parser.add_argument("--quick", action="store_true", help="the two smallest shapes, no tokens")
    options = parser.parse_args()
    device = jax.devices()[0].device_kind
    head = (
        f"`python -m benchmarks.core --write`, jax {jax.__version__}, Python "
        f"{platform.python_version()}, {device}, {os.cpu_count()} cores, copy {bandwidth()}. "
        "Times are medians; ratios are "
        "medians (least-largest) over paired rounds, above 1 where the other is slower."
    )
    tables = [gae_rows(SHAPES[:2] if options.quick else SHAPES), relative_rows(SHAPES[2])]
    tables += [group_rows()] if options.quick else [group_rows(), token_rows()]
    text = "\n\n".join([head, *(table(rows) for rows in tables)])
    print(text)
    if options.write:
        put("benchmark", text)


if __name__ == "__main__":
    main()
