"""Agents trained on all probes side by side, and what they say of them."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxrl import make_train
from jaxrl.algorithms import discrete_sac, dqn, pqn
from jaxrl.config import hints, replace
from jaxrl.envs import PROBES, probe, stacked
from jaxrl.families import critic_settings, tabular
from jaxrl.families.box import span
from jaxrl.families.off_policy import OffPolicyConfig
from jaxrl.families.policy import ActorCritic
from jaxrl.families.settings import Setting
from jaxrl.networks import MLP
from jaxrl.networks.value import Chance
from jaxrl.types import Average
from jaxrl.zoo import ZOO
from tests.compiler import SOME
from tests.envs.tiny import walk
from tests.zoo.cases import budget, in_a_box
from tests.zoo.worlds import either, invest, number, numbered

GAMMA = 0.9
ACTOR = MLP((16,), final_size=2, final_scale=0.01)

SETTINGS = {
    "num_envs": 16,
    "num_steps": 8,
    "gamma": GAMMA,
    "lr": 1e-2,
    "anneal_lr": True,
    "lam": 0.9,
    "entropy_coef": 0.0,
    "num_epochs": 2,
    "num_minibatches": 2,
    "group_size": 4,
    "policy_lag": 2,
    "num_iterations": 4,
    "batch_size": 32,
    "learning_starts": 64,
    "capacity": 2048,
    "target_period": 20,
    "polyak": 1.0,
    "value_min": -3.0,
    "value_max": 12.0,
    "huber_delta": 1.0,
}
"""What all algorithms learn the probes with, where they have such a field."""


class Agent(NamedTuple):
    """An algorithm with changes, and what its critic judges: "state", "action" or None."""

    name: str
    critic: str | None = "state"
    changes: Mapping[str, Any] = MappingProxyType({})


TURNS = {"num_steps": 1, "hidden_sizes": (16,), "activation": "tanh"}
LED = TURNS | {"num_gradients": 2}
COOL = LED | {"temperature": 0.1}
"""The temperature falls, as the entropy that is asked for is little: values forget about it."""
FIXED = {"learn_temperature": False, "temperature": 0.01}
SEQUENCES = {"memory": "gru", "memory_size": 8, "sequence_length": 4, "burn_in": 1}
SEQUENCES |= {"learning_starts": 96, "epsilon_end": 0.01}  # n-step returns hold what was tried

TABLE = {"lr": 0.2}  # whose probes are told by numbers
TRACES = {"num_envs": 1, "num_steps": 128}

AGENTS = {
    "reinforce": Agent("reinforce", "state", {"group_size": 1}),
    "reinforce_td": Agent("reinforce", "state", {"group_size": 1, "weighting": "td_error"}),
    "reinforce_q": Agent("reinforce", "action", {"group_size": 1, "weighting": "action_value"}),
    "reinforce_mean": Agent("reinforce", None, {"group_size": 1, "baseline": "mean"}),
    "reinforce_moving": Agent("reinforce", None, {"group_size": 1, "baseline": "moving"}),
    "rloo": Agent("rloo", None),
    "actor_critic": Agent("actor_critic", "action"),
    "actor_critic_td": Agent("actor_critic", "state", {"weighting": "td_error"}),
    "a2c": Agent("a2c"),
    "ppo": Agent("ppo"),
    "ppo_penalty": Agent("ppo_penalty"),
    "trpo": Agent("trpo"),
    "grpo": Agent("grpo", None),
    "impala": Agent("impala"),
    "pqn": Agent("pqn", "action"),
    "dqn": Agent("dqn", "action", TURNS),
    "double_dqn": Agent("double_dqn", "action", TURNS),
    "c51": Agent("c51", "action", TURNS),
    "qr_dqn": Agent("qr_dqn", "action", TURNS),
    "iqn": Agent("iqn", "action", TURNS),
    "munchausen_dqn": Agent("munchausen_dqn", "action", TURNS),
    "rainbow": Agent("rainbow", "action", TURNS),
    "ddpg": Agent("ddpg", "action", LED),
    "td3": Agent("td3", "action", LED),
    "d4pg": Agent("d4pg", "action", LED | {"num_atoms": 16, "noise_std": 0.05}),
    "sac": Agent("sac", "action", COOL | {"target_entropy": -3.0}),
    "redq": Agent(
        "redq",
        "action",
        LED
        | {"num_critics": 4, "policy_delay": 2, "learn_temperature": False, "temperature": 0.01},
    ),
    "discrete_sac": Agent("discrete_sac", "action", COOL | {"entropy_share": 0.05}),
    "r2d2": Agent("r2d2", "action", TURNS | SEQUENCES),
    "q_learning": Agent("q_learning", "action", TABLE),
    "double_q_learning": Agent("double_q_learning", "action", TABLE),
    "sarsa": Agent("sarsa", "action", TABLE),
    "sarsa_traces": Agent("sarsa", "action", TABLE | TRACES | {"traces": "replacing"}),
    "watkins": Agent("q_learning", "action", TABLE | TRACES | {"traces": "accumulating"}),
    "expected_sarsa": Agent("expected_sarsa", "action", TABLE),
    "monte_carlo": Agent("monte_carlo", "action", TABLE),
    "monte_carlo_first": Agent("monte_carlo", "action", TABLE | {"visits": "first"}),
}
"""What is held to the probes: all of the zoo, and the choices that change what a value is."""

PREDICTION = Agent("td", "state", TABLE)
"""Which acts as it does, whatever it learns: it is held to the values alone."""


class Trained(NamedTuple):
    """What came of training on one probe; [rows, seeds, ...] of all."""

    value: jax.Array  # of the observations asked for; 0 without a critic
    preference: jax.Array  # how far action 1 stands above action 0 there
    slots: Any
    episode_return: Average  # of each window of training


def settings(agent, **changes):
    """The configuration of an agent for probes."""
    config = ZOO[agent.name].config
    known = {k: v for k, v in SETTINGS.items() if k in hints(type(config))}
    return replace(config, **(known | dict(agent.changes) | changes))


def critic(agent):
    """A critic that the test holds too, so that it can ask it."""
    return MLP((16,), final_size=2 if agent.critic == "action" else 1)


def says(module, params, obs) -> jax.Array:
    return jnp.asarray(module.apply({"params": params}, obs))


def by_values(agent):
    """Whether the agent acts by its values and has no policy."""
    return isinstance(ZOO[agent.name].config, dqn.Config | pqn.Config)


def in_a_table(agent):
    """Whether the agent learns a table."""
    return isinstance(ZOO[agent.name].config, tabular.TabularConfig)


def remembers(agent):
    """Whether the agent has a memory."""
    return getattr(settings(agent), "memory", None) is not None


def action_values(agent, params, obs):
    """Action values of observations along episodes, [episodes, steps, 2]."""
    if agent.name == "pqn":
        return says(critic(agent), params, obs)
    config, spaces = settings(agent), probe(PROBES["constant"]).spaces
    network = dqn.network(config, Setting(spaces, 1))
    num_episodes, num_steps, _ = obs.shape
    start, on = network.carry(num_episodes), jnp.zeros((num_steps, num_episodes), bool)
    said, _ = network.unroll(params, obs.swapaxes(0, 1), start, on, Chance())
    return dqn.head(config).mean(said.numbers).swapaxes(0, 1)


def setting(config):
    """What a learner of probes is told."""
    spaces = probe(PROBES["constant"], in_a_box(config)).spaces
    return Setting(spaces, 1, ActorCritic(None if in_a_box(config) else ACTOR, None))


def led(agent, state, obs):
    """What an actor that follows critics thinks of observations: value of its action, preference.

    Actions −1 and 1 of a policy whose logits lie 2 x apart have the mean tanh x.
    """
    config, flat = settings(agent), obs.reshape(-1, obs.shape[-1])
    head, told = critic_settings.head(config), setting(config)
    critic = state.params.critic
    if isinstance(config, discrete_sac.Config):
        critics = critic_settings.critics_of_choices(config, told, 2)
        logits = says(ACTOR, state.params.actor, flat)
        q = head.mean(critics.ask(critic, flat, None)).mean(0)
        value, preference = (jax.nn.softmax(logits) * q).sum(-1), logits[:, 1] - logits[:, 0]
    else:
        learner, box = ZOO[agent.name].learner(config, told), span(told.spaces.action)
        action = learner.act(state, flat, None, ())[0]
        critics = critic_settings.critics_of_box(config, told, box)
        value = head.mean(critics.ask(critic, flat, action)).mean(0)
        preference = 2 * jnp.arctanh(0.9999 * action[:, 0])
    return value.reshape(obs.shape[:-1]), preference.reshape(obs.shape[:-1])


def opinion(agent, state, obs):
    """What a learner says of observations, [..., 2]: value and preference."""
    params = state.params
    if in_a_table(agent):
        if agent == PREDICTION:
            return params[number(obs)], jnp.zeros(obs.shape[:-1])
        q = tabular.action_values(params, number(obs))
        return q.max(-1), q[..., 1] - q[..., 0]
    if by_values(agent):
        q = action_values(agent, params, obs)
        return q.max(-1), q[..., 1] - q[..., 0]
    if isinstance(settings(agent), OffPolicyConfig):
        return led(agent, state, obs)
    logits = says(ACTOR, params.actor, obs)
    preference = logits[..., 1] - logits[..., 0]
    if agent.critic is None:
        return jnp.zeros(preference.shape), preference
    judged = says(critic(agent), params.critic, obs)
    weights = jax.nn.softmax(logits) if agent.critic == "action" else 1.0
    return (weights * judged).sum(-1), preference


def trained(agent, env, obs, num_updates, key):
    """Train, then ask for observations [..., 2]."""
    config = settings(agent)
    own = ActorCritic(None if isinstance(config, pqn.Config) else ACTOR, critic(agent))
    if in_a_table(agent):
        own, env = None, numbered(env)
    elif isinstance(config, OffPolicyConfig):
        own = None if isinstance(config, dqn.Config) else setting(config).networks
    state, metrics = make_train(config, env, budget(config, num_updates), networks=own)(key)
    said = opinion(agent, state.learner, obs)
    return Trained(*said, state.learner.slots, metrics["episode_return"])


class Paths(NamedTuple):
    """What is seen along the best actions of a probe, [8 episodes, 6 steps]."""

    obs: jax.Array
    counts: jax.Array  # whether the step belongs to the episode
    last: jax.Array  # whether it is the episode's last one
    cue: jax.Array


def best_path(row, key):
    env = probe(row)
    cue = env.reset(key)[0].cue
    best = jnp.where(jnp.asarray(row.match) != 0, (cue > 0).astype(jnp.int32), 1)
    first, _, timesteps = walk(env, *[best] * 6, key=key)
    time = jnp.arange(6)
    obs = jnp.concatenate([first[None], timesteps.obs[:-1]])
    return Paths(obs, time < row.length, time == row.length - 1, jnp.full(6, cue))


ROWS = stacked([*PROBES.values(), PROBES["constant"]])  # "invest" stands in the last one's place
NAMES = [*PROBES, "invest"]


def on_probes(agent, num_updates, num_seeds):
    """Every probe × seed in one program, and the best paths of the probes, [rows, 8, 6]."""
    path_keys = jax.random.split(jax.random.key(1), 8)  # both cues are among them
    paths = jax.vmap(jax.vmap(best_path, (None, 0)), (0, None))(ROWS, path_keys)
    levels = jnp.eye(2)[::-1]  # of "invest": level 0, level 1
    obs = paths.obs.at[-1, 0, :2].set(levels)
    boxed = in_a_box(settings(agent))
    is_probe = jnp.array([name != "invest" for name in NAMES])

    def one(row, is_probe, obs, key):
        env = either(is_probe, probe(row, boxed), invest(boxed))
        return trained(agent, env, obs, num_updates, key)

    # one `vmap` over all lanes: two of them, one in the other, take longer to trace
    lanes = jax.tree.map(lambda x: jnp.repeat(x, num_seeds, 0), (ROWS, is_probe, obs))
    keys = jnp.tile(jax.random.split(jax.random.key(0), num_seeds), len(NAMES))
    said = jax.jit(jax.vmap(one), compiler_options=SOME)(*lanes, keys)
    return jax.tree.map(lambda x: x.reshape(len(NAMES), num_seeds, *x.shape[1:]), said), paths
