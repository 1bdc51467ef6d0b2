"""The base of events."""


class Event:
    """Something that happened, or that is wished to happen, in a running launch."""

    name = "launch.Event"
