"""The zoo: every algorithm by name, and the loop that feeds it."""

from collections.abc import Callable
from typing import Any, NamedTuple

from jaxrl.algorithms import (
    a2c,
    actor_critic,
    cloning,
    ddpg,
    discrete_sac,
    dqn,
    grpo,
    impala,
    monte_carlo,
    ppo,
    ppo_penalty,
    pqn,
    q_learning,
    reinforce,
    sac,
    td,
    trpo,
)
from jaxrl.config import replace, title, unknown
from jaxrl.data import Buffer, fixed
from jaxrl.families.off_policy import (
    Around,
    ReplayConfig,
    check_data,
    check_replay,
    check_window,
    plain,
    replay,
)
from jaxrl.language_zoo import LANGUAGE
from jaxrl.loops import Pace, episodic, off_policy, offline, on_policy, online
from jaxrl.tuned import TUNED
from jaxrl.types import Algorithm, Env, Learner, Transition


class Budget(NamedTuple):
    """What a loop does with environment steps."""

    steps_per_update: int
    parts: str  # what these are the product of
    first_steps: int = 0  # before the first update
    learner_updates: int = 1  # in one update of the loop


class Loop(NamedTuple):
    """A loop as a configuration asks for it."""

    make: Callable[[Any, Env, Learner], Algorithm]
    budget: Callable[[Any], Budget]


class Entry(NamedTuple):
    """An algorithm: the configuration it starts from, its learner, and the loop that feeds it."""

    config: Any
    learner: Callable[..., Learner]
    loop: Loop


def _rollout_budget(config: Any) -> Budget:
    return Budget(config.num_envs * config.num_steps, "num_envs × num_steps")


def _online_budget(config: Any) -> Budget:
    return _rollout_budget(config)._replace(learner_updates=config.num_steps)


def _replay_budget(config: Any) -> Budget:
    pace = _pace(config)
    per_update = config.num_envs * config.num_steps * config.num_iterations
    first = pace.first_rows * config.num_envs
    learnt = config.num_iterations * config.num_gradients
    return Budget(per_update, "num_envs × num_steps × num_iterations", first, learnt)


def _pace(config: Any) -> Pace:
    return Pace(*(getattr(config, name) for name in Pace._fields))


def _on_policy(config: Any, env: Env, learner: Learner) -> Algorithm:
    return on_policy(env, learner, config.num_envs, config.num_steps)


def _online(config: Any, env: Env, learner: Learner) -> Algorithm:
    ahead = getattr(config, "target", None) == "sarsa"
    return online(env, learner, config.num_envs, config.num_steps, ahead)


def _episodic(config: Any, env: Env, learner: Learner) -> Algorithm:
    group_size = getattr(config, "group_size", 1)
    return episodic(env, learner, config.num_envs, config.num_steps, group_size)


def replayed(config: Any, env: Env, learner: Learner, around: Around = plain) -> Algorithm:
    """The off-policy loop of a configuration, with a combinator around its ring."""
    check_replay(config)
    buffer = replay(config, around)
    check_window(config, buffer.window)
    return off_policy(env, learner, buffer, _pace(config))


def from_data(config: Any, learner: Learner, data: Transition) -> Algorithm:
    """The loop of a learner that learns from a data set in place of its own replay."""
    check_data(config, *data.reward.shape)

    def over(capacity: int, num_envs: int) -> Buffer:
        return replay(replace(config, capacity=capacity, num_envs=num_envs))

    num_gradients = data_budget(config).steps_per_update
    return offline(learner, fixed(data, over), data, num_gradients, config.batch_size)


def data_budget(config: Any) -> Budget:
    """What training from a data set does with gradient steps."""
    if not isinstance(config, ReplayConfig):
        raise ValueError(f"dataset needs an algorithm that learns from replay, not {title(config)}")
    check_replay(config)
    steps = config.num_iterations * config.num_gradients
    return Budget(steps, "num_iterations × num_gradients", learner_updates=steps)


CONTINUING = Loop(_on_policy, _rollout_budget)
"""Environments that never stop; an episode may span updates."""

WHOLE = Loop(_episodic, _rollout_budget)
"""Whole trajectories from fresh starts, in groups."""

ONLINE = Loop(_online, _online_budget)
"""Environments that never stop, and an update after each of their steps."""

REPLAYED = Loop(replayed, _replay_budget)
"""Environments that never stop, and batches from a buffer."""


