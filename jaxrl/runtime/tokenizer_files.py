"""Tokenisers from files of the `tokenizers` library: tokenizer.json, or a folder that has one."""

import importlib.util
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jaxrl.text import Tokenizer, Vocabulary

USUAL = {
    "eos": ("<eos>", "</s>", "<|endoftext|>", "<|im_end|>", "<|end_of_text|>", "<|eot_id|>"),
    "pad": ("<pad>", "[PAD]", "<|pad|>", "<|finetune_right_pad_id|>"),
}
"""Names that the two tokens usually have, tried in this order."""


def load(path: Path | str, eos: str | None = None, pad: str | None = None) -> Tokenizer:
    """The tokeniser of a file.

    Args:
      path: a tokenizer.json, or a folder with one; tokenizer_config.json beside it is read too.
      eos, pad: the tokens that end a response and that fill it up; by default those that
        tokenizer_config.json names, or the usual ones, and for `pad` where there is none `eos`:
        no mask is made from tokens.
    """
    if importlib.util.find_spec("tokenizers") is None:
        raise ValueError("a tokenizer file needs another package: pip install 'jaxrl[text]'")
    file = Path(path) / "tokenizer.json" if Path(path).is_dir() else Path(path)
    model = _read(file)
    model.no_padding()
    model.no_truncation()
    places = model.get_vocab(with_added_tokens=True)
    named = _named(file.parent / "tokenizer_config.json")
    end = _place(file, places, "eos", eos, named)
    filler = _place(file, places, "pad", pad, named, otherwise=end)

    def encode(text: str) -> list[int]:
        return model.encode(text, add_special_tokens=False).ids

    def decode(tokens: Sequence[int]) -> str:
        return model.decode(list(tokens), skip_special_tokens=False)

    return Tokenizer(Vocabulary(max(places.values()) + 1, end, filler), encode, decode)


def _read(file: Path) -> Any:
    import tokenizers  # an extra

    if not file.is_file():
        raise ValueError(f"there is no tokenizer file {file}")
    try:
        return tokenizers.Tokenizer.from_file(str(file))
    except Exception as error:  # the library raises nothing narrower
        raise ValueError(f"{file} must be a tokenizer file, and is not: {error}") from error


def _named(file: Path) -> dict[str, Any]:
    """What a tokenizer_config.json says, if there is one."""
    if not file.is_file():
        return {}
    try:
        said = json.loads(file.read_text("utf-8"))
    except ValueError as error:
        raise ValueError(f"{file} must be JSON, and is not: {error}") from error
    return said if isinstance(said, dict) else {}


def _place(
    file: Path,
    places: dict[str, int],
    kind: str,
    name: str | None,
    named: dict[str, Any],
    otherwise: int | None = None,
) -> int:
    said = named.get(f"{kind}_token")
    said = said.get("content") if isinstance(said, dict) else said
    wanted = name or said
    if wanted is not None and wanted not in places:
        raise ValueError(f"{kind} must be a token of {file}, not {wanted!r}")
    for token in (wanted,) if wanted is not None else USUAL[kind]:
        if token in places:
            return places[token]
    if otherwise is not None:
        return otherwise
    tried = ", ".join(USUAL[kind])
    raise ValueError(f"{kind} must be named: {file} has none of the usual tokens {tried}")
