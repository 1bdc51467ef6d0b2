"""Boxes, table and seam reach the arm's motion from its parameters; those that make no sense leave it unconfigured."""

from __future__ import annotations

import numpy as np
import pytest
from graph.fakes import START
from graph.node_rig import rig
from graph.test_arm_node import assert_limited, send_chunk

from vipa_policy.nodes.conversions import matrix_from_pose

pytestmark = pytest.mark.graph


def test_boxes_and_table_of_the_parameters_are_kept() -> None:
    block = [0.5, -0.2, 0.0, 0.6, 0.2, 0.6]  # between the start and the goal
    with rig(with_policy=False, stay_out=block, table_height=0.25, seam="replace") as made:
        world = made.world
        world.run(20)
        for identifier in range(1, 16):
            send_chunk(world, identifier, np.array([0.75, 0.0, 0.1]))
            world.run(7)
        places = np.array([matrix_from_pose(target.pose)[:3, 3] for target in world.targets])
        assert places[:, 0].max() < 0.5
        assert places[-1, 0] > START[0, 3] + 0.05  # it went as far as it may
        assert places[:, 2].min() >= 0.25 - 1e-6
        assert_limited(world.targets)
        assert made.arm.diagnostic_values()["seam"].startswith("replace")


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ({"stay_out": [0.5, 0.0, 0.0]}, "expected six numbers in m"),
        ({"stay_in": [0.5, 0.0, 0.0, 0.4, 0.1, 0.1]}, "lower below upper in x"),
        ({"seam": "smooth"}, "expected a seam policy of replace, blend, rtc"),
        ({"linear_velocity": 1.5}, "brake to rest within 0.6 s"),
        ({"tilt_direction": [0.0, 0.0, 0.0]}, "tilt_direction"),
    ],
)
def test_limits_that_make_no_sense_leave_the_node_unconfigured(parameters: dict[str, object], words: str) -> None:
    # One listener less: what is not configured hears no words.
    with rig(with_policy=False, policy_configures=False, **parameters) as made:
        world = made.world
        assert world.wait(lambda: "not configured" in world.health.get("arm", ""))
        assert words in world.health["arm"]
        send_chunk(world, 1, np.array([0.5, 0.0, 0.3]))
        world.run(5)
        assert world.targets == []
