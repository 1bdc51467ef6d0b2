"""What counts as true and as false."""

from __future__ import annotations

from collections.abc import Iterable

from ..launch_context import LaunchContext
from ..substitution import Substitution
from ..utilities import perform_substitutions

_TRUE = ("true", "1")
_FALSE = ("false", "0")


class InvalidConditionExpressionError(Exception):
    """A text that is neither true nor false."""


def evaluate_condition_expression(context: LaunchContext, expression: Iterable[Substitution]) -> bool:
    """Return whether the text is true (true, 1) or false (false, 0), in any case of letters.

    Raises:
        InvalidConditionExpressionError: for any other text.
    """
    parts = list(expression)
    text = perform_substitutions(context, parts)
    lowered = text.strip().lower()
    if lowered not in _TRUE + _FALSE:
        described = " + ".join(one.describe() for one in parts)
        raise InvalidConditionExpressionError(
            f"a condition must be one of {', '.join(_TRUE + _FALSE)}, got '{text}' (from {described})"
        )
    return lowered in _TRUE
