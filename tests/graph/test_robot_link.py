"""The links to a driver: what its own words mean, what is set before arming, how it is asked to recover."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import pytest
import rclpy
from franka_msgs.action import ErrorRecovery
from franka_msgs.msg import FrankaRobotState
from franka_msgs.srv import SetFullCollisionBehavior, SetLoad
from rclpy.action import ActionServer
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from std_srvs.srv import Trigger

from vipa_msgs.msg import DriverStatus
from vipa_policy.control.supervision import DriverState
from vipa_policy.nodes.qos import LATCHED_QOS
from vipa_policy.nodes.robot_link import make_robot_link
from vipa_policy.nodes.robot_link.franka_ros2 import (
    RECOVERY,
    SET_COLLISION,
    SET_LOAD,
    STATE_TOPIC,
    collision_request,
    load_request,
    state_of,
)
from vipa_policy.nodes.robot_link.parameters import DECLARATIONS

pytestmark = pytest.mark.graph

VALUES = {name: default for name, default, _, _ in DECLARATIONS}


class Bench:
    """A node for the link and one for the driver, served together."""

    def __init__(self, context: Context) -> None:
        self.ours, self.driver = (rclpy.create_node(name, context=context) for name in ("arm", "driver"))
        self.executor = SingleThreadedExecutor(context=context)
        for node in (self.ours, self.driver):
            self.executor.add_node(node)

    @property
    def now(self) -> float:
        return float(self.ours.get_clock().now().nanoseconds * 1e-9)

    def wait(self, condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + 30.0
        while not condition():
            assert time.monotonic() < deadline
            self.executor.spin_once(timeout_sec=0.05)


@pytest.fixture
def bench(ros_domain_id: int) -> Iterator[Bench]:
    context = Context()
    rclpy.init(context=context, domain_id=ros_domain_id)
    made = Bench(context)
    yield made
    made.executor.shutdown()
    for node in (made.ours, made.driver):
        node.destroy_node()
    rclpy.shutdown(context=context)


def test_a_driver_of_this_project_tells_its_state_and_is_asked_to_recover(bench: Bench) -> None:
    link = make_robot_link(bench.ours, VALUES)
    answers: list[tuple[bool, str]] = []
    assert "never heard" in link.silence(bench.now)
    link.recover(lambda success, message: answers.append((success, message)))
    assert answers == [(False, "nobody serves driver/recover: is the driver running?")]
    publisher = bench.driver.create_publisher(DriverStatus, "driver/status", LATCHED_QOS)
    publisher.publish(DriverStatus(state=DriverStatus.FAULT, reason="reflex"))
    bench.wait(lambda: link.state() == (DriverState.FAULT, "reflex"))
    assert link.silence(bench.now) == ""
    assert link.setup_problem(bench.now) == ""
    publisher.publish(DriverStatus(state=9))
    bench.wait(lambda: link.state() == (DriverState.UNAVAILABLE, "state 9"))

    def recover(request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        response.success, response.message = True, "cleared"
        return response

    bench.driver.create_service(Trigger, "driver/recover", recover)
    bench.wait(lambda: bench.ours.count_services("/driver/recover") == 1)

    def asked() -> bool:
        link.recover(lambda success, message: answers.append((success, message)))
        bench.executor.spin_once(timeout_sec=0.1)
        return (True, "cleared") in answers

    bench.wait(asked)
    link.destroy()


class FrankaDriver:
    """The services, action and state of franka_ros2, on a node."""

    def __init__(self, node: Node) -> None:
        self.loads: list[SetLoad.Request] = []
        self.thresholds: list[SetFullCollisionBehavior.Request] = []
        self.recovered = 0
        self.publisher = node.create_publisher(FrankaRobotState, STATE_TOPIC, 10)
        node.create_service(SetLoad, SET_LOAD, self._load)
        node.create_service(SetFullCollisionBehavior, SET_COLLISION, self._set_thresholds)
        self._recovery = ActionServer(node, ErrorRecovery, RECOVERY, self._recover)

    def _load(self, request: SetLoad.Request, response: SetLoad.Response) -> SetLoad.Response:
        self.loads.append(request)
        response.success = True
        return response

    def _set_thresholds(
        self, request: SetFullCollisionBehavior.Request, response: SetFullCollisionBehavior.Response
    ) -> SetFullCollisionBehavior.Response:
        self.thresholds.append(request)
        # Refused once: a robot that still moves refuses.
        response.success, response.error = len(self.thresholds) > 1, "command rejected"
        return response

    def _recover(self, goal: object) -> ErrorRecovery.Result:
        self.recovered += 1
        goal.succeed()  # type: ignore[attr-defined]
        return ErrorRecovery.Result()


def test_franka_ros2_is_set_up_before_anything_moves_and_recovers_by_its_action(bench: Bench) -> None:
    values = {**VALUES, "robot_link": "franka_ros2", "load_mass": 0.4, "load_centre": [0.0, 0.0, 0.05]}
    link = make_robot_link(bench.ours, values)
    assert "nobody serves" in link.setup_problem(bench.now)
    assert link.wrench_topic.endswith("external_wrench_in_base_frame")
    driver = FrankaDriver(bench.driver)
    said: list[str] = []
    hours = bench.now

    def set_up() -> bool:
        nonlocal hours
        hours += 0.5  # the refused one is tried again 2 s later
        said.append(link.setup_problem(hours))
        return said[-1] == ""

    bench.wait(set_up)
    assert any("command rejected" in words for words in said)
    assert driver.loads
    assert driver.loads[0].mass == pytest.approx(0.4)
    assert list(driver.loads[0].center_of_mass) == [0.0, 0.0, 0.05]
    assert len(driver.thresholds) >= 2
    request = driver.thresholds[-1]
    assert list(request.upper_torque_thresholds_nominal) == VALUES["collision_torques"]
    assert list(request.lower_force_thresholds_acceleration) == VALUES["collision_forces"]
    driver.publisher.publish(FrankaRobotState(robot_mode=FrankaRobotState.ROBOT_MODE_REFLEX))
    bench.wait(lambda: link.state()[0] is DriverState.FAULT)
    answers: list[tuple[bool, str]] = []

    asked = 0

    def recovered() -> bool:
        nonlocal asked
        if asked == len(answers):  # the action may not be matched yet
            asked += 1
            link.recover(lambda success, message: answers.append((success, message)))
        return answers[-1:] == [(True, "error recovery is done")]

    bench.wait(recovered)
    assert driver.recovered == 1
    assert link.silence(bench.now + 60.0) != ""  # the driver went away: it has forgotten what was set
    assert link.setup_problem(bench.now) != ""
    link.destroy()


@pytest.mark.parametrize(
    ("mode", "error", "state", "words"),
    [
        ("IDLE", "", DriverState.READY, ""),
        ("MOVE", "", DriverState.READY, ""),
        ("IDLE", "power_limit_violation", DriverState.FAULT, "power_limit_violation"),
        ("REFLEX", "joint_reflex", DriverState.FAULT, "reflex: joint_reflex"),
        ("USER_STOPPED", "joint_reflex", DriverState.UNAVAILABLE, "user stop"),
        ("GUIDING", "", DriverState.UNAVAILABLE, "by hand"),
        ("OTHER", "", DriverState.UNAVAILABLE, "brakes"),
    ],
)
def test_what_a_state_of_franka_ros2_means(mode: str, error: str, state: DriverState, words: str) -> None:
    message = FrankaRobotState(robot_mode=getattr(FrankaRobotState, f"ROBOT_MODE_{mode}"))
    if error:
        setattr(message.current_errors, error, True)
    assert state_of(message)[0] is state
    assert words in state_of(message)[1]


@pytest.mark.parametrize(
    ("change", "words"),
    [({"collision_forces": [1.0] * 5}, "expected 6 numbers"), ({"collision_torques": [0.0] * 7}, "above 0")],
)
def test_thresholds_that_make_no_sense_are_refused(change: dict[str, object], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        collision_request({**VALUES, **change})
    with pytest.raises(ValueError, match="expected 3 numbers for load_centre"):
        load_request({**VALUES, "load_centre": []})
    with pytest.raises(ValueError, match="expected a robot_link of driver, franka_ros2"):
        make_robot_link(None, {"robot_link": "ur"})  # type: ignore[arg-type]
