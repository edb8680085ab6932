"""Llama, Qwen2 and Qwen3 from a folder of safetensors as transformers has it, and back.

A folder holds config.json, and model.safetensors or the parts that model.safetensors.index.json
names. Nothing is downloaded, nothing executed, and no file outside of the folder is read.
"""

import json
import math
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from jaxrl.networks.attention import RotaryScaling
from jaxrl.networks.lora import Adapted
from jaxrl.networks.transformer import Shape
from jaxrl.runtime import atomic, tensors
from jaxrl.types import PyTree

CONFIG, WEIGHTS, INDEX = "config.json", "model.safetensors", "model.safetensors.index.json"
CLASSES = {"llama": "LlamaForCausalLM", "qwen2": "Qwen2ForCausalLM", "qwen3": "Qwen3ForCausalLM"}
"""The architectures, as model_type names them, and their classes in transformers."""

SIZES = {
    "vocabulary_size": "vocab_size",
    "width": "hidden_size",
    "num_layers": "num_hidden_layers",
    "num_heads": "num_attention_heads",
    "num_kept_heads": "num_key_value_heads",
    "head_size": "head_dim",
    "mlp_size": "intermediate_size",
    "context": "max_position_embeddings",
}
SCALING = {
    "factor": "factor",
    "low_factor": "low_freq_factor",
    "high_factor": "high_freq_factor",
    "context": "original_max_position_embeddings",
}
PARTS = Shape(1)  # those that the three architectures have in common: RMSNorm, rotary, SwiGLU


class Pretrained(NamedTuple):
    """What a folder holds."""

    shape: Shape
    params: PyTree  # float32
    config: dict[str, Any]  # all of config.json, to be saved with what becomes of the weights


def load(folder: Path | str) -> Pretrained:
    """Read a model; a ValueError says in one sentence what is wrong with its folder."""
    folder = Path(folder)
    shape, config = described(folder)
    found = _tensors(folder)
    params: dict[str, Any] = {}
    for entry in _entries(shape):
        node = params
        for name in entry.path[:-1]:
            node = node.setdefault(name, {})
        parts = [_part(folder, found, *part) for part in entry.parts]
        whole = np.concatenate(parts) if len(parts) > 1 else parts[0]
        node[entry.path[-1]] = jnp.asarray(whole.T if entry.turned else whole)
    unknown = [
        name for name in found if not (name.endswith("inv_freq") or name == "lm_head.weight")
    ]
    if unknown:
        raise ValueError(f"{folder} holds tensors that its {CONFIG} has no place for: {unknown[0]}")
    return Pretrained(shape, params, config)


def described(folder: Path | str) -> tuple[Shape, dict[str, Any]]:
    """The shape of a folder's model, and all of its config.json."""
    file = Path(folder) / CONFIG
    config = _json(file)
    try:
        return shape_of(config), config
    except ValueError as error:
        raise ValueError(f"{file} {error}") from error


def save(
    folder: Path | str, shape: Shape, params: PyTree, config: Mapping[str, Any] | None = None
) -> None:
    """Write a model as transformers reads it, in float32, each file whole or not at all.

    Args:
      params: plain; merge adapters first.
      config: what else config.json is to say, such as eos_token_id; that of `Pretrained` will do.
    """
    if isinstance(params, Adapted):
        raise TypeError("params must be plain parameters, not Adapted ones: merge them first")
    described = config_of(shape)
    arrays = {}
    for entry in _entries(shape):
        x = params
        for name in entry.path:
            x = x[name]
        x = np.asarray(x, np.float32)
        cuts = np.cumsum([size[0] for _, size in entry.parts])[:-1]
        parts = np.split(x.T if entry.turned else x, cuts)
        arrays |= {name: part for (name, _), part in zip(entry.parts, parts, strict=True)}
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    old = {k: v for k, v in (config or {}).items() if k not in ("rope_parameters", "dtype")}
    tensors.save(folder / WEIGHTS, arrays, {"format": "pt"})
    (folder / INDEX).unlink(missing_ok=True)  # of other weights
    atomic.write(folder / CONFIG, json.dumps({**old, **described}, indent=2) + "\n")


