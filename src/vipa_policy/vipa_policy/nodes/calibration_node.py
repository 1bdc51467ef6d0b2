"""Collects pictures of a board at many poses of the arm, says which motion is missing, solves, writes the file.

A thin shell around ``vipa_policy.calibration``. Manual: docs/nodes/calibration.md. Guarded by
tests/graph/test_calibration_node.py.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from cv_bridge import CvBridge
from diagnostic_msgs.msg import DiagnosticStatus
from rclpy.lifecycle import LifecycleState, TransitionCallbackReturn
from rclpy.qos import QoSProfile
from sensor_msgs.msg import Image
from std_msgs.msg import String
from std_srvs.srv import Trigger

from vipa_policy.calibration.board import Board, draw
from vipa_policy.calibration.collection import Collection, is_still
from vipa_policy.calibration.hand_eye import Mode
from vipa_policy.calibration.mounting import StaticTree
from vipa_policy.calibration.result import Calibration, Frames
from vipa_policy.errors import CalibrationError, VipaError
from vipa_policy.nodes.board_eye import BoardEye, Sighting, listen_to_static
from vipa_policy.nodes.conversions import stamp_from_seconds
from vipa_policy.nodes.managed import ManagedNode, run
from vipa_policy.nodes.parameters import FREE, Declaration, real, values_of
from vipa_policy.nodes.qos import LATCHED_QOS

STILL_LOOKS = 4  # into the past, within still_time

DECLARATIONS: tuple[Declaration, ...] = (
    ("mode", "eye_to_hand", "eye_in_hand: the hand carries the camera; eye_to_hand: it carries the board", FREE),
    ("board", str(Board()), "columns x rows, side of a square and of a marker in m, dictionary", FREE),
    ("camera_topic", "camera/camera", "prefix of the camera's topics", FREE),
    ("base_frame", "fr3_link0", "TF frame the arm stands in", FREE),
    ("hand_frame", "fr3_hand", "TF frame that camera or board is fixed to", FREE),
    ("root_frame", "", "topmost frame of the camera's driver, as camera_link; empty: found in tf_static", FREE),
    ("output", "calibration.yaml", "file to write", FREE),
    ("automatic", True, "take a picture wherever the arm rests at a new pose that shows the board", FREE),
    ("still_time", 0.6, "s, how long the arm must have rested", real(0.1, 5.0)),
    ("oldest", 1.0, "s, an older picture is not taken", real(0.1, 10.0)),
    ("rate", 5.0, "Hz, of looking for the board", real(0.2, 30.0)),
)


class CalibrationNode(ManagedNode):
    """Goes through the procedure of one calibration."""

    def __init__(self, **options: Any) -> None:
        super().__init__("calibration", DECLARATIONS, **options)
        self.collection: Collection | None = None
        self.calibration: Calibration | None = None
        """What was solved and written last."""
        self._last: Sighting | None = None
        self._said = ""
        self._problem = ""
        self._bridge = CvBridge()

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Read parameters, connect to camera and TF."""
        self._values = values_of(self, self.declarations)
        try:
            mode = _mode(self._values["mode"])
            board = Board.parse(self._values["board"])
        except VipaError as error:
            self.get_logger().error(f"cannot configure: {error}")
            self.diagnostics.report(DiagnosticStatus.ERROR, f"not configured: {error}")
            return TransitionCallbackReturn.FAILURE
        self.collection = Collection(mode, board)
        self._tree = StaticTree()
        looks = tuple(self._values["still_time"] * (index + 1) / STILL_LOOKS for index in range(STILL_LOOKS))
        frames = self._values["base_frame"], self._values["hand_frame"]
        self._eye = BoardEye(self, self._values["camera_topic"], board, *frames, looks)
        self._static = listen_to_static(self, self._tree.learn)
        self._guidance = self.create_publisher(String, "calibration/guidance", LATCHED_QOS)
        self._picture = self.create_publisher(Image, "calibration/picture", QoSProfile(depth=1))
        self._services_made = [
            self.create_service(Trigger, f"calibration/{name}", self._answering(action))
            for name, action in (
                ("capture", self.capture),
                ("drop_last", self._drop_last),
                ("clear", self._clear),
                ("solve", self.solve),
            )
        ]
        return TransitionCallbackReturn.SUCCESS

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Begin to look."""
        self._timer = self.create_timer(1.0 / self._values["rate"], self._look)
        self._tell()
        return super().on_activate(state)

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Stop looking; what was collected stays."""
        self.destroy_timer(self._timer)
        self._last = None
        return super().on_deactivate(state)

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Let go of everything made in on_configure."""
        self._eye.destroy()
        self.destroy_subscription(self._static)
        self.destroy_publisher(self._guidance)
        self.destroy_publisher(self._picture)
        for service in self._services_made:
            self.destroy_service(service)
        self.collection = None
        return TransitionCallbackReturn.SUCCESS

    def diagnostic_values(self) -> Mapping[str, str]:
        """How far the collection is."""
        if self.collection is None:
            return {}
        diversity = self.collection.diversity()
        return {
            "poses": str(diversity.poses),
            "missing": "; ".join(diversity.missing),
            "problem": self._problem,
            "written": str(self._values["output"]) if self.calibration else "",
        }

    # Actions, each of which answers in words or raises a VipaError

    def capture(self) -> str:
        """Keep the newest picture and the hand's pose with it."""
        sighting, collection = self._last, self._collecting()
        if sighting is None or self.now - sighting.stamp > self._values["oldest"]:
            raise CalibrationError(
                f"no picture of the last {self._values['oldest']} s on {self._eye.topic}: {self._problem}"
            )
        if sighting.view is None or not sighting.hand_poses:
            raise CalibrationError(sighting.problem)
        if not is_still(sighting.hand_poses):
            raise CalibrationError(
                f"the arm did not rest for {self._values['still_time']} s before this picture; let it rest"
            )
        collection.add(sighting.view, sighting.lens, sighting.hand_poses[0])
        self._camera_frame = sighting.frame
        self._tell()
        return self._said

    def solve(self) -> str:
        """Solve, validate and write the file."""
        solution, held_out, lens = self._collecting().solve()
        base, hand = self._values["base_frame"], self._values["hand_frame"]
        root = self._values["root_frame"] or self._tree.root_of(self._camera_frame, (base, hand))
        frames = Frames(base, hand, self._camera_frame, root)
        result = Calibration.of(
            solution, held_out, self._collecting().board, lens, frames, self._values["camera_topic"]
        )
        path = Path(self._values["output"]).expanduser()
        result.save(path)
        self.calibration = result
        words = f"{path.absolute()}: {result.figures}"
        self.get_logger().info(words)
        return words

    def _drop_last(self) -> str:
        self._collecting().drop_last()
        self._tell()
        return self._said

    def _clear(self) -> str:
        self._collecting().clear()
        self._tell()
        return self._said

    def _collecting(self) -> Collection:
        if self.collection is None:
            raise CalibrationError("the calibration node is not configured; configure and activate it")
        return self.collection

    def _answering(self, action: Callable[[], str]) -> Callable[[Trigger.Request, Trigger.Response], Trigger.Response]:
        def answer(request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
            try:
                response.message, response.success = action(), True
            except VipaError as error:
                response.message = str(error)
                self.get_logger().warning(str(error))
            return response

        return answer

    # Pictures

    def _look(self) -> None:
        try:
            sighting = self._eye.look()
        except VipaError as error:
            self._report(str(error))
            return
        if sighting is None:
            return
        self._last = sighting
        self._report(sighting.problem)
        self._show(sighting)
        if self._values["automatic"] and self._is_worth_keeping(sighting):
            try:
                self.get_logger().info(self.capture())
            except VipaError as error:
                self._report(str(error))

    def _is_worth_keeping(self, sighting: Sighting) -> bool:
        return (
            sighting.view is not None
            and bool(sighting.hand_poses)
            and is_still(sighting.hand_poses)
            and self._collecting().is_new(sighting.hand_poses[0])
        )

    def _report(self, problem: str) -> None:
        self._problem = problem
        level = DiagnosticStatus.WARN if problem else DiagnosticStatus.OK
        self.diagnostics.report(level, problem or "the board is seen")

    def _show(self, sighting: Sighting) -> None:
        if not self._picture.get_subscription_count():
            return
        picture = sighting.rgb if sighting.view is None else draw(sighting.rgb, sighting.view)
        message = self._bridge.cv2_to_imgmsg(picture, "rgb8")
        message.header.stamp = stamp_from_seconds(sighting.stamp)
        message.header.frame_id = sighting.frame
        self._picture.publish(message)

    def _tell(self) -> None:
        diversity = self._collecting().diversity()
        missing = "; ".join(diversity.missing)
        self._said = f"{diversity.poses} poses; " + (f"still missing: {missing}" if missing else "enough: solve")
        self._guidance.publish(String(data=self._said))


def _mode(text: str) -> Mode:
    try:
        return Mode(text)
    except ValueError as error:
        raise CalibrationError(f"expected mode to be one of {', '.join(Mode)}, got {text!r}") from error


def main(arguments: list[str] | None = None) -> int:
    """Run the calibration node."""
    return run(CalibrationNode, arguments)


if __name__ == "__main__":
    sys.exit(main())
