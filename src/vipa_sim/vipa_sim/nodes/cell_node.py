"""The simulated cell as a ROS 2 node: what drivers of a Franka and a RealSense would offer, and the truth beside it.

One thread runs everything: physics and pictures advance tick by tick at the pace of real time, and whatever time is
left serves messages, services and actions. Simulated time is this node's own count of ticks, published on ``/clock``;
it runs on while a policy thinks, so inference delay is charged in simulated time.
Guarded by tests/graph/test_cell_node.py.
"""

from __future__ import annotations

import sys
import time
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import rclpy
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from rcl_interfaces.msg import SetParametersResult
from rclpy.exceptions import ParameterException
from rclpy.executors import Executor
from rclpy.experimental.events_executor import EventsExecutor
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.qos import QoSProfile
from rclpy.signals import SignalHandlerOptions

from vipa_msgs.msg import CellState
from vipa_msgs.srv import ResetCell
from vipa_policy.nodes.conversions import stamp_from_nanoseconds
from vipa_policy.nodes.lifetime import Lifetime
from vipa_sim import cell as cells
from vipa_sim.calibration_board import BoardPlacement
from vipa_sim.camera import CameraConfig, NoiseConfig
from vipa_sim.frames import MovingFrames
from vipa_sim.nodes import cell_parameters
from vipa_sim.nodes.arm_interfaces import make_interfaces
from vipa_sim.nodes.cell_messages import cell_state
from vipa_sim.nodes.cell_publishers import ArmPublisher, CameraPublisher, StaticTransforms, publish_description
from vipa_sim.nodes.driver_server import DriverServer
from vipa_sim.nodes.start_checks import find_rival, stay_on_loopback
from vipa_sim.nodes.trial_server import TrialServer
from vipa_sim.pacing import NANOSECONDS, FrameSchedule, Pacer
from vipa_sim.scene import sample_layout

if TYPE_CHECKING:
    from builtin_interfaces.msg import Time

NAMESPACES = {cells.SCENE: "camera/camera", cells.WRIST: "camera/wrist"}
# Physics steps no longer than this; a tick is a whole number of them.
LONGEST_STEP = 0.002
# Callbacks served per tick where the machine is too slow to leave any time over.
SERVED_WHEN_LATE = 2
REPORT_PERIOD = 5.0
DIAGNOSTICS_PERIOD = 1.0
# Slower than this share of the pace asked for is worth a warning.
SLOW = 0.8


