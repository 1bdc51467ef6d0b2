"""The error of substitutions."""


class SubstitutionFailure(Exception):  # noqa: N818 the name is ROS 2's
    """A substitution has no text to give."""
