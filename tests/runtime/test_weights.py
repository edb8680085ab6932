"""Folders of weights: there and back, the logits of transformers, and what is refused."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrl.networks.attention import RotaryScaling
from jaxrl.networks.language import language_model
from jaxrl.networks.lora import adapt
from jaxrl.runtime import tensors, weights
from tests.formulas.near import assert_near
from tests.networks.speech import SHAPES, prompts
from tests.networks.speech import weights as some
from tests.oracles import transformer as oracle

FOREIGN = {name: shape for name, shape in SHAPES.items() if name != "gpt2"} | {
    "llama_biased": SHAPES["llama"]._replace(qkv_bias=True, out_bias=True, mlp_bias=True)
}
ROWS = [[4, 9, 2, 7, 7, 1, 10, 3], [5, 6]]


def params_of(name):
    return some(language_model(FOREIGN[name]))


def logits(shape, params):
    model, rows = language_model(shape), prompts(*ROWS, length=8)
    return model.hidden(params, rows.token, rows.mask) @ model.unembedding(params)


@pytest.fixture
def folder(tmp_path):
    weights.save(tmp_path, FOREIGN["qwen3"], params_of("qwen3"), {"eos_token_id": 1})
    return tmp_path


@pytest.mark.parametrize("name", FOREIGN)
def test_there_and_back(name, tmp_path):
    """The same bits; and the shape from the configuration alone."""
    params = params_of(name)
    weights.save(tmp_path, FOREIGN[name], params, {"bos_token_id": 3, "vocab_size": 2})
    found = weights.load(tmp_path)
    assert found.shape == FOREIGN[name]
    jax.tree.map(np.testing.assert_array_equal, found.params, params)
    assert found.config["bos_token_id"] == 3


def test_a_file_written_by_hand(tmp_path):
    """Names, orders and directions as the files of Qwen2 have them, in two parts of bfloat16."""
    rng = np.random.default_rng(0)
    draw = lambda *size: jnp.asarray(rng.normal(size=size), jnp.bfloat16)  # noqa: E731
    attention, layer = "model.layers.0.self_attn", "model.layers.0"
    file = {f"{attention}.{x}_proj.weight": draw(n, 6) for x, n in (("q", 8), ("k", 4), ("v", 4))}
    file |= {f"{attention}.{x}_proj.bias": draw(n) for x, n in (("q", 8), ("k", 4), ("v", 4))}
    file |= {f"{layer}.mlp.{x}_proj.weight": draw(5, 6) for x in ("gate", "up")}
    file |= {f"{attention}.o_proj.weight": draw(6, 8), f"{layer}.mlp.down_proj.weight": draw(6, 5)}
    norms = (f"{layer}.input_layernorm", f"{layer}.post_attention_layernorm", "model.norm")
    file |= {f"{name}.weight": draw(6) for name in norms}
    file |= {"model.embed_tokens.weight": draw(7, 6), "lm_head.weight": draw(7, 6)}
    shards = {name: f"part-{i % 2}.safetensors" for i, name in enumerate(file)}
    for shard in set(shards.values()):
        tensors.save(tmp_path / shard, {n: x for n, x in file.items() if shards[n] == shard}, {})
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps({"weight_map": shards}))
    config = {
        "model_type": "qwen2", "vocab_size": 7, "hidden_size": 6, "num_hidden_layers": 1,
        "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 2, "intermediate_size": 5,
        "max_position_embeddings": 9, "rope_theta": 100.0, "rms_norm_eps": 1e-5,
    }  # fmt: skip
    (tmp_path / "config.json").write_text(json.dumps(config))
    shape, params, _ = weights.load(tmp_path)
    assert (shape.qkv_bias, shape.out_bias, shape.tied) == (True, False, False)
    wide = {name: np.asarray(x, np.float64) for name, x in file.items()}
    x = wide["model.embed_tokens.weight"][3]  # one token sees itself alone: values, and no more
    normed = x / np.sqrt((x * x).mean() + 1e-5) * wide[f"{layer}.input_layernorm.weight"]
    value = wide[f"{attention}.v_proj.weight"] @ normed + wide[f"{attention}.v_proj.bias"]
    seen = np.repeat(value.reshape(2, 1, 2), 2, 1).reshape(8)  # two heads read each of the values
    x = x + wide[f"{attention}.o_proj.weight"] @ seen
    inner = x / np.sqrt((x * x).mean() + 1e-5) * wide[f"{norms[1]}.weight"]
    gate = wide[f"{layer}.mlp.gate_proj.weight"] @ inner
    up = wide[f"{layer}.mlp.up_proj.weight"] @ inner
    x = x + wide[f"{layer}.mlp.down_proj.weight"] @ (gate / (1 + np.exp(-gate)) * up)
    x = x / np.sqrt((x * x).mean() + 1e-5) * wide["model.norm.weight"]
    assert_near(oracle.logits(params, shape, [3])[0], wide["lm_head.weight"] @ x, 1e-6)


@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("name", FOREIGN)
def test_logits_are_those_of_transformers(name, tmp_path):
    """Of a model that transformers made and saved, and of ours as transformers reads it."""
    torch, transformers = pytest.importorskip("torch"), pytest.importorskip("transformers")
    shape = FOREIGN[name]
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    weights.save(ours, shape, params_of(name))
    model = transformers.AutoModelForCausalLM.from_pretrained(ours, attn_implementation="eager")

    def compare(params):
        rows, mask = (np.asarray(x).T for x in prompts(*ROWS, length=8)[:2])
        position = np.maximum(mask.cumsum(1) - 1, 0)
        with torch.no_grad():
            expected = model(
                torch.tensor(rows), torch.tensor(mask), position_ids=torch.tensor(position)
            ).logits.numpy()
        difference = np.abs(np.swapaxes(np.asarray(logits(shape, params)), 0, 1) - expected)
        assert expected.std() > 0.1
        assert difference[mask].max() < 1e-4

    compare(params_of(name))
    torch.manual_seed(0)
    for p in model.parameters():
        torch.nn.init.normal_(p, float(p.ndim == 1), 0.3)
    size = "10KB" if name == "qwen2" else "1GB"  # in several files, or in one
    model.save_pretrained(theirs, max_shard_size=size)
    found = weights.load(theirs)
    assert found.shape == shape
    compare(found.params)


def change(folder, **fields):
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"model_type": "mamba"}, "must have a model_type among llama, qwen2, qwen3, not 'mamba'"),
        ({"vocab_size": None}, "must have an integer of at least 1 as vocab_size, not None"),
        ({"hidden_act": "gelu"}, "must have 'silu' as hidden_act, not 'gelu'"),
        ({"use_sliding_window": True}, "must have no sliding window"),
        ({"rope_scaling": {"rope_type": "yarn"}}, "type default or llama3, not 'yarn'"),
        ({"rope_scaling": {"type": "llama3"}}, "must say 'factor' of its rotary positions"),
        ({"rope_scaling": ["llama3"]}, r"rotary positions in a table, not \['llama3'\]"),
        ({"rope_theta": None}, "must have a number above 0 as rope_theta, not None"),
        ({"rms_norm_eps": "small"}, "must have a number above 0 as rms_norm_eps, not 'small'"),
        ({"hidden_size": 13}, r"embed_tokens.weight in .* must have the shape \(11, 13\), not"),
        ({"num_hidden_layers": 3}, "must hold the tensor model.layers.2.self_attn.q_proj.weight"),
        ({"num_hidden_layers": 1}, "no place for: model.layers.1"),
        ({"model_type": "llama"}, "has no place for: model.layers.0.self_attn.q_norm.weight"),
    ],
)
def test_configurations_that_are_refused(fields, words, folder):
    change(folder, **fields)
    with pytest.raises(ValueError, match=words) as error:
        weights.load(folder)
    assert str(folder) in str(error.value) and "\n" not in str(error.value)


def test_folders_that_are_refused(folder):
    """Without what they need, damaged, or naming files elsewhere."""
    file, index = folder / "model.safetensors", folder / "model.safetensors.index.json"
    data = file.read_bytes()
    file.write_bytes(data[:-1])
    with pytest.raises(ValueError, match="is no sound file of tensors"):
        weights.load(folder)
    file.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    with pytest.raises(ValueError, match="its checksum differs"):
        weights.load(folder)
    file.unlink()
    with pytest.raises(ValueError, match=r"must hold model.safetensors or .*index.json"):
        weights.load(folder)
    index.write_text(json.dumps({"weight_map": {"x": "../x.safetensors"}}))
    with pytest.raises(ValueError, match=r"must name files of its folder, not '../x.safetensors'"):
        weights.load(folder)
    index.write_text(json.dumps({"weight_map": {"x": 3}}))
    with pytest.raises(ValueError, match=r"must name files of its folder, not '3'"):
        weights.load(folder)
    index.write_text(json.dumps({"weight_map": {"x": "x.safetensors"}}))
    with pytest.raises(ValueError, match=r"must hold x.safetensors, which its .* names"):
        weights.load(folder)
    (folder / "config.json").write_text("{")
    with pytest.raises(ValueError, match=r"config.json is no sound JSON"):
        weights.load(folder)
    (folder / "config.json").write_text("[]")
    with pytest.raises(ValueError, match="must hold a table, not list"):
        weights.load(folder)
    (folder / "config.json").unlink()
    with pytest.raises(ValueError, match=r"must hold config.json, which is not there"):
        weights.load(folder)


def test_shapes_that_no_architecture_has(tmp_path):
    shape = FOREIGN["llama"]
    for changes, words in (
        ({"norm": "layer"}, "norm must be 'rms' to be one of llama, qwen2, qwen3, not 'layer'"),
        ({"gated": False}, "gated must be True"),
        ({"out_bias": True}, "biases must be those of one of llama, qwen2, qwen3"),
        ({"qk_norm": True, "mlp_bias": True}, "biases must be those of one"),
    ):
        with pytest.raises(ValueError, match=words):
            weights.save(tmp_path, shape._replace(**changes), {})
    adapted = adapt(jax.random.key(0), params_of("llama"), rank=1, alpha=1.0)
    with pytest.raises(TypeError, match="merge them first"):
        weights.save(tmp_path, shape, adapted)
    assert list(tmp_path.iterdir()) == []


def test_older_and_newer_files():
    """Where they keep the rotary base and scaling, and what they leave out."""
    config = weights.config_of(FOREIGN["llama_scaled"])
    scaling = config.pop("rope_scaling")
    assert weights.shape_of(config).rotary_scaling is None
    config["rope_parameters"] = {**scaling, "rope_theta": 7.0}
    shape = weights.shape_of(config)
    assert (shape.rotary_base, shape.rotary_scaling) == (7.0, RotaryScaling(4.0, 1.0, 2.0, 8))
    for name in ("head_dim", "num_key_value_heads", "tie_word_embeddings"):
        del config[name]
    shape = weights.shape_of(config)
    assert (shape.head_size, shape.num_kept_heads, shape.tied) == (3, 4, False)
