"""One controller or gripper of the arm node by itself, before fake hardware, on a clock that the test moves."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, Generic, TypeVar

import numpy as np
import rclpy
from graph.fakes import START, World
from rclpy.experimental.events_executor import EventsExecutor
from rclpy.node import Node
from rclpy.parameter import Parameter

from vipa_policy.control.executor import Setpoint
from vipa_policy.control.vectors import Vector
from vipa_policy.geometry import Array
from vipa_policy.nodes.arm_parameters import DECLARATIONS
from vipa_sim.nodes.launched_graph import free_domain

Subject = TypeVar("Subject")
PERIOD = 0.01


class LightArm:
    """The part of a cell that arm drivers need, without physics: the tip goes where it is aimed at, at once."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.reach: Callable[[Array], bool] = lambda target: True

    @property
    def base_from_tip(self) -> Array:
        return self._world.base_from_tip

    def set_target(self, base_from_tip: Array) -> bool:
        if not self.reach(base_from_tip):
            return False
        self._world.base_from_tip = base_from_tip
        return True


class LightHand:
    """The part of a cell that gripper drivers need: fingers that move at once, and stop at a block."""

    def __init__(self) -> None:
        self.gripper_width, self.block, self._goal = 0.08, 0.0, 0.08
        self.sent: list[tuple[float, float, float]] = []
        self.gripper_moving = False

    def set_gripper(self, width: float, speed: float = 0.0, force: float = 0.0) -> None:
        self.sent.append((width, speed, force))
        self._goal = width
        self.gripper_width = max(width, min(self.block, self.gripper_width))

    @property
    def gripper_reached(self) -> bool:
        return abs(self.gripper_width - self._goal) < 0.0015


class DriverRig(Generic[Subject]):
    """The subject, its node, and the world around it."""

    def __init__(self, world: World, node: Node, subject: Subject) -> None:
        self.world, self.node, self.subject = world, node, subject
        self.setpoint = Setpoint(0.0, START, None)

    @property
    def now(self) -> float:
        return float(self.node.get_clock().now().nanoseconds * 1e-9)

    def stream(self, steps: int, velocity: Vector = (0.0, 0.0, 0.0)) -> None:
        """Send setpoints that move on at a velocity, one a step of the clock."""
        for _ in range(steps):
            self.world.run()
            pose = self.setpoint.base_from_tip.copy()
            pose[:3, 3] += PERIOD * np.array(velocity)
            self.setpoint = replace(self.setpoint, stamp=self.now, base_from_tip=pose, velocity=velocity)
            self.subject.send(self.setpoint)  # type: ignore[attr-defined]
        self.world.settle()

    def problem(self) -> str:
        return str(self.subject.problem(self.now))  # type: ignore[attr-defined]

    def until(self, condition: Callable[[], bool], steps: int = 300) -> None:
        assert self.world.run(steps, until=condition), self.problem()


@contextmanager
def driver_rig(make: Callable[[Node, dict[str, Any]], Subject], **values: Any) -> Iterator[DriverRig[Subject]]:
    """Make a subject of a node and the arm node's parameters, some of them given here."""
    rclpy.init(domain_id=free_domain())
    executor = EventsExecutor()
    world = World(executor)
    node = rclpy.create_node("arm", parameter_overrides=[Parameter("use_sim_time", value=True)])
    try:
        executor.add_node(world)
        executor.add_node(node)
        world.followers = [node]
        assert world.wait(lambda: world.count_subscribers("/clock") >= 1)
        defaults = {name: default for name, default, _, _ in DECLARATIONS}
        subject = make(node, {**defaults, **values})
        yield DriverRig(world, node, subject)
        subject.destroy()  # type: ignore[attr-defined]
    finally:
        executor.shutdown()
        node.destroy_node()
        world.destroy_node()
        rclpy.try_shutdown()
