"""Every kind of gripper before its fake hardware: which goals it sends, and what it survives."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from graph.driver_rig import DriverRig, LightHand, driver_rig
from rclpy.action import GoalResponse

from vipa_policy.nodes.arm_parameters import DECLARATIONS
from vipa_policy.nodes.conversions import seconds_of
from vipa_policy.nodes.grippers import KINDS, Gripper, make_gripper
from vipa_sim.nodes.fake_franka_gripper import FakeFrankaGripper
from vipa_sim.nodes.fake_gripper_controller import FakeGripperController
from vipa_sim.nodes.gripper_server import GripperServer

pytestmark = pytest.mark.graph

DRIVERS = {"franka_hand": FakeFrankaGripper, "gripper_command": FakeGripperController}
KIND = pytest.mark.parametrize("kind", DRIVERS)


class Bench:
    """A gripper of the arm node, its driver, and light fingers."""

    def __init__(self, made: DriverRig[Gripper], kind: str) -> None:
        self.made, self.kind = made, kind
        self.hand = LightHand()
        self.served: Any = None
        made.world.each_step.append(self._step)

    def _step(self, stamp: Any) -> None:
        if self.served is not None:
            self.served.update(seconds_of(stamp))

    def serve(self) -> None:
        self.served = DRIVERS[self.kind](self.made.world, self.hand)  # type: ignore[arg-type]

    def leave(self) -> None:
        """The driver's node goes away, its goal unanswered."""
        for server in getattr(self.served, "_servers", None) or [self.served._server]:
            server.destroy()
        self.served = None

    def free(self) -> bool:
        return not self.made.subject.busy(self.made.now)

    def want(self, width: float) -> None:
        """Send a width once the gripper is free, and wait until its goal has ended."""
        self.made.until(self.free)
        self.made.subject.send(width, self.made.now)
        self.made.until(self.free)


@contextmanager
def bench(kind: str, **values: Any) -> Iterator[Bench]:
    with driver_rig(make_gripper, gripper=kind, **values) as made:
        yield Bench(made, kind)


def test_every_kind_is_made_and_named_by_its_parameter() -> None:
    defaults = {name: default for name, default, _, _ in DECLARATIONS}
    assert defaults["gripper"] in KINDS
    with pytest.raises(ValueError, match="expected a gripper of move, franka_hand, gripper_command"):
        make_gripper(None, {"gripper": "suction"})  # type: ignore[arg-type]


@KIND
def test_a_driver_that_is_not_there_is_told_and_waited_for(kind: str) -> None:
    with bench(kind) as made:
        made.made.world.run(20)
        assert "nobody serves" in made.made.problem()
        assert not made.free()
        made.serve()
        made.made.until(lambda: made.made.problem() == "")
        made.want(0.03)
        assert made.hand.gripper_width == pytest.approx(0.03 if kind == "gripper_command" else 0.0)


def test_a_franka_hand_opens_with_a_move_and_closes_with_a_grasp_that_holds() -> None:
    with bench("franka_hand", gripper_force=30.0, gripper_speed=0.05) as made:
        made.serve()
        made.hand.block = 0.04
        made.want(0.0)
        assert made.hand.sent == [(0.0, 0.05, 30.0)]
        assert made.hand.gripper_width == 0.04
        for wanted in (0.03, 0.045, 0.0, 0.02):
            made.want(wanted)  # it holds: none of these lets go
        assert len(made.hand.sent) == 1
        made.want(0.08)
        assert made.hand.sent[1:] == [(0.08, 0.05, 0.0)]


def test_a_grasp_that_finds_nothing_is_told_and_not_repeated_before_the_hand_opens(
    capfd: pytest.CaptureFixture[str],
) -> None:
    with bench("franka_hand") as made:
        made.serve()
        made.want(0.0)
        assert "the grasp found nothing to hold" in capfd.readouterr().err
        made.want(0.001)
        made.made.world.run(150)
        assert len(made.hand.sent) == 1
        made.want(0.05)
        made.hand.block = 0.03
        made.want(0.0)
        assert [force > 0.0 for _, _, force in made.hand.sent] == [True, False, True]
        made.hand.gripper_width = 0.0
        made.made.world.run(20)
        assert "what the hand held is gone" in capfd.readouterr().err


