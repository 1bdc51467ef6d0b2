"""The program node with the product's policy and arm: a goal settles where the policy wants the tip."""

from __future__ import annotations

import numpy as np
import pytest
from graph.fakes import FakePolicy
from graph.node_rig import rig
from graph.test_program import Asked, Result
from rclpy.action import ActionClient
from rclpy.parameter import Parameter

from vipa_msgs.action import ExecuteInstruction
from vipa_policy.nodes.program_node import ProgramNode

pytestmark = pytest.mark.graph


def test_the_whole_loop_settles_where_the_policy_wants_the_tip() -> None:
    """Policy node, arm node and program node of the product between camera and driver of the fakes."""
    policy = FakePolicy()
    with rig(policy=policy) as made:
        world = made.world
        program = ProgramNode(parameter_overrides=[Parameter("use_sim_time", value=True)])
        world.executor_used.add_node(program)
        program.start()
        try:
            client = ActionClient(world, ExecuteInstruction, "execute_instruction")
            assert world.wait(client.server_is_ready)
            world.run(60)
            for words, goal in policy.goals.items():
                asked = Asked(client, world, instruction=words, timeout=20.0)
                assert world.run(1500, until=asked.done), world.health
                assert asked.outcome[0] == Result.SETTLED, asked.outcome
                assert np.linalg.norm(world.base_from_tip[:3, 3] - goal) < 0.02
                of_words = [chunk.id for chunk in world.chunks if chunk.instruction == words]
                assert of_words[0] <= asked.result.first_chunk <= asked.result.last_chunk <= of_words[-1]
                assert world.run(100, until=lambda: world.states[-1].stopped)
        finally:
            program.begin_finish("test over")
            world.executor_used.remove_node(program)
            program.destroy_node()
