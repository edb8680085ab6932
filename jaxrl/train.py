"""Training and evaluation as pure functions: key -> (state, metrics)."""

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxrl import checks, zoo
from jaxrl.config import demand, title, validate
from jaxrl.data.conform import conform, conform_actions, named
from jaxrl.envs import make
from jaxrl.families.adversarial import imitating
from jaxrl.families.curious import curious
from jaxrl.families.normalise import normalised
from jaxrl.families.off_policy import Around, ReplayConfig
from jaxrl.families.policy import ActorCritic
from jaxrl.families.settings import OnPolicyConfig, Setting, check, imitates, share_of
from jaxrl.loops.acting import LoopState
from jaxrl.loops.off_policy import example
from jaxrl.loops.run import nothing, run
from jaxrl.loops.spread import spread
from jaxrl.numerics import select
from jaxrl.types import (
    Algorithm,
    Array,
    Average,
    Env,
    Learner,
    LearnerState,
    Metrics,
    PyTree,
    Transition,
    once,
)

NUM_WINDOWS = 100
"""Into how many windows metrics are summed, at most, where no evaluation divides training."""


class Carried(NamedTuple):
    """What training carries: its state, and the metrics of the window that is open."""

    state: LoopState
    metrics: Metrics


@dataclasses.dataclass(frozen=True, eq=False)  # a tuple could not be jitted
class Training:
    """A training run: calling it with a key trains; its parts let a host train in pieces.

    `total_steps` is the budget, rounded down to whole updates of `steps_per_update` steps; where a
    language model is trained, steps are responses.
    """

    algorithm: Algorithm
    learner: Learner
    env: Any  # an `Env`, or what `play` takes for one
    num_updates: int
    steps_per_update: int
    evaluate_every: int | None = None  # in updates
    num_eval_episodes: int = 16
    first_steps: int = 0  # before the first update
    play: Callable[..., "Evaluation"] | None = None  # how episodes are played; None for the usual
    num_tests: int | None = None  # how many episodes differ at all; None for no end of them
    offline: bool = False  # whether a data set is all that is learnt from

    @property
    def total_steps(self) -> int:
        """Environment steps of the whole run."""
        return self.steps(self.num_updates)

    def steps(self, num_updates: Any) -> Any:
        """Environment steps after so many updates."""
        return self.first_steps + num_updates * self.steps_per_update

    def __call__(self, key: Array, state: LoopState | None = None) -> tuple[LoopState, Metrics]:
        """Train from a key, or go on from a state, up to `total_steps`.

        Returns the state and the metrics, whose leaves have an axis of windows: one window ends at
        each evaluation, or there are at most a hundred of equal length. A state knows its key:
        with a state, `key` is not used.
        """
        start = self.algorithm.init(key) if state is None else state

        def window(state: LoopState, end: Array) -> tuple[LoopState, Metrics]:
            return self.window(state, jnp.maximum(end - state.num_updates, 0))

        return jax.lax.scan(window, start, jnp.asarray(self.ends, jnp.int32))

    @property
    def ends(self) -> list[int]:
        """How many updates are done at the end of each window."""
        every = self.evaluate_every or max(1, -(-self.num_updates // NUM_WINDOWS))
        return [*range(every, self.num_updates, every), self.num_updates]

    def window(self, state: LoopState, num_updates: Array) -> tuple[LoopState, Metrics]:
        """Train for some updates; evaluate if that was asked for."""
        blank = nothing(self.algorithm, state)
        carried, metrics = self.close(self.advance(Carried(state, blank), num_updates))
        return carried.state, metrics

    def begin(self, key: Array, *start: PyTree) -> Carried:
        """The start of training, for a host that drives it with `advance` and `close`.

        Args:
          start: parameters that a language model starts from, in place of fresh ones.
        """
        state = self.algorithm.init(key, *start)
        return Carried(state, nothing(self.algorithm, state))

    def advance(self, carried: Carried, num_updates: Array) -> Carried:
        """Some updates further within a window. Any division of them gives the same bits."""
        return Carried(*run(self.algorithm, carried.state, num_updates, carried.metrics))

    def close(self, carried: Carried) -> tuple[Carried, Metrics]:
        """The metrics of the window that ends here, and the start of the next one."""
        state, metrics = carried
        blank = jax.tree.map(jnp.zeros_like, metrics)
        metrics = metrics | once(steps=self.steps(state.num_updates.astype(jnp.float32)))
        if self.evaluate_every is not None:
            result = self.score(state, 0, self.num_eval_episodes)
            count = jnp.float32(self.num_eval_episodes)
            metrics["eval_return"] = Average(result.episode_return.sum(), count)
        return Carried(state, blank), metrics

    def score(self, state: LoopState, offset: int, num_episodes: int) -> "Evaluation":
        """Greedy episodes, on a key that training does not use; another offset, another key."""
        key = jax.random.fold_in(state.eval_key, state.num_updates + offset)
        return self.played(key, state.learner, num_episodes)

    def played(
        self, key: Array, learnt: LearnerState, num_episodes: int, greedy: bool = True
    ) -> "Evaluation":
        """Episodes by what was learnt."""
        return (self.play or play)(key, self.env, self.learner, learnt, num_episodes, greedy)


def make_train(
    config: Any,
    env: Any,
    total_steps: int | None = None,
    evaluate_every: int | None = None,
    *,
    env_params: dict[str, Any] | None = None,
    num_eval_episodes: int = 16,
    networks: Any = None,
    optimizer: Any = None,
) -> Training:
    """A pure function key -> (state, metrics) that trains an agent; jit and vmap it as you like.

    Args:
      config: an algorithm's configuration, or its name for the settings tuned for `env`.
      env: a name, an `Env`, or an object with gymnax's interface.
      total_steps: the budget in environment steps, rounded down to whole updates; by default what
        the zoo says.
      evaluate_every: steps between two greedy evaluations of `num_eval_episodes` episodes each;
        None for none.
      env_params: parameters of a gymnax environment, which may be traced.
      networks: `ActorCritic(actor, critic)` of flax modules, or of `Network`s, or None for either.
      optimizer: (config, schedule) -> an optax transformation.
    """
    config, made, total_steps = understood(config, env, total_steps, env_params)
    if imitates(config):
        raise ValueError(f"{title(config)} imitates an expert here: jaxrl.make_imitation trains it")
    length = total_steps, evaluate_every, num_eval_episodes
    return trained_by(config, made, length, Setting(made.spaces, 1, networks, optimizer))


def trained_by(
    config: Any, env: Env, length: tuple[int, int | None, int], setting: Setting
) -> Training:
    """The training of a configuration that acts in its environment.

    Args:
      length: the budget, steps between evaluations, and their episodes.
      setting: whose number of updates is found here.
    """
    _check_slots(setting.networks, setting.optimizer)
    budget = zoo.entry(config).loop.budget(config)
    run_of = _run_of(budget, *length)
    setting = setting._replace(num_updates=run_of[0] * budget.learner_updates)
    return Training(*build(config, env, setting), env, *run_of)


def make_offline(
    config: Any,
    env: Any,
    dataset: Transition,
    total_steps: int | None = None,
    evaluate_every: int | None = None,
    *,
    env_params: dict[str, Any] | None = None,
    networks: Any = None,
    optimizer: Any = None,
) -> Training:
    """As `make_train`, but from a data set alone, and in gradient steps.

    All steps are those of the gradient: the budget, those between evaluations, and the metric. The
    environment says what the data must look like, and is played in evaluations only.

    Args:
      dataset: `Transition`s in the order of time, [T, N, ...], of N environments.
      total_steps: the budget in gradient steps.
    """
    config, made, total_steps = understood(config, env, total_steps, env_params)
    _check_slots(networks, optimizer)
    demand(config, getattr(config, "labels", "done") == "done", "labels", "be 'done' with data")
    budget = zoo.data_budget(config)
    run_of = _run_of(budget, total_steps, evaluate_every, 16)
    setting = Setting(made.spaces, run_of[0] * budget.learner_updates, networks, optimizer)
    learner = zoo.entry(config).learner(config, setting)
    data = conform(named(dataset), example(made, learner), "dataset")
    conform_actions(data.action, made.spaces.action, "dataset")
    algorithm = zoo.from_data(config, learner, data)
    return Training(algorithm, learner, made, *run_of, offline=True)


def row(config: Any, env: Any, env_params: dict[str, Any] | None = None) -> Transition:
    """The shapes and types of what a data set must hold of one step of one environment."""
    config, made, _ = understood(config, env, None, env_params)
    zoo.data_budget(config)  # raises where none is learnt from
    return example(made, zoo.entry(config).learner(config, Setting(made.spaces, 1)))


def understood(
    config: Any, env: Any, total_steps: int | None, env_params: dict[str, Any] | None
) -> tuple[Any, Env, int]:
    """Configuration, environment and budget, each checked."""
    if isinstance(config, str):
        config, default_steps = zoo.tuned(config, env)
    else:
        default_steps = zoo.DEFAULT_STEPS
    total_steps = default_steps if total_steps is None else total_steps
    zoo.entry(validate(config))  # raises where none is known
    made = make(env, **(env_params or {}))
    check(config, made.spaces)
    checks.at_least(1, total_steps=total_steps)
    return config, made, int(total_steps)


def _run_of(
    budget: zoo.Budget, total_steps: int, evaluate_every: int | None, num_eval_episodes: int
) -> tuple[int, int, int | None, int, int]:
    """What a `Training` says of its length and of its evaluations, after its environment."""
    every = 1 if evaluate_every is None else evaluate_every
    checks.at_least(1, evaluate_every=every, num_eval_episodes=num_eval_episodes)
    num_updates, per_update = whole_updates(budget, total_steps), budget.steps_per_update
    every = None if evaluate_every is None else max(1, evaluate_every // per_update)
    return num_updates, per_update, every, num_eval_episodes, budget.first_steps


def whole_updates(budget: zoo.Budget, total_steps: int) -> int:
    """The whole updates that fit the budget: one at least."""
    per_update, first = budget.steps_per_update, budget.first_steps
    if total_steps < first + per_update:
        after = f" after {first} steps of warm-up" if first else ""
        raise ValueError(
            f"total_steps must be at least one update, {budget.parts} = {per_update}{after}, "
            f"not {total_steps}"
        )
    num_updates = (total_steps - first) // per_update
    if num_updates * budget.learner_updates >= 2**31:
        learnt = budget.learner_updates
        times = f", with {learnt} gradient steps in each" if learnt > 1 else ""
        raise ValueError(
            f"total_steps must be less than 2^31 updates of {budget.parts} = {per_update}{times}, "
            f"not {total_steps}"
        )
    return num_updates


def _check_slots(networks: Any, optimizer: Any) -> None:
    if not isinstance(networks, ActorCritic | None):
        raise TypeError(f"networks must be an ActorCritic or None, not {networks!r}")
    if optimizer is not None and not callable(optimizer):
        raise TypeError(
            f"optimizer must be a function (config, schedule) -> transformation, not {optimizer!r}"
        )


def build(config: Any, env: Env, setting: Setting) -> tuple[Algorithm, Learner]:
    """The algorithm of a configuration, and its learner."""
    entry = zoo.entry(config)
    learner = entry.learner(config, setting)
    if isinstance(config, OnPolicyConfig):
        # Curiosity sees what the learner sees, and is paid apart from the rewards that are scaled.
        learner = normalised(config, curious(config, setting, learner))
        learner = imitating(config, setting, learner)
    return entry.loop.make(config, env, learner), learner


def with_replay(training: Training, config: Any, around: Around) -> Training:
    """The training run that `config` made, with a combinator of `jaxrl.data` around its replay.

    Args:
      around: buffer -> buffer: `hindsight`, `chained`, `stacked`, `packed`, or one after the other.
    """
    if not isinstance(config, ReplayConfig):
        raise TypeError(f"config must be an off-policy configuration, not {config!r}")
    if training.offline:
        raise ValueError("training must act in its environment, not learn from a data set alone")
    algorithm = zoo.replayed(config, training.env, training.learner, around)
    return dataclasses.replace(training, algorithm=algorithm)


def with_devices(training: Training, config: Any, num_devices: int) -> Training:
    """The training run that `config` made, its environments spread over devices.

    Each device acts in its share; gradients, whitening and statistics are of all shares.

    On CPUs let one call end (`jax.block_until_ready`) before the next one begins: two at once may
    wait for each other for ever.

    Args:
      num_devices: the first so many of `jax.devices()`.
    """
    checks.at_least(1, num_devices=num_devices)
    share = share_of(validate(config), num_devices)
    part = zoo.entry(config).loop.make(share, training.env, training.learner)
    whole = training.algorithm
    return dataclasses.replace(training, algorithm=spread(whole, part, num_devices))


class Evaluation(NamedTuple):
    """Episodes of an evaluation, one entry each."""

    episode_return: Array
    episode_length: Array
    finished: Array  # False where `max_steps` ran out first


def evaluate(
    config: Any,
    state: LoopState | LearnerState,
    env: Any,
    key: Array,
    num_episodes: int = 16,
    greedy: bool = True,
    networks: Any = None,
    max_steps: int = 100_000,
) -> Evaluation:
    """Play whole episodes with a trained policy, on a key of their own; nothing is learnt.

    Args:
      config: the configuration that `state` was trained with.
      state: what training returned, or its `learner` alone.
      greedy: whether to act by the policy's mode; otherwise it is sampled.
      networks: as in `make_train`.
      max_steps: after so many steps an episode counts as it stands.
    """
    config = zoo.tuned(config, env)[0] if isinstance(config, str) else config  # by the env's name
    env = make(env)
    checks.at_least(1, num_episodes=num_episodes, max_steps=max_steps)
    if not isinstance(state, LoopState | LearnerState):
        raise TypeError(f"state must be what training returned, not a {type(state).__name__}")
    learner = build(config, env, Setting(env.spaces, 1, networks))[1]
    learnt = state if isinstance(state, LearnerState) else state.learner
    return play(key, env, learner, learnt, num_episodes, greedy, max_steps)


def play(
    key: Array,
    env: Env,
    learner: Learner,
    learnt: LearnerState,
    num_episodes: int,
    greedy: bool = True,
    max_steps: int = 100_000,
) -> Evaluation:
    """One episode in each of `num_episodes` environments, side by side, until the last one ends."""
    k_reset, k_carry, k_play = jax.random.split(key, 3)
    env_state, obs = jax.vmap(env.reset)(jax.random.split(k_reset, num_episodes))
    carry = learner.carry(k_carry, num_episodes)
    nothing = Evaluation(
        jnp.zeros(num_episodes), jnp.zeros(num_episodes, jnp.int32), jnp.zeros(num_episodes, bool)
    )

    def going(scene: tuple[PyTree, ...]) -> Array:
        step, *_, result = scene
        return (step < max_steps) & ~result.finished.all()

    def advance(scene: tuple[PyTree, ...]) -> tuple[PyTree, ...]:
        step, env_state, obs, carry, result = scene
        k_noise, k_step = jax.random.split(jax.random.fold_in(k_play, step))
        noise = None if greedy else learner.noise(k_noise, (num_episodes,))
        action, _, new_carry = learner.act(learnt, obs, noise, carry)
        keys = jax.random.split(k_step, num_episodes)
        reached, new = jax.vmap(env.step)(keys, env_state, action)
        after = Evaluation(
            result.episode_return + new.reward,
            result.episode_length + 1,
            new.terminated | new.truncated,
        )
        over = result.finished
        old = (env_state, obs, carry, result)
        return step + 1, *select(over, old, (reached, new.obs, new_carry, after))

    return jax.lax.while_loop(going, advance, (jnp.int32(0), env_state, obs, carry, nothing))[-1]
