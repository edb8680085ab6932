"""Every algorithm on environments whose answers are known, all of them side by side."""

import jax
import numpy as np
import pytest

from jaxrl import make_train
from jaxrl.envs import PROBES, probe, value
from jaxrl.families.settings import imitates
from jaxrl.zoo import ZOO
from tests.zoo.agents import AGENTS, GAMMA, NAMES, PREDICTION, ROWS, on_probes, remembers, settings
from tests.zoo.cases import rows_of

NUM_UPDATES = 300
NUM_SEEDS = 4
KEYS = jax.random.split(jax.random.key(0), 2)
VALUED = [name for name in PROBES if name not in ("memory", "exploration")]
ACTING = ("action", "match")
"""Probes in which one action is better."""

ALWAYS = {"reinforce", "reinforce_q", "actor_critic", "impala"}
NEVER = {"grpo"}  # its groups blow the small cost up to the size of the reward
"""Who finds the reward of "exploration" behind its costs; all others do from some seeds."""


class Result:
    """An agent on all probes: what it said, [rows, seeds, 8 episodes, 6 steps]."""

    def __init__(self, name):
        self.name, self.agent = name, AGENTS[name]
        self.said, self.paths = on_probes(self.agent, NUM_UPDATES, NUM_SEEDS)
        self.true = np.asarray(jax.vmap(value, (0, 0, None))(ROWS, self.paths.obs, GAMMA))

    def of(self, leaf, probe):
        return np.asarray(leaf)[NAMES.index(probe)]

    def last_return(self, probe):
        """Of training's last window, for each seed."""
        return self.of(self.said.episode_return.mean, probe)[:, -1]


LATE = {"rainbow", "r2d2", "reinforce_td", "reinforce_mean", "actor_critic_td", "watkins"}
"""Who takes longest here, and who differs from others by one choice: with the slow tests."""


@pytest.fixture(scope="module", params=rows_of(AGENTS, LATE))
def result(request):
    return Result(request.param)


def test_all_of_the_zoo_is_held_to_the_probes():
    assert {agent.name for agent in (*AGENTS.values(), PREDICTION)} == {
        name for name, entry in ZOO.items() if not imitates(entry.config)
    }


def test_values_are_the_analytic_ones(result):
    if result.agent.critic is None:
        pytest.skip("has no critic")
    names = [*VALUED, "memory"] if remembers(result.agent) else VALUED
    # no step was ever taken with the memory that a time limit leaves: its value is a guess
    beyond = {"time_limit"} if remembers(result.agent) else {}
    for name in names:  # among them the time limit, which must not lower the value
        true, counts = result.of(result.true, name), result.of(result.paths.counts, name)
        wrong = np.abs(result.of(result.said.value, name) - true) * counts
        near = 0.1 if name in beyond else 0.05
        assert wrong.max() < near * np.abs(true * counts).max(), name


def test_the_better_action_is_found(result):
    for name in ACTING:
        last, cue = result.of(result.paths.last, name), result.of(result.paths.cue, name)
        wanted = np.where(name == "match", cue, 1.0)
        preference = result.of(result.said.preference, name) * wanted
        assert (preference > 1).all(where=last), name
        assert (result.last_return(name) > 0.85).all(), name


def test_a_cut_return_counts_what_would_have_come_if_there_is_a_critic(result):
    """`invest` at level 0: with a value beyond the limit action 1 is better, without it 0."""
    if remembers(result.agent):
        pytest.skip("never saw what its memory is worth after the only step of an episode")
    lift = result.of(result.said.preference, "invest")[:, 0, 0]
    assert ((lift > 0.5) if result.agent.critic else (lift < -0.5)).all()
    if result.name == "reinforce_moving":  # its baseline is the mean of the returns to go
        to_go = [(1 - GAMMA**n) / (1 - GAMMA) for n in (1, 2, 3, 4)]
        baseline = result.of(result.said.slots, "time_limit")
        np.testing.assert_allclose(baseline, np.mean(to_go), rtol=1e-3)


def test_agents_remember_if_they_have_a_memory(result):
    last = result.last_return("memory")
    assert (last > 0.85 if remembers(result.agent) else np.abs(last) < 0.5).all()


def test_who_explores(result):
    found = result.last_return("exploration") > 0.7
    gave_up = result.last_return("exploration") < 0.1
    assert (found | gave_up).all()
    assert found.all() or result.name not in ALWAYS
    assert gave_up.all() or result.name not in NEVER


def test_prediction_is_of_the_policy_that_takes_all_actions_alike():
    """So an action that is worth 1 or −1 is worth nothing."""
    said, paths = on_probes(PREDICTION, NUM_UPDATES, NUM_SEEDS)
    true = np.asarray(jax.vmap(value, (0, 0, None))(ROWS, paths.obs, GAMMA))
    for name in VALUED:
        row = NAMES.index(name)
        counts = np.asarray(paths.counts[row])
        expected = np.zeros(counts.shape) if name in ACTING else true[row] * counts
        wrong = np.asarray(said.value)[row] * counts - expected
        near = 0.2 if name in ACTING else 0.05 * np.abs(expected).max()
        assert np.abs(wrong).max() < near, name


@pytest.mark.parametrize("kind", ["gru", "lstm"])
def test_a_recurrent_agent_remembers(kind):
    changes = {"memory": kind, "memory_size": 16, "hidden_sizes": (16,), "sequence_length": 4}
    config = settings(AGENTS["ppo"], **changes)
    steps = 200 * config.num_envs * config.num_steps
    train = jax.vmap(make_train(config, probe(PROBES["memory"]), steps))
    _, metrics = jax.jit(train)(KEYS)
    assert (metrics["episode_return"].mean[:, -1] > 0.9).all()


@pytest.mark.parametrize("distribution", ["gaussian", "squashed_gaussian", "beta"])
def test_continuous_actions_learn_which_sign_is_better(distribution):
    config = settings(AGENTS["ppo"], distribution=distribution, hidden_sizes=(16,))
    steps = 200 * config.num_envs * config.num_steps
    env = probe(PROBES["match"], continuous=True)
    train = jax.vmap(make_train(config, env, steps, steps))
    _, metrics = jax.jit(train)(KEYS)
    assert (metrics["eval_return"].mean[:, -1] > 0.8).all()
