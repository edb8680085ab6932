"""The losses of all stages on one batch, in one program: values and gradients."""

import functools

import jax
import jax.numpy as jnp

from jaxrl.algorithms import lm_dpo, lm_ppo, lm_reward
from jaxrl.families import preference, rlhf
from jaxrl.families.headed import headed
from jaxrl.families.language import LanguageSetting, text_of, voice
from jaxrl.families.warm_up import imitation
from jaxrl.language_zoo import language_config
from jaxrl.types import LearnerState
from tests.language import batches
from tests.language.oracle_stages import METHODS

SETTING = LanguageSetting(batches.TASK, 1, batches.MODEL)
CHANGES = {
    "lm_sft": {"group_size": 1},
    "lm_reward": {"margin": 0.5, "centre": 0.01},
    "lm_ppo": {"score_clip": 1.5, "num_epochs": 1},
}
SPLIT = ("lm_sft", "lm_ppo", "lm_kto")
CASES = (
    {name: (name, {}) for name in METHODS}
    | {
        "ipo of means": ("lm_ipo", {"per_token": True}),
        "dpo and likelihood": ("lm_dpo", {"likelihood_coef": 0.3}),
    }
    | {f"{name} in parts": (name, {"num_microbatches": 2}) for name in SPLIT}
)
HEADED = ("lm_reward", "lm_reward_pairs", "lm_reward_ranks")


@functools.cache
def learnt(name, seed):
    """Parameters of what a method learns; those of seed 0 spoke."""
    near = batches.policies()[0]
    policy = near if seed == 0 else batches.params(seed, near)
    judge = headed(batches.MODEL, batches.TASK).init(
        jax.random.key(seed), batches.params(seed + 20)
    )
    if name == "lm_ppo":
        return {"actor": policy, "critic": judge}
    return judge if name in HEADED else policy


def loss_of(name, changes, now, data):
    """The loss of a method as a function of its parameters."""
    config = language_config(name, **(batches.SIZES | CHANGES.get(name, {}) | changes))
    if name == "lm_sft":
        mask = data.response.mask & data.valid[None, :, None]
        text = text_of(data.prompts, data.response._replace(mask=mask))
        reported = imitation(voice(batches.MODEL, batches.TASK, 1.0), config.num_microbatches)
        return lambda params: reported.loss(params, text)
    state = LearnerState(now, (), jnp.int32(0), batches.policies()[2], jnp.float32(0.05))
    if name == "lm_ppo":
        parts = lm_ppo.parts(config, SETTING)
        batch, _ = rlhf.arranged(parts, state, data)
        return lambda params: rlhf.objective(parts).loss(params, batch)
    parts = (lm_reward if name in HEADED else lm_dpo).parts(config, SETTING)
    batch = preference.arranged(parts, state, data)
    return lambda params: preference.objective(parts).loss(params, batch)


def policies():
    """What learns, and what it was before, by method."""
    return tuple({name: learnt(name, seed) for name in METHODS} for seed in (1, 0))


@functools.cache
def program():
    """Policies and answers -> ((loss, its numbers), gradient) of each case."""

    def evaluated(params, now, data):
        results = {}
        for case, (name, changes) in CASES.items():
            loss = loss_of(name, changes, now[name], data)
            results[case] = jax.value_and_grad(loss, has_aux=True)(params[name])
        return results

    example = (*policies(), batches.shown("", batches.answers()))
    return jax.jit(evaluated).lower(*example).compile()


def evaluated(data=None):
    """What `program` says of the batch, or of other data."""
    data = batches.answers() if data is None else data
    return program()(*policies(), batches.shown("", data))
