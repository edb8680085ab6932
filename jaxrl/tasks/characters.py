"""Text as single characters: a tokeniser that needs no file."""

from collections.abc import Sequence

from jaxrl.text import Tokenizer, Vocabulary

SPECIAL = ("<pad>", "<eos>")
"""What stands before the characters, in this order, and how it is shown."""


def characters(alphabet: str) -> Tokenizer:
    """A tokeniser whose tokens are the characters of an alphabet.

    >>> tokenizer = characters("ab")
    >>> tokenizer.encode("ba"), tokenizer.decode([2, 1, 0])
    ([3, 2], 'a<eos><pad>')
    """
    if len(set(alphabet)) != len(alphabet) or not alphabet:
        raise ValueError(f"alphabet must be of different characters, not {alphabet!r}")
    shown = (*SPECIAL, *alphabet)
    places = {character: place for place, character in enumerate(shown)}

    def encode(text: str) -> list[int]:
        for character in text:
            if character not in places:
                raise ValueError(
                    f"text must be of the characters {alphabet!r}, not have {character!r} as in "
                    f"{text!r}"
                )
        return [places[character] for character in text]

    def decode(tokens: Sequence[int]) -> str:
        return "".join(shown[token] for token in tokens)

    return Tokenizer(Vocabulary(len(shown), eos=1, pad=0), encode, decode)
