"""franky-sim's robot, the franka node that drives it, and who looks on: what tests of the two share."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import PoseStamped, WrenchStamped
from graph.cell_graph import LATCHED, NodeProcess, Observer
from rclpy.action import ActionClient
from rclpy.publisher import Publisher
from sensor_msgs.msg import JointState
from std_srvs.srv import Trigger
from support.franka_robot import SimulatedRobot
from tf2_msgs.msg import TFMessage

from vipa_msgs.action import MoveGripper
from vipa_msgs.msg import DriverStatus
from vipa_policy.control.kinematics import Kinematics
from vipa_policy.franka.description import fr3_urdf
from vipa_policy.franka.follower import FollowerSettings
from vipa_policy.franka.limits import FR3, JOINT_NAMES
from vipa_policy.nodes.conversions import pose_stamped, stamp_from_nanoseconds
from vipa_sim.nodes.launched_graph import free_domain

BASE, TIP = "fr3_link0", "fr3_hand_tcp"
PERIOD = 0.01  # s between targets
# m: of where the tip was last sent, how far it may rest off.
NEAR = 0.003
TIMEOUT = 0.4  # s: a busy machine must not tear the stream
KINEMATICS = Kinematics(fr3_urdf(), BASE, TIP, JOINT_NAMES)


class Stage:
    """Robot, node, and who looks on."""

    def __init__(self, robot: SimulatedRobot, node: NodeProcess, observer: Observer, domain: int) -> None:
        self.robot, self.node, self.observer, self.domain = robot, node, observer, domain
        self.joints: list[JointState] = observer.listen(JointState, "joint_states")
        self.transforms: list[TFMessage] = observer.listen(TFMessage, "/tf")
        self.statuses: list[DriverStatus] = observer.listen(DriverStatus, "driver/status", LATCHED)
        self.wrenches: list[WrenchStamped] = observer.listen(WrenchStamped, "driver/external_wrench")
        self.health: list[DiagnosticArray] = observer.listen(DiagnosticArray, "diagnostics")
        self._gripper = ActionClient(observer.node, MoveGripper, "gripper/move")

    @cached_property
    def _targets(self) -> Publisher:
        """Made where it is needed: an arm node leads no robot that somebody else leads, too."""
        made = self.observer.node.create_publisher(PoseStamped, "target_pose", 1)
        self.wait(lambda: made.get_subscription_count() > 0, "a subscriber's ear")
        return made

    def ready(self) -> bool:
        return bool(self.statuses) and self.statuses[-1].state == DriverStatus.READY

    def wait(self, condition: Any, what: str, patience: float = 150.0) -> None:
        try:
            self.observer.wait(condition, what, patience)
        except AssertionError as error:
            said = self.statuses[-1].reason if self.statuses else "nothing"
            raise AssertionError(f"{error}; status: {said}; log:\n{self.node.text()[-3000:]}") from None

    def settle(self) -> None:
        """Wait until the driver is ready and knows the fingers."""
        self.wait(self.ready, "a driver that is ready")
        self.wait(lambda: bool(self.joints) and len(self.joints[-1].name) == 9, "the fingers")

    def tip(self) -> np.ndarray:
        return KINEMATICS.forward(np.array(self.joints[-1].position[:7]))

    def publish(self, pose: np.ndarray, frame: str = BASE, age: float = 0.0) -> None:
        stamp = self.observer.node.get_clock().now().nanoseconds - round(age * 1e9)
        self._targets.publish(pose_stamped(pose, frame, stamp_from_nanoseconds(stamp)))

    def stream(self, start: np.ndarray, way: np.ndarray, seconds: float) -> None:
        """Lead the tip from a pose (4, 4) along a straight way (3,) in m, from and to rest, and hold it there."""
        pose = start.copy()
        began = time.monotonic()
        while (elapsed := time.monotonic() - began) < seconds + 0.3:
            share = min(elapsed / seconds, 1.0)
            pose[:3, 3] = start[:3, 3] + way * (share**3 * (10.0 - 15.0 * share + 6.0 * share * share))
            self.publish(pose)
            self.observer.executor.spin_once(timeout_sec=0.0)
            time.sleep(max(0.0, PERIOD - (time.monotonic() - began - elapsed)))

    def lead(self, way: np.ndarray, seconds: float) -> None:
        """Lead the tip by a way (3,) in m; where a busy machine tears the stream, from where the arm stopped, anew."""
        start = self.tip()
        goal = start[:3, 3] + way
        for _ in range(6):
            here = start.copy()
            here[:3, 3] = self.tip()[:3, 3]
            self.stream(here, goal - here[:3, 3], seconds)
            self.rest()
            if np.linalg.norm(self.tip()[:3, 3] - goal) < NEAR:
                return
        raise AssertionError(f"the tip is at {self.tip()[:3, 3]}, was led to {goal}; log:\n{self.node.text()[-3000:]}")

    def rest(self) -> None:
        """Wait until the driver says that it stands, as its diagnostics have it."""
        count = len(self.health) + 1  # the next may be under way already
        self.wait(
            lambda: any(self.value(array, "motion") == "standing" for array in self.health[count:]),
            "an arm that stands",
        )

    @staticmethod
    def value(array: DiagnosticArray, key: str) -> str:
        return next((value.value for item in array.status for value in item.values if value.key == key), "")

    def recover(self) -> Trigger.Response:
        response: Trigger.Response = self.observer.call(Trigger, "driver/recover", Trigger.Request())
        return response

    def move_gripper(self, width: float, force: float = 0.0) -> Any:
        self.wait(self._gripper.server_is_ready, "gripper/move")
        handle = self.observer.complete(
            self._gripper.send_goal_async(MoveGripper.Goal(width=width, force=force)), "an answer to a gripper goal"
        )
        return (
            self.observer.complete(handle.get_result_async(), "the end of a gripper goal") if handle.accepted else None
        )


def assert_within_limits(stage: Stage) -> None:
    """Divided differences of every motion's commands, over the robot's own time, within what the driver may use."""
    times, commands = stage.robot.commands()
    assert len(times) > 20
    settings = FollowerSettings()
    for motion in np.split(np.arange(len(times)), np.flatnonzero(np.diff(times) > 20.0) + 1):
        seconds, places = 0.001 * times[motion], commands[motion]
        lags = 0.001 * np.arange(1, 4)
        # It stood before and after.
        values = np.vstack([np.tile(places[0], (3, 1)), places])
        stamps = np.concatenate([seconds[0] - lags[::-1], seconds])
        for order, name in enumerate(("velocity", "acceleration", "jerk"), start=1):
            # Mean of a derivative over its points, however unevenly they lie (Newton).
            span = stamps[order:] - stamps[:-order]
            values = np.diff(values, axis=0) * order / span[:, None]
            for joint, limit in enumerate(FR3):
                allowed = getattr(limit, name) * getattr(settings, name)
                assert np.abs(values[:, joint]).max(initial=0.0) <= allowed * 1.001, (name, joint)


@contextmanager
def franka_stage(folder: Path) -> Iterator[Stage]:
    """Start robot and node in a domain of their own, wait until they are ready, and take them down again."""
    domain = free_domain()
    with SimulatedRobot(folder) as robot, Observer(domain) as observer:
        parameters = {"robot_ip": robot.address, "world_frame": "world", "retry": 0.2, "timeout": TIMEOUT}
        node = NodeProcess("vipa_policy.nodes.franka_node", dict(parameters), domain, folder / "node.log")
        try:
            made = Stage(robot, node, observer, domain)
            made.settle()
            yield made
        finally:
            assert node.stop() == 0, node.text()
