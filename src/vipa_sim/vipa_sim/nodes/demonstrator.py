"""Scripted demonstrations through the ROS graph: lay the table, say the words, have it recorded, name the outcome.

It works on a graph in which the scripted policy drives the arm, so that demonstrations pass through the same pictures,
transforms, limits and controller as a policy's motion does: ``ros2 launch vipa_bringup record_cell.launch.py``.
Guarded by tests/graph/test_evaluation_graph.py.
"""

from __future__ import annotations

import sys

import numpy as np
import rclpy
from rcl_interfaces.msg import IntegerRange, ParameterDescriptor
from rclpy.exceptions import ParameterException
from rclpy.experimental.events_executor import EventsExecutor
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions

from vipa_msgs.srv import EndEpisode, StartEpisode
from vipa_policy.nodes.lifetime import Lifetime
from vipa_sim.errands import Errand, choose_errands
from vipa_sim.evaluation import TIME_LIMITS
from vipa_sim.experts import TASKS
from vipa_sim.nodes.cell_client import CellClient, objects_of
from vipa_sim.nodes.launched_graph import GraphError

# Loading and discovery of the recorder on a busy machine.
PATIENCE = 60.0


class Demonstrator:
    """Runs episodes one after the other."""

    def __init__(self, node: Node, client: CellClient) -> None:
        """Declare the parameters on ``node``. Raises ValueError on a task that there is none of."""

        def declare(name: str, default: object, description: str, low: int = 0, high: int = 2**31) -> object:
            descriptor = ParameterDescriptor(description=description, read_only=True)
            if isinstance(default, int) and not isinstance(default, bool):
                descriptor.integer_range = [IntegerRange(from_value=low, to_value=high, step=1)]
            return node.declare_parameter(name, default, descriptor).value

        self._node = node
        self._client = client
        self._episodes = int(str(declare("episodes", 20, "how many to demonstrate", 1)))
        self._seed = int(str(declare("seed", 0, "of the first layout; the others count up from it")))
        self._held_out = bool(declare("held_out", False, "take layouts from the split that training never sees"))
        self._record = bool(declare("record", True, "have a recorder record; without, the arm just does it"))
        self._tasks = str(declare("tasks", "reach", "of reach, pick, place, with commas between; taken in turn")).split(
            ","
        )
        self._tasks = [task.strip() for task in self._tasks]
        if not all(task in TASKS for task in self._tasks):
            raise ValueError(f"expected tasks of {', '.join(TASKS)} with commas between, got {self._tasks}")
        self._start = node.create_client(StartEpisode, "recorder/start_episode")
        self._end = node.create_client(EndEpisode, "recorder/end_episode")

    def run(self) -> int:
        """Run all episodes; returns how many succeeded. Raises GraphError where the graph fails."""
        client, logger = self._client, self._node.get_logger()
        client.wait_until_ready()
        if self._record:
            client.wait_for(
                lambda: self._start.service_is_ready() and self._end.service_is_ready(),
                "the recorder; start one, or set record:=false",
                PATIENCE,
            )
        succeeded, words = 0, ""
        for episode in range(self._episodes):
            task = self._tasks[episode % len(self._tasks)]
            client.stop()
            state = client.reset(self._seed + episode, self._held_out)
            blocks, bowls = objects_of(state)
            generator = np.random.default_rng([self._seed + episode, 5])
            errand = choose_errands(task, blocks, bowls, generator, words)[0]
            words = errand.words
            outcome = self._demonstrate(errand)
            succeeded += outcome
            logger.info(
                f"episode {episode + 1}/{self._episodes}: '{errand.words}' {'succeeded' if outcome else 'failed'}; "
                f"real-time factor {client.real_time_factor:.2f}"
            )
        client.stop()
        return succeeded

    def _demonstrate(self, errand: Errand) -> bool:
        client = self._client
        if self._record:
            request = StartEpisode.Request(instruction=errand.words, demonstrator="scripted expert")
            started = client.call(self._start, request)
            if not started.success:
                raise GraphError(f"the recorder refused to start an episode: {started.message}")
        limit = TIME_LIMITS[errand.task]
        trial = client.start_trial(errand.task, errand.target, errand.destination, limit)
        client.instruct(errand.words)
        client.finish_trial(trial, limit, errand.words)
        if self._record:
            note = trial.refusal or f"tool centre {1000.0 * trial.error:.1f} mm from {errand.target} at the end"
            outcome = "success" if trial.succeeded else "failure"
            ended = client.call(self._end, EndEpisode.Request(outcome=outcome, note=note))
            if not ended.success:
                raise GraphError(f"the recorder could not end the episode: {ended.message}")
        return trial.succeeded


def main(arguments: list[str] | None = None) -> int:
    """Demonstrate; returns 0 where every episode succeeded, 1 where not or where the graph failed."""
    lifetime = Lifetime()
    rclpy.init(args=arguments, signal_handler_options=SignalHandlerOptions.NO)
    node = rclpy.create_node("demonstrator")
    executor = EventsExecutor()
    executor.add_node(node)

    def check() -> None:
        if lifetime.ended:
            raise GraphError(lifetime.reason)

    try:
        client = CellClient(node, executor, check)
        demonstrator = Demonstrator(node, client)
        episodes = node.get_parameter("episodes").value
        succeeded = demonstrator.run()
        node.get_logger().info(f"done: {succeeded} of {episodes} episodes succeeded")
        return 0 if succeeded == episodes else 1
    except (GraphError, ParameterException, ValueError) as error:
        if lifetime.reason:
            node.get_logger().info(f"stopping: {error}")
            return 0
        node.get_logger().error(str(error))
        return 1
    finally:
        executor.remove_node(node)
        executor.shutdown()
        node.destroy_node()
        rclpy.try_shutdown()


if __name__ == "__main__":
    sys.exit(main())
