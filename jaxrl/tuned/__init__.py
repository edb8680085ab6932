"""The settings that were tuned for an environment: plain numbers, which `zoo` looks up."""

from jaxrl.tuned.off_policy import OFF_POLICY
from jaxrl.tuned.on_policy import ON_POLICY
from jaxrl.tuned.tabular import TABULAR

TUNED = ON_POLICY | OFF_POLICY | TABULAR
"""Algorithm -> environment -> what differs from the algorithm's defaults, and `total_steps`."""
