"""The online loop and tables: what is learnt from a log of steps is what the textbook learns.

The oracle reads the log, in float64 and one number at a time.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrl.algorithms import q_learning, td
from jaxrl.config import replace
from jaxrl.families.settings import Setting
from jaxrl.loops import online
from jaxrl.zoo import ZOO
from tests.sentences import hold_sentence
from tests.zoo.worlds import maze

NUM_STEPS = 60
ENV = maze()
SMALL = {"num_steps": NUM_STEPS, "lr": 0.3, "gamma": 0.9, "epsilon_end": 0.4}


class Log(NamedTuple):
    """A step of each environment, [T, N]."""

    obs: Any
    action: Any
    reward: Any
    next_obs: Any
    terminated: Any
    truncated: Any
    next_action: Any  # −1 where the learner was not told
    luck: Any  # −1 where nothing was left to it


def recorded(learner, num_envs):
    """The learner, which writes a log of what it was shown in place of target parameters."""

    def init(key, obs):
        blank = [jnp.zeros((NUM_STEPS, num_envs)) for _ in Log._fields]
        return learner.init(key, obs)._replace(target=Log(*blank))

    def update(chance, state, step):
        steps, unknown = step.transition, jnp.full(num_envs, -1)
        told = unknown if step.next_action is None else step.next_action
        luck = unknown if isinstance(chance, tuple) else chance
        row = Log(
            steps.obs,
            steps.action,
            steps.reward,
            steps.next_obs,
            steps.terminated,
            steps.truncated,
            told,
            luck,
        )
        put = lambda log, x: log.at[state.num_updates].set(x.astype(jnp.float32))  # noqa: E731
        log = jax.tree.map(put, state.target, row)
        new, metrics = learner.update(chance, state, step)
        return new._replace(target=log), metrics

    return learner._replace(init=init, update=update)


def played(config, seed=0):
    """One update of the loop: the table that was learnt, and the log."""
    made = q_learning if isinstance(config, q_learning.Config) else td
    learner = made.learner(config, Setting(ENV.spaces, NUM_STEPS))
    loop = online(
        ENV,
        recorded(learner, config.num_envs),
        config.num_envs,
        NUM_STEPS,
        getattr(config, "target", "") == "sarsa",
    )
    state = jax.jit(lambda key: loop.update(loop.init(key))[0])(jax.random.key(seed))
    log = Log(*(np.asarray(x) for x in state.learner.target))
    as_int = ("obs", "action", "next_obs", "next_action", "luck")
    log = log._replace(**{name: getattr(log, name).astype(int) for name in as_int})
    return np.asarray(state.learner.params, np.float64), log, state


def epsilon_at(config, t):
    """The rate falls linearly over the first part of training."""
    share = min(t / NUM_STEPS / config.exploration_fraction, 1)
    return config.epsilon_start + share * (config.epsilon_end - config.epsilon_start)


def mean_value(row, epsilon):
    """What the ε-greedy policy expects."""
    best = max(row)
    return (1 - epsilon) * best + epsilon * sum(row) / len(row)


def target_of(config, q, log, t, n):
    """What the textbook says Q(s, a) should have been."""
    reward, after = log.reward[t, n], log.next_obs[t, n]
    if log.terminated[t, n]:
        return reward
    epsilon, which = epsilon_at(config, t), max(log.luck[t, n], 0)
    if config.target == "max":
        follow = max(q[0][after])
    elif config.target == "double":
        follow = q[1 - which][after][int(np.argmax(q[which][after]))]
    elif config.target == "expected" or log.truncated[t, n]:
        follow = mean_value(q[0][after], epsilon)
    else:
        follow = q[0][after][log.next_action[t, n]]
    return reward + config.gamma * follow


def learnt(config, log):
    """The table of action values after the log."""
    num_tables = 2 if config.target == "double" else 1
    q, count = np.zeros((num_tables, 5, 2)), np.zeros((num_tables, 5, 2))
    trace = np.zeros((num_tables, 5, 2))
    for t in range(NUM_STEPS):
        errors = {}
        for n in range(config.num_envs):
            place = max(log.luck[t, n], 0), log.obs[t, n], log.action[t, n]
            errors.setdefault(place, []).append(target_of(config, q, log, t, n) - q[place])
        if config.traces is not None:
            ((place, (error,)),) = errors.items()
            greedy = q[place] == max(q[0][place[1]])
            trace *= config.gamma * config.lam * (greedy or config.target != "max")
            trace[place] = 1 + (trace[place] if config.traces == "accumulating" else 0)
            count[place] += 1
            rate = np.maximum(config.lr, config.averaging / np.maximum(count, 1))
            q = q + rate * error * trace
            trace *= not (log.terminated[t, 0] or log.truncated[t, 0])
            continue
        for place, several in errors.items():
            count[place] += len(several)
            rate = max(config.lr, config.averaging * len(several) / count[place])
            q[place] += rate * np.mean(several)
    return q


CASES = {
    "q_learning": {},
    "double_q_learning": {},
    "sarsa": {},
    "expected_sarsa": {},
    "sarsa averaged": {"averaging": True, "lr": 0.05},
    "q_learning averaged": {"averaging": True, "lr": 0.0},
    "q_learning accumulating": {"traces": "accumulating", "lam": 0.8},
    "q_learning replacing": {"traces": "replacing", "averaging": True, "lr": 0.1},
    "sarsa accumulating": {"traces": "accumulating"},
    "expected_sarsa replacing": {"traces": "replacing"},
}


@pytest.mark.parametrize("num_envs", [1, 3])
@pytest.mark.parametrize("case", CASES)
def test_a_log_of_steps_is_learnt_from_as_the_textbook_says(case, num_envs):
    changes = CASES[case]
    if num_envs > 1 and "traces" in changes:
        pytest.skip("traces are of one environment")
    config = replace(ZOO[case.split()[0]].config, **SMALL | changes, num_envs=num_envs)
    table, log, _ = played(config)
    assert log.terminated.any() and log.truncated.any()  # both ends are among what was learnt from
    np.testing.assert_allclose(table, learnt(config, log), rtol=1e-4, atol=1e-5)
    assert np.abs(table).max() > 0.1


def test_episodes_follow_each_other_from_the_states_that_were_reached():
    config = replace(ZOO["q_learning"].config, **SMALL, num_envs=3)
    _, log, state = played(config)
    done = (log.terminated + log.truncated) > 0
    np.testing.assert_array_equal(log.obs[1:][~done[:-1]], log.next_obs[:-1][~done[:-1]])
    assert (log.obs[1:][done[:-1]] < 3).all()  # fresh starts
    assert (log.obs != 4).all() and (log.next_obs[log.terminated > 0] == 4).all()
    assert (log.next_action == -1).all()
    np.testing.assert_array_equal(state.scene.obs.shape, (3,))


def test_the_action_in_sarsas_target_is_the_one_that_is_taken_next():
    config = replace(ZOO["sarsa"].config, **SMALL, num_envs=2)
    _, log, state = played(config)
    np.testing.assert_array_equal(log.next_action[:-1], log.action[1:])
    np.testing.assert_array_equal(log.next_action[-1], state.buffer.action)


def test_q_learning_chooses_by_what_it_has_just_learnt():
    """Without exploration each action is the best of the table that the log has led to."""
    config = replace(ZOO["q_learning"].config, **SMALL | {"epsilon_end": 0.0}, epsilon_start=0.0)
    _, log, _ = played(config)
    for t in range(1, NUM_STEPS):
        until = Log(*(x[:t] for x in log))
        q = np.zeros((5, 2))
        for i in range(t):
            place = until.obs[i, 0], until.action[i, 0]
            q[place] += config.lr * (target_of(config, q[None], until, i, 0) - q[place])
        best = q[log.obs[t, 0]]
        assert best[log.action[t, 0]] >= best.max() - 1e-5
    assert len(set(log.action.ravel().tolist())) == 2


@pytest.mark.parametrize("traces", [None, "accumulating", "replacing"])
def test_prediction_learns_what_the_textbook_learns(traces):
    config = td.Config(num_steps=NUM_STEPS, lr=0.2, gamma=0.9, lam=0.7, traces=traces)
    table, log, _ = played(config)
    value, trace = np.zeros(5), np.zeros(5)
    for t in range(NUM_STEPS):
        here, after = log.obs[t, 0], log.next_obs[t, 0]
        follow = 0.0 if log.terminated[t, 0] else 0.9 * value[after]
        error = log.reward[t, 0] + follow - value[here]
        trace *= 0.9 * 0.7 if traces else 0.0
        trace[here] = 1 + (trace[here] if traces == "accumulating" else 0)
        value += 0.2 * error * trace
        trace *= not (log.terminated[t, 0] or log.truncated[t, 0])
    np.testing.assert_allclose(table, value, rtol=1e-4, atol=1e-5)
    shares = np.bincount(log.action.ravel(), minlength=2) / NUM_STEPS
    assert (shares > 0.25).all()  # all actions alike


MISTAKES = (
    (
        q_learning.Config(traces="replacing", num_envs=2),
        "q_learning.num_envs must be 1 where there",
    ),
    (
        td.Config(traces="replacing", num_envs=4),
        "td.num_envs must be 1 where there are traces, not",
    ),
    (
        q_learning.Config(target="double", traces="accumulating"),
        "q_learning.traces must be None with two tables, not 'accumulating'",
    ),
)


@pytest.mark.parametrize(("config", "words"), MISTAKES)
def test_settings_that_do_not_go_together_are_named(config, words):
    with pytest.raises(ValueError) as error:
        played(config)
    hold_sentence(str(error.value), words)


@pytest.mark.parametrize("slot", ["networks", "optimizer"])
def test_a_table_has_neither_networks_nor_an_optimiser(slot):
    for name in ("q_learning", "td", "monte_carlo"):
        setting = Setting(ENV.spaces, 1)._replace(**{slot: lambda *args: None})
        with pytest.raises(ValueError) as error:
            ZOO[name].learner(ZOO[name].config, setting)
        hold_sentence(str(error.value), f"{slot} must be None with {name}, which learns a table")
