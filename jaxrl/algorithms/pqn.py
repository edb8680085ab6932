"""PQN: Q-learning without a replay buffer or a target network, from many environments at once.

    L = E[½ (Q(s, a) − Gₜ)²],  G = Peng's λ-return over maxₐ Q(s′, a)

Layer normalisation keeps it stable. Discrete actions only.
Reference: Gallici et al. 2024, arXiv:2407.04811.
"""

from typing import Literal

import jax
import jax.numpy as jnp

from jaxrl.config import config
from jaxrl.families import settings
from jaxrl.families.bootstrap import discounts, next_values
from jaxrl.families.explore import falling as exploration
from jaxrl.families.minibatch import Passes, Reported, descend
from jaxrl.families.settings import OnPolicyConfig, Setting
from jaxrl.formulas.selection import epsilon_greedy, greedy
from jaxrl.formulas.value_losses import explained_variance, squared_loss
from jaxrl.formulas.value_targets import peng_target
from jaxrl.formulas.weightings import action_value
from jaxrl.networks import Network, action_mask
from jaxrl.numerics import legal
from jaxrl.optim.optimizer import Optimizer, Schedule, radam
from jaxrl.shares import whole
from jaxrl.types import (
    Array,
    Discrete,
    Learner,
    LearnerState,
    Metrics,
    PyTree,
    Rollout,
    once,
)


@config
class Config(OnPolicyConfig):
    """PQN."""

    num_envs: int = 32
    num_steps: int = 64
    hidden_sizes: tuple[int, ...] = (128, 128)
    activation: Literal["tanh", "relu", "silu", "gelu", "elu"] = "relu"
    layer_norm: bool = True
    max_grad_norm: float = 10.0
    lam: float = 0.95
    epsilon_start: float = 1.0
    epsilon_end: float = 0.05
    exploration_fraction: float = 0.2
    num_epochs: int = 4
    num_minibatches: int = 16


def learner(config: Config, setting: Setting) -> Learner:
    """The learner of a configuration."""
    space = settings.action_space(config, setting, Discrete)
    custom = settings.critic_alone(config, setting)
    net = settings.network(config, setting.spaces, custom, space.num_values, 1.0)
    passes = Passes(config.num_epochs, config.num_minibatches)
    optimizer = settings.optimizer(config, setting, passes.num_steps, rectified)

    def init(key: Array, obs: PyTree) -> LearnerState:
        params = net.init(key, obs)
        return LearnerState(params, optimizer.init(params), jnp.int32(0))

    def act(
        state: LearnerState, obs: PyTree, noise: PyTree, carry: PyTree
    ) -> tuple[Array, PyTree, PyTree]:
        q, carry = net.step(state.params, obs, carry)
        if noise is None:
            return greedy(q, action_mask(obs)), (), carry
        epsilon = exploration(config, state, setting)
        return epsilon_greedy(q, noise, epsilon, action_mask(obs)), (), carry

    def update(key: Array, state: LearnerState, rollout: Rollout) -> tuple[LearnerState, Metrics]:
        batch, explained = _targets(config, net, state, rollout)
        start = state.params, state.opt_state, state.num_updates
        reported = _regression(net)
        (params, opt_state), metrics = descend(key, reported, optimizer, start, batch, passes)
        epsilon = exploration(config, state, setting)
        metrics |= once(epsilon=epsilon, explained_variance=explained)
        return LearnerState(params, opt_state, state.num_updates + 1), metrics

    def noise(key: Array, shape: tuple[int, ...]) -> Array:
        return jax.random.uniform(key, (*shape, 2))

    return Learner(init, lambda key, num_envs: net.carry(num_envs), noise, act, update)


def rectified(config: Config, schedule: Schedule) -> Optimizer:
    """Rectified Adam, as in the paper."""
    return radam(schedule, config.max_grad_norm, 1e-8)


def _targets(
    config: Config, net: Network, state: LearnerState, rollout: Rollout
) -> tuple[tuple[PyTree, Array, Array], Array]:
    """Observations, actions and λ-returns, [B, ...], and how well the values explained these."""
    steps = rollout.transition
    q, _ = net.step(state.params, steps.obs, ())

    def evaluate(obs: PyTree, carry: PyTree) -> Array:
        return _legal(net.step(state.params, obs, carry)[0], obs)

    next_q = next_values(evaluate, _legal(q, steps.obs), rollout, (), ())
    discount = discounts(config.gamma, steps.terminated)
    target = peng_target(steps.reward, next_q, discount, steps.done, config.lam)
    explained = explained_variance(*whole((action_value(q, steps.action), target)))
    batch = steps.obs, steps.action, target
    return jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), batch), explained


def _legal(q: Array, obs: PyTree) -> Array:
    """Values with illegal actions out of the running of a maximum."""
    mask = action_mask(obs)
    return q if mask is None else legal(q, mask)


def _regression(net: Network) -> Reported:
    def loss(params: PyTree, batch: tuple[PyTree, Array, Array]) -> tuple[Array, Array]:
        obs, action, target = batch
        q = action_value(net.step(params, obs, ())[0], action)
        mean = squared_loss(q, target).mean()
        return mean, jnp.stack([mean, q.mean()])

    return Reported(("value_loss", "q"), loss)
