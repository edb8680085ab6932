"""A transformer in naive float64 loops, one sequence without pads at a time."""

import math
from collections import Counter

import jax
import numpy as np


def logits(params, shape, tokens):
    """Logits after each token of one sequence, [L, V]."""
    params = jax.tree.map(lambda x: np.asarray(x, np.float64), params)
    rows = [_embedded(params, shape, token, i) for i, token in enumerate(tokens)]
    for i in range(shape.num_layers):
        rows = _layer(params[f"layer_{i}"], shape, rows)
    rows = [_norm(params["norm"], shape, x) for x in rows]
    table = params["embedding"].T if shape.tied else params["unembedding"]
    return np.array([x @ table for x in rows])


def _embedded(params, shape, token, i):
    x = params["embedding"][token]
    return x + params["position"][i] if shape.position == "learned" else x


def _norm(p, shape, x):
    if shape.norm == "layer":
        return (x - x.mean()) / np.sqrt(x.var() + shape.norm_eps) * p["scale"] + p["bias"]
    return x / np.sqrt(np.mean(x * x) + shape.norm_eps) * p["scale"]


def _affine(p, x):
    return x @ p["kernel"] + p.get("bias", 0.0)


def _turned(shape, x, position):
    """Each pair (x_i, x_{i + K/2}) as a complex number, times e^{i angle}."""
    half = shape.head_size // 2
    out = np.empty_like(x)
    for i in range(half):
        angle = position * _wavenumber(shape, i)
        z = complex(x[i], x[i + half]) * complex(math.cos(angle), math.sin(angle))
        out[i], out[i + half] = z.real, z.imag
    return out


def _wavenumber(shape, i):
    number = shape.rotary_base ** (-2 * i / shape.head_size)
    scaling = shape.rotary_scaling
    if scaling is None:
        return number
    length = 2 * math.pi / number
    if length < scaling.context / scaling.high_factor:
        return number
    if length > scaling.context / scaling.low_factor:
        return number / scaling.factor
    smooth = (scaling.context / length - scaling.low_factor) / (
        scaling.high_factor - scaling.low_factor
    )
    return (1 - smooth) * number / scaling.factor + smooth * number


def _layer(p, shape, rows):
    size, num_heads, num_kept = shape.head_size, shape.num_heads, shape.num_kept_heads
    queries, keys, values = [], [], []
    for position, x in enumerate(rows):
        heads = _affine(p["qkv"], _norm(p["attention_norm"], shape, x)).reshape(-1, size)
        query, key = heads[:num_heads], heads[num_heads : num_heads + num_kept]
        if shape.qk_norm:
            query = [_norm(p["query_norm"], shape, q) for q in query]
            key = [_norm(p["key_norm"], shape, k) for k in key]
        if shape.position == "rotary":
            query = [_turned(shape, q, position) for q in query]
            key = [_turned(shape, k, position) for k in key]
        queries.append(query)
        keys.append(key)
        values.append(heads[num_heads + num_kept :])
    out = []
    for t, x in enumerate(rows):
        seen = []
        for h in range(num_heads):
            group = h // (num_heads // num_kept)
            score = [queries[t][h] @ keys[s][group] / math.sqrt(size) for s in range(t + 1)]
            weight = np.exp(np.array(score) - max(score))
            weight /= weight.sum()
            seen.append(sum(weight[s] * values[s][group] for s in range(t + 1)))
        x = x + _affine(p["out"], np.concatenate(seen))
        out.append(x + _feed_forward(p, shape, _norm(p["mlp_norm"], shape, x)))
    return out


def _feed_forward(p, shape, x):
    up = _affine(p["up"], x)
    gate = _activation(shape.activation, up[: shape.mlp_size])
    return _affine(p["down"], gate * up[shape.mlp_size :] if shape.gated else gate)


def _activation(name, x):
    if name == "silu":
        return x / (1 + np.exp(-x))
    cubed = math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)  # GELU as GPT-2 has it
    return 0.5 * x * (1 + np.tanh(cubed))


def log_probs(params, shape, prompt, response):
    """Log-probability of each token of a response to a prompt, [T]."""
    rows = logits(params, shape, [*prompt, *response])[len(prompt) - 1 : -1]
    top = rows.max(-1, keepdims=True)
    normalised = rows - top - np.log(np.exp(rows - top).sum(-1, keepdims=True))
    return np.array([row[token] for row, token in zip(normalised, response, strict=True)])


def responses(vocabulary, num_tokens):
    """Every response there is: those that end, and those that are cut at T."""
    open_ones, all_of_them = [()], []
    for _ in range(num_tokens):
        longer = [(*r, token) for r in open_ones for token in range(vocabulary.size)]
        all_of_them += [r for r in longer if r[-1] == vocabulary.eos]
        open_ones = [r for r in longer if r[-1] != vocabulary.eos]
    return all_of_them + open_ones


def filtered(logits, top_k=None, top_p=1.0):
    """Probabilities after the k best were kept, then the nucleus of mass p, [V]."""
    prob = np.exp(np.asarray(logits, np.float64) - np.max(logits))
    order = sorted(range(len(prob)), key=lambda i: -prob[i])[: top_k or len(prob)]
    prob = prob / prob[order].sum()
    kept, mass = Counter(), 0.0
    for i in order:
        if mass >= top_p:
            break
        kept[i] = prob[i]
        mass += prob[i]
    return np.array([kept[i] / mass for i in range(len(prob))])
