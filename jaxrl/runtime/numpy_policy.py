"""Act with an exported policy from NumPy alone: this one file may be copied anywhere.

policy = load("runs/.../export")
memory = start(policy, 1)
action, memory = act(policy, obs[None], memory)
"""

import json
from typing import Any, NamedTuple

import numpy as np

MARGIN = 1e-6  # of the mode of a Beta, whose parameters may both be 1
TYPES = {"F32": "<f4", "F64": "<f8", "F16": "<f2", "I32": "<i4", "I64": "<i8", "U32": "<u4"}

Array = np.ndarray
Memory = tuple[Array, ...]


class Policy(NamedTuple):
    """A policy: what it does with an observation, and its weights by name."""

    description: dict[str, Any]
    weights: dict[str, Array]


def load(folder: Any) -> Policy:
    """The policy in a folder that `jaxrl export` wrote."""
    with open(f"{folder}/policy.json", encoding="utf-8") as file:
        description = json.load(file)["network"]
    if description is None:
        raise ValueError(f"{folder} holds a policy for StableHLO alone, not one for NumPy")
    with open(f"{folder}/policy.safetensors", "rb") as file:
        header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
        data = file.read()
    header.pop("__metadata__", None)
    weights = {}
    for name, entry in header.items():
        begin, end = entry["data_offsets"]
        weights[name] = np.frombuffer(data[begin:end], TYPES[entry["dtype"]]).reshape(
            entry["shape"]
        )
    return Policy(description, weights)


def start(policy: Policy, num_envs: int) -> Memory:
    """The memory at the start of an episode, in each of some environments."""
    sizes = [MEMORIES[x["kind"]] * [x["size"]] for x in policy.description["layers"] if "size" in x]
    return tuple(np.zeros((num_envs, size), np.float32) for each in sizes for size in each)


def act(
    policy: Policy, obs: Array, memory: Memory = (), action_mask: Array | None = None
) -> tuple[Array, Memory]:
    """The greedy actions of observations [N, ...], and the memory after them.

    Args:
      memory: what the call before gave, or `start`; where an episode ended, `start` again.
      action_mask: which actions are legal, [N, A].
    """
    output, memory = forward(policy, obs, memory)
    action = policy.description["action"]
    return ACTIONS[action["kind"]](output, action, action_mask), memory


def forward(policy: Policy, obs: Array, memory: Memory = ()) -> tuple[Array, Memory]:
    """The network's output, [N, P], and its memory after it."""
    x = np.asarray(obs).astype(np.float32)
    if (standard := policy.description["normalise"]) is not None:
        mean, var = policy.weights["obs/mean"], policy.weights["obs/var"]
        x = (x - mean) / np.sqrt(var + np.float32(standard["eps"]))
        x = np.clip(x, -standard["bound"], standard["bound"]).astype(np.float32)
    for layer in policy.description["layers"]:
        prefix = layer["name"] + "/"
        own = {k.removeprefix(prefix): w for k, w in policy.weights.items() if k.startswith(prefix)}
        x, memory = LAYERS[layer["kind"]](x, own, memory)
        x = ACTIVATIONS[layer.get("activation", "linear")](x)
    return x, memory


def dense(x: Array, own: dict[str, Array], memory: Memory) -> tuple[Array, Memory]:
    """x W + b of the flattened input."""
    return x.reshape(len(x), -1) @ own["kernel"] + own["bias"], memory


def conv(x: Array, own: dict[str, Array], memory: Memory) -> tuple[Array, Memory]:
    """A convolution of images [N, H, W, C] without padding, in steps of one."""
    kernel = own["kernel"]  # [h, w, C, F]
    windows = np.lib.stride_tricks.sliding_window_view(x, kernel.shape[:2], (1, 2))
    return np.tensordot(windows, kernel, ((4, 5, 3), (0, 1, 2))) + own["bias"], memory


def norm(x: Array, own: dict[str, Array], memory: Memory) -> tuple[Array, Memory]:
    """Layer normalisation."""
    centred = x - x.mean(-1, keepdims=True)
    deviation = np.sqrt(np.square(centred).mean(-1, keepdims=True) + np.float32(1e-6))
    return centred / deviation * own["scale"] + own["bias"], memory


