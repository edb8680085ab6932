"""Generation from prompts that are read once per group, against once per member.

NPROC=1 python -m benchmarks.generation [--write]: prints the table; --write puts it into README.md.
"""

import argparse
import functools
import os
import platform
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.core import peak
from benchmarks.readme import put, table
from benchmarks.timing import paired, ratio
from jaxrl.networks.generation import generate, row_keys
from jaxrl.networks.language import language_model
from jaxrl.networks.sampling import sampling
from jaxrl.networks.transformer import Shape
from jaxrl.text import Prompts, Vocabulary

VOCABULARY = Vocabulary(32, eos=1, pad=0)
SHAPE = Shape(VOCABULARY.size, context=256)
NUM_PROMPTS = 16
SIZES = [(16, 16, 8), (16, 16, 16), (128, 16, 8), (128, 16, 16), (128, 128, 8), (128, 128, 16)]


def contenders(length: int, num_tokens: int, group_size: int) -> dict[str, Any]:
    """The two compiled generations of the same responses, with their arguments."""
    model = language_model(SHAPE)
    params = jax.jit(model.init)(jax.random.key(0))
    token = jax.random.randint(jax.random.key(1), (length, NUM_PROMPTS), 2, VOCABULARY.size)
    once = Prompts(token, jnp.ones(token.shape, bool), jnp.arange(NUM_PROMPTS))
    index = jnp.repeat(once.index, group_size)
    each = Prompts(token[:, index], once.mask[:, index], index)
    keys = row_keys(jax.random.key(2), NUM_PROMPTS, group_size)

    @jax.jit
    def run(key: jax.Array, params: Any, prompts: Prompts) -> Any:
        return generate(
            key, model, params, prompts, VOCABULARY, num_tokens, sampling(), early_stop=False
        )

    arguments = {"shared": (keys, params, once), "repeated": (keys.reshape(-1, 1), params, each)}
    return {name: (run.lower(*given).compile(), given) for name, given in arguments.items()}


def rows() -> Iterator[list[str]]:
    """Tokens a second and memory, of each size."""
    yield [
        "prompt, response, group",
        "tokens/s",
        "repeated / shared, time",
        "MiB",
        "repeated / shared, memory",
    ]
    for length, num_tokens, group_size in SIZES:
        both = contenders(length, num_tokens, group_size)
        calls = {name: functools.partial(run, *given) for name, (run, given) in both.items()}
        one, other = (np.asarray(call().token).reshape(num_tokens, -1) for call in calls.values())
        if (one == other).mean() < 0.99:  # rounding may decide a draw in a thousand
            raise SystemExit("what is shared and what is repeated say different things")
        times = paired(calls, rounds=7, seconds=0.1)
        memory = {name: peak(run) for name, (run, _) in both.items()}
        yield [
            f"{length}, {num_tokens}, {group_size}",
            f"{NUM_PROMPTS * group_size * num_tokens / np.median(times['shared']):,.0f}",
            ratio(times, "repeated", "shared"),
            f"{memory['shared'] / 2**20:.1f}",
            f"{memory['repeated'] / memory['shared']:.2f}",
        ]


def main() -> None:
    """Print the table, and write it if asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true", help="put the table into README.md")
    options = parser.parse_args()
    threads = os.environ.get("NPROC", os.cpu_count())
    text = (
        f"`NPROC=1 python -m benchmarks.generation --write`, jax {jax.__version__}, Python "
        f"{platform.python_version()}, {jax.devices()[0].device_kind}, threads: {threads}. "
        f"{NUM_PROMPTS} prompts, {SHAPE.num_layers} layers of width {SHAPE.width}, no early stop; "
        "ratios of time are medians (least-largest) over paired rounds.\n\n" + table(rows())
    )
    print(text)
    if options.write:
        put("generation", text)


if __name__ == "__main__":
    main()
