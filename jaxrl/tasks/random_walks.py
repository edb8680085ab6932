"""Random walks: "ac" asks for a way from c to a in a graph that is seen in walks alone.

The task of trlx's examples/randomwalks: 21 nodes, walks of 10 nodes at most, a graded reward.
"""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

from jaxrl import checks
from jaxrl.tasks.characters import characters
from jaxrl.tasks.questions import EASY, HARD, Draw, Mix, Numbers, Question, Reward, task
from jaxrl.text import Prompts, Response, Task, end
from jaxrl.types import Array

NUM_NODES, EDGE_SHARE, TRIALS = 21, 0.1, 100_000
LETTERS = "abcdefghijklmnopqrstuv"  # the last one is a node to which no edge leads
FIRST_NODE = characters(LETTERS).encode("a")[0]


class Way(NamedTuple):
    """What a walk is held to."""

    start: Numbers  # [P]
    goal: Numbers  # [P]
    shortest: Numbers  # nodes of the shortest way, both ends included; 0 where there is none, [P]


class Graph(NamedTuple):
    """Edges, and how far it is to each goal."""

    edge: np.ndarray  # from, to: [nodes, nodes], bool
    distance: np.ndarray  # steps to each goal, −1 where it cannot be reached, [goals, nodes]


def random_walks(
    num_goals: int = 4,
    max_length: int = 10,
    optimal: bool = False,
    num_train: int = 1000,
    num_test: int = 16,
    easy: float = 0.0,
    hard: float = 0.0,
    seed: int = 0,
) -> Task:
    """A walk from one node to another along edges, which ends there; the reward is its optimality.

        R = (N − n) / (N − n*)   for n nodes, n* of the shortest way, N at most;  0 if invalid

    Methods that learn by steps are told how much nearer to the goal each of them leads:

        rₜ = Δₜ / n* − (1 − Δₜ) / (N − n*),  Δₜ = d(xₜ₋₁) − d(xₜ);   1 / n* for the end at the goal

    which of a valid walk add up to R; after a step without an edge there is nothing more.

    A walk is invalid if a step of it has no edge, or if it ends elsewhere, or does not end. The
    pairs of goal and start that are held out for the test are in no prompt to learn from.

    Args:
      num_goals: 1 is trlx's task, with few prompts to be tested on.
      max_length: N, nodes of a walk, its start included.
      optimal: whether demonstrations are shortest ways; else they are random walks, most of them
        long, which are cut where they do not arrive.
      easy, hard: shares of the prompts to learn from: one step from the goal, or a goal to
        which no edge leads.
    """
    checks.at_least(1, num_goals=num_goals)
    checks.at_least(4, max_length=max_length)
    if num_goals > NUM_NODES:
        raise ValueError(f"num_goals must be {NUM_NODES} at most, not {num_goals}")
    graph = drawn_graph(np.random.default_rng(seed), num_goals, max_length)
    draw, mix = _draw(graph, max_length, optimal), Mix(num_train, num_test, easy, hard, seed)
    reward, step_reward = optimality(graph.edge, max_length), progress(graph, max_length)
    return task(LETTERS, draw, mix, max_length, reward, step_reward)


class Walk(NamedTuple):
    """A response as a walk, [T, P, G]; its last token is no step if it is the end."""

    step: Array  # whether a token says where to go
    before: Array  # the node it leaves
    after: Array
    legal: Array  # whether there is such a step
    arrives: Array  # whether a token ends the response at its goal


def walked(edge: np.ndarray, prompts: Prompts, response: Response) -> Walk:
    """What a response says, as a walk."""
    way: Way = prompts.answer.about
    ends = end(response)
    step = response.mask & ~ends
    node = response.token - FIRST_NODE
    start = jnp.broadcast_to(way.start[None, :, None], (1, *response.ended.shape))
    before = jnp.concatenate([start, node[:-1]])
    known = (node >= 0) & (node < NUM_NODES)
    legal = step & known & jnp.asarray(edge)[_place(before), _place(node)]
    return Walk(step, before, node, legal, ends & (before == way.goal[None, :, None]))


