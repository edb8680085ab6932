"""Networks, and the action distributions that their outputs are parameters of."""

from jaxrl.networks.core import CNN, MLP, flatten, obs_rank
from jaxrl.networks.distributions import (
    Distribution,
    beta,
    categorical,
    distribution,
    gaussian,
    masked,
    multi_categorical,
    squashed_gaussian,
)
from jaxrl.networks.network import (
    Network,
    action_mask,
    content,
    feed_forward,
    memory,
    recurrent,
    sized,
)
from jaxrl.networks.noisy import NoisyDense
from jaxrl.networks.value import ValueModule, ValueNetwork, value_network

__all__ = [
    "CNN",
    "MLP",
    "Distribution",
    "Network",
    "NoisyDense",
    "ValueModule",
    "ValueNetwork",
    "action_mask",
    "beta",
    "categorical",
    "content",
    "distribution",
    "feed_forward",
    "flatten",
    "gaussian",
    "masked",
    "memory",
    "multi_categorical",
    "obs_rank",
    "recurrent",
    "sized",
    "squashed_gaussian",
    "value_network",
]
