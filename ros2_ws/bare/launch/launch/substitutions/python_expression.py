"""Python expressions, and the comparisons and logic that need none."""

from __future__ import annotations

import importlib
import math
from collections.abc import Iterable
from typing import Any

from ..conditions.evaluate_condition_expression import evaluate_condition_expression
from ..launch_context import LaunchContext
from ..some_substitutions_type import SomeSubstitutionsType
from ..substitution import Substitution
from ..utilities import normalize_to_list_of_substitutions, perform_substitutions


class PythonExpression(Substitution):
    """What a Python expression made of text and substitutions evaluates to, as text.

    The modules named are at hand by name, the content of `math` directly too. Substitutions enter
    as they are: text needs quotes around them in the expression.
    """

    def __init__(self, expression: SomeSubstitutionsType, python_modules: SomeSubstitutionsType = ("math",)) -> None:
        self.__expression = normalize_to_list_of_substitutions(expression)
        self.__python_modules = normalize_to_list_of_substitutions(python_modules)

    @property
    def expression(self) -> list[Substitution]:
        """The expression."""
        return self.__expression

    @property
    def python_modules(self) -> list[Substitution]:
        """The modules it may use."""
        return self.__python_modules

    def describe(self) -> str:
        """Return a description for people."""
        modules = ", ".join(one.describe() for one in self.python_modules)
        return f"PythonExpr({' + '.join(one.describe() for one in self.expression)}, [{modules}])"

    def perform(self, context: LaunchContext) -> str:
        """Return the value as text; raises what the expression raises."""
        names: dict[str, Any] = {}
        for module_name in (context.perform_substitution(one) for one in self.python_modules):
            module = importlib.import_module(module_name)
            if module_name == "math":
                names.update(vars(module))
            names[module_name] = module
        # A launch file is code already: evaluating its expressions gives it nothing it has not got.
        return str(eval(perform_substitutions(context, self.expression), {}, names))


class EqualsSubstitution(Substitution):
    """`true` if two texts are equal, else `false`; numbers and bools compare by value."""

    _negated = False

    def __init__(self, left: Any, right: Any) -> None:
        self.__sides = [_as_substitutions(left), _as_substitutions(right)]

    def describe(self) -> str:
        """Return a description for people."""
        left, right = (" + ".join(one.describe() for one in side) for side in self.__sides)
        return f"{type(self).__name__}('{left}' '{right}')"

    def perform(self, context: LaunchContext) -> str:
        """Return `true` or `false`."""
        left, right = (perform_substitutions(context, side) for side in self.__sides)
        return str(_equal(left, right) != self._negated).lower()


class NotEqualsSubstitution(EqualsSubstitution):
    """`true` if two texts differ, else `false`."""

    _negated = True


class NotSubstitution(Substitution):
    """`true` for a false condition, `false` for a true one."""

    def __init__(self, value: SomeSubstitutionsType) -> None:
        self.__value = normalize_to_list_of_substitutions(value)

    def describe(self) -> str:
        """Return a description for people."""
        return f"NotSubstitution({' + '.join(one.describe() for one in self.__value)})"

    def perform(self, context: LaunchContext) -> str:
        """Return `true` or `false`; InvalidConditionExpressionError if the value is no condition."""
        return str(not evaluate_condition_expression(context, self.__value)).lower()


class _LogicSubstitution(Substitution):
    def __init__(self, left: SomeSubstitutionsType, right: SomeSubstitutionsType) -> None:
        self.__sides = [normalize_to_list_of_substitutions(left), normalize_to_list_of_substitutions(right)]

    def describe(self) -> str:
        """Return a description for people."""
        left, right = (" + ".join(one.describe() for one in side) for side in self.__sides)
        return f"{type(self).__name__}({left} {right})"

    def perform(self, context: LaunchContext) -> str:
        """Return `true` or `false`; InvalidConditionExpressionError if a side is no condition."""
        left, right = (evaluate_condition_expression(context, side) for side in self.__sides)
        return str(self._combine(left, right)).lower()

    def _combine(self, left: bool, right: bool) -> bool:
        raise NotImplementedError


class AndSubstitution(_LogicSubstitution):
    """`true` if both conditions hold."""

    def _combine(self, left: bool, right: bool) -> bool:
        return left and right


class OrSubstitution(_LogicSubstitution):
    """`true` if either condition holds."""

    def _combine(self, left: bool, right: bool) -> bool:
        return left or right


class IfElseSubstitution(Substitution):
    """One text if a condition holds, another if not."""

    def __init__(
        self,
        condition: SomeSubstitutionsType,
        if_value: SomeSubstitutionsType = "",
        else_value: SomeSubstitutionsType = "",
    ) -> None:
        self.__condition = normalize_to_list_of_substitutions(condition)
        self.__values = {
            True: normalize_to_list_of_substitutions(if_value),
            False: normalize_to_list_of_substitutions(else_value),
        }

    def describe(self) -> str:
        """Return a description for people."""
        parts = (self.__condition, self.__values[True], self.__values[False])
        return f"IfElseSubstitution({', '.join(' + '.join(one.describe() for one in part) for part in parts)})"

    def perform(self, context: LaunchContext) -> str:
        """Return the text that the condition picks."""
        return perform_substitutions(context, self.__values[evaluate_condition_expression(context, self.__condition)])


def _as_substitutions(value: Any) -> list[Substitution]:
    if value is None:
        return normalize_to_list_of_substitutions("")
    if isinstance(value, bool):
        return normalize_to_list_of_substitutions(str(value).lower())
    if isinstance(value, (str, Substitution)) or not isinstance(value, Iterable):
        value = [value]
    return normalize_to_list_of_substitutions(
        [item if isinstance(item, (str, Substitution)) else str(item) for item in value]
    )


def _equal(left: str, right: str) -> bool:
    truths = {"true": True, "1": True, "false": False, "0": False}
    if left.lower() in truths and right.lower() in truths:
        return truths[left.lower()] == truths[right.lower()]
    try:
        return math.isclose(float(left), float(right))
    except ValueError:
        return left == right
