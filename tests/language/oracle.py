"""What each method's loss is, in float64, from the oracles of the formulas: one line each.

`x.log_prob` is a function of the parameters; `x.fixed` is its value where the gradient stops.
"""

import numpy as np

from tests.oracles.advantages import whiten
from tests.oracles.divergences import k2, k3
from tests.oracles.groups import (
    greedy_advantage,
    group_centred,
    group_relative,
    leave_one_out,
    length_weighted_advantage,
    reinforce_plus_plus,
    smoothed_advantage,
)
from tests.oracles.policy_losses import (
    cispo,
    clipped_surrogate,
    dual_clipped_surrogate,
    policy_gradient,
)
from tests.oracles.ratios import dynamic_bounds, sequence_log_ratio, token_log_ratio
from tests.oracles.reduce import (
    fixed_length,
    only_token_mean,
    sequence_mean,
    sequence_sum,
    token_mean,
)
from tests.oracles.shaping import kl_reward, soft_overlong_penalty


def log_probs(params, prompts, response, temperature):
    """Of each token, [T, P, G], by the tiny model, a token at a time."""
    own, past, out = (np.asarray(params[n], np.float64) for n in ("own", "past", "out"))
    total = np.zeros(response.token.shape)
    for p, g in np.ndindex(total.shape[1:]):
        words = np.asarray(prompts.token[:, p])[np.asarray(prompts.mask[:, p])]
        said = list(words)
        for t in range(int(response.mask[:, p, g].sum())):
            hidden = np.tanh(own[said[-1]] + np.mean([past[w] for w in said], 0))
            logits = hidden @ out / temperature
            said.append(int(response.token[t, p, g]))
            total[t, p, g] = logits[said[-1]] - np.log(np.exp(logits).sum())
    return total


class Facts:
    """A batch, and what three policies say of it."""

    def __init__(self, log_prob, fixed, reference, answers):
        r = answers.response
        self.log_prob, self.fixed, self.reference = log_prob, fixed, reference
        self.mask = np.asarray(r.mask)
        self.old = np.where(self.mask, np.asarray(r.log_prob, np.float64), 0.0)
        self.reward = np.asarray(answers.reward, np.float64)
        self.index = np.asarray(answers.prompts.index)
        self.steps = np.asarray(answers.step_reward, np.float64)
        self.greedy = np.asarray(answers.greedy_reward, np.float64)
        self.greedy_length = np.asarray(answers.greedy_length, np.float64)
        self.ratio = token_log_ratio(log_prob, self.old, self.mask)
        self.fixed_ratio = token_log_ratio(fixed, self.old, self.mask)
        self.apart = token_log_ratio(log_prob, reference, self.mask)

    @property
    def length(self):
        return self.mask.sum(0).astype(float)

    def priced(self, beta):
        """Rewards of tokens, less the KL to the reference of those who spoke."""
        return kl_reward(self.reward, self.old, self.reference, self.mask, beta)

    def spread(self, per_response):
        return np.broadcast_to(per_response[None], self.mask.shape)


def relative(x, reward=None):
    return x.spread(group_relative(x.reward if reward is None else reward, ddof=0))


def stepwise(x):
    """Each group's steps beside each other, and what is to come from each token on."""
    total = np.zeros(x.steps.shape)
    for p in range(x.steps.shape[1]):
        valid = x.mask[:, p]
        total[:, p][valid] = group_relative(x.steps[:, p][valid], ddof=0)
    return np.cumsum(total[::-1], 0)[::-1]


def clipped(x, advantage, low=0.8, high=1.2):
    return clipped_surrogate(x.ratio, advantage, low, high)


def dapo(x):
    # T = 4, the last token of which costs
    reward = x.reward + soft_overlong_penalty(x.length, 4, 1)
    return token_mean(clipped(x, relative(x, reward), 0.8, 1.28), x.mask)


def gspo(x):
    ratio = sequence_log_ratio(x.log_prob, x.old, x.mask)
    return sequence_mean(clipped_surrogate(ratio, relative(x), 0.97, 1.04), x.mask)


def gspo_token(x):
    ratio = sequence_log_ratio(x.fixed, x.old, x.mask) + (x.log_prob - x.fixed)
    return sequence_mean(clipped_surrogate(ratio, relative(x), 0.97, 1.04), x.mask)


def dcpo(x):
    state = tuple(np.zeros(100) for _ in range(3))
    advantage = x.spread(smoothed_advantage(state, x.index, x.reward)[0])
    bounds = dynamic_bounds(x.old, 0.16, 0.2)
    loss = dual_clipped_surrogate(x.ratio, advantage, *bounds, np.float64(10.0))
    return only_token_mean(loss, x.mask) / len(x.index)


def cispo_loss(x):
    weight = cispo(np.ones_like(x.fixed), x.fixed_ratio, relative(x), 0.0, 5.0)
    return token_mean(weight * x.log_prob, x.mask)


def gradient_of(x, advantage):
    return sequence_sum(policy_gradient(x.log_prob, advantage), x.mask)


METHODS = {
    "lm_grpo": lambda x: sequence_mean(clipped(x, relative(x)) + 0.04 * k3(x.apart), x.mask),
    "lm_grpo_steps": lambda x: sequence_mean(clipped(x, stepwise(x)) + 0.04 * k3(x.apart), x.mask),
    "lm_dr_grpo": lambda x: fixed_length(
        clipped(x, x.spread(group_centred(x.reward))), x.mask, 4.0
    ),
    "lm_dapo": dapo,
    "lm_gspo": gspo,
    "lm_gspo_token": gspo_token,
    "lm_dcpo": dcpo,
    "lm_cispo": cispo_loss,
    "lm_rloo": lambda x: gradient_of(x, x.spread(leave_one_out(x.priced(0.05).sum(0)))),
    "lm_opo": lambda x: gradient_of(x, x.spread(length_weighted_advantage(x.reward, x.length))),
    "lm_reinforce_pp": lambda x: token_mean(
        clipped(x, reinforce_plus_plus(x.priced(0.01), x.mask)), x.mask
    ),
    "lm_reinforce_pp_baseline": lambda x: token_mean(
        clipped(x, whiten(x.spread(group_centred(x.reward)), x.mask)) + 0.01 * k2(x.apart), x.mask
    ),
    "lm_remax": lambda x: gradient_of(x, x.spread(greedy_advantage(x.reward, x.greedy))),
}
METHODS["lm_iterative_grpo"] = METHODS["lm_grpo"]