def shape_of(config: Mapping[str, Any]) -> Shape:
    """The shape that a config.json describes."""
    kind = config.get("model_type")
    if kind not in CLASSES:
        raise ValueError(f"must have a model_type among {', '.join(CLASSES)}, not {kind!r}")
    sizes: dict[str, Any] = {name: config.get(theirs) for name, theirs in SIZES.items()}
    sizes["num_kept_heads"] = sizes["num_kept_heads"] or sizes["num_heads"]
    for name, size in sizes.items():
        if name != "head_size" and (type(size) is not int or size < 1):
            raise ValueError(f"must have an integer of at least 1 as {SIZES[name]}, not {size!r}")
    sizes["head_size"] = sizes["head_size"] or sizes["width"] // sizes["num_heads"]
    _refuse(config)
    base, scaling = _rotary(config)
    bias = bool(config.get("attention_bias"))
    return Shape(
        **sizes,
        norm_eps=_number(config, "rms_norm_eps", 1e-6),
        rotary_base=base,
        rotary_scaling=scaling,
        qkv_bias=bias or kind == "qwen2",
        out_bias=bias and kind != "qwen2",
        mlp_bias=bool(config.get("mlp_bias")) and kind == "llama",
        qk_norm=kind == "qwen3",
        tied=bool(config.get("tie_word_embeddings", False)),
    )


def config_of(shape: Shape) -> dict[str, Any]:
    """What config.json says of a shape; a ValueError if none of the architectures has it."""
    for name in ("norm", "position", "activation", "gated"):
        if getattr(shape, name) != getattr(PARTS, name):
            raise ValueError(
                f"{name} must be {getattr(PARTS, name)!r} to be one of {', '.join(CLASSES)}, "
                f"not {getattr(shape, name)!r}"
            )
    qwen2 = shape.qkv_bias and not shape.out_bias and not shape.qk_norm
    kind = "qwen2" if qwen2 else "qwen3" if shape.qk_norm else "llama"
    if (shape.qkv_bias != shape.out_bias and not qwen2) or (shape.mlp_bias and kind != "llama"):
        raise ValueError(f"biases must be those of one of {', '.join(CLASSES)}, not {shape}")
    scaling = shape.rotary_scaling
    return {
        "architectures": [CLASSES[kind]],
        "model_type": kind,
        **{theirs: getattr(shape, name) for name, theirs in SIZES.items()},
        "rms_norm_eps": shape.norm_eps,
        "rope_theta": shape.rotary_base,
        "rope_scaling": scaling and _scaling_config(scaling),
        "hidden_act": shape.activation,
        "attention_bias": shape.out_bias,
        "mlp_bias": shape.mlp_bias,
        "tie_word_embeddings": shape.tied,
        "torch_dtype": "float32",
    }


class _Entry(NamedTuple):
    path: tuple[str, ...]  # in the tree of parameters
    parts: tuple[tuple[str, tuple[int, ...]], ...]  # names and shapes in the file, one on another
    turned: bool = False  # [out, in] in the file, [in, out] in the tree


def _entries(shape: Shape) -> Iterator[_Entry]:
    """Every parameter and where its parts are in a file."""
    table, row = (shape.vocabulary_size, shape.width), (shape.width,)
    yield _Entry(("embedding",), (("model.embed_tokens.weight", table),))
    yield _Entry(("norm", "scale"), (("model.norm.weight", row),))
    if not shape.tied:
        yield _Entry(("unembedding",), (("lm_head.weight", table),), True)
    for i in range(shape.num_layers):
        for entry in _layer(shape):
            parts = tuple((f"model.layers.{i}.{name}", size) for name, size in entry.parts)
            yield entry._replace(path=(f"layer_{i}", *entry.path), parts=parts)


def _layer(shape: Shape) -> Iterator[_Entry]:
    queries, kept = (n * shape.head_size for n in (shape.num_heads, shape.num_kept_heads))
    width, inner = shape.width, shape.mlp_size
    qkv = {"q_proj": queries, "k_proj": kept, "v_proj": kept}
    up = {"gate_proj": inner, "up_proj": inner}
    yield from _affine("qkv", "self_attn", qkv, width, shape.qkv_bias)
    yield from _affine("out", "self_attn", {"o_proj": width}, queries, shape.out_bias)
    yield from _affine("up", "mlp", up, width, shape.mlp_bias)
    yield from _affine("down", "mlp", {"down_proj": width}, inner, shape.mlp_bias)
    norms = {
        "attention_norm": ("input_layernorm", width),
        "mlp_norm": ("post_attention_layernorm", width),
    }
    if shape.qk_norm:
        norms["query_norm"] = ("self_attn.q_norm", shape.head_size)
        norms["key_norm"] = ("self_attn.k_norm", shape.head_size)
    for ours, (theirs, size) in norms.items():
        yield _Entry((ours, "scale"), ((f"{theirs}.weight", (size,)),))


