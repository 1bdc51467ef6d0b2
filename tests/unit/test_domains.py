"""ROS domains that commands and rigs take: each is given to one at a time, and nobody's nodes wait in it."""

from __future__ import annotations

import weakref

import pytest

from vipa_sim.nodes import launched_graph
from vipa_sim.nodes.launched_graph import GraphError, free_domain


def test_a_domain_is_given_to_one_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    given = free_domain()
    monkeypatch.setattr(launched_graph, "FIRST_DOMAIN", given)
    monkeypatch.setattr(launched_graph, "LAST_DOMAIN", given)
    with pytest.raises(GraphError, match=f"no free ROS domain between {given} and {given}"):
        free_domain()
    launched_graph._given.pop()
    assert free_domain() == given


def test_what_awaits_the_garbage_collector_is_ended_first() -> None:
    class Node:
        def __init__(self) -> None:
            self.itself = self

    seen = weakref.ref(Node())
    assert seen() is not None
    free_domain()
    assert seen() is None
