"""What a user cannot have: known before anything is done, or only in doing it."""


class Mistake(ValueError):
    """A mistake that only doing what was asked could tell; the command line shows its sentence."""