class CellNode(Node):
    """Owns the simulated cell; ``start`` it, then call ``spin_tick`` for ever."""

    def __init__(self) -> None:
        super().__init__("cell")
        self._values = cell_parameters.declare(self)

    def build(self) -> None:
        """Build the cell. Publishes nothing."""
        values = self._values
        period = 1.0 / values.state_rate
        board = values.calibration_board
        wrist = CameraConfig(cells.WRIST_POSE) if values.wrist_camera else None
        self._cell = cells.Cell(
            cells.CellConfig(
                image_width=values.image_width,
                image_height=values.image_height,
                scene_camera=CameraConfig(values.camera_pose),
                wrist_camera=wrist,
                noise=NoiseConfig() if values.noise else None,
                timestep=period / np.ceil(period / LONGEST_STEP - 1e-9),
                control_period=period,
                board=BoardPlacement(board == "hand") if board != "none" else None,
            )
        )
        self._layout = sample_layout(values.seed, values.held_out)
        self._cell.reset(self._layout)
        # The first picture costs a second of set-up; better now than between two ticks.
        self._cell.render(cells.SCENE)

    def start(self) -> None:
        """Offer everything and begin to tick."""
        values = self._values
        self._tick_seconds = 1.0 / values.state_rate
        self._tick_count = 0
        self._stamp_ns = 0
        self._frames = MovingFrames(self._cell)
        self._arm = ArmPublisher(self, self._cell.joint_names, self._frames.edges)
        self._static = StaticTransforms(self)
        self._description = publish_description(self)
        self._cameras = {
            name: CameraPublisher(self, namespace, optical_frame, values.image_width, values.image_height)
            for name, namespace, optical_frame in self._camera_topics()
        }
        self._state = self.create_publisher(CellState, "cell/state", QoSProfile(depth=5))
        self._diagnostics = self.create_publisher(DiagnosticArray, "/diagnostics", QoSProfile(depth=10))
        self._driver, self._gripper = make_interfaces(self, self._cell, values)
        self._health = DriverServer(self, self._cell, self._tick_seconds)
        self._trials = TrialServer(
            self, self._cell.snapshot, lambda: self._cell.base_from_tip[:3, 3], self._tick_seconds
        )
        self._reset_service = self.create_service(ResetCell, "cell/reset", self._reset)
        self.add_on_set_parameters_callback(self._check_parameters)
        self.add_post_set_parameters_callback(self._apply_parameters)
        self._publish_static()
        self._pacer = Pacer(self._tick_seconds, values.real_time_factor)
        self._schedule = FrameSchedule(values.image_rate)
        self._next_report = time.monotonic() + REPORT_PERIOD
        self._next_diagnostics = time.monotonic()
        self.get_logger().info(
            f"simulated cell ready: {values.image_width}x{values.image_height} pictures at {values.image_rate:g} Hz, "
            f"state at {values.state_rate:g} Hz of simulated time"
        )

    def spin_tick(self, executor: Executor) -> None:
        """Serve callbacks until the next tick is due, then run it."""
        delay = self._pacer.delay()
        while delay > 0.0:
            executor.spin_once(timeout_sec=delay)
            delay = self._pacer.delay()
        for _ in range(SERVED_WHEN_LATE):
            executor.spin_once(timeout_sec=0.0)
        self._tick()
        self._report()

    def _tick(self) -> None:
        self._pacer.tick()
        if self._health.ready:
            self._driver.update(self._stamp_ns / NANOSECONDS)
        else:
            # A driver that does not move takes no targets, and none from before when it does again.
            self._driver.restart(self._stamp_ns + 1)
        self._cell.step(self._tick_seconds)
        self._tick_count += 1
        self._stamp_ns = round(self._tick_count * NANOSECONDS * self._tick_seconds)
        stamp = stamp_from_nanoseconds(self._stamp_ns)
        joints = self._cell.joint_positions, self._cell.joint_velocities
        self._arm.publish(stamp, joints, self._frames.read())
        now = self._stamp_ns / NANOSECONDS
        self._health.update(now, stamp)
        self._gripper.update(now)
        self._trials.update(now, stamp)
        if self._schedule.due(self._stamp_ns):
            self._take_pictures(stamp)

    def _take_pictures(self, stamp: Time) -> None:
        self._state.publish(cell_state(self._cell.snapshot(), self._layout.seed, stamp))
        for name, publisher in self._cameras.items():
            publisher.publish(self._cell.capture(name, self._stamp_ns), stamp)

    def _camera_topics(self) -> list[tuple[str, str, str]]:
        """Name in the cell, namespace and optical frame of every camera."""
        return [(name, NAMESPACES[name], self._cell.optical_frame(name)) for name in self._cell.camera_names]

    def _publish_static(self) -> None:
        left_out = self._values.calibrated_frames.split()
        edges = [edge for edge in self._cell.link_transforms().static if edge.child not in left_out]
        self._static.publish(
            [(edge.parent, edge.child, edge.parent_from_child) for edge in edges],
            stamp_from_nanoseconds(self._stamp_ns),
        )

    def _reset(self, request: ResetCell.Request, response: ResetCell.Response) -> ResetCell.Response:
        try:
            layout = sample_layout(request.seed, request.held_out)
        except ValueError as error:
            response.message = str(error)
            return response
        self._layout = layout
        self._gripper.abort()
        self._trials.abort(stamp_from_nanoseconds(self._stamp_ns))
        self._cell.reset(layout)
        # Targets made on pictures of the old layout would drive the arm out of its start pose.
        self._driver.restart(self._stamp_ns + 1)
        response.success = True
        response.message = f"layout {layout.seed} of the {'held-out' if layout.held_out else 'training'} split"
        response.state = cell_state(self._cell.snapshot(), layout.seed, stamp_from_nanoseconds(self._stamp_ns))
        self.get_logger().info(response.message)
        return response

    def _check_parameters(self, parameters: list[Parameter]) -> SetParametersResult:
        for parameter in parameters:
            if parameter.name == "camera_pose":
                try:
                    cell_parameters.read_camera_pose(parameter.value)
                except ValueError as error:
                    return SetParametersResult(successful=False, reason=str(error))
        return SetParametersResult(successful=True)

    def _apply_parameters(self, parameters: list[Parameter]) -> None:
        for parameter in parameters:
            if parameter.name == "camera_pose":
                pose = cell_parameters.read_camera_pose(parameter.value)
                self._values = replace(self._values, camera_pose=pose)
                self._cell.set_camera_pose(cells.SCENE, *pose)
                self._publish_static()
            elif parameter.name == "real_time_factor":
                self._pacer.set_factor(parameter.value)

    def _report(self) -> None:
        now = time.monotonic()
        if now >= self._next_diagnostics:
            self._next_diagnostics = now + DIAGNOSTICS_PERIOD
            self._publish_diagnostics()
        if now >= self._next_report:
            self._next_report = now + REPORT_PERIOD
            self.get_logger().info(f"real-time factor {self._pacer.real_time_factor():.2f}")

    def _publish_diagnostics(self) -> None:
        factor = self._pacer.real_time_factor()
        slow = factor < SLOW * self._pacer.factor
        values = {
            "real_time_factor": f"{factor:.3f}",
            "targets_accepted": str(self._driver.accepted),
            "targets_refused": str(self._driver.refused),
            "layout_seed": str(self._layout.seed),
            "held_out": str(self._layout.held_out),
        }
        status = DiagnosticStatus(
            level=DiagnosticStatus.WARN if slow else DiagnosticStatus.OK,
            name="cell",
            hardware_id="simulated",
            message="slower than real time: the clock slows, nothing is dropped" if slow else "running",
            values=[KeyValue(key=key, value=value) for key, value in values.items()],
        )
        message = DiagnosticArray(status=[status])
        message.header.stamp = stamp_from_nanoseconds(self._stamp_ns)
        self._diagnostics.publish(message)


