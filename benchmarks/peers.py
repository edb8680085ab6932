"""What the core is measured against: rlax, plain scans, and NumPy.

All take (reward, value, next_value, discount, done) of one rollout, [T, N], in which no episode is
truncated and v′ₜ = vₜ₊₁, the only case that all of them can express.
"""

import jax
import jax.numpy as jnp
import numpy as np
import rlax

LAM = 0.95


def materialised(reward, value, next_value, discount, done, unroll=1):
    """The scan as it is usually written: b and a first, then a loop over them."""
    b = reward + discount * next_value - value
    a = discount * LAM * (1 - done)

    def body(x, step):
        x = step[0] + step[1] * x
        return x, x

    return jax.lax.scan(body, jnp.zeros_like(b[0]), (b, a), reverse=True, unroll=unroll)[1]


def unrolled(*rollout):
    """The same with the loop unrolled 16 times, as PureJaxRL has it."""
    return materialised(*rollout, unroll=16)


def associative(reward, value, next_value, discount, done):
    """The recurrence in log T parallel steps."""
    b = reward + discount * next_value - value
    a = discount * LAM * (1 - done)

    def after(later, now):
        return now[0] + now[1] * later[0], now[1] * later[1]

    return jax.lax.associative_scan(after, (b, a), reverse=True)[0]


def rlax_gae(reward, value, next_value, discount, done):
    """rlax's estimator, one environment at a time under vmap."""
    values = jnp.concatenate([value, next_value[-1:]])

    def one(r, g, v):
        return rlax.truncated_generalized_advantage_estimation(r, g, LAM, v)

    return jax.vmap(one, 1, 1)(reward, discount, values)


def rlax_lambda_return(reward, value, next_value, discount, done):
    """rlax's λ-return, one environment at a time under vmap."""
    return jax.vmap(lambda r, g, v: rlax.lambda_returns(r, g, v, LAM), 1, 1)(
        reward, discount, next_value
    )


def rlax_vtrace(reward, value, next_value, discount, done):
    """rlax's V-trace errors on policy, one environment at a time under vmap."""

    def one(v, v_next, r, g):
        return rlax.vtrace(v, v_next, r, g, jnp.ones_like(r))

    return value + jax.vmap(one, 1, 1)(value, next_value, reward, discount)


def numpy_gae(reward, value, next_value, discount, done):
    """A loop over time in NumPy."""
    b = reward + discount * next_value - value
    a = discount * LAM * (1 - done)
    advantage, x = np.empty_like(b), np.zeros_like(b[0])
    for t in reversed(range(len(b))):
        x = b[t] + a[t] * x
        advantage[t] = x
    return advantage


def streaming(reward, value, next_value, discount, done):
    """The floor: read the five arrays once, write one."""
    return reward + value + next_value + discount + done


def numpy_group_relative(reward):
    """Group-relative advantages in NumPy."""
    centred = reward - reward.mean(-1, keepdims=True)
    return centred / (reward.std(-1, keepdims=True, ddof=1) + 1e-6)


def naive_log_prob_and_entropy(logits, action):
    """A stored log-softmax, from which one number per token is read."""
    log_prob = jax.nn.log_softmax(logits)
    taken = jnp.take_along_axis(log_prob, action[..., None], -1)[..., 0]
    return taken, -jnp.sum(jnp.exp(log_prob) * log_prob, -1)
