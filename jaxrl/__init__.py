"""jaxrl: reinforcement learning as pure functions of arrays.

`make_train`, `make_offline`, `make_imitation`, `make_language_train`, `evaluate`, `grid`,
`random_search` and `sweep` are here, every algorithm, as `jaxrl.ppo`, every formula by its name, as
`jaxrl.gae`, and every module, as `jaxrl.formulas`. All are loaded when they are first asked for, so
that `import jaxrl` does not even import jax.
"""

import importlib
import pkgutil
from typing import TYPE_CHECKING

__version__ = "0.1.0"

if TYPE_CHECKING:  # what `__getattr__` does, told to type checkers and editors
    from jaxrl import envs as envs
    from jaxrl import networks as networks
    from jaxrl import types as types
    from jaxrl import zoo as zoo
    from jaxrl.algorithms import a2c as a2c
    from jaxrl.algorithms import actor_critic as actor_critic
    from jaxrl.algorithms import cloning as cloning
    from jaxrl.algorithms import ddpg as ddpg
    from jaxrl.algorithms import discrete_sac as discrete_sac
    from jaxrl.algorithms import dqn as dqn
    from jaxrl.algorithms import grpo as grpo
    from jaxrl.algorithms import impala as impala
    from jaxrl.algorithms import lm_dpo as lm_dpo
    from jaxrl.algorithms import lm_grpo as lm_grpo
    from jaxrl.algorithms import lm_ppo as lm_ppo
    from jaxrl.algorithms import lm_reward as lm_reward
    from jaxrl.algorithms import lm_sft as lm_sft
    from jaxrl.algorithms import monte_carlo as monte_carlo
    from jaxrl.algorithms import ppo as ppo
    from jaxrl.algorithms import ppo_penalty as ppo_penalty
    from jaxrl.algorithms import pqn as pqn
    from jaxrl.algorithms import q_learning as q_learning
    from jaxrl.algorithms import reinforce as reinforce
    from jaxrl.algorithms import sac as sac
    from jaxrl.algorithms import td as td
    from jaxrl.algorithms import trpo as trpo
    from jaxrl.config import grid as grid
    from jaxrl.config import random_search as random_search
    from jaxrl.families.planning import exact_evaluation as exact_evaluation
    from jaxrl.families.planning import policy_evaluation as policy_evaluation
    from jaxrl.families.planning import policy_iteration as policy_iteration
    from jaxrl.families.planning import value_iteration as value_iteration
    from jaxrl.formulas import *
    from jaxrl.runtime.load import load as load
    from jaxrl.runtime.support import support_warning as support_warning
    from jaxrl.runtime.sweep import sweep as sweep
    from jaxrl.train import evaluate as evaluate
    from jaxrl.train import make_offline as make_offline
    from jaxrl.train import make_train as make_train
    from jaxrl.train_imitation import demonstrate as demonstrate
    from jaxrl.train_imitation import make_imitation as make_imitation
    from jaxrl.train_imitation import policy as policy
    from jaxrl.train_language import make_language_train as make_language_train
else:
    _HOMES = {
        "make_train": "jaxrl.train",
        "make_offline": "jaxrl.train",
        "make_imitation": "jaxrl.train_imitation",
        "demonstrate": "jaxrl.train_imitation",
        "policy": "jaxrl.train_imitation",
        "evaluate": "jaxrl.train",
        "make_language_train": "jaxrl.train_language",
        "exact_evaluation": "jaxrl.families.planning",
        "policy_evaluation": "jaxrl.families.planning",
        "policy_iteration": "jaxrl.families.planning",
        "value_iteration": "jaxrl.families.planning",
        "grid": "jaxrl.config",
        "random_search": "jaxrl.config",
        "sweep": "jaxrl.runtime.sweep",
        "load": "jaxrl.runtime.load",
        "support_warning": "jaxrl.runtime.support",
    }

    def _inside(folder=""):
        paths = [f"{path}/{folder}" for path in __path__]
        return [module.name for module in pkgutil.iter_modules(paths)]

    def _formulas():
        return importlib.import_module("jaxrl.formulas")

    def __dir__():
        names = (*_HOMES, *_inside(), *_inside("algorithms"), *_formulas().__all__)
        return sorted({"__version__", *names})

    def __getattr__(name):
        if name == "__all__":
            return list(_formulas().__all__)
        if name.startswith("_"):  # inspectors ask every module for such names: do not load jax
            raise AttributeError(f"module 'jaxrl' has no attribute {name!r}")
        if name in _HOMES:
            return getattr(importlib.import_module(_HOMES[name]), name)
        if name in _inside():
            return importlib.import_module(f"jaxrl.{name}")
        if name in _inside("algorithms"):
            return importlib.import_module(f"jaxrl.algorithms.{name}")
        if name in _formulas().__all__:
            return globals().setdefault(name, getattr(_formulas(), name))
        import difflib  # only errors need it

        close = difflib.get_close_matches(name, __dir__(), n=1)
        hint = f"; did you mean {close[0]!r}?" if close else ""
        raise AttributeError(f"module 'jaxrl' has no attribute {name!r}{hint}")
