"""jaxrl: reinforcement learning as pure functions of arrays.

Every formula is here by its name, as `jaxrl.gae`, and every module, as `jaxrl.formulas`. Both are
loaded when they are first asked for, so that `import jaxrl` does not even import jax.
"""

import importlib
import pkgutil
from typing import TYPE_CHECKING

__version__ = "0.1.0"

if TYPE_CHECKING:  # what `__getattr__` does, told to type checkers and editors
    from jaxrl import checks as checks
    from jaxrl import formulas as formulas
    from jaxrl import optim as optim
    from jaxrl import types as types
    from jaxrl.formulas import *
else:

    def _modules():
        return [module.name for module in pkgutil.iter_modules(__path__)]

    def _formulas():
        return importlib.import_module("jaxrl.formulas")

    def __dir__():
        return sorted({"__version__", *_modules(), *_formulas().__all__})

    def __getattr__(name):
        if name == "__all__":
            return list(_formulas().__all__)
        if name.startswith("_"):  # inspectors ask every module for such names: do not load jax
            raise AttributeError(f"module 'jaxrl' has no attribute {name!r}")
        if name in _modules():
            return importlib.import_module(f"jaxrl.{name}")
        if name in _formulas().__all__:
            return globals().setdefault(name, getattr(_formulas(), name))
        import difflib  # only errors need it

        close = difflib.get_close_matches(name, __dir__(), n=1)
        hint = f"; did you mean {close[0]!r}?" if close else ""
        raise AttributeError(f"module 'jaxrl' has no attribute {name!r}{hint}")
