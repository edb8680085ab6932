"""What learners of language share: their configuration, their voice, and batches of sequences.

A batch for minibatches has its prompts' axis first, [P, L] and [P, T, G]: groups stay together, so
that a prompt is read once for all of its responses. Formulas see time first, [T, P, G].
"""

from collections.abc import Callable
from typing import Any, Literal, NamedTuple, TypeVar

import jax
import jax.numpy as jnp
import optax

from jaxrl.config import config, demand, demand_above
from jaxrl.families.minibatch import Passes, Reported, descend
from jaxrl.formulas.log_probs import hidden_log_prob_and_entropy
from jaxrl.networks.generation import generate, row_keys
from jaxrl.networks.language import language_model, read
from jaxrl.networks.sampling import likeliest, sampling
from jaxrl.networks.transformer import Shape
from jaxrl.optim.optimizer import Optimizer, Schedule
from jaxrl.text import Answers, LanguageModel, Prompts, Response, Task
from jaxrl.types import Array, Learner, LearnerState, Metrics, PyTree, Scalar

B = TypeVar("B")


@config
class LanguageConfig:
    """Fields of every algorithm that trains a language model on prompts."""

    num_prompts: int = 32
    group_size: int = 8
    prompt_order: Literal["shuffled", "uniform"] = "shuffled"
    temperature: float = 1.0
    early_stop: bool = True
    num_epochs: int = 1
    num_minibatches: int = 4
    num_microbatches: int = 1
    lr: float = 3e-4
    anneal_lr: bool = False
    max_grad_norm: float = 1.0
    num_layers: int = 2
    width: int = 64
    num_heads: int = 4
    demonstration_steps: int = 0
    demonstration_batch: int = 64
    demonstration_lr: float = 1e-3


class LanguageSetting(NamedTuple):
    """What a learner of language is told besides its configuration."""

    task: Task
    num_updates: int  # of the learner in the whole training, for schedules
    model: LanguageModel | None = None  # in place of the one that the configuration asks for
    optimizer: Callable[[Any, Schedule], optax.GradientTransformation] | None = None


def model(config: LanguageConfig, setting: LanguageSetting) -> LanguageModel:
    """The user's own model, or a small transformer by the configuration, which fits the task."""
    if setting.model is not None:
        return setting.model
    task = setting.task
    longest = max(len(task.train.token), len(task.test.token)) + task.num_tokens
    return language_model(
        Shape(
            vocabulary_size=task.vocabulary.size,
            width=config.width,
            num_layers=config.num_layers,
            num_heads=config.num_heads,
            num_kept_heads=config.num_heads,
            head_size=config.width // config.num_heads,
            mlp_size=2 * config.width,
            context=longest,
        )
    )


def begun(key: Array, init: Callable[[Array], PyTree], params: PyTree) -> PyTree:
    """Parameters to start from: those given, if they are such as `init` makes, or fresh ones."""
    if params is None:
        return init(key)
    fitting("params", params, init)
    return params


def fitting(name: str, params: PyTree, init: Callable[[Array], PyTree]) -> None:
    """Check that parameters are such as `init` makes."""
    wanted = jax.eval_shape(init, jax.random.key(0))
    if jax.tree.structure(params) != jax.tree.structure(wanted):
        came = f"{_names(wanted)}, not {_names(params)}"
        raise ValueError(f"{name} must be those of the model, {came}")
    for (path, x), y in zip(
        jax.tree_util.tree_leaves_with_path(params), jax.tree.leaves(wanted), strict=True
    ):
        if jnp.shape(x) != y.shape:
            place = name + jax.tree_util.keystr(path)
            raise ValueError(f"{place} must have the model's shape {y.shape}, not {jnp.shape(x)}")


def _names(params: PyTree) -> str:
    leaves = jax.tree_util.tree_leaves_with_path(params)
    return "".join(jax.tree_util.keystr(path) for path, _ in leaves[:3]) or repr(params)


class Text(NamedTuple):
    """Prompts and their responses, prompts first."""

    prompt: Array  # [P, L]
    prompt_mask: Array
    token: Array  # [P, T, G]
    mask: Array  # which tokens are learnt from


class Voice(NamedTuple):
    """A language model as it speaks: at one temperature."""

    init: Callable[[Array], PyTree]  # key -> params
    generate: Callable[[PyTree, Prompts, Array | None], Response]  # params, prompts [L, P], a key
    # for each response [P, G]; None answers greedily
    read: Callable[[PyTree, Text], tuple[Array, Array]]  # params, text -> log-probability and
    # entropy of each token, [T, P, G]


def voice(model: LanguageModel, task: Task, temperature: Scalar, early_stop: bool = True) -> Voice:
    """A model that answers a task's prompts."""
    pad = task.vocabulary.pad

    def speak(params: PyTree, prompts: Prompts, keys: Array | None) -> Response:
        choose = likeliest if keys is None else sampling(temperature)
        if keys is None:
            keys = row_keys(jax.random.key(0), len(prompts.index), 1)  # nothing is drawn from them
        asked = keys, model, params, prompts, task.vocabulary, task.num_tokens
        return generate(*asked, choose, early_stop)

    def reading(params: PyTree, text: Text) -> tuple[Array, Array]:
        prompts, response = spoken(text, pad)
        hidden = read(model, params, prompts, response)
        hidden = hidden / jnp.asarray(temperature, hidden.dtype)
        return hidden_log_prob_and_entropy(hidden, model.unembedding(params), response.token)

    return Voice(model.init, speak, reading)


