"""Where the training of a language model begins: with the policy of another run."""

from jaxrl.language_zoo import language_entry
from jaxrl.runtime.load import Run, load
from jaxrl.runtime.record import Record
from jaxrl.runtime.sides import LANGUAGES
from jaxrl.text import Task
from jaxrl.types import PyTree

SIZES = ("num_layers", "width", "num_heads")
"""Fields that two models must share for the parameters of one to be those of the other."""


def start(record: Record) -> tuple[PyTree, ...]:
    """What `Training.begin` takes besides its key: the parameters of the policy of another run.

    They are those of its best seed, whatever the seed that begins with them.
    """
    if record.start is None:
        return ()
    run = load(record.start)
    check(record, run)
    return (language_entry(run.algorithm).policy(run.learner_state()),)


def check(record: Record, run: Run) -> None:
    """Whether what a run has learnt is of use here: one sentence where it is not."""
    if run.side is not LANGUAGES:
        raise ValueError(
            f"start must be a run of a language model, not of {run.algorithm} as {record.start!r}"
        )
    for name in SIZES:
        theirs, ours = (getattr(config, name) for config in (run.config, record.config))
        if ours != theirs:
            raise ValueError(f"{name} must be {theirs} as in {record.start!r}, not {ours}")
    if tokens(run.env) != tokens(record.training().env):
        raise ValueError(
            f"start must be a run on the tokens of {record.env}, not on those of {run.env_name} as "
            f"{record.start!r}"
        )


def tokens(task: Task) -> list[str]:
    """Each token of a task as text."""
    size, tokenizer = task.vocabulary.size, task.tokenizer
    return [str(i) if tokenizer is None else tokenizer.decode([i]) for i in range(size)]
