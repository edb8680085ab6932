"""Imitation as pure functions: whom to imitate, and training by that."""

from typing import Any

import jax

from jaxrl import checks
from jaxrl.algorithms import cloning
from jaxrl.config import demand, title
from jaxrl.data.conform import conform, conform_actions, named
from jaxrl.envs import make
from jaxrl.families.cloning import asked
from jaxrl.families.settings import Expert, Setting, imitates, in_sequences
from jaxrl.loops.acting import LoopState, draws, going, start
from jaxrl.loops.off_policy import example
from jaxrl.train import Training, build, trained_by, understood
from jaxrl.types import Array, Env, LearnerState, PyTree, Transition


def make_imitation(
    config: Any,
    env: Any,
    expert: Expert | Transition,
    total_steps: int | None = None,
    evaluate_every: int | None = None,
    *,
    env_params: dict[str, Any] | None = None,
    networks: Any = None,
    optimizer: Any = None,
) -> Training:
    """As `make_train`, but imitating an expert; rewards of the environment are only reported.

    Args:
      config: "bc", "dagger", "gail", "airl", or a configuration of `jaxrl.cloning`, or of a policy
        that `imitates`.
      expert: whom to imitate: for cloning one who can be asked, observations [N, ...] -> actions,
        as `policy` makes of what was trained; for the others steps of his, [T, N, ...], as
        `demonstrate` makes of one.
    """
    config, made, total_steps = understood(config, env, total_steps, env_params)
    if not imitates(config):
        raise ValueError(f"config must be of an algorithm that imitates, not of {title(config)}")
    asks = isinstance(config, cloning.Config)
    if asks and not callable(expert):
        raise TypeError(f"expert must be a function of observations with {title(config)}: "
                        "make_offline clones what data show")  # fmt: skip
    if not asks:
        expert = _rows(made, expert)
    setting = Setting(made.spaces, 1, networks, optimizer, expert)
    return trained_by(config, made, (total_steps, evaluate_every, 16), setting)


def policy(config: Any, state: LoopState | LearnerState, env: Any, networks: Any = None) -> Expert:
    """What was trained as a function of observations [N, ...], which acts greedily.

    Args:
      config, state, env, networks: as `evaluate` takes them; a policy with memory is none of
        observations.
    """
    alone = not in_sequences(config)
    demand(config, alone, "memory", "be None for who is asked about one observation")
    learner = build(config, env := make(env), Setting(env.spaces, 1, networks))[1]
    learnt = state if isinstance(state, LearnerState) else state.learner

    def act(obs: PyTree) -> Array:
        carry = learner.carry(jax.random.key(0), len(jax.tree.leaves(obs)[0]))  # nothing is kept
        return learner.act(learnt, obs, None, carry)[0]

    return act


def demonstrate(
    key: Array, env: Any, expert: Expert, num_steps: int, num_envs: int = 1
) -> Transition:
    """Steps of an expert in environments that never stop, [T, N, ...], as data sets are."""
    checks.at_least(1, num_steps=num_steps, num_envs=num_envs)
    env, learner = make(env), asked(expert)
    k_start, *k_draws = jax.random.split(key, 4)
    first = start(k_start, env, learner, num_envs)
    chance = draws(k_draws, env, learner, (num_steps, num_envs))
    return jax.lax.scan(going(env, learner, first.learner, ()), first.scene, chance)[1]


def shown(env: Env) -> Transition:
    """The shapes and types of one step, whoever took it."""
    return example(env, asked(lambda obs: obs))


def _rows(env: Env, expert: Any) -> Transition:
    """Demonstrations as rows [B, ...], if they are steps in the environment."""
    if not isinstance(expert, Transition):
        raise TypeError(
            "expert must be Transitions [T, N, ...] for a discriminator, as demonstrate makes them,"
            f" not {expert!r}"
        )
    found = conform(named(expert._replace(extras=())), shown(env), "expert")
    conform_actions(found.action, env.spaces.action, "expert")
    return jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), found)