def speaking(
    voice: Voice,
    speaker: Callable[[LearnerState], PyTree],
    init: Callable[[Array, PyTree], LearnerState],
    update: Callable[[Array, LearnerState, Answers], tuple[LearnerState, Metrics]],
) -> Learner:
    """A learner that answers prompts, from nothing but the parameters of its speaker."""

    def act(
        state: LearnerState, prompts: Prompts, noise: Array | None, carry: tuple[()]
    ) -> tuple[Response, tuple[()], tuple[()]]:
        return voice.generate(speaker(state), prompts, noise), (), carry

    return Learner(
        init=init,
        carry=lambda key, num: (),
        noise=lambda key, shape: row_keys(key, *shape),
        act=act,
        update=update,
    )


def improved(
    key: Array,
    state: LearnerState,
    reported: Reported,
    optimizer: Optimizer,
    batch: PyTree,
    passes: Passes,
) -> tuple[LearnerState, Metrics]:
    """The state after passes over a batch, which are one update."""
    start = state.params, state.opt_state, state.num_updates
    (params, opt_state), metrics = descend(key, reported, optimizer, start, batch, passes)
    done = state.num_updates + 1
    return state._replace(params=params, opt_state=opt_state, num_updates=done), metrics


def spoken(text: Text, pad: int) -> tuple[Prompts, Response]:
    """A text as what was asked and said, for a model to read."""
    prompt, prompt_mask, token, mask = prompts_last(text)
    token = jnp.where(mask, jnp.asarray(token), pad)  # what is masked may be no token at all
    index = jnp.arange(len(text.token), dtype=jnp.int32)
    response = Response(token, mask, jnp.zeros(mask.shape), mask.any(0))
    return Prompts(prompt, prompt_mask, index), response


def text_of(prompts: Prompts, response: Response) -> Text:
    """What was asked and said; all of it counts."""
    return prompts_first(Text(prompts.token, prompts.mask, response.token, response.mask))


def prompts_first(tree: PyTree) -> PyTree:
    """[T, P, ...] -> [P, T, ...]."""
    return jax.tree.map(lambda x: x.swapaxes(0, 1), tree)


prompts_last = prompts_first
"""[P, T, ...] -> [T, P, ...]."""


def in_parts(batch: PyTree, num_parts: int) -> PyTree:
    """[P, ...] -> [num_parts, P / num_parts, ...]."""
    return jax.tree.map(lambda x: x.reshape(num_parts, -1, *x.shape[1:]), batch)


def read_in_parts(voice: Voice, params: PyTree, text: Text, num_parts: int) -> Array:
    """Log-probabilities of many responses, some at a time, [P, T, G]."""
    return by_parts(lambda part: prompts_first(voice.read(params, part)[0]), text, num_parts)


def by_parts(function: Callable[[B], PyTree], batch: B, num_parts: int) -> PyTree:
    """What a function of prompts [P, ...] makes of some at a time."""
    made = jax.lax.map(function, in_parts(batch, num_parts))
    return jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), made)


def accumulated(
    names: tuple[str, ...],
    whole: Callable[[PyTree, B], PyTree],
    part: Callable[[PyTree, B, PyTree], tuple[Array, Array]],
    num_parts: int,
) -> Reported:
    """The loss of a minibatch as the sum of what its micro-batches add, and its diagnostics.

    The intermediates of a part are made again for the gradient, so that those of one part alone
    are ever in memory.

    Args:
      whole: params, minibatch -> what every part must know of the whole, such as a count.
      part: params, some prompts, that -> what they add to the loss, and to the diagnostics.
    """

    def loss(params: PyTree, batch: B) -> tuple[Array, Array]:
        known = whole(params, batch)
        if num_parts == 1:
            return part(params, batch, known)

        @jax.checkpoint
        def again(params: PyTree, batch: B) -> tuple[Array, Array]:
            return part(params, batch, known)

        def add(totals: PyTree, batch: B) -> tuple[PyTree, None]:
            return jax.tree.map(jnp.add, totals, again(params, batch)), None

        nothing = jnp.zeros(()), jnp.zeros(len(names))
        return jax.lax.scan(add, nothing, in_parts(batch, num_parts))[0]

    return Reported(names, loss)


def check(config: LanguageConfig) -> None:
    """Fields that must fit each other, in every algorithm."""
    parts = config.num_minibatches * config.num_microbatches
    what = f"be a multiple of num_minibatches × num_microbatches = {parts}"
    demand(config, config.num_prompts % parts == 0, "num_prompts", what)
    demand_above(config, 0, "temperature", ", so that responses differ")
    heads = config.num_heads
    demand(config, config.width % heads == 0, "width", f"be a multiple of num_heads = {heads}")
