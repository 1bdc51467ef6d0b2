"""The RealSense node: a camera's colour, aligned depth, calibration and frames, under the names of realsense-ros.

See docs/nodes/realsense.md. Guarded by tests/graph/test_realsense_node.py.
"""

from __future__ import annotations

import sys
import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

from diagnostic_msgs.msg import DiagnosticStatus
from rclpy.clock import Clock, ClockType
from rclpy.lifecycle import LifecycleState, TransitionCallbackReturn
from std_srvs.srv import Empty

from vipa_policy.camera.capture import Capture
from vipa_policy.camera.connection import Connection, State
from vipa_policy.camera.driver import CameraDescription, CameraFrame, Driver
from vipa_policy.camera.health import RateMeter
from vipa_policy.camera.realsense import RealSenseDriver, RealSenseSettings
from vipa_policy.errors import CameraError
from vipa_policy.nodes.camera_output import CameraOutput
from vipa_policy.nodes.managed import ManagedNode, run
from vipa_policy.nodes.parameters import values_of
from vipa_policy.nodes.realsense_parameters import DECLARATIONS, camera_from, connection_from

LOOKING = 0.1  # s of wall time between two looks at the connection
NOTED = 100  # frames that latency and skew are told of
# px; a lens that plumb_bob describes worse than this is told of.
FIT_TOLERANCE = 0.2


