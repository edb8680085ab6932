"""What happens to data between acting and learning: the order of minibatches, and replay."""

from jaxrl.data.buffer import Buffer, Experience, Sample
from jaxrl.data.compact import chained, packed, stacked
from jaxrl.data.hindsight import hindsight
from jaxrl.data.priority import prioritised, ranked
from jaxrl.data.ring import dataset, fixed, uniform
from jaxrl.data.shuffle import permutation
from jaxrl.data.windows import n_step, sequences

__all__ = [
    "Buffer",
    "Experience",
    "Sample",
    "chained",
    "dataset",
    "fixed",
    "hindsight",
    "n_step",
    "packed",
    "permutation",
    "prioritised",
    "ranked",
    "sequences",
    "stacked",
    "uniform",
]