def gru(x: Array, own: dict[str, Array], memory: Memory) -> tuple[Array, Memory]:
    """A gated recurrent unit."""
    h, *rest = memory

    def into(gate: str) -> Array:
        return x @ own[f"i{gate}/kernel"] + own[f"i{gate}/bias"]

    reset, update = (sigmoid(into(gate) + h @ own[f"h{gate}/kernel"]) for gate in "rz")
    new = np.tanh(into("n") + reset * (h @ own["hn/kernel"] + own["hn/bias"]))
    h = (1 - update) * new + update * h
    return h, (*rest, h)


def lstm(x: Array, own: dict[str, Array], memory: Memory) -> tuple[Array, Memory]:
    """A long short-term memory."""
    c, h, *rest = memory
    gates = [x @ own[f"i{g}/kernel"] + h @ own[f"h{g}/kernel"] + own[f"h{g}/bias"] for g in "ifgo"]
    c = sigmoid(gates[1]) * c + sigmoid(gates[0]) * np.tanh(gates[2])
    h = sigmoid(gates[3]) * np.tanh(c)
    return h, (*rest, c, h)


def sigmoid(x: Array) -> Array:
    """1 / (1 + e⁻ˣ), without overflow."""
    return np.float32(0.5) * (1 + np.tanh(np.float32(0.5) * x))


def gelu(x: Array) -> Array:
    """The Gaussian error linear unit, by its approximation with tanh."""
    inner = np.float32(np.sqrt(2 / np.pi)) * (x + np.float32(0.044715) * x**3)
    return np.float32(0.5) * x * (1 + np.tanh(inner))


def choices(output: Array, action: dict[str, Any], action_mask: Array | None) -> Array:
    """The best legal value of each choice."""
    if action_mask is not None:
        output = np.where(action_mask, output, -np.inf)
    parts = np.split(output, np.cumsum(action["num_values"])[:-1], -1)
    best = np.stack([part.argmax(-1) for part in parts], -1).astype(np.int32)
    return best[:, 0] if action["single"] else best


def gaussian(output: Array, action: dict[str, Any], action_mask: Array | None) -> Array:
    """The mean."""
    return in_box(output[:, : len(action["low"])], action)


def squashed_gaussian(output: Array, action: dict[str, Any], action_mask: Array | None) -> Array:
    """Centre + half width · tanh of the mean."""
    low, high = bounds(action)
    mean = output[:, : len(low)]
    return in_box((low + high) / 2 + (high - low) / 2 * np.tanh(mean), action)


def beta(output: Array, action: dict[str, Any], action_mask: Array | None) -> Array:
    """The mode (α − 1) / (α + β − 2), stretched to the bounds; output = softplus⁻¹ (α − 1), ..."""
    low, high = bounds(action)
    alpha = 1 + np.logaddexp(output, np.float32(0))  # rounded, as where it was learnt
    left, right = np.split(alpha - 1 + np.float32(MARGIN), 2, -1)
    mode = np.clip(left / (left + right), MARGIN, 1 - MARGIN)
    return in_box(low + (high - low) * mode, action)


def bounds(action: dict[str, Any]) -> tuple[Array, Array]:
    """The least and the greatest action; None stands for no bound."""
    low = [-np.inf if x is None else x for x in action["low"]]
    high = [np.inf if x is None else x for x in action["high"]]
    return np.array(low, np.float32), np.array(high, np.float32)


def in_box(x: Array, action: dict[str, Any]) -> Array:
    """Within the bounds, and of the action's shape."""
    return np.clip(x, *bounds(action)).astype(np.float32).reshape(len(x), *action["shape"])


LAYERS = {"dense": dense, "conv": conv, "norm": norm, "gru": gru, "lstm": lstm}
MEMORIES = {"gru": 1, "lstm": 2}
ACTIVATIONS = {
    "linear": lambda x: x,
    "tanh": np.tanh,
    "relu": lambda x: np.maximum(x, 0),
    "silu": lambda x: x * sigmoid(x),
    "gelu": gelu,
    "elu": lambda x: np.where(x > 0, x, np.expm1(np.minimum(x, 0))),
}
ACTIONS = {
    "choices": choices,
    "gaussian": gaussian,
    "squashed_gaussian": squashed_gaussian,
    "beta": beta,
}