def main(arguments: list[str] | None = None) -> int:
    """Run the cell until it is asked to end; returns the exit status."""
    lifetime = Lifetime()
    overridden = stay_on_loopback()
    rclpy.init(args=arguments, signal_handler_options=SignalHandlerOptions.NO)
    try:
        return _run(lifetime, overridden)
    finally:
        rclpy.try_shutdown()
        lifetime.restore()


def _run(lifetime: Lifetime, overridden: str) -> int:
    try:
        node = CellNode()
    except (ParameterException, ValueError) as error:
        print(f"cell: {error}", file=sys.stderr)
        return 1
    discovering_since = time.monotonic()
    executor = EventsExecutor()
    executor.add_node(node)
    try:
        if overridden:
            node.get_logger().warning(overridden)
        node.build()
        rival = find_rival(node, executor, discovering_since)
        if rival:
            node.get_logger().fatal(
                f"{node.resolve_topic_name('joint_states')} is already published by {rival}: a simulated arm must not "
                "join another. Stop that node, or use another ROS_DOMAIN_ID"
            )
            return 1
        node.start()
        while not lifetime.ended:
            node.spin_tick(executor)
        node.get_logger().info(f"stopping: {lifetime.reason}")
        return 0
    finally:
        executor.remove_node(node)
        executor.shutdown()
        node.destroy_node()


if __name__ == "__main__":
    sys.exit(main())
