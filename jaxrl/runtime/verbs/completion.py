"""Print the completion script of a shell.

For bash: jaxrl completion bash > ~/.local/share/bash-completion/completions/jaxrl. For zsh:
jaxrl completion zsh > _jaxrl, in a folder of its fpath.
"""

import argparse
from collections.abc import Callable

from jaxrl.runtime.verbs import Parser


def parser() -> argparse.ArgumentParser:
    """The options."""
    from jaxrl.runtime.completion import SHELLS

    made = Parser(prog="jaxrl completion", description=__doc__)
    made.add_argument("shell", choices=list(SHELLS), help="the shell that is to complete")
    return made


def prepare(options: argparse.Namespace) -> Callable[[], int]:
    """The parser has checked all."""
    return lambda: _show(options.shell)


def _show(shell: str) -> int:
    from jaxrl.runtime.completion import script

    print(script(shell), end="")
    return 0
