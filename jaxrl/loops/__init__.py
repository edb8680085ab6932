"""What feeds a learner: loops that make data, and the one that repeats them."""

from jaxrl.loops.off_policy import Pace, off_policy
from jaxrl.loops.offline import offline
from jaxrl.loops.on_policy import episodic, on_policy
from jaxrl.loops.online import online
from jaxrl.loops.run import run

__all__ = ["Pace", "episodic", "off_policy", "offline", "on_policy", "online", "run"]