def _affine(
    ours: str, theirs: str, sizes: Mapping[str, int], width: int, bias: bool
) -> Iterator[_Entry]:
    weights = tuple((f"{theirs}.{name}.weight", (size, width)) for name, size in sizes.items())
    yield _Entry((ours, "kernel"), weights, True)
    if bias:
        biases = tuple((f"{theirs}.{name}.bias", (size,)) for name, size in sizes.items())
        yield _Entry((ours, "bias"), biases)


def _refuse(config: Mapping[str, Any]) -> None:
    """Stop at what would make the logits other than they should be."""
    if (activation := config.get("hidden_act", "silu")) != "silu":
        raise ValueError(f"must have 'silu' as hidden_act, not {activation!r}")
    if config.get("use_sliding_window") or "sliding_attention" in (config.get("layer_types") or ()):
        raise ValueError("must have no sliding window, which is not supported")


def _rotary(config: Mapping[str, Any]) -> tuple[float, RotaryScaling | None]:
    """Base and scaling, from where older and newer files have them."""
    newer = config.get("rope_parameters") or {}
    rope = newer or config.get("rope_scaling") or {}
    if not isinstance(rope, dict):
        raise ValueError(f"must describe its rotary positions in a table, not {rope!r}")
    base = _number({**config, **newer}, "rope_theta", 10_000.0)
    kind = rope.get("rope_type", rope.get("type", "default"))
    if kind == "default":
        return base, None
    if kind != "llama3":
        raise ValueError(f"must have rotary positions of the type default or llama3, not {kind!r}")
    try:
        return base, RotaryScaling(**{name: rope[k] for name, k in SCALING.items()})
    except KeyError as error:
        raise ValueError(f"must say {error} of its rotary positions") from error


def _number(config: Mapping[str, Any], name: str, default: float) -> float:
    value = config.get(name, default)
    if type(value) not in (int, float) or not 0 < value < math.inf:
        raise ValueError(f"must have a number above 0 as {name}, not {value!r}")
    return float(value)


def _scaling_config(scaling: RotaryScaling) -> dict[str, Any]:
    fields = {theirs: getattr(scaling, name) for name, theirs in SCALING.items()}
    return {"rope_type": "llama3", **fields}


def _json(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise ValueError(f"{path.parent} must hold {path.name}, which is not there")
    try:
        table = json.loads(path.read_text("utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is no sound JSON: {error}") from error
    if not isinstance(table, dict):
        raise ValueError(f"{path} must hold a table, not {type(table).__name__}")
    return table


def _tensors(folder: Path) -> dict[str, np.ndarray]:
    """All tensors of a folder, in one file or in several."""
    if (folder / WEIGHTS).is_file():
        return tensors.load(folder / WEIGHTS, foreign=True)[0]
    if not (folder / INDEX).is_file():
        raise ValueError(f"{folder} must hold {WEIGHTS} or {INDEX}, and has neither")
    places = _json(folder / INDEX).get("weight_map")
    names = sorted(set(map(str, places.values()))) if isinstance(places, dict) else []
    found: dict[str, np.ndarray] = {}
    for name in names:
        if not re.fullmatch(r"[\w.-]+\.safetensors", name):
            raise ValueError(f"{folder / INDEX} must name files of its folder, not {name!r}")
        if not (folder / name).is_file():
            raise ValueError(f"{folder} must hold {name}, which its {INDEX} names")
        found |= tensors.load(folder / name, foreign=True)[0]
    return found


def _part(
    folder: Path, found: dict[str, np.ndarray], name: str, size: tuple[int, ...]
) -> np.ndarray:
    """A tensor, taken out of those that were found, so that what is left over has no place."""
    if name not in found:
        raise ValueError(f"{folder} must hold the tensor {name}, which is missing")
    x = found.pop(name)
    if x.shape != size:
        raise ValueError(f"{name} in {folder} must have the shape {size}, not {x.shape}")
    return np.asarray(x, np.float32)
