"""What every message about a user's mistake is held to."""


def hold_sentence(message: str, *words: str) -> None:
    """One sentence, of one line, that has these words."""
    assert "\n" not in message and ". " not in message and not message.endswith("."), message
    assert all(word in message for word in words), message
