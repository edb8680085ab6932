"""What the losses of SFT, reward models, PPO and preferences are, in float64: a line or two each.

`x.params` are those that the gradient is of; `x.now` and `x.reference` are fixed.
"""

import numpy as np

from tests.language.oracle import log_probs
from tests.oracles import preference
from tests.oracles.advantages import masked_gae, whiten
from tests.oracles.policy_losses import clipped_surrogate
from tests.oracles.ratios import token_log_ratio
from tests.oracles.reduce import token_mean
from tests.oracles.shaping import kl_reward
from tests.oracles.value_losses import clipped_value_loss


def hidden(params, prompts, response):
    """Of the prompt's end and of each token after it, [1 + T, P, G, D], by the tiny model."""
    own, past = (np.asarray(params[n], np.float64) for n in ("own", "past"))
    shape = response.token.shape
    total = np.zeros((1 + shape[0], *shape[1:], own.shape[1]))
    for p, g in np.ndindex(shape[1:]):
        said = list(np.asarray(prompts.token[:, p])[np.asarray(prompts.mask[:, p])])
        for t in range(1 + int(response.mask[:, p, g].sum())):
            total[t, p, g] = np.tanh(own[said[-1]] + np.mean([past[w] for w in said], 0))
            if t < shape[0]:
                said.append(int(response.token[t, p, g]))
    return total


def headed(params, prompts, response):
    """The number that the head makes of each hidden state, [1 + T, P, G]."""
    weight, bias = (np.asarray(params["head"][n], np.float64) for n in ("weight", "bias"))
    return hidden(params["model"], prompts, response) @ weight + bias


class Facts:
    """A batch, and what the policies say of it; `now` is the policy before the update."""

    def __init__(self, params, now, reference, answers, temperature):
        self.params, self.now, self.reference = params, now, reference
        self.prompts, self.response = answers.prompts, answers.response
        self.temperature = temperature
        self.mask = np.asarray(self.response.mask)
        self.reward = np.asarray(answers.reward, np.float64)
        self.best, self.worst = self.reward.argmax(-1), self.reward.argmin(-1)
        self.useful = self.reward.max(-1) > self.reward.min(-1)
        self.length = self.mask.sum(0).astype(float)

    def total(self, params):
        """log π of each response, [P, G]."""
        return log_probs(params, self.prompts, self.response, 1.0).sum(0)

    def pair(self, values):
        """Those of the best and of the worst response, where they differ."""
        rows = np.flatnonzero(self.useful)
        return values[rows, self.best[rows]], values[rows, self.worst[rows]]

    def drift(self):
        """The mean log ratio of responses to the prompts of others."""
        ratios = []
        for p in range(len(self.best)):
            q = p - 1
            if not (self.useful[p] and self.useful[q]):
                continue
            asked = self.prompts._replace(
                token=self.prompts.token[:, [p]], mask=self.prompts.mask[:, [p]]
            )
            for g in (self.best[q], self.worst[q]):
                said = [np.asarray(x)[..., [q], :][..., [g]] for x in self.response]
                said = type(self.response)(*said)
                policies = self.now, self.reference
                now, ref = (log_probs(w, asked, said, 1.0).sum() for w in policies)
                ratios.append(now - ref)
        return max(np.mean(ratios), 0.0)


def margin(x, each=False):
    """Δ of each pair that differs."""
    said, ref = (x.total(p) / (x.length if each else 1) for p in (x.params, x.reference))
    return preference.preference_margin(*x.pair(said), *x.pair(ref))


def means(x):
    return x.pair(x.total(x.params) / x.length)


def kto(x):
    good, bad = x.pair(x.total(x.params) - x.total(x.reference))
    drift = x.drift()
    losses = [
        preference.kto_loss(ratio, np.full(ratio.shape, desirable), drift, 0.1)
        for ratio, desirable in ((good, True), (bad, False))
    ]
    return np.mean(losses)


def rrhf(x):
    total, reward = x.total(x.params)[x.useful], x.reward[x.useful]
    ranked = preference.rrhf_loss(total / x.length[x.useful], reward)
    return np.mean(ranked + preference.best_response_loss(total, reward))


def scores(x):
    """At the end of each response to a prompt that is useful."""
    numbers = headed(x.params, x.prompts, x.response)
    return np.take_along_axis(numbers, x.mask.sum(0)[None], 0)[0]


def reward_pairs(x):
    wider = 0.5 * np.subtract(*x.pair(x.reward))
    return preference.pairwise_reward_loss(*x.pair(scores(x)), margin=wider, centre=0.01).mean()


def ranked(loss):
    return lambda x: loss(scores(x)[x.useful], x.reward[x.useful]).mean()


def ppo(x):
    old = np.where(x.mask, np.asarray(x.response.log_prob, np.float64), 0.0)
    ref = log_probs(x.reference, x.prompts, x.response, x.temperature)
    value, old_value = (
        np.where(x.mask, headed(p["critic"], x.prompts, x.response)[:-1], 0.0)
        for p in (x.params, x.now)
    )
    reward = kl_reward(x.reward, old, ref, x.mask, 0.05, 1.5)
    advantage = masked_gae(reward, old_value, x.mask, 1.0, 0.95)
    log_prob = log_probs(x.params["actor"], x.prompts, x.response, x.temperature)
    ratio = token_log_ratio(log_prob, old, x.mask)
    policy = clipped_surrogate(ratio, whiten(advantage, x.mask), 0.8, 1.2)
    fit = clipped_value_loss(value, old_value, advantage + old_value, 0.2)
    return token_mean(policy, x.mask) + 0.5 * token_mean(fit, x.mask)


METHODS = {
    "lm_sft": lambda x: token_mean(-log_probs(x.params, x.prompts, x.response, 1.0), x.mask),
    "lm_reward": reward_pairs,
    "lm_reward_pairs": ranked(preference.all_pairs_loss),
    "lm_reward_ranks": ranked(preference.plackett_luce_loss),
    "lm_ppo": ppo,
    "lm_dpo": lambda x: preference.dpo_loss(margin(x), 0.1).mean(),
    "lm_cdpo": lambda x: preference.dpo_loss(margin(x), 0.1, 0.1).mean(),
    "lm_robust": lambda x: preference.robust_dpo_loss(margin(x), 0.1, 0.1).mean(),
    "lm_ipo": lambda x: preference.ipo_loss(margin(x), 0.1).mean(),
    "lm_hinge": lambda x: preference.hinge_loss(margin(x), 0.1).mean(),
    "lm_simpo": lambda x: preference.simpo_loss(*means(x), beta=2.0, gamma=0.5).mean(),
    "lm_orpo": lambda x: preference.orpo_loss(*means(x), beta=0.1).mean(),
    "lm_kto": kto,
    "lm_rrhf": rrhf,
}
VARIANTS = {
    "ipo of means": lambda x: preference.ipo_loss(margin(x, each=True), 0.1).mean(),
    "dpo and likelihood": lambda x: METHODS["lm_dpo"](x) - 0.3 * means(x)[0].mean(),
}
