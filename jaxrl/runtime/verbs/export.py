"""Write a run's policy for use without jaxrl: as StableHLO, and as weights for NumPy."""

import argparse
import functools
import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

from jaxrl.runtime.verbs import Parser


def parser() -> argparse.ArgumentParser:
    """The options."""
    made = Parser(prog="jaxrl export", description=__doc__)
    made.add_argument("run", help="folder of a run")
    made.add_argument("--out", metavar="DIR", help="a new folder [RUN/export]")
    made.add_argument("--force", action="store_true", help="write over what is in the folder")
    made.add_argument("--seed", metavar="N", help="whose policy [that of the highest score]")
    return made


def prepare(options: argparse.Namespace) -> Callable[[], int]:
    """Load the run and the policy, and check the folder."""
    from jaxrl.runtime.export import Agent
    from jaxrl.runtime.folder import check_writable
    from jaxrl.runtime.load import load
    from jaxrl.runtime.record import count
    from jaxrl.runtime.sides import LANGUAGES

    if importlib.util.find_spec("flatbuffers") is None:
        raise ValueError("export needs another package: pip install 'jaxrl[export]'")
    run = load(options.run)
    if run.side is LANGUAGES:
        raise ValueError(
            f"export must be of a policy that acts, not of {run.algorithm}, which answers"
        )
    seed = run.best_seed if options.seed is None else count("seed", options.seed, 0)
    agent = Agent(run.config, run.env, run.learner, run.learner_state(seed))
    out = Path(options.out or run.folder / "export")
    if out.exists() and not options.force and (not out.is_dir() or any(out.iterdir())):
        raise ValueError(f"out must be a new or an empty folder without --force, not {str(out)!r}")
    check_writable(out)
    about = {"algorithm": run.algorithm, "env": run.env_name, "seed": seed}
    return functools.partial(_export, agent, out, about)


def _export(agent: Any, out: Path, about: dict[str, Any]) -> int:
    from jaxrl.runtime.export import export

    for_numpy = export(agent, out, about)
    print(
        f"seed {about['seed']}: {', '.join(sorted(path.name for path in out.iterdir()))} in {out}"
    )
    if not for_numpy:
        print("its network has no description for NumPy: use policy.stablehlo")
    return 0
