"""A launched graph with a cell in it and a client at its front: what the evaluation and the demo run in.

Guarded by tests/graph/test_evaluation_graph.py.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import rclpy
from rclpy.experimental.events_executor import EventsExecutor
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions

from vipa_policy.nodes.lifetime import Lifetime
from vipa_sim.nodes.cell_client import CellClient
from vipa_sim.nodes.launched_graph import GraphError, LaunchedGraph


@contextmanager
def cell_session(
    name: str, arguments: Sequence[str], log: Path, lifetime: Lifetime
) -> Iterator[tuple[Node, CellClient]]:
    """Launch the graph with arguments, its output in log; yields a node called name and a client that uses it.

    The client's waits raise GraphError where the graph ends early or the lifetime does. Everything is stopped at exit.
    """
    with LaunchedGraph("vipa_bringup", "franka.launch.py", arguments, log) as graph:
        rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
        node = rclpy.create_node(name)
        executor = EventsExecutor()
        executor.add_node(node)

        def check() -> None:
            if lifetime.ended:
                raise GraphError(lifetime.reason)
            graph.check()

        try:
            yield node, CellClient(node, executor, check)
        finally:
            executor.remove_node(node)
            executor.shutdown()
            node.destroy_node()
            rclpy.try_shutdown()
