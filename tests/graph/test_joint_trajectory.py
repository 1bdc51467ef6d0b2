"""The arm node through a joint trajectory controller: what it sends, how near it gets, when it holds and why."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
from builtin_interfaces.msg import Duration, Time
from graph.fakes import START
from graph.node_rig import Rig, rig
from graph.test_arm_node import send_chunk
from rclpy.qos import QoSProfile
from sensor_msgs.msg import JointState
from std_msgs.msg import String
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint

from vipa_policy.control.kinematics import Kinematics
from vipa_policy.nodes.conversions import nanoseconds_of, seconds_of, stamp_from_nanoseconds
from vipa_policy.nodes.robot_model import DESCRIPTION_QOS
from vipa_sim.cell import Cell, CellConfig
from vipa_sim.description import robot_description
from vipa_sim.model import ARM_JOINTS
from vipa_sim.nodes.fake_joint_trajectory import FakeJointTrajectory, TrajectoryError, read_trajectory

pytestmark = [pytest.mark.graph, pytest.mark.sim]

STEP_S = 0.01
TOPIC = "joint_trajectory_controller/joint_trajectory"
URDF = robot_description()


@pytest.fixture(scope="module")
def cell() -> Cell:
    return Cell(CellConfig(image_width=32, image_height=32))


class Hardware:
    """The cell's arm behind its joint trajectory controller, in step with the world's clock."""

    def __init__(self, made: Rig, cell: Cell) -> None:
        assert cell.teleport(START, 0.08)
        self.made, self.cell = made, cell
        self.silent = self.deaf = self.blind = False
        self.sent: list[JointTrajectory] = []
        world = made.world
        world.base_from_tip = cell.base_from_tip
        self._joints = world.create_publisher(JointState, "joint_states", QoSProfile(depth=10))
        self._description = world.create_publisher(String, "robot_description", DESCRIPTION_QOS)
        self._description.publish(String(data=URDF))
        self.driver = FakeJointTrajectory(world, cell)
        world.create_subscription(JointTrajectory, TOPIC, self.sent.append, QoSProfile(depth=50))
        world.each_step.append(self._act)

    def _act(self, stamp: Time) -> None:
        if self.deaf:
            self.driver.restart(nanoseconds_of(stamp) + 10**9)
        if not self.silent:
            self.driver.update(seconds_of(stamp))
        self.cell.step(STEP_S)
        self.made.world.base_from_tip = self.cell.base_from_tip
        if not self.blind:
            joints = JointState(name=list(self.cell.joint_names), position=self.cell.joint_positions.tolist())
            joints.velocity, joints.header.stamp = self.cell.joint_velocities.tolist(), stamp
            self._joints.publish(joints)

    @property
    def tip(self) -> np.ndarray:
        return np.asarray(self.cell.base_from_tip[:3, 3])


@contextmanager
def hardware_rig(cell: Cell, **parameters: Any) -> Iterator[tuple[Rig, Hardware]]:
    # The controller adds its delay to the servo's.
    with rig(with_policy=False, controller="joint_trajectory", lead=0.09, **parameters) as made:
        hardware = Hardware(made, cell)
        assert made.world.wait(lambda: made.world.count_publishers(TOPIC) > 0)
        yield made, hardware


class Sender:
    """Sends chunks that rest at a place, each with a number of its own."""

    def __init__(self, made: Rig) -> None:
        self._made, self._identifier = made, 0
        made.world.run(20)  # so that the first picture is not from before the beginning of time

    def go(self, goal: tuple[float, float, float], steps: int) -> None:
        for _ in range(steps // 7):
            self._identifier += 1
            send_chunk(self._made.world, self._identifier, np.array(goal))
            self._made.world.run(7)

    def reach(self, goal: tuple[float, float, float], hardware: Hardware) -> None:
        """Go on until the tip is within 2 mm of a place."""
        for _ in range(40):
            self.go(goal, 28)
            if np.linalg.norm(hardware.tip - goal) < 0.002:
                return
        pytest.fail(f"the tip stays at {hardware.tip}, not at {goal}: {self._made.world.health}")


def armed(made: Rig) -> bool:
    return made.arm is not None and made.arm._supervision is not None and made.arm._supervision.supervisor.armed


def path_of(messages: list[JointTrajectory]) -> tuple[np.ndarray, np.ndarray]:
    """Return when (n,) s and where (n, 7) rad the joints are due, of all messages; they must agree with each other."""
    points: dict[int, list[float]] = {}
    for message in messages:
        assert list(message.joint_names) == list(ARM_JOINTS)
        begin = nanoseconds_of(message.header.stamp)
        for point in message.points:
            assert not point.velocities
            due = begin + point.time_from_start.sec * 10**9 + point.time_from_start.nanosec
            # A window repeats what the windows before it said; rounding of a float's stamp may move it by a ns.
            known = next((points[near] for near in (due - 1, due, due + 1) if near in points), None)
            if known is None:
                points[due] = list(point.positions)
            else:
                assert list(point.positions) == known
    times = np.array(sorted(points))
    return times * 1e-9, np.array([points[time] for time in times])


def test_a_few_poses_are_reached_and_every_limit_is_kept(cell: Cell) -> None:
    with hardware_rig(cell) as (made, hardware):
        world = made.world
        assert world.run(100, until=lambda: armed(made)), world.health
        sender = Sender(made)
        for goal in ((0.5, 0.1, 0.22), (0.42, -0.05, 0.35), (0.55, 0.0, 0.2)):
            sender.reach(goal, hardware)
            assert made.following(), world.health
        assert hardware.driver.refused == 0
        assert hardware.driver.accepted > 300  # a loaded machine skips setpoints
        times, joints = path_of(hardware.sent)
        elapsed = np.diff(times)[:, None]
        assert np.all(elapsed > STEP_S - 1e-6)
        arm = Kinematics(URDF, "fr3_link0", "fr3_hand_tcp")
        assert np.all((joints >= arm.lower + 0.02) & (joints <= arm.upper - 0.02))
        velocities = np.diff(joints, axis=0) / elapsed
        assert np.all(np.abs(velocities) <= 0.9 * arm.velocity)
        assert np.abs(velocities).max() > 0.2
        accelerations = np.diff(np.vstack([np.zeros(7), velocities]), axis=0) / elapsed
        assert np.abs(accelerations).max() <= 8.0 + 1e-6
        assert made.arm is not None
        assert float(made.arm._controller.values()["tip behind its plan (m)"]) < 1e-4


def test_what_the_arm_cannot_reach_is_held_until_the_arm_stands(cell: Cell) -> None:
    with hardware_rig(cell) as (made, hardware):
        world = made.world
        assert world.run(100, until=lambda: armed(made)), world.health
        sender = Sender(made)
        held = ("behind its plan", "away from where it was commanded")  # whichever look comes first
        reasons: set[str] = set()
        for _ in range(30):
            sender.go((0.79, 0.44, 0.59), 21)  # in the workspace's box, out of the arm's reach
            reasons |= {state.hold_reason for state in world.states if any(w in state.hold_reason for w in held)}
            if reasons:
                break
        assert reasons, world.health
        # It comes to stand, as near as it gets, and then no more is said against moving.
        places: list[np.ndarray] = []

        def stands() -> bool:
            places.append(hardware.tip.copy())
            return len(places) > 50 and float(np.ptp(places[-50:], axis=0).max()) < 0.002

        assert world.run(600, until=stands), world.health
        assert not made.arm._controller.problem(world.time)  # type: ignore[union-attr]
        assert hardware.driver.refused == 0


@pytest.mark.parametrize(
    ("loss", "words"),
    [
        ("silent", "controller_state is"),
        ("blind", "joint states on /joint_states are"),
        ("deaf", "executes something else than it was sent"),
    ],
)
def test_what_is_lost_in_motion_holds_the_arm_and_is_named(cell: Cell, loss: str, words: str) -> None:
    with hardware_rig(cell) as (made, hardware):
        world = made.world
        assert world.run(100, until=lambda: armed(made)), world.health
        sender = Sender(made)
        sender.go((0.5, 0.25, 0.3), 35)
        assert made.following(), world.health
        setattr(hardware, loss, True)
        for _ in range(10):
            sender.go((0.5, 0.25, 0.3), 7)
        reasons = {state.hold_reason for state in world.states[-20:]}
        assert any(words in reason for reason in reasons), reasons


def test_without_a_controller_the_arm_does_not_arm_and_says_what_is_missing() -> None:
    with rig(with_policy=False, controller="joint_trajectory") as made:
        world = made.world
        arm = made.arm
        assert arm is not None
        world.run(10)
        assert not armed(made)
        assert "nobody takes targets on /joint_trajectory_controller/joint_trajectory" in arm._controller.problem(0.1)
        world.create_subscription(JointTrajectory, TOPIC, lambda message: None, QoSProfile(depth=1))
        assert world.wait(lambda: "no robot description on /robot_description" in arm._controller.problem(world.time))
        publisher = world.create_publisher(String, "robot_description", DESCRIPTION_QOS)
        publisher.publish(String(data="<robot/>"))
        assert world.wait(lambda: "cannot be used" in arm._controller.problem(world.time))
        publisher.publish(String(data=URDF))
        assert world.wait(lambda: "no joint states" in arm._controller.problem(world.time))
        joints = world.create_publisher(JointState, "joint_states", QoSProfile(depth=1))

        def tell(names: list[str], positions: list[float]) -> None:
            message = JointState(name=names, position=positions)
            message.header.stamp = stamp_from_nanoseconds(round(world.time * 1e9))
            joints.publish(message)

        tell(list(ARM_JOINTS[:6]), [0.0] * 6)
        assert world.wait(lambda: "fr3_joint7 are missing" in arm._controller.problem(world.time))
        tell(list(ARM_JOINTS), [float("nan")] * 7)
        assert world.wait(lambda: "expected finite joint angles" in arm._controller.problem(world.time))
        tell(list(ARM_JOINTS), [0.0, 0.0, 0.0, -1.5, 0.0, 1.5, 0.0])
        assert world.wait(lambda: "nothing on /joint_trajectory_controller" in arm._controller.problem(world.time))
        assert not armed(made)


# The fake controller by itself


def trajectory(
    positions: list[list[float]], times: list[float], stamp: float = 0.0, names: tuple[str, ...] = ARM_JOINTS
) -> JointTrajectory:
    message = JointTrajectory(joint_names=list(names))
    message.header.stamp = stamp_from_nanoseconds(round(stamp * 1e9))
    for values, time in zip(positions, times, strict=True):
        due = Duration(sec=int(time), nanosec=round((time % 1.0) * 1e9))
        message.points.append(JointTrajectoryPoint(positions=values, time_from_start=due))
    return message


ONE, TWO = [1.0] * 7, [2.0] * 7


@pytest.mark.parametrize(
    ("message", "words"),
    [
        (trajectory([ONE], [1.0], names=(*ARM_JOINTS[:6], "elbow")), "elbow doesn't match"),
        (trajectory([[1.0] * 6], [1.0], names=ARM_JOINTS[:6]), "expected the joints"),
        (trajectory([], []), "Empty"),
        (trajectory([ONE, TWO], [0.5, 0.5]), "not strictly increasing"),
        (trajectory([[1.0] * 6], [0.5]), "7 finite positions"),
        (trajectory([[float("nan")] * 7], [0.5]), "7 finite positions"),
        (trajectory([ONE], [0.5], stamp=9.0), "0.500 s in the past"),
    ],
)
def test_the_fake_controller_refuses_what_the_real_one_does(message: JointTrajectory, words: str) -> None:
    with pytest.raises(TrajectoryError, match=words):
        read_trajectory(message, 10 * 10**9)


def test_the_fake_controller_interpolates_as_the_real_one_does() -> None:
    now, start = 10 * 10**9, np.zeros(7)

    def at(message: JointTrajectory, after: float) -> float:
        values = read_trajectory(message, now).sample(now + round(after * 1e9), now, start)
        assert np.ptp(values) == 0.0
        return float(values[0])

    stampless = trajectory([ONE, TWO], [1.0, 2.0])
    assert [at(stampless, after) for after in (0.0, 0.5, 1.0, 1.5, 2.0, 5.0)] == pytest.approx(
        [0.0, 0.5, 1.0, 1.5, 2.0, 2.0]
    )
    # Points in the past are passed over: where the joints are measured to be does not enter.
    under_way = trajectory([ONE, TWO], [0.0, 1.0], stamp=9.5)
    assert [at(under_way, after) for after in (0.0, 0.25, 0.5, 1.0)] == pytest.approx([1.5, 1.75, 2.0, 2.0])
    turned = trajectory([[float(index) for index in range(7)]], [1.0], names=ARM_JOINTS[::-1])
    assert read_trajectory(turned, now).sample(now + 10**9, now, start).tolist() == [6.0, 5.0, 4.0, 3.0, 2.0, 1.0, 0.0]