ZOO: dict[str, Entry] = {
    "reinforce": Entry(reinforce.Config(), reinforce.learner, WHOLE),
    "rloo": Entry(
        reinforce.Config(baseline="leave_one_out", group_size=4), reinforce.learner, WHOLE
    ),
    "actor_critic": Entry(actor_critic.Config(), actor_critic.learner, CONTINUING),
    "a2c": Entry(a2c.Config(), a2c.learner, CONTINUING),
    "ppo": Entry(ppo.Config(), ppo.learner, CONTINUING),
    "ppo_penalty": Entry(ppo_penalty.Config(), ppo_penalty.learner, CONTINUING),
    "trpo": Entry(trpo.Config(), trpo.learner, CONTINUING),
    "grpo": Entry(grpo.Config(), grpo.learner, WHOLE),
    "impala": Entry(impala.Config(), impala.learner, CONTINUING),
    "pqn": Entry(pqn.Config(), pqn.learner, CONTINUING),
    "dqn": Entry(dqn.Config(), dqn.learner, REPLAYED),
    "double_dqn": Entry(dqn.Config(target="double"), dqn.learner, REPLAYED),
    "c51": Entry(dqn.Config(head="categorical"), dqn.learner, REPLAYED),
    "qr_dqn": Entry(dqn.Config(head="quantile"), dqn.learner, REPLAYED),
    "iqn": Entry(dqn.Config(head="implicit", num_quantiles=8), dqn.learner, REPLAYED),
    "munchausen_dqn": Entry(dqn.Config(target="munchausen"), dqn.learner, REPLAYED),
    "rainbow": Entry(
        dqn.Config(
            head="categorical",
            target="double",
            dueling=True,
            noisy="step",
            replay="proportional",
            n_step=3,
            exploration="greedy",
        ),
        dqn.learner,
        REPLAYED,
    ),
    "ddpg": Entry(ddpg.Config(), ddpg.learner, REPLAYED),
    "td3": Entry(
        ddpg.Config(
            num_critics=2,
            num_judges=2,
            policy_delay=2,
            target_period=2,
            noise_memory=0.0,
            noise_std=0.1,
            smoothing_std=0.2,
        ),
        ddpg.learner,
        REPLAYED,
    ),
    "d4pg": Entry(
        ddpg.Config(
            head="categorical",
            n_step=3,
            replay="proportional",
            noise_memory=0.0,
            noise_spread=4.0,
        ),
        ddpg.learner,
        REPLAYED,
    ),
    "sac": Entry(sac.Config(), sac.learner, REPLAYED),
    "redq": Entry(
        sac.Config(num_critics=10, num_gradients=80, policy_delay=20), sac.learner, REPLAYED
    ),
    "discrete_sac": Entry(discrete_sac.Config(), discrete_sac.learner, REPLAYED),
    "bc": Entry(cloning.Config(), cloning.learner, REPLAYED),
    "dagger": Entry(cloning.Config(labels="asked"), cloning.learner, REPLAYED),
    "gail": Entry(ppo.Config(imitates="gail"), ppo.learner, CONTINUING),
    "airl": Entry(
        ppo.Config(imitates="airl", discriminator_lr=1e-4, discriminator_epochs=1),
        ppo.learner,
        CONTINUING,
    ),
    "r2d2": Entry(
        dqn.Config(
            target="double",
            dueling=True,
            squash=True,
            replay="proportional",
            n_step=3,
            memory="lstm",
            sequence_length=20,
            burn_in=4,
            batch_size=32,
        ),
        dqn.learner,
        REPLAYED,
    ),
    "q_learning": Entry(q_learning.Config(), q_learning.learner, ONLINE),
    "double_q_learning": Entry(q_learning.Config(target="double"), q_learning.learner, ONLINE),
    "sarsa": Entry(q_learning.Config(target="sarsa"), q_learning.learner, ONLINE),
    "expected_sarsa": Entry(q_learning.Config(target="expected"), q_learning.learner, ONLINE),
    "monte_carlo": Entry(monte_carlo.Config(), monte_carlo.learner, WHOLE),
    "td": Entry(td.Config(), td.learner, ONLINE),
}

DEFAULT_STEPS = 500_000


def entry(config: Any) -> Entry:
    """The entry that a name or a configuration belongs to."""
    if isinstance(config, str):
        if config in LANGUAGE:
            raise ValueError(f"{config} learns from prompts: jaxrl.make_language_train trains it")
        if config not in ZOO:
            raise ValueError(unknown("algorithm", config, ZOO))
        return ZOO[config]
    for found in ZOO.values():
        if type(found.config) is type(config):
            return found
    raise TypeError(f"config must be an algorithm's name or configuration, not {config!r}")


def tuned(name: str, env: Any = None, **changes: Any) -> tuple[Any, int]:
    """The configuration of an algorithm for an environment, with changes, and its budget."""
    settings = dict(TUNED.get(name, {}).get(env, {}) if isinstance(env, str) else {})
    total_steps = settings.pop("total_steps", DEFAULT_STEPS)
    return replace(entry(name).config, **(settings | changes)), total_steps
