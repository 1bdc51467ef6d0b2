"""Policy and arm node of the product between the fakes, in one process and on a simulated clock."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import rclpy
from graph.fakes import FakePolicy, World
from rclpy.experimental.events_executor import EventsExecutor
from rclpy.parameter import Parameter

from vipa_policy.control.executor import State
from vipa_policy.nodes.arm_node import ArmNode
from vipa_policy.nodes.policy_node import Loader, PolicyNode
from vipa_sim.nodes.launched_graph import free_domain

# The world moves for no driver but the pose target, and people who would arm the arm are not there.
UNSUPERVISED = {"armed_at_start": True, "driver_status": "optional", "contact_force": 0.0, "contact_torque": 0.0}


class Rig:
    """The nodes under test and the world around them."""

    def __init__(self, world: World, policy: FakePolicy) -> None:
        self.world = world
        self.policy = policy
        self.policy_node: PolicyNode | None = None
        self.arm: ArmNode | None = None

    def following(self) -> bool:
        """Whether the arm's last state says that it follows a chunk."""
        return bool(self.world.states) and self.world.states[-1].state == State.FOLLOWING

    def holding(self) -> bool:
        return bool(self.world.states) and self.world.states[-1].state == State.HOLDING

    def status(self) -> tuple[int, str]:
        """State and reason of the policy's last status."""
        last = self.world.statuses[-1]
        return last.state, last.reason

    def start_moving(self, words: str = "reach the red block") -> None:
        """Give an instruction and run until the arm moves."""
        self.world.run(30)
        self.world.say(words)
        assert self.world.run(200, until=self.following), self.world.health
        self.world.run(40)
        assert self.following(), self.world.health


@contextmanager
def rig(
    policy: FakePolicy | None = None,
    loader: Loader | None = None,
    with_policy: bool = True,
    with_arm: bool = True,
    policy_configures: bool = True,
    **parameters: Any,
) -> Iterator[Rig]:
    """Start the nodes, wait until they see each other, and take them down again."""
    rclpy.init(domain_id=free_domain())
    executor = EventsExecutor()
    world = World(executor)
    made = Rig(world, policy or FakePolicy())
    overrides = [Parameter("use_sim_time", value=True)]
    overrides += [Parameter(name, value=value) for name, value in (UNSUPERVISED | parameters).items()]
    if with_policy:
        made.policy_node = PolicyNode(loader or (lambda wanted: made.policy), parameter_overrides=overrides)
    if with_arm:
        made.arm = ArmNode(parameter_overrides=overrides)
    nodes = [node for node in (made.policy_node, made.arm) if node is not None]
    try:
        executor.add_node(world)
        for node in nodes:
            executor.add_node(node)
            node.start()
        world.followers = list(nodes)
        assert world.wait(lambda: world.count_subscribers("/clock") >= len(nodes))
        # A policy that could not be configured hears no words.
        listeners = len(nodes) - (not policy_configures) if with_arm else 0
        assert world.wait(lambda: world.count_subscribers("/instruction") >= listeners)
        arm = made.arm
        if arm is not None and arm.count_publishers("/target_pose"):
            assert world.wait(lambda: arm.count_subscribers("/target_pose") > 0)
        world.settle()
        yield made
    finally:
        for node in nodes:
            node.begin_finish("test over")
        executor.shutdown()
        for node in (*nodes, world):
            node.destroy_node()
        rclpy.try_shutdown()
