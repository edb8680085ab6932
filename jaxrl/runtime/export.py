"""A policy for use without jaxrl: as a compiled function, and as weights that NumPy can run.

policy.stablehlo     obs, memory -> greedy action, memory, for any batch, by jax.export
policy.safetensors   the weights of the network that acts
policy.json          what both of them take, and how NumPy makes an action of the weights
numpy_policy.py      reads the two and acts; needs NumPy only
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxrl.families.normalise import BOUND, EPS, Moments, Normalised, with_content
from jaxrl.families.policy import ActorCritic
from jaxrl.networks import action_mask, content
from jaxrl.runtime import checkpoint, numpy_policy, tensors
from jaxrl.runtime.atomic import whole, write
from jaxrl.types import Discrete, Env, Learner, LearnerState, MultiDiscrete, PyTree, Space

PLATFORMS = ("cpu", "cuda", "tpu")
NUM_COMPARED, NUM_STEPS, TOLERANCE, NEARLY_ALL = 64, 3, 1e-5, 0.98
FLIPPED = 0.1  # of the bools of another observation


class Agent(NamedTuple):
    """A trained policy and what it acts in."""

    config: Any
    env: Env
    learner: Learner
    state: LearnerState


def export(agent: Agent, folder: Path, about: dict[str, Any]) -> bool:
    """Write a policy into a folder; whether there is a form of it for NumPy.

    Args:
      about: what policy.json is to say besides.
    """
    data, signature = stablehlo(agent)
    policy = described(agent)
    folder.mkdir(parents=True, exist_ok=True)
    with whole(folder / "policy.stablehlo") as file:
        file.write(data)
    network = None if policy is None else policy.description
    if policy is not None:
        tensors.save(folder / "policy.safetensors", policy.weights, {})
        source = Path(numpy_policy.__file__)
        write(folder / source.name, source.read_text("utf-8"))
    text = json.dumps(about | signature | {"network": network}, indent=2)
    write(folder / "policy.json", text + "\n")
    return policy is not None


def stablehlo(agent: Agent) -> tuple[bytes, dict[str, Any]]:
    """The policy as a portable function of arrays, and what these are.

    It takes the arrays of an observation and those of the memory, each with a leading axis of any
    size, and gives the action and the memory after it. Memory starts as zeros.
    """
    obs, memory = examples(agent, 1)
    if not _remembers(agent, obs, memory):
        agent, memory = _forgetful(agent, memory), ()
    size = jax.export.symbolic_shape("b")

    def any_batch(x: Any) -> jax.ShapeDtypeStruct:
        return jax.ShapeDtypeStruct((*size, *x.shape[1:]), x.dtype)

    leaves, tree = jax.tree.flatten((obs, memory))

    def act(*arrays: Any) -> list[Any]:
        obs, memory = jax.tree.unflatten(tree, arrays)
        action, _, memory = agent.learner.act(agent.state, obs, None, memory)
        return jax.tree.leaves((action, memory))

    exported = jax.export.export(jax.jit(act), platforms=PLATFORMS)(*map(any_batch, leaves))
    names = [*checkpoint.named({"obs": obs}), *checkpoint.named({"memory": memory})]
    inputs = [
        {"name": name, "shape": [None, *x.shape[1:]], "dtype": str(x.dtype)}
        for name, x in zip(names, leaves, strict=True)
    ]
    return bytes(exported.serialize()), {"inputs": inputs}


def _remembers(agent: Agent, obs: PyTree, memory: PyTree) -> bool:
    """Whether acting greedily changes the memory: that of exploration noise stays as it is."""

    def after(memory: PyTree) -> PyTree:
        return agent.learner.act(agent.state, obs, None, memory)[2]

    jaxpr = jax.make_jaxpr(after)(memory).jaxpr
    return any(x is not y for x, y in zip(jaxpr.invars, jaxpr.outvars, strict=True))


def _forgetful(agent: Agent, memory: PyTree) -> Agent:
    """The agent that acts greedily on a memory of zeros, and carries nothing."""

    def act(state: LearnerState, obs: PyTree, noise: None, carry: PyTree) -> Any:
        num = jax.tree.leaves(obs)[0].shape[0]
        blank = jax.tree.map(lambda x: jnp.zeros((num, *x.shape[1:]), x.dtype), memory)
        return *agent.learner.act(state, obs, noise, blank)[:2], carry

    return agent._replace(learner=agent.learner._replace(act=act))


def examples(agent: Agent, num: int) -> tuple[PyTree, PyTree]:
    """Observations of as many first steps, and the memory before them."""
    key = jax.random.key(0)
    _, obs = jax.jit(jax.vmap(agent.env.reset))(jax.random.split(key, num))
    return obs, agent.learner.carry(key, num)


def described(agent: Agent) -> numpy_policy.Policy | None:
    """The policy as NumPy runs it; None where it acts in a way that has no description here.

    What is described is compared with how the learner acts, so that nothing wrong gets out.
    """
    for params in _acting_params(agent.state):
        try:
            policy = _described(agent, params)
            if all(map(_close, *_both(agent, policy))):
                return policy
        except (AttributeError, IndexError, KeyError, TypeError, ValueError):
            continue  # of another shape than what is described here
    return None


def _acting_params(state: LearnerState) -> Iterator[PyTree]:
    """The parameters that may be those that act: an algorithm may act with older ones."""
    for params in (state.params, state.target):
        yield params.actor if isinstance(params, ActorCritic) else params


def _described(agent: Agent, params: PyTree) -> numpy_policy.Policy:
    config, state = agent.config, agent.state
    layers = list(_network(config, params))
    weights = {n: x for n, x in checkpoint.arrays(params).items() if not n.endswith("log_std")}
    known = tuple(f"{layer['name']}/" for layer in layers)
    if strange := [name for name in weights if not name.startswith(known)]:
        raise ValueError(f"{strange} belong to no layer that is described")
    normalise = None
    moments = _moments(state)
    if moments is not None:
        normalise = {"eps": EPS, "bound": BOUND}
        weights |= {"obs/mean": moments.mean, "obs/var": moments.var}
    description = {
        "normalise": normalise,
        "layers": layers,
        "action": _action(config, agent.env.spaces.action),
    }
    return numpy_policy.Policy(description, jax.device_get(weights))


def _moments(state: LearnerState) -> Moments | None:
    """Of the observations, wherever among the slots of other combinators they are."""
    leaves = jax.tree.leaves(state.slots, is_leaf=lambda x: isinstance(x, Normalised))
    return next((x.obs for x in leaves if isinstance(x, Normalised)), None)


def _network(config: Any, params: PyTree) -> Iterator[dict[str, Any]]:
    kind = getattr(config, "memory", None)
    if kind is None:
        yield from _torso(params, "", config.activation)
        return
    yield from _torso(params["torso"], "torso/", config.activation)
    yield {"kind": kind, "name": "cell", "size": config.memory_size}
    yield from _torso(params["head"], "head/", config.activation)


def _torso(params: PyTree, prefix: str, activation: str) -> Iterator[dict[str, Any]]:
    """The layers of an MLP or a CNN, in their order."""
    for name in _numbered("conv", params):
        yield {"kind": "conv", "name": prefix + name, "activation": activation}
    for name in {"cnn", "mlp"} & params.keys():
        yield from _torso(params[name], f"{prefix}{name}/", activation)
    for i, name in enumerate(_numbered("dense", params)):
        dense = {"kind": "dense", "name": prefix + name}
        if (norm := f"norm_{i}") in params:
            yield dense
            yield {"kind": "norm", "name": prefix + norm, "activation": activation}
        else:
            yield dense | {"activation": activation}
    if "output" in params:
        yield {"kind": "dense", "name": f"{prefix}output"}


def _numbered(name: str, params: PyTree) -> list[str]:
    return [f"{name}_{i}" for i in range(len(params)) if f"{name}_{i}" in params]


def _action(config: Any, space: Space) -> dict[str, Any]:
    if isinstance(space, Discrete):
        return {"kind": "choices", "num_values": [space.num_values], "single": True}
    if isinstance(space, MultiDiscrete):
        return {"kind": "choices", "num_values": list(space.num_values), "single": False}
    low, high = (_finite(np.broadcast_to(x, space.shape)) for x in (space.low, space.high))
    kind = getattr(config, "distribution", "squashed_gaussian") or "gaussian"
    return {"kind": kind, "low": low, "high": high, "shape": list(space.shape)}


def _finite(bound: np.ndarray) -> list[float | None]:
    return [float(x) if np.isfinite(x) else None for x in bound.ravel()]


def _both(agent: Agent, policy: numpy_policy.Policy) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """What the learner does and what the description does, in a few steps one after the other."""
    obs, memory = examples(agent, NUM_COMPARED)
    remembered = numpy_policy.start(policy, NUM_COMPARED)
    mask = action_mask(obs)
    learner_act = jax.jit(agent.learner.act)
    ours, theirs = [], []
    for i in range(NUM_STEPS):
        key = jax.random.key(i)
        other = jax.tree.map(lambda x, key=key: _shaken(key, x), content(obs))
        seen = with_content(obs, other) if i else obs
        action, _, memory = learner_act(agent.state, seen, None, memory)
        legal = None if mask is None else np.asarray(action_mask(seen))
        numpy_action, remembered = numpy_policy.act(
            policy, np.asarray(content(seen)), remembered, legal
        )
        ours.append(np.asarray(action))
        theirs.append(numpy_action)
    return ours, theirs


def _shaken(key: jax.Array, x: jax.Array) -> jax.Array:
    """Other observations of the same type."""
    if x.dtype == bool:
        return x ^ jax.random.bernoulli(key, FLIPPED, x.shape)
    if not jnp.issubdtype(x.dtype, jnp.floating):
        return x
    return x + jax.random.normal(key, x.shape, x.dtype)


def _close(ours: np.ndarray, theirs: np.ndarray) -> bool:
    """Whether actions are the same, but for a few that rounding may decide, as between ties."""
    if ours.shape != theirs.shape:
        return False
    return bool(np.isclose(ours, theirs, TOLERANCE, TOLERANCE).mean() > NEARLY_ALL)