def test_a_hand_whose_width_is_unknown_gets_no_goals() -> None:
    with bench("franka_hand") as made:
        made.serve()
        made.made.until(made.free)
        made.served.update = lambda now: None
        made.made.until(lambda: "no width of the hand on franka_gripper/joint_states" in made.made.problem())
        made.made.subject.send(0.0, made.made.now)
        made.made.world.run(30)
        assert made.hand.sent == []


@pytest.mark.parametrize(
    ("closed", "opened", "position"),
    [(0.0, 0.08, 0.02), (0.0, 0.04, 0.01), (0.8, 0.0, 0.6)],
    ids=["gap", "half", "angle"],
)
def test_positions_follow_the_drivers_convention(closed: float, opened: float, position: float) -> None:
    with bench("gripper_command", gripper_command_closed=closed, gripper_command_open=opened) as made:
        made.serve()
        made.want(0.02)
        assert made.hand.sent[0][0] == pytest.approx(position)
        assert made.hand.sent[0][2] == 20.0


@KIND
def test_a_refused_goal_is_sent_again(kind: str, capfd: pytest.CaptureFixture[str]) -> None:
    with bench(kind) as made:
        made.serve()
        made.made.until(made.free)
        servers = getattr(made.served, "_servers", None) or [made.served._server]
        judges = [server._goal_callback for server in servers]
        for server in servers:
            server.register_goal_callback(lambda request: GoalResponse.REJECT)
        made.want(0.0)
        assert "refused a goal" in capfd.readouterr().err
        assert made.hand.sent == []
        for server, judge in zip(servers, judges, strict=True):
            server.register_goal_callback(judge)
        made.made.until(lambda: bool(made.hand.sent))


@KIND
def test_a_goal_lost_with_its_server_is_sent_again_to_the_next(kind: str, capfd: pytest.CaptureFixture[str]) -> None:
    with bench(kind) as made:
        made.serve()
        made.made.until(made.free)
        made.hand.gripper_moving = True  # the goal does not end
        made.made.subject.send(0.0, made.made.now)
        made.made.until(lambda: bool(made.hand.sent))
        made.leave()
        made.made.until(lambda: "nobody serves" in made.made.problem())
        assert "went away during a goal" in capfd.readouterr().err
        made.hand.gripper_moving = False
        made.serve()
        made.made.until(lambda: len(made.hand.sent) == 2)
        made.made.until(made.free)


@KIND
def test_a_goal_without_an_answer_is_given_up(kind: str, capfd: pytest.CaptureFixture[str]) -> None:
    with bench(kind) as made:
        made.serve()
        made.made.until(made.free)
        made.hand.gripper_moving = True
        made.made.subject.send(0.0, made.made.now)
        made.made.until(lambda: len(made.hand.sent) == 2, steps=700)
        assert "no answer to a gripper goal for 5.0 s" in capfd.readouterr().err


def test_a_driver_of_our_own_is_served_by_its_kind_and_two_are_told() -> None:
    with bench("move") as made:
        made.want(0.02)  # the world serves gripper/move
        assert made.made.world.gripper_goals == [0.02]
        rival = GripperServer(made.made.world, made.hand)  # type: ignore[arg-type]
        made.made.until(lambda: "2 drivers serve /gripper/move" in made.made.problem())
        made.made.subject.send(0.05, made.made.now)
        made.made.world.run(20)
        assert made.made.world.gripper_goals == [0.02]
        assert made.hand.sent == []
        rival._server.destroy()
        made.made.until(lambda: 0.05 in made.made.world.gripper_goals)
