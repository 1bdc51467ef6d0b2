"""Which names of given packages a Python file uses, and whether an implementation has them.

A use is an import, an attribute chain on something imported, a call's arguments, or an attribute of a variable that
was made by, or is annotated with, an imported class.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import textwrap
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Reference:
    """A name in a package: module, attributes on the way, whether they go through an instance of a class."""

    module: str
    path: tuple[str, ...] = ()
    instance: bool = False

    def __str__(self) -> str:
        return ".".join((self.module, *self.path))

    def attribute(self, name: str, instance: bool = False) -> Reference:
        return Reference(self.module, (*self.path, name), instance)


@dataclass(frozen=True)
class Use:
    """A reference in a file, with the arguments where it is called."""

    line: int
    reference: Reference
    called: bool = False
    positional: int = 0
    keywords: tuple[str, ...] = ()


def uses_in(source: str, packages: Iterable[str]) -> list[Use]:
    """Return the uses of ``packages`` in the source of a file."""
    tree = ast.parse(source)
    collector = _Collector(frozenset(packages))
    collector.bind_imports(tree)
    collector.bind_instances(tree)
    collector.visit(tree)
    return collector.uses


def problem_with(use: Use) -> str | None:
    """Return what the importable implementation lacks of a use, or None."""
    try:
        found = resolve(use.reference)
    except (ImportError, AttributeError) as error:
        return f"{use.reference} is missing ({error})"
    if not use.called or not callable(found):
        return None
    names, any_keyword, most_positional = accepted_arguments(found, use.reference.instance)
    unknown = [keyword for keyword in use.keywords if keyword not in names]
    if unknown and not any_keyword:
        return f"{use.reference} takes no argument {', '.join(unknown)}"
    if most_positional is not None and use.positional > most_positional:
        return f"{use.reference} takes {most_positional} positional arguments, not {use.positional}"
    return None


def resolve(reference: Reference) -> Any:
    """Return what a reference names. Raises ImportError or AttributeError."""
    found: Any = importlib.import_module(reference.module)
    module: str | None = reference.module
    for position, name in enumerate(reference.path):
        last_of_instance = reference.instance and position == len(reference.path) - 1
        if last_of_instance and not hasattr(found, name):
            if name in _instance_attributes(found):
                return None
            raise AttributeError(f"{found.__name__} has no {name}")
        if not hasattr(found, name) and module is not None:
            importlib.import_module(f"{module}.{name}")
        found = getattr(found, name)
        module = f"{module}.{name}" if module is not None and inspect.ismodule(found) else None
    return found


def accepted_arguments(function: Any, bound: bool = False) -> tuple[set[str], bool, int | None]:
    """Return names taken as keywords, whether any is, and how many positional arguments fit (None: any number)."""
    if not inspect.isclass(function):
        parameters = list(_signature(function))
        return _summary(parameters[1:] if bound and parameters and parameters[0].name == "self" else parameters)
    names: set[str] = set()
    most: int | None = None
    for position, owner in enumerate(cls for cls in function.__mro__ if "__init__" in vars(cls)):
        if owner in (object, BaseException, Exception):
            return names, owner is not object, (most if position else (0 if owner is object else None))
        own, any_keyword, own_most = _summary(list(_signature(vars(owner)["__init__"]))[1:])
        names |= own
        most = own_most if position == 0 else most
        if not any_keyword:
            return names, False, most
        passed_on = _passes_keywords_on(vars(owner)["__init__"])
        if not passed_on:
            return names, True, most
    return names, False, most


def _signature(function: Any) -> Iterable[inspect.Parameter]:
    try:
        return inspect.signature(function).parameters.values()
    except (TypeError, ValueError):  # something compiled, which tells nothing about its arguments
        return [
            inspect.Parameter("self", inspect.Parameter.POSITIONAL_ONLY),
            inspect.Parameter("args", inspect.Parameter.VAR_POSITIONAL),
            inspect.Parameter("kwargs", inspect.Parameter.VAR_KEYWORD),
        ]


def _summary(parameters: list[inspect.Parameter]) -> tuple[set[str], bool, int | None]:
    kinds = inspect.Parameter
    names = {p.name for p in parameters if p.kind in (kinds.POSITIONAL_OR_KEYWORD, kinds.KEYWORD_ONLY)}
    any_keyword = any(p.kind == kinds.VAR_KEYWORD for p in parameters)
    positional = sum(p.kind in (kinds.POSITIONAL_ONLY, kinds.POSITIONAL_OR_KEYWORD) for p in parameters)
    return names, any_keyword, None if any(p.kind == kinds.VAR_POSITIONAL for p in parameters) else positional


def _passes_keywords_on(function: Any) -> bool:
    """Tell whether a constructor hands its ``**kwargs`` to a base class, whose names then count."""
    for node in ast.walk(_tree_of(function)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "__init__":
            return any(keyword.arg is None for keyword in node.keywords)
    return False


def _instance_attributes(cls: type) -> set[str]:
    """Return the names that a class and its bases assign to ``self``."""
    names = set()
    for base in cls.__mro__[:-1]:
        for node in ast.walk(_tree_of(base)):
            if not isinstance(node, ast.Attribute) or not isinstance(node.ctx, ast.Store):
                continue
            if isinstance(node.value, ast.Name) and node.value.id == "self":
                names.add(node.attr)
    return names


def _tree_of(thing: Any) -> ast.AST:
    try:
        return ast.parse(textwrap.dedent(inspect.getsource(thing)))
    except (OSError, TypeError):  # built in
        return ast.Module(body=[], type_ignores=[])


class _Collector(ast.NodeVisitor):
    def __init__(self, packages: frozenset[str]) -> None:
        self._packages = packages
        self._bindings: dict[str, Reference] = {}
        self._instances: dict[str, Reference] = {}
        self.uses: list[Use] = []

    def bind_imports(self, tree: ast.AST) -> None:
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                for alias in node.names:
                    if self._is_ours(alias.name):
                        top = alias.name.split(".")[0]
                        self.uses.append(Use(node.lineno, Reference(alias.name)))
                        self._bindings[alias.asname or top] = Reference(alias.name if alias.asname else top)
            elif isinstance(node, ast.ImportFrom) and node.level == 0 and self._is_ours(node.module):
                module = str(node.module)
                for alias in node.names:
                    reference = Reference(module) if alias.name == "*" else Reference(module, (alias.name,))
                    self.uses.append(Use(node.lineno, reference))
                    self._bindings[alias.asname or alias.name] = reference

    def _is_ours(self, module: str | None) -> bool:
        return module is not None and module.split(".")[0] in self._packages

    def bind_instances(self, tree: ast.AST) -> None:
        """Learn which variables hold an imported class; one that holds other things as well is left alone."""
        mixed = set()
        for name, made_by in _assignments(tree):
            reference = self._class_of(made_by)
            if reference is None or self._instances.get(name, reference) != reference:
                mixed.add(name)
            else:
                self._instances[name] = reference
        for name in mixed | set(self._bindings):
            self._instances.pop(name, None)

    def visit_Call(self, node: ast.Call) -> None:
        reference = self._reference(node.func)
        if reference is not None:
            keywords = tuple(keyword.arg for keyword in node.keywords if keyword.arg is not None)
            starred = any(isinstance(argument, ast.Starred) for argument in node.args)
            self.uses.append(Use(node.lineno, reference, True, 0 if starred else len(node.args), keywords))
        self.generic_visit(node)

    def visit_Attribute(self, node: ast.Attribute) -> None:
        reference = self._reference(node)
        if reference is not None and isinstance(node.ctx, ast.Load):
            self.uses.append(Use(node.lineno, reference))
        self.generic_visit(node)

    def _class_of(self, node: ast.expr | None) -> Reference | None:
        """Return the class that an expression makes an instance of, or that an annotation names."""
        if isinstance(node, ast.Call):
            node = node.func
        elif isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr):
            return self._class_of(node.left) or self._class_of(node.right)
        reference = None if node is None else self._reference(node)
        if reference is None:
            return None
        try:
            return reference if inspect.isclass(resolve(reference)) else None
        except (ImportError, AttributeError):  # reported where it is used
            return None

    def _reference(self, node: ast.expr) -> Reference | None:
        """Return what a name or a chain of attributes refers to in one of the packages."""
        if isinstance(node, ast.Name):
            return self._bindings.get(node.id)
        if not isinstance(node, ast.Attribute):
            return None
        holder = node.value
        name = holder.id if isinstance(holder, ast.Name) else holder.attr if isinstance(holder, ast.Attribute) else None
        if name in self._instances:
            return self._instances[name].attribute(node.attr, instance=True)
        reference = self._reference(holder)
        # What an attribute of an instance holds is not known here.
        return None if reference is None or reference.instance else reference.attribute(node.attr)


def _assignments(tree: ast.AST) -> Iterator[tuple[str, ast.expr | None]]:
    """Give (last part of the variable's name, expression or annotation) for every assignment and parameter."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign):
            for target in node.targets:
                yield from ((name, node.value) for name in _names(target))
        elif isinstance(node, ast.AnnAssign):
            yield from ((name, node.annotation) for name in _names(node.target))
        elif isinstance(node, ast.arg):
            yield node.arg, node.annotation
        elif isinstance(node, (ast.For, ast.comprehension)):
            yield from ((name, None) for name in _names(node.target))
        elif isinstance(node, ast.withitem) and node.optional_vars is not None:
            yield from ((name, None) for name in _names(node.optional_vars))


def _names(target: ast.expr) -> list[str]:
    if isinstance(target, ast.Name):
        return [target.id]
    if isinstance(target, ast.Attribute):
        return [target.attr]
    if isinstance(target, (ast.Tuple, ast.List)):
        return [name for element in target.elts for name in _names(element)]
    return []
