"""Mistakes of a user that come to light only while a verb is at work."""


class Mistake(ValueError):
    """Such a mistake, in one sentence, which the command line shows without a traceback."""
