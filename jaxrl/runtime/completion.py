"""Completion for shells: a function that knows the words, and a few lines for each shell.

The words are in the script itself, so that the shell need not wait for Python.
"""

import argparse
import importlib
from collections.abc import Iterable, Iterator

from jaxrl.runtime import catalogue, cli
from jaxrl.runtime.trackers import KINDS

WORDS = """_jaxrl_words() {{ # number of the word, the word before it, verb, word after the verb
    if [ "$1" -eq 1 ]; then
        echo "{verbs}"
        return
    fi
    case "$2" in
{values}
    esac
    if [ "$1" -eq 2 ]; then
        case "$3" in
{second}
        esac
    fi
    case "$3 $4" in
{flags}
    esac
}}
"""

BASH = """_jaxrl() {
    local i=$COMP_CWORD
    local words
    words=$(_jaxrl_words "$i" "${COMP_WORDS[i-1]}" "${COMP_WORDS[1]}" "${COMP_WORDS[2]}")
    COMPREPLY=($(compgen -W "$words" -- "${COMP_WORDS[i]}"))
}
complete -o default -F _jaxrl jaxrl
"""

ZSH = """_jaxrl() {
    local known
    known=$(_jaxrl_words $((CURRENT - 1)) "${words[CURRENT-1]}" "${words[2]}" "${words[3]}")
    if [ -n "$known" ]; then
        compadd -- ${=known}
    fi
    if [[ "${words[CURRENT]}" != -* ]]; then
        _files
    fi
}
compdef _jaxrl jaxrl
"""

SHELLS = {"bash": ("", BASH), "zsh": ("#compdef jaxrl\n", ZSH)}
"""What comes before and after the words."""


def script(shell: str) -> str:
    """The completion script of a shell."""
    before, after = SHELLS[shell]
    return before + WORDS.format(**_words()) + after


def _words() -> dict[str, str]:
    """The parts of the function that knows the words."""
    algorithms = " ".join(catalogue.algorithms())
    envs = " ".join((*catalogue.environments(), *catalogue.tasks()))
    values = {"--env": envs, "--log": " ".join(KINDS)} | _choices()
    second = {"|".join((*cli.OF_WORDS, "bench")): algorithms, "completion": " ".join(SHELLS)}
    return {
        "verbs": " ".join(cli.VERBS),
        "values": _cases(values.items(), "; return "),
        "second": _cases(second.items()),
        "flags": _cases(_flags()),
    }


def _cases(rows: Iterable[tuple[str, str]], then: str = "") -> str:
    """Lines that echo words where a pattern fits."""
    return "\n".join(f'        {pattern}) echo "{words}"{then};;' for pattern, words in rows)


def _choices() -> dict[str, str]:
    """The words that the fields of any algorithm take."""
    found: dict[str, dict[str, None]] = {}
    for name in catalogue.algorithms():
        for field, known in catalogue.fields(name).items():
            flag = f"--{field.replace('_', '-')}"
            found.setdefault(flag, {}).update(dict.fromkeys(known.choices))
    return {flag: " ".join(words) for flag, words in found.items() if words}


def _flags() -> Iterator[tuple[str, str]]:
    """For a verb, or a verb and an algorithm, the options that there are."""
    for verb in cli.VERBS:
        module = importlib.import_module(f"jaxrl.runtime.verbs.{verb}")
        if verb in cli.OF_WORDS:
            for name in catalogue.algorithms():
                yield f'"{verb} {name}"', _options(module.parser([name]))
            yield f'"{verb} "*', _options(module.parser([]))
        else:
            yield f'"{verb} "*', _options(module.parser())


def _options(parser: argparse.ArgumentParser) -> str:
    return " ".join(
        text for action in parser._actions for text in action.option_strings if "--" in text
    )