def optimality(edge: np.ndarray, max_length: int) -> Reward:
    """How near a walk comes to the shortest one, [P, G], in [0, 1]."""

    def reward(prompts: Prompts, response: Response) -> Array:
        way: Way = prompts.answer.about
        walk = walked(edge, prompts, response)
        valid = (walk.legal | ~walk.step).all(0) & walk.arrives.any(0)
        length = 1 + walk.step.sum(0, dtype=jnp.int32)
        saved = (max_length - length) / (max_length - way.shortest)[:, None]
        return jnp.where(valid, saved, 0.0)

    return reward


def progress(graph: Graph, max_length: int) -> Reward:
    """What each token adds to the optimality of a walk that arrives, [T, P, G]."""
    nowhere = np.zeros((1, NUM_NODES))  # the goal of hard prompts: all is in vain
    distance = jnp.asarray(np.concatenate([graph.distance, nowhere]), jnp.float32)

    def step_reward(prompts: Prompts, response: Response) -> Array:
        way: Way = prompts.answer.about
        walk = walked(graph.edge, prompts, response)
        goal = jnp.minimum(way.goal, len(distance) - 1)[None, :, None]
        nearer = distance[goal, _place(walk.before)] - distance[goal, _place(walk.after)]
        shortest = way.shortest.astype(jnp.float32)[None, :, None]
        share = 1.0 / jnp.maximum(shortest, 1)
        gain = nearer * share + (nearer - 1) / (max_length - shortest)
        gain = jnp.where(walk.step, gain, jnp.where(walk.arrives, share, 0.0))
        so_far = jnp.cumprod(walk.legal | ~walk.step, 0, dtype=jnp.int32) > 0
        return jnp.where(so_far & response.mask & (shortest > 0), gain, 0.0)

    return step_reward


def drawn_graph(chance: np.random.Generator, num_goals: int, max_length: int) -> Graph:
    """A random graph in which a walk may reach each goal, the first nodes, from everywhere."""
    for _ in range(TRIALS):
        edge = chance.random((NUM_NODES, NUM_NODES)) < EDGE_SHARE
        np.fill_diagonal(edge, False)
        if not edge.any(1).all():
            continue
        distance = np.stack([distances(edge, goal) for goal in range(num_goals)])
        if (distance >= 0).all() and distance.max() + 1 < max_length:
            return Graph(edge, distance)
    raise ValueError(
        f"max_length must let a walk reach all of the {num_goals} goals, not be {max_length}"
    )


def distances(edge: np.ndarray, goal: int) -> np.ndarray:
    """Steps from each node to the goal; −1 where there is no way."""
    found = np.full(len(edge), -1)
    reached = np.arange(len(edge)) == goal
    for step in range(len(edge)):
        found[reached] = step
        reached = edge[:, reached].any(1) & (found < 0)
    return found


def _place(node: Array) -> Array:
    return jnp.clip(node, 0, NUM_NODES - 1)


def _draw(graph: Graph, max_length: int, optimal: bool) -> Draw:
    def draw(chance: np.random.Generator, level: int) -> Question:
        if level == HARD:
            goal, start = NUM_NODES, int(chance.integers(NUM_NODES))
            return _question(goal, _walk(graph.edge, chance, (start, goal), max_length), max_length)
        wanted = graph.distance == 1 if level == EASY else graph.distance >= 1
        pairs = np.argwhere(wanted)
        goal, start = pairs[chance.integers(len(pairs))].tolist()
        distance = graph.distance[goal]
        nearer = distance[None] < distance[:, None]
        edge = graph.edge & nearer if optimal else graph.edge
        walk = _walk(edge, chance, (start, goal), max_length)
        return _question(goal, walk, max_length, int(distance[start]) + 1)

    return draw


def _walk(
    edge: np.ndarray, chance: np.random.Generator, ends: tuple[int, int], max_length: int
) -> list[int]:
    start, goal = ends
    walk = [start]
    while walk[-1] != goal and len(walk) <= max_length:
        walk.append(int(chance.choice(np.flatnonzero(edge[walk[-1]]))))
    return walk


def _question(goal: int, walk: list[int], max_length: int, shortest: int = 0) -> Question:
    start, *rest = walk
    way = Way(*(np.array(node, np.int32) for node in (start, goal, shortest)))
    answer = "".join(LETTERS[node] for node in rest)
    arrives = rest[-1] == goal and len(walk) <= max_length
    return Question(LETTERS[goal] + LETTERS[start], answer, way, arrives)
