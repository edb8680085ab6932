"""Whether a categorical head can tell the returns that it is to learn."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from jaxrl.config import title
from jaxrl.types import Average

ENOUGH = 0.01
"""The share of targets beyond the support from which on it is worth a warning."""


def support_warning(config: Any, metrics: Mapping[str, Any]) -> str | None:
    """A sentence with the returns seen, where `value_min` and `value_max` do not cover them.

    Args:
      metrics: those of a training or of a run.
    """
    names = ("below_support", "above_support", "below_by", "above_by")
    if not set(names) <= set(metrics):
        return None
    means = [x.mean if isinstance(x, Average) else x for x in (metrics[name] for name in names)]
    below, above, below_by, above_by = (np.asarray(x, np.float64) for x in means)
    share = np.mean(below + above)
    if not share > ENOUGH:
        return None
    low = float(config.value_min) - _greatest(below_by, below)
    high = float(config.value_max) + _greatest(above_by, above)
    return (
        f"{title(config)}.value_min = {config.value_min:g} and value_max = {config.value_max:g} do "
        f"not cover the returns seen, of which {share:.0%} lay beyond: targets went from about "
        f"{low:.4g} to {high:.4g}"
    )


def _greatest(by: np.ndarray, share: np.ndarray) -> float:
    """How far what lay beyond did so, in the window in which it was farthest."""
    return float(np.max(np.where(share > 0, by / np.where(share > 0, share, 1.0), 0.0)))
