"""Puts a calibrated camera into TF, tells how good and how old that is, and slows or stops the arm when it was bumped.

A thin shell around ``vipa_policy.calibration``. Manual: docs/nodes/calibrated_camera.md. Guarded by
tests/graph/test_calibrated_camera_node.py.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

import numpy as np
from diagnostic_msgs.msg import DiagnosticStatus
from rclpy.clock import Clock, ClockType
from rclpy.lifecycle import LifecycleState, TransitionCallbackReturn
from tf2_ros import StaticTransformBroadcaster

from vipa_msgs.msg import HandEyeCalibration
from vipa_policy.calibration.board import locate
from vipa_policy.calibration.hand_eye import Mode, chained
from vipa_policy.calibration.mounting import Mount
from vipa_policy.calibration.result import Calibration
from vipa_policy.calibration.watch import BumpWatch, Verdict, WatchSettings, deviation
from vipa_policy.errors import CalibrationError, VipaError
from vipa_policy.geometry import Array, inverse
from vipa_policy.nodes.board_eye import BoardEye, Sighting, listen_to_static
from vipa_policy.nodes.bump_reaction import REACTIONS, STOP, BumpReaction
from vipa_policy.nodes.calibration_messages import calibration_message
from vipa_policy.nodes.conversions import transform_stamped
from vipa_policy.nodes.managed import ManagedNode, run
from vipa_policy.nodes.parameters import FREE, Declaration, real, values_of, whole
from vipa_policy.nodes.qos import LATCHED_QOS

MOUNT_PERIOD = 0.2  # s of wall time between two looks at what is known of the camera's tree
SPEED_SPAN = 0.1  # s over which the hand's speed is measured
WATCHES = ("board", "standing", "off")

DECLARATIONS: tuple[Declaration, ...] = (
    ("file", "", "calibration that `calibrate` wrote", FREE),
    ("camera_topic", "", "prefix of the camera's topics; empty takes the file's", FREE),
    (
        "settle_time",
        1.0,
        "s of wall time in which others may claim the camera's frame before it is published",
        real(0.0, 30.0),
    ),
    ("oldest", 30.0, "days, an older calibration is warned of", real(0.01, 3650.0)),
    (
        "watch",
        "board",
        "board: it is where it was when the camera was calibrated; standing: it stands beside the arm and is where the "
        "first pictures show it; off",
        FREE,
    ),
    (
        "tolerance",
        0.005,
        "m at the board's distance, by which it may be seen beside where it must be",
        real(0.0005, 0.2),
    ),
    ("window", 5, "comparisons whose median decides", whole(1, 100)),
    ("patience", 30.0, "s, an older comparison does not count", real(1.0, 3600.0)),
    ("rate", 2.0, "Hz, of looking for the board", real(0.1, 30.0)),
    ("slow", 0.05, "m/s, the hand may move so fast for a comparison to count", real(0.001, 1.0)),
    (
        "on_bump",
        STOP,
        "when the camera was bumped: stop, slow or report; when its frame has two parents slow means stop, too",
        FREE,
    ),
    ("slow_speed", 0.25, "factor on the arm's pace where on_bump is slow", real(0.01, 1.0)),
)


class CalibratedCameraNode(ManagedNode):
    """Publishes one calibration and watches over it."""

    def __init__(self, **options: Any) -> None:
        super().__init__("calibrated_camera", DECLARATIONS, **options)
        self._calibration: Calibration | None = None
        self._eye: BoardEye | None = None
        self._verdict = Verdict.UNKNOWN
        self._problem = "no comparison yet"
        self._published = False

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Read the file."""
        self._values = values_of(self, self.declarations)
        try:
            if self._values["watch"] not in WATCHES:
                raise CalibrationError(
                    f"expected watch to be one of {', '.join(WATCHES)}, got {self._values['watch']!r}"
                )
            if self._values["on_bump"] not in REACTIONS:
                raise CalibrationError(
                    f"expected on_bump to be one of {', '.join(REACTIONS)}, got {self._values['on_bump']!r}"
                )
            calibration = Calibration.load(self._values["file"])
        except VipaError as error:
            self.get_logger().error(f"cannot configure: {error}")
            self.diagnostics.report(DiagnosticStatus.ERROR, f"not configured: {error}")
            return TransitionCallbackReturn.FAILURE
        self._calibration = calibration
        frames = calibration.frames
        self._mount = Mount(frames.parent(calibration.mode), frames.root, frames.camera, calibration.parent_from_camera)
        # With the board standing in the base frame, as it does for a camera on the hand, the chain is that one's.
        self._carrier_from_board: Array | None = None
        if self._values["watch"] == "board":
            self._carrier_from_board = calibration.carrier_from_board
        self._learnt: list[Array] = []
        self._watch = BumpWatch(
            WatchSettings(self._values["tolerance"], self._values["window"], self._values["patience"])
        )
        self._results = self.create_publisher(HandEyeCalibration, "calibration/result", LATCHED_QOS)
        self._reaction = BumpReaction(self, self._values["on_bump"], self._values["slow_speed"])
        self.get_logger().info(f"{self._values['file']}: {calibration.figures}; {calibration.age():.1f} days old")
        return TransitionCallbackReturn.SUCCESS

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Hang the camera into TF once its own tree is known, and begin to watch."""
        assert self._calibration is not None
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        self._broadcaster = StaticTransformBroadcaster(self)
        self._published = False
        self._activated = steady.now()
        self._static = listen_to_static(self, self._mount.learn)
        self._timers_made = [self.create_timer(MOUNT_PERIOD, self._hang, clock=steady)]
        self._steady = steady
        if self._values["watch"] != "off":
            frames = self._calibration.frames
            topic = self._values["camera_topic"] or self._calibration.camera_topic
            self._eye = BoardEye(self, topic, self._calibration.board, frames.base, frames.hand, (SPEED_SPAN,))
            self._timers_made.append(self.create_timer(1.0 / self._values["rate"], self._look))
        return super().on_activate(state)

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Take the camera out of TF for those who come later, and stop watching."""
        for timer in self._timers_made:
            self.destroy_timer(timer)
        self.destroy_subscription(self._static)
        self.destroy_publisher(self._broadcaster.pub_tf)
        if self._eye is not None:
            self._eye.destroy()
            self._eye = None
        self.diagnostics.report(DiagnosticStatus.WARN, "inactive: the camera is not in TF")
        return super().on_deactivate(state)

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Forget the file."""
        self.destroy_publisher(self._results)
        self._reaction.destroy()
        self._calibration = None
        return TransitionCallbackReturn.SUCCESS

    def diagnostic_values(self) -> Mapping[str, str]:
        """How good, how old, and what the watch sees."""
        calibration = self._calibration
        if calibration is None:
            return {}
        figures = calibration.figures
        return {
            "file": self._values["file"],
            "mode": calibration.mode.value,
            "in TF": f"{self._mount.parent} -> {self._mount.root}" if self._published else "",
            "created": calibration.created.isoformat(),
            "age (days)": f"{calibration.age():.2f}",
            "poses": str(figures.poses),
            "held-out reprojection (px)": f"{figures.held_out_reprojection:.3f}",
            "held-out position (mm)": f"{1000.0 * figures.held_out_position:.3f}",
            "held-out rotation (deg)": f"{np.degrees(figures.held_out_rotation):.4f}",
            "camera": self._verdict.value,
            "deviation (mm)": f"{1000.0 * self._watch.deviation:.2f}",
            "last comparison": self._problem or "done",
        }

    # TF

    def _hang(self) -> None:
        """Publish the camera's place once it is known and nobody else claims it."""
        assert self._calibration is not None
        if self._mount.rival:
            if self._published:
                self._reaction.misplaced(self._mount.rival, self._wall)
        elif not self._published and self._settled():
            parent_from_root = self._mount.parent_from_root
            if parent_from_root is not None:
                stamp = self.get_clock().now().to_msg()
                edge = transform_stamped(parent_from_root, self._mount.parent, self._mount.root, stamp)
                self._broadcaster.sendTransform(edge)
                self._results.publish(calibration_message(self._calibration, parent_from_root, stamp))
                self._published = True
                self.get_logger().info(f"{self._mount.root} hangs below {self._mount.parent}")
        self._report()

    def _settled(self) -> bool:
        return (self._steady.now() - self._activated).nanoseconds >= self._values["settle_time"] * 1e9

    # Watch

    def _look(self) -> None:
        if self._eye is None:
            return
        before = self._verdict
        try:
            sighting = self._eye.look()
            if sighting is not None:
                self._problem = self._compare(sighting)
            elif self._verdict is Verdict.UNKNOWN:
                self._problem = self._problem or f"no new picture on {self._eye.topic}"
        except VipaError as error:
            self._problem = str(error)
        self._verdict = self._watch.verdict(self.now)
        if self._verdict is Verdict.BUMPED:
            self._reaction.bumped(self._bumped(), self._wall)
        elif before is Verdict.BUMPED:
            self.get_logger().info("the camera is seen back in its place; a stopped arm goes on with arm/resume")
            self._reaction.in_place()
        self._report()

    def _compare(self, sighting: Sighting) -> str:
        """Compare a picture with where the board must be; returns why it could not be, "" where it was."""
        assert self._calibration is not None
        calibration = self._calibration
        if sighting.view is None or not sighting.hand_poses:
            return sighting.problem
        now, before = sighting.hand_poses
        speed = float(np.linalg.norm(now[:3, 3] - before[:3, 3])) / SPEED_SPAN
        if speed > self._values["slow"]:
            return f"the hand moves at {speed:.2f} m/s, comparisons are made below {self._values['slow']} m/s"
        if self._carrier_from_board is None:
            return self._learn(sighting, now)
        must = self._camera_from_board(now, self._carrier_from_board)
        self._watch.compare(deviation(calibration.board, sighting.view, sighting.lens, must), self.now)
        return ""

    def _camera_from_board(self, base_from_hand: Array, carrier_from_board: Array) -> Array:
        assert self._calibration is not None
        calibration = self._calibration
        if self._values["watch"] == "standing":
            return inverse(self._base_from_camera(base_from_hand)) @ carrier_from_board
        return chained(calibration.mode, calibration.parent_from_camera, base_from_hand, carrier_from_board)

    def _base_from_camera(self, base_from_hand: Array) -> Array:
        assert self._calibration is not None
        parent = base_from_hand if self._calibration.mode is Mode.EYE_IN_HAND else np.eye(4)
        return parent @ self._calibration.parent_from_camera

    def _learn(self, sighting: Sighting, base_from_hand: Array) -> str:
        """Remember where a standing board is: the middle one of the first few sightings."""
        assert self._calibration is not None
        assert sighting.view is not None
        pose = locate(self._calibration.board, sighting.view, sighting.lens)
        self._learnt.append(self._base_from_camera(base_from_hand) @ pose.camera_from_board)
        if len(self._learnt) < self._values["window"]:
            return f"learning where the board stands ({len(self._learnt)} of {self._values['window']} pictures)"
        middle = np.median([matrix[:3, 3] for matrix in self._learnt], axis=0)
        self._carrier_from_board = min(self._learnt, key=lambda matrix: float(np.linalg.norm(matrix[:3, 3] - middle)))
        self.get_logger().info(
            f"the board stands at {np.round(middle, 4).tolist()} m in {self._calibration.frames.base}"
        )
        return ""

    def _bumped(self) -> str:
        assert self._calibration is not None
        seen, allowed = 1000.0 * self._watch.deviation, 1000.0 * self._values["tolerance"]
        return (
            f"camera {self._calibration.frames.camera} was bumped: the board is seen {seen:.1f} mm from where it must "
            f"be, {allowed:.1f} mm are allowed; put camera (or board) back or calibrate anew, then call arm/resume"
        )

    @property
    def _wall(self) -> float:
        return float(self._steady.now().nanoseconds * 1e-9)

    def _report(self) -> None:
        assert self._calibration is not None
        age = self._calibration.age()
        if self._mount.rival:
            self.diagnostics.report(DiagnosticStatus.ERROR, self._mount.rival)
        elif self._verdict is Verdict.BUMPED:
            self.diagnostics.report(DiagnosticStatus.ERROR, self._bumped())
        elif not self._published:
            self.diagnostics.report(
                DiagnosticStatus.WARN,
                f"waiting for tf_static from {self._mount.camera} up to {self._mount.root}: is the camera's driver up?",
            )
        elif age > self._values["oldest"] or age < -1.0:
            self.diagnostics.report(
                DiagnosticStatus.WARN,
                f"the calibration is {age:.0f} days old, expected at most {self._values['oldest']:g}; calibrate anew, "
                "or raise oldest",
            )
        elif self._values["watch"] != "off" and self._verdict is Verdict.UNKNOWN:
            self.diagnostics.report(DiagnosticStatus.WARN, f"the camera's place is not checked: {self._problem}")
        else:
            self.diagnostics.report(DiagnosticStatus.OK, "the camera is in place" if self._eye else "not watched")


def main(arguments: list[str] | None = None) -> int:
    """Run the node of a calibrated camera."""
    return run(CalibratedCameraNode, arguments)


if __name__ == "__main__":
    sys.exit(main())
