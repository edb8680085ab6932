"""What a response is worth, read from its text: each token by its name, its end as a flag.

Returned are the rewards of the tokens, that of the end last, and the reward of all.
"""

import itertools
import re
from collections import Counter


def addition(prompt, said, ended):
    a, b = prompt.removesuffix("=").split("+")
    total = str(int(a) + int(b))
    steps, _ = _places(total, said, ended)
    return steps, 1.0 if ended and "".join(said) == total else 0.0


def sorting(prompt, said, ended):
    return _places(sorted(prompt.removesuffix("=")), said, ended)


def _places(right, said, ended):
    wanted = [*right, "the end"]
    given = [*said, "the end"] if ended else said
    steps = []
    for place, token in enumerate(given):
        hit = place < len(wanted) and token == wanted[place]
        steps.append(1 / len(wanted) if hit else 0.0)
    return steps, sum(steps)


def countdown(prompt, said, ended, form):
    numbers, target = prompt.removesuffix("=").split(":")
    text = "".join(said)
    uses_all = Counter(re.findall(r"\d", text)) == Counter(numbers)
    formed = ended and uses_all and re.fullmatch(r"\d([-+*]\d)*", text) is not None
    right = formed and _from_left(text) == int(target)
    part = form / (2 * len(numbers))  # numbers, operations between them, the end
    steps = [part * _promising("".join(said[: t + 1]), numbers) for t in range(len(said))]
    if ended:
        steps.append(part * formed + (1 - form) * right)
    return steps, form * formed + (1 - form) * right


def random_walk(prompt, said, ended, edges, max_length):
    """`edges`: letter -> the letters that may follow it."""
    goal, *walk = [*prompt, *said]
    steps = [0.0] * (len(said) + ended)
    if all(goal not in after for after in edges.values()):
        return steps, 0.0
    shortest = _shortest(walk[0], goal, edges)
    spare = max_length - len(shortest)
    valid = True
    for t, (a, b) in enumerate(itertools.pairwise(walk)):
        valid = valid and b in edges.get(a, ())
        if valid:
            nearer = len(_shortest(a, goal, edges)) - len(_shortest(b, goal, edges))
            steps[t] = nearer / len(shortest) - (1 - nearer) / spare
    arrives = valid and ended and walk[-1] == goal
    if arrives:
        steps[-1] = 1 / len(shortest)
    return steps, (max_length - len(walk)) / spare if arrives else 0.0


def overlong(length, longest, cache):
    """DAPO, eq. 13."""
    if length <= longest - cache:
        return 0.0
    return (longest - cache - length) / cache if length <= longest else -1.0


def _from_left(text):
    value, *rest = re.findall(r"[-+*]?\d", text)
    value = int(value)
    for sign, digit in rest:
        value = eval(f"{value} {sign} {digit}")
    return value


def _promising(text, numbers):
    """Whether an expression may still become of it."""
    used = Counter(re.findall(r"\d", text))
    if re.fullmatch(r"(\d[-+*])*\d?", text) is None or used - Counter(numbers):
        return False
    return text[-1].isdigit() or used != Counter(numbers)


def _shortest(start, goal, edges):
    ways = [[start]]
    while all(way[-1] != goal for way in ways):
        ways = [[*way, node] for way in ways for node in sorted(edges[way[-1]]) if node not in way]
    return next(way for way in ways if way[-1] == goal)
