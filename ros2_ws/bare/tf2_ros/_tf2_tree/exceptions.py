"""The exceptions tf2 users catch."""

from __future__ import annotations


class TransformException(Exception):
    """Base of all errors of a transform lookup."""


class ConnectivityException(TransformException):
    """The two frames belong to trees that are not connected."""


class LookupException(TransformException):
    """A frame has never been heard of, or the tree contains a loop."""


class ExtrapolationException(TransformException):
    """The stamp lies outside what is held for some frame on the way."""


class InvalidArgumentException(TransformException):
    """A frame name is empty or begins with a slash."""


class TimeoutException(TransformException):
    """A remote buffer did not answer in time."""
