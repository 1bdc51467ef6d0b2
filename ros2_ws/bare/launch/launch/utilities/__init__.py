"""Small helpers that launch and launch_ros share."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

from ..launch_context import LaunchContext
from ..launch_description_entity import LaunchDescriptionEntity
from ..some_substitutions_type import SomeSubstitutionsType
from ..substitution import Substitution

__all__ = [
    "ensure_argument_type",
    "normalize_to_list_of_entities",
    "normalize_to_list_of_substitutions",
    "perform_substitutions",
    "visit_all_entities_and_collect_futures",
]


def ensure_argument_type(argument: Any, types: Any, argument_name: str, caller: str | None = None) -> None:
    """Raise TypeError unless the argument is of one of the types."""
    wanted = tuple(types) if isinstance(types, Iterable) else (types,)
    if not isinstance(argument, wanted):
        where = f" for {caller}" if caller else ""
        names = ", ".join(one.__name__ for one in wanted)
        raise TypeError(f"argument '{argument_name}'{where} must be one of: {names}; got {argument!r}")


def normalize_to_list_of_substitutions(subs: SomeSubstitutionsType) -> list[Substitution]:
    """Return text, a substitution or a sequence of both as a list of substitutions.

    Raises:
        TypeError: if something in it is neither text nor a substitution.
    """
    from ..substitutions.text_substitution import TextSubstitution

    if isinstance(subs, str):
        return [TextSubstitution(text=subs)]
    if isinstance(subs, Substitution):
        return [subs]
    if not isinstance(subs, Iterable):
        raise TypeError(f"expected text, a Substitution or a sequence of them, got {subs!r} of {type(subs).__name__}")
    found: list[Substitution] = []
    for item in subs:
        if isinstance(item, str):
            found.append(TextSubstitution(text=item))
        elif isinstance(item, Substitution):
            found.append(item)
        else:
            raise TypeError(f"expected text or a Substitution, got {item!r} of {type(item).__name__}")
    return found


def perform_substitutions(context: LaunchContext, subs: Iterable[Substitution]) -> str:
    """Return the substitutions' texts, joined."""
    return "".join(context.perform_substitution(one) for one in subs)


def normalize_to_list_of_entities(entities: Iterable[Any]) -> list[LaunchDescriptionEntity]:
    """Return entities and nested sequences of entities as one flat list."""
    flat: list[LaunchDescriptionEntity] = []
    for entity in entities:
        if isinstance(entity, Iterable):
            flat.extend(normalize_to_list_of_entities(entity))
        else:
            flat.append(entity)
    return flat


def visit_all_entities_and_collect_futures(
    entity: LaunchDescriptionEntity, context: LaunchContext
) -> list[tuple[LaunchDescriptionEntity, asyncio.Future[Any]]]:
    """Visit an entity and all it yields, depth first; return those with a future to wait for.

    Raises:
        TypeError: if a visit yields something that is no entity.
    """
    context.extend_globals({"current_entity": entity})
    found: list[tuple[LaunchDescriptionEntity, asyncio.Future[Any]]] = []
    yielded = entity.visit(context)
    if yielded is not None:
        for sub_entity in [yielded] if isinstance(yielded, LaunchDescriptionEntity) else yielded:
            if not isinstance(sub_entity, LaunchDescriptionEntity):
                raise TypeError(f"{entity.describe()} must yield actions, it yielded {sub_entity!r}")
            found.extend(visit_all_entities_and_collect_futures(sub_entity, context))
    future = entity.get_asyncio_future()
    if future is not None:
        found.append((entity, future))
    return found