class RealSenseNode(ManagedNode):
    """Publishes a RealSense camera, or a recording of one, while active; looks for it as long as it is not there.

    Args:
        make_driver: makes the camera's driver. Raises CameraError where that is impossible.
    """

    def __init__(self, make_driver: Callable[[RealSenseSettings], Driver] = RealSenseDriver, **options: Any) -> None:
        super().__init__("realsense", DECLARATIONS, **options)
        self._make_driver = make_driver
        self._driver: Driver | None = None
        self._capture: Capture | None = None
        self._output: CameraOutput | None = None
        self._said: tuple[State, str] | None = None
        self._rate = RateMeter()
        self._frames = 0
        self._latencies: deque[float] = deque(maxlen=NOTED)
        self._skews: deque[float] = deque(maxlen=NOTED)
        # Not the ROS clock: a camera runs on wall time.
        self._timer = self.create_timer(LOOKING, self._look, clock=Clock(clock_type=ClockType.STEADY_TIME))

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Read the parameters; fails where they contradict each other or librealsense is not there, not its camera."""
        values = values_of(self, self.declarations)
        try:
            if self.get_parameter("use_sim_time").value:
                raise CameraError(
                    "expected use_sim_time false: a camera stamps its images with system time; set it to false for "
                    "this node and all that use its images"
                )
            self._settings = connection_from(values)
            self._camera = camera_from(values)
            self._driver = self._make_driver(self._camera)
        except CameraError as error:
            self.get_logger().error(f"cannot configure: {error}")
            self.diagnostics.report(DiagnosticStatus.ERROR, f"not configured: {error}")
            return TransitionCallbackReturn.FAILURE
        self._reset_first = values["initial_reset"]
        self._output = CameraOutput(self, values["topics"], values["frames"])
        self._service = self.create_service(Empty, f"{values['topics']}/hw_reset", self._on_reset)
        return TransitionCallbackReturn.SUCCESS

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Begin to look for the camera and to publish what it sees."""
        assert self._driver is not None  # configured
        driver = self._driver
        self._capture = Capture(
            lambda wait: Connection(driver, self._settings, time.monotonic, wait, self._reset_first), self._publish
        )
        self._reset_first = False
        self._capture.start()
        return super().on_activate(state)

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Let the camera go."""
        self._end_capture()
        self.diagnostics.report(DiagnosticStatus.WARN, "inactive: the camera is not read")
        return super().on_deactivate(state)

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Take the topics away."""
        if self._output is not None:
            self._output.destroy()
            self.destroy_service(self._service)
        self._driver = self._output = None
        return TransitionCallbackReturn.SUCCESS

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Let the camera go."""
        self._end_capture()
        return TransitionCallbackReturn.SUCCESS

    def begin_finish(self, reason: str) -> None:
        """Let the camera go before the node ends."""
        self._end_capture()

    def diagnostic_values(self) -> Mapping[str, str]:
        """What is connected, how well it runs, and how often it did not."""
        if self._driver is None or self._capture is None:
            return {}
        connection = self._capture.connection
        values = {
            "rate": f"{self._rate.rate(time.monotonic()):.1f} Hz",
            "frames": str(self._frames),
            "losses": str(connection.losses),
            "last loss": connection.last_loss,
            "reconnects": str(connection.reconnects),
            "hardware resets": str(connection.resets),
            "frames with errors": str(connection.errors),
            "next attempt in": f"{connection.next_attempt:.1f} s",
            "latency (p50)": _milliseconds(self._latencies),
            "skew of depth (p50)": _milliseconds(self._skews),
        } | self._driver.facts()
        description = connection.description
        if description is not None:
            values |= {
                "camera": description.name,
                "serial": description.serial,
                "firmware": description.firmware,
                "connection": description.connection,
                "recording": description.recording,
                "nominal rate": f"{description.rate:g} Hz",
            }
        return values

    def _publish(self, description: CameraDescription, frame: CameraFrame) -> None:
        """Called in the capture's thread, which ends before the output does."""
        assert self._output is not None
        self._output.publish(description, frame)
        self._frames += 1
        self._rate.note(time.monotonic())
        self._latencies.append(time.time() - frame.stamp_ns * 1e-9)
        self._skews.append(frame.skew)

    def _look(self) -> None:
        """Tell what changed."""
        if self._capture is None:
            return
        connection = self._capture.connection
        now = (connection.state, connection.reason)
        if now == self._said:
            return
        self._said = now
        state, reason = now
        if state is State.STREAMING:
            self._welcome(connection.description)
        elif state is State.STARTING:
            self.diagnostics.report(DiagnosticStatus.WARN, reason)
        elif state is State.ENDED:
            self.get_logger().info(reason)
            self.diagnostics.report(DiagnosticStatus.WARN, reason)
        elif state is State.WAITING:
            self.get_logger().warning(f"no camera: {reason}")
            self.diagnostics.report(DiagnosticStatus.ERROR, f"no camera: {reason}")

    def _welcome(self, description: CameraDescription | None) -> None:
        if description is None:  # lost between two looks
            return
        name = f"{description.name} {description.serial}"
        self.get_logger().info(f"streaming: {name} at {description.rate:g} Hz")
        if description.colour.fit_error > FIT_TOLERANCE:
            self.get_logger().warning(
                f"the colour lens of {name} is told up to {description.colour.fit_error:.1f} px wrong: its distortion "
                "is not of the kind that CameraInfo carries"
            )
        self.diagnostics.report(DiagnosticStatus.OK, f"streaming: {name}")

    def _on_reset(self, request: Empty.Request, response: Empty.Response) -> Empty.Response:
        if self._capture is None:
            self.get_logger().error("hw_reset: the node is not active; activate it first")
        else:
            self._capture.connection.request_reset("as asked for by service")
        return response

    def _end_capture(self) -> None:
        capture, self._capture, self._said = self._capture, None, None
        if capture is not None and not capture.end():
            self.get_logger().warning("librealsense does not let the camera go; its frames are no longer used")
            # What is still in use by the thread that does not end must not be used by the next one.
            self._driver = self._make_driver(self._camera)


def _milliseconds(values: deque[float]) -> str:
    kept = sorted(values.copy())
    return f"{1000.0 * kept[len(kept) // 2]:.1f} ms" if kept else "unknown"


def main(arguments: list[str] | None = None) -> None:
    """Run the RealSense node."""
    sys.exit(run(RealSenseNode, arguments))


if __name__ == "__main__":
    main()
