"""Conditions of actions."""

from __future__ import annotations

from ..condition import Condition
from ..launch_context import LaunchContext
from ..some_substitutions_type import SomeSubstitutionsType
from ..utilities import normalize_to_list_of_substitutions
from .evaluate_condition_expression import InvalidConditionExpressionError, evaluate_condition_expression

__all__ = ["IfCondition", "InvalidConditionExpressionError", "UnlessCondition", "evaluate_condition_expression"]


class IfCondition(Condition):
    """Holds where a text is `true` or `1`; `false` and `0` are its contrary, anything else an error."""

    _wanted = True

    def __init__(self, predicate_expression: SomeSubstitutionsType) -> None:
        self.__predicate_expression = normalize_to_list_of_substitutions(predicate_expression)
        super().__init__(predicate=self._holds)

    def _holds(self, context: LaunchContext) -> bool:
        return evaluate_condition_expression(context, self.__predicate_expression) is self._wanted

    def describe(self) -> str:
        """Return a description for people."""
        return f"{type(self).__name__}({' + '.join(one.describe() for one in self.__predicate_expression)})"


class UnlessCondition(IfCondition):
    """Holds where a text is `false` or `0`."""

    _wanted = False
