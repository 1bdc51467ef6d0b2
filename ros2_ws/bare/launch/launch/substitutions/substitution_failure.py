"""The error of substitutions."""


class SubstitutionFailure(Exception):
    """A substitution has no text to give."""
