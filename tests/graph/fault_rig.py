"""Policy and arm node between fakes that can be broken in every way of the table of faults, on a clock of their own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import rclpy
from builtin_interfaces.msg import Time
from geometry_msgs.msg import PoseStamped
from graph.fakes import BASE, CAMERA_PERIOD, LATCHED, FakePolicy, World
from graph.node_rig import UNSUPERVISED
from rclpy.executors import Executor
from rclpy.experimental.events_executor import EventsExecutor
from rclpy.node import Node
from rclpy.parameter import Parameter
from std_srvs.srv import Trigger

from vipa_msgs.msg import DriverStatus, ExecutionState
from vipa_policy.nodes.arm_node import ArmNode
from vipa_policy.nodes.arm_parameters import limits_from
from vipa_policy.nodes.conversions import matrix_from_pose, pose_stamped, seconds_of
from vipa_policy.nodes.managed import ManagedNode
from vipa_policy.nodes.parameters import values_of
from vipa_policy.nodes.policy_node import PolicyNode
from vipa_sim.faults.judge import MOVING, Outcome, judge
from vipa_sim.faults.record import Record, TrueTime
from vipa_sim.faults.table import Fault
from vipa_sim.nodes.launched_graph import free_domain

PERIOD = 0.01
WORDS = "reach the red block"
# Stamp of a rival's targets.
RIVAL = Time(nanosec=1)
# Steps of the clock: until the arm is well on its way, and longest until it moves again.
UNDER_WAY, LONGEST = 40, 300


class FaultWorld(World):
    """The fakes' world with a living camera, which can be frozen, a driver that can refuse, and a lossy network."""

    def __init__(self, executor: Executor) -> None:
        super().__init__(executor)
        self.steps = 1000  # there is room for a clock to jump back
        self._generator = np.random.default_rng(1)
        self._seen: dict[str, np.ndarray] = {}
        self.lossy = 0.0  # share of each step's and each picture's parts that get lost
        self._driver = self.create_publisher(DriverStatus, "driver/status", LATCHED)
        self._recovery = self.create_service(Trigger, "driver/recover", self._recover)
        self.true_time = TrueTime()
        self.record = Record(self.true_time, PERIOD)

    def _pictures(self, plain: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        if "frozen" not in self.broken or not self._seen:
            colour, depth = plain["colour"], plain["depth"]
            noise = self._generator.standard_normal(depth.shape).astype(np.float32)
            self._seen = {"colour": colour + (noise > 0.0)[..., None].astype(np.uint8), "depth": depth + 0.001 * noise}
        return self._seen

    def _step(self) -> None:
        time = self.true_time
        time.now = (self.steps + 1) * PERIOD
        if self.clock_ahead * 1e-9 != time.offset:
            time.jump(self.clock_ahead * 1e-9)
        lost = {what for what in ("colour", "depth", "info", "tf", "joints") if self._generator.random() < self.lossy}
        self.broken, kept = self.broken | lost, self.broken
        super()._step()
        self.broken = kept
        self.record.take_truth(self.time, self.base_from_tip)

    def _on_target(self, message: PoseStamped) -> None:
        if message.header.stamp == RIVAL:
            return
        self.record.take_setpoint(seconds_of(message.header.stamp), matrix_from_pose(message.pose))
        if "driver" not in self.broken:
            super()._on_target(message)

    def driver_is(self, state: int) -> None:
        """Report a state of the driver; in any but READY it takes no targets."""
        (self.broken.discard if state == DriverStatus.READY else self.broken.add)("driver")
        self._driver.publish(DriverStatus(state=state, reason="the controller rejected a target"))

    def _recover(self, request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        self.driver_is(DriverStatus.READY)
        response.success = True
        return response

    def ask(self, name: str) -> bool:
        """Call a service of the arm node; returns whether it did so."""
        client = self.create_client(Trigger, name)
        assert self.wait(client.service_is_ready)
        answer = client.call_async(Trigger.Request())
        assert self.wait(answer.done)
        return bool(answer.result().success)

    def create_node_beside(self, name: str) -> Node:
        """Make a node that is served with this one."""
        node = rclpy.create_node(name)
        self.executor_used.add_node(node)
        return node

    def remove_node_beside(self, node: Node) -> None:
        """End such a node, and wait until nobody sees it any more."""
        self.executor_used.remove_node(node)
        node.destroy_node()
        assert self.wait(lambda: self.count_publishers("/target_pose") == 1)

    def rival_pose(self) -> PoseStamped:
        """Where the arm is now, as a target of somebody else."""
        return pose_stamped(self.base_from_tip, BASE, RIVAL)

    def hear_state(self, message: ExecutionState) -> None:
        """Keep what the arm node tells."""
        self.states.append(message)
        self.record.take_moment(seconds_of(message.header.stamp), message.state, message.stopped, message.hold_reason)


class FaultRig:
    """The nodes under test, each of which can be ended and made again."""

    def __init__(self, executor: Executor) -> None:
        self.executor = executor
        self.world = FaultWorld(executor)
        self.world.create_subscription(ExecutionState, "arm/execution_state", self.world.hear_state, 50)
        executor.add_node(self.world)
        self.policy = FakePolicy()
        self.nodes: dict[str, ManagedNode] = {}
        self._makers: dict[str, Callable[..., ManagedNode]] = {
            "policy": lambda **options: PolicyNode(lambda wanted: self.policy, **options),
            "arm": ArmNode,
        }

    def start(self, name: str) -> None:
        """Make a node and wait until it hears."""
        overrides = [Parameter(key, value=value) for key, value in {"use_sim_time": True, **UNSUPERVISED}.items()]
        node = self.nodes[name] = self._makers[name](parameter_overrides=overrides)
        self.executor.add_node(node)
        node.start()
        self.world.followers = list(self.nodes.values())
        count = len(self.nodes)
        assert self.world.wait(lambda: self.world.count_subscribers("/clock") == count)
        assert self.world.wait(lambda: self.world.count_subscribers("/instruction") == count)
        self.world.settle()

    def end(self, name: str) -> None:
        """Take a node away, as a kill would: without a word."""
        node = self.nodes.pop(name)
        self.world.followers = list(self.nodes.values())
        self.executor.remove_node(node)
        node.destroy_node()
        count = len(self.nodes)
        assert self.world.wait(lambda: self.world.count_subscribers("/instruction") == count)

    def hang(self, name: str) -> None:
        """Serve a node no more."""
        node = self.nodes[name]
        self.world.followers = [other for other in self.nodes.values() if other is not node]
        self.executor.remove_node(node)

    def go_on(self, name: str) -> None:
        """Serve it again."""
        self.executor.add_node(self.nodes[name])
        self.world.followers = list(self.nodes.values())

    def course(self, fault: Fault, strike: Callable[[], Any], lift: Callable[[], Any]) -> Outcome:
        """Set the arm in motion, strike right after a picture, lift, let it recover; returns what it came to."""
        world, record = self.world, self.world.record
        values = values_of(self.nodes["arm"], self.nodes["arm"].declarations)
        world.run(30)
        world.say(WORDS)
        assert world.run(400, until=lambda: record.moving_for(0.1) > 0.3), world.health
        world.run(CAMERA_PERIOD, until=lambda: world.steps % CAMERA_PERIOD == 0)
        struck = world.true_time.now
        strike()
        world.run(round(fault.lasts / PERIOD))
        lift()
        lifted = world.true_time.now
        if fault.operator:
            world.ask("arm/recover")
            assert world.run(50, until=lambda: world.ask("arm/arm"))
            world.ask("arm/resume")
        if fault.words_again:
            world.run(5)
            world.say(WORDS)
        world.run(LONGEST, until=lambda: record.moves_after(lifted, MOVING if fault.holds else 0.0))
        world.run(20)
        return judge(fault, record.recording(struck, lifted), limits_from(values))


@contextmanager
def fault_rig() -> Iterator[FaultRig]:
    """Start both nodes; take down whatever is left of them at the end."""
    rclpy.init(domain_id=free_domain())
    executor = EventsExecutor()
    made = FaultRig(executor)
    try:
        made.start("policy")
        made.start("arm")
        yield made
    finally:
        for node in made.nodes.values():
            node.begin_finish("test over")
        executor.shutdown()
        for node in (*made.nodes.values(), made.world):
            node.destroy_node()
        rclpy.try_shutdown()
