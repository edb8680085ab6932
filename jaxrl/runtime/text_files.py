"""Text to learn from: JSON lines of demonstrations, of preferred and rejected ones, of rankings."""

import functools
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from jaxrl.tasks import prompts_of, response_of
from jaxrl.text import Prompts, Response, Tokenizer

Said = dict[str, Any]


def examples(
    path: Path | str, tokenizer: Tokenizer, prompt_length: int, num_tokens: int
) -> tuple[Prompts, Response]:
    """Prompts and what is said to them, [T, P, K], the best first: lines of one kind, in JSON.

        {"prompt": ..., "response": ...}                   demonstrations, K = 1
        {"prompt": ..., "chosen": ..., "rejected": ...}    preferences, K = 2
        {"prompt": ..., "responses": [...]}                rankings, as many on each line

    Args:
      prompt_length: L, the most tokens of a prompt.
      num_tokens: T, the most tokens of a response, its end included.
    """
    return _read(path, _kind(path)[0], tokenizer, prompt_length, num_tokens)


def num_responses(path: Path | str) -> int:
    """K, how many responses each prompt of a file of examples comes with, by its first line."""
    responses, said = _kind(path)
    return len(_of_line(1, path, lambda: responses(said)))


def _single(said: Said) -> list[str]:
    return [_text(said, "response")]


def _pair(said: Said) -> list[str]:
    return [_text(said, "chosen"), _text(said, "rejected")]


def _ranked(said: Said) -> list[str]:
    responses = said.get("responses")
    if not isinstance(responses, list) or len(responses) < 2:
        raise ValueError("must have 'responses', a list of two texts at least, the best first")
    return [_text({f"response {i}": x}, f"response {i}") for i, x in enumerate(responses)]


KINDS: dict[str, Callable[[Said], list[str]]] = {
    "response": _single,
    "chosen": _pair,
    "responses": _ranked,
}
"""What the responses of a line are, by the key that tells its kind."""


def _kind(path: Path | str) -> tuple[Callable[[Said], list[str]], Said]:
    """How the lines of a file are read, and its first line."""
    number, line = next(_lines(Path(path)), (0, ""))
    if number == 0:
        raise ValueError(f"{path} must have one line at least, not none")
    said = _of_line(number, path, lambda: _object(line))
    for key, responses in KINDS.items():
        if key in said:
            return responses, said
    wanted = "'response', 'chosen' or 'responses'"
    raise ValueError(f"line 1 of {path} must have {wanted}, not {[*said]}")


def _of_line(number: int, path: Path | str, understood: Callable[[], Any]) -> Any:
    """What a line is understood as; what is wrong with it is told with its number."""
    try:
        return understood()
    except ValueError as error:
        raise ValueError(f"line {number} of {path} {error}") from error


def _read(
    path: Path | str,
    responses: Callable[[Said], list[str]],
    tokenizer: Tokenizer,
    prompt_length: int,
    num_tokens: int,
) -> tuple[Prompts, Response]:
    prompts: list[list[int]] = []
    groups: list[list[list[int]]] = []

    def read(line: str) -> None:
        said = _object(line)
        prompt, texts = _text(said, "prompt"), responses(said)
        _check_group(texts, len(groups[0]) if groups else len(texts))
        prompts.append(_encoded(tokenizer, "prompt", prompt, prompt_length))
        groups.append([_encoded(tokenizer, "response", x, num_tokens - 1) for x in texts])

    for number, line in _lines(Path(path)):
        _of_line(number, path, functools.partial(read, line))
    pad = tokenizer.vocabulary.pad
    return prompts_of(prompts, pad, prompt_length), response_of(
        groups, tokenizer.vocabulary, num_tokens
    )


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    if not path.is_file():
        raise ValueError(f"there is no file {path}")
    try:
        with open(path, encoding="utf-8") as file:
            yield from enumerate(file, 1)
    except UnicodeDecodeError as error:
        raise ValueError(
            f"{path} must be text in UTF-8, which byte {error.start} is not"
        ) from error


def _object(line: str) -> Said:
    if not line.strip():
        raise ValueError("is empty")
    try:
        said = json.loads(line)
    except (RecursionError, ValueError) as error:
        raise ValueError(f"is no JSON: {error}") from error
    if not isinstance(said, dict):
        raise ValueError(f"must be a JSON object, not a {type(said).__name__}")
    return said


def _text(said: Said, name: str) -> str:
    text = said.get(name)
    if not isinstance(text, str) or not text:
        raise ValueError(f"must have {name!r}, a text that is not empty, not {text!r}")
    return text


def _check_group(texts: list[str], size: int) -> None:
    if len(texts) != size:
        raise ValueError(f"must have {size} responses, as the first line has, not {len(texts)}")
    for place, text in enumerate(texts):
        if text in texts[:place]:
            raise ValueError(f"must have different responses, not {text!r} twice")


def _encoded(tokenizer: Tokenizer, what: str, text: str, length: int) -> list[int]:
    tokens = _tokens(tokenizer, what, text)
    if len(tokens) > length:
        end = ", besides the one that ends it" if what == "response" else ""
        raise ValueError(
            f"must have a {what} of {length} tokens at most{end}, not of {len(tokens)}"
        )
    return tokens


def _tokens(tokenizer: Tokenizer, what: str, text: str) -> list[int]:
    try:
        return tokenizer.encode(text)
    except ValueError as error:
        raise ValueError(f"has a {what} that is no text of this vocabulary: {error}") from error
