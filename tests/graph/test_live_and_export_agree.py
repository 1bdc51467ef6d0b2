"""Train and serve on the same numbers: the live observer and the reader of recordings, given the same messages.

No process and no wire is involved: the serialised messages of a recording are put into both.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import rclpy
from rclpy.context import Context
from rclpy.node import Node
from rclpy.serialization import deserialize_message
from support.recorded_messages import serialise
from support.synthetic_episode import CAMERA, PERIOD, SECOND, Scene, moving, recording, write_synthetic_episode
from tf2_msgs.msg import TFMessage

from vipa_policy import geometry
from vipa_policy.contract import ActionContract
from vipa_policy.nodes import observer as live
from vipa_policy.observation import Observation
from vipa_policy.presets import franka_contract
from vipa_training.episodes import Demonstration
from vipa_training.recorded_messages import header_stamp

pytestmark = pytest.mark.graph

PARTS = {
    CAMERA.color: ("scene", live.COLOUR),
    CAMERA.depth: ("scene", live.DEPTH),
    CAMERA.camera_info: ("scene", live.INTRINSICS),
    "/joint_states": ("", live.JOINTS),
}
VALUES = {
    "camera_names": ["scene"],
    "camera_topics": ["camera"],
    "slop": 0.01,
    "timeout": 1.0,
    "oldest": 10.0,
    "tf_wait": 0.1,
    "base_frame": "base",
    "gripper_joints": ["fr3_finger_joint1", "fr3_finger_joint2"],
    "image_delay": 0.0,
    "refuse_repeats": True,
}
CONTRACT = ActionContract(**(franka_contract().__dict__ | {"tip_frame": "tip"}))


class AlignedScene(Scene):
    """Pictures at stamps of joint states, as the simulated cell makes them."""

    def image_stamps(self) -> list[int]:
        tick = SECOND // 200
        return [self.start + (index * PERIOD // tick + 3) * tick for index in range(int(self.duration * 15))]


@pytest.fixture
def node() -> Iterator[Node]:
    context = Context()
    rclpy.init(context=context, domain_id=0)
    node = rclpy.create_node("live", context=context)
    yield node
    node.destroy_node()
    rclpy.shutdown(context=context)


def observe_live(node: Node, scene: Scene) -> list[Observation]:
    """Return what the policy node would have seen of a scene."""
    observer = live.Observer(node, CONTRACT, VALUES, lambda: None)
    found = []
    # TF runs ahead of pictures by the time these take to arrive; here it is all there at once.
    for _, topic, item in recording(scene):
        if topic in ("/tf", "/tf_static"):
            for transform in deserialize_message(serialise(item), TFMessage).transforms:
                if topic == "/tf_static":
                    observer.buffer.set_transform_static(transform, "test")
                else:
                    observer.buffer.set_transform(transform, "test")
    for _, topic, item in recording(scene):
        if topic in PARTS:
            data = serialise(item)
            stamp = header_stamp(memoryview(data)) * 1e-9
            observer._receiver(PARTS[topic])(stamp, data)
            observed = observer.observe(stamp)
            if observed is not None:
                found.append(observed.observation)
    observer.destroy()
    return found


@pytest.mark.parametrize("camera_moves", [True, False])
def test_live_and_export_agree(tmp_path: Path, node: Node, camera_moves: bool) -> None:
    arm = moving((0.3, -0.2, 0.1), (1.5, -0.7, 0.9), geometry.transform([0.4, 0, 0.3], [1, 0, 0, 0]))
    scene = AlignedScene(duration=0.8, camera_moves=camera_moves, base_from_link=arm)
    seen = observe_live(node, scene)
    with Demonstration(write_synthetic_episode(tmp_path, scene), CONTRACT) as demonstration:
        exported = [frame.observation for frame in demonstration.frames()]
    assert len(seen) == len(exported) == 12
    for ours, theirs in zip(exported, seen, strict=True):
        assert abs(ours.stamp - theirs.stamp) < 1e-6
        assert [view.name for view in ours.views] == [view.name for view in theirs.views]
        for mine, other in zip(ours.views, theirs.views, strict=True):
            np.testing.assert_array_equal(mine.rgb, other.rgb)
            np.testing.assert_array_equal(mine.depth, other.depth)
            assert mine.depth.dtype == other.depth.dtype
            np.testing.assert_array_equal(mine.intrinsics, other.intrinsics)
            np.testing.assert_allclose(mine.reference_from_camera, other.reference_from_camera, atol=1e-9)
        np.testing.assert_allclose(ours.camera_from_tip, theirs.camera_from_tip, atol=1e-9)
        assert abs(ours.gripper_width - theirs.gripper_width) < 1e-9
