"""Draw episodes of a run's policy as an animated GIF; no screen is needed."""

import argparse
from collections.abc import Callable

from jaxrl.runtime.verbs import Parser

FASTEST = 50
"""Frames per second that programs still show; a GIF counts time in hundredths of a second."""


def parser() -> argparse.ArgumentParser:
    """The options."""
    made = Parser(prog="jaxrl render", description=__doc__)
    made.add_argument("run", metavar="RUN", help="folder of a run")
    made.add_argument("--out", metavar="FILE",
                      help="replaced if it is there [episode.gif in the run's folder]")  # fmt: skip
    made.add_argument("--episodes", metavar="N", default="1", help="one after the other [1]")
    made.add_argument("--seed", metavar="N", help="whose policy [the seed of the best score]")
    made.add_argument("--luck", metavar="N", default="0", help="seed of the episodes [0]")
    made.add_argument("--max-steps", metavar="N", default="500",
                      help="where an episode is cut off [500]")  # fmt: skip
    made.add_argument("--fps", metavar="N", default="25", help="steps per second [25]")
    made.add_argument("--stochastic", action="store_true", help="draw actions from the policy")
    return made


def prepare(options: argparse.Namespace) -> Callable[[], int]:
    """Load the run and its policy, and see that its environment can be drawn."""
    from jaxrl.runtime import render
    from jaxrl.runtime.load import load
    from jaxrl.runtime.outputs import output
    from jaxrl.runtime.record import count

    run = load(options.run)
    render.drawing(run.env_name)
    out = output(options.out or str(run.folder / "episode.gif"), (".gif",))
    names = {"episodes": 1, "luck": 0, "max_steps": 1, "fps": 1}
    values = {name: count(name, getattr(options, name), least) for name, least in names.items()}
    if values["fps"] > FASTEST:
        raise ValueError(f"fps must be at most {FASTEST}, not {values['fps']}")
    learnt = run.learner_state(None if options.seed is None else count("seed", options.seed, 0))

    def draw() -> int:
        import jax

        keys = jax.random.split(jax.random.key(values["luck"]), values["episodes"])
        greedy = not options.stochastic
        ends = render.render(keys, out, run, learnt, values["max_steps"], values["fps"], greedy)
        for end in ends:
            print(f"{end.step} steps, return {render.decimal(end.episode_return)}")
        print(f"drawn into {out}")
        return 0

    return draw
